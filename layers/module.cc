#include "ramp/layers/module.h"

#include <algorithm>
#include <map>

#include "ramp/autograd/node.h"

namespace ramp {
namespace {

// While summary() runs a forward pass: what came out of each module.
thread_local std::map<const Module*, Shape>* traced = nullptr;

Fields on_each_tensor(std::function<void(const std::string&, Tensor&, Fields::Kind)> f) {
  Fields fields;
  fields.on_tensor = std::move(f);
  return fields;
}

std::string path_of(Module& root, const void* module) {
  std::string found;
  Fields f;
  f.on_module = [&](const std::string& path, Module& m) {
    if (&m == module) found = path;
  };
  root.fields(f);
  return found;
}

}  // namespace

Fields& Fields::child(const std::string& name, Module& module) {
  const std::string outer = prefix_;
  if (on_module) on_module(prefix_ + name, module);
  prefix_ += name + ".";
  module.fields(*this);
  prefix_ = outer;
  return *this;
}

Fused Module::call(const Tensor& x, std::span<Module* const> next) {
  try {
    if (!traced) return forward_with(x, next);
    Tensor y = forward(x);
    (*traced)[this] = y.shape();
    return {y};
  } catch (Error& error) {
    if (error.module) {
      const std::string path = path_of(*this, error.module);
      if (!path.empty()) error.prepend_path(path);
    }
    error.module = this;
    throw;
  }
}

std::vector<NamedTensor> Module::named_parameters() {
  std::vector<NamedTensor> list;
  Fields f = on_each_tensor([&](const std::string& path, Tensor& t, Fields::Kind kind) {
    if (kind == Fields::Kind::buffer) return;
    list.push_back({path, t, kind == Fields::Kind::parameter});
  });
  fields(f);
  return list;
}

std::vector<Tensor> Module::parameters() {
  std::vector<Tensor> list;
  for (NamedTensor& p : named_parameters()) list.push_back(std::move(p.tensor));
  return list;
}

int64_t Module::parameter_count() {
  int64_t n = 0;
  for (const Tensor& t : parameters()) n += t.numel();
  return n;
}

std::vector<NamedTensor> Module::state() {
  std::vector<NamedTensor> list;
  Fields f = on_each_tensor([&](const std::string& path, Tensor& t, Fields::Kind) {
    list.push_back({path, t});
  });
  fields(f);
  return list;
}

void load_tensors(const char* holder, const std::vector<NamedTensor>& list,
                  const std::vector<NamedTensor>& state) {
  std::map<std::string, Tensor> given;
  for (const NamedTensor& s : state) given[s.name] = s.tensor;
  std::vector<std::pair<Tensor, Tensor>> copies;
  std::string wrong;
  for (const NamedTensor& own : list) {
    const auto found = given.find(own.name);
    if (found == given.end() || !found->second.defined()) {
      wrong += fmt::format("; \"{}\" {} is missing", own.name, own.tensor.shape());
      given.erase(own.name);
      continue;
    }
    if (!(found->second.shape() == own.tensor.shape())) {
      wrong += fmt::format("; \"{}\" is {} in the {} and {} in the state", own.name,
                           own.tensor.shape(), holder, found->second.shape());
    } else if (is_float(found->second.dtype()) != is_float(own.tensor.dtype())) {
      wrong += fmt::format("; \"{}\" is {} in the {} and {} in the state", own.name,
                           own.tensor.dtype(), holder, found->second.dtype());
    } else {
      copies.emplace_back(own.tensor, found->second);
    }
    given.erase(found);
  }
  for (const auto& [name, tensor] : given) {
    wrong += fmt::format("; \"{}\" {} is not in the {}", name, tensor.shape(), holder);
  }
  if (!wrong.empty()) {
    fail("load_state: the state and the {} must agree{}. Hint: is it the same architecture?",
         holder, wrong);
  }
  const NoGrad no_grad;
  for (auto& [own, value] : copies) own.copy_(value.to(own.dtype()));
}

Module& Module::train(bool on) {
  training_ = on;
  Fields f;
  f.on_module = [on](const std::string&, Module& m) { m.training_ = on; };
  fields(f);
  return *this;
}

EvalMode::EvalMode(Module& module) {
  const auto visit = [this](Module& m) {
    if (m.training_) were_training_.push_back(&m);
    m.training_ = false;
  };
  visit(module);
  Fields f;
  f.on_module = [&](const std::string&, Module& m) { visit(m); };
  module.fields(f);
}

EvalMode::~EvalMode() {
  for (Module* m : were_training_) m->training_ = true;
}

Module& Module::to(DType dtype) {
  if (!is_float(dtype)) fail("to: a model is f32 or f64; got {}.", dtype);
  return replace_tensors([dtype](const Tensor& t) {
    return !is_float(t.dtype()) || t.dtype() == dtype ? t : t.detach().to(dtype);
  });
}

Module& Module::replace_tensors(const std::function<Tensor(const Tensor&)>& f) {
  std::vector<std::pair<Tensor, Tensor>> replaced;
  Fields fields = on_each_tensor([&](const std::string&, Tensor& t, Fields::Kind) {
    for (const auto& [before, after] : replaced) {
      if (before.same_memory(t) && before.meta().get() == t.meta().get()) {
        t = after;
        return;
      }
    }
    const Tensor before = t;
    t = f(before);
    if (before.requires_grad()) t.requires_grad_();
    replaced.emplace_back(before, t);
  });
  this->fields(fields);
  return *this;
}

Module& Module::freeze(bool on) {
  Fields f = on_each_tensor([on](const std::string&, Tensor& t, Fields::Kind kind) {
    if (kind != Fields::Kind::buffer) t.requires_grad_(!on);
  });
  fields(f);
  return *this;
}

void Module::zero_grad() {
  for (Tensor& t : parameters()) t.zero_grad();
}

namespace {

std::string table(Module& model, const std::map<const Module*, Shape>* shapes) {
  struct Row {
    std::string path, what, shape;
    int64_t parameters;
  };
  const auto row = [&](const std::string& path, Module& m) {
    std::string shape;
    if (shapes && shapes->contains(&m)) shape = shapes->at(&m).str();
    return Row{path, m.describe(), shape, m.parameter_count()};
  };
  std::vector<Row> rows;
  Fields f;
  f.on_module = [&](const std::string& path, Module& m) { rows.push_back(row(path, m)); };
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

}  // namespace

std::string Module::summary() { return table(*this, nullptr); }

std::string Module::summary(const Shape& input) {
  const std::vector<Tensor> own = parameters();
  std::map<const Module*, Shape> shapes;
  const NoGrad no_grad;
  const EvalMode eval(*this);
  struct Restore {
    std::map<const Module*, Shape>* before = traced;
    ~Restore() { traced = before; }
  } const restore;
  traced = &shapes;
  (*this)(Tensor::zeros(input, own.empty() ? f32 : own[0].dtype()));
  return table(*this, &shapes);
}

}  // namespace ramp
