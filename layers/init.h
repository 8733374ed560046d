// Weight initialization: the scale that keeps the variance of values or gradients from layer to
// layer. The fans of w [in, out] are in and out; of [kh, kw, in, out], kh kw in and kh kw out.
#pragma once

#include "ramp/autograd/activation.h"
#include "ramp/core/random.h"
#include "ramp/core/tensor.h"

namespace ramp {

/// 1 / sqrt(E f(z)^2) for z ~ N(0, 1): sqrt(2) for ReLU, sqrt(2 / (1 + a^2)) for a leaky one.
double gain(const Activation& activation);

/// std = gain / sqrt(fan_in). Source: He et al. (2015), eq. 10 and 15.
Tensor he_normal(const Shape& shape, Rng& rng, const Activation& next = ReLU{}, DType dtype = f32);
/// The same variance, uniform in +-sqrt(3) std.
Tensor he_uniform(const Shape& shape, Rng& rng, const Activation& next = ReLU{}, DType dtype = f32);
/// std = sqrt(2 / (fan_in + fan_out)). Source: Glorot and Bengio (2010), eq. 12 and 16.
Tensor xavier_normal(const Shape& shape, Rng& rng, DType dtype = f32);
Tensor xavier_uniform(const Shape& shape, Rng& rng, DType dtype = f32);
/// std = 1 / sqrt(fan_in). Source: LeCun et al. (1998), section 4.6.
Tensor lecun_normal(const Shape& shape, Rng& rng, DType dtype = f32);
Tensor lecun_uniform(const Shape& shape, Rng& rng, DType dtype = f32);

/// The generator from which layers draw their first weights; one for each thread.
Rng& layer_rng();
/// Starts it anew: models built afterwards have the same weights every time.
void seed_layers(uint64_t seed);

}  // namespace ramp
