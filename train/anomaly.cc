#include "ramp/train/anomaly.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/record.h"
#include "ramp/train/watch.h"

namespace ramp {
namespace {

// What the numbers of a tensor are.
struct Range {
  Shape shape;
  double low = INFINITY, high = -INFINITY;  // of those that are finite
  int64_t nans = 0, infs = 0, first_bad = -1;
  double squares = 0;
  std::string name = "";  // "0.weight", "x"

  explicit Range(const Tensor& x) : shape(x.shape()) {
    visit_dtype(x.dtype(), [&]<typename T>(T) {
      const T* v = x.data<T>();
      for (int64_t i = 0, n = x.numel(); i < n; ++i) {
        const double a = static_cast<double>(v[i]);
        if (std::isfinite(a)) {
          low = std::min(low, a);
          high = std::max(high, a);
          squares += a * a;
          continue;
        }
        ++(std::isnan(a) ? nans : infs);
        if (first_bad < 0) first_bad = i;
      }
    });
  }
  bool is_bad(bool allow_inf) const { return nans > 0 || (infs > 0 && !allow_inf); }
  bool holds(double x) const { return low <= x && x <= high; }
  double norm() const { return first_bad < 0 ? std::sqrt(squares) : NAN; }
  double largest() const { return std::max(std::abs(low), std::abs(high)); }

  // "2 NaN among its 20 numbers (the first at [0, 3])"
  std::string bad() const {
    if (shape.rank() == 0) return nans > 0 ? "NaN" : "inf";
    std::vector<std::string> parts, at;
    if (nans > 0) parts.push_back(fmt::format("{} NaN", nans));
    if (infs > 0) parts.push_back(fmt::format("{} inf", infs));
    for (int64_t i = shape.rank() - 1, rest = first_bad; i >= 0; --i) {
      at.insert(at.begin(), std::to_string(rest % shape[static_cast<int>(i)]));
      rest /= shape[static_cast<int>(i)];
    }
    return fmt::format("{} in {} (the first at [{}])", fmt::join(parts, " and "), shape,
                       fmt::join(at, ", "));
  }
  // "x [2, 10] from 0 to 0.41"
  std::string str() const {
    std::string text = fmt::format("{}{}", name.empty() ? "" : name + " ", shape);
    if (first_bad >= 0) return text + " with " + bad();
    return shape.numel() == 0 ? text : text + fmt::format(" from {:.3g} to {:.3g}", low, high);
  }
};

// An op on the tape.
struct Op {
  std::string name;             // "linear, relu"
  std::string place;            // the layer: "2 Dense(64, 10, relu)"; "" before it is known
  std::vector<uint64_t> users;  // the ops that it is an input of
  std::vector<Range> inputs;
};

// What makes such an op fail, if what it was given says so.
std::string likely(const Op& op, bool backward) {
  const auto is = [&](const char* name) { return op.name.substr(0, op.name.find(',')) == name; };
  const Range* x = op.inputs.empty() ? nullptr : &op.inputs[0];
  if (!x || x->shape.numel() == 0) return "";
  if (is("log") && x->low <= 0)
    return "log of 0 or less. Hint: log(clamp(x, 1e-12, INFINITY)), or the loss of logits: "
           "cross_entropy(), bce_with_logits()";
  if (is("sqrt") && x->low < 0) return "the root of a number below 0. Hint: sqrt(relu(x) + 1e-12)";
  if (is("sqrt") && backward && x->holds(0))
    return "the slope of sqrt at 0 is infinite. Hint: sqrt(x + 1e-12)";
  if (is("div") && op.inputs.size() > 1 && op.inputs[1].holds(0))
    return "a division by 0, or by nearly that. Hint: x / (y + 1e-8)";
  if (is("pow") && x->low <= 0)
    return "a power of 0 or less. Hint: pow(clamp(x, 1e-12, INFINITY), p)";
  if (is("exp") && x->high > 80)
    return "exp of more than 88 is too large for f32. Hint: subtract the largest one first, as "
           "softmax() and log_softmax() do";
  for (const Range& r : op.inputs) {
    if (r.largest() > 1e15)
      return "the numbers grew until they overflowed: the lr is too high, or nothing between the "
             "layers keeps their size. Hint: lr / 10, clip_grad_norm(net, 1), BatchNorm";
  }
  return "";
}

}  // namespace

struct Anomaly::State : std::enable_shared_from_this<State> {
  ModuleBase* net;  // null: it is over
  const AnomalyOptions options;
  const std::function<void(const Node&, const Tensor&, const Inputs&)> op_watch =
      [this](const Node& node, const Tensor& y, const Inputs& inputs) { saw(node, y, inputs); };
  const detail::OpWatch before = std::exchange(detail::op_watch, &op_watch);
  ModuleWatch module_watch{
      [this](ModuleBase& module, const std::vector<Tensor>& y) { returned(module, y); }};

