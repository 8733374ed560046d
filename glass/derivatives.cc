#include "ramp/glass/derivatives.h"

#include <vector>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_shape.h"

namespace ramp {
namespace {

// A variable of its own with the values of x; what is recorded of it leads on to x.
Tensor variable(const Tensor& x, bool create_graph) {
  check_float("derivative", x);
  if (create_graph && x.requires_grad()) return x.view(x.shape());
  return x.detach().requires_grad_();
}

Tensor gradient(const Tensor& y, const Tensor& x, const Tensor& dy, bool create_graph) {
  Tensor dx;
  if (y.requires_grad()) {
    dx = grad(
        y, {x},
        {.create_graph = create_graph, .dy = dy, .allow_unused = true, .retain_graph = true})[0];
  }
  return dx.defined() ? dx : Tensor::zeros(x.shape(), x.dtype());
}

// The gradient of a scalar f as a function, on the tape.
TensorFunction gradient_of(const TensorFunction& f) {
  return [&f](const Tensor& x) { return gradient(f(x), x, {}, true); };
}

}  // namespace

Tensor vjp(const TensorFunction& f, const Tensor& x, const Tensor& dy, bool create_graph) {
  const Tensor at = variable(x, create_graph);
  return gradient(f(at), at, dy, create_graph);
}

Tensor jvp(const TensorFunction& f, const Tensor& x, const Tensor& v, bool create_graph) {
  const Tensor at = variable(x, create_graph), y = f(at);
  const Tensor dy = Tensor::zeros(y.shape(), y.dtype()).requires_grad_();
  return gradient(gradient(y, at, dy, true), dy, v, create_graph);
}

Tensor hessian_vector_product(const TensorFunction& f, const Tensor& x, const Tensor& v,
                              bool create_graph) {
  return vjp(gradient_of(f), x, v, create_graph);
}

Tensor jacobian(const TensorFunction& f, const Tensor& x, bool create_graph) {
  const Tensor at = variable(x, create_graph), y = f(at);
  std::vector<int64_t> shape(y.shape().begin(), y.shape().end());
  shape.insert(shape.end(), x.shape().begin(), x.shape().end());
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < y.numel(); ++i) {
    const Tensor dy = one_hot(Tensor::of<int64_t>({i}), y.numel(), y.dtype()).view(y.shape());
    rows.push_back(gradient(y, at, dy, create_graph));
  }
  return rows.empty() ? Tensor::zeros(shape, x.dtype()) : stack(rows).view(shape);
}

Tensor hessian(const TensorFunction& f, const Tensor& x, bool create_graph) {
  return jacobian(gradient_of(f), x, create_graph);
}

}  // namespace ramp
