// sqrt, exp, log, tanh and sigmoid of a vector, for f32 and f64. No tables, no branches, right over
// the whole range (denormals, infinities, NaN). The largest errors, measured in tests/math_test.cc:
// exp 1, log 0.9, tanh 2.6, sigmoid 2.5 ulp.
#pragma once

#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// kExp: (e^r - 1 - r) / r^2 on |r| <= log(2)/2; kLog: (2 atanh(s) - 2s) / s^3 as a polynomial in
// s^2, s <= 3 - 2 sqrt(2): interpolated at Chebyshev nodes, relative error < 2^-29 (f32), 2^-57
// (f64). kLn2High has so many zeros at its end that kLn2High * exponent is exact.
template <typename T>
struct MathOf;
template <>
struct MathOf<float> {
  static constexpr float kExp[] = {0.50000000135f,   0.16666666682f,   0.041666464602f,
                                   0.0083333108896f, 0.0013933685863f, 0.00019891030654f};
  static constexpr float kLog[] = {0.66666666554f, 0.40000122212f, 0.28550778633f, 0.23331614472f};
  static constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  static constexpr float kRound = 0x1.8p23f, kTwoToMantissa = 0x1p23f, kMinNormal = 0x1p-126f;
  // e^x is 0 below kExpLow, inf above kExpHigh; tanh(x) is 1 above kTanhHigh.
  static constexpr float kExpLow = -104, kExpHigh = 89, kTanhHigh = 9.1f;
  static constexpr float kInf = __builtin_inff(), kNaN = __builtin_nanf("");
  static constexpr int kMantissa = 23;
  static constexpr uint32_t kBias = 127, kOne = 0x3f800000, kSqrtHalf = 0x3f3504f3;
};
template <>
struct MathOf<double> {
  static constexpr double kExp[] = {0.5,
                                    0.16666666666666671008,
                                    0.041666666666666669767,
                                    0.0083333333333261120526,
                                    0.0013888888888883731828,
                                    0.00019841269874901259234,
                                    2.4801587325605322782e-5,
                                    2.7557255297969644392e-6,
                                    2.7557273570102139673e-7,
                                    2.5105259538448493419e-8,
                                    2.0914717341716375952e-9};
  static constexpr double kLog[] = {0.66666666666666697077, 0.39999999999898890514,
                                    0.28571428626253837606, 0.22222211089379496214,
                                    0.18182892432536871201, 0.15331611722055007885,
                                    0.14617807153417324964};
  static constexpr double kLog2E = 1.4426950408889634074, kLn2High = 6.93147180369123816490e-01,
                          kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kRound = 0x1.8p52, kTwoToMantissa = 0x1p52, kMinNormal = 0x1p-1022;
  static constexpr double kExpLow = -746, kExpHigh = 710, kTanhHigh = 19.1;
  static constexpr double kInf = __builtin_inf(), kNaN = __builtin_nan("");
  static constexpr int kMantissa = 52;
  static constexpr uint64_t kBias = 1023, kOne = 0x3ff0000000000000, kSqrtHalf = 0x3fe6a09e667f3bcd;
};

template <typename T, int N>
inline Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {
  Vec<T> y = splat(c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; --i) y = y * x + c[i];
  return y;
}

// x = n log(2) + r with |r| <= log(2)/2: returns e^r - 1 and the integer n.
template <typename T>
inline Vec<T> exp_reduced(Vec<T> x, Bits<T>& n) {
  using M = MathOf<T>;
  // Adding 1.5 * 2^mantissa rounds to an integer, which then lies in the lowest bits.
  const Vec<T> rounded = x * M::kLog2E + M::kRound;
  n = (Bits<T>)rounded - (Bits<T>)splat(M::kRound);
  const Vec<T> k = rounded - M::kRound;
  const Vec<T> r = (x - k * M::kLn2High) - k * M::kLn2Low;
  return r + r * r * polynomial<T>(r, M::kExp);
}

