// What modules return, as they return it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ramp/layers/module.h"

namespace ramp {

/// While it is on, `f` is told the results of all modules that run on this thread, the inner ones
/// first. Layers then run one by one, none in the pass of another. Several may be on.
///
///     ModuleWatch watch([](ModuleBase& module, const std::vector<Tensor>& y) {
///       fmt::print("{} {}\n", module.describe(), y[0].shape());
///     });
///     watch.on();
class ModuleWatch : private NoCopy {
 public:
  using Function = std::function<void(ModuleBase& module, const std::vector<Tensor>& y)>;
  explicit ModuleWatch(Function f) : f_(std::move(f)) {}
  ~ModuleWatch() { off(); }

  void on();
  /// From the thread where it is on.
  void off();

 private:
  Function f_;
  std::shared_ptr<const Function> told_;  // f_, while it is on
};

/// The activation that a layer ends in, as Dense(8, 8, ReLU{}) does or a ReLU itself; null where
/// there is none.
const Activation* activation_of(ModuleBase& module);

/// A leaf's gradient as it is kept, of one by rows those rows (grad() would make it dense);
/// undefined: none.
const Tensor& kept_gradient(const Tensor& leaf);

}  // namespace ramp
