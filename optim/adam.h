// Adam.
#pragma once

#include "ramp/optim/optimizer.h"

namespace ramp {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  // L2: added to the gradient
};

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
/// w -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
/// Errors: a rate, eps or decay that is negative or not finite; a beta outside [0, 1).
/// Source: Kingma and Ba (2015), algorithm 1.
class Adam final : public Optimizer {
 public:
  explicit Adam(Module& module, AdamOptions options = {})
      : Adam(module.named_parameters(), options) {}
  explicit Adam(std::vector<NamedTensor> parameters, AdamOptions options = {});

 protected:
  void update(size_t parameter, int64_t begin, int64_t end) override;

 private:
  AdamOptions options_;
  std::vector<Tensor> m_, v_;
};

}  // namespace ramp
