#include "ramp/optim/lion.h"

#include "ramp/core/rules_update.h"

namespace ramp {

Lion::Lion(Parameters parameters, LionOptions o)
    : Optimizer("Lion", std::move(parameters), o), options_(o) {
  detail::check_fraction("Lion", "beta1", o.beta1);
  detail::check_fraction("Lion", "beta2", o.beta2);
  add_state("m");
}

Update Lion::update(size_t i, double) {
  return LionUpdate{
      .lr = lr(i), .keep = 1 - lr(i) * decay(i), .beta1 = options_.beta1, .beta2 = options_.beta2};
}

}  // namespace ramp
