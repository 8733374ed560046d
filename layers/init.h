// Weight initialization: the scale that keeps the variance of values or gradients from layer to
// layer. The fans of w [in, out] are in and out; of [kh, kw, in, out], kh kw in and kh kw out.
#pragma once

#include "ramp/core/activation.h"
#include "ramp/core/random.h"
#include "ramp/core/tensor.h"
#include "ramp/layers/parameter.h"

namespace ramp {
namespace init {

/// 1 / sqrt(E f(z)^2) for z ~ N(0, 1): sqrt(2) for ReLU, sqrt(2 / (1 + a^2)) for a leaky one.
double gain(const Activation& activation);

/// Which fan scales: that of the inputs keeps the variance of values, that of the outputs the
/// variance of gradients.
enum class Fan { in, out };

/// std = gain / sqrt(fan). Source: He et al. (2015), eq. 10, 14 and 15.
Tensor he_normal(const Shape& shape, Rng& rng, const Activation& next = ReLU{}, DType dtype = f32,
                 Fan fan = Fan::in);
/// The same variance, uniform in +-sqrt(3) std.
Tensor he_uniform(const Shape& shape, Rng& rng, const Activation& next = ReLU{}, DType dtype = f32,
                  Fan fan = Fan::in);
/// std = sqrt(2 / (fan_in + fan_out)). Source: Glorot and Bengio (2010), eq. 12 and 16.
Tensor xavier_normal(const Shape& shape, Rng& rng, DType dtype = f32);
Tensor xavier_uniform(const Shape& shape, Rng& rng, DType dtype = f32);
/// std = 1 / sqrt(fan_in). Source: LeCun et al. (1998), section 4.6.
Tensor lecun_normal(const Shape& shape, Rng& rng, DType dtype = f32);
Tensor lecun_uniform(const Shape& shape, Rng& rng, DType dtype = f32);

/// N(mean, std^2), drawn again where it falls outside [low, high]. The std is that before the
/// cut: between +-2 std 0.8796 of it is left. Errors: those of Rng::normal; an interval that holds
/// less than 1 % of the distribution.
Tensor truncated_normal(const Shape& shape, Rng& rng, double mean = 0, double std = 1,
                        double low = -2, double high = 2, DType dtype = f32);

/// As a matrix [.. in, out]: columns orthonormal (w'w = scale^2), or rows (ww' = scale^2) where
/// there are more columns; uniform over all such matrices.
/// Source: Saxe, McClelland and Ganguli (2014), section 3; Mezzadri (2007) (uniformity).
Tensor orthogonal(const Shape& shape, Rng& rng, double scale = 1, DType dtype = f32);
/// A convolution that is 0 but for the middle tap, an orthogonal matrix [in, out]: with stride 1
/// and kSame it keeps the norm of its input. Errors: in > out, which can't.
/// Source: Xiao et al. (2018), algorithm 1.
Tensor delta_orthogonal(const Shape& shape, Rng& rng, double scale = 1, DType dtype = f32);
/// The matrix or, at the middle tap, the convolution (kSame) that hands its input on: y_i = x_i for
/// i < min(in, out), else 0.
Tensor identity(const Shape& shape, DType dtype = f32);

/// Each output has `nonzero` inputs with a weight N(0, std^2), chosen at random; the rest are 0.
/// Errors: nonzero outside 0..fan_in. Source: Martens (2010), section 5.
Tensor sparse(const Shape& shape, Rng& rng, int64_t nonzero = 15, double std = 1,
              DType dtype = f32);

/// The first weights of a layer, times the gain of f; weights that were written to since stay.
void scale_by_gain(Parameter& weight, const Activation& f);

}  // namespace init

/// The generator from which layers draw their first weights: each thread has a stream of its own.
/// A thread that called seed_layers(seed) itself draws from Rng(seed), whatever others do. The
/// others share out the streams of the last seed (0 at first) in the order in which they first draw
/// since: thread k, from 1, has stream k. Where that order is not certain, seed each thread.
Rng& layer_rng();
/// Starts it anew: models built afterwards have the same weights every time.
void seed_layers(uint64_t seed);

}  // namespace ramp
