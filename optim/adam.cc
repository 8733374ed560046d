#include "ramp/optim/adam.h"

#include <cmath>

#include "ramp/core/kernels/kernels.h"

namespace ramp {

Adam::Adam(const char* name, Parameters parameters, AdamOptions o, bool decoupled)
    : Optimizer(name, std::move(parameters), o.lr, o.weight_decay, o.groups),
      options_(o),
      decoupled_(decoupled) {
  check_below("beta1", o.beta1, 0, 1);
  check_below("beta2", o.beta2, 0, 1);
  check_at_least("eps", o.eps, 0);
  add_state("m");
  add_state("v");
  if (o.amsgrad) add_state("largest_v");
}

UpdateStep Adam::start(size_t i) const {
  return {.rule = options_.amsgrad ? UpdateRule::amsgrad : UpdateRule::adam,
          .rate = rate(i),
          .decay = decoupled_ ? 0 : decay(i),
          .keep = decoupled_ ? 1 - rate(i) * decay(i) : 1,
          .beta1 = options_.beta1,
          .beta2 = options_.beta2,
          .eps = options_.eps};
}

UpdateStep Adam::update(size_t i, double t) {
  UpdateStep u = start(i);
  u.rate /= 1 - std::pow(u.beta1, t);
  u.scale = 1 / std::sqrt(1 - std::pow(u.beta2, t));
  return u;
}

UpdateStep Adamax::update(size_t i, double t) {
  UpdateStep u = Adam::update(i, t);
  u.rule = UpdateRule::adamax;
  return u;
}

NAdam::NAdam(Parameters parameters, NAdamOptions o)
    : Adam("NAdam", std::move(parameters),
           {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay, false, o.groups}, o.decoupled),
      momentum_decay_(o.momentum_decay) {
  check_at_least("momentum_decay", o.momentum_decay, 0);
}

UpdateStep NAdam::update(size_t i, double t) {
  const auto mu = [this](double t) {
    return options_.beta1 * (1 - 0.5 * std::pow(0.96, t * momentum_decay_));
  };
  const auto at = static_cast<size_t>(t);
  while (products_.size() <= at + 1) {
    products_.push_back(products_.back() * mu(static_cast<double>(products_.size())));
  }
  UpdateStep u = start(i);
  u.rule = UpdateRule::nadam;
  u.extra = u.rate * (1 - mu(t)) / (1 - products_[at]);
  u.rate *= mu(t + 1) / (1 - products_[at + 1]);
  u.scale = 1 / std::sqrt(1 - std::pow(u.beta2, t));
  return u;
}

UpdateStep RAdam::update(size_t i, double t) {
  UpdateStep u = start(i);
  const double bias2 = 1 - std::pow(u.beta2, t), r = 2 / (1 - u.beta2) - 1,
               s = r - 2 * t * (1 - bias2) / bias2;
  u.rate /= 1 - std::pow(u.beta1, t);
  if (s > 5) {
    u.rate *= std::sqrt(bias2 * (s - 4) * (s - 2) * r / ((r - 4) * (r - 2) * s));
  } else {
    u.scale = 0;  // divides by 1
    u.eps = 1;
  }
  return u;
}

}  // namespace ramp
