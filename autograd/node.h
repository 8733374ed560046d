// A node of the tape: what a tensor's gradient is, and how it reaches the inputs.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ramp/autograd/row_gradient.h"
#include "ramp/core/tensor.h"

namespace ramp {

struct Node;

/// Which inputs of an op want a gradient: `want[0]`.
struct Wants {
  const Ref<Node>* inputs;
  const std::unordered_set<const Node*>* path = nullptr;  // in a pass of grad(): what leads to an x
  std::vector<std::pair<Ref<Node>, RowGradient>>* rows = nullptr;  // those of leaves, in this pass
  inline bool operator[](int i) const;
  /// Whether the gradient of input i may be one of rows: a vjp then gives it by itself.
  inline bool takes_rows(int i) const;
  void give_rows(int i, RowGradient g) const { rows->emplace_back(inputs[i], std::move(g)); }
};

/// One for each tensor that requires a gradient. A leaf has no inputs; a result has the rule (vjp)
/// that takes its gradient dy to those of its inputs. The node does not hold the tensor's values.
struct Node : GradMeta, private NoCopy {
  static constexpr int kInlineInputs = 4;

  inline static constinit thread_local uint64_t last_id = 0;
  uint64_t id = 0;                   // rises with creation: descending id is the backward order
  const char* op = "";               // "leaf" for a leaf
  const char* activation = nullptr;  // that a layer fused into the op
  bool is_leaf = false;
  bool released = false;  // its saved values are gone
  bool retains_grad = false;
  bool replaced = false;  // see mark_replaced() and the others below
  bool grad_used = false;
  bool parameter = false, named = false;
  DType dtype = f32;
  uint32_t input_count = 0;
  uint32_t block_bytes = 0;
  const void* result = nullptr;  // where its values lie or lay
  Shape shape;
  Tensor grad;  // of a leaf, or of a result that retains it
  // The gradient of a leaf by rows; grad then is its dense form, or none.
  std::unique_ptr<RowGradient> rows;
  Tensor cotangent;  // what this pass has gathered so far
  std::vector<std::function<Tensor(const Tensor&)>>* hooks = nullptr;
  Node* next = nullptr;  // in destroy()'s list

  Ref<Node>* inputs() { return input_count <= kInlineInputs ? few_ : many_; }
  const Ref<Node>* inputs() const { return input_count <= kInlineInputs ? few_ : many_; }

  /// Makes dx[i] = the gradient of input i (undefined: none) for all inputs; what is not wanted
  /// need not be computed. The entries of dx are undefined before.
  virtual void vjp(Tensor dy, Wants want, std::span<Tensor> dx) = 0;
  /// Drops the saved values.
  virtual void release_saved() = 0;

  void note_unnamed();  // for take_unnamed_parameters()

  // Of a leaf, in row_gradient.cc.
  RowGradient* row_gradient();  // null if its dense form was written to
  Tensor& dense_gradient();
  /// The numbers of the gradient, or of its rows, that nobody else holds and without history.
  Tensor& own_gradient();
  void add_rows(RowGradient g);

  Node() { count_nodes(1); }
  virtual ~Node();

 protected:
  friend void connect(Node* node, const char* op, Tensor& y, const struct Inputs& inputs);
  Ref<Node> few_[kInlineInputs];
  Ref<Node>* many_ = nullptr;
};
void destroy(Node* node) noexcept;

bool Wants::operator[](int i) const {
  const Node* x = inputs[i].get();
  return x && x->requires_grad && (!path || path->contains(x));
}

bool Wants::takes_rows(int i) const { return rows && inputs[i]->is_leaf && !inputs[i]->hooks; }

/// The tape nodes alive now, on all threads (tests: none is left behind).
int64_t live_nodes();

/// The node of a tensor; null when it requires no gradient.
inline Node* node_of(const Tensor& x) { return static_cast<Node*>(x.meta().get()); }

/// Whether x has a gradient; unlike grad() it makes no rows dense.
inline bool has_grad(const Tensor& x) {
  return x.meta() && (node_of(x)->rows || node_of(x)->grad.defined());
}

// ---- what those who hold a leaf tell it; a tensor without a node is told nothing ----

inline void mark(const Tensor& leaf, bool Node::*what) {
  if (Node* node = node_of(leaf)) node->*what = true;
}
/// Another leaf stands in its place now (Module::to): whoever still holds this one is wrong.
inline void mark_replaced(const Tensor& leaf) { mark(leaf, &Node::replaced); }
inline bool was_replaced(const Tensor& leaf) { return leaf.meta() && node_of(leaf)->replaced; }

/// An optimizer took a step by its gradient: until that is cleared, backward() adds nothing to it.
inline void mark_grad_used(const Tensor& leaf) { mark(leaf, &Node::grad_used); }

/// It is a module's parameter / and fields() names it.
inline void mark_parameter(const Tensor& leaf) { mark(leaf, &Node::parameter); }
inline void mark_named(const Tensor& leaf) { mark(leaf, &Node::named); }
/// The shapes of the parameters alive that got a gradient from a backward() on this thread since
/// the last call, and have no name yet.
std::vector<Shape> take_unnamed_parameters();

/// While it lives, this thread records, or does not.
class Recording : private NoCopy {
 public:
  explicit Recording(bool on) { recording_ = on; }
  ~Recording() { recording_ = before_; }

 private:
  friend bool grad_enabled();
  inline static constinit thread_local bool recording_ = true;
  const bool before_ = recording_;
};
inline bool grad_enabled() { return Recording::recording_; }

/// While it lives, this thread records nothing: for evaluation and for updates in place.
struct NoGrad : private Recording {
  NoGrad() : Recording(false) {}
};

/// The node whose vjp runs in a pass that creates a graph, and what it read of its saved values:
/// those have their history there.
struct GraphStep {
  Node* node;
  std::deque<Tensor> values = {};
  GraphStep* before = std::exchange(now, this);
  ~GraphStep() { now = before; }
  inline static constinit thread_local GraphStep* now = nullptr;
};

/// A value that a vjp needs later: without history, and with the version it had. A write in place
/// in between is an error when the value is read. The name is for that error.
class Saved {
 public:
  Saved() = default;
  /// An input of the op or its result, which have a history when a graph is created; all else is
  /// a constant then. Saves nothing unless it is needed, `Saved(a, "a", b.requires_grad())`, and
  /// recording is on.
  Saved(const Tensor& x, const char* name, bool needed = true)
      : value_(needed && grad_enabled() ? x.detach() : Tensor{}),
        name_(name),
        version_(value_.defined() ? value_.version() : 0),
        node_(node_of(x)) {}
  /// Errors: "backward through mul: a [2, 3] was changed in place after the op saved it ..".
  const Tensor& get() const {
    if (value_.defined() && value_.version() != version_) fail_version();
    if (grad_enabled()) [[unlikely]]
      return with_history();
    return value_;
  }

 private:
  [[noreturn]] void fail_version() const;
  const Tensor& with_history() const;
  Tensor value_;
  const char* name_ = "";
  uint32_t version_ = 0;
  const Node* node_ = nullptr;  // of the input, to find it among those of the op
};

/// Drops the gradients with a history that only their own tape still holds (backward() with
/// create_graph makes such circles); `node` joins those that are looked at.
void free_cycles(Node* node = nullptr);

}  // namespace ramp
