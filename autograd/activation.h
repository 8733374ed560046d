// Activations as small structs, and the erased form in which layers run them.
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

/// An activation is a struct with
///   static constexpr const char *name, *formula;
///   template <typename T> T f(T x) const;                    // the value
///   template <typename T> T derivative_from_y(T y) const;    // or ..._from_x(T x), where y is
///                                                            // not enough
/// and, if it has them, `std::vector<double> kinks() const`. NaN should stay NaN.
/// A struct may bring vectorised block forms of its own: `f_block(n, x, y)` and
/// `vjp_block(n, x_or_y, dy, dx)`, for float and double.
template <typename A>
concept DerivesFromY = requires(const A& a) {
  { a.derivative_from_y(1.0) } -> std::convertible_to<double>;
};
template <typename A>
concept DerivesFromX = requires(const A& a) {
  { a.derivative_from_x(1.0) } -> std::convertible_to<double>;
};
template <typename A>
concept ActivationRule = requires(const A& a) {
  { A::name } -> std::convertible_to<std::string>;
  { A::formula } -> std::convertible_to<std::string>;
  { a.f(1.0) } -> std::convertible_to<double>;
}
&&(DerivesFromY<A> || DerivesFromX<A>);

/// y = x.
struct Identity {
  static constexpr const char* name = "identity";
  static constexpr const char* formula = "y = x";
  template <typename T>
  T f(T x) const {
    return x;
  }
  template <typename T>
  T derivative_from_y(T) const {
    return 1;
  }
};

/// y = max(0, x). At the kink x = 0 the derivative is 0; NaN stays NaN, and there it is 1.
/// Source: Nair and Hinton (2010), eq. 1 without the noise.
struct ReLU {
  static constexpr const char* name = "relu";
  static constexpr const char* formula = "y = max(0, x)";
  std::vector<double> kinks() const { return {0}; }
  template <typename T>
  T f(T x) const {
    return x < 0 ? T(0) : x;
  }
  template <typename T>
  T derivative_from_y(T y) const {
    return y <= 0 ? T(0) : T(1);
  }
  template <typename T>
  void f_block(int64_t n, const T* x, T* y) const;
  template <typename T>
  void vjp_block(int64_t n, const T* y, const T* dy, T* dx) const;
};

/// y = x for x > 0, slope x otherwise. At x = 0 the derivative is the slope; NaN stays NaN.
/// The derivative is taken from x, so a negative slope is allowed.
/// Source: Maas, Hannun and Ng (2013), eq. 2.
struct LeakyReLU {
  static constexpr const char* name = "leaky_relu";
  static constexpr const char* formula = "y = x > 0 ? x : slope x";
  double slope = 0.01;
  std::vector<double> kinks() const { return {0}; }
  template <typename T>
  T f(T x) const {
    return x <= 0 ? static_cast<T>(slope) * x : x;
  }
  template <typename T>
  T derivative_from_x(T x) const {
    return x <= 0 ? static_cast<T>(slope) : T(1);
  }
  template <typename T>
  void f_block(int64_t n, const T* x, T* y) const;
  template <typename T>
  void vjp_block(int64_t n, const T* x, const T* dy, T* dx) const;
};

/// Any activation, erased by block of elements (never by element).
class Activation {
 public:
  template <ActivationRule A>
  Activation(A rule)  // NOLINT: implicit, for Dense(784, 128, ReLU{})
      : rule_(std::make_shared<const Erased<A>>(std::move(rule))) {}

  std::string name() const { return rule_->name(); }
  std::string formula() const { return rule_->formula(); }
  std::vector<double> kinks() const { return rule_->kinks(); }
  bool is_identity() const { return rule_->is_identity(); }
  /// True when the derivative is a function of x; else it is one of y.
  bool derives_from_x() const { return rule_->derives_from_x(); }

  /// y[i] = f(x[i]); y may be x.
  template <typename T>
  void f_block(int64_t n, const T* x, T* y) const {
    rule_->f_block(n, x, y);
  }
  /// dx[i] = dy[i] * f'(..); `at` is x or y, as derives_from_x() says. dx may be dy.
  template <typename T>
  void vjp_block(int64_t n, const T* at, const T* dy, T* dx) const {
    rule_->vjp_block(n, at, dy, dx);
  }
  double value(double x) const {
    double y;
    f_block(1, &x, &y);
    return y;
  }

 private:
  struct Rule {
    virtual ~Rule() = default;
    virtual std::string name() const = 0;
    virtual std::string formula() const = 0;
    virtual std::vector<double> kinks() const = 0;
    virtual bool is_identity() const = 0;
    virtual bool derives_from_x() const = 0;
    virtual void f_block(int64_t n, const float* x, float* y) const = 0;
    virtual void f_block(int64_t n, const double* x, double* y) const = 0;
    virtual void vjp_block(int64_t n, const float* at, const float* dy, float* dx) const = 0;
    virtual void vjp_block(int64_t n, const double* at, const double* dy, double* dx) const = 0;
  };

  template <typename A>
  struct Erased final : Rule {
    A a;
    explicit Erased(A rule) : a(std::move(rule)) {}
    std::string name() const override { return A::name; }
    std::string formula() const override { return A::formula; }
    std::vector<double> kinks() const override {
      if constexpr (requires { a.kinks(); }) return a.kinks();
      return {};
    }
    bool is_identity() const override { return std::is_same_v<A, Identity>; }
    bool derives_from_x() const override { return !DerivesFromY<A>; }

    template <typename T>
    void apply(int64_t n, const T* x, T* y) const {
      if constexpr (requires { a.f_block(n, x, y); }) {
        a.f_block(n, x, y);
      } else {
        for (int64_t i = 0; i < n; ++i) y[i] = a.f(x[i]);
      }
    }
    template <typename T>
    void apply_vjp(int64_t n, const T* at, const T* dy, T* dx) const {
      if constexpr (requires { a.vjp_block(n, at, dy, dx); }) {
        a.vjp_block(n, at, dy, dx);
      } else {
        for (int64_t i = 0; i < n; ++i) {
          if constexpr (DerivesFromY<A>) {
            dx[i] = dy[i] * a.derivative_from_y(at[i]);
          } else {
            dx[i] = dy[i] * a.derivative_from_x(at[i]);
          }
        }
      }
    }
    void f_block(int64_t n, const float* x, float* y) const override { apply(n, x, y); }
    void f_block(int64_t n, const double* x, double* y) const override { apply(n, x, y); }
    void vjp_block(int64_t n, const float* at, const float* dy, float* dx) const override {
      apply_vjp(n, at, dy, dx);
    }
    void vjp_block(int64_t n, const double* at, const double* dy, double* dx) const override {
      apply_vjp(n, at, dy, dx);
    }
  };

  std::shared_ptr<const Rule> rule_;
};

/// y = f(x), element by element, for any activation. dx = dy f'.
/// Errors: i64.
Tensor activate(const Tensor& x, const Activation& activation);

/// dx = dy f'(at) in one streaming pass, not recorded: the rule that fused layers share. `at` is x
/// or y, as derives_from_x() says.
Tensor activation_vjp(const Activation& activation, const Tensor& at, const Tensor& dy);

}  // namespace ramp
