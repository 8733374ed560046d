// Lion.
#pragma once

#include "ramp/optim/optimizer.h"

namespace ramp {

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
class Lion final : public Optimizer {
 public:
  explicit Lion(Parameters parameters, LionOptions options = {});

 protected:
  Update update(size_t parameter, double t) override;

 private:
  LionOptions options_;
};

}  // namespace ramp
