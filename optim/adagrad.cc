#include "ramp/optim/adagrad.h"

#include "ramp/core/kernels/kernels.h"

namespace ramp {

Adagrad::Adagrad(Parameters parameters, AdagradOptions o)
    : Optimizer("Adagrad", std::move(parameters), o.lr, o.weight_decay, o.groups), options_(o) {
  check_at_least("lr_decay", o.lr_decay, 0);
  check_at_least("initial_accumulator", o.initial_accumulator, 0);
  check_at_least("eps", o.eps, 0);
  add_state("v", o.initial_accumulator);
}

UpdateStep Adagrad::update(size_t i, double t) {
  return {.rule = UpdateRule::adagrad,
          .rate = rate(i) / (1 + (t - 1) * options_.lr_decay),
          .decay = decay(i),
          .eps = options_.eps};
}

Adadelta::Adadelta(Parameters parameters, AdadeltaOptions o)
    : Optimizer("Adadelta", std::move(parameters), o.lr, o.weight_decay, o.groups), options_(o) {
  check_below("rho", o.rho, 0, 1);
  check_at_least("eps", o.eps, 0);
  add_state("v");
  add_state("z");
}

UpdateStep Adadelta::update(size_t i, double) {
  return {.rule = UpdateRule::adadelta,
          .rate = rate(i),
          .decay = decay(i),
          .beta2 = options_.rho,
          .eps = options_.eps};
}

RMSprop::RMSprop(Parameters parameters, RmspropOptions o)
    : Optimizer("RMSprop", std::move(parameters), o.lr, o.weight_decay, o.groups), options_(o) {
  check_below("alpha", o.alpha, 0, 1);
  check_at_least("eps", o.eps, 0);
  check_at_least("momentum", o.momentum, 0);
  add_state("v");
  if (o.centered) add_state("mean");
  if (o.momentum != 0) add_state("p");
}

UpdateStep RMSprop::update(size_t i, double) {
  const int variant = (options_.centered ? 1 : 0) + (options_.momentum != 0 ? 2 : 0);
  return {.rule = static_cast<UpdateRule>(static_cast<int>(UpdateRule::rmsprop) + variant),
          .rate = rate(i),
          .decay = decay(i),
          .beta1 = options_.momentum,
          .beta2 = options_.alpha,
          .eps = options_.eps};
}

}  // namespace ramp
