#include "ramp/autograd/backward.h"

#include <algorithm>
#include <vector>

#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

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

// sum += g for two of one shape and dtype, without the checks that add_ makes.
void add_in_place(Tensor& sum, const Tensor& g) {
  visit_float("backward", sum.dtype(), [&]<typename T>(T) {
    const T* from = g.data<T>();
    T* to = sum.mutable_data<T>();
    const int64_t n = sum.numel();
    if (n == 1) {
      *to += *from;
    } else if (n > 0) {
      parallel_for(n, kStreamGrain, [=](int64_t i, int64_t end) {
        kernels<T>().axpy(end - i, 1, from + i, to + i);
      });
    }
  });
}

// sum += g, in place only where nobody else sees the memory; g is undefined afterwards.
void accumulate(Tensor& sum, Tensor&& g) {
  if (!sum.defined()) {
    sum = std::move(g);
  } else if (sum.unique()) {
    add_in_place(sum, g);
  } else if (g.unique()) {
    add_in_place(g, sum);
    sum = std::move(g);
  } else {
    sum = sum.clone();
    add_in_place(sum, g);
  }
  g = {};
}

void run_hooks(const Node& node, Tensor& dy) {
  for (size_t i = 0; i < node.hooks->size(); ++i) {
    const auto f = (*node.hooks)[i];  // a copy: f may add a hook
    Tensor changed = f(dy);
    if (!changed.defined()) continue;
    if (changed.shape() != dy.shape() || changed.dtype() != dy.dtype()) {
      fail("hook on {}: the gradient is {} {}; got {} {} in its place.", node.op, dy.dtype(),
           dy.shape(), changed.dtype(), changed.shape());
    }
    dy = changed.detach();
  }
}

// A leaf gets a gradient for the first time in this pass.
void check_leaf(const Node& leaf) {
  if (leaf.grad_used && leaf.grad.defined()) {
    fail(
        "backward: the gradient of the leaf {} was used by step() and not cleared; adding to it "
        "would mix two steps. Hint: zero_grad() after step(), or freeze what is not to learn.",
        leaf.shape);
  }
}

void call_vjp(Node& node, std::span<Tensor> dx) {
  try {
    node.vjp(std::move(node.cotangent), Wants{node.inputs()}, dx);
  } catch (Error& error) {
    error.prepend(fmt::format("backward through {}: ", node.op));
    throw;
  }
}

// Sums a gradient along the axes that the op broadcast its input i to.
void fit_to_input(const Node& node, uint32_t i, Tensor& g) {
  const Node& input = *node.inputs()[i];
  if (g.dtype() == input.dtype) g = sum_to(g, input.shape);
  if (g.shape() != input.shape || g.dtype() != input.dtype) {
    fail("backward through {}: input {} is {} {}; its derivative gave {} {}.", node.op, i,
         input.dtype, input.shape, g.dtype(), g.shape());
  }
}

void keep_gradient(Node& node, const Tensor& dy) {
  accumulate(node.grad, node.grad.defined() ? Tensor(dy) : dy.clone());
}

}  // namespace

void backward(const Tensor& y, const Tensor& dy, BackwardOptions options) {
  check_defined("backward", "y", y);
  if (!y.requires_grad()) {
    fail(
        "backward: y {} requires no gradient: nothing on the tape leads to it. Hint: "
        "requires_grad_() on a leaf, and no NoGrad around the forward pass.",
        y.shape());
  }
  if (dy.defined()) {
    if (dy.shape() != y.shape() || dy.dtype() != y.dtype()) {
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
  check_leaf(*root);
  root->cotangent = dy.defined() ? dy.detach() : Tensor::ones(y.shape(), y.dtype());
  Queue queue;
  queue.push(std::move(root));
  std::vector<Tensor> gradients;  // those of the node whose turn it is
  while (!queue.heap.empty()) {
    Node* node = queue.pop();
    if (node->hooks) run_hooks(*node, node->cotangent);
    if (node->retains_grad) keep_gradient(*node, node->cotangent);
    if (node->released) {
      fail(
          "backward: the tape behind {} {} was freed by an earlier pass. Hint: "
          "backward(y, dy, {{.retain_graph = true}}) the first time.",
          node->op, node->shape);
    }
    Ref<Node>* inputs = node->inputs();
    const uint32_t n = node->input_count;
    if (gradients.size() < n) gradients.resize(n);
    const std::span dx(gradients.data(), n);
    call_vjp(*node, dx);
    for (uint32_t i = 0; i < n; ++i) {
      Node* input = inputs[i].get();
      Tensor& g = dx[i];
      if (!g.defined()) continue;
      if (!input || !input->requires_grad) {
        g = {};
        continue;
      }
      if (g.shape() != input->shape || g.dtype() != input->dtype) fit_to_input(*node, i, g);
      const bool first = !input->cotangent.defined();
      if (first) check_leaf(*input);
      accumulate(input->cotangent, std::move(g));
      if (first) queue.push(options.retain_graph ? inputs[i] : std::move(inputs[i]));
    }
    // A node that only this loop holds is gone in a moment anyhow.
    if (!options.retain_graph && !queue.now.unique()) {
      node->release_saved();
      node->released = true;
      for (uint32_t i = 0; i < n; ++i) inputs[i] = {};
    }
  }
  for (Ref<Node>& leaf : queue.leaves) {
    Tensor dy_leaf = std::move(leaf->cotangent);
    if (leaf->hooks) run_hooks(*leaf, dy_leaf);
    if (!leaf->requires_grad) continue;  // a hook froze it
    if (leaf->parameter && !leaf->named && !leaf->unnamed) leaf->note_unnamed();
    if (!leaf->grad.defined() && dy_leaf.unique()) {
      leaf->grad = std::move(dy_leaf);
    } else {
      keep_gradient(*leaf, dy_leaf);
    }
  }
}

void Tensor::backward() const { ramp::backward(*this); }

}  // namespace ramp
