// A model as a table: summary(), which layers/module.h declares.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_set>

#include "ramp/autograd/node.h"
#include "ramp/layers/module.h"

namespace ramp {
namespace {

std::string table(ModuleBase& model, const std::map<const ModuleBase*, std::string>& shapes = {}) {
  std::vector<std::array<std::string, 4>> rows{{"path", "layer", "output", "parameters"}};
  const auto add = [&](const std::string& path, ModuleBase& m) {
    rows.push_back({path, m.describe(), shapes.contains(&m) ? shapes.at(&m) : "",
                    std::to_string(m.parameter_count())});
  };
  for (const Field& f : Fields(model))
    if (f.module) add(f.path, *f.module);
  add("", model);
  std::array<size_t, 3> width{};
  for (const auto& row : rows) {
    for (size_t i = 0; i < width.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string text;
  for (const auto& [path, what, shape, parameters] : rows) {
    text += fmt::format("{:<{}}  {:<{}}  ", path, width[0], what, width[1]);
    if (!shapes.empty()) text += fmt::format("{:<{}}  ", shape, width[2]);
    text += fmt::format("{:>12}\n", parameters);
  }
  return text;
}

// The shapes of the leaves that y depends on and that are not known: parameters, or Tensors that
// should be.
std::string unknown_parameters(const std::vector<Tensor>& y,
                               std::unordered_set<const void*>& known) {
  std::string text;
  std::vector<const Node*> stack;
  const auto push = [&](const Node* node) {
    const GradMeta* identity = node;
    if (node && known.insert(identity).second) stack.push_back(node);
  };
  for (const Tensor& t : y) push(node_of(t));
  while (!stack.empty()) {
    const Node& node = *stack.back();
    stack.pop_back();
    if (node.is_leaf) text += fmt::format("; a parameter {}", node.shape);
    for (uint32_t i = 0; i < node.input_count; ++i) push(node.inputs()[i].get());
  }
  return text;
}

}  // namespace

std::string ModuleBase::summary() { return table(*this); }

std::string ModuleBase::summary_of(const std::function<void()>& f) {
  std::map<const ModuleBase*, std::string> shapes;
  std::unordered_set<const void*> known{this};  // modules and leaves that have names
  std::string unknown;
  for (const Field& own : Fields(*this))
    known.insert(own.tensor ? detail::identity(*own.tensor) : own.module);
  const std::function watch = [&](ModuleBase& module, const std::vector<Tensor>& y) {
    std::vector<std::string> all;
    for (const Tensor& t : y) all.push_back(t.shape().str());
    shapes[&module] = fmt::format("{}", fmt::join(all, ", "));
    if (&module == this) unknown += unknown_parameters(y, known);
    if (!known.insert(&module).second) return;
    unknown += "; " + module.describe();
    for (const Field& f : Fields(module))
      if (f.trained) known.insert(detail::identity(*f.tensor));
  };
  {
    struct Watching {
      detail::Watch before;
      ~Watching() { detail::watch = before; }
    } const watching{std::exchange(detail::watch, &watch)};
    const EvalMode eval;
    f();
  }
  std::string text = table(*this, shapes);
  if (unknown.empty()) return text;
  return text + "in no fields(), so never trained or saved: " + unknown.substr(2) + "\n";
}

std::string Module::summary(const Shape& input) {
  const Fields all(*this);
  const auto first = std::ranges::find(all, true, &Field::trained);
  const DType dtype = first == all.end() ? f32 : first->tensor->dtype();
  return summary_of([&] { (*this)(Tensor::zeros(input, dtype)); });
}

}  // namespace ramp
