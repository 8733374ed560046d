#include "ramp/autograd/backward.h"

#include <algorithm>
#include <set>
#include <vector>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/record.h"

namespace ramp {
namespace {

// The nodes that have a gradient and wait for their turn, the highest id first; and the leaves,
// whose turn is at the end.
struct Queue {
  struct Entry {
    uint64_t id;
    Ref<Node> node;
    bool operator<(const Entry& other) const { return id < other.id; }
  };
  std::vector<Entry> heap;
  std::vector<Ref<Node>> leaves;
  Ref<Node> now;  // the node whose turn it is

  void push(Ref<Node> node) {
    if (node->is_leaf) {
      leaves.push_back(std::move(node));
    } else {
      heap.push_back({node->id, std::move(node)});
      if (heap.size() > 1) std::push_heap(heap.begin(), heap.end());
    }
  }
  Node* pop() {
    if (heap.size() > 1) std::pop_heap(heap.begin(), heap.end());
    now = std::move(heap.back().node);
    heap.pop_back();
    return now.get();
  }
  // Left here by an exception: the gradients under way are dropped.
  ~Queue() {
    if (now) now->cotangent = {};
    for (Entry& e : heap) e.node->cotangent = {};
    for (Ref<Node>& leaf : leaves) leaf->cotangent = {};
  }
};

// sum += g, in place only where nobody else sees the memory; g is undefined afterwards.
void accumulate(Tensor& sum, Tensor&& g, bool recorded = false) {
  if (!sum.defined()) {
    sum = std::move(g);
  } else if (recorded) {
    sum = sum + g;
  } else {
    if (!sum.unique()) std::swap(sum, g);
    if (!sum.unique()) sum = sum.clone();
    sum.add_(g);
  }
  g = {};
}

void run_hooks(const Node& node, Tensor& dy) {
  for (size_t i = 0; i < node.hooks->size(); ++i) {
    const auto f = (*node.hooks)[i];  // a copy: f may add a hook
    Tensor changed = f(dy);
    if (!changed.defined()) continue;
    fail_if(changed.shape() != dy.shape() || changed.dtype() != dy.dtype(),
            "hook on {}: the gradient is {} {}; got {} {} in its place.", node.op, dy.dtype(),
            dy.shape(), changed.dtype(), changed.shape());
    dy = grad_enabled() ? changed : changed.detach();
  }
}

// A leaf gets a gradient for the first time in this pass.
void check_leaf(const Node& leaf) {
  fail_if(leaf.grad_used && (leaf.grad.defined() || leaf.rows),
          "backward: the gradient of the leaf {} was used by step() and not cleared; adding to it "
          "would mix two steps. Hint: zero_grad() after step(), or freeze what is not to learn.",
          leaf.shape);
}

void call_vjp(Node& node, Wants want, std::span<Tensor> dx, bool creates) {
  try {
    if (!creates) return node.vjp(std::move(node.cotangent), want, dx);
    const GraphStep step{&node};
    node.vjp(std::move(node.cotangent), want, dx);
    for (size_t i = 0; i < dx.size(); ++i) {
      if (!want[static_cast<int>(i)] || !dx[i].defined() || dx[i].requires_grad()) continue;
      fail(
          "its derivative is not made of recorded ops, so it has none itself (create_graph). Hint: "
          "write it in ramp's ops, or with recorded_vjp().");
    }
  } catch (Error& error) {
    error.prepend(fmt::format("backward through {}: ", node.op));
    throw;
  }
}

// Sums a gradient along the axes that the op broadcast its input i to.
void fit_to_input(const Node& node, uint32_t i, Tensor& g) {
  const Node& input = *node.inputs()[i];
  if (g.dtype() == input.dtype) g = sum_to(g, input.shape);
  fail_if(g.shape() != input.shape || g.dtype() != input.dtype,
          "backward through {}: input {} is {} {}; its derivative gave {} {}.", node.op, i,
          input.dtype, input.shape, g.dtype(), g.shape());
}

void keep_gradient(Node& node, const Tensor& dy) {
  if (grad_enabled()) {
    node.grad = node.grad.defined() ? node.grad + dy : dy;
    return free_cycles(&node);
  }
  if (node.grad.meta()) node.grad = node.grad.detach();
  accumulate(node.grad, node.grad.defined() ? Tensor(dy) : dy.clone());
}

// What a pass of grad() looks for: the gradients of some nodes.
struct Targets {
  std::span<const Tensor> x;
  std::span<Tensor> dx;
  std::unordered_set<const Node*> path;  // the nodes behind y that lead to one, and they themselves

