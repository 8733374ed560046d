// y = op(x), y = op(a, b) and their derivatives, element by element. NaN stays NaN.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/map.h"
#include "ramp/core/kernels/math.h"

namespace ramp {
namespace {

inline float power(float x, float p) { return __builtin_powf(x, p); }
inline double power(double x, double p) { return __builtin_pow(x, p); }

template <typename T>
void pow(int64_t n, const T* a, int64_t sa, const T* b, int64_t sb, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = power(a[i * sa], b[i * sb]);
}

template <typename T>
void fill(Kernels<T>& k) {
  using V = Vec<T>;
  using S = Stream<T>;
  // f(x) and df(x, y, dy); both are rebuilt from their types inside the plain functions.
  const auto unary = [&k]<typename F, typename D>(Unary op, F, D) {
    k.unary[static_cast<int>(op)] = [](int64_t n, const T* x, T* y) { map(F{}, n, y, S(x, 1)); };
    k.unary_vjp[static_cast<int>(op)] = [](int64_t n, const T* x, const T* y, const T* dy, T* dx) {
      map(D{}, n, dx, S(x, 1), S(y, 1), S(dy, 1));
    };
  };
  unary(
      Unary::exp, [](V x) { return vexp<T>(x); }, [](V, V y, V dy) { return dy * y; });
  unary(
      Unary::log, [](V x) { return vlog<T>(x); }, [](V x, V, V dy) { return dy / x; });
  unary(
      Unary::sqrt, [](V x) { return vsqrt<T>(x); }, [](V, V y, V dy) { return dy / (y + y); });
  unary(
      Unary::abs, [](V x) { return vabs<T>(x); },
      [](V x, V, V dy) { return x < V{}    ? -dy
                                : x == V{} ? V{}
                                           : dy; });
  unary(
      Unary::erf, [](V x) { return verf<T>(x); },
      [](V x, V, V dy) {
        return dy * (vgauss<T>(x * T(1.4142135623730951)) * T(1.1283791670955126));
      });

  const auto binary = [&k]<typename F>(Binary op, F) {
    k.binary[static_cast<int>(op)] = [](int64_t n, const T* a, int64_t sa, const T* b, int64_t sb,
                                        T* y) { map(F{}, n, y, S(a, sa), S(b, sb)); };
  };
  binary(Binary::add, [](V a, V b) { return a + b; });
  binary(Binary::sub, [](V a, V b) { return a - b; });
  binary(Binary::mul, [](V a, V b) { return a * b; });
  binary(Binary::div, [](V a, V b) { return a / b; });
  binary(Binary::maximum, [](V a, V b) { return a > b ? a : a != a ? a : b; });
  binary(Binary::minimum, [](V a, V b) { return a < b ? a : a != a ? a : b; });
  binary(Binary::less, [](V a, V b) { return a < b ? splat(T(1)) : V{}; });
  binary(Binary::less_equal, [](V a, V b) { return a <= b ? splat(T(1)) : V{}; });
  binary(Binary::greater, [](V a, V b) { return a > b ? splat(T(1)) : V{}; });
  binary(Binary::greater_equal, [](V a, V b) { return a >= b ? splat(T(1)) : V{}; });
  binary(Binary::equal, [](V a, V b) { return a == b ? splat(T(1)) : V{}; });
  binary(Binary::not_equal, [](V a, V b) { return a != b ? splat(T(1)) : V{}; });
  binary(Binary::share, [](V a, V b) {
    return a < b ? V{} : a == b ? splat(T(0.5)) : splat(T(1));
  });
  k.binary[static_cast<int>(Binary::pow)] = pow<T>;

  k.where = [](int64_t n, const T* c, int64_t sc, const T* a, int64_t sa, const T* b, int64_t sb,
               T* y) {
    map([](V c, V a, V b) { return c != V{} ? a : b; }, n, y, S(c, sc), S(a, sa), S(b, sb));
  };
  k.clamp = [](int64_t n, T lo, T hi, const T* x, T* y) {
    const V low = splat(lo), high = splat(hi);
    const auto f = [=](V x) { return x < low ? low : x > high ? high : x; };
    map(f, n, y, S(x, 1));
  };
  k.clamp_vjp = [](int64_t n, T lo, T hi, const T* x, const T* dy, T* dx) {
    const V low = splat(lo), high = splat(hi);
    const auto df = [=](V x, V dy) { return ((x <= low) | (x >= high)) ? V{} : dy; };
    map(df, n, dx, S(x, 1), S(dy, 1));
  };
  k.axpy = [](int64_t n, T f, const T* x, T* y) {
    map([f](V x, V y) { return y + f * x; }, n, y, S(x, 1), S(y, 1));
  };
}

}  // namespace

namespace RAMP_ISA {
void fill_elementwise(Kernels<float>& k) { fill(k); }
void fill_elementwise(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
