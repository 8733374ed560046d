// What all optimizers share: the parameters, zero_grad, and one pass over all of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ramp/core/parallel.h"
#include "ramp/layers/module.h"

namespace ramp {

/// Updates parameters in place from their gradients. Those without a gradient are left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One update. Errors: no parameter has a gradient.
  void step();
  void zero_grad();

  double rate() const { return rate_; }
  /// Errors: negative or not finite.
  void set_rate(double rate);
  int64_t steps() const { return steps_; }

 protected:
  /// One that requires no gradient is left out, and one with two names is updated once.
  /// Errors: none is left; a rate that is negative or not finite.
  Optimizer(const char* name, std::vector<NamedTensor> parameters, double rate);

  /// The update of elements [begin, end) of one parameter.
  virtual void update(size_t parameter, int64_t begin, int64_t end) = 0;
  /// A zero tensor for each parameter, for an optimizer's state.
  std::vector<Tensor> zeros_like_parameters() const;
  void check_at_least(const char* what, double value, double least) const;
  void check_below(const char* what, double value, double least, double limit) const;

  const char* name_;
  std::vector<NamedTensor> parameters_;
  std::vector<int64_t> updates_;  // how often each parameter was updated, this step included
  double rate_;
  int64_t steps_ = 0;
};

}  // namespace ramp