  std::map<uint64_t, Op> ops;              // of this step
  std::map<uint64_t, NamedTensor> leaves;  // those that have a hook
  std::map<const ModuleBase*, std::string> places;
  std::map<std::string, double> norms, norms_before;  // of the gradients, in this step and the last
  std::vector<double> all_norms;                      // of all gradients, by step
  std::string last_place;                             // the layer that returned last
  uint64_t placed = 0;                                // ops up to this one have their place
  uint64_t step_began = 0;                            // with this op
  int64_t steps = 0;
  bool went_back = false;

  State(ModuleBase& net, const AnomalyOptions& options) : net(&net), options(options) {
    places[&net] = net.describe();
    for (const Field& f : Fields(net))
      if (f.module) places[f.module] = f.path + " " + f.module->describe();
    module_watch.on();
  }
  void end() {
    net = nullptr;
    module_watch.off();
    for (const auto& [id, leaf] : leaves) {
      Node& node = *node_of(leaf.tensor);
      if (node.hooks->size() == 1) delete std::exchange(node.hooks, nullptr);
    }
    leaves.clear();
    if (detail::op_watch == &op_watch) detail::op_watch = before;
  }

  // ---- forward ----

  void saw(const Node& node, const Tensor& y, const Inputs& inputs) {
    if (before) (*before)(node, y, inputs);
    if (!net) return;
    if (std::exchange(went_back, false)) begin_step(node.id);
    Op op;
    op.name = node.activation ? fmt::format("{}, {}", node.op, node.activation) : node.op;
    for (size_t i = 0; i < inputs.size; ++i) {
      const Tensor& x = inputs[i];
      if (!x.defined()) continue;
      Range range(x);
      if (const Node* input = node_of(x)) {
        if (input->is_leaf) range.name = name_of_leaf(x);
        ops[input->id].users.push_back(node.id);
      }
      op.inputs.push_back(std::move(range));
    }
    const Range made(y);
    if (made.is_bad(options.allow_inf)) fail_forward(op, made);
    const std::weak_ptr<State> weak = weak_from_this();
    Tensor(y).hook([weak, id = node.id](const Tensor& dy) {
      if (const auto state = weak.lock()) state->gradient(id, dy);
      return Tensor();
    });
    ops[node.id] = std::move(op);
  }

  // The name of a parameter; a hook sees its gradients from now on.
  std::string name_of_leaf(const Tensor& leaf) {
    const uint64_t id = node_of(leaf)->id;
    const auto known = leaves.find(id);
    if (known != leaves.end()) return known->second.name;
    leaves[id] = {"a leaf", leaf};
    std::string& name = leaves[id].name;
    for (const NamedTensor& p : net->named_parameters())
      if (p.tensor.meta().get() == leaf.meta().get()) name = p.name;
    const std::weak_ptr<State> weak = weak_from_this();
    Tensor(leaf).hook([weak, id](const Tensor& dy) {
      if (const auto state = weak.lock()) state->gradient(id, dy);
      return Tensor();
    });
    return name;
  }

