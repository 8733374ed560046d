#include "ramp/autograd/ops_activation.h"

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/elementwise_ops.h"

namespace ramp {

Tensor relu(const Tensor& x) {
  Tensor y = map(Unary::relu, "relu", x);
  return record("relu", y, {x}, [y = Saved(y)](const Tensor& dy, Wants) {
    return map_vjp(Unary::relu, "relu", y.get("relu", "y"), dy);
  });
}

Tensor leaky_relu(const Tensor& x, double slope) {
  Tensor y = map(Unary::leaky_relu, "leaky_relu", x, {slope});
  return record("leaky_relu", y, {x}, [x = Saved(x), slope](const Tensor& dy, Wants) {
    return map_vjp(Unary::leaky_relu, "leaky_relu", x.get("leaky_relu", "x"), dy, {slope});
  });
}

Tensor sigmoid(const Tensor& x) {
  Tensor y = map(Unary::sigmoid, "sigmoid", x);
  return record("sigmoid", y, {x}, [y = Saved(y)](const Tensor& dy, Wants) {
    return map_vjp(Unary::sigmoid, "sigmoid", y.get("sigmoid", "y"), dy);
  });
}

Tensor tanh(const Tensor& x) {
  Tensor y = map(Unary::tanh, "tanh", x);
  return record("tanh", y, {x}, [y = Saved(y)](const Tensor& dy, Wants) {
    return map_vjp(Unary::tanh, "tanh", y.get("tanh", "y"), dy);
  });
}

}  // namespace ramp
