#include "ramp/autograd/ops_dropout.h"

#include "ramp/autograd/ops_elementwise.h"

namespace ramp {
namespace {

// x times a random mask of `shape`, which broadcasts.
Tensor drop(const char* op, const Tensor& x, const Shape& shape, double p, Rng& rng) {
  if (!(p >= 0 && p <= 1)) fail("{}: expected a probability p in [0, 1]; got {}.", op, p);
  check_float(op, x);
  if (p == 0) return x;
  const double kept = p == 1 ? 0 : 1 / (1 - p);
  return x * ((rng.uniform(shape, 0, 1, x.dtype()) >= p) * kept);
}

}  // namespace

Tensor dropout(const Tensor& x, double p, Rng& rng) {
  return drop("dropout", x, x.shape(), p, rng);
}

Tensor dropout2d(const Tensor& x, double p, Rng& rng) {
  check_defined("dropout2d", "x", x);
  fail_if(x.rank() < 2,
          "dropout2d: expected x [n, .., c]; got {}. Hint: dropout drops single values.",
          x.shape());
  Shape shape = x.shape();
  for (int i = 1; i < x.rank() - 1; ++i) shape[i] = 1;
  return drop("dropout2d", x, shape, p, rng);
}

}  // namespace ramp
