// The losses l of a value y and its target t, each written once: f gives l, dl/dy and dl/dt, of
// which a kernel computes the one it is for. See rules.h; what they mean stands in
// autograd/ops_loss.h.
#pragma once

#include <tuple>

#include "ramp/core/rules_binary.h"
#include "ramp/core/rules_unary.h"

namespace ramp {

/// l = (y - t)^2
struct SquareLoss {
  static auto f(auto y, auto t) { return std::tuple((y - t) * (y - t), 2 * (y - t), 2 * (t - y)); }
};
/// l = |y - t|
struct AbsLoss {
  static auto f(auto y, auto t) {
    const auto one = math::constant_like(y, 1), s = y > t ? one : y < t ? -one : 0;
    return std::tuple(math::abs(y - t), s, -s);
  }
};
/// l = (y - t)^2 / 2 up to |y - t| = delta, then a line
struct HuberLoss {
  double delta;
  auto f(auto y, auto t) const {
    const auto d = y - t, s = math::clamp_abs(d, delta);
    return std::tuple(s * (d - s / 2), s, -s);
  }
};

/// l = -t log p - (1 - t) log(1 - p), the logarithms at least -100
struct BceLoss {
  static auto f(auto p, auto t) {
    const auto v = Maximum::f(p * (1 - p), math::constant_like(p, 1e-12f));
    const auto low = math::constant_like(p, -100), a = Maximum::f(math::log(p), low);
    const auto b = Maximum::f(p < 0.5f ? math::log1p(-p) : math::log(1 - p), low);
    return std::tuple(-t * a - (1 - t) * b, (p - t) / v, b - a);
  }
};
/// l = -t log sigmoid(x) - (1 - t) log sigmoid(-x)
struct LogitsLoss {
  static auto f(auto x, auto t) {
    const auto a = Softplus{}.f(-x), b = Softplus{}.f(x), rest = 1 - t;
    return std::tuple(math::mul_or_zero(a, t) + math::mul_or_zero(b, rest),
                      rest * math::sigmoid(x) - t * math::sigmoid(-x), -x);
  }
};

/// l = -q x for x = log p, and 0 where q = 0
struct ClassLoss {
  static auto f(auto x, auto q) {
    return std::tuple(math::mul_or_zero(-x, q), -q, ((q == 0) & (x == -INFINITY)) ? 0 : -x);
  }
};
/// l = q (log q - x) for x = log p and t = q, or log q: 0 where q = 0, even where x is -inf; NaN
/// where x is NaN
struct KlLoss {
  bool log_target;
  auto f(auto x, auto t) const {
    const auto q = log_target ? math::exp(t) : t, v = (log_target ? t : math::log(t)) - x;
    const auto times_q = [=](auto v) { return x != x ? x : math::mul_or_zero(v, q); };
    const auto dq = ((q == 0) & (x == -INFINITY)) ? 0 : v + 1;
    return std::tuple(times_q(v), -q, log_target ? times_q(v + 1) : dq);
  }
};

/// Those that have a kernel: all.
using LossRules = RuleList<SquareLoss, AbsLoss, HuberLoss, BceLoss, LogitsLoss, ClassLoss, KlLoss>;

}  // namespace ramp