  // What was recorded since the layer before returned is this one's, or stands before it.
  void returned(ModuleBase& module, const std::vector<Tensor>& y) {
    if (!net || y.empty()) return;
    const auto place = places.find(&module);
    const std::string name = place == places.end() ? module.describe() : place->second;
    const Node* node = node_of(y[0]);
    for (auto op = ops.upper_bound(placed); op != ops.end(); ++op) {
      if (!op->second.place.empty() || leaves.contains(op->first)) continue;
      const bool is_result = node && op->first == node->id;
      op->second.place = is_result || last_place.empty()
                             ? name
                             : fmt::format("{}, or between it and {}", name, last_place);
    }
    if (!ops.empty()) placed = std::max(placed, ops.rbegin()->first);
    last_place = name;
  }

  void begin_step(uint64_t id) {
    ++steps;
    double squares = 0;
    for (const auto& [name, norm] : norms) squares += norm * norm;
    all_norms.push_back(std::sqrt(squares));
    norms_before = std::exchange(norms, {});
    // Those of one pass ago stay: another one may go back through them (gradients of gradients).
    ops.erase(ops.begin(), ops.lower_bound(step_began));
    step_began = id;
    last_place.clear();
  }

  [[noreturn]] void fail_forward(const Op& op, const Range& made) {
    std::string text =
        fmt::format("anomaly: in step {} {} made {}", steps + 1, op.name, made.bad());
    std::string cause;
    for (const Range& x : op.inputs) {
      if (x.first_bad < 0) continue;
      cause = x.name.empty() ? "what it was given was so already: it came from where nothing is "
                               "recorded, as data. Hint: look for it in the dataset"
                             : x.name +
                                   " was so already: the step before made it so. Hint: lr / 10, "
                                   "clip_grad_norm(net, 1)";
    }
    fail_with(text, op, cause.empty() ? likely(op, false) : cause);
  }

  // ---- backward ----

  void gradient(uint64_t id, const Tensor& dy) {
    if (!net) return;
    went_back = true;
    const Range g(dy);
    const auto leaf = leaves.find(id);
    if (leaf != leaves.end()) norms[leaf->second.name] = g.norm();
    if (g.is_bad(options.allow_inf)) fail_backward(id, g);
  }

  // The gradients of the ops that use this one's result were finite: one of them made it so.
  [[noreturn]] void fail_backward(uint64_t id, const Range& g) {
    std::vector<std::string> names;
    const Op* guilty = nullptr;
    std::string cause;
    for (const uint64_t user : ops[id].users) {
      const Op& op = ops[user];
      names.push_back(op.place.empty() ? op.name : fmt::format("{} (in {})", op.name, op.place));
      const std::string likely_here = likely(op, true);
      if (!guilty || (cause.empty() && !likely_here.empty())) guilty = &op, cause = likely_here;
    }
    if (!guilty) guilty = &ops[id];
    const auto leaf = leaves.find(id);
    const std::string text = fmt::format(
        "anomaly: backward, in step {}: {} made {}, in the gradient of {}", steps + 1,
        names.empty() ? "what backward() was given" : fmt::format("{}", fmt::join(names, " or ")),
        g.bad(), leaf != leaves.end() ? leaf->second.name : "the result of " + ops[id].name);
    fail_with(text, *guilty, cause);
  }

  [[noreturn]] void fail_with(std::string text, const Op& op, const std::string& cause) {
    if (!op.inputs.empty()) {
      std::vector<std::string> inputs;
      for (const Range& r : op.inputs) inputs.push_back(r.str());
      text += fmt::format("; {} was given {}", op.name, fmt::join(inputs, ", "));
    }
    text += ". " + last_gradients();
    const std::string grew = growth();
    text += "Likely: " +
            (!cause.empty()  ? cause
             : !grew.empty() ? grew
                             : "see what it was given. Hint: Doctor, for how it came "
                               "to that") +
            ".";
    throw Error(text);
  }

