#include "ramp/optim/sgd.h"

#include "ramp/core/rules_update.h"

namespace ramp {

SGD::SGD(Parameters parameters, SgdOptions o)
    : Optimizer("SGD", std::move(parameters), o), options_(o) {
  check_options("SGD", is_at_least(o.momentum), "momentum >= 0, finite", {o.momentum});
  check_options("SGD", is_at_least(o.dampening), "dampening >= 0, finite", {o.dampening});
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
  check_options("Lion", is_fraction(o.beta1), "beta1 in [0, 1)", {o.beta1});
  check_options("Lion", is_fraction(o.beta2), "beta2 in [0, 1)", {o.beta2});
  add_state("m");
}

Update Lion::update(size_t i, double) {
  return LionUpdate{
      .lr = lr(i), .keep = 1 - lr(i) * decay(i), .beta1 = options_.beta1, .beta2 = options_.beta2};
}

}  // namespace ramp
