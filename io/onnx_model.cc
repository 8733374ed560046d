// OnnxModel: reads the graph of a file, and runs it.
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ramp/autograd/ops_shape.h"
#include "ramp/data/read_file.h"
#include "ramp/io/onnx.h"
#include "ramp/io/onnx_program.h"

namespace ramp {
namespace onnx {

struct Step {
  std::string name, op;
  Run run;
  std::vector<int> inputs, outputs;  // slots; -1: left out
  std::vector<int> done;             // slots that no one reads after it
};

struct Input {
  Value value;
  int slot = 0;
  bool image = false;  // read by ops on images
};

struct Stored {
  std::string name;
  int slot = 0;
  int64_t type = kFloat;
};

/// What all copies of a model share.
struct Program {
  std::string name;
  OnnxOptions options;
  size_t slots = 0;
  std::vector<Step> steps;
  std::vector<Input> inputs;
  std::vector<Stored> outputs, parameters, buffers;
  std::vector<std::pair<int, Held>> constants;
  bool drops = false;
};

namespace {

// The number of each value of the graph.
class Slots {
 public:
  int find(const std::string& name) const {
    const auto at = slots_.find(name);
    return at == slots_.end() ? -1 : at->second;
  }
  int add(const std::string& name) {
    const int slot = static_cast<int>(slots_.size());
    const bool added = !name.empty() && slots_.emplace(name, slot).second;
    fail_if(!added, "\"{}\" is made twice.", name);
    return slot;
  }
  size_t size() const { return slots_.size(); }

