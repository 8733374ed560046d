#include "ramp/layers/module.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "ramp/autograd/node.h"

namespace ramp {
namespace {

thread_local int depth = 0;

// Those of the kinds that are wanted, each once.
std::vector<NamedTensor> tensors_of(ModuleBase& module, bool parameters, bool buffers) {
  std::vector<NamedTensor> list;
  std::unordered_set<const void*> seen;
  for (Field& f : Fields(module)) {
    if (!f.tensor || !(f.trained ? parameters : buffers)) continue;
    if (f.tensor->numel() > 0 && !seen.insert(detail::identity(*f.tensor)).second) continue;
    list.push_back({std::move(f.path), *f.tensor, f.decays});
  }
  return list;
}

}  // namespace

const void* detail::identity(const Tensor& t) {
  if (t.meta()) return t.meta().get();
  return visit_dtype(t.dtype(), [&]<typename T>(T) -> const void* { return t.data<T>(); });
}

detail::CallDepth::CallDepth(ModuleBase& module) {
  if (depth == 0 && !module.named_ && grad_enabled() && module.training()) {
    module.named_parameters();
    module.named_ = true;
  }
  ++depth;
}
detail::CallDepth::~CallDepth() { --depth; }

Fields::Fields(ModuleBase& module) {
  reserve(16);
  module.fields(*this);
}

Fields& Fields::child(const std::string& name, ModuleBase& module) {
  const std::string outer = prefix;
  push_back({.path = prefix + name, .module = &module});
  prefix += name + ".";
  module.fields(*this);
  prefix = outer;
  return *this;
}

Fused Module::call(const Tensor& x, std::span<Module* const> next) {
  return run([&] { return detail::watch ? Fused{forward(x)} : forward_with(x, next); });
}

void ModuleBase::add_path(Error& error) {
  if (error.module) {
    const Fields all(*this);
    const auto found = std::ranges::find(all, error.module, &Field::module);
    if (found != all.end()) error.prepend_path(found->path);
  }
  error.module = this;
}

std::vector<NamedTensor> ModuleBase::named_parameters() {
  std::vector<NamedTensor> list = tensors_of(*this, true, false);
  // The leaves are told that they have a name, and stand where they are, if that is news to them.
  for (const NamedTensor& p : list) {
    Node& leaf = *node_of(p.tensor);
    if (!leaf.named) leaf.named = true;
    if (leaf.replaced) leaf.replaced = false;
  }
  return list;
}

std::vector<NamedTensor> ModuleBase::named_buffers() { return tensors_of(*this, false, true); }

std::vector<Tensor> ModuleBase::parameters() {
  std::vector<Tensor> list;
  for (NamedTensor& p : named_parameters()) list.push_back(std::move(p.tensor));
  return list;
}

int64_t ModuleBase::parameter_count() {
  int64_t n = 0;
  for (const NamedTensor& p : tensors_of(*this, true, false)) n += p.tensor.numel();
  return n;
}

std::vector<NamedTensor> ModuleBase::state() {
  std::vector<NamedTensor> list = tensors_of(*this, true, true);
  for (const auto& [path, tensor, rng, module, trained, decays] : Fields(*this))
    if (rng) list.push_back({path, Tensor::of<uint64_t>({rng->seed(), rng->draw()})});
  return list;
}

std::vector<std::string> ModuleBase::load_state(const std::vector<NamedTensor>& given,
                                                LoadStateOptions options) {
  const std::vector<NamedTensor> own = state();
  const std::vector<std::string> left = load_tensors("model", own, given, options);
  for (const Field& f : Fields(*this)) {
    if (!f.rng) continue;
    const int64_t* s = std::ranges::find(own, f.path, &NamedTensor::name)->tensor.data<int64_t>();
    *f.rng = Rng(static_cast<uint64_t>(s[0]), static_cast<uint64_t>(s[1]));
  }
  return left;
}

std::vector<std::string> load_tensors(const char* holder, const std::vector<NamedTensor>& list,
                                      const std::vector<NamedTensor>& state,
                                      LoadStateOptions options) {
  std::map<std::string, Tensor> given;
  for (const NamedTensor& s : state) given[s.name] = s.tensor;
  std::vector<std::pair<Tensor, Tensor>> copies;
  std::vector<std::string> left;
  for (const NamedTensor& own : list) {
    const auto found = given.extract(own.name);
    const Tensor value = found ? found.mapped() : Tensor();
    const bool same_shape = value.shape() == own.tensor.shape();
    const auto text = [&](const Tensor& t) {
      return same_shape ? std::string(name_of(t.dtype())) : t.shape().str();
    };
    if (!value.defined()) {
      left.push_back(fmt::format("\"{}\" {} is missing", own.name, own.tensor.shape()));
    } else if (!same_shape || is_float(value.dtype()) != is_float(own.tensor.dtype())) {
      left.push_back(fmt::format("\"{}\" is {} in the {} and {} in the state", own.name,
                                 text(own.tensor), holder, text(value)));
    } else {
      copies.emplace_back(own.tensor, value);
    }
  }
  for (const auto& [name, tensor] : given)
    left.push_back(fmt::format("\"{}\" {} is not in the {}", name, tensor.shape(), holder));
  fail_if(options.strict && !left.empty(),
          "load_state: the state and the {} must agree; {}. Hint: is it the same architecture?",
          holder, fmt::join(left, "; "));
  const NoGrad no_grad;
  for (auto& [own, value] : copies) own.copy_(value.to(own.dtype()));
  return left;
}

ModuleBase& ModuleBase::train(bool on) {
  training_ = on;
  for (const Field& f : Fields(*this))
    if (f.module) f.module->training_ = on;
  return *this;
}
bool ModuleBase::training() const { return training_ && !EvalMode::on_; }

ModuleBase& ModuleBase::to(DType dtype) {
  if (!is_float(dtype)) fail("to: a model is f32 or f64; got {}.", dtype);
  // Before and after; what was before stays alive, or its address would be another tensor's.
  std::map<const void*, std::pair<Tensor, Tensor>> replaced;
  for (const Field& f : Fields(*this)) {
    if (!f.tensor || !is_float(f.tensor->dtype()) || f.tensor->dtype() == dtype) continue;
    auto& [before, after] = replaced[detail::identity(*f.tensor)];
    if (!before.defined()) {
      before = *f.tensor;
      after = before.detach().to(dtype);
      if (f.trained) {
        detail::make_parameter(after, before.requires_grad());
        mark_replaced(before);
        mark_named(after);
      }
    }
    *f.tensor = after;
  }
  return *this;
}

ModuleBase& ModuleBase::freeze(bool on) {
  for (const Field& f : Fields(*this))
    if (f.trained) f.tensor->requires_grad_(!on);
  return *this;
}

void ModuleBase::zero_grad() {
  for (const Field& f : Fields(*this))
    if (f.trained) f.tensor->zero_grad();
}

}  // namespace ramp
