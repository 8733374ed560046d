#include "ramp/autograd/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "ramp/autograd/backward.h"

namespace ramp {

std::string gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                      std::vector<Tensor> inputs, GradcheckOptions options) {
  bool any = false;
  for (Tensor& x : inputs) {
    x = x.detach().clone();
    if (x.dtype() == f64) x.requires_grad_();
    any |= x.dtype() == f64;
  }
  if (!any) fail("gradcheck: expected at least one f64 input. Hint: x.to(f64).");
  Tensor y = f(inputs);
  if (!y.requires_grad()) return "the result does not depend on the inputs through the tape";

  std::mt19937_64 bits(options.seed);
  Tensor dy = Tensor::empty(y.shape(), f64);
  // In [-1, -0.25] and [0.25, 1]: random, and no part of y goes unweighted.
  for (int64_t i = 0; i < dy.numel(); ++i) {
    const double u = static_cast<double>(bits() >> 11) * 0x1p-53;
    dy.mutable_data<double>()[i] = (u < 0.5 ? -1 : 1) * (0.25 + 0.75 * std::fabs(2 * u - 1));
  }
  backward(y, dy);

  const NoGrad no_grad;
  const auto weighted_sum = [&] {
    const Tensor z = f(inputs);
    double sum = 0;
    for (int64_t i = 0; i < z.numel(); ++i) sum += z.data<double>()[i] * dy.data<double>()[i];
    return sum;
  };
  for (size_t at = 0; at < inputs.size(); ++at) {
    Tensor& x = inputs[at];
    if (x.dtype() != f64) continue;
    const Tensor dx = x.grad().defined() ? x.grad() : Tensor::zeros(x.shape(), f64);
    bool all_zero = x.numel() > 0;
    for (int64_t i = 0; i < x.numel(); ++i) {
      double& value = x.mutable_data<double>()[i];
      const double before = value, h = options.step * std::max(1.0, std::fabs(before));
      value = before + h;
      const double above = weighted_sum();
      value = before - h;
      const double below = weighted_sum();
      value = before;
      const double numeric = (above - below) / (2 * h), analytic = dx.data<double>()[i];
      all_zero &= analytic == 0;
      if (!(std::fabs(numeric - analytic) <= options.tolerance * (1 + std::fabs(numeric)))) {
        return fmt::format(
            "input {} {} at flat index {}: the derivative gives {}, central "
            "differences {}",
            at, x.shape(), i, analytic, numeric);
      }
    }
    if (all_zero && !options.allow_zero) {
      return fmt::format("input {} {}: the gradient is zero everywhere", at, x.shape());
    }
  }
  return "";
}

}  // namespace ramp
