// Adagrad and its kin: they divide the gradient by the root of a sum or mean of its squares.
#pragma once

#include "ramp/optim/optimizer.h"

namespace ramp {

struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;         // L2: added to the gradient
  double initial_accumulator = 0;  // v before the first step
  double eps = 1e-10;
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// v += g^2,  w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(v) + eps).
/// By rows it does what a gradient of 0 elsewhere would, but that those rows do not decay.
/// Errors: a negative or not finite option.
/// Source: Duchi, Hazan and Singer (2011), the diagonal form.
struct Adagrad final : Optimizer {
  explicit Adagrad(Parameters parameters, AdagradOptions o = {})
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
};

struct AdadeltaOptions {
  double lr = 1;
  double rho = 0.9;
  double eps = 1e-6;
  double weight_decay = 0;  // L2
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// v = rho v + (1 - rho) g^2,  y = g sqrt(z + eps) / sqrt(v + eps),  z = rho z + (1 - rho) y^2,
/// w -= lr y. Errors: a negative or not finite option; a rho outside [0, 1).
/// Source: Zeiler (2012), algorithm 1.
struct Adadelta final : Optimizer {
  explicit Adadelta(Parameters parameters, AdadeltaOptions o = {})
      : Optimizer("Adadelta", std::move(parameters), o.lr, o.weight_decay, o) {
    check_options("Adadelta", is_fraction(o.rho), "rho in [0, 1)", {o.rho});
    check_options("Adadelta", is_at_least(o.eps), "eps >= 0, finite", {o.eps});
    add_state("v");
    add_state("z");
    rule_ = [o](const Step& s) { return AdadeltaUpdate{s.lr, s.decay, o.rho, o.eps}; };
  }
};

struct RmspropOptions {
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;  // L2
  double momentum = 0;
  bool centered = false;  // the variance instead of the mean square (Graves, 2013, eq. 38 to 45)
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// v = alpha v + (1 - alpha) g^2,  y = g / (sqrt(v) + eps),  w -= lr y; with momentum
/// p = momentum p + y, w -= lr p. Errors: a negative or not finite option; an alpha outside [0, 1).
/// Source: Tieleman and Hinton (2012), lecture 6.5.
struct RMSprop final : Optimizer {
  explicit RMSprop(Parameters parameters, RmspropOptions o = {})
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
};

}  // namespace ramp
