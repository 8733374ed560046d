#include "ramp/layers/module.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <unordered_set>

#include "ramp/autograd/node.h"

namespace ramp {
namespace {

struct Trace;
thread_local Trace* tracing = nullptr;

// The forward pass of a summary() while it lives: what came out of each module and of the root, and
// which ones are not known.
struct Trace {
  const ModuleBase* root;
  std::map<const ModuleBase*, std::string> shapes = {};
  std::vector<Tensor> y = {};
  std::unordered_set<const void*> known = {};  // modules and leaves that have names
  std::string unknown = {};
  Trace* before = std::exchange(tracing, this);
  ~Trace() { tracing = before; }
};

thread_local bool evaluating = false;
thread_local int depth = 0;

// Those of the kinds that are wanted, each once.
std::vector<NamedTensor> tensors_of(ModuleBase& module, bool parameters, bool buffers) {
  std::vector<NamedTensor> list;
  std::unordered_set<const void*> seen;
  Fields f{.on_tensor = [&](const std::string& path, Tensor& t, Fields::Kind kind) {
    if (!(kind == Fields::Kind::buffer ? buffers : parameters)) return;
    if (t.numel() > 0 && !seen.insert(detail::identity(t)).second) return;
    list.push_back({path, t, kind == Fields::Kind::parameter});
  }};
  module.fields(f);
  return list;
}

// Tells the leaves that they have a name, and stand where they are: written only if that is news.
void tell_names(const std::vector<NamedTensor>& parameters) {
  for (const NamedTensor& p : parameters) {
    Node& leaf = *node_of(p.tensor);
    if (!leaf.named) leaf.named = true;
    if (leaf.replaced) leaf.replaced = false;
  }
}

}  // namespace

const void* detail::identity(const Tensor& t) {
  if (t.meta()) return t.meta().get();
  return visit_dtype(t.dtype(), [&]<typename T>(T) -> const void* { return t.data<T>(); });
}

detail::CallDepth::CallDepth(ModuleBase& module) {
  if (depth == 0 && !module.named_ && grad_enabled() && module.training()) {
    tell_names(tensors_of(module, true, false));
    module.named_ = true;
  }
  ++depth;
}
detail::CallDepth::~CallDepth() { --depth; }
bool detail::traced() { return tracing != nullptr; }

Fields& Fields::child(const std::string& name, ModuleBase& module) {
  const std::string outer = prefix;
  if (on_module) on_module(prefix + name, module);
  prefix += name + ".";
  module.fields(*this);
  prefix = outer;
  return *this;
}

Fused Module::call(const Tensor& x, std::span<Module* const> next) {
  return run([&] { return tracing ? Fused{forward(x)} : forward_with(x, next); });
}

void ModuleBase::add_path(Error& error) {
  std::string found;
  Fields f{.on_module = [&](const std::string& path, ModuleBase& m) {
    if (&m == error.module && found.empty()) found = path;
  }};
  if (error.module) fields(f);
  if (!found.empty()) error.prepend_path(found);
  error.module = this;
}

std::vector<NamedTensor> ModuleBase::named_parameters() {
  std::vector<NamedTensor> list = tensors_of(*this, true, false);
  tell_names(list);
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
  Fields f{.on_rng = [&](const std::string& path, Rng& rng) {
    list.push_back({path, Tensor::of<int64_t>({std::bit_cast<int64_t>(rng.seed()),
                                               std::bit_cast<int64_t>(rng.draw())})});
  }};
  fields(f);
  return list;
}

std::vector<std::string> ModuleBase::load_state(const std::vector<NamedTensor>& given,
                                                LoadStateOptions options) {
  const std::vector<NamedTensor> own = state();
  const std::vector<std::string> left = load_tensors("model", own, given, options);
  Fields f{.on_rng = [&](const std::string& path, Rng& rng) {
    const auto is_it = [&](const NamedTensor& t) { return t.name == path; };
    const int64_t* s = std::find_if(own.begin(), own.end(), is_it)->tensor.data<int64_t>();
    rng = Rng(std::bit_cast<uint64_t>(s[0]), std::bit_cast<uint64_t>(s[1]));
  }};
  fields(f);
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
    const auto differs = [&](const auto& ours, const auto& theirs) {
      left.push_back(fmt::format("\"{}\" is {} in the {} and {} in the state", own.name, ours,
                                 holder, theirs));
    };
    if (!value.defined()) {
      left.push_back(fmt::format("\"{}\" {} is missing", own.name, own.tensor.shape()));
    } else if (value.shape() != own.tensor.shape()) {
      differs(own.tensor.shape(), value.shape());
    } else if (is_float(value.dtype()) != is_float(own.tensor.dtype())) {
      differs(own.tensor.dtype(), value.dtype());
    } else {
      copies.emplace_back(own.tensor, value);
    }
  }
  for (const auto& [name, tensor] : given) {
    left.push_back(fmt::format("\"{}\" {} is not in the {}", name, tensor.shape(), holder));
  }
  if (options.strict && !left.empty()) {
    fail("load_state: the state and the {} must agree; {}. Hint: is it the same architecture?",
         holder, fmt::join(left, "; "));
  }
  const NoGrad no_grad;
  for (auto& [own, value] : copies) own.copy_(value.to(own.dtype()));
  return left;
}

