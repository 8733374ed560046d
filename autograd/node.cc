#include "ramp/autograd/node.h"

#include <mutex>
#include <thread>

namespace ramp {
Node::~Node() {
  count_nodes(-1);
  delete hooks;
  delete[] many_;
  if (unnamed) forget_unnamed();
}

namespace {

// The parameters that wait for take_unnamed_parameters(), each with the thread it waits on. They
// are not held: one that dies takes itself off.
struct UnnamedParameters {
  std::mutex mutex;
  std::vector<std::pair<std::thread::id, Node*>> all;
};
UnnamedParameters& unnamed_parameters() {
  static UnnamedParameters* u = new UnnamedParameters;
  return *u;
}

}  // namespace

void Node::note_unnamed() {
  const std::lock_guard lock(unnamed_parameters().mutex);
  unnamed_parameters().all.emplace_back(std::this_thread::get_id(), this);
  unnamed = true;
}

void Node::forget_unnamed() {
  const std::lock_guard lock(unnamed_parameters().mutex);
  std::erase_if(unnamed_parameters().all, [this](const auto& p) { return p.second == this; });
}

std::vector<Shape> take_unnamed_parameters() {
  std::vector<Shape> shapes;
  const std::lock_guard lock(unnamed_parameters().mutex);
  std::erase_if(unnamed_parameters().all, [&](const auto& p) {
    if (p.first != std::this_thread::get_id()) return false;
    if (!p.second->named) shapes.push_back(p.second->shape);
    p.second->unnamed = false;
    return true;
  });
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

int64_t live_nodes() { return memory_stats().live_nodes; }

void Saved::fail_version() const {
  fail(
      "{} {} was changed in place after the op saved it (version {}, now {}). Hint: change a "
      "clone().",
      name_, value_.shape(), version_, value_.version());
}

}  // namespace ramp
