// A module names its tensors and children in one place; all else is a loop over them.
//
// A module is a value: a copy has numbers of its own. Threads may share one as long as none of them
// trains or changes it: forward passes under NoGrad and EvalMode write nothing that is shared.
#pragma once

#include <algorithm>
#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ramp/core/rules.h"
#include "ramp/core/tensor.h"
#include "ramp/layers/parameter.h"

namespace ramp {

class Activation;

/// One thing that a module or a child of it holds.
struct Field {
  std::string path;  // "body.0.weight"
  // One of these:
  Tensor* tensor = nullptr;
  Rng* rng = nullptr;
  ModuleBase* module = nullptr;
  bool trained = false, decays = false;  // of a tensor
};

/// What a module holds, in order: fields() adds to this list.
struct Fields : std::vector<Field> {
  Fields() = default;
  explicit Fields(ModuleBase& module);

  /// A tensor that is trained; weight decay leaves it alone unless it `decays`.
  Fields& param(const std::string& name, Parameter& p, bool decays = true) {
    if (p.defined()) push_back({prefix + name, &p, nullptr, nullptr, true, decays});
    return *this;
  }
  /// A tensor that is only carried along (running statistics).
  Fields& buffer(const std::string& name, Buffer& b) {
    if (b.defined()) push_back({prefix + name, &b});
    return *this;
  }
  // The copy of a module would share a Tensor with it: make the member a Parameter or a Buffer.
  Fields& param(const std::string& name, Tensor&, bool = true) = delete;  // declare a Parameter
  Fields& buffer(const std::string& name, Tensor&) = delete;              // declare a Buffer
  /// A generator, which is saved as i64 [2]: a resumed run draws what it would have drawn.
  Fields& rng(const std::string& name, Rng& rng) {
    push_back({.path = prefix + name, .rng = &rng});
    return *this;
  }
  /// Another module, and after it what it holds.
  Fields& child(const std::string& name, ModuleBase& module);

  std::string prefix;  // of the child that is visited: "body.0."
};

struct NamedTensor {
  std::string name;  // "0.weight"
  Tensor tensor;     // shares memory and gradient with the module's
  bool decays = true;
};

struct LoadStateOptions {
  bool strict = true;  // false: what does not fit is left as it is, and returned
};

/// Copies values into the tensors `own` of the same names, converting the dtype. `holder` is what
/// has them, "model". Returns what was left, a line each: `"head.bias" [10] is missing`.
/// Errors, if strict: names each missing, extra or misshapen one, and then changes nothing.
std::vector<std::string> load_tensors(const char* holder, const std::vector<NamedTensor>& own,
                                      const std::vector<NamedTensor>& state,
                                      LoadStateOptions options = {});

namespace detail {

/// The same for all handles to one tensor: its leaf, or its memory.
const void* identity(const Tensor& t);

/// Counts the calls of modules within each other on this thread. The outermost one that trains
/// tells its parameters that they have names.
struct CallDepth {
  explicit CallDepth(ModuleBase& module);
  ~CallDepth();
};

/// What is told the results of all modules on this thread: summary(), while it runs.
using Watch = const std::function<void(ModuleBase& module, const std::vector<Tensor>& y)>*;
inline thread_local constinit Watch watch = nullptr;

/// The tensors in what a forward() returns: one, or a pair, tuple, array, vector .. of them.
template <typename Y>
void tensors_in(const Y& y, std::vector<Tensor>& all) {
  if constexpr (std::convertible_to<const Y&, const Tensor&>) {
    all.push_back(y);
  } else if constexpr (requires { std::tuple_size<Y>::value; }) {
    std::apply([&](const auto&... part) { (tensors_in(part, all), ...); }, y);
  } else if constexpr (requires { y.begin() != y.end(); }) {
    for (const auto& part : y) tensors_in(part, all);
  } else if constexpr (requires { y.took; }) {
    all.push_back(y.y);
  }
}

/// ", stride 2" for describe(); nothing where it is the usual value.
inline std::string unless_usual(const char* what, Size2d value, int64_t usual) {
  return value == Size2d(usual) ? "" : fmt::format(", {} {}", what, value.str());
}

}  // namespace detail

/// What all modules can do, whatever they take and give. A model of one tensor derives from Module,
/// another one from ModuleOf.
class ModuleBase {
 public:
  ModuleBase() = default;
  ModuleBase(const ModuleBase& other) : training_(other.training_) { detail::begin_copy(other); }
  ModuleBase(ModuleBase&&) noexcept = default;
  ModuleBase& operator=(const ModuleBase& other) noexcept {
    training_ = other.training_;
    return *this;
  }
  virtual ~ModuleBase() = default;

  /// Names the parameters, buffers, generators and children, in order.
  virtual void fields(Fields&) {}
  /// "Dense(784, 128, relu)".
  virtual std::string describe() const { return "Module"; }

