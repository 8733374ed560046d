// record(): puts an op on the tape. This is all that an op needs to know of autograd.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "ramp/autograd/node.h"

namespace ramp {

/// An input of an op, by reference.
struct Input {
  Input(const Tensor& x) : tensor(&x) {}  // NOLINT: implicit, for {a, b}
  const Tensor* tensor;
};

/// The view that record() takes of an op's inputs: `{a, b}` or a vector of tensors.
struct Inputs {
  Inputs(std::initializer_list<Input> list) : few(list), size(list.size()) {}
  Inputs(const std::vector<Tensor>& list) : many(list.data()), size(list.size()) {}  // NOLINT
  const Tensor& operator[](size_t i) const { return many ? many[i] : *few.begin()[i].tensor; }
  std::initializer_list<Input> few;
  const Tensor* many = nullptr;
  size_t size;
};

/// True when recording is on and one of the inputs requires a gradient.
inline bool should_record(const Inputs& inputs) {
  if (!grad_enabled()) return false;
  for (size_t i = 0; i < inputs.size; ++i)
    if (inputs[i].requires_grad()) return true;
  return false;
}

/// dx = what an op's derivative gave. Errors: not one gradient for each input.
inline void take_gradients(std::span<Tensor> given, std::span<Tensor> dx) {
  fail_if(given.size() != dx.size(),
          "expected {} gradients, one for each input; its derivative gave {}.", dx.size(),
          given.size());
  std::move(given.begin(), given.end(), dx.begin());
}

/// Makes `node` the node of y, with an edge to each input that requires a gradient.
void connect(Node* node, const char* op, Tensor& y, const Inputs& inputs);

template <typename Vjp>
struct NodeOf final : Node {
  std::optional<Vjp> rule;

  explicit NodeOf(Vjp&& f) : rule(std::move(f)) {}

  void vjp(Tensor dy, Wants want, std::span<Tensor> dx) override {
    auto gradients = (*rule)(std::move(dy), want);
    if constexpr (std::is_same_v<decltype(gradients), Tensor>) {
      take_gradients({&gradients, 1}, dx);
    } else {
      take_gradients(gradients, dx);
    }
  }
  void release_saved() override { rule.reset(); }
};

namespace detail {
/// What is told each result that goes on this thread's tape: Anomaly, while it lives.
using OpWatch = const std::function<void(const Node& node, const Tensor& y, const Inputs&)>*;
inline thread_local constinit OpWatch op_watch = nullptr;

void recorded_vjp(const Tensor& y, const Tensor& dy, std::span<const Tensor> x,
                  std::span<Tensor> dx);
}  // namespace detail

/// Puts y = op(inputs) on the tape and returns y. `vjp(dy, want)` takes the gradient of y and
/// returns those of the inputs, in their order: a Tensor for one input, else a
/// std::array<Tensor, n> or a std::vector<Tensor>. An undefined Tensor says "none" and is right
/// wherever want[i] is false; one of y's shape is right too where the input was broadcast to it:
/// backward() sums it. Values it needs are captured as `Saved`.
///
///     Tensor square(const Tensor& x) {
///       Tensor y = ...;
///       return record("square", y, {x}, [x = Saved(x, "x")](const Tensor& dy, Wants) {
///         return 2 * x.get() * dy;
///       });
///     }
///
/// It runs without recording, but in a pass that creates a graph: there dy and what is saved have
/// their history, so a rule made of ops, as this one, can be differentiated again. One that works
/// on the numbers says what else to do if (grad_enabled()): see recorded_vjp() and linear_map().
template <typename Vjp>
Tensor record(const char* op, Tensor y, Inputs inputs, Vjp&& vjp) {
  if (!should_record(inputs)) return y;
  using N = NodeOf<std::decay_t<Vjp>>;
  Node* node = new (allocate(sizeof(N))) N(std::forward<Vjp>(vjp));
  node->block_bytes = sizeof(N);
  connect(node, op, y, inputs);
  return y;
}

/// The gradients of y = f(x..) for dy by f's own tape: for a vjp that works on numbers, in a pass
/// that creates a graph. f says in recorded ops what the op is; it is computed again. A value is
/// undefined where it does not matter.
template <typename F, typename... X>
std::array<Tensor, sizeof...(X)> recorded_vjp(const Tensor& dy, F f, const X&... x) {
  std::array<Tensor, sizeof...(X)> at{x.requires_grad() ? x.view(x.shape()) : x...}, dx;
  detail::recorded_vjp(std::apply(f, at), dy, at, dx);
  return dx;
}

/// y = a x for a linear map a, given with its transpose as functions (x, index) of numbers without
/// history; the index is a tensor that both read, or undefined.
template <typename A, typename Transposed>
Tensor linear_map(const char* op, const Tensor& x, const Tensor& index, A a,
                  Transposed transposed) {
  return record(op, a(x.detach(), index), {x},
                [=, index = Saved(index, "index")](const Tensor& dy, Wants) -> Tensor {
                  return linear_map(op, dy, index.get(), transposed, a);
                });
}

}  // namespace ramp
