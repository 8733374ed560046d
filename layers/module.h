// A module names its tensors and children in one place; all else is a visitor over it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

class Module;

/// The visitor that Module::fields() is called with.
class Fields {
 public:
  enum class Kind { parameter, undecayed, buffer };

  /// A tensor that is trained; weight decay leaves it alone unless it `decays`.
  Fields& param(const std::string& name, Tensor& tensor, bool decays = true) {
    const Kind kind = decays ? Kind::parameter : Kind::undecayed;
    if (tensor.defined() && on_tensor) on_tensor(prefix_ + name, tensor, kind);
    return *this;
  }
  /// A tensor that is only carried along (running statistics).
  Fields& buffer(const std::string& name, Tensor& tensor) {
    if (tensor.defined() && on_tensor) on_tensor(prefix_ + name, tensor, Kind::buffer);
    return *this;
  }
  Fields& child(const std::string& name, Module& module);

  std::function<void(const std::string& path, Tensor& tensor, Kind kind)> on_tensor;
  std::function<void(const std::string& path, Module& module)> on_module;

 private:
  std::string prefix_;
};

struct NamedTensor {
  std::string name;  // "0.weight"
  Tensor tensor;     // shares memory and gradient with the module's
  bool decays = true;
};

/// Copies values into the tensors `own` of the same names, converting the dtype. `holder` is what
/// has them, "model".
/// Errors: names each missing, extra or misshapen one, and then changes nothing.
void load_tensors(const char* holder, const std::vector<NamedTensor>& own,
                  const std::vector<NamedTensor>& state);

/// What forward_with() gives: y, and how many of the next layers are in it.
struct Fused {
  Tensor y;
  size_t took = 0;
};

/// The base of all layers and models. A subclass overrides forward() and names what it holds in
/// fields(). Copies share their tensors; clone() gives a model of its own.
class Module {
 public:
  virtual ~Module() = default;

  virtual Tensor forward(const Tensor& x) = 0;
  /// forward() together with the first of the layers that come `next`, where that takes fewer
  /// passes. Sequential asks.
  virtual Fused forward_with(const Tensor& x, std::span<Module* const>) { return {forward(x)}; }
  /// Names the parameters, buffers and children, in order.
  virtual void fields(Fields&) {}
  /// "Dense(784, 128, relu)".
  virtual std::string describe() const { return "Module"; }

  /// forward(). An error on the way names the layer's path: "2.conv1: ...".
  Tensor operator()(const Tensor& x) { return call(x, {}).y; }
  /// forward_with(), with errors as above.
  Fused call(const Tensor& x, std::span<Module* const> next);

  /// The trained tensors with their paths / without.
  std::vector<NamedTensor> named_parameters();
  std::vector<Tensor> parameters();
  /// How many numbers are trained.
  int64_t parameter_count();
  /// Parameters and buffers: what a weights file holds.
  std::vector<NamedTensor> state();
  /// load_tensors() into those of state().
  void load_state(const std::vector<NamedTensor>& given) { load_tensors("model", state(), given); }

  /// Behaviour in training (dropout, batch norm) or in evaluation. NoGrad is another switch.
  Module& train(bool on = true);
  Module& eval() { return train(false); }
  bool training() const { return training_; }
  /// All floating tensors in another dtype. Those that change are new leaves, so an optimizer is
  /// made afterwards.
  Module& to(DType dtype);
  /// No gradients for the parameters (or again).
  Module& freeze(bool on = true);
  void zero_grad();
  /// Puts f(t) in the place of each tensor; one that stands under two names (tied) stays one.
  Module& replace_tensors(const std::function<Tensor(const Tensor&)>& f);

  /// A table of layers and parameters; with an input shape also of what comes out of each.
  std::string summary();
  std::string summary(const Shape& input);

 private:
  friend class EvalMode;
  bool training_ = true;
};

/// What optimizers and clipping take: a module's parameters, or a list of them.
struct Parameters : std::vector<NamedTensor> {
  Parameters(Module& module) : vector(module.named_parameters()) {}       // NOLINT: implicit
  Parameters(std::vector<NamedTensor> list) : vector(std::move(list)) {}  // NOLINT
};

/// While it lives, the module and what it holds are in eval mode.
class EvalMode {
 public:
  explicit EvalMode(Module& module);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  std::vector<Module*> were_training_;
};

/// A copy with tensors of its own.
template <typename M>
M clone(M& module) {
  M copy = module;
  copy.replace_tensors([](const Tensor& t) { return t.detach().clone(); });
  return copy;
}

}  // namespace ramp
