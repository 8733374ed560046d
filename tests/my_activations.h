// A user's own activations: from x, and from y. Nothing but the scalar rules.
#pragma once

#include <cmath>

namespace ramp {

struct MySoftplus {
  static constexpr const char* name = "my_softplus";
  static constexpr const char* formula = "y = log(1 + exp(x))";
  template <typename T>
  T f(T x) const {
    return std::log1p(std::exp(x));
  }
  template <typename T>
  T derivative_from_x(T x) const {
    return 1 / (1 + std::exp(-x));
  }
};
struct MySigmoid {
  static constexpr const char* name = "my_sigmoid";
  static constexpr const char* formula = "y = 1 / (1 + exp(-x))";
  template <typename T>
  T f(T x) const {
    return 1 / (1 + std::exp(-x));
  }
  template <typename T>
  T derivative_from_y(T y) const {
    return y * (1 - y);
  }
};
struct MyTanh {
  static constexpr const char* name = "my_tanh";
  static constexpr const char* formula = "y = tanh(x)";
  template <typename T>
  T f(T x) const {
    return std::tanh(x);
  }
  template <typename T>
  T derivative_from_y(T y) const {
    return 1 - y * y;
  }
};

}  // namespace ramp
