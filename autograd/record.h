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

/// Errors: an op's derivative must give a gradient for each input.
inline void check_count(size_t gradients, size_t inputs) {
  if (gradients != inputs) {
    fail("expected {} gradients, one for each input; its derivative gave {}.", inputs, gradients);
  }
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
      check_count(1, dx.size());
      dx[0] = std::move(gradients);
    } else {
      check_count(gradients.size(), dx.size());
      std::move(gradients.begin(), gradients.end(), dx.begin());
    }
  }
  void release_saved() override { rule.reset(); }
};

/// Puts y = op(inputs) on the tape and returns y. `vjp(dy, want)` takes the gradient of y and
/// returns those of the inputs, in their order: a Tensor for one input, else a
/// std::array<Tensor, n> or a std::vector<Tensor>. An undefined Tensor says "none" and is right
/// wherever want[i] is false; one of y's shape is right too where the input was broadcast to it:
/// backward() sums it. Values it needs are captured as `Saved`. It runs without recording.
///
///     Tensor square(const Tensor& x) {
///       Tensor y = ...;
///       return record("square", y, {x}, [x = Saved(x, "x")](const Tensor& dy, Wants) {
///         return 2 * x.get() * dy;
///       });
///     }
template <typename Vjp>
Tensor record(const char* op, Tensor y, Inputs inputs, Vjp&& vjp) {
  if (!should_record(inputs)) return y;
  using N = NodeOf<std::decay_t<Vjp>>;
  Node* node = new (allocate(sizeof(N))) N(std::forward<Vjp>(vjp));
  node->block_bytes = sizeof(N);
  connect(node, op, y, inputs);
  return y;
}

}  // namespace ramp
