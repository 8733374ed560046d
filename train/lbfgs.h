// L-BFGS: a quasi-Newton method for losses that are not sampled (the whole data set in each call).
#pragma once

#include <functional>

#include "ramp/optim/parameters.h"

namespace ramp {

struct LbfgsOptions {
  double lr = 1;                     // the first step tried in each line search
  int max_iterations = 20;           // in one call of step()
  int max_evaluations = 25;          // of the loss, in one call
  double gradient_tolerance = 1e-7;  // stops at max |g| <= this
  double change_tolerance = 1e-9;    // stops where the loss or all weights change by less
  int history = 100;                 // pairs of differences that stand for the second derivative
  bool allow_unused = false;         // parameters without a gradient stay; else they are an error
};

/// w += t d, d = -H g, where H, made of the last differences of weights and gradients, stands for
/// the inverse of the second derivative, and t satisfies the strong Wolfe conditions (c1 = 1e-4,
/// c2 = 0.9), by cubic interpolation; where the loss or its gradient is NaN or inf, t is too large.
/// Its numbers are f64, the parameters f32 or f64. H begins anew where others are frozen than
/// before. Errors: options that are negative, NaN or 0; Parameters::check_leaves(); at a step
/// Parameters::check_gradients(); a loss or gradient that is NaN or inf where it starts.
/// Source: Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4, 3.5 and 3.6; the
/// limits of the interpolation are those of PyTorch.
class LBFGS {
 public:
  explicit LBFGS(Parameters parameters, LbfgsOptions options = {});

  /// Iterates; the loss is computed as often as needed, and step() runs backward and clears the
  /// gradients. Returns the loss before. `lbfgs.step([&] { return mse_loss(net(x), y); })`
  double step(const std::function<Tensor()>& loss);

  /// As Optimizer::state() and load_state(): all that the next steps depend on.
  std::vector<NamedTensor> state();
  void load_state(const std::vector<NamedTensor>& state);

 private:
  // A place w + t d of a line search: the loss, its derivative by t, its gradient.
  struct Place {
    double t, loss, slope;
    Tensor gradient;
  };

  // Into the parameters that are not frozen.
  void put(const Tensor& w);
  Place evaluate(const std::function<Tensor()>& loss, const Tensor& w, double t);
  Place search(const std::function<Tensor()>& loss, const Tensor& w, const Place& start, double t);
  void remember(const Tensor& gradient);
  void choose_direction(const Tensor& gradient);

  LbfgsOptions options_;
  Parameters parameters_;
  std::vector<bool> frozen_;  // at the last step
  // In f64: the pairs y = difference of gradients, s = of weights, as a ring; the last gradient; d.
  Tensor y_, s_, gradient_, direction_;
  // {pairs held, place of the next, iterations done, evaluations in this call}; {t, y s / y y}.
  Tensor counts_ = Tensor::zeros({4}, i64), scales_ = Tensor::of<double>({0, 1});
  int64_t* count_ = counts_.mutable_data<int64_t>();
  double* scale_ = scales_.mutable_data<double>();
};

}  // namespace ramp
