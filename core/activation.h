// Activations in the erased form in which layers run them, by itself or at the end of a fused op.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ramp/core/rules_unary.h"
#include "ramp/core/tensor.h"

namespace ramp {

/// An activation is a struct with
///   static constexpr const char *name, *formula;
///   template <typename T> T f(T x) const;                    // the value
///   template <typename T> T derivative_from_y(T y) const;    // or ..._from_x(T x), where y is
///                                                            // not enough
/// and, if it has them, `std::vector<double> kinks() const`, the texts `derivative` and `second`,
/// and `void check() const`, which throws for options that make no sense. NaN should stay NaN.
/// Second derivatives (a gradient of a gradient) also take `T second_derivative_from_x(T x) const`,
/// with derivative_from_x.
/// core/rules_unary.h has ramp's own; a struct may also bring block forms: `f_block(n, x, y)` and
/// `vjp_block(n, x_or_y, dy, dx)`, for float and double.
template <typename A>
concept ActivationRule = requires(const A& a) {
  { A::name } -> std::convertible_to<const char*>;
  { A::formula } -> std::convertible_to<const char*>;
  { a.f(1.0) } -> std::convertible_to<double>;
}
&&(DerivativeOfY<A> || DerivativeOfX<A>);

namespace detail {
// The kernels of a rule of ramp's own, by its index in UnaryRules.
template <typename T>
void run_rule(int index, const void* rule, int64_t n, const T* x, T* y);
template <typename T>
void run_rule_vjp(int index, const void* rule, int64_t n, const T* at, const T* dy, T* dx);
double run_rule_derivative(int index, const void* rule, int order, bool from_x, double at);
[[noreturn]] void fail_order(const char* name, int order);
}  // namespace detail

/// Any activation, erased by block of elements (never by element).
class Activation {
 public:
  template <ActivationRule A>
  Activation(A rule)  // NOLINT: implicit, for Dense(784, 128, ReLU{})
      : rule_(std::make_shared<const Erased<A>>(std::move(rule))) {}
  /// f, and the parameter that it is a function of by the value that it has now.
  Activation(const Activation& f, const Tensor& parameter) : rule_(f.rule_) {
    if (parameter.defined()) parameter_ = std::make_shared<const Tensor>(parameter);
  }
  Activation(const char*) = delete;  // write the type, not its name: Dense(784, 128, ReLU{})
  template <typename L>
  requires requires(L& layer) { layer.describe(); }
  Activation(const L&) = delete;  // a layer goes behind it: Dense(784, 128), PReLU{}

  const char* name() const { return parameter_ ? "prelu" : rule_->name; }
  const char* formula() const { return rule_->formula; }
  /// "" where the rule does not tell.
  const char* derivative_formula() const { return rule_->derivative_formula; }
  const char* second_formula() const { return rule_->second_formula; }
  std::vector<double> kinks() const { return rule_->kinks; }
  bool is_identity() const { return rule_->is_identity; }
  /// True when the derivative is a function of x; else it is one of y.
  bool needs_x() const { return rule_->needs_x || parameter_; }
  /// The slope [1] of a prelu, one more input of an op that ends in it: dslope = sum of dy min(z,
  /// 0). Undefined for all others.
  Tensor parameter() const { return parameter_ ? *parameter_ : Tensor(); }

  /// y[i] = f(x[i]); y may be x.
  template <typename T>
  void f_block(int64_t n, const T* x, T* y) const {
    rule_->f_block(n, x, y);
  }
  /// dx[i] = dy[i] * f'(..); `at` is x or y, as needs_x() says. dx may be dy.
  template <typename T>
  void vjp_block(int64_t n, const T* at, const T* dy, T* dx) const {
    rule_->vjp_block(n, at, dy, dx);
  }
  /// The same in `scratch`, or dy itself for the identity.
  template <typename T>
  const T* dz(int64_t n, const T* at, const T* dy, T* scratch) const {
    if (is_identity()) return dy;
    vjp_block(n, at, dy, scratch);
    return scratch;
  }
  double value(double x) const {
    double y;
    f_block(1, &x, &y);
    return y;
  }
  double derivative(double x) const {
    const double at = needs_x() ? x : value(x), one = 1;
    double d;
    vjp_block(1, &at, &one, &d);
    return d;
  }
  /// Errors: a rule of the user's without one.
  double second_derivative(double x) const { return rule_->derivative_at(2, true, x); }

