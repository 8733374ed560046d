#include "ramp/autograd/ops_activation.h"

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/core/kernels/elementwise_ops.h"

namespace ramp {

Tensor relu(const Tensor& x) { return recorded_map<Unary::relu, false>(x); }
Tensor leaky_relu(const Tensor& x, double slope) {
  return recorded_map<Unary::leaky_relu, true>(x, slope);
}
Tensor sigmoid(const Tensor& x) { return recorded_map<Unary::sigmoid, false>(x); }
Tensor tanh(const Tensor& x) { return recorded_map<Unary::tanh, false>(x); }

}  // namespace ramp
