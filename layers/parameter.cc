#include "ramp/layers/parameter.h"

#include <map>
#include <unordered_set>
#include <vector>

#include "ramp/autograd/node.h"
#include "ramp/layers/init.h"
#include "ramp/layers/module.h"

namespace ramp {
namespace detail {
namespace {

// While a module with tied tensors is being copied: what is still to come, by its address in the
// original, and the copies there are.
struct Copying {
  std::unordered_set<const void*> modules, tensors;
  std::map<const void*, Tensor> copies;  // by the identity of the original
};
thread_local Copying copying;

}  // namespace

void begin_copy(const ModuleBase& original) {
  if (copying.modules.erase(&original)) return;  // a part of the one that is being copied
  copying = {};
  std::map<const void*, std::vector<const void*>> holders;
  for (const Field& f : Fields(const_cast<ModuleBase&>(original))) {  // which only looks
    if (f.tensor) holders[identity(*f.tensor)].push_back(f.tensor);
    if (f.module) copying.modules.insert(f.module);
  }
  for (const auto& [tensor, at] : holders) {
    if (at.size() > 1) copying.tensors.insert(at.begin(), at.end());
  }
  if (copying.tensors.empty()) copying = {};
}

void make_parameter(Tensor& t, bool trains) {
  t.requires_grad_();
  mark_parameter(t);
  if (!trains) t.requires_grad_(false);
}

template <bool kTrained>
Held<kTrained>::Held(Tensor value) {
  if (!value.defined()) return;
  if (kTrained && value.meta() && !node_of(value)->is_leaf) {
    fail("Parameter: expected a tensor without history; got a result of {} {}. Hint: y.detach().",
         node_of(value)->op, value.shape());
  }
  const bool trains = !value.meta() || value.requires_grad();
  value = value.detach();
  Tensor::operator=(value.unique() ? std::move(value) : value.clone());
  if (kTrained) make_parameter(*this, trains);
}

template <bool kTrained>
Held<kTrained>::Held(const Held& other) : Tensor() {
  if (!other.defined()) return;
  const bool tied = copying.tensors.erase(&other) > 0;
  Tensor own, &copy = tied ? copying.copies[identity(other)] : own;
  if (!copy.defined()) {
    copy = other.detach().clone();
    if (kTrained) make_parameter(copy, other.requires_grad());
  }
  Tensor::operator=(copy);
  if (tied && copying.tensors.empty()) copying = {};
  if (other.at_start()) start_ = version();
}

template <bool kTrained>
Held<kTrained>& Held<kTrained>::operator=(Held other) {
  const bool starts = other.at_start();
  if (defined() && other.defined() && shape() == other.shape() && dtype() == other.dtype()) {
    const NoGrad no_grad;
    copy_(other);
    if (kTrained) zero_grad();
  } else {
    if (kTrained && meta()) {
      mark_replaced(*this);
      if (node_of(*this)->named) mark_named(other);
    }
    Tensor::operator=(std::move(other));
  }
  start_ = starts ? version() : ~0u;
  return *this;
}

template <bool kTrained>
void Held<kTrained>::share(const Held& other) {
  check_defined("share", "the tensor to share", other);
  if (meta().get() != other.meta().get()) mark_replaced(*this);
  Tensor::operator=(other);
  start_ = ~0u;
}

template class Held<true>;
template class Held<false>;

}  // namespace detail

Generator::Generator() : Rng(layer_rng().split()) {}

}  // namespace ramp
