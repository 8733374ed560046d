// Reductions: over all axes, one, or several; an axis may count from the end.
//
// x is f32 or f64. The result has x's dtype (argmax and argmin: i64) and x's shape without the axes
// reduced over; with keepdims they stay, of size 1. Results are equal to the bit for any number of
// threads. Errors, for all: i64; an axis that x does not have, or named twice.
#pragma once

#include <initializer_list>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

/// What to reduce over: nothing said (all axes), `1`, or `{0, 2}`.
struct Axes {
  Axes() = default;
  Axes(int axis) : list{axis} {}                         // NOLINT: implicit
  Axes(std::initializer_list<int> axes) : list(axes) {}  // NOLINT
  Axes(const std::vector<int>& axes) : list(axes) {}     // NOLINT
  std::vector<int> list;                                 // empty: all
};
struct ReduceOptions {
  bool keepdims = false;
};
struct VarOptions {
  double correction = 1;  // the divisor is n - correction: 1 is unbiased (PyTorch's), 0 NumPy's
  bool keepdims = false;
};

/// y = sum of x; 0 where there is nothing to add. dx = dy. In f32 the error is at most
/// 26 * 2^-24 * sum |x| for any n: short blocks are added in f32, their sums in f64.
Tensor sum(const Tensor& x, Axes axes = {}, ReduceOptions options = {});
/// y = sum(x) / n; NaN for n = 0. dx = dy / n.
Tensor mean(const Tensor& x, Axes axes = {}, ReduceOptions options = {});
/// y = sum((x - mean(x))^2) / (n - correction), in two passes; the divisor is not below 0.
/// dx = dy 2 (x - mean(x)) / (n - correction).
Tensor var(const Tensor& x, Axes axes = {}, VarOptions options = {});
/// y = sqrt(var(x)), and 0 with dx = 0 where all values are equal. (`std` is the standard
/// library's.)
Tensor stddev(const Tensor& x, Axes axes = {}, VarOptions options = {});
/// y = the product of x; 1 where there is nothing to multiply. dx_i = dy times the product of all
/// others, without a division: right for zeros too. f64 inside.
Tensor prod(const Tensor& x, Axes axes = {}, ReduceOptions options = {});
/// y = log(sum(e^x)), which does not overflow; -inf where there is nothing to add or all is -inf.
/// dx = dy e^(x - y): NaN where y is infinite.
Tensor logsumexp(const Tensor& x, Axes axes = {}, ReduceOptions options = {});
/// y = the largest / smallest value; NaN if there is one. dy goes to the first such place in
/// row-major order, as to that of argmax. Errors: nothing to choose from.
Tensor max(const Tensor& x, Axes axes = {}, ReduceOptions options = {});
Tensor min(const Tensor& x, Axes axes = {}, ReduceOptions options = {});
/// y = the place of the largest / smallest value, i64: the first one, or that of the first NaN.
/// Over several axes: the row-major index within them. No gradient. Errors: nothing to choose from.
Tensor argmax(const Tensor& x, Axes axes = {}, ReduceOptions options = {});
Tensor argmin(const Tensor& x, Axes axes = {}, ReduceOptions options = {});

/// y_i = x_0 + .. + x_i along the axis, in x's shape; in f64 inside. i64 too. dx_i = dy_i + ..
Tensor cumsum(const Tensor& x, int axis);

/// y = x / max(|x|, eps), with the Euclidean norm |x| along the axis. It neither over- nor
/// underflows. dx = (dy - y (y . dy)) / |x|, or dy / eps where |x| < eps. Errors: eps <= 0.
Tensor normalize(const Tensor& x, int axis = -1, double eps = 1e-12);
/// y = a . b / (|a| |b|) along the axis, each norm at least eps; a and b broadcast.
Tensor cosine_similarity(const Tensor& a, const Tensor& b, int axis = -1, double eps = 1e-8);

/// g summed over the axes along which `shape` was stretched to g's; g itself where it was not, or
/// where `shape` does not broadcast to it. backward() calls it on every gradient.
Tensor sum_to(const Tensor& g, const Shape& shape);

}  // namespace ramp
