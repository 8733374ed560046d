// Adam and its kin: they divide a mean of the gradients by the root of a mean of their squares.
#pragma once

#include <cmath>

#include "ramp/optim/optimizer.h"

namespace ramp {

/// For Adam, AdamW, Adamax, NAdam and RAdam.
struct AdamOptions {
  std::optional<double> lr = {};  // 1e-3; of Adamax and NAdam 2e-3
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  std::optional<double> weight_decay = {};    // 0; of AdamW 1e-2
  bool decoupled = false;                     // w = (1 - lr decay) w - .. instead of g + decay w
  bool amsgrad = false;                       // Adam, AdamW: divide by the largest v so far
  std::optional<double> momentum_decay = {};  // NAdam: 4e-3
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
/// w -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
/// By rows it is a lazy Adam: m, v and w of the others stay, where a gradient of 0 would shrink m
/// and v and move w on. It is PyTorch's SparseAdam, but for where eps stands. Errors: an lr, eps or
/// decay that is negative or not finite; a beta outside [0, 1); an option that another one of the
/// kin has. Source: Kingma and Ba (2015), algorithm 1; Reddi et al. (2018), algorithm 2 (amsgrad).
struct Adam : Optimizer {
  explicit Adam(Parameters parameters, AdamOptions options = {})
      : Adam({.name = "Adam", .has_amsgrad = true}, std::move(parameters), options) {}

 protected:
  /// What its kin do another way.
  struct Variant {
    const char* name;
    double lr = 1e-3, weight_decay = 0;
    bool decoupled = false, has_amsgrad = false, has_momentum_decay = false;
  };
  Adam(const Variant& variant, Parameters parameters, AdamOptions o)
      : Optimizer(variant.name, std::move(parameters), o.lr.value_or(variant.lr),
                  o.weight_decay.value_or(variant.weight_decay), o),
        options_(o) {
    const char* name = variant.name;
    const double momentum_decay = o.momentum_decay.value_or(0);
    fail_if(
        (o.amsgrad && !variant.has_amsgrad) || (o.momentum_decay && !variant.has_momentum_decay),
        "{}: amsgrad is an option of Adam and AdamW, momentum_decay of NAdam.", name);
    options_.decoupled |= variant.decoupled;
    check_options(name, is_fraction(o.beta1), "beta1 in [0, 1)", {o.beta1});
    check_options(name, is_fraction(o.beta2), "beta2 in [0, 1)", {o.beta2});
    check_options(name, is_at_least(o.eps), "eps >= 0, finite", {o.eps});
    check_options(name, is_at_least(momentum_decay), "momentum_decay >= 0, finite",
                  {momentum_decay});
    add_state("m");
    add_state("v");
    if (o.amsgrad) add_state("largest_v");
    rule_ = [this](const Step& s) -> Update {
      const AdamConstants c = constants(s, s.lr / bias1(s.t));
      const double v_scale = 1 / std::sqrt(bias2(s.t));
      if (options_.amsgrad) return AdamUpdate<true>{c, v_scale};
      return AdamUpdate<false>{c, v_scale};
    };
  }
  AdamConstants constants(const Step& s, double step_lr) const {
    const AdamOptions& o = options_;
    const double l2 = o.decoupled ? 0 : s.decay, keep = o.decoupled ? 1 - s.lr * s.decay : 1;
    return {step_lr, l2, keep, o.beta1, o.beta2, o.eps};
  }
  /// 1 - beta^t: m and v start at 0, and are too small by this factor.
  double bias1(double t) const { return 1 - std::pow(options_.beta1, t); }
  double bias2(double t) const { return 1 - std::pow(options_.beta2, t); }

  AdamOptions options_;
};

/// Adam with w = (1 - lr decay) w - .. instead of g + decay w. Errors: those of Adam.
/// Source: Loshchilov and Hutter (2019), algorithm 2 with lr in the decay.
struct AdamW final : Adam {
  explicit AdamW(Parameters parameters, AdamOptions o = {})
      : Adam({.name = "AdamW", .weight_decay = 1e-2, .decoupled = true, .has_amsgrad = true},
             std::move(parameters), o) {}
};

/// m as Adam's,  u = max(b2 u, |g| + eps),  w -= lr / (1 - b1^t) m / u. Errors: those of Adam.
/// Source: Kingma and Ba (2015), algorithm 2; eps is PyTorch's.
struct Adamax final : Adam {
  explicit Adamax(Parameters parameters, AdamOptions o = {})
      : Adam({.name = "Adamax", .lr = 2e-3}, std::move(parameters), o) {
    rule_ = [this](const Step& s) { return AdamaxUpdate{constants(s, s.lr / bias1(s.t))}; };
  }
};

/// Adam that looks ahead: with mu_t = b1 (1 - 0.96^(t momentum_decay) / 2) and P_t = mu_1 .. mu_t
/// w -= lr (mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)) / (sqrt(v / (1 - b2^t)) + eps).
/// Errors: those of Adam. Source: Dozat (2016), algorithm 2.
struct NAdam final : Adam {
  explicit NAdam(Parameters parameters, AdamOptions o = {})
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
};

/// Adam that trusts v only where enough steps stand behind it: with r = 2 / (1 - b2) - 1 and
/// s = r - 2 t b2^t / (1 - b2^t), where s > 5
/// w -= lr m / (1 - b1^t) sqrt((1 - b2^t) (s - 4) (s - 2) r / ((r - 4) (r - 2) s)) / (sqrt(v) +
/// eps), else w -= lr m / (1 - b1^t). Errors: those of Adam.
/// Source: Liu et al. (2020), algorithm 2; eps is PyTorch's.
struct RAdam final : Adam {
  explicit RAdam(Parameters parameters, AdamOptions o = {})
      : Adam({.name = "RAdam"}, std::move(parameters), o) {
    rule_ = [this](const Step& step) {
      const double b2 = bias2(step.t), r = 2 / (1 - options_.beta2) - 1,
                   s = r - 2 * step.t * (1 - b2) / b2;
      double lr = step.lr / bias1(step.t);
      if (s > 5) lr *= std::sqrt(b2 * (s - 4) * (s - 2) * r / ((r - 4) * (r - 2) * s));
      return RAdamUpdate{constants(step, lr), s > 5};
    };
  }
};

}  // namespace ramp