 private:
  std::unordered_map<std::string, int> slots_;
};

// How a weight is read: as what, by all who read it.
struct Use {
  bool convolution = false, transposed = false, setting = false, other = false;
  int statistics = 0;
};

bool is_setting(const std::string& op, size_t input) {
  if (input == 0) return op == "ConstantOfShape";
  return op == "Resize" || op == "Upsample" || op == "Clip" || op == "Pad" || op == "Dropout" ||
         op == "Pow" || op == "Reshape" || op == "Slice" || op == "Split" || op == "Expand";
}

std::unordered_map<std::string, Use> uses_of(const File& file) {
  std::unordered_map<std::string, Use> uses;
  for (const Node& node : file.nodes) {
    const auto flag = std::ranges::find(node.attributes, "transB", &Attribute::name);
    const bool turns = flag != node.attributes.end() && flag->integer != 0;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      Use& use = uses[node.inputs[i]];
      if ((node.op == "Conv" || node.op == "ConvTranspose") && i == 1) {
        use.convolution = true;
      } else if (node.op == "Gemm" && i == 1 && turns) {
        use.transposed = true;
      } else if (node.op == "BatchNormalization" && i >= 3) {
        ++use.statistics;
      } else if (is_setting(node.op, i)) {
        use.setting = true;
      } else {
        use.other = true;
      }
    }
  }
  for (const Value& y : file.outputs) uses[y.name].other = true;
  return uses;
}

Lies lies_of(const Constant& c, const Use& use) {
  const bool alone =
      use.convolution + use.transposed + use.setting + use.other == 1 && use.statistics == 0;
  if (!alone) return Lies::as_in_file;
  if (use.convolution && (c.value.rank() == 3 || c.value.rank() == 4)) return Lies::convolution;
  if (use.transposed && c.value.rank() == 2) return Lies::transposed;
  return Lies::as_in_file;
}

Tensor lay(const Tensor& w, Lies lies) {
  if (lies == Lies::transposed) return transpose(w);
  if (lies == Lies::as_in_file) return w;
  std::vector<int> axes;
  for (int i = 2; i < w.rank(); ++i) axes.push_back(i);
  axes.insert(axes.end(), {1, 0});
  return permute(w, axes);
}

void check_type(const std::string& what, int64_t type) {
  fail_if(type != kFloat && type != kDouble && type != kInt64 && type != kBool && type != kInt32,
          "{} is of {}, which is not supported. Hint: a model of float.", what, type_name(type));
}

// The value of a node of op Constant.
Constant constant_of(const Node& node) {
  fail_if(node.attributes.size() != 1 || node.outputs.size() != 1,
          "node \"{}\" (Constant): expected one attribute and one output.", node.name);
  const Attribute& a = node.attributes[0];
  Constant c{node.outputs[0], {}, kFloat};
  if (a.kind == Attribute::kTensor && a.name == "value") {
    c.value = a.tensor;
    c.type = a.tensor_type;
  } else if (a.kind == Attribute::kReal && a.name == "value_float") {
    c.value = Tensor::scalar(double{a.real});
  } else if (a.kind == Attribute::kReals && a.name == "value_floats") {
    c.value = Tensor::of(a.reals);
  } else if (a.kind == Attribute::kInt && a.name == "value_int") {
    c.value = Tensor::of<int64_t>({a.integer}, Shape{});
    c.type = kInt64;
  } else if (a.kind == Attribute::kInts && a.name == "value_ints") {
    c.value = Tensor::of(a.integers);
    c.type = kInt64;
  } else {
    fail("node \"{}\" (Constant): attribute {} is not supported.", node.name, a.name);
  }
  return c;
}

// The inputs that reach an op on images, directly or by elementwise ones.
std::unordered_map<std::string, bool> images_of(const File& file) {
  std::unordered_map<std::string, bool> image;
  for (auto node = file.nodes.rbegin(); node != file.nodes.rend(); ++node) {
    const bool elementwise = is_elementwise(node->op);
    const bool is = takes_images(node->op) ||
                    (elementwise && !node->outputs.empty() && image[node->outputs[0]]);
    if (!is) continue;
    for (size_t i = 0; i < node->inputs.size(); ++i)
      if (i == 0 || elementwise) image[node->inputs[i]] = true;
  }
  return image;
}

// Marks in each step what is read last there, so that memory is free again.
void mark_done(Program& program) {
  std::vector<bool> later(program.slots);
  for (const Stored& y : program.outputs) later[static_cast<size_t>(y.slot)] = true;
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step) {
    for (const std::vector<int>* slots : {&step->inputs, &step->outputs}) {
      for (const int slot : *slots) {
        if (slot < 0 || later[static_cast<size_t>(slot)]) continue;
        later[static_cast<size_t>(slot)] = true;
        step->done.push_back(slot);
      }
    }
  }
}

std::string dims_text(const std::vector<int64_t>& dims, const std::vector<std::string>& names) {
  std::vector<std::string> text;
  for (size_t i = 0; i < dims.size(); ++i)
    text.push_back(dims[i] >= 0 ? std::to_string(dims[i]) : names[i].empty() ? "?" : names[i]);
  return fmt::format("[{}]", fmt::join(text, ", "));
}

// An input as it is held. Errors: it is not what the file declares.
Held take_input(const Input& input, const Tensor& x, bool channels_first) {
  const Value& v = input.value;
  check_defined("OnnxModel", v.name, x);
  const bool is = x.dtype() == i64 ? v.type != kFloat && v.type != kDouble : v.type != kInt64;
  fail_if(!is, "OnnxModel: input \"{}\" is of {} in the file; got {}.", v.name, type_name(v.type),
          x.dtype());
  std::vector<int64_t> dims = v.dims;
  std::vector<std::string> names = v.dim_names;
  const bool last = input.image && !channels_first && x.rank() >= 3;
  if (last && dims.size() >= 3) {
    std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
    std::rotate(names.begin() + 1, names.begin() + 2, names.end());
  }
  bool fits = !v.has_shape || std::ssize(dims) == x.rank();
  for (int i = 0; fits && v.has_shape && i < x.rank(); ++i) {
    const int64_t d = dims[static_cast<size_t>(i)];
    fits = d < 0 || d == x.dim(i);
  }
  fail_if(!fits, "OnnxModel: input \"{}\" is {} in the file{}; got {}.", v.name,
          dims_text(v.dims, v.dim_names),
          last ? fmt::format(", so {} here (channels last)", dims_text(dims, names)) : "",
          x.shape());
  return {x, last, v.type};
}

}  // namespace
}  // namespace onnx

