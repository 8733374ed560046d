// Normalization: values brought to mean 0 and variance 1, then scaled and shifted by channel.
//
// All of them: y = f(gamma (x - mean) / sqrt(var + eps) + beta), where var is the biased variance
// and x is f32 or f64 with channels last. gamma and beta are [channels] of x's dtype; undefined
// ones count as 1 and 0. With xhat = (y - beta) / gamma before f, dz = dy f', and means over what
// was normalized together: dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps), g = gamma dz;
// dgamma = sum dz xhat, dbeta = sum dz. A NaN makes NaN of what is normalized with it.
#pragma once

#include "ramp/autograd/activation.h"
#include "ramp/core/tensor.h"

namespace ramp {

struct BatchNormOptions {
  bool training = true;
  double momentum = 0.1;  // the part of the new value in the running statistics
  double eps = 1e-5;
};

/// Each channel over all else: x [.., c], of rank 2 or more. In training by the batch's statistics,
/// which also move the running ones (if defined) in place: r += momentum (batch's - r), where the
/// variance is the unbiased one. Else by the running statistics [c], which are then constants:
/// dx = gamma dz / sqrt(var + eps).
/// Errors: in training, one value per channel; without training, no running statistics; sizes other
/// than [c]; mixed dtypes. Source: Ioffe and Szegedy (2015), algorithm 1.
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                  Tensor& running_var, BatchNormOptions options = {},
                  const Activation& activation = Identity{});

/// The last axis of x [.., c], each row by itself. Source: Ba, Kiros and Hinton (2016), eq. 3
/// and 4.
Tensor layer_norm(const Tensor& x, const Tensor& gamma = {}, const Tensor& beta = {},
                  double eps = 1e-5);

/// The channels of each sample of x [n, .., c] in `groups` groups of c / groups neighbours, over
/// all places. Errors: groups do not divide c. Source: Wu and He (2018), eq. 7.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& gamma = {},
                  const Tensor& beta = {}, double eps = 1e-5);

}  // namespace ramp
