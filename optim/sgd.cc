#include "ramp/optim/sgd.h"

#include "ramp/core/kernels/kernels.h"

namespace ramp {

SGD::SGD(std::vector<NamedTensor> parameters, SgdOptions options)
    : Optimizer("SGD", std::move(parameters), options.lr), options_(options) {
  check_at_least("momentum", options.momentum, 0);
  check_at_least("dampening", options.dampening, 0);
  check_at_least("weight_decay", options.weight_decay, 0);
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    fail("SGD: Nesterov needs momentum above 0 and no dampening; got momentum {} and dampening {}.",
         options.momentum, options.dampening);
  }
  if (options.momentum != 0) velocity_ = zeros_like_parameters();
}

void SGD::update(size_t i, int64_t begin, int64_t end) {
  Tensor& w = parameters_[i].tensor;
  visit_float("SGD", w.dtype(), [&]<typename T>(T) {
    T* v = velocity_.empty() ? nullptr : velocity_[i].mutable_data<T>() + begin;
    const SgdStep step{rate_,
                       options_.momentum,
                       options_.dampening,
                       options_.weight_decay,
                       options_.nesterov,
                       updates_[i] == 1};
    kernels<T>().sgd(end - begin, step, w.grad().data<T>() + begin, w.mutable_data<T>() + begin, v);
  });
}

}  // namespace ramp
