#include "ramp/optim/adagrad.h"

#include "ramp/core/rules_update.h"

namespace ramp {

Adagrad::Adagrad(Parameters parameters, AdagradOptions o)
    : Optimizer("Adagrad", std::move(parameters), o.lr, o.weight_decay, o) {
  check_options("Adagrad", is_at_least(o.lr_decay), "lr_decay >= 0, finite", {o.lr_decay});
  check_options("Adagrad", is_at_least(o.initial_accumulator), "initial_accumulator >= 0, finite",
                {o.initial_accumulator});
  check_options("Adagrad", is_at_least(o.eps), "eps >= 0, finite", {o.eps});
  add_state("v", o.initial_accumulator);
  rule_ = [o](const Step& s) {
    return AdagradUpdate{s.lr / (1 + (s.t - 1) * o.lr_decay), s.decay, o.eps};
  };
}

Adadelta::Adadelta(Parameters parameters, AdadeltaOptions o)
    : Optimizer("Adadelta", std::move(parameters), o.lr, o.weight_decay, o) {
  check_options("Adadelta", is_fraction(o.rho), "rho in [0, 1)", {o.rho});
  check_options("Adadelta", is_at_least(o.eps), "eps >= 0, finite", {o.eps});
  add_state("v");
  add_state("z");
  rule_ = [o](const Step& s) { return AdadeltaUpdate{s.lr, s.decay, o.rho, o.eps}; };
}

RMSprop::RMSprop(Parameters parameters, RmspropOptions o)
    : Optimizer("RMSprop", std::move(parameters), o.lr, o.weight_decay, o) {
  check_options("RMSprop", is_fraction(o.alpha), "alpha in [0, 1)", {o.alpha});
  check_options("RMSprop", is_at_least(o.eps), "eps >= 0, finite", {o.eps});
  check_options("RMSprop", is_at_least(o.momentum), "momentum >= 0, finite", {o.momentum});
  add_state("v");
  if (o.centered) add_state("mean");
  if (o.momentum != 0) add_state("p");
  rule_ = [o](const Step& s) -> Update {
    const RmspropConstants constants{s.lr, s.decay, o.alpha, o.eps, o.momentum};
    if (o.centered && o.momentum != 0) return RmspropUpdate<true, true>{constants};
    if (o.centered) return RmspropUpdate<true, false>{constants};
    if (o.momentum != 0) return RmspropUpdate<false, true>{constants};
    return RmspropUpdate<false, false>{constants};
  };
}

}  // namespace ramp
