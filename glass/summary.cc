// A model as a table: summary(), which layers/module.h declares.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string_view>
#include <unordered_set>

#include "ramp/autograd/record.h"
#include "ramp/core/memory.h"
#include "ramp/layers/embedding.h"
#include "ramp/layers/module.h"

namespace ramp {
namespace {

// What a module did in a forward pass.
struct Work {
  std::string shapes;  // of what came out
  double flops = 0;
};

// 1234567 as "1.23 M".
std::string count(double n, const char* unit = "") {
  constexpr const char* kPrefix[] = {"", "k", "M", "G", "T"};
  size_t i = 0;
  for (; n >= 1000 && i + 1 < std::size(kPrefix); ++i) n /= 1000;
  const std::string suffix = fmt::format("{}{}", kPrefix[i], unit);
  return fmt::format("{:.3g}{}{}", n, suffix.empty() ? "" : " ", suffix);
}

// "60", "60 frozen" or "60, 20 frozen".
std::string parameters_of(ModuleBase& m) {
  const int64_t all = m.parameter_count();
  int64_t frozen = 0;
  for (const Tensor& p : m.parameters()) frozen += p.requires_grad() ? 0 : p.numel();
  if (frozen == 0) return std::to_string(all);
  return frozen == all ? fmt::format("{} frozen", all) : fmt::format("{}, {} frozen", all, frozen);
}

std::string table(ModuleBase& model, const std::map<const ModuleBase*, Work>& work = {}) {
  std::vector<std::array<std::string, 5>> rows{{"path", "layer", "output", "parameters", "flops"}};
  const Fields fields(model);
  const auto add = [&](const std::string& path, ModuleBase& m) {
    double flops = 0;
    for (const auto& [module, own] : work) {  // its own and those of what it holds
      const auto held = std::ranges::find(fields, module, &Field::module);
      const bool inside = held != fields.end() && held->path.starts_with(path + ".");
      if (module == &m || path.empty() || inside) flops += own.flops;
    }
    const auto found = work.find(&m);
    rows.push_back({path, m.describe(), found == work.end() ? "" : found->second.shapes,
                    parameters_of(m), flops > 0 ? count(flops) : ""});
  };
  for (const Field& f : fields)
    if (f.module) add(f.path, *f.module);
  add("", model);
  std::array<size_t, 5> width{0, 0, 0, 12, 0};
  for (const auto& row : rows) {
    for (size_t i = 0; i < width.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  const bool has_flops = std::ranges::any_of(rows.begin() + 1, rows.end(),
                                             [](const auto& row) { return !row[4].empty(); });
  std::string text;
  for (const auto& [path, what, shape, parameters, flops] : rows) {
    text += fmt::format("{:<{}}  {:<{}}  ", path, width[0], what, width[1]);
    if (!work.empty()) text += fmt::format("{:<{}}  ", shape, width[2]);
    text += fmt::format("{:>{}}", parameters, width[3]);
    if (has_flops) text += fmt::format("  {:>{}}", flops, std::max<size_t>(width[4], 7));
    text += "\n";
  }
  return text;
}

// The multiplications and additions of an op that is made of products of matrices; 0 for others.
double flops_of(const Node& node, const Tensor& y, const Inputs& in) {
  const std::string_view op = node.op;
  const double n = static_cast<double>(y.numel());
  const auto per_last = [](const Tensor& w) {
    return static_cast<double>(w.numel()) / static_cast<double>(w.dim(-1));
  };
  if (op == "linear" || op == "conv1d" || op == "conv2d") return 2 * n * per_last(in[1]);
  if (op == "conv_transpose1d" || op == "conv_transpose2d")
    return 2 * static_cast<double>(in[0].numel()) * per_last(in[1]);
  if (op != "matmul") return 0;
  const double a = static_cast<double>(in[0].dim(-1) * in[0].dim(-2));
  return 2 * n * a / static_cast<double>(y.dim(-2));
}

// Sets a watch, and puts back the one before.
template <typename Watch>
struct Watching {
  Watch& place;
  const Watch before;
  Watching(Watch& place, Watch watch) : place(place), before(std::exchange(place, watch)) {}
  ~Watching() { place = before; }
  Watching(const Watching&) = delete;
};

// While it lives, no parameter is frozen: ops of frozen ones are not recorded.
class Thawed {
 public:
  explicit Thawed(ModuleBase& model) {
    for (Tensor& p : model.parameters())
      if (!p.requires_grad()) frozen_.push_back(p.requires_grad_());
  }
  ~Thawed() {
    for (Tensor& p : frozen_) p.requires_grad_(false);
  }
  Thawed(const Thawed&) = delete;

 private:
  std::vector<Tensor> frozen_;
};

// The memory that f, a forward pass, leaves to the backward pass.
double bytes_kept(const std::function<void()>& f) {
  Tensor last;  // its tape is what is kept
  const std::function keep = [&](const Node&, const Tensor& y, const Inputs&) { last = y; };
  const Watching watching(detail::op_watch, detail::OpWatch(&keep));
  const int64_t before = memory_stats().live_bytes;
  f();
  return static_cast<double>(memory_stats().live_bytes - before);
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
  std::map<const ModuleBase*, Work> work;
  std::unordered_set<const void*> known{this};  // modules and leaves that have names
  std::string unknown;
  for (const Field& own : Fields(*this))
    known.insert(own.tensor ? detail::identity(*own.tensor) : own.module);
  double flops = 0;  // since a module returned
  const std::function watch = [&](ModuleBase& module, const std::vector<Tensor>& y) {
    std::vector<std::string> all;
    for (const Tensor& t : y) all.push_back(t.shape().str());
    work[&module].shapes = fmt::format("{}", fmt::join(all, ", "));
    work[&module].flops += std::exchange(flops, 0);
    if (&module == this) unknown += unknown_parameters(y, known);
    if (!known.insert(&module).second) return;
    unknown += "; " + module.describe();
    for (const Field& f : Fields(module))
      if (f.trained) known.insert(detail::identity(*f.tensor));
  };
  const std::function count_flops = [&](const Node& node, const Tensor& y, const Inputs& in) {
    flops += flops_of(node, y, in);
  };
  const Recording recording(true);
  const EvalMode eval;
  {
    const Thawed thawed(*this);
    const Watching watching_modules(detail::watch, detail::Watch(&watch));
    const Watching watching_ops(detail::op_watch, detail::OpWatch(&count_flops));
    f();
  }
  // Without a watch on modules: layers run in each other's passes, as in training.
  const double kept = bytes_kept(f);
  std::string text = table(*this, work);
  if (kept > 0) text += fmt::format("kept for the backward pass: {}\n", count(kept, "B"));
  if (unknown.empty()) return text;
  return text + "in no fields(), so never trained or saved: " + unknown.substr(2) + "\n";
}

std::string Module::summary(const Shape& input) {
  ModuleBase* first = this;  // that holds a parameter: where it is an embedding, x holds ids
  DType dtype = f32;
  for (const Field& f : Fields(*this)) {
    if (f.module) first = f.module;
    if (!f.trained) continue;
    dtype = f.tensor->dtype();
    break;
  }
  if (dynamic_cast<Embedding*>(first) || dynamic_cast<EmbeddingBag*>(first)) dtype = i64;
  return summary_of([&] { (*this)(Tensor::zeros(input, dtype)); });
}

}  // namespace ramp
