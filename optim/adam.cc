#include "ramp/optim/adam.h"

#include <cmath>

#include "ramp/core/rules_update.h"

namespace ramp {

Adam::Adam(const Variant& variant, Parameters parameters, AdamOptions o)
    : Optimizer(variant.name, std::move(parameters),
                Common{o.lr.value_or(variant.lr), o.weight_decay.value_or(variant.weight_decay),
                       o.groups, o.schedule, o.allow_unused}),
      options_(o) {
  if ((o.amsgrad && !variant.has_amsgrad) || (o.momentum_decay && !variant.has_momentum_decay)) {
    fail("{}: amsgrad is an option of Adam and AdamW, momentum_decay of NAdam.", variant.name);
  }
  options_.decoupled |= variant.decoupled;
  check_options(variant.name, is_fraction(o.beta1), "beta1 in [0, 1)", {o.beta1});
  check_options(variant.name, is_fraction(o.beta2), "beta2 in [0, 1)", {o.beta2});
  check_options(variant.name, is_at_least(o.eps), "eps >= 0, finite", {o.eps});
  check_options(variant.name, is_at_least(o.momentum_decay.value_or(0)),
                "momentum_decay >= 0, finite", {o.momentum_decay.value_or(0)});
  add_state("m");
  add_state("v");
  if (o.amsgrad) add_state("largest_v");
}

AdamConstants Adam::constants(size_t i, double step_lr) const {
  return {.lr = step_lr,
          .l2 = options_.decoupled ? 0 : decay(i),
          .keep = options_.decoupled ? 1 - lr(i) * decay(i) : 1,
          .beta1 = options_.beta1,
          .beta2 = options_.beta2,
          .eps = options_.eps};
}

Update Adam::update(size_t i, double t) {
  const AdamUpdate adam{constants(i, lr(i) / bias1(t)), 1 / std::sqrt(bias2(t))};
  return options_.amsgrad ? Update(AmsgradUpdate{adam}) : adam;
}

Update Adamax::update(size_t i, double t) { return AdamaxUpdate{constants(i, lr(i) / bias1(t))}; }

Update NAdam::update(size_t i, double t) {
  const double decay = options_.momentum_decay.value_or(4e-3);
  const auto mu = [&](double t) { return options_.beta1 * (1 - 0.5 * std::pow(0.96, t * decay)); };
  const auto at = static_cast<size_t>(t);
  while (products_.size() <= at + 1) {
    products_.push_back(products_.back() * mu(static_cast<double>(products_.size())));
  }
  const double lr_m = lr(i) * (mu(t + 1) / (1 - products_[at + 1])),
               lr_d = lr(i) * (1 - mu(t)) / (1 - products_[at]);
  return NAdamUpdate{{constants(i, lr_m), 1 / std::sqrt(bias2(t))}, lr_d};
}

Update RAdam::update(size_t i, double t) {
  const double b2 = bias2(t), r = 2 / (1 - options_.beta2) - 1, s = r - 2 * t * (1 - b2) / b2;
  const bool rectified = s > 5;
  double step_lr = lr(i) / bias1(t);
  if (rectified) step_lr *= std::sqrt(b2 * (s - 4) * (s - 2) * r / ((r - 4) * (r - 2) * s));
  return RAdamUpdate{constants(i, step_lr), rectified};
}

}  // namespace ramp