using namespace onnx;  // NOLINT: of this file

OnnxModel::OnnxModel(const std::string& path, const OnnxOptions& options) {
  load(read_file(path, "load_onnx"), path, options);
}

OnnxModel OnnxModel::from_bytes(std::string_view bytes, const std::string& name,
                                const OnnxOptions& options) {
  OnnxModel model;
  model.load(bytes, name, options);
  return model;
}

void OnnxModel::load(std::string_view bytes, const std::string& name, const OnnxOptions& options) {
  const NoGrad no_grad;
  File file = decode(bytes, name);
  try {
    fail_if(file.opset < 6 || file.opset > 28, "opset {} is not supported (6 to 28 are).",
            file.opset);
    auto program = std::make_shared<Program>();
    program->name = name;
    program->options = options;
    Slots slots;
    auto uses = uses_of(file);
    auto images = images_of(file);
    std::unordered_map<int, Known> known;
    std::unordered_set<int> moving;  // slots of running statistics

    const auto add_constant = [&](const Constant& c, bool weight) {
      check_type(fmt::format("tensor \"{}\"", c.name), c.type);
      const Use& use = uses[c.name];
      const int slot = slots.add(c.name);
      const bool real = is_float(c.value.dtype()) && c.type != kBool;
      const bool trained = use.convolution || use.transposed || use.other;
      const bool held = real && weight && c.value.rank() > 0 && (trained || use.statistics == 1);
      const Lies lies = held ? lies_of(c, use) : Lies::as_in_file;
      const Tensor value = lay(c.value, lies);
      known[slot] = {value, lies};
      if (!held) {
        program->constants.emplace_back(slot, Held{value, false, c.type});
      } else if (use.statistics == 1 && !use.other) {
        program->buffers.push_back({c.name, slot, c.type});
        moving.insert(slot);
        buffers_.emplace_back(value);
      } else {
        program->parameters.push_back({c.name, slot, c.type});
        parameters_.emplace_back(value);
      }
    };
    for (const Constant& c : file.constants) add_constant(c, true);
    for (const Value& v : file.inputs) {
      if (slots.find(v.name) >= 0) continue;  // a weight, which old files list too
      check_type(fmt::format("input \"{}\"", v.name), v.type);
      program->inputs.push_back({v, slots.add(v.name), images[v.name]});
    }
    for (const onnx::Node& node : file.nodes) {
      if (node.op == "Constant" && node.domain.empty()) {
        add_constant(constant_of(node), false);
        continue;
      }
      onnx::Step step{node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name,
                      node.op,
                      {},
                      {},
                      {},
                      {}};
      std::vector<Known> inputs;
      for (const std::string& x : node.inputs) {
        const int slot = x.empty() ? -1 : slots.find(x);
        fail_if(!x.empty() && slot < 0,
                "node \"{}\" ({}) reads \"{}\", which no node before it makes.", step.name, node.op,
                x);
        step.inputs.push_back(slot);
        inputs.push_back(known[slot]);
      }
      // Exporters write tensors of the same numbers once: running statistics, which move, are each
      // layer's own.
      for (size_t i = 3; node.op == "BatchNormalization" && i < inputs.size(); ++i) {
        if (moving.contains(step.inputs[i]) || !inputs[i].constant.defined()) continue;
        const std::string own = step.name + (i == 3 ? ".running_mean" : ".running_var");
        step.inputs[i] = slots.add(own);
        program->buffers.push_back(
            {own, step.inputs[i], inputs[i].constant.dtype() == f64 ? kDouble : kFloat});
        buffers_.emplace_back(inputs[i].constant.clone());
      }
      // An output that nobody reads is not made.
      onnx::Node made = node;
      made.name = step.name;
      while (made.outputs.size() > 1 && !uses.contains(made.outputs.back()))
        made.outputs.pop_back();
      NodeReader reader(made, file.opset, std::move(inputs));
      step.run = make_op(reader);
      for (const std::string& y : made.outputs)
        step.outputs.push_back(y.empty() ? -1 : slots.add(y));
      if (node.op == "Identity" && step.outputs[0] >= 0)
        known[step.outputs[0]] = {known[step.inputs[0]].constant};
      program->drops = program->drops || node.op == "Dropout";
      program->steps.push_back(std::move(step));
    }
    for (const Value& y : file.outputs) {
      fail_if(slots.find(y.name) < 0, "its result \"{}\" is made by no node.", y.name);
      program->outputs.push_back({y.name, slots.find(y.name)});
    }
    fail_if(program->outputs.empty(), "it has no results.");
    program->slots = slots.size();
    mark_done(*program);
    program_ = std::move(program);
  } catch (const Error& error) {
    fail("load_onnx: {}: {}", name, error.what());
  }
}

