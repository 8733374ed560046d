#include "ramp/autograd/node.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "ramp/autograd/record.h"

namespace ramp {
namespace {

// Each thread counts for itself (no shared cache line on the way of an op); live_nodes() adds up.
struct NodeCounter {
  std::atomic<int64_t> live{0};
  NodeCounter();
  ~NodeCounter();
  void add(int64_t n) {
    live.store(live.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

struct NodeCounters {
  std::mutex mutex;
  std::vector<NodeCounter*> all;
  std::atomic<int64_t> ended{0};
};
NodeCounters& counters() {
  static NodeCounters* c = new NodeCounters;
  return *c;
}

// Null before the first node, and when it is gone while other thread_locals still hold tensors.
constinit thread_local NodeCounter* counter = nullptr;
constinit thread_local bool counter_ended = false;

NodeCounter::NodeCounter() {
  const std::lock_guard lock(counters().mutex);
  counters().all.push_back(this);
}
NodeCounter::~NodeCounter() {
  const std::lock_guard lock(counters().mutex);
  counters().ended += live;
  std::erase(counters().all, this);
  counter = nullptr;
  counter_ended = true;
}

constinit thread_local uint64_t last_id = 0;
constinit thread_local bool recording = true;

[[gnu::noinline]] void count_first_node(int64_t n) {
  if (counter_ended) {
    counters().ended += n;
  } else {
    static thread_local NodeCounter c;
    counter = &c;
    c.add(n);
  }
}
void count_node(int64_t n) { counter ? counter->add(n) : count_first_node(n); }

}  // namespace

Node::Node() { count_node(1); }

Node::~Node() {
  count_node(-1);
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

int64_t live_nodes() {
  const std::lock_guard lock(counters().mutex);
  int64_t n = counters().ended;
  for (const NodeCounter* c : counters().all) n += c->live.load(std::memory_order_relaxed);
  return n;
}

bool grad_enabled() { return recording; }
NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }

void Saved::fail_version() const {
  fail(
      "{} {} was changed in place after the op saved it (version {}, now {}). Hint: change a "
      "clone().",
      name_, value_.shape(), version_, value_.version());
}

// ---- record ----

bool records(const Inputs& inputs) {
  if (!recording) return false;
  for (size_t i = 0; i < inputs.size; ++i)
    if (inputs[i].requires_grad()) return true;
  return false;
}

void NodeInputs::connect(Node* node, const char* op, Tensor& y, const Inputs& inputs) {
  node->op = op;
  node->shape = y.shape();
  node->dtype = y.dtype();
  node->input_count = static_cast<uint32_t>(inputs.size);
  if (inputs.size > Node::kInlineInputs) node->many_ = new Ref<Node>[inputs.size];
  Ref<Node>* edges = node->inputs();
  uint64_t id = last_id;
  for (size_t i = 0; i < inputs.size; ++i) {
    Node* input = node_of(inputs[i]);
    // A leaf that is frozen now gets nothing, even if it thaws before the backward pass.
    if (input == nullptr || !input->requires_grad) continue;
    // A result made on another thread may have a higher id than this thread's last.
    id = std::max(id, input->id);
    input->refs.fetch_add(1, std::memory_order_relaxed);
    new (&edges[i]) Ref<Node>(Ref<Node>::adopt(input));  // over a null one
  }
  node->id = last_id = id + 1;
  y.set_meta(Ref<GradMeta>::adopt(node));
}

// ---- the autograd part of Tensor ----

namespace {

struct Leaf final : Node {
  void vjp(const Tensor&, Wants, std::span<Tensor>) override {}
  void release_saved() override {}
};

Node& required_node(const Tensor& x, const char* op) {
  check_defined(op, "the tensor", x);
  if (!x.requires_grad()) {
    fail("{}: the tensor {} requires no gradient. Hint: x.requires_grad_() before it is used.", op,
         x.shape());
  }
  return *node_of(x);
}

}  // namespace

Tensor& Tensor::requires_grad_(bool on) {
  check_defined("requires_grad_", "the tensor", *this);
  if (!is_float(dtype_)) {
    fail("requires_grad_: expected f32 or f64; got {} {}. Hint: x.to(f32).requires_grad_().",
         dtype_, shape_);
  }
  if (meta_ && !node_of(*this)->is_leaf) {
    if (on) return *this;
    fail("requires_grad_(false): the tensor {} is a result of {}. Hint: x.detach().", shape_,
         node_of(*this)->op);
  }
  if (meta_) {
    meta_->requires_grad = on;
    if (!on) zero_grad();
  } else if (on) {
    Leaf* leaf = new (allocate(sizeof(Leaf))) Leaf;
    leaf->block_bytes = sizeof(Leaf);
    leaf->op = "leaf";
    leaf->is_leaf = true;
    leaf->id = ++last_id;
    leaf->shape = shape_;
    leaf->dtype = dtype_;
    meta_ = Ref<GradMeta>::adopt(leaf);
  }
  return *this;
}

const Tensor& Tensor::grad() const {
  static const Tensor none{};
  return meta_ ? node_of(*this)->grad : none;
}

void Tensor::set_grad(Tensor grad) {
  Node& node = required_node(*this, "set_grad");
  if (grad.defined() && (!(grad.shape() == shape_) || grad.dtype() != dtype_)) {
    fail("set_grad: the tensor is {} {}; got a gradient of {} {}.", dtype_, shape_, grad.dtype(),
         grad.shape());
  }
  node.grad = grad.detach();
  node.grad_used = false;
}

void Tensor::zero_grad() {
  if (!meta_) return;
  node_of(*this)->grad = {};
  node_of(*this)->grad_used = false;
}

Tensor& Tensor::retain_grad() {
  required_node(*this, "retain_grad").retains_grad = true;
  return *this;
}

Tensor& Tensor::hook(std::function<Tensor(const Tensor&)> f) {
  Node& node = required_node(*this, "hook");
  if (!node.hooks) node.hooks = new std::vector<std::function<Tensor(const Tensor&)>>;
  node.hooks->push_back(std::move(f));
  return *this;
}

void Tensor::check_in_place(const char* op) const {
  check_defined(op, "the target", *this);
  if (!requires_grad() || !recording) return;
  if (node_of(*this)->is_leaf) {
    fail("{}: the target {} requires a gradient and recording is on. Hint: put NoGrad around it.",
         op, shape_);
  }
  fail("{}: the target {} is a result of {} on the tape. Hint: y.detach().clone().", op, shape_,
       node_of(*this)->op);
}

}  // namespace ramp
