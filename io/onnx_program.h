// An ONNX graph as steps that ramp runs; io/onnx_ops.cc says what each op is.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "ramp/core/random.h"
#include "ramp/io/onnx_proto.h"

namespace ramp::onnx {

/// A value while the model runs. Images are kept features last: `last` says that t is [n, .., c]
/// where the file means [n, c, ..].
struct Held {
  Tensor t;
  bool last = false;
  int64_t type = kFloat;  // in the file; ramp has i64 for all integers and numbers 0, 1 for bool
  bool defined() const { return t.defined(); }
};

struct Context {
  bool training;
  DType real;  // what the file's floats are
  Rng* rng;
};
using Values = std::vector<Held>;
/// y.. = op(x..); an input that is left out is undefined.
using Run = std::function<Values(const Values& x, const Context&)>;

/// How a weight lies in the model, where that is not how it lies in the file.
enum class Lies { as_in_file, convolution /* [kh, kw, c, k] */, transposed };

/// What is known of an input when the model is read.
struct Known {
  Tensor constant;  // undefined: not known yet
  Lies lies = Lies::as_in_file;
};

/// A node while its op is made: attributes that no one asks for are refused.
class NodeReader {
 public:
  NodeReader(const Node& node, int64_t opset, std::vector<Known> inputs)
      : node(node), opset(opset), inputs(std::move(inputs)) {}

  const Node& node;
  const int64_t opset;
  std::vector<Known> inputs;

  bool has(const std::string& name) { return find(name, Attribute::kNone) != nullptr; }
  int64_t integer(const std::string& name, int64_t usual);
  double real(const std::string& name, double usual);
  std::string text(const std::string& name, const std::string& usual);
  std::vector<int64_t> integers(const std::string& name, std::vector<int64_t> usual = {});
  std::vector<double> reals(const std::string& name);
  const Attribute* tensor(const std::string& name) { return find(name, Attribute::kTensor); }

  bool given(size_t i) const { return i < node.inputs.size() && !node.inputs[i].empty(); }
  /// Errors: not so many inputs; more outputs that are used.
  void expect(size_t least, size_t most, size_t outputs = 1) const;
  /// "load_onnx: .. node "conv1" (Conv, opset 20): <what> is not supported."
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    refuse_text(fmt::format(format, std::forward<Args>(args)...));
  }
  void refuse_unread() const;

 private:
  const Attribute* find(const std::string& name, int64_t kind);
  [[noreturn]] void refuse_text(const std::string& what) const;
  std::set<std::string> read_;
};

/// The op of a node. Errors: an op, attribute or form that ramp has not, by name.
Run make_op(NodeReader& node);
/// Ops that take images [n, c, ..]: what they read is kept features last.
bool takes_images(const std::string& op);
/// Ops that keep the layout of what they read.
bool is_elementwise(const std::string& op);

Held features_last(const Held& x);
Held as_in_file(const Held& x);

}  // namespace ramp::onnx
