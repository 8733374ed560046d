#include "ramp/optim/optimizer.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

#include "ramp/autograd/node.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {

namespace {

// Rows lie anywhere: a later one is on its way from memory while others are updated.
constexpr int64_t kAhead = 8;
template <typename T>
void fetch(const T* row, int64_t length) {
  for (int64_t i = 0; i < std::min<int64_t>(length, 512); i += 64 / int64_t{sizeof(T)})
    __builtin_prefetch(row + i, 1);
}

}  // namespace

void Optimizer::start(double lr, double weight_decay, const std::vector<ParameterGroup>& groups) {
  parameters_.check_leaves(name_);
  steps_ = Tensor::zeros({1 + static_cast<int64_t>(parameters_.size())}, i64);
  set_lr(lr);
  check_options(name_, is_at_least(weight_decay), "weight_decay >= 0, finite", {weight_decay});
  for (const NamedTensor& p : parameters_) own_.push_back({1, p.decays ? weight_decay : 0});
  for (const ParameterGroup& group : groups) {
    const double lr_of_group = group.lr.value_or(0), decay = group.weight_decay.value_or(0);
    check_options(name_, is_at_least(lr_of_group), "a group's lr >= 0, finite", {lr_of_group});
    check_options(name_, is_at_least(decay), "a group's weight_decay >= 0, finite", {decay});
    fail_if(group.lr && lr == 0, "{}: with a group's lr the other lr must be above 0; got 0.",
            name_);
    bool any = false;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (fnmatch(group.pattern.c_str(), parameters_[i].name.c_str(), 0) != 0) continue;
      any = true;
      if (group.lr) own_[i].lr_factor = lr_of_group / lr;
      if (group.weight_decay) own_[i].decay = decay;
    }
    fail_if(!any, "{}: the pattern of a group must match a parameter's name; got \"{}\" and {}.",
            name_, group.pattern, parameters_.str());
  }
}

void Optimizer::set_lr(double lr) {
  check_options(name_, is_at_least(lr), "lr >= 0, finite", {lr});
  lr_ = lr;
}

void Optimizer::add_state(const char* name, double start) {
  for (size_t i = 0; i < own_.size(); ++i) {
    const auto& [parameter, w, decays] = parameters_[i];
    own_[i].states.push_back({parameter + "." + name, Tensor::full(w.shape(), start, w.dtype())});
  }
}

std::vector<NamedTensor> Optimizer::state() {
  std::vector<NamedTensor> list;
  for (const OfParameter& p : own_) list.insert(list.end(), p.states.begin(), p.states.end());
  list.push_back({"steps", steps_});
  list.push_back({"lr", Tensor::scalar(lr_, f64)});
  return list;
}

void Optimizer::load_state(const std::vector<NamedTensor>& state) {
  for (const NamedTensor& t : state) {
    if (t.name != "lr" && t.name != "steps") continue;
    for (const double v : t.tensor.values())
      check_options(name_, is_at_least(v), ("saved " + t.name + " >= 0, finite").c_str(), {v});
  }
  const std::vector<NamedTensor> own = this->state();
  load_tensors("optimizer", own, state);
  lr_ = own.back().tensor.item();
}

void Optimizer::step() {
  const NoGrad no_grad;
  parameters_.check_gradients(name_, allow_unused_);
  const double factor = schedule_(static_cast<double>(steps()));
  check_options(name_, is_at_least(factor), "the schedule >= 0, finite", {factor});
  // All parameters are one row of chunks, so that threads share small ones too.
  int64_t* updates_of = steps_.mutable_data<int64_t>() + 1;
  std::vector<int64_t> ends;
  std::vector<Update> updates(parameters_.size());
  int64_t chunks = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Tensor& w = parameters_[i].tensor;
    if (has_grad(w)) {  // else it is frozen, or unused
      mark_grad_used(w);
      w.bump_version();
      const double lr = lr_ * factor * own_[i].lr_factor;
      updates[i] = rule_({static_cast<double>(++updates_of[i]), lr, own_[i].decay});
      const RowGradient* rows = row_gradient(w);
      chunks += ceil_div((rows ? rows->values : w.grad()).numel(), kStreamGrain);
    }
    ends.push_back(chunks);
  }
  ++updates_of[-1];
  parallel_for(chunks, 1, [&](int64_t chunk, int64_t) {
    const FlushDenormals flush;
    const size_t i = std::upper_bound(ends.begin(), ends.end(), chunk) - ends.begin();
    Tensor& w = parameters_[i].tensor;
    std::vector<NamedTensor>& states = own_[i].states;
    const RowGradient* rows = row_gradient(w);
    const Tensor& gradient = rows ? rows->values : w.grad();
    // Element j of the gradient is of this row of w; all of a dense one is row 0.
    const int64_t none = 0, *row = rows ? rows->ids.data<int64_t>() : &none;
    const int64_t length = rows ? w.numel() / w.dim(0) : w.numel();
    const int64_t begin = (chunk - (i == 0 ? 0 : ends[i - 1])) * kStreamGrain;
    const int64_t end = std::min(begin + kStreamGrain, gradient.numel());
    visit_float(name_, w.dtype(), [&]<typename T>(T) {
      const T* g = gradient.data<T>();
      T *to = w.mutable_data<T>(), *first[3] = {}, *s[3] = {};
      for (size_t k = 0; k < states.size(); ++k) first[k] = states[k].tensor.mutable_data<T>();
      const auto address = [](const auto& rule) -> const void* { return &rule; };
      for (int64_t j = begin, n = 0; j < end; j += n) {
        const int64_t at = row[j / length] * length + j % length;
        n = std::min(end - j, length - j % length);
        for (size_t k = 0; k < states.size(); ++k) s[k] = first[k] + at;
        if (rows) {
          const int64_t later = row[std::min(j / length + kAhead, rows->ids.numel() - 1)] * length;
          fetch(to + later, length);
          for (size_t k = 0; k < states.size(); ++k) fetch(first[k] + later, length);
        }
        kernels<T>().update[updates[i].index()](std::visit(address, updates[i]), n, g + j, to + at,
                                                s);
      }
    });
  });
}

}  // namespace ramp
