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
  for (const auto& [tensor, at] : holders)
    if (at.size() > 1) copying.tensors.insert(at.begin(), at.end());
  if (copying.tensors.empty()) copying = {};
}

void make_parameter(Tensor& t, bool trains) {
  t.requires_grad_();
  mark_parameter(t);
  if (!trains) t.requires_grad_(false);
}

Tensor copy_held(const Tensor& original, bool trained) {
  if (!original.defined()) return {};
  const bool tied = copying.tensors.erase(&original) > 0;
  Tensor own, &in_copy = tied ? copying.copies[identity(original)] : own;
  if (!in_copy.defined()) {
    in_copy = original.detach().clone();
    if (trained) make_parameter(in_copy, original.requires_grad());
  }
  const Tensor copy = in_copy;
  if (tied && copying.tensors.empty()) copying = {};
  return copy;
}

}  // namespace detail

Generator::Generator() : Rng(layer_rng().split()) {}

}  // namespace ramp
