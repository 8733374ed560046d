#include "ramp/layers/init.h"

#include <cmath>

namespace ramp {
namespace {

struct Fans {
  double in, out;
};

Fans fans_of(const char* op, const Shape& shape) {
  if (shape.rank() < 2) {
    fail("{}: expected a weight shape of rank 2 or more, [.., in, out]; got {}.", op, shape);
  }
  const int r = shape.rank();
  double field = 1;
  for (int i = 0; i < r - 2; ++i) field *= static_cast<double>(shape[i]);
  return {field * static_cast<double>(shape[r - 2]), field * static_cast<double>(shape[r - 1])};
}

// A fan of 0 has no weights to scale.
double inverse_root(double fan) { return fan > 0 ? 1 / std::sqrt(fan) : 0; }

Tensor uniform_of_std(const Shape& shape, Rng& rng, double std, DType dtype) {
  const double limit = std::sqrt(3.0) * std;
  return rng.uniform(shape, -limit, limit, dtype);
}

}  // namespace

// The trapezoid rule converges exponentially for a Gaussian weight; 0 is a node, so a kink there
// costs no accuracy.
double gain(const Activation& activation) {
  constexpr int kHalf = 4000;
  constexpr double kEnd = 10;
  double sum = 0, weights = 0;
  for (int i = -kHalf; i <= kHalf; ++i) {
    const double z = kEnd * i / kHalf, weight = std::exp(-z * z / 2), y = activation.value(z);
    sum += weight * y * y;
    weights += weight;
  }
  if (!(sum > 0)) {
    fail("gain: expected an activation that is not zero everywhere; got {} ({}).",
         activation.name(), activation.formula());
  }
  return std::sqrt(weights / sum);
}

Tensor he_normal(const Shape& shape, Rng& rng, const Activation& next, DType dtype) {
  return rng.normal(shape, 0, gain(next) * inverse_root(fans_of("he_normal", shape).in), dtype);
}
Tensor he_uniform(const Shape& shape, Rng& rng, const Activation& next, DType dtype) {
  const double std = gain(next) * inverse_root(fans_of("he_uniform", shape).in);
  return uniform_of_std(shape, rng, std, dtype);
}
Tensor xavier_normal(const Shape& shape, Rng& rng, DType dtype) {
  const Fans fans = fans_of("xavier_normal", shape);
  return rng.normal(shape, 0, std::sqrt(2.0) * inverse_root(fans.in + fans.out), dtype);
}
Tensor xavier_uniform(const Shape& shape, Rng& rng, DType dtype) {
  const Fans fans = fans_of("xavier_uniform", shape);
  return uniform_of_std(shape, rng, std::sqrt(2.0) * inverse_root(fans.in + fans.out), dtype);
}
Tensor lecun_normal(const Shape& shape, Rng& rng, DType dtype) {
  return rng.normal(shape, 0, inverse_root(fans_of("lecun_normal", shape).in), dtype);
}
Tensor lecun_uniform(const Shape& shape, Rng& rng, DType dtype) {
  return uniform_of_std(shape, rng, inverse_root(fans_of("lecun_uniform", shape).in), dtype);
}

Rng& layer_rng() {
  static thread_local Rng rng(0);
  return rng;
}
void seed_layers(uint64_t seed) { layer_rng() = Rng(seed); }

}  // namespace ramp
