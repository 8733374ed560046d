// Derivatives of a function of one tensor, for given directions or whole.
#pragma once

#include <functional>

#include "ramp/core/tensor.h"

namespace ramp {

/// f may use other tensors: with create_graph the results are on the tape, as functions of x and of
/// those too; else they have no history. Where f does not depend on x the derivative is 0.
using TensorFunction = std::function<Tensor(const Tensor&)>;

/// dy^T J, J = df/dx at x: the gradient of sum(f(x) dy); of x's shape. One pass forward, one back.
Tensor vjp(const TensorFunction& f, const Tensor& x, const Tensor& dy, bool create_graph = false);

/// J v: how f(x) changes along v, of x's shape; of the shape of f(x). By differentiating vjp(),
/// which is linear in dy, so at two to three times its cost.
Tensor jvp(const TensorFunction& f, const Tensor& x, const Tensor& v, bool create_graph = false);

/// H v, H the Hessian of a scalar f at x: two passes, whatever the size of x; no H is made.
Tensor hessian_vector_product(const TensorFunction& f, const Tensor& x, const Tensor& v,
                              bool create_graph = false);

/// df_i/dx_j, [shape of f(x).., shape of x..]: a backward pass for each value of f(x).
Tensor jacobian(const TensorFunction& f, const Tensor& x, bool create_graph = false);

/// d2f/dx_i dx_j of a scalar f, [shape of x.., shape of x..]: a backward pass for each value of x.
/// Errors: an f(x) that is no scalar.
Tensor hessian(const TensorFunction& f, const Tensor& x, bool create_graph = false);

}  // namespace ramp