  // Inputs have lower ids than results.
  Targets(const Tensor& y, std::span<const Tensor> x, std::span<Tensor> dx) : x(x), dx(dx) {
    uint64_t least = UINT64_MAX;
    for (const Tensor& t : x)
      if (node_of(t)) least = std::min(least, node_of(t)->id);
    std::set<std::pair<uint64_t, const Node*>> seen{{node_of(y)->id, node_of(y)}};
    for (auto at = seen.rbegin(); at != seen.rend(); ++at) {
      for_inputs(*at->second, [&](const Node* input) {
        if (input->id >= least) seen.insert({input->id, input});
      });
    }
    for (const auto& [id, node] : seen) {
      // Behind a node that is freed there is nothing to see: the walk says so if it comes there.
      bool leads = node->released || std::any_of(x.begin(), x.end(), [node = node](auto& t) {
                     return node_of(t) == node;
                   });
      for_inputs(*node, [&](const Node* input) { leads |= path.contains(input); });
      if (leads) path.insert(node);
    }
  }
  template <typename F>
  static void for_inputs(const Node& node, F f) {
    for (uint32_t i = 0; i < node.input_count; ++i)
      if (const Node* input = node.inputs()[i].get()) f(input);
  }
  // Takes the gradient of a node; false if nothing that is looked for lies behind it.
  bool take(const Node& node) {
    for (size_t i = 0; i < x.size(); ++i)
      if (node_of(x[i]) == &node) dx[i] = node.cotangent;
    bool more = false;
    for_inputs(node, [&](const Node* input) { more |= path.contains(input); });
    return more;
  }
};

void check_gradient(const char* op, const Tensor& y, const Tensor& dy) {
  check_defined(op, "y", y);
  fail_if(
      !y.requires_grad(),
      "{}: y {} requires no gradient: nothing on the tape leads to it. Hint: requires_grad_() on "
      "a leaf, and no NoGrad around the forward pass.",
      op, y.shape());
  fail_if(dy.defined() && (dy.shape() != y.shape() || dy.dtype() != y.dtype()),
          "{}: dy must be like y, {} {}; got {} {}.", op, y.dtype(), y.shape(), dy.dtype(),
          dy.shape());
  fail_if(!dy.defined() && y.numel() != 1,
          "{}: expected y to be a scalar; got {}. Hint: {}(mean(y)), or give dy.", op, y.shape(),
          op);
}

// The pass: for all leaves, or for the targets. With `creates` all that it does is recorded; dy
// requires a gradient then, so that what depends on it is seen to be recorded.
void walk(const Tensor& y, const Tensor& given, bool retains, bool creates, Targets* targets) {
  const Recording recording(creates);
  Tensor dy = given.defined() ? given : Tensor::ones(y.shape(), y.dtype());
  if (!creates || !dy.requires_grad()) dy = dy.detach();
  if (creates && !dy.requires_grad()) dy.requires_grad_();
  retains |= creates;
  Ref<Node> root = Ref<Node>::adopt(static_cast<Node*>(Ref<GradMeta>(y.meta()).release()));
  if (!targets) check_leaf(*root);
  root->cotangent = std::move(dy);
  Queue queue;
  queue.push(std::move(root));
  std::vector<Tensor> gradients;  // those of the node whose turn it is
  std::vector<std::pair<Ref<Node>, RowGradient>> rows;
  while (!queue.heap.empty()) {
    Node* node = queue.pop();
    if (node->hooks) run_hooks(*node, node->cotangent);
    if (node->retains_grad && !targets) keep_gradient(*node, node->cotangent);
    fail_if(node->released,
            "backward: the tape behind {} {} was freed by an earlier pass. Hint: "
            "backward(y, dy, {{.retain_graph = true}}) the first time.",
            node->op, node->shape);
    if (targets && !targets->take(*node)) {
      node->cotangent = {};
      continue;
    }
    Ref<Node>* inputs = node->inputs();
    const uint32_t n = node->input_count;
    if (gradients.size() < n) gradients.resize(n);
    const std::span dx(gradients.data(), n);
    const Wants want{inputs, targets ? &targets->path : nullptr,
                     targets || creates ? nullptr : &rows};
    call_vjp(*node, want, dx, creates);
    for (uint32_t i = 0; i < n; ++i) {
      Node* input = inputs[i].get();
      Tensor& g = dx[i];
      if (!g.defined()) continue;
      if (!want[static_cast<int>(i)]) {
        g = {};
        continue;
      }
      if (g.shape() != input->shape || g.dtype() != input->dtype) fit_to_input(*node, i, g);
      const bool first = !input->cotangent.defined();
      if (first && !targets) check_leaf(*input);
      accumulate(input->cotangent, std::move(g), creates);
      if (first) queue.push(retains ? inputs[i] : std::move(inputs[i]));
    }
    // A node that only this loop holds is gone in a moment anyhow.
    if (!retains && !queue.now.unique()) {
      node->release_saved();
      node->released = true;
      for (uint32_t i = 0; i < n; ++i) inputs[i] = {};
    }
  }
  for (const auto& [leaf, g] : rows) check_leaf(*leaf);
  for (Ref<Node>& leaf : queue.leaves) {
    if (leaf->hooks) run_hooks(*leaf, leaf->cotangent);
    if (targets) targets->take(*leaf);
    Tensor dy_leaf = std::move(leaf->cotangent);
    if (targets || !leaf->requires_grad) continue;  // a hook froze it
    if (leaf->parameter && !leaf->named) leaf->note_unnamed();
    leaf->dense_gradient();  // what there was by rows
    leaf->rows.reset();
    if (!creates && !leaf->grad.defined() && dy_leaf.unique()) {
      leaf->grad = std::move(dy_leaf);
    } else {
      keep_gradient(*leaf, dy_leaf);
    }
  }
  for (auto& [leaf, g] : rows) {
    if (!leaf->requires_grad) continue;
    if (leaf->parameter && !leaf->named) leaf->note_unnamed();
    leaf->add_rows(std::move(g));
  }
}

}  // namespace

void backward(const Tensor& y, const Tensor& dy, BackwardOptions options) {
  free_cycles();
  check_gradient("backward", y, dy);
  walk(y, dy, options.retain_graph, options.create_graph, nullptr);
}

std::vector<Tensor> grad(const Tensor& y, const std::vector<Tensor>& x, GradOptions options) {
  free_cycles();
  check_gradient("grad", y, options.dy);
  for (size_t i = 0; i < x.size(); ++i) {
    check_defined("grad", "x", x[i]);
    if (x[i].requires_grad()) continue;
    fail("grad: x[{}] {} requires no gradient. Hint: requires_grad_() before y is computed.", i,
         x[i].shape());
  }
  std::vector<Tensor> dx(x.size());
  Targets targets(y, x, dx);
  walk(y, options.dy, options.retain_graph, options.create_graph, &targets);
  for (size_t i = 0; i < x.size(); ++i) {
    if (dx[i].defined() || options.allow_unused) continue;
    fail("grad: y {} does not depend on x[{}] {}. Hint: .allow_unused = true gives no gradient.",
         y.shape(), i, x[i].shape());
  }
  return dx;
}

void detail::recorded_vjp(const Tensor& y, const Tensor& dy, std::span<const Tensor> x,
                          std::span<Tensor> dx) {
  if (!y.requires_grad()) return;
  Targets targets(y, x, dx);
  walk(y, dy, false, true, &targets);
}

void Tensor::backward() const { ramp::backward(*this); }

}  // namespace ramp
