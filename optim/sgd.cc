#include "ramp/optim/sgd.h"

#include "ramp/core/rules_update.h"

namespace ramp {

SGD::SGD(Parameters parameters, SgdOptions o)
    : Optimizer("SGD", std::move(parameters), o.lr, o.weight_decay, o) {
  check_options("SGD", is_at_least(o.momentum), "momentum >= 0, finite", {o.momentum});
  check_options("SGD", is_at_least(o.dampening), "dampening >= 0, finite", {o.dampening});
  fail_if(
      o.nesterov && (o.momentum == 0 || o.dampening != 0),
      "SGD: Nesterov needs momentum above 0 and no dampening; got momentum {} and dampening {}.",
      o.momentum, o.dampening);
  if (o.momentum != 0) add_state("velocity");
  rule_ = [o](const Step& s) -> Update {
    if (o.momentum == 0) return SgdUpdate{s.lr, s.decay};
    return MomentumUpdate{s.lr, s.decay, o.momentum, o.dampening, o.nesterov, s.t == 1};
  };
}

Lion::Lion(Parameters parameters, LionOptions o)
    : Optimizer("Lion", std::move(parameters), o.lr, o.weight_decay, o) {
  check_options("Lion", is_fraction(o.beta1), "beta1 in [0, 1)", {o.beta1});
  check_options("Lion", is_fraction(o.beta2), "beta2 in [0, 1)", {o.beta2});
  add_state("m");
  rule_ = [o](const Step& s) { return LionUpdate{s.lr, 1 - s.lr * s.decay, o.beta1, o.beta2}; };
}

}  // namespace ramp
