#include "ramp/autograd/ops_activation.h"

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/strided.h"

namespace ramp {

Tensor activate(const Tensor& x, const Activation& f) {
  check_defined(f.name(), "x", x);
  if (f.parameter().defined()) return prelu(x, f.parameter());
  const auto value = [&f](int64_t n, const auto* x, auto* y) { f.f_block(n, x, y); };
  Tensor y = map_chunks(f.name(), kStreamGrain, value, x);
  const auto at = f.needs_x() ? Saved(x, "x") : Saved(y, "y");
  return record(f.name(), std::move(y), {x},
                [at, f](const Tensor& dy, Wants) { return activation_vjp(f, at.get(), dy); });
}

Tensor detail::finish(const Tensor& z, const Tensor& b, const Activation& f,
                      const Tensor& parameter) {
  const Tensor x = b.defined() ? z + b : z;
  return parameter.defined() ? prelu(x, parameter) : f.is_identity() ? x : activate(x, f);
}

Tensor activation_vjp(const Activation& f, const Tensor& at, const Tensor& dy) {
  if (f.is_identity()) return dy;
  const auto vjp = [&f](int64_t n, const auto* at, const auto* dy, auto* dx) {
    f.vjp_block(n, at, dy, dx);
  };
  Tensor dx = map_chunks(f.name(), kStreamGrain, vjp, at, dy);
  if (!grad_enabled()) return dx;
  return record(f.name(), std::move(dx), {at, dy},
                [f, at = Saved(at, "at"), dy = Saved(dy, "dy")](const Tensor& g, Wants want) {
                  return std::array{
                      want[0] ? activation_vjp(f.slope(), at.get(), g * dy.get()) : Tensor{},
                      want[1] ? activation_vjp(f, at.get(), g) : Tensor{}};
                });
}

Tensor prelu(const Tensor& x, const Tensor& slope) {
  // at > 0 ? v : slope v, without history: y for v = x, dx for v = dy.
  static constexpr auto leak = [](const Tensor& at, const Tensor& slope, const Tensor& v) {
    const int64_t c = slope.numel(), run = c == 1 ? kStreamGrain : c;
    const auto rows = [&]<typename T>(int64_t n, const T* at, const T* v, T* y) {
      for (int64_t i = 0; i < n; i += run)
        kernels<T>().leak(std::min(run, n - i), at + i, slope.data<T>(), c > 1, v + i, y + i);
    };
    return map_chunks("prelu", ceil_div(kStreamGrain, run) * run, rows, at, v);
  };
  check_same_dtype("prelu", "x", x, "slope", slope);
  const int64_t c = slope.numel();
  fail_if(slope.rank() != 1 || c == 0 || (c > 1 && (x.rank() == 0 || x.dim(-1) != c)),
          "prelu: slope {} does not fit x {}: it is [1], or [c] for the last axis of x.",
          slope.shape(), x.shape());
  return record("prelu", leak(x, slope, x), {x, slope},
                [x = Saved(x, "x"), slope = Saved(slope, "slope")](const Tensor& dy, Wants want) {
                  const Tensor &at = x.get(), &s = slope.get(), zero = scalar_like(0, at);
                  // What leak() multiplies by, in recorded ops.
                  const auto factor = [&] {
                    return where(at < zero, s, where(at == zero, maximum(s, zero), zero + 1));
                  };
                  return std::array{!want[0]         ? Tensor{}
                                    : grad_enabled() ? dy * factor()
                                                     : leak(at, s, dy),
                                    want[1] ? dy * minimum(at, zero) : Tensor{}};
                });
}

Tensor rrelu(const Tensor& x, Rng& rng, double lower, double upper) {
  check_defined("rrelu", "x", x);
  check_options("rrelu", lower <= upper && is_finite(lower) && is_finite(upper),
                "finite lower <= upper", {lower, upper});
  return x * where(x <= 0, rng.uniform(x.shape(), lower, upper, x.dtype()), scalar_like(1, x));
}

Tensor crelu(const Tensor& x) { return concat({relu(x), relu(-x)}, -1); }

Tensor glu(const Tensor& x) {
  check_defined("glu", "x", x);
  fail_if(x.rank() == 0 || x.dim(-1) % 2 != 0,
          "glu: expected x [.., 2 c], whose halves are taken apart; got {}.", x.shape());
  const int64_t c = x.dim(-1) / 2;
  return slice(x, -1, 0, c) * sigmoid(slice(x, -1, c, 2 * c));
}

}  // namespace ramp
