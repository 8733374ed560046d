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
/// Errors: a negative or not finite option; Nesterov without momentum or with dampening.
/// Source: Sutskever et al. (2013), in the form in which lr stands outside the velocity.
struct SGD final : Optimizer {
  explicit SGD(Parameters parameters, SgdOptions options = {});
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
  explicit Lion(Parameters parameters, LionOptions options = {});
};

}  // namespace ramp
