#include "ramp/optim/sgd.h"

#include "ramp/core/kernels/kernels.h"

namespace ramp {

SGD::SGD(Parameters parameters, SgdOptions o)
    : Optimizer("SGD", std::move(parameters), o.lr, o.weight_decay, o.groups), options_(o) {
  check_at_least("momentum", o.momentum, 0);
  check_at_least("dampening", o.dampening, 0);
  if (o.nesterov && (o.momentum == 0 || o.dampening != 0)) {
    fail("SGD: Nesterov needs momentum above 0 and no dampening; got momentum {} and dampening {}.",
         o.momentum, o.dampening);
  }
  if (o.momentum != 0) add_state("velocity");
}

UpdateStep SGD::update(size_t i, double t) {
  const SgdOptions& o = options_;
  const bool first = t == 1;
  return {.rule = o.momentum == 0 ? UpdateRule::sgd : UpdateRule::sgd_momentum,
          .rate = rate(i),
          .decay = decay(i),
          .beta1 = first ? 0 : o.momentum,
          .beta2 = first ? 0 : o.dampening,
          .scale = o.nesterov ? o.momentum : 1,
          .extra = o.nesterov ? 1. : 0};
}

}  // namespace ramp
