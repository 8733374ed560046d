#include "ramp/layers/module.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <map>
#include <unordered_set>

#include "ramp/autograd/node.h"

namespace ramp {
namespace {

// The forward pass of a summary(): what came out of each module and of the root, and which ones
// are not known.
struct Trace {
  const ModuleBase* root;
  std::map<const ModuleBase*, std::string> shapes = {};
  std::vector<Tensor> y = {};
  std::unordered_set<const void*> known = {};  // modules and leaves that have names
  std::string unknown = {};
};

thread_local Trace* tracing = nullptr;
thread_local bool evaluating = false;
thread_local int depth = 0;

Fields on_each_tensor(std::function<void(const std::string&, Tensor&, Fields::Kind)> f) {
  Fields fields;
  fields.on_tensor = std::move(f);
  return fields;
}

std::string path_of(ModuleBase& root, const void* module) {
  std::string found;
  Fields f;
  f.on_module = [&](const std::string& path, ModuleBase& m) {
    if (&m == module && found.empty()) found = path;
  };
  root.fields(f);
  return found;
}

// Those of the kinds that are wanted, each once.
std::vector<NamedTensor> tensors_of(ModuleBase& module, bool parameters, bool buffers) {
  std::vector<NamedTensor> list;
  std::unordered_set<const void*> seen;
  Fields f = on_each_tensor([&](const std::string& path, Tensor& t, Fields::Kind kind) {
    if (!(kind == Fields::Kind::buffer ? buffers : parameters)) return;
    if (t.numel() > 0 && !seen.insert(detail::identity(t)).second) return;
    list.push_back({path, t, kind == Fields::Kind::parameter});
  });
  module.fields(f);
  return list;
}

Tensor state_of(const Rng& rng) {
  return Tensor::of<int64_t>(
      {std::bit_cast<int64_t>(rng.seed()), std::bit_cast<int64_t>(rng.draw())});
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
  const std::string outer = prefix_;
  if (on_module) on_module(prefix_ + name, module);
  prefix_ += name + ".";
  module.fields(*this);
  prefix_ = outer;
  return *this;
}

Fused Module::call(const Tensor& x, std::span<Module* const> next) {
  return run([&] { return tracing ? Fused{forward(x)} : forward_with(x, next); });
}

void ModuleBase::add_path(Error& error) {
  if (error.module) {
    const std::string path = path_of(*this, error.module);
    if (!path.empty()) error.prepend_path(path);
  }
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
  Fields f;
  f.on_rng = [&](const std::string& path, Rng& rng) { list.push_back({path, state_of(rng)}); };
  fields(f);
  return list;
}

std::vector<std::string> ModuleBase::load_state(const std::vector<NamedTensor>& given,
                                                LoadStateOptions options) {
  const std::vector<NamedTensor> own = state();
  const std::vector<std::string> left = load_tensors("model", own, given, options);
  Fields f;
  f.on_rng = [&](const std::string& path, Rng& rng) {
    const auto is_it = [&](const NamedTensor& t) { return t.name == path; };
    const int64_t* s = std::find_if(own.begin(), own.end(), is_it)->tensor.data<int64_t>();
    rng = Rng(std::bit_cast<uint64_t>(s[0]), std::bit_cast<uint64_t>(s[1]));
  };
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
    const auto found = given.find(own.name);
    if (found == given.end() || !found->second.defined()) {
      left.push_back(fmt::format("\"{}\" {} is missing", own.name, own.tensor.shape()));
      given.erase(own.name);
      continue;
    }
    if (found->second.shape() != own.tensor.shape()) {
      left.push_back(fmt::format("\"{}\" is {} in the {} and {} in the state", own.name,
                                 own.tensor.shape(), holder, found->second.shape()));
    } else if (is_float(found->second.dtype()) != is_float(own.tensor.dtype())) {
      left.push_back(fmt::format("\"{}\" is {} in the {} and {} in the state", own.name,
                                 own.tensor.dtype(), holder, found->second.dtype()));
    } else {
      copies.emplace_back(own.tensor, found->second);
    }
    given.erase(found);
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
  Fields f;
  f.on_module = [on](const std::string&, ModuleBase& m) { m.training_ = on; };
  fields(f);
  return *this;
}
bool ModuleBase::training() const { return training_ && !evaluating; }
EvalMode::EvalMode() : before_(std::exchange(evaluating, true)) {}
EvalMode::~EvalMode() { evaluating = before_; }

ModuleBase& ModuleBase::to(DType dtype) {
  if (!is_float(dtype)) fail("to: a model is f32 or f64; got {}.", dtype);
  std::vector<std::pair<Tensor, Tensor>> replaced;
  Fields f = on_each_tensor([&](const std::string&, Tensor& t, Fields::Kind kind) {
    for (const auto& [before, after] : replaced) {
      if (detail::identity(before) == detail::identity(t)) {
        t = after;
        return;
      }
    }
    if (!is_float(t.dtype()) || t.dtype() == dtype) return;
    const Tensor before = t;
    t = before.detach().to(dtype);
    if (kind != Fields::Kind::buffer) {
      detail::make_parameter(t, before.requires_grad());
      mark_replaced(before);
      mark_named(t);
    }
    replaced.emplace_back(before, t);
  });
  fields(f);
  return *this;
}

ModuleBase& ModuleBase::freeze(bool on) {
  Fields f = on_each_tensor([on](const std::string&, Tensor& t, Fields::Kind kind) {
    if (kind != Fields::Kind::buffer) t.requires_grad_(!on);
  });
  fields(f);
  return *this;
}

void ModuleBase::zero_grad() {
  for (NamedTensor& p : tensors_of(*this, true, false)) p.tensor.zero_grad();
}

namespace {

std::string table(ModuleBase& model, const std::map<const ModuleBase*, std::string>* shapes) {
  struct Row {
    std::string path, what, shape;
    int64_t parameters;
  };
  const auto row = [&](const std::string& path, ModuleBase& m) {
    const bool has_shape = shapes && shapes->contains(&m);
    return Row{path, m.describe(), has_shape ? shapes->at(&m) : "", m.parameter_count()};
  };
  std::vector<Row> rows;
  Fields f;
  f.on_module = [&](const std::string& path, ModuleBase& m) { rows.push_back(row(path, m)); };
  model.fields(f);
  rows.push_back(row("", model));
  size_t path = 4, what = 5, shape = 6;
  for (const Row& r : rows) {
    path = std::max(path, r.path.size());
    what = std::max(what, r.what.size());
    shape = std::max(shape, r.shape.size());
  }
  std::string text = fmt::format("{:<{}}  {:<{}}  ", "path", path, "layer", what);
  if (shapes) text += fmt::format("{:<{}}  ", "output", shape);
  text += fmt::format("{:>12}\n", "parameters");
  for (const Row& r : rows) {
    text += fmt::format("{:<{}}  {:<{}}  ", r.path, path, r.what, what);
    if (shapes) text += fmt::format("{:<{}}  ", r.shape, shape);
    text += fmt::format("{:>12}\n", r.parameters);
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
  Fields fields;
  fields.on_module = [&](const std::string&, ModuleBase& m) { trace.known.insert(&m); };
  fields.on_tensor = [&](const std::string&, Tensor& t, Fields::Kind) {
    trace.known.insert(detail::identity(t));
  };
  this->fields(fields);
  const EvalMode eval;
  struct Restore {
    Trace* before;
    ~Restore() { tracing = before; }
  } const restore{std::exchange(tracing, &trace)};
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
