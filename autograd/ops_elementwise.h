// Arithmetic, comparisons and selection, element by element, with NumPy's broadcasting.
//
// All of them: the tensors have one dtype (mixed ones are an error; a C++ number takes the dtype of
// the tensor beside it) and their shapes broadcast to that of y. backward() sums the gradient of an
// input that was stretched back to its own shape. i64 has no gradient; its sums and products wrap,
// its division truncates as in C++.
#pragma once

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/record.h"
#include "ramp/core/rules_binary.h"

namespace ramp {
namespace detail {
Tensor map_all(int rule, const char* op, const Tensor& a, const Tensor& b, bool same_shape);

/// y = Op(a, b) with broadcasting, without history; `name` starts the error text.
template <typename Op>
[[gnu::flatten]] Tensor map(const Tensor& a, const Tensor& b, const char* name = Op::name) {
  const bool same = a.defined() && b.defined() && a.dtype() == b.dtype() && a.shape() == b.shape();
  if (!same || a.numel() != 1) return map_all(BinaryRules::index<Op>(), name, a, b, same);
  Tensor y = Tensor::empty(a.shape(), a.dtype());  // chains of scalars, without a call
  visit_dtype(y.dtype(),
              [&]<typename T>(T) { *y.mutable_data<T>() = Op::f(*a.data<T>(), *b.data<T>()); });
  return y;
}
}  // namespace detail

/// y = a + b; da = dy, db = dy.
Tensor add(const Tensor& a, const Tensor& b);
/// y = a - b; da = dy, db = -dy.
Tensor sub(const Tensor& a, const Tensor& b);
/// y = a b; da = dy b, db = dy a.
Tensor mul(const Tensor& a, const Tensor& b);
/// y = a / b; da = dy / b, db = -dy y / b. Errors: i64 and a 0 in b.
Tensor div(const Tensor& a, const Tensor& b);
/// y = -x; dx = -dy.
Tensor neg(const Tensor& x);
/// y = x^p; dx = dy p x^(p - 1), which is 0 for p = 0. f32, f64. As the C function pow: NaN for a
/// negative x unless p is an integer.
Tensor pow(const Tensor& x, double p);
/// The same with a tensor of exponents; dp = dy y log(x), and 0 where x = 0 and p >= 0.
Tensor pow(const Tensor& x, const Tensor& p);
/// y = e^x; dx = dy y. f32, f64. Error < 1 ulp.
inline Tensor exp(const Tensor& x) { return activate(x, detail::the<Exp>()); }
/// y = ln x, -inf at 0, NaN below; dx = dy / x. f32, f64. Error < 1 ulp.
inline Tensor log(const Tensor& x) { return activate(x, detail::the<Log>()); }
/// y = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x; dx = dy 2 / sqrt(pi) e^(-x^2). f32,
/// f64. Error < 3 ulp.
inline Tensor erf(const Tensor& x) { return activate(x, detail::the<Erf>()); }
/// y = sqrt(x), NaN below 0; dx = dy / (2 y), which at 0 is inf. f32, f64.
inline Tensor sqrt(const Tensor& x) { return activate(x, detail::the<Sqrt>()); }
/// y = |x|; dx = dy sign(x). At the kink x = 0 dx is 0; NaN stays NaN, with dx = dy.
Tensor abs(const Tensor& x);
/// y = sin(x); dx = dy cos(x). f32, f64. NaN at +-inf.
inline Tensor sin(const Tensor& x) { return activate(x, detail::the<Sin>()); }
/// y = cos(x); dx = -dy sin(x). f32, f64. NaN at +-inf.
inline Tensor cos(const Tensor& x) { return activate(x, detail::the<Cos>()); }
/// The integer below, above, and the nearest one (of two the even one). f32, f64. No gradient: it
/// would be 0.
inline Tensor floor(const Tensor& x) { return activate(x.detach(), detail::the<Floor>()); }
inline Tensor ceil(const Tensor& x) { return activate(x.detach(), detail::the<Ceil>()); }
inline Tensor round(const Tensor& x) { return activate(x.detach(), detail::the<Round>()); }
/// y = 1 for x > 0, -1 for x < 0, else x. f32, f64. No gradient: it would be 0.
inline Tensor sign(const Tensor& x) { return activate(x.detach(), detail::the<Sign>()); }
/// y = max(a, b); the greater one takes dy, at a tie each takes dy / 2. NaN if either is NaN, and
/// then dy goes to both.
Tensor maximum(const Tensor& a, const Tensor& b);
/// y = min(a, b); as maximum.
Tensor minimum(const Tensor& a, const Tensor& b);
/// y = min(max(x, lo), hi); dx = dy inside, 0 at the bounds and outside. NaN stays NaN, with dx =
/// dy. Errors: lo > hi, or NaN.
Tensor clamp(const Tensor& x, double lo, double hi);
/// y = cond ? a : b, where cond (any dtype) is true unless 0. da = cond ? dy : 0, db = cond ? 0 :
/// dy; cond has no gradient.
Tensor where(const Tensor& cond, const Tensor& a, const Tensor& b);

/// y = a < b ? 1 : 0 and so on, in the dtype of a and b (ramp has no bool). No gradient. As in
/// IEEE 754, a comparison with NaN is 0, but for not_equal.
inline Tensor less(const Tensor& a, const Tensor& b) { return detail::map<Less>(a, b); }
inline Tensor less_equal(const Tensor& a, const Tensor& b) { return detail::map<LessEqual>(a, b); }
inline Tensor greater(const Tensor& a, const Tensor& b) { return detail::map<Greater>(a, b); }
inline Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return detail::map<GreaterEqual>(a, b);
}
inline Tensor equal(const Tensor& a, const Tensor& b) { return detail::map<Equal>(a, b); }
inline Tensor not_equal(const Tensor& a, const Tensor& b) { return detail::map<NotEqual>(a, b); }
/// y = 1 where both, one, or not x is true (not 0), else 0, as the comparisons; NaN is true.
inline Tensor logical_and(const Tensor& a, const Tensor& b) {
  return detail::map<LogicalAnd>(a, b);
}
inline Tensor logical_or(const Tensor& a, const Tensor& b) { return detail::map<LogicalOr>(a, b); }
Tensor logical_not(const Tensor& x);
/// y = 1 where x is NaN, else 0. No gradient.
Tensor isnan(const Tensor& x);

