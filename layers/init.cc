#include "ramp/layers/init.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numbers>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_sort.h"

namespace ramp {
namespace init {
namespace {

struct Fans {
  double in, out;
  double of(Fan fan) const { return fan == Fan::in ? in : out; }
};

Fans fans_of(const char* op, const Shape& shape) {
  fail_if(shape.rank() < 2, "{}: expected a weight shape of rank 2 or more, [.., in, out]; got {}.",
          op, shape);
  const int r = shape.rank();
  const auto field = static_cast<double>(shape.without(r - 1).without(r - 2).numel());
  return {field * static_cast<double>(shape[r - 2]), field * static_cast<double>(shape[r - 1])};
}

// A fan of 0 has no weights to scale.
double inverse_root(double fan) { return fan > 0 ? 1 / std::sqrt(fan) : 0; }

double xavier_std(const char* op, const Shape& shape) {
  const Fans fans = fans_of(op, shape);
  return std::sqrt(2.0) * inverse_root(fans.in + fans.out);
}

Tensor uniform_of_std(const Shape& shape, Rng& rng, double std, DType dtype) {
  const double limit = std::sqrt(3.0) * std;
  return rng.uniform(shape, -limit, limit, dtype);
}

Shape matrix_of(const char* op, const Shape& shape) {
  fans_of(op, shape);
  return {shape[shape.rank() - 2], shape.last()};
}

// Zeros, with the matrix m [in, out] at the middle tap: with kSame the output's own place.
Tensor at_middle(const Shape& shape, const Tensor& m) {
  const Tensor w = Tensor::zeros(shape, m.dtype());
  if (w.numel() == 0) return w;
  Tensor tap = w;
  for (int axis = 0; axis < shape.rank() - 2; ++axis) tap = tap[(shape[axis] - 1) / 2];
  tap.copy_(m);
  return w;
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
  if (!(sum > 0 && std::isfinite(sum))) {
    fail("gain: expected an activation that is finite and not zero everywhere; got {} ({}).",
         activation.name(), activation.formula());
  }
  return std::sqrt(weights / sum);
}

// The gain comes last, as in scale_by_gain(): the same bits.
Tensor he_normal(const Shape& shape, Rng& rng, const Activation& next, DType dtype, Fan fan) {
  const double root = inverse_root(fans_of("he_normal", shape).of(fan));
  return rng.normal(shape, 0, root, dtype).mul_(gain(next));
}
Tensor he_uniform(const Shape& shape, Rng& rng, const Activation& next, DType dtype, Fan fan) {
  const double std = gain(next) * inverse_root(fans_of("he_uniform", shape).of(fan));
  return uniform_of_std(shape, rng, std, dtype);
}
Tensor xavier_normal(const Shape& shape, Rng& rng, DType dtype) {
  return rng.normal(shape, 0, xavier_std("xavier_normal", shape), dtype);
}
Tensor xavier_uniform(const Shape& shape, Rng& rng, DType dtype) {
  return uniform_of_std(shape, rng, xavier_std("xavier_uniform", shape), dtype);
}
Tensor lecun_normal(const Shape& shape, Rng& rng, DType dtype) {
  return rng.normal(shape, 0, inverse_root(fans_of("lecun_normal", shape).in), dtype);
}
Tensor lecun_uniform(const Shape& shape, Rng& rng, DType dtype) {
  return uniform_of_std(shape, rng, inverse_root(fans_of("lecun_uniform", shape).in), dtype);
}

Tensor truncated_normal(const Shape& shape, Rng& rng, double mean, double std, double low,
                        double high, DType dtype) {
  const auto below = [&](double x) {
    return std::erfc((mean - x) / std / std::numbers::sqrt2) / 2;
  };
  fail_if(std >= 0 && !(below(high) - below(low) >= 0.01),
          "truncated_normal: expected an interval with at least 1 % of N({}, {}^2); got {} to {}. "
          "Hint: low and high are limits of the value, not multiples of std.",
          mean, std, low, high);
  Tensor y = Tensor::empty(shape, dtype);
  visit_float("truncated_normal", dtype, [&]<typename T>(T) {
    for (T *out = y.mutable_data<T>(), *end = out + y.numel(); out < end;) {
      const Tensor draw = rng.normal({end - out}, mean, std, dtype);
      const T* v = draw.data<T>();
      out = std::copy_if(v, v + draw.numel(), out, [=](T x) { return low <= x && x <= high; });
    }
  });
  return y;
}

// Gram and Schmidt on normal numbers, in f64, the modified way: every vector loses its part along
// v_i as soon as v_i is done. That makes R's diagonal positive, hence Q uniform.
Tensor orthogonal(const Shape& shape, Rng& rng, double scale, DType dtype) {
  if (!is_float(dtype)) fail("orthogonal: expected f32 or f64; got i64.");
  const int64_t rows = static_cast<int64_t>(fans_of("orthogonal", shape).in), cols = shape.last();
  const int64_t n = std::min(rows, cols), length = std::max(rows, cols);
  Tensor q = rng.normal({n, length}, 0, 1, f64);
  for (int64_t i = 0; i < n; ++i) {
    Tensor v = q.rows(i, i + 1), later = q.rows(i + 1, n);
    v.mul_(1 / std::sqrt(sum(v * v).item()));
    later.add_(matmul(matmul(later, v, Trans::b), v), -1);
  }
  const Tensor w = rows < cols ? q : transpose(q);
  return (w * scale).to(dtype).view(shape);
}

Tensor delta_orthogonal(const Shape& shape, Rng& rng, double scale, DType dtype) {
  const Shape m = matrix_of("delta_orthogonal", shape);
  fail_if(m[0] > m[1],
          "delta_orthogonal: expected a shape [.., in, out] with in <= out; got {}. Hint: take "
          "orthogonal().",
          shape);
  return at_middle(shape, orthogonal(m, rng, scale, dtype));
}

Tensor identity(const Shape& shape, DType dtype) {
  const Shape m = matrix_of("identity", shape);
  const Tensor i = Tensor::arange(m[0]).view({m[0], 1}), j = Tensor::arange(m[1]);
  return at_middle(shape, (i == j).to(dtype));
}

Tensor sparse(const Shape& shape, Rng& rng, int64_t nonzero, double std, DType dtype) {
  const int64_t in = static_cast<int64_t>(fans_of("sparse", shape).in), out = shape.last();
  fail_if(nonzero < 0 || nonzero > in,
          "sparse: expected nonzero in 0..{}, the fan-in of {}; got {}.", in, shape, nonzero);
  if (nonzero == 0) return Tensor::zeros(shape, dtype);
  // Where the largest of random numbers lie.
  const Tensor place = rng.uniform({in, out}, 0, 1, f64);
  const Tensor least = topk(place, nonzero, 0).values.rows(nonzero - 1, nonzero);
  return (rng.normal({in, out}, 0, std, dtype) * (place >= least).to(dtype)).view(shape);
}

void scale_by_gain(Parameter& weight, const Activation& f) {
  if (!weight.at_start()) return;
  const NoGrad no_grad;
  weight.mul_(gain(f));
}

}  // namespace init

namespace {

std::mutex seed_mutex;  // of the next two, and of writes to the third
uint64_t last_seed = 0, streams = 0;
std::atomic<uint64_t> seedings = 0;

constexpr uint64_t kOwn = ~uint64_t{0}, kNone = kOwn - 1;
struct ThreadRng {
  Rng rng{0};
  uint64_t seeding = kNone;  // whose stream it is; kOwn: this thread seeded it
};
thread_local ThreadRng thread_rng;

}  // namespace

Rng& layer_rng() {
  ThreadRng& t = thread_rng;
  if (t.seeding == kOwn || t.seeding == seedings) return t.rng;
  const std::lock_guard lock(seed_mutex);
  // Streams are numbered where draws never get to.
  t = {Rng(Rng(last_seed, (uint64_t{1} << 63) + ++streams).next()), seedings};
  return t.rng;
}

void seed_layers(uint64_t seed) {
  const std::lock_guard lock(seed_mutex);
  thread_rng = {Rng(seed), kOwn};
  last_seed = seed;
  streams = 0;
  ++seedings;
}

}  // namespace ramp
