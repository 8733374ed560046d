#include "ramp/autograd/backward.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

namespace ramp {
namespace {

bool lower_id(const Ref<Node>& a, const Ref<Node>& b) { return a->id < b->id; }

// The nodes that have a gradient and wait for their turn, the highest id first.
struct Queue {
  std::vector<Ref<Node>> heap;

  void push(Ref<Node> node) {
    heap.push_back(std::move(node));
    std::push_heap(heap.begin(), heap.end(), lower_id);
  }
  Ref<Node> pop() {
    std::pop_heap(heap.begin(), heap.end(), lower_id);
    Ref<Node> node = std::move(heap.back());
    heap.pop_back();
    return node;
  }
  // Left here by an exception: the gradients under way are dropped.
  ~Queue() {
    for (Ref<Node>& node : heap) node->cotangent = {};
  }
};

// sum += g, in place only where nobody else sees the memory.
void accumulate(Tensor& sum, Tensor g) {
  if (!sum.defined()) {
    sum = std::move(g);
  } else if (sum.unique()) {
    sum.add_(g);
  } else if (g.unique()) {
    g.add_(sum);
    sum = std::move(g);
  } else {
    sum = sum.clone();
    sum.add_(g);
  }
}

void run_hooks(const Node& node, Tensor& dy) {
  for (size_t i = 0; i < node.hooks->size(); ++i) {
    const auto f = (*node.hooks)[i];  // a copy: f may add a hook
    Tensor changed = f(dy);
    if (!changed.defined()) continue;
    if (!(changed.shape() == dy.shape()) || changed.dtype() != dy.dtype()) {
      fail("hook on {}: the gradient is {} {}; got {} {} in its place.", node.op, dy.dtype(),
           dy.shape(), changed.dtype(), changed.shape());
    }
    dy = changed.detach();
  }
}

void keep_gradient(Node& node, const Tensor& dy) {
  accumulate(node.grad, node.grad.defined() ? dy : dy.clone());
}

}  // namespace

void backward(const Tensor& y, const Tensor& dy, BackwardOptions options) {
  check_defined("backward", "y", y);
  if (!y.requires_grad()) {
    fail("backward: y {} requires no gradient: nothing on the tape leads to it. Hint: "
         "requires_grad_() on a leaf, and no NoGrad around the forward pass.",
         y.shape());
  }
  if (dy.defined()) {
    if (!(dy.shape() == y.shape()) || dy.dtype() != y.dtype()) {
      fail("backward: dy must be like y, {} {}; got {} {}.", y.dtype(), y.shape(), dy.dtype(),
           dy.shape());
    }
  } else if (y.numel() != 1) {
    fail("backward: expected y to be a scalar; got {}. Hint: backward(mean(y)), or give dy.",
         y.shape());
  }
  const NoGrad no_grad;
  Ref<GradMeta> meta = y.meta();
  Ref<Node> root = Ref<Node>::adopt(static_cast<Node*>(meta.release()));
  root->cotangent = dy.defined() ? dy.detach() : Tensor::ones(y.shape(), y.dtype());
  Queue queue;
  queue.push(std::move(root));
  std::vector<Tensor> dx;
  while (!queue.heap.empty()) {
    const Ref<Node> node = queue.pop();
    Tensor dy_node = std::move(node->cotangent);
    if (node->hooks) run_hooks(*node, dy_node);
    if (node->is_leaf) {
      if (!node->grad.defined() && dy_node.unique()) {
        node->grad = std::move(dy_node);
      } else {
        keep_gradient(*node, dy_node);
      }
      continue;
    }
    if (node->retains_grad) keep_gradient(*node, dy_node);
    if (node->released) {
      fail("backward: the tape behind {} {} was freed by an earlier pass. Hint: "
           "backward(y, dy, {{.retain_graph = true}}) the first time.",
           node->op, node->shape);
    }
    Ref<Node>* inputs = node->inputs();
    const uint32_t n = node->input_count;
    dx.resize(n);
    node->vjp(dy_node, Wants{inputs}, dx.data());
    dy_node = {};
    for (uint32_t i = 0; i < n; ++i) {
      Tensor g = std::move(dx[i]);
      if (!inputs[i] || !g.defined()) continue;
      Node* input = inputs[i].get();
      if (!(g.shape() == input->shape) || g.dtype() != input->dtype) {
        fail("backward through {}: input {} is {} {}; its derivative gave {} {}.", node->op, i,
             input->dtype, input->shape, g.dtype(), g.shape());
      }
      const bool first = !input->cotangent.defined();
      accumulate(input->cotangent, std::move(g));
      if (first) queue.push(options.retain_graph ? inputs[i] : std::move(inputs[i]));
    }
    if (!options.retain_graph) {
      node->release_saved();
      node->released = true;
      for (uint32_t i = 0; i < n; ++i) inputs[i] = {};
    }
  }
}

void Tensor::backward() const { ramp::backward(*this); }

namespace {

// All nodes behind y, newest first.
std::vector<const Node*> tape(const Tensor& y) {
  std::vector<const Node*> nodes;
  if (!y.requires_grad()) return nodes;
  std::unordered_set<const Node*> seen{node_of(y)};
  nodes.push_back(node_of(y));
  for (size_t at = 0; at < nodes.size(); ++at) {
    const Node* node = nodes[at];
    for (uint32_t i = 0; i < node->input_count; ++i) {
      const Node* input = node->inputs()[i].get();
      if (input && seen.insert(input).second) nodes.push_back(input);
    }
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const Node* a, const Node* b) { return a->id > b->id; });
  return nodes;
}

}  // namespace

std::string tape_text(const Tensor& y) {
  std::string text;
  for (const Node* node : tape(y)) {
    text += fmt::format("%{} {} {} {}", node->id, node->op, node->shape, node->dtype);
    for (uint32_t i = 0; i < node->input_count && !node->released; ++i) {
      if (i == 0) text += " <-";
      const Node* input = node->inputs()[i].get();
      text += input ? fmt::format(" %{}", input->id) : " const";
    }
    text += node->released ? " (freed)\n" : "\n";
  }
  return text;
}

std::string tape_dot(const Tensor& y) {
  std::string text = "digraph tape {\n  rankdir=BT;\n  node [shape=box, fontname=monospace];\n";
  for (const Node* node : tape(y)) {
    text += fmt::format("  n{} [label=\"{}\\n{} {}\"{}];\n", node->id, node->op, node->shape,
                        node->dtype, node->is_leaf ? ", style=rounded" : "");
    for (uint32_t i = 0; i < node->input_count; ++i) {
      const Node* input = node->inputs()[i].get();
      if (input) text += fmt::format("  n{} -> n{};\n", input->id, node->id);
    }
  }
  return text + "}\n";
}

}  // namespace ramp
