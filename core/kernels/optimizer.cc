// The optimizers' rules: one pass over gradients g, parameters w and up to three states.
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

// UpdateStep in the dtype; d is the gradient with L2 decay.
template <typename T>
struct Constants {
  T rate, decay, keep, b1, c1, b2, c2, scale, eps, extra;
  explicit Constants(const UpdateStep& u)
      : rate(static_cast<T>(u.rate)),
        decay(static_cast<T>(u.decay)),
        keep(static_cast<T>(u.keep)),
        b1(static_cast<T>(u.beta1)),
        c1(static_cast<T>(1 - u.beta1)),
        b2(static_cast<T>(u.beta2)),
        c2(static_cast<T>(1 - u.beta2)),
        scale(static_cast<T>(u.scale)),
        eps(static_cast<T>(u.eps)),
        extra(static_cast<T>(u.extra)) {}
  T d(T g, T w) const { return g + decay * w; }
};

// rule(g, w, s0, s1, s2) for each number; those of the states from N on are not there.
template <int N, typename T, typename Rule>
inline void each(int64_t n, const T* __restrict g, T* __restrict w, T* const* s, Rule rule) {
  T* __restrict a = N > 0 ? s[0] : nullptr;
  T* __restrict b = N > 1 ? s[1] : nullptr;
  T* __restrict c = N > 2 ? s[2] : nullptr;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    T none = 0;
    rule(g[i], w[i], N > 0 ? a[i] : none, N > 1 ? b[i] : none, N > 2 ? c[i] : none);
  }
}

// w -= rate d
template <typename T>
void sgd(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<0>(n, g, w, s, [k](T g, T& w, T&, T&, T&) { w -= k.rate * k.d(g, w); });
}

// v = b1 v + (1 - b2) d;  w -= rate (extra d + scale v)
template <typename T>
void sgd_momentum(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<1>(n, g, w, s, [k](T g, T& w, T& v, T&, T&) {
    const T d = k.d(g, w);
    v = k.b1 * v + k.c2 * d;
    w -= k.rate * (k.extra * d + k.scale * v);
  });
}

// m = b1 m + (1 - b1) d;  v = b2 v + (1 - b2) d^2;  with kLargest instead of v its largest so far;
// w = keep w - rate m / (sqrt(v) scale + eps), with kExtra (rate m + extra d) / ..
template <typename T, bool kLargest, bool kExtra>
void adam(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<kLargest ? 3 : 2>(n, g, w, s, [k](T g, T& w, T& m, T& v, T& largest) {
    const T d = k.d(g, w);
    m += k.c1 * (d - m);
    v = k.b2 * v + k.c2 * d * d;
    if (kLargest) largest = v < largest ? largest : v;
    const T step = kExtra ? k.rate * m + k.extra * d : k.rate * m;
    w = k.keep * w - step / (root(kLargest ? largest : v) * k.scale + k.eps);
  });
}

// m as above;  v = max(b2 v, |d| + eps);  w -= rate m / v
template <typename T>
void adamax(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<2>(n, g, w, s, [k](T g, T& w, T& m, T& v, T&) {
    const T d = k.d(g, w), size = (d < 0 ? -d : d) + k.eps, old = k.b2 * v;
    m += k.c1 * (d - m);
    v = size < old ? old : size;
    w -= k.rate * m / v;
  });
}

// v = b2 v + (1 - b2) d^2;  y = d / (sqrt(v) + eps);  with kCentered the mean = b2 mean +
// (1 - b2) d and v - mean^2 for v;  w -= rate y;  with kMomentum p = b1 p + y, w -= rate p
template <typename T, bool kCentered, bool kMomentum>
void rmsprop(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<1 + kCentered + kMomentum>(n, g, w, s, [k](T g, T& w, T& v, T& second, T& third) {
    const T d = k.d(g, w);
    v = k.b2 * v + k.c2 * d * d;
    T center = v;
    if (kCentered) {
      second += k.c2 * (d - second);
      center = v - second * second;
      center = center < 0 ? 0 : center;  // by rounding
    }
    T y = d / (root(center) + k.eps);
    T& p = kCentered ? third : second;
    if (kMomentum) y = p = k.b1 * p + y;
    w -= k.rate * y;
  });
}

// v += d^2;  w -= rate d / (sqrt(v) + eps)
template <typename T>
void adagrad(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<1>(n, g, w, s, [k](T g, T& w, T& v, T&, T&) {
    const T d = k.d(g, w);
    v += d * d;
    w -= k.rate * d / (root(v) + k.eps);
  });
}

// v = b2 v + (1 - b2) d^2;  y = d sqrt(z + eps) / sqrt(v + eps);  z = b2 z + (1 - b2) y^2;
// w -= rate y
template <typename T>
void adadelta(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<2>(n, g, w, s, [k](T g, T& w, T& v, T& z, T&) {
    const T d = k.d(g, w);
    v = k.b2 * v + k.c2 * d * d;
    const T y = root(z + k.eps) / root(v + k.eps) * d;
    z = k.b2 * z + k.c2 * y * y;
    w -= k.rate * y;
  });
}

// w = keep w - rate sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g;  sign(0) = 0, NaN stays
template <typename T>
void lion(int64_t n, const UpdateStep& u, const T* g, T* w, T* const* s) {
  const Constants<T> k(u);
  each<1>(n, g, w, s, [k](T g, T& w, T& m, T&, T&) {
    const T c = k.b1 * m + k.c1 * g, up = c > 0 ? T(1) : c;
    w = k.keep * w - k.rate * (c < 0 ? T(-1) : up);
    m = k.b2 * m + k.c2 * g;
  });
}

template <typename T>
void fill(Kernels<T>& k) {
  // In the order of UpdateRule.
  void (*const rules[])(int64_t, const UpdateStep&, const T*, T*, T* const*) = {
      sgd<T>,
      sgd_momentum<T>,
      adam<T, false, false>,
      adam<T, true, false>,
      adam<T, false, true>,
      adamax<T>,
      rmsprop<T, false, false>,
      rmsprop<T, true, false>,
      rmsprop<T, false, true>,
      rmsprop<T, true, true>,
      adagrad<T>,
      adadelta<T>,
      lion<T>};
  static_assert(sizeof rules == sizeof k.update);
  for (int i = 0; i < kUpdateRules; ++i) k.update[i] = rules[i];
}

}  // namespace

namespace RAMP_ISA {
void fill_optimizer(Kernels<float>& k) { fill(k); }
void fill_optimizer(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
