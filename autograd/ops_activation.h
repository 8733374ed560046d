// Activations as ops. Those of one number are rules (core/rules_unary.h: formula, derivative at
// kinks, source), which layers run fused; each is an op of its name here. f32, f64.
#pragma once

#include "ramp/core/activation.h"
#include "ramp/core/random.h"

namespace ramp {

/// y = f(x), element by element, for any activation. dx = dy f', and 0 where f' is 0.
/// Errors: i64.
Tensor activate(const Tensor& x, const Activation& activation);

namespace detail {
/// The activation of a rule without options, made once.
template <typename A>
const Activation& the() {
  static const Activation f = A{};
  return f;
}
}  // namespace detail

inline Tensor relu(const Tensor& x) { return activate(x, detail::the<ReLU>()); }
inline Tensor sigmoid(const Tensor& x) { return activate(x, detail::the<Sigmoid>()); }
inline Tensor tanh(const Tensor& x) { return activate(x, detail::the<Tanh>()); }
inline Tensor leaky_relu(const Tensor& x, double slope = 0.01) {
  return activate(x, LeakyReLU{slope});
}
inline Tensor elu(const Tensor& x, double alpha = 1) { return activate(x, ELU{alpha}); }
inline Tensor selu(const Tensor& x) { return activate(x, SELU{}); }
inline Tensor celu(const Tensor& x, double alpha = 1) { return activate(x, CELU{alpha}); }
inline Tensor relu6(const Tensor& x) { return activate(x, ReLU6{}); }
inline Tensor clipped_relu(const Tensor& x, double limit) {
  return activate(x, ClippedReLU{limit});
}
inline Tensor squared_relu(const Tensor& x) { return activate(x, SquaredReLU{}); }
inline Tensor thresholded_relu(const Tensor& x, double theta = 1) {
  return activate(x, ThresholdedReLU{theta});
}
inline Tensor smelu(const Tensor& x, double beta = 1) { return activate(x, SmeLU{beta}); }
inline Tensor gelu(const Tensor& x) { return activate(x, GELU{}); }
inline Tensor gelu_tanh(const Tensor& x) { return activate(x, GELUTanh{}); }
inline Tensor silu(const Tensor& x) { return activate(x, SiLU{}); }
inline Tensor swish(const Tensor& x, double beta = 1) { return activate(x, Swish{beta}); }
inline Tensor mish(const Tensor& x) { return activate(x, Mish{}); }
inline Tensor hard_swish(const Tensor& x) { return activate(x, HardSwish{}); }
inline Tensor hard_sigmoid(const Tensor& x) { return activate(x, HardSigmoid{}); }
inline Tensor hard_tanh(const Tensor& x, double low = -1, double high = 1) {
  return activate(x, HardTanh{low, high});
}
inline Tensor softplus(const Tensor& x, double beta = 1) { return activate(x, Softplus{beta}); }
inline Tensor softsign(const Tensor& x) { return activate(x, Softsign{}); }
inline Tensor log_sigmoid(const Tensor& x) { return activate(x, LogSigmoid{}); }

/// y = x > 0 ? x : slope x, with a slope for each channel: x [.., c], slope [c] or [1].
/// dx = dy (x > 0 ? 1 : slope), dslope = sum of dy x where x <= 0. At the kink x = 0 dx is slope
/// dy, or 0 if the slope is negative; at NaN it is dy. Errors: another shape of slope; mixed
/// dtypes. Source: He, Zhang, Ren and Sun (2015), eq. 1.
Tensor prelu(const Tensor& x, const Tensor& slope);

/// y = x > 0 ? x : slope x, slope ~ U[lower, upper) for each element anew; dx = dy (x > 0 ? 1 :
/// slope), at 0 slope dy, at NaN dy. Errors: lower > upper, or not finite. Source: Xu, Wang, Chen
/// and Li (2015), section 2.4.
Tensor rrelu(const Tensor& x, Rng& rng, double lower = 1. / 8, double upper = 1. / 3);

/// y = [relu(x), relu(-x)]: x [.., c] -> [.., 2 c]. Source: Shang, Sohn, Almeida and Lee (2016).
Tensor crelu(const Tensor& x);

/// y = a sigmoid(b), where a and b are the halves of the last axis: x [.., 2 c] -> [.., c].
/// Errors: an odd last axis. Source: Dauphin, Fan, Auli and Grangier (2017), eq. 1.
Tensor glu(const Tensor& x);

namespace detail {
/// f(z + b), what fused ops end with, in recorded ops; b and the parameter of f may be undefined.
Tensor finish(const Tensor& z, const Tensor& b, const Activation& f, const Tensor& parameter);
}  // namespace detail

/// dx = dy f'(at) in one streaming pass, 0 where f' is 0: the derivative of activations. `at` is x
/// or y, as needs_x() says; dy itself for the identity. Its own derivative is f.slope()'s.
Tensor activation_vjp(const Activation& activation, const Tensor& at, const Tensor& dy);

}  // namespace ramp
