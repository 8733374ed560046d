#include "ramp/optim/sgd.h"

#include "ramp/core/rules_update.h"

namespace ramp {

SGD::SGD(Parameters parameters, SgdOptions o)
    : Optimizer("SGD", std::move(parameters), o), options_(o) {
  detail::check_at_least("SGD", "momentum", o.momentum);
  detail::check_at_least("SGD", "dampening", o.dampening);
  if (o.nesterov && (o.momentum == 0 || o.dampening != 0)) {
    fail("SGD: Nesterov needs momentum above 0 and no dampening; got momentum {} and dampening {}.",
         o.momentum, o.dampening);
  }
  if (o.momentum != 0) add_state("velocity");
}

Update SGD::update(size_t i, double t) {
  const SgdOptions& o = options_;
  if (o.momentum == 0) return SgdUpdate{lr(i), decay(i)};
  return MomentumUpdate{.lr = lr(i),
                        .l2 = decay(i),
                        .momentum = o.momentum,
                        .dampening = o.dampening,
                        .nesterov = o.nesterov,
                        .first = t == 1};
}

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
