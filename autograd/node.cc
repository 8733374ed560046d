#include "ramp/autograd/node.h"

#include <unordered_map>

namespace ramp {
Node::~Node() {
  count_nodes(-1);
  delete hooks;
  delete[] many_;
}

namespace {

// What passes on this thread noted. A node that only a list holds is dead.
struct Noted {
  std::vector<Ref<Node>> unnamed;  // for take_unnamed_parameters()
  std::vector<Ref<Node>> circles;  // for free_cycles()
  ~Noted() {                       // the thread ends: the gradients stay, without history
    for (Ref<Node>& n : circles) n->grad = n->grad.detach();
  }
};
Noted& noted() {
  static thread_local Noted n;
  return n;
}
void note(std::vector<Ref<Node>>& list, Node* node) {
  for (const Ref<Node>& n : list)
    if (n.get() == node) return;
  node->refs.fetch_add(1, std::memory_order_relaxed);
  list.push_back(Ref<Node>::adopt(node));
}

}  // namespace

void Node::note_unnamed() { note(noted().unnamed, this); }

std::vector<Shape> take_unnamed_parameters() {
  std::vector<Shape> shapes;
  for (const Ref<Node>& n : std::exchange(noted().unnamed, {}))
    if (!n->named && !n.unique()) shapes.push_back(n->shape);
  return shapes;
}

// A chain of a million nodes is released by this loop, not by recursion: a dying node puts those
// inputs that it owned alone on the list.
void destroy(Node* node) noexcept {
  constinit static thread_local Node* waiting = nullptr;
  constinit static thread_local bool busy = false;
  node->next = std::exchange(waiting, node);
  if (busy) return;
  busy = true;
  while (Node* n = waiting) {
    waiting = n->next;
    const size_t bytes = n->block_bytes;
    n->~Node();
    deallocate(n, bytes);
  }
  busy = false;
}
void destroy(GradMeta* meta) noexcept { destroy(static_cast<Node*>(meta)); }

int64_t live_nodes() {
  free_cycles();
  std::erase_if(noted().unnamed, [](const Ref<Node>& n) { return n.unique(); });
  return memory_stats().live_nodes;
}

const Tensor& Saved::with_history() const {
  if (!GraphStep::now || !value_.defined()) return value_;
  GraphStep& step = *GraphStep::now;
  Node* node = value_.address() == step.node->result ? step.node : nullptr;
  for (uint32_t i = 0; node_ && i < step.node->input_count; ++i)
    if (Node* input = step.node->inputs()[i].get(); input == node_) node = input;
  if (!node) return value_;
  node->refs.fetch_add(1, std::memory_order_relaxed);
  step.values.push_back(value_);
  step.values.back().set_meta(Ref<GradMeta>::adopt(node));
  return step.values.back();
}

// Counts the references that the nodes behind those noted have to each other: where there are no
// more than these, and nothing that is held from outside leads there, nobody can ask for the
// gradient.
void free_cycles(Node* node) {
  std::vector<Ref<Node>>& circles = noted().circles;
  if (node) return note(circles, node);
  std::erase_if(circles, [](const Ref<Node>& n) { return !n->grad.meta(); });
  if (circles.empty()) return;
  std::unordered_map<Node*, uint32_t> inside;
  std::vector<Node*> todo;
  const auto for_each_behind = [&](auto f) {
    while (!todo.empty()) {
      Node* n = todo.back();
      todo.pop_back();
      for (uint32_t i = 0; i < n->input_count; ++i)
        if (n->inputs()[i]) f(n->inputs()[i].get());
      if (Node* of_grad = node_of(n->grad)) f(of_grad);
    }
  };
  const auto count = [&](Node* n) {
    if (inside[n]++ == 0) todo.push_back(n);
  };
  for (Ref<Node>& n : circles) count(n.get());
  for_each_behind(count);
  std::unordered_set<Node*> held;
  const auto hold = [&](Node* n) {
    if (held.insert(n).second) todo.push_back(n);
  };
  for (const auto& [n, references] : inside)
    if (n->refs != references) hold(n);
  for_each_behind(hold);
  std::erase_if(circles, [&](const Ref<Node>& n) {
    if (held.contains(n.get())) return false;
    n->grad = {};
    return true;
  });
}

void Saved::fail_version() const {
  fail(
      "{} {} was changed in place after the op saved it (version {}, now {}). Hint: change a "
      "clone().",
      name_, value_.shape(), version_, value_.version());
}

}  // namespace ramp
