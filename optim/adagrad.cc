#include "ramp/optim/adagrad.h"

#include "ramp/core/rules_update.h"

namespace ramp {

Adagrad::Adagrad(Parameters parameters, AdagradOptions o)
    : Optimizer("Adagrad", std::move(parameters), o), options_(o) {
  detail::check_at_least("Adagrad", "lr_decay", o.lr_decay);
  detail::check_at_least("Adagrad", "initial_accumulator", o.initial_accumulator);
  detail::check_at_least("Adagrad", "eps", o.eps);
  add_state("v", o.initial_accumulator);
}

Update Adagrad::update(size_t i, double t) {
  return AdagradUpdate{lr(i) / (1 + (t - 1) * options_.lr_decay), decay(i), options_.eps};
}

Adadelta::Adadelta(Parameters parameters, AdadeltaOptions o)
    : Optimizer("Adadelta", std::move(parameters), o), options_(o) {
  detail::check_fraction("Adadelta", "rho", o.rho);
  detail::check_at_least("Adadelta", "eps", o.eps);
  add_state("v");
  add_state("z");
}

Update Adadelta::update(size_t i, double) {
  return AdadeltaUpdate{lr(i), decay(i), options_.rho, options_.eps};
}

RMSprop::RMSprop(Parameters parameters, RmspropOptions o)
    : Optimizer("RMSprop", std::move(parameters), o), options_(o) {
  detail::check_fraction("RMSprop", "alpha", o.alpha);
  detail::check_at_least("RMSprop", "eps", o.eps);
  detail::check_at_least("RMSprop", "momentum", o.momentum);
  add_state("v");
  if (o.centered) add_state("mean");
  if (o.momentum != 0) add_state("p");
}

Update RMSprop::update(size_t i, double) {
  const RmspropOptions& o = options_;
  const RmspropConstants constants{lr(i), decay(i), o.alpha, o.eps, o.momentum};
  if (o.centered && o.momentum != 0) return RmspropUpdate<true, true>{constants};
  if (o.centered) return RmspropUpdate<true, false>{constants};
  if (o.momentum != 0) return RmspropUpdate<false, true>{constants};
  return RmspropUpdate<false, false>{constants};
}

}  // namespace ramp