  // "The last gradients: 0.weight 0.31, 0.bias 0.02, 0.5 in all. "
  std::string last_gradients() const {
    const auto& last = norms.empty() ? norms_before : norms;
    if (last.empty()) return "";
    std::vector<std::pair<double, std::string>> sorted;
    double squares = 0;
    for (const auto& [name, norm] : last) {
      sorted.emplace_back(norm, name);
      squares += norm * norm;
    }
    std::ranges::sort(sorted, std::greater{});
    std::vector<std::string> parts;
    for (size_t i = 0; i < sorted.size() && i < 4; ++i)
      parts.push_back(fmt::format("{} {:.3g}", sorted[i].second, sorted[i].first));
    return fmt::format("Norms of the last gradients: {}, {:.3g} in all. ", fmt::join(parts, ", "),
                       std::sqrt(squares));
  }
  std::string growth() const {
    if (all_norms.size() < 2 || !(all_norms.back() > 100 * all_norms.front())) return "";
    return fmt::format(
        "the gradients grew from {:.3g} to {:.3g} in {} steps: the lr is too high. Hint: lr / 10, "
        "or clip_grad_norm(net, 1)",
        all_norms.front(), all_norms.back(), all_norms.size());
  }
};

Anomaly::Anomaly(ModuleBase& net, const AnomalyOptions& options)
    : state_(std::make_shared<State>(net, options)) {}
Anomaly::~Anomaly() { state_->end(); }
int64_t Anomaly::steps() const { return state_->steps + state_->went_back; }

std::string autopsy(ModuleBase& net, const Dataset& batch,
                    const std::function<Tensor(const Dataset& batch)>& loss) {
  const auto not_finite = [](const std::vector<NamedTensor>& tensors) {
    std::vector<std::string> bad;
    for (const NamedTensor& t : tensors)
      if (const Range r(t.tensor); r.first_bad >= 0) bad.push_back(t.name + ": " + r.bad());
    const size_t n = bad.size();
    bad.resize(std::min<size_t>(n, 4));
    return fmt::format("{}{}", fmt::join(bad, "; "),
                       n > 4 ? fmt::format(" and {} more", n - 4) : "");
  };
  if (const std::string bad = not_finite(net.named_parameters()); !bad.empty()) {
    return fmt::format(
        "The weights were not finite before this step: {}. Likely: a step that was too large. "
        "Hint: lr / 10, clip_grad_norm(net, 1); Anomaly, to stop where it begins.",
        bad);
  }
  std::vector<Tensor> data = batch.more;
  data.insert(data.begin(), {batch.x, batch.y});
  for (size_t i = 0; i < data.size(); ++i) {
    if (!data[i].defined()) continue;
    if (const Range r(data[i]); r.first_bad >= 0) {
      return fmt::format("The batch is not finite: {} has {}. Hint: find it in the dataset.",
                         i == 0   ? "x"
                         : i == 1 ? "y"
                                  : fmt::format("more[{}]", i - 2),
                         r.bad());
    }
  }
  // The step again; all that it changes is put back.
  std::vector<NamedTensor> saved;
  for (const NamedTensor& t : net.state()) saved.push_back({t.name, t.tensor.detach().clone()});
  std::vector<std::pair<Tensor, Tensor>> gradients;
  for (Tensor& p : net.parameters()) {
    gradients.emplace_back(p, p.grad());
    p.zero_grad();
  }
  std::string found;
  try {
    const Recording recording(true);
    const Anomaly anomaly(net);
    backward(loss(batch));
    // (This step may have spoiled running statistics, too; so they are asked last.)
    const std::string bad = not_finite(net.named_buffers());
    found =
        !bad.empty()
            ? fmt::format("Running statistics are not finite: {}.", bad)
            : "Forward and backward of that batch are finite when they are repeated: it depends "
              "on what was drawn (dropout), or the loss alone is not on the tape.";
  } catch (const Error& error) {
    found = error.what();
    for (const std::string step : {"anomaly: in step 1 ", "anomaly: "})  // there is this one only
      if (const size_t at = found.find(step); at != std::string::npos) found.erase(at, step.size());
    if (const size_t at = found.find(", in step 1:"); at != std::string::npos) found.erase(at, 11);
  }
  for (auto& [p, grad] : gradients) {
    p.zero_grad();
    if (grad.defined()) p.set_grad(grad);
  }
  net.load_state(saved);
  return found;
}

}  // namespace ramp
