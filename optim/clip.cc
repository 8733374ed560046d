#include "ramp/optim/clip.h"

#include <cmath>

#include "ramp/autograd/node.h"
#include "ramp/core/activation.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

void check_limit(const char* op, const char* what, double value) {
  if (!(value >= 0)) fail("{}: {} must be a number of at least 0; got {}.", op, what, value);
}

// f(parameter, its gradient), for each that has one; the gradient is its own to write to.
template <typename F>
void each_gradient(const char* op, const Parameters& parameters, F f) {
  parameters.check_current(op);
  for (const NamedTensor& p : parameters) {
    const Tensor& shared = p.tensor.grad();
    if (!shared.defined()) continue;
    if (!shared.unique()) Tensor(p.tensor).set_grad(shared.clone());  // of a + b: both have dy
    Tensor g = p.tensor.grad();
    f(p, g);
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
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

// |x| of each unit: of the columns, or of all of a tensor of one axis.
std::vector<double> unit_norms(const Tensor& x) {
  const int64_t units = x.rank() > 1 ? x.dim(-1) : 1;
  std::vector<double> norms(static_cast<size_t>(units));
  if (x.numel() == 0) return norms;
  visit_float("clip", x.dtype(), [&]<typename T>(T) {
    const std::vector<T> zero(norms.size());
    kernels<T>().sum_squares_cols(x.numel() / units, units, x.data<T>(), units, zero.data(),
                                  norms.data());
  });
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

void scale_units(Tensor& x, const std::vector<double>& factors) {
  visit_float("clip", x.dtype(), [&]<typename T>(T) {
    const std::vector<T> f(factors.begin(), factors.end());
    T* at = x.mutable_data<T>();
    for (T* end = at + x.numel(); at < end;) {
      for (const T factor : f) *at++ *= factor;
    }
  });
}

}  // namespace

void clip_grad_value(const Parameters& parameters, double limit) {
  check_limit("clip_grad_value", "the limit", limit);
  const Activation clamp = Clamp{-limit, limit};
  each_gradient("clip_grad_value", parameters, [&](const NamedTensor&, Tensor& g) {
    visit_float("clip_grad_value", g.dtype(), [&]<typename T>(T) {
      T* all = g.mutable_data<T>();
      clamp.f_block(g.numel(), all, all);
    });
  });
}

double clip_grad_norm(const Parameters& parameters, double limit, bool allow_non_finite) {
  check_limit("clip_grad_norm", "the limit", limit);
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
    const NoGrad no_grad;
    each_gradient("clip_grad_norm", parameters,
                  [&](const NamedTensor&, Tensor& g) { g.mul_(factor); });
  }
  return norm;
}

void adaptive_clip_grad(const Parameters& parameters, double factor, double eps) {
  check_limit("adaptive_clip_grad", "the factor", factor);
  check_limit("adaptive_clip_grad", "eps", eps);
  each_gradient("adaptive_clip_grad", parameters, [&](const NamedTensor& p, Tensor& g) {
    const std::vector<double> w = unit_norms(p.tensor);
    std::vector<double> f = unit_norms(g);
    for (size_t j = 0; j < f.size(); ++j) {
      const double most = factor * std::max(w[j], eps);
      f[j] = f[j] > most ? most / f[j] : 1;
    }
    scale_units(g, f);
  });
}

void max_norm(const Parameters& parameters, double limit) {
  check_limit("max_norm", "the limit", limit);
  parameters.check_current("max_norm");
  for (const NamedTensor& p : parameters) {
    if (p.tensor.rank() < 2 || !p.tensor.requires_grad()) continue;
    std::vector<double> f = unit_norms(p.tensor);
    for (double& norm : f) norm = norm > limit ? limit / norm : 1;
    Tensor w = p.tensor;
    w.bump_version();
    scale_units(w, f);
  }
}

}  // namespace ramp
