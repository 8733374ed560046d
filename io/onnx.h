// ONNX: files that onnxruntime, and most that run networks, read.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ramp/io/onnx_proto.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/module.h"

namespace ramp {

/// A value of the graph that save_onnx() writes. Images [n, h, w, c] lie in the file as
/// [n, c, h, w], unless someone asked otherwise.
struct OnnxValue {
  std::string name;
  Tensor example;               // what it is in ramp, features last, for some input
  bool channels_first = false;  // so it lies in the file
  Shape turned;  // of [n, h w c] that is [n, c h w] in the file: [h, w, c]; else of rank 0
};

class OnnxGraph;

struct OnnxExportOptions {
  /// Images are [n, h, w, c] in the file too: what comes in and goes out is transposed there.
  bool channels_last = false;
  std::string input = "x", output = "y", batch = "n";  // their names
  /// What a layer of a user's own is in the file: see layer().
  std::vector<std::function<bool(OnnxGraph&, ModuleBase&, const OnnxValue& x, OnnxValue& y)>>
      layers;
  /// What an activation of a user's own is, by its name.
  std::map<std::string, std::function<OnnxValue(OnnxGraph&, const OnnxValue& x)>> activations;

  /// ```
  /// options.layer<Scale>([](OnnxGraph& graph, Scale& m, const OnnxValue& x) {
  ///   return graph.node("Mul", {x, graph.constant("factor", m.factor)}, m(x.example));
  /// });
  /// ```
  template <typename L, typename F>
  OnnxExportOptions& layer(F f) {
    layers.push_back([f](OnnxGraph& graph, ModuleBase& module, const OnnxValue& x, OnnxValue& y) {
      auto* layer = dynamic_cast<L*>(&module);
      if (layer) y = f(graph, *layer, x);
      return layer != nullptr;
    });
    return *this;
  }
};

/// What a hook adds nodes to.
class OnnxGraph {
 public:
  explicit OnnxGraph(OnnxExportOptions options) : options_(std::move(options)) {}

  /// y = op(x..), of opset 20, named after the layer that is written; `example` is y in ramp. y
  /// lies in the file as x[0] does.
  OnnxValue node(const std::string& op, const std::vector<OnnxValue>& x, const Tensor& example,
                 std::vector<onnx::Attribute> attributes = {});
  /// A weight "<path of the layer>.<name>", as it lies.
  OnnxValue constant(const std::string& name, const Tensor& value);
  /// y = child(x), for a layer that is made of others; `name` is what fields() calls it.
  OnnxValue child(const std::string& name, ModuleBase& child, const OnnxValue& x);
  /// y = f(x).
  OnnxValue activate(const Activation& f, const OnnxValue& x);
  /// x as [n, .., c] / as [n, c, ..] in the file: with a Transpose, unless it lies so.
  OnnxValue features_last(const OnnxValue& x);
  OnnxValue channels_first(const OnnxValue& x);

 private:
  friend void save_onnx(const std::string&, ModuleBase&, const Tensor&, const OnnxExportOptions&);
  friend struct OnnxLayers;
  std::string unique(const std::string& name);
  OnnxValue turned_by(const OnnxValue& x, const std::vector<int64_t>& axes, bool first);

  OnnxExportOptions options_;
  onnx::File file_;
  std::string path_;
  std::set<std::string> names_;
  std::map<std::string, OnnxValue> transposed_;  // by the name of what was
};

/// Writes the model in eval mode, for batches of any size: opset 20, IR version 9. Nodes and
/// weights have the names of modules: "2.conv1", "2.conv1.weight". Sequential, Residual, all layers
/// and activations of ramp. A module of a user's own by a hook in the options, or else by what its
/// forward() does: the model runs once, and the layers that it calls and the ops between them are
/// read off the tape (arithmetic, activations, flatten, reshape, concat, matmul, linear, softmax,
/// pools of 2; other ops as layers or by a hook). What depends on the numbers or the batch
/// (an if, a loop) is as it was in that run; so the file is read again and run beside the model.
/// Images are [n, c, h, w] in the file, signals [n, c, w], as PyTorch's: the weights are turned, so
/// that no Transpose is needed around convolutions. `input` is an example, or its shape, as of
/// net.summary(): [1, 28, 28, 1] here is [n, 1, 28, 28] there; ids need an example.
/// Errors: a layer or activation without a hook; a file that gives something else; weights of more
/// than 2 GB; a file that cannot be written; ramp was built without protozero.
void save_onnx(const std::string& path, ModuleBase& net, const Tensor& input,
               const OnnxExportOptions& options = {});
void save_onnx(const std::string& path, ModuleBase& net, const Shape& input,
               const OnnxExportOptions& options = {});

namespace onnx {
struct Program;
}  // namespace onnx

struct OnnxOptions {
  /// What comes in and goes out lies as in the file: images [n, c, h, w].
  bool channels_first = false;
};

/// The graph of an ONNX file as a module, which may be a part of others, be trained, saved and
/// copied: `OnnxModel net("resnet.onnx"); Tensor y = net(x);`. Its parameters have the names that
/// the file gives them; those of Conv, ConvTranspose and Gemm lie as ramp's layers have them.
/// Images are [n, h, w, c] here, as everywhere, where the file means [n, c, h, w]: an input that
/// reaches a convolution, pool or norm, and a result of one. BatchNormalization and Dropout do in
/// training what they do in ramp, whatever training_mode says; a file that was exported in
/// evaluation may have none left.
///
/// Ops: see the table in io/onnx_ops.cc (ONNX opsets 6 to 28, f32 and f64). Nothing is guessed: an
/// op, attribute, form or type that is not supported is an error that names it, when the file is
/// read or, where it depends on the input, when it runs.
/// Errors: those; a file that is no ONNX model, is damaged, or has its weights in other files; a
/// node that reads what no node before it makes.
class OnnxModel final : public Module {
 public:
  /// Reads the file. Errors: what is said above.
  explicit OnnxModel(const std::string& path, const OnnxOptions& options = {});
  /// The same from bytes in memory; `name` is for messages.
  static OnnxModel from_bytes(std::string_view bytes, const std::string& name = "model",
                              const OnnxOptions& options = {});

  /// For a file of one input: its first result.
  Tensor forward(const Tensor& x) override;
  /// All results for all inputs, in the file's order.
  std::vector<Tensor> run_all(const std::vector<Tensor>& x);

  /// Their names in the file.
  std::vector<std::string> inputs() const;
  std::vector<std::string> outputs() const;

  void fields(Fields& f) override;
  std::string describe() const override;

 private:
  OnnxModel() = default;
  void load(std::string_view bytes, const std::string& name, const OnnxOptions& options);

  std::shared_ptr<const onnx::Program> program_;
  std::vector<Parameter> parameters_;
  std::vector<Buffer> buffers_;
  Generator rng_;
};

}  // namespace ramp