  /// The trained tensors with their paths / without; the frozen ones too. One that stands under
  /// several names is listed once, by the first.
  std::vector<NamedTensor> named_parameters();
  std::vector<Tensor> parameters();
  std::vector<NamedTensor> named_buffers();
  /// How many numbers are trained.
  int64_t parameter_count();
  /// Parameters, buffers and generators: what a weights file holds. Those of the generators are
  /// copies.
  std::vector<NamedTensor> state();
  /// load_tensors() into those of state().
  std::vector<std::string> load_state(const std::vector<NamedTensor>& given,
                                      LoadStateOptions options = {});

  /// Behaviour in training (dropout, batch norm) or in evaluation. NoGrad is another switch.
  ModuleBase& train(bool on = true);
  ModuleBase& eval() { return train(false); }
  /// False in eval(), and while this thread's EvalMode lives.
  bool training() const;
  /// All floating tensors in another dtype. Those that change are new leaves, so an optimizer is
  /// made afterwards.
  ModuleBase& to(DType dtype);
  /// No gradients for the parameters (or again). The leaves stay the same: an optimizer skips them
  /// while they are frozen.
  ModuleBase& freeze(bool on = true);
  void zero_grad();

  /// A table of layers and parameters (made in glass/summary.cc).
  std::string summary();

 protected:
  /// What f, a forward pass of this module, returns. An error on the way gets the module's path.
  template <typename F>
  auto run(F f) -> decltype(f()) {
    const detail::CallDepth depth(*this);
    try {
      auto y = f();
      if (std::vector<Tensor> all; detail::watch) {
        detail::tensors_in(y, all);
        (*detail::watch)(*this, all);
      }
      return y;
    } catch (Error& error) {
      add_path(error);
      throw;
    }
  }
  /// The table with what comes out of each layer when f runs, and a line for what takes part and
  /// is not named in fields().
  std::string summary_of(const std::function<void()>& f);

 private:
  friend struct detail::CallDepth;
  void add_path(Error& error);

  bool training_ = true;
  bool named_ = false;  // its parameters were told that fields() names them
};

/// What forward_with() gives: y, and how many of the next layers are in it.
struct Fused {
  Tensor y;
  size_t took = 0;
};

/// The base of all layers, and of models that take one tensor and give one. A subclass overrides
/// forward() and names what it holds in fields().
class Module : public ModuleBase {
 public:
  virtual Tensor forward(const Tensor& x) = 0;
  /// forward() together with the first of the layers that come `next`, where that takes fewer
  /// passes. Sequential asks.
  virtual Fused forward_with(const Tensor& x, std::span<Module* const>) { return {forward(x)}; }
  /// f stands right behind this layer, says Sequential: weights that are as they were drawn are
  /// scaled by f's gain, as those of a layer that has f itself are.
  virtual void start_before(const Activation&) {}

  /// forward(). An error on the way names the layer's path: "2.conv1: ...".
  Tensor operator()(const Tensor& x) { return call(x, {}).y; }
  /// forward_with(), with errors as above.
  Fused call(const Tensor& x, std::span<Module* const> next);

  using ModuleBase::summary;
  /// With the shape of what comes out of each layer, and what takes part but is in no fields().
  std::string summary(const Shape& input);
};

/// y = op(x, rest..), where nothing else is held: `OpLayer<"Softmax", softmax, -1>`.
template <LiteralName kName, auto kOp, auto... kRest>
struct OpLayer final : Module {
  Tensor forward(const Tensor& x) override { return kOp(x, kRest...); }
  std::string describe() const override { return kName.text; }
};

/// The base of a model with any inputs and outputs, here itself:
///
///     struct Towers final : ModuleOf<Towers> {
///       std::pair<Tensor, Tensor> forward(const Tensor& image, const Tensor& text) { .. }
///       void fields(Fields& f) override { .. }
///     };
///     auto [score, label] = towers(image, text);
template <typename Self>
class ModuleOf : public ModuleBase {
 public:
  /// forward(x...), with errors as Module's.
  template <typename... X>
  auto operator()(X&&... x) {
    return run([&] { return static_cast<Self&>(*this).forward(std::forward<X>(x)...); });
  }
  using ModuleBase::summary;
  /// As Module's, of a forward pass with these inputs.
  template <typename... X>
  requires(sizeof...(X) > 0) std::string summary(const X&... x) {
    return summary_of([&] { (*this)(x...); });
  }
};

/// While it lives, modules are in eval mode for this thread, whatever their own switch says.
class EvalMode : private NoCopy {
 public:
  EvalMode() { on_ = true; }
  ~EvalMode() { on_ = before_; }

 private:
  friend class ModuleBase;
  inline static constinit thread_local bool on_ = false;
  const bool before_ = on_;
};

}  // namespace ramp
