// A learning rate that goes by what validation says.
#pragma once

#include <array>
#include <vector>

#include "ramp/layers/module.h"

namespace ramp {

struct PlateauOptions {
  double factor = 0.1;
  int patience = 10;        // evaluations without improvement before a cut
  double threshold = 1e-4;  // improvement is more than this fraction of |best|
  int cooldown = 0;         // evaluations after a cut that do not count
  double min_factor = 0;
  bool maximize = false;
};
/// A factor that is cut when a measure, the validation loss, stops improving. It has a state, so it
/// is an object that is told the measure: `adam.set_lr(3e-3 * plateau(loss))`. NaN is no
/// improvement.
class ReduceOnPlateau {
 public:
  /// Errors: a factor outside [0, 1), a min_factor outside [0, 1].
  explicit ReduceOnPlateau(PlateauOptions options = {});
  /// The factor from now on.
  double operator()(double measure);
  double factor() const { return state_[1]; }

  /// "plateau": the best measure, the factor, the evaluations without improvement and of cooldown.
  std::vector<NamedTensor> state() const;
  void load_state(const std::vector<NamedTensor>& state);

 private:
  PlateauOptions options_;
  std::array<double, 4> state_;  // as in state()
};

}  // namespace ramp
