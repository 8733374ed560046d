#include "ramp/optim/average.h"

#include <algorithm>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"

namespace ramp {

WeightAverage::WeightAverage(ModuleBase& module) : own_(module.named_parameters()) {
  parameters_ = own_.size();
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
      a.copy_(w.detach());
      continue;
    }
    a.copy_(a + weight(static_cast<double>(n)) * (w.detach() - a));
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
    if (t.name == "updates" && t.tensor.values() < std::vector<double>{0}) {
      fail("WeightAverage: saved updates must be at least 0; got {}.", t.tensor.values()[0]);
    }
  }
  load_tensors("average", this->state(), state);
}

EMA::EMA(ModuleBase& module, EmaOptions options) : WeightAverage(module), options_(options) {
  if (!(options.decay >= 0 && options.decay < 1)) {
    fail("EMA: decay must be in [0, 1); got {}.", options.decay);
  }
}

double EMA::weight(double n) const {
  return 1 - (options_.warmup ? std::min(options_.decay, (1 + n) / (10 + n)) : options_.decay);
}

}  // namespace ramp
