// The functions of core/rules.h of a vector, for f32 and f64. No tables, no branches, accurate over
// the whole range (denormals, infinities, NaN). The largest errors, measured in tests/math_test.cc:
// exp 1, log 0.9, tanh 2.6, sigmoid 2.5, erf 3, sin and cos 2.3 ulp. pow of f64 is the C library's,
// as are sin and cos of large numbers.
#pragma once

#include <math.h>

#include "ramp/core/kernels/vec.h"
#include "ramp/core/rules.h"

namespace ramp {
namespace {

// kExp: (e^r - 1 - r) / r^2 on |r| <= log(2)/2; kLog: (2 atanh(s) - 2s) / s^3 as a polynomial in
// s^2, s <= 3 - 2 sqrt(2); kErf: erf(x) / x in x^2 <= 0.26; kMills: (x + c)
// e^(x^2/2) P(z > x) in t = (x - c) / (x + c), c = kMillsCenter, x >= 0. Interpolated at Chebyshev
// nodes, relative error < 2^-28 (f32), 2^-56 (f64); kSin: (sin(r) - r) / r^3, kCos: (cos(r) - 1 +
// r^2/2) / r^4 in r^2 on |r| <= pi/4, of the same error in the result. kHalfPi sums up to pi/2; all
// but the last have so many zeros at their end that k kHalfPi[i] is exact up to kFar. kLn2High has
// so many zeros at its end that kLn2High * exponent is exact; kSplit keeps the upper half of a
// mantissa.
template <typename T>
struct MathOf;
template <>
struct MathOf<float> {
  static constexpr float kExp[] = {0.50000000135f,   0.16666666682f,   0.041666464602f,
                                   0.0083333108896f, 0.0013933685863f, 0.00019891030654f};
  static constexpr float kLog[] = {0.66666666554f, 0.40000122212f, 0.28550778633f, 0.23331614472f};
  static constexpr float kErf[] = {1.1283791653f, -0.3761260405f, 0.11282715089f, -0.026749231909f,
                                   0.0047000572133f};
  static constexpr float kMills[] = {0.75528513062f,     -0.60789665909f,  0.387137368f,
                                     -0.1865212814f,     0.060397533088f,  -0.0075452682657f,
                                     -0.0034893172761f,  0.0016452192974f, 0.00017105461159f,
                                     -0.00023179867834f, -5.1556593299e-5f};
  static constexpr float kSin[] = {-0.16666666664f, 0.0083333318738f, -0.00019840086264f,
                                   2.7249864655e-6f};
  static constexpr float kCos[] = {0.0416666646583f, -0.00138883028023f, 2.4547891619814e-5f};
  static constexpr float kHalfPi[] = {0x1.92p+0f, 0x1.fb4p-12f, 0x1.444p-24f, 0x1.68c234p-39f};
  static constexpr float kFar = 1e4f, k2OverPi = 0.636619772f;
  static constexpr float kMillsCenter = 4, kErfHigh = 14.4f;
  static constexpr uint32_t kSplit = 0xfffff000;
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
  static constexpr double kExp[] = {
      0.5000000000000000,   0.1666666666666667,    0.04166666666666667,   0.008333333333326112,
      0.001388888888888373, 0.0001984126987490126, 2.4801587325605324e-5, 2.7557255297969643e-6,
      2.755727357010214e-7, 2.5105259538448494e-8, 2.0914717341716378e-9};
  static constexpr double kLog[] = {0.666666666666667,   0.3999999999989889, 0.28571428626253836,
                                    0.22222211089379496, 0.1818289243253687, 0.15331611722055008,
                                    0.14617807153417325};
  static constexpr double kErf[] = {
      1.1283791670955126,    -0.3761263890318375,    0.11283791670954776,    -0.026866170644958866,
      0.005223977621125424,  -0.0008548326402067417, 0.00012055278460971394, -1.4922683322707104e-5,
      1.6364125595553409e-6, -1.4555338052957604e-7};
  static constexpr double kMills[] = {
      0.769193049750063,      -0.6653825028900567,   0.4953056159699764,     -0.31353315667130455,
      0.1650203661703847,     -0.06911863870631016,  0.020795066799883178,   -0.0029933767705085422,
      -0.0007978693984660701, 0.0005448990647731298, -5.937572800991586e-5,  -4.97628142705858e-5,
      1.6681213742042063e-5,  3.9809021578680414e-6, -2.76926709599743e-6,   -3.366153681012471e-7,
      4.331410356862585e-7,   4.2274993740065346e-8, -6.594221662477223e-8,  -9.31356099432606e-9,
      7.66307180076004e-9,    1.753048401408232e-9,  -1.5877468827473365e-10};
  static constexpr double kSin[] = {-0.16666666666666666,   0.008333333333330946,
                                    -0.0001984126983675497, 2.755731610068303e-6,
                                    -2.5051131455427946e-8, 1.591810123027412e-10};
  static constexpr double kCos[] = {0.041666666666666664,  -0.0013888888888887395,
                                    2.4801587298763433e-5, -2.7557317270560326e-7,
                                    2.0876146024689747e-9, -1.1382614868556325e-11};
  static constexpr double kHalfPi[] = {0x1.921fb544p+0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69};
  static constexpr double kFar = 1e6, k2OverPi = 0.6366197723675814;
  static constexpr double kMillsCenter = 5, kErfHigh = 38.6;
  static constexpr uint64_t kSplit = 0xfffffffff8000000;
  static constexpr double kLog2E = 1.4426950408889634, kLn2High = 0.6931471803691238,
                          kLn2Low = 1.9082149292705877e-10;
  static constexpr double kRound = 0x1.8p52, kTwoToMantissa = 0x1p52, kMinNormal = 0x1p-1022;
  static constexpr double kExpLow = -745.2, kExpHigh = 710, kTanhHigh = 19.1;
  static constexpr double kInf = __builtin_inf(), kNaN = __builtin_nan("");
  static constexpr int kMantissa = 52;
  static constexpr uint64_t kBias = 1023, kOne = 0x3ff0000000000000, kSqrtHalf = 0x3fe6a09e667f3bcd;
};

template <typename T, int N>
inline Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {
  Vec<T> y = splat(c[N - 1]);
#pragma GCC unroll 32
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

template <typename V>
using Lane = std::remove_cvref_t<decltype(V{}[0])>;
// y[i] = f(x[i]), by the C library's function for float or by that for double.
template <float (*f)(float), double (*d)(double), typename V>
inline V each_lane(V x) {
  V y = x;
  for (int i = 0; i < kLanes<Lane<V>>; ++i) {
    if constexpr (std::is_same_v<Lane<V>, float>) {
      y[i] = f(x[i]);
    } else {
      y[i] = d(x[i]);
    }
  }
  return y;
}

}  // namespace

// No two levels have vectors of one width, so each has these for itself.
namespace math {

/// e^x; inf where it overflows, denormals and then 0 where it underflows.
template <typename V>
inline V exp(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V low = splat(M::kExpLow), high = splat(M::kExpHigh);
  x = x < low ? low : x > high ? high : x;  // NaN passes
  Bits<T> n;
  const V y = exp_reduced<T>(x, n) + T(1);
  // 2^n in two factors, as 2^n itself may be beyond the range. n + 2 bias is positive.
  n += 2 * M::kBias;
  const Bits<T> half = n >> 1;
  return y * (V)(half << M::kMantissa) * (V)((n - half) << M::kMantissa);
}

/// e^-|x|, in fewer steps.
template <typename V>
inline V exp_minus_abs(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V low = splat(M::kExpLow);
  x = (V)((Bits<T>)x | (Bits<T>)splat(T(-0.0)));
  x = x < low ? low : x;  // NaN passes
  Bits<T> n;
  const V y = exp_reduced<T>(x, n) + T(1);
  // 2^(n + mantissa) is no denormal, or 0.
  return y * (V)((n + (M::kBias + M::kMantissa)) << M::kMantissa) * (1 / M::kTwoToMantissa);
}

/// log(x); -inf at 0, NaN below. x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); s = f / (2 + f):
/// log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 P(s^2))  (fdlibm, e_log.c)
template <typename V>
inline V log(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const Mask<T> tiny = x < M::kMinNormal;
  const V scaled = tiny ? x * M::kTwoToMantissa : x;
  const Bits<T> bits = (Bits<T>)scaled + (M::kOne - M::kSqrtHalf);
  const Bits<T> mantissa = bits & ((decltype(M::kOne){1} << M::kMantissa) - 1);
  const V f = (V)(mantissa + M::kSqrtHalf) - T(1);
  // The biased exponent as the low bits of 2^mantissa is converted by a subtraction.
  const V biased = (V)((bits >> M::kMantissa) | (Bits<T>)splat(M::kTwoToMantissa));
  const V bias = tiny ? splat(M::kTwoToMantissa + (M::kBias + M::kMantissa))
                      : splat(M::kTwoToMantissa + M::kBias);
  const V k = biased - bias, s = f / (f + T(2)), z = s * s, half = f * f * T(0.5);
  const V tail = s * (half + z * polynomial<T>(z, M::kLog)) + k * M::kLn2Low;
  const V y = k * M::kLn2High - ((half - tail) - f);
  const V special = x == T(0) ? splat(-M::kInf) : x == M::kInf ? x : splat(M::kNaN);
  const Mask<T> regular = (x > T(0)) & (x < M::kInf);
  return regular ? y : special;
}

template <typename V>
inline V abs(V x) {
  using T = Lane<V>;
  return (V)((Bits<T>)x & ~(Bits<T>)splat(T(-0.0)));
}

// Of these two both compilers make one instruction (at base, of sqrt alone).
template <typename V>
inline V sqrt(V x) {
  return each_lane<::sqrtf, ::sqrt>(x);
}
template <typename V>
inline V round(V x) {
  return each_lane<::rintf, ::rint>(x);
}
template <typename V>
inline V floor(V x) {
  const V y = round(x);
  return y > x ? y - Lane<V>(1) : y;
}
template <typename V>
inline V ceil(V x) {
  return -floor(-x);
}

/// sin(x + quarters pi/2): sin or cos of r = x - k pi/2, |r| <= pi/4, and a sign, by k + quarters.
template <typename V>
inline V sin_ahead(V x, int quarters) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V rounded = x * M::k2OverPi + M::kRound, k = rounded - M::kRound;
  const Bits<T> n = (Bits<T>)rounded + static_cast<decltype(M::kOne)>(quarters);
  V r = x;
#pragma GCC unroll 4
  for (const T part : M::kHalfPi) r = r - k * part;
  const V z = r * r, s = r + r * z * polynomial<T>(z, M::kSin);
  const V c = (T(1) - T(0.5) * z) + z * z * polynomial<T>(z, M::kCos);
  const Bits<T> sign = (n >> 1) << (8 * sizeof(T) - 1);
  return (V)((Bits<T>)((n & 1) != 0 ? c : s) ^ sign);
}
template <typename M>
inline bool any(M mask) {
  return across(mask, [](M a, M b) { return a | b; })[0] != 0;
}
template <typename V>
inline V sin(V x) {
  return any(abs(x) > MathOf<Lane<V>>::kFar) ? each_lane<::sinf, ::sin>(x) : sin_ahead(x, 0);
}
template <typename V>
inline V cos(V x) {
  return any(abs(x) > MathOf<Lane<V>>::kFar) ? each_lane<::cosf, ::cos>(x) : sin_ahead(x, 1);
}

/// Of positive f32 e^(p log x) in double, else the C library's.
template <typename V>
inline V pow(V x, V p) {
  constexpr int N = kLanes<Lane<V>>, W = kLanes<double>;
  if (N == W || any(((x > 0) == 0) | ((x < MathOf<Lane<V>>::kInf) == 0) | (p - p != 0))) {
    for (int i = 0; i < N; ++i)
      x[i] = N == W ? __builtin_pow(x[i], p[i]) : __builtin_powf(x[i], p[i]);
    return x;
  }
  Lane<V> base[N], power[N];
  store(base, x);
  store(power, p);
  for (int l = 0; l < N; l += W) {
    const auto a = __builtin_convertvector(load<W>(base + l), Vec<double>),
               b = __builtin_convertvector(load<W>(power + l), Vec<double>);
    store<W>(base + l, __builtin_convertvector(exp(b * log(a)), Vec<Lane<V>, W>));
  }
  return load(base);
}

/// tanh(x) = u / (u + 2), u = e^(2|x|) - 1, with the sign of x.
template <typename V>
inline V tanh(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V high = splat(M::kTanhHigh), a = abs(x);
  Bits<T> n;
  const V p = exp_reduced<T>(T(2) * (a > high ? high : a), n);
  const V scale = (V)((n + M::kBias) << M::kMantissa);
  const V u = p * scale + (scale - T(1));
  const Bits<T> sign = (Bits<T>)x & (Bits<T>)splat(T(-0.0));
  return (V)((Bits<T>)(u / (u + T(2))) | sign);
}

/// 1 / (1 + e^-x), from z = e^-|x| (which cannot overflow): 1 / (1 + z) or z / (1 + z).
template <typename V>
inline V sigmoid(V x) {
  using T = Lane<V>;
  const V z = exp_minus_abs(x), one = splat(T(1));
  return (x < T(0) ? z : one) / (one + z);
}

/// e^x - 1 = 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)), so that 2^n may be beyond the range.
template <typename V>
inline V expm1(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V low = splat(T(-4) * M::kTanhHigh), high = splat(M::kExpHigh);  // -1 below
  x = x < low ? low : x > high ? high : x;
  Bits<T> n;
  const V p = exp_reduced<T>(x, n);
  const V half = (V)((n + (M::kBias - 1)) << M::kMantissa);
  return (p * half + (half - T(0.5))) * T(2);
}

/// log(1 + x) for 0 <= x <= 1: log(u) of the rounded sum u, and what was rounded away.
template <typename V>
inline V log1p(V x) {
  using T = Lane<V>;
  const V u = x + T(1);
  return log(u) + (x - (u - T(1))) / u;
}

/// e^(-x^2 / 2), the square in two parts: its rounding error would grow with x^2.
template <typename V>
inline V gauss(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V bound = splat(M::kErfHigh), magnitude = abs(x);
  const V a = magnitude > bound ? bound : magnitude;
  const V high = (V)((Bits<T>)a & M::kSplit), low = a - high;
  const V square = a * a, error = ((high * high - square) + T(2) * high * low) + low * low;
  return exp_minus_abs(T(0.5) * square) * (T(1) - T(0.5) * error);
}

template <typename V>
inline V normal_density(V x) {
  return gauss(x) * constant_like(x, 0.3989422804014327);
}

/// P(z > x) e^(x^2 / 2) of a standard normal z, for x >= 0 (its Mills ratio over sqrt(2 pi)).
template <typename V>
inline V mills(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V bound = splat(M::kErfHigh), a = x > bound ? bound : x;
  const V r = T(1) / (a + M::kMillsCenter);
  return polynomial<T>((a - M::kMillsCenter) * r, M::kMills) * r;
}

/// P(z < x) of a standard normal z.
template <typename V>
inline V normal_distribution(V x) {
  using T = Lane<V>;
  const V tail = mills(abs(x)) * gauss(x);
  return x > T(0) ? T(1) - tail : tail;
}

/// erf(x) = x P(x^2) near 0, else 1 - 2 P(z > sqrt(2) |x|), with the sign of x.
template <typename V>
inline V erf(V x) {
  using T = Lane<V>;
  using M = MathOf<T>;
  const V a = abs(x), root2 = splat(T(1.4142135623730951));
  const V far = T(1) - T(2) * mills(a * root2) * exp_minus_abs(a * a);
  const Bits<T> sign = (Bits<T>)x & (Bits<T>)splat(T(-0.0));
  return a < T(0.5) ? x * polynomial<T>(x * x, M::kErf) : (V)((Bits<T>)far | sign);
}

}  // namespace math
}  // namespace ramp
