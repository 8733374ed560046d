// Schedules: the factor on the rate as a function of the step, from 0.
//
//     const Schedule factor = sequence({{500, warmup(500)}, {0, cosine_decay(9500)}});
//     adam.set_rate(lr * factor(adam.steps()));
//
// Pure functions, so nothing is saved with them: the optimizer's step is their whole state. What a
// step is, an update or an epoch, is the caller's choice. Their options must be finite, and lengths
// above 0; else they are errors.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace ramp {

using Schedule = std::function<double(double step)>;

/// gamma^floor(t / every).
Schedule step_decay(double every, double gamma = 0.1);
/// gamma^(how many of the milestones are <= t). Errors: milestones that do not rise.
Schedule multistep_decay(std::vector<double> milestones, double gamma = 0.1);
/// gamma^t.
Schedule exponential_decay(double gamma);
/// (1 - min(t / steps, 1))^power.
Schedule polynomial_decay(double steps, double power = 1);
/// From `start` in a straight line to 1 after so many steps, then 1.
Schedule warmup(double steps, double start = 0);
/// end + (1 - end) (1 + cos(pi min(t / steps, 1))) / 2.
/// Source: Loshchilov and Hutter (2017), eq. 5, without restarts.
Schedule cosine_decay(double steps, double end = 0);
/// The same again and again; each time it takes `growth` times as many steps. Errors: growth
/// below 1. Source: Loshchilov and Hutter (2017), eq. 5.
Schedule cosine_restarts(double steps, double growth = 1, double end = 0);

struct OneCycleOptions {
  double warm = 0.3;  // the share of the steps in which the rate rises
  double start = 1. / 25;
  double end = 1. / 25e4;
  bool linear = false;  // straight lines instead of half cosines
};
/// From `start` up to 1 at step warm steps - 1, then down to `end` at step steps - 1, and there it
/// stays. Errors: a share outside [0, 1].
/// Source: Smith and Topin (2018), in the two phases of fast.ai and PyTorch.
Schedule one_cycle(double steps, OneCycleOptions options = {});

/// Each for so many steps, counted from where it takes over; the last one goes on for ever.
/// Errors: no parts.
Schedule sequence(std::vector<std::pair<double, Schedule>> parts);
/// All factors multiplied.
Schedule product(std::vector<Schedule> parts);

struct PlateauOptions {
  double factor = 0.1;
  int patience = 10;        // looks without progress that are borne
  double threshold = 1e-4;  // progress is more than this share of the best value
  int cooldown = 0;         // looks after a cut that do not count
  double least = 0;         // the factor does not fall below
  bool larger_is_better = false;
};
/// A factor that is cut when a measure, the validation loss, stops improving. It has a state, so it
/// is an object that is told the measure. NaN is no progress.
class ReduceOnPlateau {
 public:
  /// Errors: a factor outside [0, 1), a negative patience, cooldown or threshold.
  explicit ReduceOnPlateau(PlateauOptions options = {});
  /// The factor from now on.
  double operator()(double measure);
  double factor() const { return factor_; }

 private:
  PlateauOptions options_;
  double best_, factor_ = 1;
  int bad_ = 0, cooling_ = 0;
};

}  // namespace ramp
