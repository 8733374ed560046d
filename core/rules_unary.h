// The functions of one number, each written once: value, derivatives, formula, kinks, source; see
// rules.h. First the activations, which layers run fused; docs/activations.md shows them.
//
// At +-inf the value and the derivative are their limits. The errors of exp and its kin are in
// core/kernels/math.h, those of the activations in docs/activations.md.
#pragma once

#include "ramp/core/rules.h"

namespace ramp {

/// y = x.
struct Identity {
  static constexpr const char *name = "identity", *formula = "y = x";
  static constexpr const char *derivative = "y' = 1", *second = "y'' = 0";
  auto f(auto x) const { return x; }
  auto derivative_from_y(auto y) const { return math::constant_like(y, 1); }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
};

/// y = max(0, x). At the kink x = 0 the derivative is 0; at NaN it is 1.
/// Source: Nair and Hinton (2010), eq. 1 without the noise.
struct ReLU {
  static constexpr const char *name = "relu", *formula = "y = max(0, x)";
  static constexpr const char *derivative = "y' = x > 0 ? 1 : 0", *second = "y'' = 0";
  auto f(auto x) const { return x < 0 ? 0 : x; }
  auto derivative_from_y(auto y) const { return y <= 0 ? 0 : math::constant_like(y, 1); }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
  std::vector<double> kinks() const { return {0}; }
};

/// y = x for x > 0, slope x otherwise. At x = 0 the derivative is the slope, or 0 if that is
/// negative; at NaN 1. Source: Maas, Hannun and Ng (2013), eq. 2.
struct LeakyReLU {
  static constexpr const char *name = "leaky_relu", *formula = "y = x > 0 ? x : slope x";
  static constexpr const char *derivative = "y' = x > 0 ? 1 : slope", *second = "y'' = 0";
  double slope = 0.01;
  auto f(auto x) const { return x <= 0 ? math::mul_or_zero(x, math::constant_like(x, slope)) : x; }
  void check() const { check_options(name, is_finite(slope), "a finite slope", {slope}); }
  auto derivative_from_x(auto x) const {
    const auto s = math::constant_like(x, slope);
    return x < 0 ? s : x > 0 ? 1 : x == 0 ? (s > 0 ? s : 0) : math::constant_like(x, 1);
  }
  auto derivative_from_y(auto y) const { return y <= 0 ? math::constant_like(y, slope) : 1; }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
  bool needs_x() const { return slope < 0; }
  std::vector<double> kinks() const { return {0}; }
};

/// y = x for x > 0, alpha (e^x - 1) otherwise. At x = 0 the derivative is alpha, or 0 if that is
/// negative. It is a function of x: y + alpha has few digits, and none from x = -20 on in f32.
/// Source: Clevert, Unterthiner and Hochreiter (2016), eq. 15.
struct ELU {
  static constexpr const char *name = "elu", *formula = "y = x > 0 ? x : alpha (e^x - 1)";
  static constexpr const char *derivative = "y' = x > 0 ? 1 : alpha e^x",
                              *second = "y'' = x < 0 ? alpha e^x : 0";
  double alpha = 1;
  auto f(auto x) const { return x > 0 ? x : math::constant_like(x, alpha) * math::expm1(x); }
  void check() const { check_options(name, is_finite(alpha), "a finite alpha", {alpha}); }
  auto derivative_from_x(auto x) const {
    const auto a = math::constant_like(x, alpha);
    return x > 0 ? 1 : x == 0 ? (a < 0 ? 0 : a) : a * math::exp(x);
  }
  auto second_derivative_from_x(auto x) const { return x >= 0 ? 0 : derivative_from_x(x); }
  std::vector<double> kinks() const { return alpha == 1 ? std::vector<double>{} : std::vector{0.}; }
};

/// y = 1.0507 elu(x) with alpha = 1.6733: the fixed point is mean 0 and variance 1.
/// Source: Klambauer, Unterthiner, Mayr and Hochreiter (2017), eq. 2 and 14.
struct SELU {
  static constexpr const char *name = "selu", *formula = "y = x > 0 ? 1.0507 x : 1.7581 (e^x - 1)";
  static constexpr const char *derivative = "y' = x > 0 ? 1.0507 : 1.7581 e^x",
                              *second = "y'' = x < 0 ? 1.7581 e^x : 0";
  static constexpr double kScale = 1.0507009873554805, kAlpha = 1.6732632423543772 * kScale;
  auto f(auto x) const {
    return x > 0 ? math::constant_like(x, kScale) * x
                 : math::constant_like(x, kAlpha) * math::expm1(x);
  }
  auto derivative_from_x(auto x) const {
    return x > 0 ? math::constant_like(x, kScale) : math::constant_like(x, kAlpha) * math::exp(x);
  }
  auto second_derivative_from_x(auto x) const { return x >= 0 ? 0 : derivative_from_x(x); }
  std::vector<double> kinks() const { return {0}; }
};

/// y = x for x > 0, alpha (e^(x / alpha) - 1) otherwise: as ELU, but without a kink.
/// Errors: alpha = 0. Source: Barron (2017), eq. 2.
struct CELU {
  static constexpr const char *name = "celu", *formula = "y = x > 0 ? x : alpha (e^(x/alpha) - 1)";
  static constexpr const char *derivative = "y' = x > 0 ? 1 : e^(x/alpha)",
                              *second = "y'' = x < 0 ? e^(x/alpha) / alpha : 0";
  double alpha = 1;
  auto f(auto x) const {
    const auto a = math::constant_like(x, alpha);
    return x > 0 ? x : a * math::expm1(x / a);
  }
  void check() const { check_options(name, is_usable(alpha), "a finite alpha, not 0", {alpha}); }
  auto derivative_from_x(auto x) const {
    return x > 0 ? 1 : math::exp(x / math::constant_like(x, alpha));
  }
  auto second_derivative_from_x(auto x) const {
    return x >= 0 ? 0 : derivative_from_x(x) / math::constant_like(x, alpha);
  }
};

/// y = min(max(x, low), high), either of them up to inf. The derivative is 0 at both kinks.
/// Errors: low > high. Source: Collobert (2004), eq. 6.2.
struct HardTanh {
  static constexpr const char *name = "hard_tanh", *formula = "y = min(max(x, low), high)";
  static constexpr const char *derivative = "y' = low < x < high ? 1 : 0", *second = "y'' = 0";
  double low = -1, high = 1;
  void check() const { check_options(name, low <= high, "low <= high", {low, high}); }
  auto f(auto x) const {
    const auto a = math::constant_like(x, low), b = math::constant_like(x, high);
    return x < a ? a : x > b ? b : x;
  }
  auto derivative_from_y(auto y) const {
    return y <= math::constant_like(y, low)    ? 0
           : y >= math::constant_like(y, high) ? 0
                                               : math::constant_like(y, 1);
  }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
  std::vector<double> kinks() const { return {low, high}; }
};

/// y = min(max(x, 0), limit), limit up to inf. The derivative is 0 at both kinks.
/// Errors: limit < 0.
struct ClippedReLU {
  static constexpr const char *name = "clipped_relu", *formula = "y = min(max(x, 0), limit)";
  static constexpr const char *derivative = "y' = 0 < x < limit ? 1 : 0", *second = "y'' = 0";
  double limit = 1;
  void check() const { check_options(name, limit >= 0, "limit >= 0", {limit}); }
  auto f(auto x) const { return HardTanh{0, limit}.f(x); }
  auto derivative_from_y(auto y) const { return HardTanh{0, limit}.derivative_from_y(y); }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
  std::vector<double> kinks() const { return {0, limit}; }
};

/// The clipped ReLU with limit 6. Source: Krizhevsky (2010), section 3.1.
struct ReLU6 : private ClippedReLU {
  static constexpr const char *name = "relu6", *formula = "y = min(max(x, 0), 6)";
  static constexpr const char *derivative = "y' = 0 < x < 6 ? 1 : 0", *second = "y'' = 0";
  ReLU6() : ClippedReLU{6} {}
  using ClippedReLU::derivative_from_y, ClippedReLU::f, ClippedReLU::kinks,
      ClippedReLU::second_derivative_from_x;
};

/// y = max(0, x)^2. Source: So et al. (2021), section 4.2.
struct SquaredReLU {
  static constexpr const char *name = "squared_relu", *formula = "y = max(0, x)^2";
  static constexpr const char *derivative = "y' = 2 max(0, x)", *second = "y'' = x > 0 ? 2 : 0";
  auto f(auto x) const { return x < 0 ? 0 : x * x; }
  auto derivative_from_x(auto x) const { return x < 0 ? 0 : x + x; }
  auto second_derivative_from_x(auto x) const { return x <= 0 ? 0 : math::constant_like(x, 2); }
};

/// y = x for x > theta, else 0: a jump at theta, where the derivative is 0.
/// Source: Konda, Memisevic and Krueger (2015), eq. 12.
struct ThresholdedReLU {
  static constexpr const char *name = "thresholded_relu", *formula = "y = x > theta ? x : 0";
  static constexpr const char *derivative = "y' = x > theta ? 1 : 0", *second = "y'' = 0";
  double theta = 1;
  void check() const { check_options(name, is_finite(theta), "a finite theta", {theta}); }
  auto f(auto x) const { return x <= math::constant_like(x, theta) ? 0 : x; }
  auto derivative_from_x(auto x) const {
    return x <= math::constant_like(x, theta) ? 0 : math::constant_like(x, 1);
  }
  auto derivative_from_y(auto y) const { return y == 0 ? 0 : math::constant_like(y, 1); }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
  bool needs_x() const { return theta < 0; }
  std::vector<double> kinks() const { return {theta}; }
};

/// A ReLU whose corner is a parabola of width 2 beta. Errors: beta <= 0.
/// Source: Shamir, Lin and Coviello (2020), eq. 4.
struct SmeLU {
  static constexpr const char *name = "smelu",
                              *formula = "y = |x| < beta ? (x + beta)^2 / (4 beta) : max(0, x)";
  static constexpr const char *derivative = "y' = |x| < beta ? (x + beta) / (2 beta) : x > 0",
                              *second = "y'' = |x| < beta ? 1 / (2 beta) : 0";
  double beta = 1;
  void check() const {
    check_options(name, beta > 0 && is_usable(beta), "a finite beta > 0", {beta});
  }
  auto f(auto x) const {
    const auto b = math::constant_like(x, beta), u = x + b;
    return u <= 0 ? 0 : x >= b ? x : u * (u / b) / 4;
  }
  auto derivative_from_x(auto x) const {
    const auto b = math::constant_like(x, beta), u = x + b;
    return u <= 0 ? 0 : x >= b ? 1 : u / b / 2;
  }
  auto second_derivative_from_x(auto x) const {
    return math::abs(x) >= math::constant_like(x, beta) ? 0 : math::constant_like(x, 0.5 / beta);
  }
};

/// y = x P(z < x) for z ~ N(0, 1). Source: Hendrycks and Gimpel (2016), eq. 1.
struct GELU {
  static constexpr const char *name = "gelu", *formula = "y = x (1 + erf(x / sqrt 2)) / 2";
  static constexpr const char *derivative = "y' = y/x + x e^(-x^2/2) / sqrt(2 pi)",
                              *second = "y'' = (2 - x^2) e^(-x^2/2) / sqrt(2 pi)";
  auto f(auto x) const { return math::mul_or_zero(x, math::normal_distribution(x)); }
  auto derivative_from_x(auto x) const {
    return math::normal_distribution(x) + math::mul_or_zero(x, math::normal_density(x));
  }
  auto second_derivative_from_x(auto x) const {
    return math::mul_or_zero(2 - x * x, math::normal_density(x));
  }
};

/// y = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): GELU to three digits.
/// Source: Hendrycks and Gimpel (2016), section 2.
struct GELUTanh {
  static constexpr const char *name = "gelu_tanh",
                              *formula = "y = x (1 + tanh(u)) / 2, u = 0.7979 (x + 0.0447 x^3)";
  static constexpr const char *derivative = "y' = (1 + tanh(u)) / 2 + x (1 - tanh(u)^2) u' / 2",
                              *second = "y'' = (1 - t^2) (u' + x (u''/2 - t u'^2)), t = tanh(u)";
  static constexpr double kRoot = 2 * 0.7978845608028654, kCube = kRoot * 0.044715;
  auto f(auto x) const {
    return math::mul_or_zero(x, math::sigmoid(twice_u(math::clamp_abs(x, 1e3))));
  }
  auto derivative_from_x(auto x) const {
    const auto z = math::clamp_abs(x, 1e3), s = math::sigmoid(twice_u(z));
    return s + z * s * (1 - s) *
                   (math::constant_like(z, kRoot) + math::constant_like(z, 3 * kCube) * z * z);
  }
  auto second_derivative_from_x(auto x) const {
    const auto z = math::clamp_abs(x, 1e3), v = twice_u(z), s = math::sigmoid(v);
    const auto c = math::constant_like(z, 3 * kCube), d = math::constant_like(z, kRoot) + c * z * z;
    return s * math::sigmoid(-v) * (2 * d + z * (2 * c * z + (1 - 2 * s) * d * d));
  }
  static auto twice_u(auto x) {
    return x * (math::constant_like(x, kRoot) + math::constant_like(x, kCube) * x * x);
  }
};

/// y = x sigmoid(beta x). Source: Ramachandran, Zoph and Le (2017), section 4.
struct Swish {
  static constexpr const char *name = "swish", *formula = "y = x s, s = 1 / (1 + e^(-beta x))";
  static constexpr const char *derivative = "y' = s + beta y (1 - s)",
                              *second = "y'' = beta s (1 - s) (2 + beta x (1 - 2 s))";
  double beta = 1;
  void check() const { check_options(name, is_finite(beta), "a finite beta", {beta}); }
  auto f(auto x) const {
    return math::mul_or_zero(x, math::sigmoid(math::mul_or_zero(x, math::constant_like(x, beta))));
  }
  auto derivative_from_x(auto x) const {
    const auto z = math::mul_or_zero(x, math::constant_like(x, beta)), s = math::sigmoid(z);
    return s + math::mul_or_zero(z, s * (1 - s));
  }
  auto second_derivative_from_x(auto x) const {
    const auto b = math::constant_like(x, beta), z = math::mul_or_zero(x, b), s = math::sigmoid(z);
    return math::mul_or_zero(2 + z * (1 - 2 * s), b * s * math::sigmoid(-z));
  }
};

/// Swish with beta = 1. Source: Elfwing, Uchibe and Doya (2018), eq. 5.
struct SiLU : private Swish {
  static constexpr const char *name = "silu", *formula = "y = x s, s = 1 / (1 + e^-x)";
  static constexpr const char *derivative = "y' = s + y (1 - s)",
                              *second = "y'' = s (1 - s) (2 + x (1 - 2 s))";
  using Swish::derivative_from_x, Swish::f, Swish::second_derivative_from_x;
};

/// y = x tanh(log(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2). Source: Misra (2020), eq. 1.
struct Mish {
  static constexpr const char *name = "mish", *formula = "y = x t, t = tanh(log(1 + e^x))";
  static constexpr const char *derivative = "y' = t + x s (1 - t^2), s = 1 / (1 + e^-x)",
                              *second = "y'' = s (1 - t^2) (2 + x (1 - s - 2 t s))";
  auto f(auto x) const {
    const auto e = math::exp(x > 40 ? 40 : x), n = e * (e + 2);  // t = 1 from there on
    return math::mul_or_zero(x, n / (n + 2));
  }
  auto derivative_from_x(auto x) const {
    const auto z = x > 40 ? 40 : x < -1000 ? -1000 : x, e = math::exp(z), n = e * (e + 2);
    return n / (n + 2) + z * (4 * e * (e + 1)) / ((n + 2) * (n + 2));
  }
  auto second_derivative_from_x(auto x) const {  // 0 where e * e is inf
    const auto z = x > 400 ? 400 : x < -1000 ? -1000 : x, e = math::exp(z), d = e * (e + 2) + 2;
    const auto r = (e + 1) / d, s = math::sigmoid(z);
    return 4 * r * r * s * (2 + z * (1 - s - 2 * s * (1 - 2 / d)));
  }
};

/// y = x hard_sigmoid(x). The derivative is 0 at the kink -3, 1.5 at 3.
/// Source: Howard et al. (2019), section 5.2.
struct HardSwish {
  static constexpr const char *name = "hard_swish", *formula = "y = x min(max(x + 3, 0), 6) / 6";
  static constexpr const char *derivative = "y' = x <= -3 ? 0 : x > 3 ? 1 : x/3 + 1/2",
                              *second = "y'' = |x| < 3 ? 1/3 : 0";
  auto f(auto x) const { return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6; }
  auto derivative_from_x(auto x) const { return x <= -3 ? 0 : x > 3 ? 1 : x / 3 + 0.5f; }
  auto second_derivative_from_x(auto x) const {
    return math::abs(x) >= 3 ? 0 : math::constant_like(x, 1. / 3);
  }
  std::vector<double> kinks() const { return {-3, 3}; }
};

/// y = min(max(x + 3, 0), 6) / 6. The derivative is 0 at both kinks.
/// Source: Howard et al. (2019), section 5.2.
struct HardSigmoid {
  static constexpr const char *name = "hard_sigmoid", *formula = "y = min(max(x + 3, 0), 6) / 6";
  static constexpr const char *derivative = "y' = |x| < 3 ? 1/6 : 0", *second = "y'' = 0";
  auto f(auto x) const { return x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6; }
  auto derivative_from_y(auto y) const {
    return y <= 0 ? 0 : y >= 1 ? 0 : math::constant_like(y, 1. / 6);
  }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
  std::vector<double> kinks() const { return {-3, 3}; }
};

/// y = log(1 + e^(beta x)) / beta. Errors: beta = 0. Source: Dugas et al. (2001), section 2.
struct Softplus {
  static constexpr const char *name = "softplus", *formula = "y = log(1 + e^(beta x)) / beta";
  static constexpr const char *derivative = "y' = 1 / (1 + e^(-beta x))",
                              *second = "y'' = beta y' (1 - y')";
  double beta = 1;
  void check() const { check_options(name, is_usable(beta), "a finite beta, not 0", {beta}); }
  auto f(auto x) const {  // beta x may be inf where x is not
    const auto b = math::constant_like(x, beta), z = b * x;
    return (z < 0 ? 0 : x) + math::log1p(math::exp(-math::abs(z))) / b;
  }
  auto derivative_from_y(auto y) const { return -math::expm1(math::constant_like(y, -beta) * y); }
  auto second_derivative_from_x(auto x) const {
    const auto b = math::constant_like(x, beta), z = b * x;
    return b * math::sigmoid(z) * math::sigmoid(-z);
  }
};

/// y = x / (1 + |x|). Source: Turian, Bergstra and Bengio (2009), section 4.
struct Softsign {
  static constexpr const char *name = "softsign", *formula = "y = x / (1 + |x|)";
  static constexpr const char *derivative = "y' = 1 / (1 + |x|)^2",
                              *second = "y'' = -2 sign(x) / (1 + |x|)^3";
  auto f(auto x) const {
    const auto z = math::clamp_abs(x, 1e30);
    return z / (1 + math::abs(z));
  }
  auto derivative_from_x(auto x) const {
    const auto r = 1 / (1 + math::abs(x));
    return r * r;
  }
  auto second_derivative_from_x(auto x) const {
    const auto r = 1 / (1 + math::abs(x)), d = 2 * r * r * r;
    return x < 0 ? d : x == 0 ? 0 : -d;
  }
};

/// y = log(1 / (1 + e^-x)).
struct LogSigmoid {
  static constexpr const char *name = "log_sigmoid", *formula = "y = -log(1 + e^-x)";
  static constexpr const char *derivative = "y' = 1 / (1 + e^x)", *second = "y'' = -y' (1 - y')";
  auto f(auto x) const { return (x > 0 ? 0 : x) - math::log1p(math::exp(-math::abs(x))); }
  auto derivative_from_y(auto y) const { return -math::expm1(y); }
  auto second_derivative_from_x(auto x) const { return -math::sigmoid(x) * math::sigmoid(-x); }
};

/// y = 1 / (1 + e^-x). The derivative is good to the last place of 1: 0 in f32 from x = 17 on.
struct Sigmoid {
  static constexpr const char *name = "sigmoid", *formula = "y = 1 / (1 + e^-x)";
  static constexpr const char *derivative = "y' = y (1 - y)", *second = "y'' = y' (1 - 2 y)";
  auto f(auto x) const { return math::sigmoid(x); }
  auto derivative_from_y(auto y) const { return y * (1 - y); }
  auto second_derivative_from_x(auto x) const {
    return -math::sigmoid(x) * math::sigmoid(-x) * math::tanh(x / 2);
  }
};

/// y = (e^x - e^-x) / (e^x + e^-x). The derivative is good to the last place of 1, as sigmoid's.
struct Tanh {
  static constexpr const char *name = "tanh", *formula = "y = tanh(x)";
  static constexpr const char *derivative = "y' = 1 - y^2", *second = "y'' = -2 y y'";
  auto f(auto x) const { return math::tanh(x); }
  auto derivative_from_y(auto y) const { return 1 - y * y; }
  auto second_derivative_from_x(auto x) const {  // 1 - y^2 = 4 s(2 x) s(-2 x)
    return -8 * math::tanh(x) * math::sigmoid(2 * x) * math::sigmoid(-2 * x);
  }
};

/// Those that have a page and a picture.
using Activations =
    RuleList<Identity, ReLU, LeakyReLU, ELU, SELU, CELU, ClippedReLU, ReLU6, SquaredReLU,
             ThresholdedReLU, SmeLU, GELU, GELUTanh, Swish, SiLU, Mish, HardSwish, HardSigmoid,
             HardTanh, Softplus, Softsign, LogSigmoid, Sigmoid, Tanh>;

/// y = e^x.
struct Exp {
  static constexpr const char *name = "exp", *formula = "y = e^x";
  auto f(auto x) const { return math::exp(x); }
  auto derivative_from_y(auto y) const { return y; }
  auto second_derivative_from_x(auto x) const { return math::exp(x); }
};

/// y = ln x, -inf at 0, NaN below.
struct Log {
  static constexpr const char *name = "log", *formula = "y = ln x";
  auto f(auto x) const { return math::log(x); }
  auto derivative_from_x(auto x) const { return 1 / x; }
  auto second_derivative_from_x(auto x) const { return -(1 / x) * (1 / x); }
};

/// y = sqrt(x), NaN below 0. At 0 the derivative is inf.
struct Sqrt {
  static constexpr const char *name = "sqrt", *formula = "y = sqrt(x)";
  auto f(auto x) const { return math::sqrt(x); }
  auto derivative_from_y(auto y) const { return 1 / (y + y); }
  auto second_derivative_from_x(auto x) const { return -1 / (4 * x * math::sqrt(x)); }
};

/// y = x^p, as the C function; the derivative of x^0 is 0.
struct Power {
  static constexpr const char *name = "pow", *formula = "y = x^p";
  double p = 2;
  void check() const { check_options(name, is_finite(p), "a finite exponent", {p}); }
  auto f(auto x) const { return times_power(1, p, x); }
  auto derivative_from_x(auto x) const { return times_power(p, p - 1, x); }
  auto second_derivative_from_x(auto x) const { return times_power(p * (p - 1), p - 2, x); }
  static auto times_power(double a, double p, auto x) {
    const auto c = math::constant_like(x, a);
    return a == 0 || p == 0 ? c
           : p == 1         ? c * x
           : p == 2         ? c * (x * x)
           : p == 3         ? c * (x * x * x)
                            : c * math::pow(x, math::constant_like(x, p));
  }
};

/// y = |x|.
struct Abs {
  static constexpr const char *name = "abs", *formula = "y = |x|";
  auto f(auto x) const { return math::abs(x); }
  auto derivative_from_x(auto x) const {
    return x < 0 ? math::constant_like(x, -1) : x == 0 ? 0 : math::constant_like(x, 1);
  }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
  std::vector<double> kinks() const { return {0}; }
};

/// y = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.
struct Erf {
  static constexpr const char *name = "erf", *formula = "y = erf(x)";
  auto f(auto x) const { return math::erf(x); }
  auto derivative_from_x(auto x) const {  // 2 / sqrt(pi) e^(-x^2)
    return math::normal_density(x * math::constant_like(x, 1.4142135623730951)) *
           math::constant_like(x, 2.8284271247461903);
  }
  auto second_derivative_from_x(auto x) const {
    return math::mul_or_zero(-2 * x, derivative_from_x(x));
  }
};

/// y = min(max(x, lo), hi): hard_tanh by its other name, for any bounds. Errors: lo > hi.
struct Clamp : HardTanh {
  static constexpr const char *name = "clamp", *formula = "y = min(max(x, lo), hi)";
  void check() const { check_options(name, low <= high, "lo <= hi", {low, high}); }
};

struct Sin {
  static constexpr const char *name = "sin", *formula = "y = sin(x)";
  auto f(auto x) const { return math::sin(x); }
  auto derivative_from_x(auto x) const { return math::cos(x); }
  auto second_derivative_from_x(auto x) const { return -math::sin(x); }
};

struct Cos {
  static constexpr const char *name = "cos", *formula = "y = cos(x)";
  auto f(auto x) const { return math::cos(x); }
  auto derivative_from_x(auto x) const { return -math::sin(x); }
  auto second_derivative_from_x(auto x) const { return -math::cos(x); }
};

// Steps: their derivative is 0 everywhere, and the ops of these names have none.
struct Step {
  auto derivative_from_y(auto y) const { return math::constant_like(y, 0); }
  auto second_derivative_from_x(auto x) const { return math::constant_like(x, 0); }
};
struct Floor : Step {
  static constexpr const char *name = "floor", *formula = "y = floor(x)";
  auto f(auto x) const { return math::floor(x); }
};
struct Ceil : Step {
  static constexpr const char *name = "ceil", *formula = "y = ceil(x)";
  auto f(auto x) const { return math::ceil(x); }
};
struct Round : Step {
  static constexpr const char *name = "round", *formula = "y = round(x)";
  auto f(auto x) const { return math::round(x); }
};
struct Sign : Step {
  static constexpr const char *name = "sign", *formula = "y = x / |x|";
  auto f(auto x) const {
    return x > 0 ? math::constant_like(x, 1) : x < 0 ? math::constant_like(x, -1) : x;
  }
};

/// Those that have a kernel.
using UnaryRules =
    Activations::With<Exp, Log, Sqrt, Power, Abs, Erf, Clamp, Sin, Cos, Floor, Ceil, Round, Sign>;

}  // namespace ramp
