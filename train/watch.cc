#include "ramp/train/watch.h"

#include <utility>

#include "ramp/autograd/node.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/norm.h"

namespace ramp {
namespace {

// Those that are on, and who watched before them.
struct Watches {
  std::vector<std::weak_ptr<const ModuleWatch::Function>> list;
  detail::Watch before = nullptr;
  const ModuleWatch::Function tell_all = [this](ModuleBase& module, const std::vector<Tensor>& y) {
    if (before) (*before)(module, y);
    for (size_t i = 0; i < list.size(); ++i)  // one may switch itself off
      if (const auto f = list[i].lock()) (*f)(module, y);
  };
};
Watches& watches() {
  static thread_local Watches w;
  return w;
}

}  // namespace

void ModuleWatch::on() {
  if (told_) return;
  Watches& w = watches();
  if (w.list.empty()) w.before = std::exchange(detail::watch, &w.tell_all);
  told_ = std::make_shared<const Function>(f_);
  w.list.push_back(told_);
}

void ModuleWatch::off() {
  if (!std::exchange(told_, nullptr)) return;
  Watches& w = watches();
  std::erase_if(w.list, [](const auto& f) { return f.expired(); });
  if (w.list.empty() && detail::watch == &w.tell_all) detail::watch = w.before;
}

const Activation* activation_of(ModuleBase& module) {
  const Activation* f = nullptr;
  if (const auto* linear = dynamic_cast<LinearLayer*>(&module)) f = &linear->activation;
  if (const auto* batch_norm = dynamic_cast<BatchNorm*>(&module)) f = &batch_norm->activation;
  if (const auto* activate = dynamic_cast<Activate*>(&module)) f = &activate->activation;
  return f && !f->is_identity() ? f : nullptr;
}

const Tensor& kept_gradient(const Tensor& leaf) {
  const RowGradient* rows = row_gradient(leaf);
  return rows ? rows->values : node_of(leaf)->grad;
}

}  // namespace ramp