  /// The derivative as an activation: its value at `at` is the derivative there, its needs_x() is
  /// true, its name this one's. So slope().slope() goes on, up to order 9 (10 where needs_x());
  /// scalar, in double. Errors: the vjp of a user's rule without second_derivative_from_x.
  Activation slope() const;

 private:
  struct Rule {
    const char *name, *formula, *derivative_formula = "", *second_formula = "";
    std::vector<double> kinks;
    bool is_identity, needs_x;
    virtual ~Rule() = default;
    virtual void f_block(int64_t n, const float* x, float* y) const = 0;
    virtual void f_block(int64_t n, const double* x, double* y) const = 0;
    virtual void vjp_block(int64_t n, const float* at, const float* dy, float* dx) const = 0;
    virtual void vjp_block(int64_t n, const double* at, const double* dy, double* dx) const = 0;
    // The derivative of this order as a function of x, or of y, at `at`.
    virtual double derivative_at(int order, bool from_x, double at) const = 0;
  };
  struct Slope;

  template <typename A>
  struct Erased final : Rule {
    A a;
    explicit Erased(A rule) : a(std::move(rule)) {
      if constexpr (requires { a.check(); }) a.check();
      this->name = a.name;
      this->formula = a.formula;
      if constexpr (requires { a.derivative; }) this->derivative_formula = a.derivative;
      if constexpr (requires { a.second; }) this->second_formula = a.second;
      if constexpr (requires { a.kinks(); }) this->kinks = a.kinks();
      this->is_identity = std::is_same_v<A, Identity>;
      this->needs_x = ramp::needs_x(a);
    }

    template <typename T>
    void apply(int64_t n, const T* x, T* y) const {
      if constexpr (requires { a.f_block(n, x, y); }) {
        a.f_block(n, x, y);
      } else if constexpr (constexpr int i = UnaryRules::index<A>(); i >= 0) {
        detail::run_rule(i, &a, n, x, y);
      } else {
        for (int64_t k = 0; k < n; ++k) y[k] = a.f(x[k]);
      }
    }
    template <typename T>
    void apply_vjp(int64_t n, const T* at, const T* dy, T* dx) const {
      if constexpr (requires { a.vjp_block(n, at, dy, dx); }) {
        a.vjp_block(n, at, dy, dx);
      } else if constexpr (constexpr int i = UnaryRules::index<A>(); i >= 0) {
        detail::run_rule_vjp(i, &a, n, at, dy, dx);
      } else {
        for (int64_t k = 0; k < n; ++k)
          dx[k] = math::mul_or_zero(dy[k], T(ramp::derivative(a, at[k])));
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
    double derivative_at(int order, bool from_x, double at) const override {
      if constexpr (constexpr int i = UnaryRules::index<A>(); i >= 0) {
        return detail::run_rule_derivative(i, &a, order, from_x, at);
      } else {
        if constexpr (requires { a.derivative_at(order, at); }) return a.derivative_at(order, at);
        if constexpr (requires { a.second_derivative_from_x(at); })
          if (order == 2 && from_x) return a.second_derivative_from_x(at);
        double d = 1;
        if (order > 1) detail::fail_order(a.name, order);
        apply_vjp(1, &at, &d, &d);
        return d;
      }
    }
  };

  std::shared_ptr<const Rule> rule_;
  std::shared_ptr<const Tensor> parameter_;
};

/// The activation at the end of a fused op: y = f(z) on blocks, as the op finishes its sums z.
class FusedActivation {
 public:
  /// `records`: the op is on the tape, so what f' is a function of must last.
  FusedActivation(const Activation& f, const Tensor& y, bool records)
      : f_(f), z_(records && f.needs_x() ? Tensor::empty(y.shape(), y.dtype()) : y.detach()) {}

  /// Where the op puts its sums: y's memory unless the derivative is a function of z.
  Tensor& z() { return z_; }
  /// What the derivative is a function of: z or y; nothing for the identity.
  Tensor at() const { return f_.is_identity() ? Tensor{} : z_; }
  /// y[i] = f(z[i])
  template <typename T>
  void apply(int64_t n, const T* z, T* y) const {
    if (!f_.is_identity()) f_.f_block(n, z, y);
  }

 private:
  const Activation& f_;
  Tensor z_;
};

}  // namespace ramp
