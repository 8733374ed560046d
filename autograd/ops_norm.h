// Normalization: y = f(gamma xhat + beta), xhat = (x - mean) / sqrt(var + eps), channels last.
//
// The variance is the biased one; gamma and beta are [channels], undefined ones count as 1 and 0.
// With dz = dy f' and means over what was normalized together: dgamma = sum dz xhat, dbeta = sum
// dz, dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps), where g = gamma dz. f32, up to
// its largest and smallest values, and f64. A NaN makes NaN of all that is normalized with it.
// Errors: x of rank 1; sizes or dtypes that do not fit; eps below 0 or not finite.
#pragma once

#include "ramp/core/activation.h"
#include "ramp/core/tensor.h"

namespace ramp {

struct BatchNormOptions {
  bool training = true;
  double momentum = 0.1;  // the weight of the new value in the running statistics
  double eps = 1e-5;
};

/// Each channel by itself, x [.., c]. In training by the batch's statistics; the running ones (if
/// defined) move in place, r += momentum (batch's - r), with the unbiased variance. Else by the
/// running ones, as constants: dx = g / sqrt(var + eps). Errors: one value per channel in training;
/// no running statistics outside; momentum outside 0..1. Source: Ioffe and Szegedy (2015),
/// algorithm 1.
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                  Tensor& running_var, BatchNormOptions options = {},
                  const Activation& activation = Identity{});

struct LayerNormOptions {
  int axes = 1;  // the last ones
  double eps = 1e-5;
};

/// Each row of x [.., c] by itself; with several axes, all values that share the first ones: gamma
/// and beta have the sizes of the last `axes` then. Errors: axes outside 1..rank-1.
/// Source: Ba, Kiros and Hinton (2016), eq. 3 and 4.
Tensor layer_norm(const Tensor& x, const Tensor& gamma = {}, const Tensor& beta = {},
                  LayerNormOptions options = {});
/// Each of `groups` groups of neighbouring channels of each sample of x [n, .., c] by itself.
/// Errors: groups do not divide c. Source: Wu and He (2018), eq. 7.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& gamma = {},
                  const Tensor& beta = {}, double eps = 1e-5);

}  // namespace ramp
