#include "ramp/optim/adam.h"

#include <cmath>

#include "ramp/core/rules_update.h"

namespace ramp {

Adam::Adam(const Variant& variant, Parameters parameters, AdamOptions o)
    : Optimizer(variant.name, std::move(parameters), o.lr.value_or(variant.lr),
                o.weight_decay.value_or(variant.weight_decay), o),
      options_(o) {
  fail_if((o.amsgrad && !variant.has_amsgrad) || (o.momentum_decay && !variant.has_momentum_decay),
          "{}: amsgrad is an option of Adam and AdamW, momentum_decay of NAdam.", variant.name);
  options_.decoupled |= variant.decoupled;
  check_options(variant.name, is_fraction(o.beta1), "beta1 in [0, 1)", {o.beta1});
  check_options(variant.name, is_fraction(o.beta2), "beta2 in [0, 1)", {o.beta2});
  check_options(variant.name, is_at_least(o.eps), "eps >= 0, finite", {o.eps});
  check_options(variant.name, is_at_least(o.momentum_decay.value_or(0)),
                "momentum_decay >= 0, finite", {o.momentum_decay.value_or(0)});
  add_state("m");
  add_state("v");
  if (o.amsgrad) add_state("largest_v");
  rule_ = [this](const Step& s) {
    const AdamUpdate adam{constants(s, s.lr / bias1(s.t)), 1 / std::sqrt(bias2(s.t))};
    return options_.amsgrad ? Update(AmsgradUpdate{adam}) : adam;
  };
}

AdamConstants Adam::constants(const Step& s, double step_lr) const {
  const AdamOptions& o = options_;
  const double l2 = o.decoupled ? 0 : s.decay, keep = o.decoupled ? 1 - s.lr * s.decay : 1;
  return {step_lr, l2, keep, o.beta1, o.beta2, o.eps};
}

Adamax::Adamax(Parameters parameters, AdamOptions o)
    : Adam({.name = "Adamax", .lr = 2e-3}, std::move(parameters), o) {
  rule_ = [this](const Step& s) { return AdamaxUpdate{constants(s, s.lr / bias1(s.t))}; };
}

NAdam::NAdam(Parameters parameters, AdamOptions o)
    : Adam({.name = "NAdam", .lr = 2e-3, .has_momentum_decay = true}, std::move(parameters), o) {
  // P_t, which depends on t alone.
  rule_ = [this, p = std::vector<double>{1}](const Step& s) mutable {
    const double decay = options_.momentum_decay.value_or(4e-3);
    const auto mu = [&](double t) {
      return options_.beta1 * (1 - 0.5 * std::pow(0.96, t * decay));
    };
    const auto t = static_cast<size_t>(s.t);
    while (p.size() <= t + 1) p.push_back(p.back() * mu(static_cast<double>(p.size())));
    const double lr_m = s.lr * (mu(s.t + 1) / (1 - p[t + 1])),
                 lr_d = s.lr * (1 - mu(s.t)) / (1 - p[t]);
    return NAdamUpdate{{constants(s, lr_m), 1 / std::sqrt(bias2(s.t))}, lr_d};
  };
}

RAdam::RAdam(Parameters parameters, AdamOptions o)
    : Adam({.name = "RAdam"}, std::move(parameters), o) {
  rule_ = [this](const Step& step) {
    const double b2 = bias2(step.t), r = 2 / (1 - options_.beta2) - 1,
                 s = r - 2 * step.t * (1 - b2) / b2;
    double lr = step.lr / bias1(step.t);
    if (s > 5) lr *= std::sqrt(b2 * (s - 4) * (s - 2) * r / ((r - 4) * (r - 2) * s));
    return RAdamUpdate{constants(step, lr), s > 5};
  };
}

}  // namespace ramp
