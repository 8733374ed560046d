#include "ramp/optim/adam.h"

#include <cmath>

#include "ramp/core/kernels/kernels.h"

namespace ramp {

Adam::Adam(std::vector<NamedTensor> parameters, AdamOptions options)
    : Optimizer("Adam", std::move(parameters), options.lr), options_(options) {
  check_below("beta1", options.beta1, 0, 1);
  check_below("beta2", options.beta2, 0, 1);
  check_at_least("eps", options.eps, 0);
  check_at_least("weight_decay", options.weight_decay, 0);
  m_ = zeros_like_parameters();
  v_ = zeros_like_parameters();
}

void Adam::update(size_t i, int64_t begin, int64_t end) {
  const double t = static_cast<double>(updates_[i]);
  const AdamStep step{rate_ / (1 - std::pow(options_.beta1, t)),
                      options_.beta1,
                      options_.beta2,
                      options_.eps,
                      std::sqrt(1 - std::pow(options_.beta2, t)),
                      options_.weight_decay};
  Tensor& w = parameters_[i].tensor;
  visit_float("Adam", w.dtype(), [&]<typename T>(T) {
    kernels<T>().adam(end - begin, step, w.grad().data<T>() + begin, w.mutable_data<T>() + begin,
                      m_[i].mutable_data<T>() + begin, v_[i].mutable_data<T>() + begin);
  });
}

}  // namespace ramp
