// Stochastic gradient descent, and Lion, which goes by the sign of a momentum.
#pragma once

#include "ramp/optim/optimizer.h"

namespace ramp {

struct SgdOptions {
  double lr = 1e-2;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  // L2: added to the gradient
  bool nesterov = false;
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// v = momentum v + (1 - dampening) g (the first time: g),  w -= lr v; with Nesterov
/// w -= lr (g + momentum v).
/// By rows: v and w of the others stay; a row first in use at a later step has v = (1 - dampening)
/// g. Errors: a negative or not finite option; Nesterov without momentum or with dampening. Source:
/// Sutskever et al. (2013), in the form in which lr stands outside the velocity.
struct SGD final : Optimizer {
  explicit SGD(Parameters parameters, SgdOptions o = {})
      : Optimizer("SGD", std::move(parameters), o.lr, o.weight_decay, o) {
    check_options("SGD", is_at_least(o.momentum), "momentum >= 0, finite", {o.momentum});
    check_options("SGD", is_at_least(o.dampening), "dampening >= 0, finite", {o.dampening});
    fail_if(
        o.nesterov && (o.momentum == 0 || o.dampening != 0),
        "SGD: Nesterov needs momentum above 0 and no dampening; got momentum {} and dampening {}.",
        o.momentum, o.dampening);
    if (o.momentum != 0) add_state("velocity");
    rule_ = [o](const Step& s) -> Update {
      const bool first = s.t == 1;
      if (o.momentum == 0) return SgdUpdate<false>{s.lr, s.decay, 0, 0, false, first};
      return SgdUpdate<true>{s.lr, s.decay, o.momentum, o.dampening, o.nesterov, first};
    };
  }
};

struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;  // decoupled
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// w = (1 - lr decay) w - lr sign(b1 m + (1 - b1) g),  m = b2 m + (1 - b2) g; sign(0) = 0.
/// Errors: an lr or decay that is negative or not finite; a beta outside [0, 1).
/// Source: Chen et al. (2023), algorithm 2.
struct Lion final : Optimizer {
  explicit Lion(Parameters parameters, LionOptions o = {})
      : Optimizer("Lion", std::move(parameters), o.lr, o.weight_decay, o) {
    check_options("Lion", is_fraction(o.beta1), "beta1 in [0, 1)", {o.beta1});
    check_options("Lion", is_fraction(o.beta2), "beta2 in [0, 1)", {o.beta2});
    add_state("m");
    rule_ = [o](const Step& s) { return LionUpdate{s.lr, 1 - s.lr * s.decay, o.beta1, o.beta2}; };
  }
};

}  // namespace ramp
