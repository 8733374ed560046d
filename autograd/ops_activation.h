// Activations as ops. (Layers run theirs as a struct, fused: autograd/activation.h.)
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// y = max(0, x); dx = dy where x > 0. f32, f64. At the kink x = 0 dx is 0; NaN stays NaN and lets
/// dy pass. Source: Nair and Hinton (2010), eq. 1 without the noise.
Tensor relu(const Tensor& x);

/// y = x for x > 0, else slope x; dx = dy, else slope dy. f32, f64. At the kink x = 0 dx is slope
/// dy; NaN stays NaN and lets dy pass. Source: Maas, Hannun and Ng (2013), eq. 2.
Tensor leaky_relu(const Tensor& x, double slope = 0.01);

/// y = 1 / (1 + e^-x), without overflow at either end; dx = dy y (1 - y). f32, f64. Error < 2.5
/// ulp. NaN stays NaN, in dx too.
Tensor sigmoid(const Tensor& x);

/// y = tanh(x); dx = dy (1 - y^2). f32, f64. Error < 2.6 ulp. NaN stays NaN, in dx too.
Tensor tanh(const Tensor& x);

}  // namespace ramp
