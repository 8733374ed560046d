#include "ramp/optim/parameters.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <unordered_set>

#include "ramp/autograd/node.h"

namespace ramp {

Parameters::Parameters(const std::vector<NamedTensor>& list) {
  std::unordered_set<const void*> seen;
  for (const NamedTensor& p : list) {
    const void* leaf = p.tensor.meta().get();
    if (leaf == nullptr || seen.insert(leaf).second) push_back(p);
  }
}

Parameters::Parameters(std::initializer_list<NamedModule> modules) {
  std::vector<NamedTensor> all;
  for (const NamedModule& m : modules) {
    for (NamedTensor& p : m.module.named_parameters())
      all.push_back({m.name + "." + p.name, p.tensor, p.decays});
  }
  *this = Parameters(all);
}

Parameters::Parameters(const std::vector<Tensor>& leaves) {
  std::vector<NamedTensor> all;
  for (const Tensor& leaf : leaves) all.push_back({std::to_string(all.size()), leaf});
  *this = Parameters(all);
}

std::string Parameters::str() const {
  std::string text;
  for (size_t i = 0; i < size() && i < 6; ++i)
    text += fmt::format("{}\"{}\" {}", i ? ", " : "", (*this)[i].name, (*this)[i].tensor.shape());
  return text + (size() > 6 ? fmt::format(" and {} more", size() - 6) : "");
}

void Parameters::zero_grad() const {
  for (NamedTensor p : *this) p.tensor.zero_grad();
}

void Parameters::check_leaves(const char* op) const {
  if (empty()) fail("{}: expected parameters; got none. Hint: does fields() name them?", op);
  std::map<std::string, Shape> names;
  for (const NamedTensor& p : *this) {
    check_defined(op, p.name, p.tensor);
    const Node* node = node_of(p.tensor);
    if (!node || !node->is_leaf) {
      fail("{}: expected leaves; got \"{}\" {}, which {}requires_grad_().", op, p.name,
           p.tensor.shape(),
           node ? fmt::format("is a result of {}. Hint: w.detach().", node->op)
                : "requires no gradient. Hint: w.");
    }
    const auto [same, is_new] = names.emplace(p.name, p.tensor.shape());
    fail_if(!is_new, "{}: two parameters are named \"{}\", {} and {}.", op, p.name, same->second,
            p.tensor.shape());
    mark_named(p.tensor);
  }
}

void Parameters::check_current(const char* op) const {
  Parameters replaced;
  std::ranges::copy_if(*this, std::back_inserter(replaced), was_replaced, &NamedTensor::tensor);
  if (replaced.empty()) return;
  fail("{}: other tensors stand in the place of {} now. Hint: take the parameters after to().", op,
       replaced.str());
}

void Parameters::check_gradients(const char* op, bool allowed) const {
  check_current(op);
  std::string unnamed;
  for (const Shape& shape : take_unnamed_parameters()) unnamed += " " + shape.str();
  fail_if(!unnamed.empty(),
          "{}: parameters got a gradient, but are in no fields():{}. Hint: f.param(\"w\", w) or "
          "f.child(\"layer\", layer) there.",
          op, unnamed);
  Parameters without;
  size_t trained = 0;
  for (const NamedTensor& p : *this) {
    if (!p.tensor.requires_grad()) continue;
    ++trained;
    if (!has_grad(p.tensor)) without.push_back(p);
  }
  if (without.empty()) return;
  fail_if(without.size() == trained,
          "{}: step() found no gradient in any of {} parameters. Hint: backward() comes before it.",
          op, trained);
  if (allowed) return;
  fail(
      "{}: step() found no gradient for {}. Hint: freeze() what forward() does not use, or "
      ".allow_unused = true.",
      op, without.str());
}

}  // namespace ramp
