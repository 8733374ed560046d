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
  std::vector<ParameterGroup> groups = {};
};

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
/// w -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
/// Errors: a rate, eps or decay that is negative or not finite; a beta outside [0, 1).
/// Source: Kingma and Ba (2015), algorithm 1.
class Adam : public Optimizer {
 public:
  explicit Adam(Parameters parameters, AdamOptions options = {})
      : Adam("Adam", std::move(parameters), options, false) {}

 protected:
  Adam(const char* name, Parameters parameters, AdamOptions options, bool decoupled);
  Update update(size_t parameter, double t) override;
  AdamConstants constants(size_t parameter, double lr) const;
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
  std::vector<ParameterGroup> groups = {};
};

/// Adam with w = (1 - lr decay) w - .. instead of g + decay w. Errors: those of Adam.
/// Source: Loshchilov and Hutter (2019), algorithm 2 with lr in the decay.
class AdamW final : public Adam {
 public:
  explicit AdamW(Parameters parameters, AdamWOptions o = {})
      : Adam("AdamW", std::move(parameters),
             {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay, o.amsgrad, o.groups}, true) {}
};

struct AdamaxOptions {
  double lr = 2e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  // L2
  std::vector<ParameterGroup> groups = {};
};

/// m as Adam's,  u = max(b2 u, |g| + eps),  w -= lr / (1 - b1^t) m / u. Errors: those of Adam.
/// Source: Kingma and Ba (2015), algorithm 2; eps is PyTorch's.
class Adamax final : public Adam {
 public:
  explicit Adamax(Parameters parameters, AdamaxOptions o = {})
      : Adam("Adamax", std::move(parameters),
             {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay, false, o.groups}, false) {}

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
  std::vector<ParameterGroup> groups = {};
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
  std::vector<ParameterGroup> groups = {};
};

/// Adam that trusts v only where enough steps stand behind it: with r = 2 / (1 - b2) - 1 and
/// s = r - 2 t b2^t / (1 - b2^t), where s > 5
/// w -= lr m / (1 - b1^t) sqrt((1 - b2^t) (s - 4) (s - 2) r / ((r - 4) (r - 2) s)) / (sqrt(v) +
/// eps), else w -= lr m / (1 - b1^t). Errors: those of Adam.
/// Source: Liu et al. (2020), algorithm 2; eps is PyTorch's.
class RAdam final : public Adam {
 public:
  explicit RAdam(Parameters parameters, RAdamOptions o = {})
      : Adam("RAdam", std::move(parameters),
             {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay, false, o.groups}, o.decoupled) {}

 protected:
  Update update(size_t parameter, double t) override;
};

}  // namespace ramp
