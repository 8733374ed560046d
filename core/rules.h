// A rule is a small function, written once as a struct: of one number (rules_unary.h, the
// activations among them), of two (rules_binary.h; rules_loss.h), or an optimizer's step
// (rules_update.h). The kernels compile all rules of a list, so a new op is one struct and one name
// in a list.
//
// The x of a rule is a number or a vector of numbers: it uses what both have, which is arithmetic,
// comparisons, `c ? a : b` and math::. So `auto f(auto x) const { return x < 0 ? 0 : x; }` is
//     float f(float x)              x < 0 is a bool
//     Vec<float> f(Vec<float> x)    x < 0 is a mask and ?: picks lane by lane: 16 floats at a time
//
// NaN stays NaN. The derivative where there is none, one rule for all of them and for every op:
// - at a kink it is 0 where y is flat on one side or turns (relu, clamp at its bounds, |x|), else
//   that of the left side (leaky_relu: the slope); where two inputs tie (maximum), each takes half;
// - at NaN it is not 0, so that nothing hides a NaN: it is NaN, or that of a side that is not flat.
// The second derivative is that of y' by the same rule: 0 at a kink or jump of y' (softsign, elu);
// and where y is made of straight lines (relu) it is 0 everywhere, at NaN too.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <type_traits>
#include <vector>

namespace ramp {

/// The functions that rules are made of: of a number here, of a vector in core/kernels/math.h,
/// where their errors stand.
namespace math {
using std::abs, std::ceil, std::cos, std::erf, std::exp, std::expm1, std::floor, std::log,
    std::log1p, std::pow, std::sin, std::sqrt, std::tanh;
/// To the nearest integer, of two the even one.
template <std::floating_point T>
T round(T x) {
  return std::nearbyint(x);
}
template <std::floating_point T>
T sigmoid(T x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
/// e^(-x^2 / 2) / sqrt(2 pi), and its integral from -inf to x.
template <std::floating_point T>
T normal_density(T x) {
  return std::exp(-x * x / 2) * static_cast<T>(0.398942280401432677939946L);
}
template <std::floating_point T>
T normal_distribution(T x) {
  return std::erfc(x * static_cast<T>(-0.707106781186547524400845L)) / 2;
}

// clang-format off
template <typename V> V abs(V x);
template <typename V> V ceil(V x);
template <typename V> V cos(V x);
template <typename V> V erf(V x);
template <typename V> V exp(V x);
template <typename V> V expm1(V x);
template <typename V> V floor(V x);
template <typename V> V log(V x);
template <typename V> V log1p(V x);  // for 0 <= x <= 1
template <typename V> V normal_density(V x);
template <typename V> V normal_distribution(V x);
template <typename V> V pow(V x, V p);
template <typename V> V round(V x);
template <typename V> V sigmoid(V x);
template <typename V> V sin(V x);
template <typename V> V sqrt(V x);
template <typename V> V tanh(V x);
// clang-format on

/// The number a in the type of x.
template <typename T>
T constant_like(T x, double a) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<T>(a);
  } else {
    return static_cast<std::remove_cvref_t<decltype(x[0])>>(a) - T{};
  }
}
/// x factor, and 0 where the factor is 0, whatever x is.
template <typename T>
T mul_or_zero(T x, T factor) {
  return factor == 0 ? 0 : x * factor;
}
/// min(max(x, -bound), bound)
template <typename T>
T clamp_abs(T x, double bound) {
  const T b = constant_like(x, bound);
  return x > b ? b : x < -b ? -b : x;
}
}  // namespace math

/// The derivative of a rule is a function of y, where that is exact to relative digits (or, for
/// sigmoid and tanh, to the last place of 1), else of x. If it has both, its needs_x() says when y
/// is not enough.
template <typename A>
concept DerivativeOfY = requires(const A& a) {
  { a.derivative_from_y(1.0) } -> std::convertible_to<double>;
};
template <typename A>
concept DerivativeOfX = requires(const A& a) {
  { a.derivative_from_x(1.0) } -> std::convertible_to<double>;
};
template <typename A>
bool needs_x(const A& a) {
  if constexpr (DerivativeOfX<A> && DerivativeOfY<A>) return a.needs_x();
  return !DerivativeOfY<A>;
}
/// The derivative at x if needs_x(a), else at y.
template <typename A>
auto derivative(const A& a, auto x_or_y) {
  if constexpr (!DerivativeOfX<A>) {
    return a.derivative_from_y(x_or_y);
  } else {
    if constexpr (DerivativeOfY<A>)
      if (!a.needs_x()) return a.derivative_from_y(x_or_y);
    return a.derivative_from_x(x_or_y);
  }
}

/// Options are finite unless a rule says else. Its check() throws for those that it forbids:
/// "<rule>: expected <expected>; got <options>." unless ok.
void check_options(const char* rule, bool ok, const char* expected,
                   std::initializer_list<double> options);
/// Finite in f32 too.
inline bool is_finite(double option) { return std::fabs(option) <= 0x1.fffffep127; }
/// And not 0 there: a divisor.
inline bool is_usable(double option) { return is_finite(option) && std::fabs(option) >= 0x1p-126; }

/// What most options are: at least so much, finite; in [0, 1).
inline bool is_at_least(double option, double least = 0) {
  return option >= least && std::isfinite(option);
}
inline bool is_fraction(double option) { return option >= 0 && option < 1; }

/// A name as a template argument: `Comparison<"less", std::less<>>`.
template <size_t n>
struct LiteralName {
  char text[n];
  constexpr LiteralName(const char (&name)[n]) { std::copy_n(name, n, text); }  // NOLINT: implicit
};

template <typename... A>
struct RuleList {
  static constexpr int size = sizeof...(A);
  /// The index of X, or -1.
  template <typename X>
  static constexpr int index() {
    int i = 0, at = -1;
    ((at = std::same_as<X, A> ? i : at, ++i), ...);
    return at;
  }
  static constexpr void for_each(auto f) { (f.template operator()<A>(), ...); }
  template <typename... More>
  using With = RuleList<A..., More...>;
};

}  // namespace ramp
