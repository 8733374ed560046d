// The optimizers' update rules, each written once: the constants of a step, and step(), which takes
// gradients g, weights w and the rule's states s to what they are after it. It works on numbers and
// on vectors of them.
//
// Decay is of two kinds: L2 belongs to the gradient, d = g + l2 w; decoupled decay shrinks the
// weights, keep = 1 - lr decay. Where a formula is known by its paper, the optimizer's header names
// it; NaN stays NaN.
#pragma once

#include <variant>

#include "ramp/core/rules.h"

namespace ramp {

/// A constant of a rule: a double until it meets a vector.
struct Constant {
  double value;
  Constant(double v = 0) : value(v) {}  // NOLINT: implicit
  friend Constant operator-(double a, Constant b) { return a - b.value; }
  template <typename V>
  friend V operator*(Constant a, V x) {
    return math::constant_like(x, a.value) * x;
  }
  template <typename V>
  friend V operator+(V x, Constant a) {
    return x + math::constant_like(x, a.value);
  }
};

/// w -= lr d. With momentum: v = momentum v + (1 - dampening) d (the first time d),  w -= lr v;
/// Nesterov: w -= lr (d + momentum v)
template <bool kMomentum>
struct SgdUpdate {
  static constexpr int states = kMomentum;
  Constant lr, l2, momentum, dampening;
  bool nesterov, first;

  void step(auto g, auto& w, auto* s) const {
    auto d = g + l2 * w;
    if constexpr (kMomentum) {
      auto& v = s[0];
      v = first ? d : momentum * v + (1 - dampening) * d;
      d = nesterov ? d + momentum * v : v;
    }
    w -= lr * d;
  }
};

/// m and v are the running means of d and d^2.
struct AdamConstants {
  Constant lr, l2, keep, beta1, beta2, eps;

  auto means(auto g, auto w, auto& m, auto& v) const {
    const auto d = g + l2 * w;
    m += (1 - beta1) * (d - m);
    v = beta2 * v + (1 - beta2) * d * d;
    return d;
  }
};

/// w = keep w - lr m / (sqrt(v) / sqrt(1 - b2^t) + eps), lr as it is after division by 1 - b1^t;
/// Amsgrad goes by the largest v so far.
template <bool kAmsgrad>
struct AdamUpdate : AdamConstants {
  static constexpr int states = 2 + kAmsgrad;
  Constant v_scale;  // 1 / sqrt(1 - b2^t)

  void step(auto g, auto& w, auto* s) const {
    auto &m = s[0], &v = s[1], &largest = s[1 + kAmsgrad];
    means(g, w, m, v);
    if constexpr (kAmsgrad) largest = v < largest ? largest : v;
    w = keep * w - lr * m / (v_scale * math::sqrt(largest) + eps);
  }
};

/// w = keep w - (lr m + lr_d d) / (sqrt(v) / sqrt(1 - b2^t) + eps)
struct NAdamUpdate : AdamUpdate<false> {
  Constant lr_d;

  void step(auto g, auto& w, auto* s) const {
    auto &m = s[0], &v = s[1];
    const auto d = means(g, w, m, v);
    w = keep * w - (lr * m + lr_d * d) / (v_scale * math::sqrt(v) + eps);
  }
};

/// w = keep w - lr m / (sqrt(v) + eps), where v is rectified; else w = keep w - lr m
struct RAdamUpdate : AdamConstants {
  static constexpr int states = 2;
  bool rectified;

  void step(auto g, auto& w, auto* s) const {
    auto &m = s[0], &v = s[1];
    means(g, w, m, v);
    const auto by = lr * m, root = math::sqrt(v) + eps;
    w = keep * w - (rectified ? by / root : by);
  }
};

/// u = max(b2 u, |d| + eps),  w -= lr m / u
struct AdamaxUpdate : AdamConstants {
  static constexpr int states = 2;

  void step(auto g, auto& w, auto* s) const {
    auto &m = s[0], &u = s[1];
    const auto d = g + l2 * w, size = (d < 0 ? -d : d) + eps, old = beta2 * u;
    m += (1 - beta1) * (d - m);
    u = size < old ? old : size;
    w -= lr * m / u;
  }
};

/// v = alpha v + (1 - alpha) d^2,  y = d / (sqrt(v) + eps),  w -= lr y. Centered: the running mean
/// of d too, and v - mean^2 for v. With momentum: p = momentum p + y,  w -= lr p
struct RmspropConstants {
  Constant lr, l2, alpha, eps, momentum;
};
template <bool kCentered, bool kMomentum>
struct RmspropUpdate : RmspropConstants {
  static constexpr int states = 1 + kCentered + kMomentum;

  void step(auto g, auto& w, auto* s) const {
    auto &v = s[0], &mean = s[kCentered], &p = s[kCentered + kMomentum];
    const auto d = g + l2 * w;
    v = alpha * v + (1 - alpha) * d * d;
    auto center = v;
    if constexpr (kCentered) {
      mean += (1 - alpha) * (d - mean);
      center = v - mean * mean;
      center = center < 0 ? 0 : center;  // by rounding
    }
    auto y = d / (math::sqrt(center) + eps);
    if constexpr (kMomentum) y = p = momentum * p + y;
    w -= lr * y;
  }
};

/// v += d^2,  w -= lr d / (sqrt(v) + eps)
struct AdagradUpdate {
  static constexpr int states = 1;
  Constant lr, l2, eps;

  void step(auto g, auto& w, auto* s) const {
    auto& v = s[0];
    const auto d = g + l2 * w;
    v += d * d;
    w -= lr * d / (math::sqrt(v) + eps);
  }
};

/// v = rho v + (1 - rho) d^2,  y = d sqrt(z + eps) / sqrt(v + eps),  z = rho z + (1 - rho) y^2,
/// w -= lr y
struct AdadeltaUpdate {
  static constexpr int states = 2;
  Constant lr, l2, rho, eps;

  void step(auto g, auto& w, auto* s) const {
    auto &v = s[0], &z = s[1];
    const auto d = g + l2 * w;
    v = rho * v + (1 - rho) * d * d;
    const auto y = math::sqrt(z + eps) / math::sqrt(v + eps) * d;
    z = rho * z + (1 - rho) * y * y;
    w -= lr * y;
  }
};

/// w = keep w - lr sign(b1 m + (1 - b1) g),  m = b2 m + (1 - b2) g; sign(0) = 0
struct LionUpdate {
  static constexpr int states = 1;
  Constant lr, keep, beta1, beta2;

  void step(auto g, auto& w, auto* s) const {
    auto& m = s[0];
    const auto c = beta1 * m + (1 - beta1) * g, sign = c > 0 ? 1 : c < 0 ? -1 : c;
    w = keep * w - lr * sign;
    m = beta2 * m + (1 - beta2) * g;
  }
};

/// Those that have a kernel: all.
using UpdateRules = RuleList<SgdUpdate<false>, SgdUpdate<true>, AdamUpdate<false>, AdamUpdate<true>,
                             NAdamUpdate, RAdamUpdate, AdamaxUpdate, RmspropUpdate<false, false>,
                             RmspropUpdate<true, false>, RmspropUpdate<false, true>,
                             RmspropUpdate<true, true>, AdagradUpdate, AdadeltaUpdate, LionUpdate>;

template <typename... Rule>
std::variant<Rule...> any_of(RuleList<Rule...>);
/// One of them, with its constants; its index() is its place in the list.
struct Update : decltype(any_of(UpdateRules{})) {
  using variant::variant;
};

}  // namespace ramp
