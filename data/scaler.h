// Numbers of mean 0 and standard deviation 1, and the way back.
#pragma once

#include <vector>

#include "ramp/core/tensor.h"
#include "ramp/layers/module.h"

namespace ramp {

/// y = (x - mean) / std by feature, with the mean and std of the data it was made from; and back.
/// ```
/// const Scaler scaler(train.x);           // learns the mean and std of each feature
/// train.x = scaler(train.x);
/// test.x = scaler(test.x);                // with those of the training data
/// save_safetensors("scaler.safetensors", scaler.state());
/// ```
class Scaler {
 public:
  /// Changes nothing, before load_state().
  Scaler() = default;
  /// The mean and the std of each feature of x [n, .., features], f32 or f64, over all else, in
  /// f64: std^2 = mean of (x - mean)^2. NaN stands for a missing value and is left out. A feature
  /// that is constant has std 1. Errors: i64; a feature without values; inf.
  explicit Scaler(const Tensor& x);

  /// y = (x - mean) / std / the inverse, x = y std + mean; recorded, and NaN stays NaN. x: f32 or
  /// f64 [.., features]. Errors: another number of features.
  Tensor operator()(const Tensor& x) const;
  Tensor inverse(const Tensor& y) const;

  /// f64 [features].
  const Tensor& mean() const { return mean_; }
  const Tensor& std() const { return std_; }

  /// "mean" and "std", f64 [features].
  std::vector<NamedTensor> state() const;
  /// Errors: one of them is missing, or not f64 [features] as the other; a std that is not above 0.
  void load_state(const std::vector<NamedTensor>& state);

 private:
  void check(const char* op, const Tensor& x) const;
  Tensor mean_, std_;
};

}  // namespace ramp
