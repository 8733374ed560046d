#include "ramp/optim/clip.h"

#include <cmath>
#include <numeric>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"
#include "ramp/core/rules.h"

namespace ramp {
namespace {

// f(parameter, its gradient or the rows of it), for each that has one; it is its own to write to.
template <typename F>
void each_gradient(const char* op, const Parameters& parameters, F f) {
  parameters.check_current(op);
  const NoGrad no_grad;
  for (const NamedTensor& p : parameters) {
    if (has_grad(p.tensor)) f(p, node_of(p.tensor)->own_gradient());
  }
}

double sum_squares(const Tensor& g) {
  std::vector<double> parts(static_cast<size_t>(ceil_div(g.numel(), kStreamGrain)));
  visit_float("clip_grad_norm", g.dtype(), [&]<typename T>(T) {
    const T* all = g.data<T>();
    parallel_for(g.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      double& part = parts[static_cast<size_t>(begin / kStreamGrain)];
      part = kernels<T>().sum_squares(end - begin, all + begin, 0);
      if (std::isfinite(part)) return;
      part = 0;  // perhaps only the squares were too large for f32
      for (int64_t i = begin; i < end; ++i) part += static_cast<double>(all[i]) * all[i];
    });
  });
  return std::accumulate(parts.begin(), parts.end(), 0.);
}

// |x| of each unit, in f64: of the columns, or of all of a tensor of one axis.
Tensor unit_norms(const Tensor& x) {
  const Tensor y = x.to(f64);
  return sqrt(x.rank() > 1 ? sum_to(y * y, {x.dim(-1)}) : sum(y * y));
}

// Scales the units of x whose norm is above the limit down to it.
void limit_units(Tensor& x, const Tensor& norms, const Tensor& limit) {
  const Tensor factors = where(norms > limit, limit / norms, Tensor::ones({}, f64));
  x.copy_(x * factors.to(x.dtype()));
}

}  // namespace

void clip_grad_value(const Parameters& parameters, double limit) {
  check_options("clip_grad_value", limit >= 0, "limit >= 0", {limit});
  const Clamp rule{{-limit, limit}};
  each_gradient("clip_grad_value", parameters, [&](const NamedTensor&, Tensor& g) {
    visit_float("clip_grad_value", g.dtype(), [&]<typename T>(T) {
      parallel_for(g.numel(), kStreamGrain, [&, x = g.mutable_data<T>()](int64_t i, int64_t end) {
        kernels<T>().unary[UnaryRules::index<Clamp>()](&rule, end - i, x + i, x + i);
      });
    });
  });
}

double clip_grad_norm(const Parameters& parameters, double limit, bool allow_non_finite) {
  check_options("clip_grad_norm", limit >= 0, "limit >= 0", {limit});
  double sum = 0;
  each_gradient("clip_grad_norm", parameters, [&](const NamedTensor& p, Tensor& g) {
    const double part = sum_squares(g);
    if (!std::isfinite(part) && !allow_non_finite) {
      fail(
          "clip_grad_norm: the norm must be finite; got {} for the gradient of \"{}\" {}. Hint: a "
          "lower rate, or allow_non_finite and no step where the norm returned is not finite.",
          std::sqrt(part), p.name, g.shape());
    }
    sum += part;
  });
  const double norm = std::sqrt(sum), factor = limit / (norm + 1e-6);
  if (std::isfinite(norm) && factor < 1) {
    each_gradient("clip_grad_norm", parameters,
                  [&](const NamedTensor&, Tensor& g) { g.mul_(factor); });
  }
  return norm;
}

void adaptive_clip_grad(const Parameters& parameters, double factor, double eps) {
  check_options("adaptive_clip_grad", factor >= 0 && eps >= 0, "factor, eps >= 0", {factor, eps});
  each_gradient("adaptive_clip_grad", parameters, [&](const NamedTensor& p, Tensor& g) {
    limit_units(g, unit_norms(g), factor * maximum(unit_norms(p.tensor), Tensor::scalar(eps, f64)));
  });
}

void max_norm(const Parameters& parameters, double limit) {
  check_options("max_norm", limit >= 0, "limit >= 0", {limit});
  parameters.check_current("max_norm");
  const NoGrad no_grad;
  for (const NamedTensor& p : parameters) {
    if (p.tensor.rank() < 2 || !p.tensor.requires_grad()) continue;
    Tensor w = p.tensor;
    limit_units(w, unit_norms(w), Tensor::scalar(limit, f64));
  }
}

}  // namespace ramp