ModuleBase& ModuleBase::train(bool on) {
  training_ = on;
  Fields f{.on_module = [on](const std::string&, ModuleBase& m) { m.training_ = on; }};
  fields(f);
  return *this;
}
bool ModuleBase::training() const { return training_ && !evaluating; }
EvalMode::EvalMode() : before_(std::exchange(evaluating, true)) {}
EvalMode::~EvalMode() { evaluating = before_; }

ModuleBase& ModuleBase::to(DType dtype) {
  if (!is_float(dtype)) fail("to: a model is f32 or f64; got {}.", dtype);
  // Before and after; what was before stays alive, or its address would be another tensor's.
  std::map<const void*, std::pair<Tensor, Tensor>> replaced;
  Fields f{.on_tensor = [&](const std::string&, Tensor& t, Fields::Kind kind) {
    if (!is_float(t.dtype()) || t.dtype() == dtype) return;
    auto& [before, after] = replaced[detail::identity(t)];
    if (!before.defined()) {
      before = t;
      after = t.detach().to(dtype);
      if (kind != Fields::Kind::buffer) {
        detail::make_parameter(after, before.requires_grad());
        mark_replaced(before);
        mark_named(after);
      }
    }
    t = after;
  }};
  fields(f);
  return *this;
}

ModuleBase& ModuleBase::freeze(bool on) {
  Fields f{.on_tensor = [on](const std::string&, Tensor& t, Fields::Kind kind) {
    if (kind != Fields::Kind::buffer) t.requires_grad_(!on);
  }};
  fields(f);
  return *this;
}

void ModuleBase::zero_grad() {
  for (NamedTensor& p : tensors_of(*this, true, false)) p.tensor.zero_grad();
}

namespace {

std::string table(ModuleBase& model, const std::map<const ModuleBase*, std::string>* shapes) {
  std::vector<std::array<std::string, 4>> rows{{"path", "layer", "output", "parameters"}};
  const auto add = [&](const std::string& path, ModuleBase& m) {
    rows.push_back({path, m.describe(), shapes && shapes->contains(&m) ? shapes->at(&m) : "",
                    std::to_string(m.parameter_count())});
  };
  Fields f{.on_module = add};
  model.fields(f);
  add("", model);
  std::array<size_t, 3> width{};
  for (const auto& row : rows) {
    for (size_t i = 0; i < width.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string text;
  for (const auto& [path, what, shape, parameters] : rows) {
    text += fmt::format("{:<{}}  {:<{}}  ", path, width[0], what, width[1]);
    if (shapes) text += fmt::format("{:<{}}  ", shape, width[2]);
    text += fmt::format("{:>12}\n", parameters);
  }
  return text;
}

// The shapes of the leaves that y depends on and that are not known: parameters, or Tensors that
// should be.
std::string unknown_parameters(const std::vector<Tensor>& y,
                               std::unordered_set<const void*> known) {
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

void ModuleBase::trace(const std::vector<Tensor>& y) {
  std::string& shapes = tracing->shapes[this];
  shapes.clear();
  for (const Tensor& t : y) shapes += (shapes.empty() ? "" : ", ") + t.shape().str();
  if (this == tracing->root) tracing->y = y;
  if (!tracing->known.insert(this).second) return;
  tracing->unknown += "; " + describe();
  for (const NamedTensor& p : tensors_of(*this, true, false)) {
    tracing->known.insert(detail::identity(p.tensor));
  }
}

std::string ModuleBase::summary() { return table(*this, nullptr); }

std::string ModuleBase::summary_of(const std::function<void()>& f) {
  Trace trace{this};
  trace.known.insert(this);
  Fields known{.on_tensor = [&](const std::string&, Tensor& t,
                                Fields::Kind) { trace.known.insert(detail::identity(t)); },
               .on_module = [&](const std::string&, ModuleBase& m) { trace.known.insert(&m); }};
  fields(known);
  const EvalMode eval;
  f();
  const std::string unknown = trace.unknown + unknown_parameters(trace.y, trace.known);
  if (unknown.empty()) return table(*this, &trace.shapes);
  return table(*this, &trace.shapes) +
         fmt::format("in no fields(), so never trained or saved: {}\n", unknown.substr(2));
}

std::string Module::summary(const Shape& input) {
  const std::vector<NamedTensor> own = tensors_of(*this, true, false);
  const DType dtype = own.empty() ? f32 : own[0].tensor.dtype();
  return summary_of([&] { (*this)(Tensor::zeros(input, dtype)); });
}

}  // namespace ramp
