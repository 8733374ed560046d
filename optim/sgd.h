// Stochastic gradient descent.
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
class SGD final : public Optimizer {
 public:
  explicit SGD(Parameters parameters, SgdOptions options = {});

 protected:
  Update update(size_t parameter, double t) override;

 private:
  SgdOptions options_;
};

}  // namespace ramp