namespace detail {
Tensor& assign(const char* op, Tensor& x, const Tensor& result);
}

// ---- the operators ----

/// The number as a scalar of x's dtype. Errors: x is undefined, or it is i64 and the number is not
/// an integer.
Tensor scalar_like(double value, const Tensor& x);

inline Tensor operator-(const Tensor& x) { return neg(x); }
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator<(const Tensor& a, const Tensor& b) { return less(a, b); }
inline Tensor operator<=(const Tensor& a, const Tensor& b) { return less_equal(a, b); }
inline Tensor operator>(const Tensor& a, const Tensor& b) { return greater(a, b); }
inline Tensor operator>=(const Tensor& a, const Tensor& b) { return greater_equal(a, b); }
inline Tensor operator==(const Tensor& a, const Tensor& b) { return equal(a, b); }
inline Tensor operator!=(const Tensor& a, const Tensor& b) { return not_equal(a, b); }

inline Tensor operator+(const Tensor& a, double b) { return add(a, scalar_like(b, a)); }
inline Tensor operator-(const Tensor& a, double b) { return sub(a, scalar_like(b, a)); }
inline Tensor operator*(const Tensor& a, double b) { return mul(a, scalar_like(b, a)); }
inline Tensor operator/(const Tensor& a, double b) { return div(a, scalar_like(b, a)); }
inline Tensor operator+(double a, const Tensor& b) { return add(scalar_like(a, b), b); }
inline Tensor operator-(double a, const Tensor& b) { return sub(scalar_like(a, b), b); }
inline Tensor operator*(double a, const Tensor& b) { return mul(scalar_like(a, b), b); }
inline Tensor operator/(double a, const Tensor& b) { return div(scalar_like(a, b), b); }
inline Tensor operator<(const Tensor& a, double b) { return less(a, scalar_like(b, a)); }
inline Tensor operator<=(const Tensor& a, double b) { return less_equal(a, scalar_like(b, a)); }
inline Tensor operator>(const Tensor& a, double b) { return greater(a, scalar_like(b, a)); }
inline Tensor operator>=(const Tensor& a, double b) { return greater_equal(a, scalar_like(b, a)); }
inline Tensor operator==(const Tensor& a, double b) { return equal(a, scalar_like(b, a)); }
inline Tensor operator!=(const Tensor& a, double b) { return not_equal(a, scalar_like(b, a)); }

/// x = x + y and so on. Recorded, x is the new result, and other handles of it keep the old values;
/// else the values are written in place, where all handles see them. Errors: a result of another
/// shape than x's; a leaf where the result is recorded (`w -= lr * w.grad()` needs NoGrad).
inline Tensor& operator+=(Tensor& x, const auto& y) { return detail::assign("+=", x, x + y); }
inline Tensor& operator-=(Tensor& x, const auto& y) { return detail::assign("-=", x, x - y); }
inline Tensor& operator*=(Tensor& x, const auto& y) { return detail::assign("*=", x, x * y); }
inline Tensor& operator/=(Tensor& x, const auto& y) { return detail::assign("/=", x, x / y); }

}  // namespace ramp
