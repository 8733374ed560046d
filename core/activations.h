// The activations, each written once: value, derivative, formula, kinks, source. A rule works on a
// number, and in the kernels on a vector of numbers; so it uses what both have: arithmetic,
// comparisons, `c ? a : b` and the functions of ramp::math.
//
// All: NaN stays NaN; at +-inf the value and the derivative are their limits. The errors of exp and
// its kin are in core/kernels/math.h, those of the activations in docs/activations.md.
//
// The derivative where there is none, one rule for all of them and for every other op:
// - at a kink it is 0 where y is flat on one side or turns (relu, clamp at its bounds, |x|), else
//   that of the left side (leaky_relu: the slope); where two inputs tie (maximum), each takes half;
// - at NaN it is not 0, so that nothing hides a NaN: it is NaN, or that of a side that is not flat.
//
// Options are finite unless a rule says else; check() throws for those that a rule forbids, when it
// becomes an Activation.
#pragma once

#include <cmath>
#include <concepts>
#include <initializer_list>
#include <vector>

namespace ramp {

/// Throws "<rule>: expected <expected>; got <options>." unless ok.
void check_options(const char* rule, bool ok, const char* expected,
                   std::initializer_list<double> options);
/// Finite in f32 too.
inline bool is_finite(double option) { return std::fabs(option) <= 0x1.fffffep127; }
/// And not 0 there: a divisor.
inline bool is_usable(double option) { return is_finite(option) && std::fabs(option) >= 0x1p-126; }

/// Of a number; of a vector they are in core/kernels/activation.cc.
namespace math {
template <std::floating_point T>
T exp(T x) {
  return std::exp(x);
}
template <std::floating_point T>
T expm1(T x) {
  return std::expm1(x);
}
template <std::floating_point T>
T log1p(T x) {
  return std::log1p(x);
}
template <std::floating_point T>
T tanh(T x) {
  return std::tanh(x);
}
template <std::floating_point T>
T abs(T x) {
  return std::fabs(x);
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
template <typename V>
V exp(V x);
template <typename V>
V expm1(V x);
/// For 0 <= x <= 1.
template <typename V>
V log1p(V x);
template <typename V>
V tanh(V x);
template <typename V>
V abs(V x);
template <typename V>
V sigmoid(V x);
template <typename V>
V normal_density(V x);
template <typename V>
V normal_distribution(V x);

/// The number a in the type of x.
template <typename T>
T like(T x, double a) {
  if constexpr (std::floating_point<T>) {
    return static_cast<T>(a);
  } else {
    return static_cast<std::remove_cvref_t<decltype(x[0])>>(a) - T{};
  }
}
/// x factor, and 0 where the factor is 0, whatever x is.
template <typename T>
T damped(T x, T factor) {
  return factor == 0 ? 0 : x * factor;
}
/// min(max(x, -bound), bound)
template <typename T>
T within(T x, double bound) {
  const T b = like(x, bound);
  return x > b ? b : x < -b ? -b : x;
}
}  // namespace math

/// The derivative of a rule is a function of y, or of x where y is not enough; or either, and then
/// needs_x() says when y is not enough.
template <typename A>
concept DerivesFromY = requires(const A& a) {
  { a.derivative_from_y(1.0) } -> std::convertible_to<double>;
};
template <typename A>
concept DerivesFromX = requires(const A& a) {
  { a.derivative_from_x(1.0) } -> std::convertible_to<double>;
};

/// y = x.
struct Identity {
  static constexpr const char* name = "identity";
  static constexpr const char* formula = "y = x";
  static constexpr const char* derivative = "y' = 1";
  auto f(auto x) const { return x; }
  auto derivative_from_y(auto y) const { return math::like(y, 1); }
};

/// y = max(0, x). At the kink x = 0 the derivative is 0; at NaN it is 1.
/// Source: Nair and Hinton (2010), eq. 1 without the noise.
struct ReLU {
  static constexpr const char* name = "relu";
  static constexpr const char* formula = "y = max(0, x)";
  static constexpr const char* derivative = "y' = x > 0 ? 1 : 0";
  auto f(auto x) const { return x < 0 ? 0 : x; }
  auto derivative_from_y(auto y) const { return y <= 0 ? 0 : math::like(y, 1); }
  std::vector<double> kinks() const { return {0}; }
};

/// y = x for x > 0, slope x otherwise. At x = 0 the derivative is the slope, or 0 if that is
/// negative; at NaN 1. Source: Maas, Hannun and Ng (2013), eq. 2.
struct LeakyReLU {
  static constexpr const char* name = "leaky_relu";
  static constexpr const char* formula = "y = x > 0 ? x : slope x";
  static constexpr const char* derivative = "y' = x > 0 ? 1 : slope";
  double slope = 0.01;
  auto f(auto x) const { return x <= 0 ? math::damped(x, math::like(x, slope)) : x; }
  void check() const { check_options(name, is_finite(slope), "a finite slope", {slope}); }
  auto derivative_from_x(auto x) const {
    const auto s = math::like(x, slope);
    return x < 0 ? s : x > 0 ? 1 : x == 0 ? (s > 0 ? s : 0) : math::like(x, 1);
  }
  auto derivative_from_y(auto y) const { return y <= 0 ? math::like(y, slope) : 1; }
  bool needs_x() const { return slope < 0; }
  std::vector<double> kinks() const { return {0}; }
};

/// y = x for x > 0, alpha (e^x - 1) otherwise. At x = 0 the derivative is alpha, or 0 if that is
/// negative. It is a function of x: y + alpha has few digits, and none from x = -20 on in f32.
/// Source: Clevert, Unterthiner and Hochreiter (2016), eq. 15.
struct ELU {
  static constexpr const char* name = "elu";
  static constexpr const char* formula = "y = x > 0 ? x : alpha (e^x - 1)";
  static constexpr const char* derivative = "y' = x > 0 ? 1 : alpha e^x";
  double alpha = 1;
  auto f(auto x) const { return x > 0 ? x : math::like(x, alpha) * math::expm1(x); }
  void check() const { check_options(name, is_finite(alpha), "a finite alpha", {alpha}); }
  auto derivative_from_x(auto x) const {
    const auto a = math::like(x, alpha);
    return x > 0 ? 1 : x == 0 ? (a < 0 ? 0 : a) : a * math::exp(x);
  }
  std::vector<double> kinks() const { return alpha == 1 ? std::vector<double>{} : std::vector{0.}; }
};

/// y = 1.0507 elu(x) with alpha = 1.6733: the fixed point is mean 0 and variance 1.
/// Source: Klambauer, Unterthiner, Mayr and Hochreiter (2017), eq. 2 and 14.
struct SELU {
  static constexpr const char* name = "selu";
  static constexpr const char* formula = "y = x > 0 ? 1.0507 x : 1.7581 (e^x - 1)";
  static constexpr const char* derivative = "y' = x > 0 ? 1.0507 : 1.7581 e^x";
  static constexpr double kScale = 1.0507009873554805, kAlpha = 1.6732632423543772 * kScale;
  auto f(auto x) const {
    return x > 0 ? math::like(x, kScale) * x : math::like(x, kAlpha) * math::expm1(x);
  }
  auto derivative_from_x(auto x) const {
    return x > 0 ? math::like(x, kScale) : math::like(x, kAlpha) * math::exp(x);
  }
  std::vector<double> kinks() const { return {0}; }
};

/// y = x for x > 0, alpha (e^(x / alpha) - 1) otherwise: as ELU, but without a kink.
/// Errors: alpha = 0. Source: Barron (2017), eq. 2.
struct CELU {
  static constexpr const char* name = "celu";
  static constexpr const char* formula = "y = x > 0 ? x : alpha (e^(x/alpha) - 1)";
  static constexpr const char* derivative = "y' = x > 0 ? 1 : e^(x/alpha)";
  double alpha = 1;
  auto f(auto x) const {
    const auto a = math::like(x, alpha);
    return x > 0 ? x : a * math::expm1(x / a);
  }
  void check() const { check_options(name, is_usable(alpha), "a finite alpha, not 0", {alpha}); }
  auto derivative_from_x(auto x) const { return x > 0 ? 1 : math::exp(x / math::like(x, alpha)); }
};

/// y = min(max(x, 0), limit), limit up to inf. The derivative is 0 at both kinks.
/// Errors: limit < 0.
struct ClippedReLU {
  static constexpr const char* name = "clipped_relu";
  static constexpr const char* formula = "y = min(max(x, 0), limit)";
  static constexpr const char* derivative = "y' = 0 < x < limit ? 1 : 0";
  double limit = 1;
  void check() const { check_options(name, limit >= 0, "limit >= 0", {limit}); }
  auto f(auto x) const {
    const auto n = math::like(x, limit);
    return x < 0 ? 0 : x > n ? n : x;
  }
  auto derivative_from_y(auto y) const {
    return y <= 0 ? 0 : y >= math::like(y, limit) ? 0 : math::like(y, 1);
  }
  std::vector<double> kinks() const { return {0, limit}; }
};

/// The clipped ReLU with limit 6. Source: Krizhevsky (2010), section 3.1.
struct ReLU6 : private ClippedReLU {
  static constexpr const char* name = "relu6";
  static constexpr const char* formula = "y = min(max(x, 0), 6)";
  static constexpr const char* derivative = "y' = 0 < x < 6 ? 1 : 0";
  ReLU6() : ClippedReLU{6} {}
  using ClippedReLU::derivative_from_y, ClippedReLU::f, ClippedReLU::kinks;
};

/// y = max(0, x)^2. Source: So et al. (2021), section 4.2.
struct SquaredReLU {
  static constexpr const char* name = "squared_relu";
  static constexpr const char* formula = "y = max(0, x)^2";
  static constexpr const char* derivative = "y' = 2 max(0, x)";
  auto f(auto x) const { return x < 0 ? 0 : x * x; }
  auto derivative_from_x(auto x) const { return x < 0 ? 0 : x + x; }
};

/// y = x for x > theta, else 0: a jump at theta, where the derivative is 0.
/// Source: Konda, Memisevic and Krueger (2015), eq. 12.
struct ThresholdedReLU {
  static constexpr const char* name = "thresholded_relu";
  static constexpr const char* formula = "y = x > theta ? x : 0";
  static constexpr const char* derivative = "y' = x > theta ? 1 : 0";
  double theta = 1;
  void check() const { check_options(name, is_finite(theta), "a finite theta", {theta}); }
  auto f(auto x) const { return x <= math::like(x, theta) ? 0 : x; }
  auto derivative_from_x(auto x) const { return x <= math::like(x, theta) ? 0 : math::like(x, 1); }
  auto derivative_from_y(auto y) const { return y == 0 ? 0 : math::like(y, 1); }
  bool needs_x() const { return theta < 0; }
  std::vector<double> kinks() const { return {theta}; }
};

/// A ReLU whose corner is a parabola of width 2 beta. Errors: beta <= 0.
/// Source: Shamir, Lin and Coviello (2020), eq. 4.
struct SmeLU {
  static constexpr const char* name = "smelu";
  static constexpr const char* formula = "y = |x| < beta ? (x + beta)^2 / (4 beta) : max(0, x)";
  static constexpr const char* derivative = "y' = |x| < beta ? (x + beta) / (2 beta) : x > 0";
  double beta = 1;
  void check() const {
    check_options(name, beta > 0 && is_usable(beta), "a finite beta > 0", {beta});
  }
  auto f(auto x) const {
    const auto b = math::like(x, beta), u = x + b;
    return u <= 0 ? 0 : x >= b ? x : u * (u / b) / 4;
  }
  auto derivative_from_x(auto x) const {
    const auto b = math::like(x, beta), u = x + b;
    return u <= 0 ? 0 : x >= b ? 1 : u / b / 2;
  }
};

/// y = x P(z < x) for z ~ N(0, 1). Source: Hendrycks and Gimpel (2016), eq. 1.
struct GELU {
  static constexpr const char* name = "gelu";
  static constexpr const char* formula = "y = x (1 + erf(x / sqrt 2)) / 2";
  static constexpr const char* derivative = "y' = y/x + x e^(-x^2/2) / sqrt(2 pi)";
  auto f(auto x) const { return math::damped(x, math::normal_distribution(x)); }
  auto derivative_from_x(auto x) const {
    return math::normal_distribution(x) + math::damped(x, math::normal_density(x));
  }
};

/// y = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): GELU to three digits.
/// Source: Hendrycks and Gimpel (2016), section 2.
struct GELUTanh {
  static constexpr const char* name = "gelu_tanh";
  static constexpr const char* formula = "y = x (1 + tanh(u)) / 2, u = 0.7979 (x + 0.0447 x^3)";
  static constexpr const char* derivative = "y' = (1 + tanh(u)) / 2 + x (1 - tanh(u)^2) u' / 2";
  static constexpr double kRoot = 2 * 0.7978845608028654, kCube = kRoot * 0.044715;
  auto f(auto x) const { return math::damped(x, math::sigmoid(twice_u(math::within(x, 1e3)))); }
  auto derivative_from_x(auto x) const {
    const auto z = math::within(x, 1e3), s = math::sigmoid(twice_u(z));
    return s + z * s * (1 - s) * (math::like(z, kRoot) + math::like(z, 3 * kCube) * z * z);
  }
  static auto twice_u(auto x) { return x * (math::like(x, kRoot) + math::like(x, kCube) * x * x); }
};

/// y = x sigmoid(beta x). Source: Ramachandran, Zoph and Le (2017), section 4.
struct Swish {
  static constexpr const char* name = "swish";
  static constexpr const char* formula = "y = x s, s = 1 / (1 + e^(-beta x))";
  static constexpr const char* derivative = "y' = s + beta y (1 - s)";
  double beta = 1;
  void check() const { check_options(name, is_finite(beta), "a finite beta", {beta}); }
  auto f(auto x) const {
    return math::damped(x, math::sigmoid(math::damped(x, math::like(x, beta))));
  }
  auto derivative_from_x(auto x) const {
    const auto z = math::damped(x, math::like(x, beta)), s = math::sigmoid(z);
    return s + math::damped(z, s * (1 - s));
  }
};

/// Swish with beta = 1. Source: Elfwing, Uchibe and Doya (2018), eq. 5.
struct SiLU : private Swish {
  static constexpr const char* name = "silu";
  static constexpr const char* formula = "y = x s, s = 1 / (1 + e^-x)";
  static constexpr const char* derivative = "y' = s + y (1 - s)";
  using Swish::derivative_from_x, Swish::f;
};

/// y = x tanh(log(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2). Source: Misra (2020), eq. 1.
struct Mish {
  static constexpr const char* name = "mish";
  static constexpr const char* formula = "y = x t, t = tanh(log(1 + e^x))";
  static constexpr const char* derivative = "y' = t + x (1 - t^2) / (1 + e^-x)";
  auto f(auto x) const {
    const auto e = math::exp(x > 40 ? 40 : x), n = e * (e + 2);  // t = 1 from there on
    return math::damped(x, n / (n + 2));
  }
  auto derivative_from_x(auto x) const {
    const auto z = x > 40 ? 40 : x < -1000 ? -1000 : x, e = math::exp(z), n = e * (e + 2);
    return n / (n + 2) + z * (4 * e * (e + 1)) / ((n + 2) * (n + 2));
  }
};

/// y = x hard_sigmoid(x). The derivative is 0 at the kink -3, 1.5 at 3.
/// Source: Howard et al. (2019), section 5.2.
struct HardSwish {
  static constexpr const char* name = "hard_swish";
  static constexpr const char* formula = "y = x min(max(x + 3, 0), 6) / 6";
  static constexpr const char* derivative = "y' = x <= -3 ? 0 : x > 3 ? 1 : x/3 + 1/2";
  auto f(auto x) const { return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6; }
  auto derivative_from_x(auto x) const { return x <= -3 ? 0 : x > 3 ? 1 : x / 3 + 0.5f; }
  std::vector<double> kinks() const { return {-3, 3}; }
};

/// y = min(max(x + 3, 0), 6) / 6. The derivative is 0 at both kinks.
/// Source: Howard et al. (2019), section 5.2.
struct HardSigmoid {
  static constexpr const char* name = "hard_sigmoid";
  static constexpr const char* formula = "y = min(max(x + 3, 0), 6) / 6";
  static constexpr const char* derivative = "y' = |x| < 3 ? 1/6 : 0";
  auto f(auto x) const { return x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6; }
  auto derivative_from_y(auto y) const { return y <= 0 ? 0 : y >= 1 ? 0 : math::like(y, 1. / 6); }
  std::vector<double> kinks() const { return {-3, 3}; }
};

/// y = min(max(x, low), high), either of them up to inf. The derivative is 0 at both kinks.
/// Errors: low > high. Source: Collobert (2004), eq. 6.2.
struct HardTanh {
  static constexpr const char* name = "hard_tanh";
  static constexpr const char* formula = "y = min(max(x, low), high)";
  static constexpr const char* derivative = "y' = low < x < high ? 1 : 0";
  double low = -1, high = 1;
  void check() const { check_options(name, low <= high, "low <= high", {low, high}); }
  auto f(auto x) const {
    const auto a = math::like(x, low), b = math::like(x, high);
    return x < a ? a : x > b ? b : x;
  }
  auto derivative_from_y(auto y) const {
    return y <= math::like(y, low) ? 0 : y >= math::like(y, high) ? 0 : math::like(y, 1);
  }
  std::vector<double> kinks() const { return {low, high}; }
};

/// y = log(1 + e^(beta x)) / beta. Errors: beta = 0. Source: Dugas et al. (2001), section 2.
struct Softplus {
  static constexpr const char* name = "softplus";
  static constexpr const char* formula = "y = log(1 + e^(beta x)) / beta";
  static constexpr const char* derivative = "y' = 1 / (1 + e^(-beta x))";
  double beta = 1;
  void check() const { check_options(name, is_usable(beta), "a finite beta, not 0", {beta}); }
  auto f(auto x) const {  // beta x may be inf where x is not
    const auto b = math::like(x, beta), z = b * x;
    return (z < 0 ? 0 : x) + math::log1p(math::exp(-math::abs(z))) / b;
  }
  auto derivative_from_y(auto y) const { return -math::expm1(math::like(y, -beta) * y); }
};

/// y = x / (1 + |x|). Source: Turian, Bergstra and Bengio (2009), section 4.
struct Softsign {
  static constexpr const char* name = "softsign";
  static constexpr const char* formula = "y = x / (1 + |x|)";
  static constexpr const char* derivative = "y' = 1 / (1 + |x|)^2";
  auto f(auto x) const {
    const auto z = math::within(x, 1e30);
    return z / (1 + math::abs(z));
  }
  auto derivative_from_x(auto x) const {
    const auto r = 1 / (1 + math::abs(x));
    return r * r;
  }
};

/// y = log(1 / (1 + e^-x)).
struct LogSigmoid {
  static constexpr const char* name = "log_sigmoid";
  static constexpr const char* formula = "y = -log(1 + e^-x)";
  static constexpr const char* derivative = "y' = 1 / (1 + e^x)";
  auto f(auto x) const { return (x > 0 ? 0 : x) - math::log1p(math::exp(-math::abs(x))); }
  auto derivative_from_y(auto y) const { return -math::expm1(y); }
};

/// y = 1 / (1 + e^-x). The derivative is good to the last place of 1: 0 in f32 from x = 17 on.
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr const char* formula = "y = 1 / (1 + e^-x)";
  static constexpr const char* derivative = "y' = y (1 - y)";
  auto f(auto x) const { return math::sigmoid(x); }
  auto derivative_from_y(auto y) const { return y * (1 - y); }
};

/// y = (e^x - e^-x) / (e^x + e^-x). The derivative is good to the last place of 1, as sigmoid's.
struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr const char* formula = "y = tanh(x)";
  static constexpr const char* derivative = "y' = 1 - y^2";
  auto f(auto x) const { return math::tanh(x); }
  auto derivative_from_y(auto y) const { return 1 - y * y; }
};

template <typename... A>
struct RuleList {
  static constexpr int size = sizeof...(A);
  /// The place of X, or -1.
  template <typename X>
  static constexpr int index() {
    int i = 0, at = -1;
    ((at = std::same_as<X, A> ? i : at, ++i), ...);
    return at;
  }
  static void for_each(auto f) { (f.template operator()<A>(), ...); }
};
/// Those that have a kernel.
using BuiltinRules =
    RuleList<Identity, ReLU, LeakyReLU, ELU, SELU, CELU, ClippedReLU, ReLU6, SquaredReLU,
             ThresholdedReLU, SmeLU, GELU, GELUTanh, Swish, SiLU, Mish, HardSwish, HardSigmoid,
             HardTanh, Softplus, Softsign, LogSigmoid, Sigmoid, Tanh>;

}  // namespace ramp
