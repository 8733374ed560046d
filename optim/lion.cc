#include "ramp/optim/lion.h"

#include "ramp/core/rules_update.h"

namespace ramp {

Lion::Lion(Parameters parameters, LionOptions o)
    : Optimizer("Lion", std::move(parameters), o), options_(o) {
  check_below("beta1", o.beta1, 0, 1);
  check_below("beta2", o.beta2, 0, 1);
  add_state("m");
}

Update Lion::update(size_t i, double) {
  return LionUpdate{
      .lr = lr(i), .keep = 1 - lr(i) * decay(i), .beta1 = options_.beta1, .beta2 = options_.beta2};
}

}  // namespace ramp