std::vector<Tensor> OnnxModel::run_all(const std::vector<Tensor>& x) {
  const Program& p = *program_;
  fail_if(x.size() != p.inputs.size(), "OnnxModel: expected {} inputs; got {}.", p.inputs.size(),
          x.size());
  Context context{training(), f32, &rng_};
  for (const std::vector<Tensor>& list :
       {x, std::vector<Tensor>(parameters_.begin(), parameters_.end())})
    for (const Tensor& t : list)
      if (t.defined() && t.dtype() == f64) context.real = f64;
  Values values(p.slots);
  const auto at = [&](int slot) -> Held& { return values[static_cast<size_t>(slot)]; };
  for (size_t i = 0; i < x.size(); ++i) {
    at(p.inputs[i].slot) = take_input(p.inputs[i], x[i], p.options.channels_first);
    fail_if(
        is_float(x[i].dtype()) && p.inputs[i].value.type == kFloat && x[i].dtype() != context.real,
        "OnnxModel: input \"{}\" is {}, and the model is {}.", p.inputs[i].value.name, x[i].dtype(),
        context.real);
  }
  for (size_t i = 0; i < parameters_.size(); ++i)
    at(p.parameters[i].slot) = {parameters_[i], false, p.parameters[i].type};
  for (size_t i = 0; i < buffers_.size(); ++i)
    at(p.buffers[i].slot) = {buffers_[i], false, p.buffers[i].type};
  for (const auto& [slot, value] : p.constants) {
    at(slot) = value;
    if (value.type == kFloat) at(slot).t = value.t.to(context.real);
  }
  for (const onnx::Step& step : p.steps) {
    Values inputs;
    for (const int slot : step.inputs) inputs.push_back(slot < 0 ? Held{} : at(slot));
    try {
      Values made = step.run(inputs, context);
      for (size_t i = 0; i < step.outputs.size(); ++i)
        if (step.outputs[i] >= 0) at(step.outputs[i]) = std::move(made[i]);
    } catch (Error& error) {
      error.prepend_path(fmt::format("{} ({})", step.name, step.op));
      throw;
    }
    for (const int slot : step.done) at(slot) = {};
  }
  std::vector<Tensor> y;
  for (const Stored& out : p.outputs)
    y.push_back((p.options.channels_first ? as_in_file(at(out.slot)) : at(out.slot)).t);
  return y;
}

Tensor OnnxModel::forward(const Tensor& x) { return run_all({x})[0]; }

std::vector<std::string> OnnxModel::inputs() const {
  std::vector<std::string> names;
  for (const Input& input : program_->inputs) names.push_back(input.value.name);
  return names;
}
std::vector<std::string> OnnxModel::outputs() const {
  std::vector<std::string> names;
  for (const Stored& y : program_->outputs) names.push_back(y.name);
  return names;
}

void OnnxModel::fields(Fields& f) {
  for (size_t i = 0; i < parameters_.size(); ++i)
    f.param(program_->parameters[i].name, parameters_[i], parameters_[i].rank() > 1);
  for (size_t i = 0; i < buffers_.size(); ++i) f.buffer(program_->buffers[i].name, buffers_[i]);
  if (program_->drops) f.rng("rng", rng_);
}

std::string OnnxModel::describe() const {
  return fmt::format("OnnxModel({}, {} nodes)", program_->name, program_->steps.size());
}

}  // namespace ramp
