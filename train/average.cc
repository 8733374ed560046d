#include "ramp/train/average.h"

#include <algorithm>

#include "ramp/autograd/node.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {

WeightAverage::WeightAverage(ModuleBase& module, std::function<double(double n)> weight)
    : own_(module.named_parameters()), parameters_(own_.size()), weight_(std::move(weight)) {
  for (NamedTensor& b : module.named_buffers()) own_.push_back(std::move(b));
  for (const NamedTensor& t : own_) average_.push_back({t.name, t.tensor.detach().clone()});
}

void WeightAverage::update() {
  own_.check_current("WeightAverage");
  const NoGrad no_grad;
  const int64_t n = updates_.mutable_data<int64_t>()[0]++;
  for (size_t i = 0; i < own_.size(); ++i) {
    Tensor &a = average_[i].tensor, &w = own_[i].tensor;
    if (n == 0 || i >= parameters_) {
      a.copy_(w);
      continue;
    }
    // A step of SGD along w - a, which its decay makes of w: a -= -f (w - a).
    SgdUpdate<false> rule{};
    rule.lr = -weight_(static_cast<double>(n));
    rule.l2 = -1;
    visit_float("WeightAverage", a.dtype(), [&]<typename T>(T) {
      T* to = a.mutable_data<T>();
      parallel_for(a.numel(), kStreamGrain, [&, from = w.data<T>()](int64_t j, int64_t end) {
        kernels<T>().update[UpdateRules::index<SgdUpdate<false>>()](&rule, end - j, from + j,
                                                                    to + j, {});
      });
    });
  }
}

void WeightAverage::swap() {
  own_.check_current("WeightAverage");
  const NoGrad no_grad;
  for (size_t i = 0; i < own_.size(); ++i) {
    const Tensor w = own_[i].tensor.detach().clone();
    own_[i].tensor.copy_(average_[i].tensor);
    average_[i].tensor.copy_(w);
  }
}

std::vector<NamedTensor> WeightAverage::state() {
  std::vector<NamedTensor> list = average_;
  list.push_back({"updates", updates_});
  return list;
}

void WeightAverage::load_state(const std::vector<NamedTensor>& state) {
  for (const NamedTensor& t : state) {
    if (t.name != "updates") continue;
    for (const double n : t.tensor.values())
      check_options("WeightAverage", n >= 0, "saved updates >= 0", {n});
  }
  load_tensors("average", this->state(), state);
}

EMA::EMA(ModuleBase& module, EmaOptions o)
    : WeightAverage(module, [o](double n) {
        return 1 - (o.warmup ? std::min(o.decay, (1 + n) / (10 + n)) : o.decay);
      }) {
  check_options("EMA", is_fraction(o.decay), "decay in [0, 1)", {o.decay});
}

}  // namespace ramp
