// Matrix product, and the fused dense layer.
#pragma once

#include "ramp/core/activation.h"
#include "ramp/core/gemm.h"
#include "ramp/core/tensor.h"

namespace ramp {

/// y = op(a) op(b): a [.., m, k], b [.., k, n] -> [.., m, n], with a's or b's last two axes
/// swapped as `trans` says. Leading axes broadcast as in NumPy. f32 or f64.
/// da = dy b^T, db = a^T dy (and their transposed forms).
/// Errors: a rank below 2; inner dimensions that differ; mixed dtypes.
Tensor matmul(const Tensor& a, const Tensor& b, Trans trans = Trans::none);

/// y = f(x w + b), in one pass over the product: x [.., in], w [in, out], b [out] or undefined,
/// -> [.., out]. f32 or f64.
/// dz = dy f'(z), dx = dz w^T, dw = x^T dz, db = sum of dz over the rows.
/// Errors: x's last dimension is not `in`; b is not [out]; mixed dtypes.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b = {},
              const Activation& activation = Identity{});

namespace detail {
/// Errors unless b is undefined, or [n] of w's dtype.
void check_bias(std::string_view op, const Tensor& w, const Tensor& b, int64_t n);
}  // namespace detail

}  // namespace ramp
