#include "ramp/glass/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/random.h"

namespace ramp {
namespace {

// In [-1, -0.25] and [0.25, 1]: random, and no part of y goes unweighted.
Tensor random_cotangent(const Shape& shape, uint64_t seed) {
  const Tensor u = Rng(seed).uniform(shape, -1, 1, f64);
  return 0.75 * u + where(u < 0, Tensor::scalar(-0.25, f64), Tensor::scalar(0.25, f64));
}

}  // namespace

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

  const Tensor dy = random_cotangent(y.shape(), options.seed);
  backward(y, dy);

  const NoGrad no_grad;
  const auto weighted_sum = [&] { return sum(f(inputs) * dy).item(); };
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

std::string gradgradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                          std::vector<Tensor> inputs, GradcheckOptions options) {
  const auto gradients = [&](const std::vector<Tensor>& inputs_and_dy, bool create_graph) {
    const Recording recording(true);
    std::vector<Tensor> x(inputs_and_dy.begin(), inputs_and_dy.end() - 1), wanted;
    for (Tensor& t : x)
      if (t.dtype() == f64) wanted.push_back(t.requires_grad_());
    std::vector<Tensor> parts{Tensor::zeros({1}, f64)};  // at least one value
    for (const Tensor& dx : grad(f(x), wanted, {create_graph, inputs_and_dy.back(), true}))
      if (dx.defined()) parts.push_back(reshape(dx, {-1}));
    return concat(parts, 0);
  };
  for (Tensor& x : inputs) x = x.detach().clone();
  inputs.push_back(random_cotangent(f(inputs).shape(), options.seed + 1));
  const std::vector<double> plain = gradients(inputs, false).values(),
                            created = gradients(inputs, true).values();
  for (size_t i = 0; i < plain.size(); ++i) {
    if (std::fabs(plain[i] - created[i]) <= options.tolerance * (1 + std::fabs(plain[i]))) continue;
    return fmt::format("with create_graph the gradients differ: {}, not {}", created[i], plain[i]);
  }
  options.allow_zero = true;
  return gradcheck([&](const auto& v) { return gradients(v, true); }, std::move(inputs), options);
}

}  // namespace ramp
