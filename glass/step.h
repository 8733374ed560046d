// A tape step by step: the chain rule with the numbers in it.
//
//     TapeWatch watch;                                   // keeps what the ops make from here on
//     const Tensor x = watch.name("x", Tensor::scalar(-1, f64).requires_grad_());
//     const Tensor y = watch.name("y", relu(x)), loss = 0.37 * y;
//     const Steps steps = step_through(loss, watch);     // dL/dx = dL/dy * 1[x > 0] = 0.37 * 0 = 0
//
// The report shows them (steps.lesson(..) is a line of a .glass file), and `ramp-report --lessons`
// makes a page of those in glass/lessons.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ramp/autograd/record.h"
#include "ramp/layers/module.h"

namespace ramp {

/// While it lives it keeps the values that this thread's ops take and make: a tape has none. On a
/// thread, those that live at the same time end in the reverse order. Meant for what is small.
class TapeWatch : private NoCopy {
 public:
  TapeWatch() = default;
  ~TapeWatch();

  /// The name under which t is shown; returns t.
  const Tensor& name(std::string name, const Tensor& t);
  /// Those of the parameters: "0.weight".
  void name(ModuleBase& net);
  /// "" if it has none.
  std::string name_of(const Node* node, const Tensor& value) const;

  struct Op {
    Tensor y;
    std::vector<Tensor> inputs;
  };
  /// Null for a node that was recorded elsewhere.
  const Op* find(const Node* node) const;

 private:
  std::vector<std::pair<std::string, Tensor>> names_;
  std::unordered_map<const Node*, Op> ops_;
  const std::function<void(const Node&, const Tensor&, const Inputs&)> saw_ =
      [this](const Node& node, const Tensor& y, const Inputs& inputs) { saw(node, y, inputs); };
  const detail::OpWatch before_ = std::exchange(detail::op_watch, &saw_);
  void saw(const Node& node, const Tensor& y, const Inputs& inputs);
};

struct TapeNode {
  Node* node = nullptr;  // null for a constant
  std::string op, activation, name;
  Shape shape;
  std::vector<size_t> inputs;  // earlier ones in the list
  bool leaf = false, constant = false;
  Tensor value;     // undefined where nobody kept it
  Tensor gradient;  // of the loss; undefined where none arrives
};

/// What one op adds to the gradient of one of its inputs.
struct Addition {
  size_t to, input;      // the node; its place among the op's inputs
  Tensor local;          // dy/dx element by element, for a function of one number
  Tensor product;        // dL/dy dy/dx, summed to the input's shape
  Tensor before, after;  // the gradient, without and with it; before: undefined the first time
  std::vector<std::string> lines = {};  // "dL/dx = dL/dy * 1[x > 0] = 0.37 * 0 = 0"
};

struct TapeStep {
  bool backward;
  size_t node;
  std::vector<std::string> lines = {};
  std::vector<Addition> additions = {};  // backward
};

struct Steps {
  std::vector<TapeNode> nodes;  // in the order of the forward pass; the last one is the loss
  std::vector<TapeStep> steps;  // forward, then backward
  /// A line of a .glass file. Texts in English and Portuguese; `name` is its address in the page.
  std::string lesson(const std::string& name, const std::pair<std::string, std::string>& title,
                     const std::pair<std::string, std::string>& text = {}) const;
};

/// Every step of the tape behind `loss`, forward and then backward; the numbers have the bits that
/// backward() gives. The tape stays, and no gradient of a tensor is touched; hooks are not run.
/// Lines tell in numbers what add, sub, mul, div, neg, pow, the activations, prelu, sum, mean,
/// matmul, linear and conv2d (with a fused relu, tanh or sigmoid too), softmax, mse_loss and
/// cross_entropy do; of other ops they give the result.
/// Errors: a loss that is no scalar of floats, is not on the tape, or is one of more than 4,096
/// numbers in all; an op that `watch` did not see; a tape that backward() freed.
Steps step_through(const Tensor& loss, const TapeWatch& watch);

namespace detail {
/// The nodes behind y with the gradients that arrive at them, unless the tape was freed; each
/// addition is told. Values only with a watch.
std::vector<TapeNode> tape_nodes(const Tensor& y, const TapeWatch* watch,
                                 const std::function<void(size_t from, Addition)>& added = {});
}  // namespace detail

}  // namespace ramp
