// What optimizers, averages and clipping work on.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "ramp/layers/module.h"

namespace ramp {

/// Handles to leaves with their names, each leaf once, under its first name. Frozen ones are among
/// them, and are left alone while they are frozen. All of these are Parameters:
///
///     Adam adam(net);                       // "0.weight", ..
///     Adam adam({{"g", g}, {"d", d}});      // several modules: "g.0.weight", .. "d.0.weight"
///     Adam adam(net.parameters());          // without names: "0", "1", ..
///     Adam adam({{"w", w}, {"b", b}});      // leaves
class Parameters : public std::vector<NamedTensor> {
 public:
  struct NamedModule {
    std::string name;
    ModuleBase& module;
  };
  Parameters() = default;
  Parameters(ModuleBase& module) : Parameters(module.named_parameters()) {}  // NOLINT: implicit
  Parameters(std::initializer_list<NamedModule> modules);
  Parameters(const std::vector<Tensor>& leaves);     // NOLINT
  Parameters(const std::vector<NamedTensor>& list);  // NOLINT
  Parameters(std::initializer_list<NamedTensor> list) : Parameters(std::vector(list)) {}

  /// Names and shapes of the first few: "0.weight" [2, 3], "0.bias" [3].
  std::string str() const;
  void zero_grad() const;
  /// For whoever keeps them. Errors: there is none; one is undefined or no leaf.
  void check_leaves(const char* op) const;
  /// Errors: a leaf was replaced in its module, by to(), since these were taken.
  void check_current(const char* op) const;
  /// Before a step. Errors: check_current(); parameters on the tape that are in no fields(); those
  /// that are not frozen and have no gradient, unless they are `allowed` to; none has one.
  void check_gradients(const char* op, bool allowed) const;
};

}  // namespace ramp
