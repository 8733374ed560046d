// Adam and its kin: they divide a mean of the gradients by the root of a mean of their squares.
#pragma once

#include <cmath>

#include "ramp/optim/optimizer.h"

namespace ramp {

struct AdamConstants;

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  // L2: added to the gradient
  bool amsgrad = false;     // divide by the largest v so far (Reddi et al., 2018)
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
/// w -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
/// Errors: an lr, eps or decay that is negative or not finite; a beta outside [0, 1).
/// Source: Kingma and Ba (2015), algorithm 1.
class Adam : public Optimizer {
 public:
  explicit Adam(Parameters parameters, AdamOptions options = {})
      : Adam("Adam", std::move(parameters), options, false) {}

 protected:
  Adam(const char* name, Parameters parameters, AdamOptions options, bool decoupled);
  /// The options that a variant has in common with Adam.
  template <typename Options>
  static AdamOptions as_adam(const Options& o) {
    AdamOptions a{.lr = o.lr,
                  .beta1 = o.beta1,
                  .beta2 = o.beta2,
                  .eps = o.eps,
                  .weight_decay = o.weight_decay,
                  .schedule = o.schedule,
                  .groups = o.groups,
                  .allow_unused = o.allow_unused};
    if constexpr (requires { o.amsgrad; }) a.amsgrad = o.amsgrad;
    return a;
  }
  Update update(size_t parameter, double t) override;
  AdamConstants constants(size_t parameter, double step_lr) const;
  /// 1 - beta^t: m and v start at 0, and are too small by this factor.
  double bias1(double t) const { return 1 - std::pow(options_.beta1, t); }
  double bias2(double t) const { return 1 - std::pow(options_.beta2, t); }

  AdamOptions options_;
  bool decoupled_;  // w = (1 - lr decay) w - .. instead of g + decay w
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;  // decoupled
  bool amsgrad = false;
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// Adam with w = (1 - lr decay) w - .. instead of g + decay w. Errors: those of Adam.
/// Source: Loshchilov and Hutter (2019), algorithm 2 with lr in the decay.
class AdamW final : public Adam {
 public:
  explicit AdamW(Parameters parameters, AdamWOptions o = {})
      : Adam("AdamW", std::move(parameters), as_adam(o), true) {}
};

struct AdamaxOptions {
  double lr = 2e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  // L2
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// m as Adam's,  u = max(b2 u, |g| + eps),  w -= lr / (1 - b1^t) m / u. Errors: those of Adam.
/// Source: Kingma and Ba (2015), algorithm 2; eps is PyTorch's.
class Adamax final : public Adam {
 public:
  explicit Adamax(Parameters parameters, AdamaxOptions o = {})
      : Adam("Adamax", std::move(parameters), as_adam(o), false) {}

 protected:
  Update update(size_t parameter, double t) override;
};

struct NAdamOptions {
  double lr = 2e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum_decay = 4e-3;
  bool decoupled = false;  // as AdamW's decay
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// Adam that looks ahead: with mu_t = b1 (1 - 0.96^(t momentum_decay) / 2) and P_t = mu_1 .. mu_t
/// w -= lr (mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)) / (sqrt(v / (1 - b2^t)) + eps).
/// Errors: those of Adam. Source: Dozat (2016), algorithm 2.
class NAdam final : public Adam {
 public:
  explicit NAdam(Parameters parameters, NAdamOptions options = {});

 protected:
  Update update(size_t parameter, double t) override;

 private:
  double momentum_decay_;
  std::vector<double> products_{1};  // P_t, which depends on t alone
};

struct RAdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // as AdamW's decay
  Schedule schedule = {};
  std::vector<ParameterGroup> groups = {};
  bool allow_unused = false;
};

/// Adam that trusts v only where enough steps stand behind it: with r = 2 / (1 - b2) - 1 and
/// s = r - 2 t b2^t / (1 - b2^t), where s > 5
/// w -= lr m / (1 - b1^t) sqrt((1 - b2^t) (s - 4) (s - 2) r / ((r - 4) (r - 2) s)) / (sqrt(v) +
/// eps), else w -= lr m / (1 - b1^t). Errors: those of Adam.
/// Source: Liu et al. (2020), algorithm 2; eps is PyTorch's.
class RAdam final : public Adam {
 public:
  explicit RAdam(Parameters parameters, RAdamOptions o = {})
      : Adam("RAdam", std::move(parameters), as_adam(o), o.decoupled) {}

 protected:
  Update update(size_t parameter, double t) override;
};

}  // namespace ramp
