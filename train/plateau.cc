#include "ramp/train/plateau.h"

#include <algorithm>
#include <cmath>

#include "ramp/core/error.h"
#include "ramp/core/rules.h"

namespace ramp {

ReduceOnPlateau::ReduceOnPlateau(PlateauOptions o)
    : options_(o), state_{o.maximize ? -HUGE_VAL : HUGE_VAL, 1, 0, 0} {
  check_options("ReduceOnPlateau", is_fraction(o.factor) && o.min_factor >= 0 && o.min_factor <= 1,
                "factor in [0, 1) and min_factor in [0, 1]", {o.factor, o.min_factor});
  check_options("ReduceOnPlateau", o.patience >= 0 && o.cooldown >= 0, "patience, cooldown >= 0",
                {1. * o.patience, 1. * o.cooldown});
  check_options("ReduceOnPlateau", is_at_least(o.threshold), "threshold >= 0, finite",
                {o.threshold});
}

double ReduceOnPlateau::operator()(double measure) {
  const PlateauOptions& o = options_;
  auto& [best, factor, bad, cooling] = state_;
  const double margin = std::isfinite(best) ? o.threshold * std::fabs(best) : 0;
  const bool better = o.maximize ? measure > best + margin : measure < best - margin;
  if (better) best = measure;
  bad = better || cooling > 0 ? 0 : bad + 1;
  if (cooling > 0) --cooling;
  if (bad > o.patience) {
    factor = std::max(factor * o.factor, o.min_factor);
    cooling = o.cooldown;
    bad = 0;
  }
  return factor;
}

std::vector<NamedTensor> ReduceOnPlateau::state() const {
  return {{"plateau", Tensor::of(std::vector(state_.begin(), state_.end()))}};
}

void ReduceOnPlateau::load_state(const std::vector<NamedTensor>& state) {
  const std::vector<NamedTensor> own = this->state();
  load_tensors("plateau", own, state);
  const std::vector<double> v = own[0].tensor.values();
  fail_if(!(v[1] >= 0 && v[1] <= 1) || std::isnan(v[0]) ||
              !(v[2] >= 0 && v[2] <= options_.patience) ||
              !(v[3] >= 0 && v[3] <= options_.cooldown),
          "ReduceOnPlateau: the state must be a number, a factor in [0, 1], and counts in [0, {}] "
          "and [0, {}]; got {}, {}, {} and {}.",
          options_.patience, options_.cooldown, v[0], v[1], v[2], v[3]);
  std::copy(v.begin(), v.end(), state_.begin());
}

}  // namespace ramp