/// e^x; inf where it overflows, denormals and then 0 where it underflows.
template <typename T>
inline Vec<T> vexp(Vec<T> x) {
  using M = MathOf<T>;
  const Vec<T> low = splat(M::kExpLow), high = splat(M::kExpHigh);
  x = x < low ? low : x > high ? high : x;  // NaN passes
  Bits<T> n;
  const Vec<T> y = exp_reduced<T>(x, n) + T(1);
  // 2^n in two factors, as 2^n itself may be beyond the range. n + 2 bias is positive.
  n += 2 * M::kBias;
  const Bits<T> half = n >> 1;
  return y * (Vec<T>)(half << M::kMantissa) * (Vec<T>)((n - half) << M::kMantissa);
}

/// log(x); -inf at 0, NaN below. x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); s = f / (2 + f):
/// log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 P(s^2))  (fdlibm, e_log.c)
template <typename T>
inline Vec<T> vlog(Vec<T> x) {
  using M = MathOf<T>;
  const Mask<T> tiny = x < M::kMinNormal;
  const Vec<T> scaled = tiny ? x * M::kTwoToMantissa : x;
  const Bits<T> bits = (Bits<T>)scaled + (M::kOne - M::kSqrtHalf);
  const Bits<T> mantissa = bits & ((decltype(M::kOne){1} << M::kMantissa) - 1);
  const Vec<T> f = (Vec<T>)(mantissa + M::kSqrtHalf) - T(1);
  // The biased exponent as the low bits of 2^mantissa is converted by a subtraction.
  const Vec<T> biased = (Vec<T>)((bits >> M::kMantissa) | (Bits<T>)splat(M::kTwoToMantissa));
  const Vec<T> bias = tiny ? splat(M::kTwoToMantissa + (M::kBias + M::kMantissa))
                           : splat(M::kTwoToMantissa + M::kBias);
  const Vec<T> k = biased - bias, s = f / (f + T(2)), z = s * s, half = f * f * T(0.5);
  const Vec<T> tail = s * (half + z * polynomial<T>(z, M::kLog)) + k * M::kLn2Low;
  const Vec<T> y = k * M::kLn2High - ((half - tail) - f);
  const Vec<T> special = x == T(0) ? splat(-M::kInf) : x == M::kInf ? x : splat(M::kNaN);
  const Mask<T> regular = (x > T(0)) & (x < M::kInf);
  return regular ? y : special;
}

template <typename T>
inline Vec<T> vabs(Vec<T> x) {
  return (Vec<T>)((Bits<T>)x & ~(Bits<T>)splat(T(-0.0)));
}

inline float sqrt_lane(float x) { return __builtin_sqrtf(x); }
inline double sqrt_lane(double x) { return __builtin_sqrt(x); }
/// Both compilers make one instruction of it.
template <typename T>
inline Vec<T> vsqrt(Vec<T> x) {
  Vec<T> y;
  for (int i = 0; i < kLanes<T>; ++i) y[i] = sqrt_lane(x[i]);
  return y;
}

/// tanh(x) = u / (u + 2), u = e^(2|x|) - 1, with the sign of x.
template <typename T>
inline Vec<T> vtanh(Vec<T> x) {
  using M = MathOf<T>;
  const Vec<T> high = splat(M::kTanhHigh), a = vabs<T>(x);
  Bits<T> n;
  const Vec<T> p = exp_reduced<T>(T(2) * (a > high ? high : a), n);
  const Vec<T> scale = (Vec<T>)((n + M::kBias) << M::kMantissa);
  const Vec<T> u = p * scale + (scale - T(1));
  const Bits<T> sign = (Bits<T>)x & (Bits<T>)splat(T(-0.0));
  return (Vec<T>)((Bits<T>)(u / (u + T(2))) | sign);
}

/// 1 / (1 + e^-x), from z = e^-|x| (which cannot overflow): 1 / (1 + z) or z / (1 + z).
template <typename T>
inline Vec<T> vsigmoid(Vec<T> x) {
  const Vec<T> z = vexp<T>(-vabs<T>(x)), one = splat(T(1));
  return (x < T(0) ? z : one) / (one + z);
}

}  // namespace
}  // namespace ramp
