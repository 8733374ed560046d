#include "ramp/autograd/ops_dropout.h"

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// x times a random mask of `shape`, which broadcasts.
Tensor drop(const char* op, const Tensor& x, const Shape& shape, double p, Rng& rng) {
  if (!(p >= 0 && p <= 1)) fail("{}: expected a probability p in [0, 1]; got {}.", op, p);
  visit_float(op, x.dtype(), [](auto) {});
  if (p == 0) return x;
  Tensor mask = rng.uniform(shape, 0, 1, x.dtype());
  visit_float(op, x.dtype(), [&]<typename T>(T) {
    T* m = mask.mutable_data<T>();
    const T limit = static_cast<T>(p), kept = static_cast<T>(p == 1 ? 0 : 1 / (1 - p));
    parallel_for(mask.numel(), kStreamGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) m[i] = m[i] < limit ? 0 : kept;
    });
  });
  return x * mask;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, Rng& rng) {
  check_defined("dropout", "x", x);
  return drop("dropout", x, x.shape(), p, rng);
}

Tensor dropout2d(const Tensor& x, double p, Rng& rng) {
  check_defined("dropout2d", "x", x);
  if (x.rank() < 2) {
    fail("dropout2d: expected x [n, .., c]; got {}. Hint: dropout drops single values.", x.shape());
  }
  Shape shape = x.shape();
  for (int i = 1; i < x.rank() - 1; ++i) shape[i] = 1;
  return drop("dropout2d", x, shape, p, rng);
}

}  // namespace ramp
