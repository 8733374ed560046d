// What a module holds: parameters, which are trained, buffers, which are carried along, and
// generators. A copy has its own.
#pragma once

#include "ramp/autograd/node.h"
#include "ramp/core/random.h"
#include "ramp/core/tensor.h"

namespace ramp {

class ModuleBase;

namespace detail {

/// A copy of `original` begins: its tied tensors stay tied in it.
void begin_copy(const ModuleBase& original);
/// A copy of what a module holds; of a tied tensor the one copy that there is.
Tensor copy_held(const Tensor& original, bool trained);
/// t, without history, becomes the leaf of a parameter.
void make_parameter(Tensor& t, bool trains);

/// A Tensor with numbers of its own. To pass it as `const Tensor&` is to pass a handle, as always.
template <bool kTrained>
class Held : public Tensor {
 public:
  Held() noexcept = default;  // undefined: none, as the bias of a layer without one
  /// The numbers of `value`, not its history. Errors: a result on the tape; a parameter of i64.
  Held(Tensor value) {  // NOLINT: implicit
    if (!value.defined()) return;
    const Node* node = node_of(value);
    if (kTrained && node && !node->is_leaf) {
      fail("Parameter: expected a tensor without history; got a result of {} {}. Hint: y.detach().",
           node->op, value.shape());
    }
    const bool trains = !node || value.requires_grad();
    value = value.detach();
    Tensor::operator=(value.unique() ? std::move(value) : value.clone());
    if (kTrained) make_parameter(*this, trains);
  }
  Held(const Held& other) : Tensor(copy_held(other, kTrained)) {
    if (other.at_start()) start_ = version();
  }
  Held(Held&&) noexcept = default;
  /// Where shape and dtype are the same the numbers are copied into the tensor there is, which an
  /// optimizer may hold; its gradient is dropped, and frozen or not it stays what it is. Else it is
  /// replaced, which is an error for whoever held the old one.
  Held& operator=(Held other) {
    const bool starts = other.at_start();
    if (defined() && other.defined() && shape() == other.shape() && dtype() == other.dtype()) {
      const NoGrad no_grad;
      copy_(other);
      if (kTrained) zero_grad();
    } else {
      mark_replaced(*this);
      if (meta() && node_of(*this)->named) mark_named(other);
      Tensor::operator=(std::move(other));
    }
    start_ = starts ? version() : ~0u;
    return *this;
  }

  /// Is `other` from here on: one tensor under two names, in copies of their model too.
  /// Errors: other is undefined.
  void share(const Held& other) {
    check_defined("share", "the tensor to share", other);
    if (meta().get() != other.meta().get()) mark_replaced(*this);
    Tensor::operator=(other);
    start_ = ~0u;
  }

  /// As `= value`, and remembers that these are a layer's first numbers.
  void start(Tensor value) {
    *this = Held(std::move(value));
    start_ = version();
  }
  /// True until anything else is written to it.
  bool at_start() const { return defined() && start_ == version(); }

 private:
  uint32_t start_ = ~0u;
};

}  // namespace detail

/// What is trained: `Parameter scale = Tensor::ones({64});`. A leaf for life, see node.h.
using Parameter = detail::Held<true>;
/// What is only carried along, as running statistics are. Any dtype.
using Buffer = detail::Held<false>;

/// A layer's random numbers, seeded by layer_rng(). So are those of a copy, or the layers of
/// `Sequential{proto, proto}` would drop the same values; `a = b` leaves a's as they are.
class Generator : public Rng {
 public:
  Generator();
  Generator(const Generator&) : Generator() {}
  Generator(Generator&&) = default;
  Generator& operator=(const Generator&) { return *this; }  // NOLINT
  Generator& operator=(Generator&&) = default;
};

}  // namespace ramp
