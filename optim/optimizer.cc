#include "ramp/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "ramp/autograd/node.h"

namespace ramp {

Optimizer::Optimizer(const char* name, std::vector<NamedTensor> parameters, double rate)
    : name_(name) {
  std::unordered_set<const GradMeta*> seen;
  for (NamedTensor& p : parameters) {
    check_defined(name, p.name, p.tensor);
    if (!p.tensor.requires_grad()) continue;
    if (!seen.insert(p.tensor.meta().get()).second) continue;  // tied weights: updated once
    parameters_.push_back(std::move(p));
  }
  if (parameters_.empty()) {
    fail(
        "{}: expected parameters that require a gradient; got none of {}. Hint: does fields() name "
        "them, and are they frozen?",
        name, parameters.size());
  }
  updates_.assign(parameters_.size(), 0);
  set_rate(rate);
}

void Optimizer::set_rate(double rate) {
  check_at_least("the rate", rate, 0);
  rate_ = rate;
}

void Optimizer::check_at_least(const char* what, double value, double least) const {
  if (!(value >= least) || !std::isfinite(value)) {
    fail("{}: {} must be a finite number of at least {}; got {}.", name_, what, least, value);
  }
}

void Optimizer::check_below(const char* what, double value, double least, double limit) const {
  if (!(value >= least && value < limit)) {
    fail("{}: {} must be in [{}, {}); got {}.", name_, what, least, limit, value);
  }
}

void Optimizer::zero_grad() {
  for (NamedTensor& p : parameters_) p.tensor.zero_grad();
}

std::vector<Tensor> Optimizer::zeros_like_parameters() const {
  std::vector<Tensor> list;
  for (const NamedTensor& p : parameters_) {
    list.push_back(Tensor::zeros(p.tensor.shape(), p.tensor.dtype()));
  }
  return list;
}

void Optimizer::step() {
  const NoGrad no_grad;
  // All parameters are one row of pieces, so that threads share small ones too.
  std::vector<int64_t> ends;
  int64_t pieces = 0;
  bool any = false;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Tensor& w = parameters_[i].tensor;
    if (w.grad().defined()) {
      any = true;
      w.announce_write();
      ++updates_[i];
      pieces += (w.numel() + kStreamGrain - 1) / kStreamGrain;
    }
    ends.push_back(pieces);
  }
  if (!any) {
    fail(
        "{}: step() found no gradient in any of {} parameters. Hint: backward() comes before it, "
        "and an optimizer is made after to() and freeze().",
        name_, parameters_.size());
  }
  ++steps_;
  parallel_for(pieces, 1, [&](int64_t piece, int64_t) {
    const FlushDenormals flush;
    const size_t i = std::upper_bound(ends.begin(), ends.end(), piece) - ends.begin();
    const int64_t begin = (piece - (i == 0 ? 0 : ends[i - 1])) * kStreamGrain;
    update(i, begin, std::min(begin + kStreamGrain, parameters_[i].tensor.numel()));
  });
}

}  // namespace ramp
