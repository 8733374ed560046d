#include "ramp/autograd/ops_activation.h"

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/core/kernels/elementwise_ops.h"

namespace ramp {

Tensor relu(const Tensor& x) { return unary(Unary::relu, "relu", x); }
Tensor leaky_relu(const Tensor& x, double slope) {
  return unary(Unary::leaky_relu, "leaky_relu", x, {slope});
}
Tensor sigmoid(const Tensor& x) { return unary(Unary::sigmoid, "sigmoid", x); }
Tensor tanh(const Tensor& x) { return unary(Unary::tanh, "tanh", x); }

}  // namespace ramp
