// Schedules: the factor on lr as a function of the step t, from 0.
//
//     Adam adam(net, {.lr = 3e-3, .schedule = one_cycle(9500)});
//     Adam adam(net, {.lr = 3e-3, .schedule = warmup(500).then(500, cosine_decay(9000))});
//
// Pure functions: the optimizer's step is their whole state, and is saved with it. Lengths are
// finite and above 0, all other options finite and at least 0; else they are errors. A step counts
// as reached within 1e-9, so that 0.1 * 30 steps are 3 whatever way the product is rounded.
#pragma once

#include <functional>
#include <vector>

namespace ramp {

/// Any function of a number: `.schedule = [](double t) { return 1 / (1 + t); }`. An empty one is 1.
struct Schedule : std::function<double(double t)> {
  using function::function;
  double operator()(double t) const { return *this ? function::operator()(t) : 1; }
  /// This one for so many steps, then `next`, which counts from there.
  Schedule then(double steps, Schedule next) const;
};
/// a(t) b(t).
Schedule operator*(Schedule a, Schedule b);

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
  double warmup_fraction = 0.3;  // of the steps: lr rises
  double start = 1. / 25;
  double end = 1. / 25e4;
  bool linear = false;  // straight lines instead of half cosines
};
/// From `start` up to 1 at step warmup_fraction steps - 1, then down to `end` at step steps - 1,
/// and there it stays. Errors: a fraction outside [0, 1]. Source: Smith and Topin (2018), in the
/// two phases of fast.ai and PyTorch.
Schedule one_cycle(double steps, OneCycleOptions options = {});

}  // namespace ramp
