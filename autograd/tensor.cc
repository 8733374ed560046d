// The part of Tensor that knows the tape: what core/tensor.h declares and leaves to autograd.
#include "ramp/core/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ramp/autograd/record.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

struct Leaf final : Node {
  void vjp(Tensor, Wants, std::span<Tensor>) override {}
  void release_saved() override {}
};

Node& required_node(const Tensor& x, const char* op) {
  check_defined(op, "the tensor", x);
  fail_if(!x.requires_grad(),
          "{}: the tensor {} requires no gradient. Hint: x.requires_grad_() before it is used.", op,
          x.shape());
  return *node_of(x);
}

}  // namespace

Tensor Tensor::view(const Shape& shape) const {
  check_defined("view", "the tensor", *this);
  fail_if(shape.numel() != numel(), "view: {} has {} elements; got the new shape {} of {}.", shape_,
          numel(), shape, shape.numel());
  Tensor y = detach();
  y.shape_ = shape;
  return record("reshape", std::move(y), {*this},
                [from = shape_](const Tensor& dy, Wants) { return dy.view(from); });
}

Tensor Tensor::operator[](int64_t i) const {
  check_defined("[]", "the tensor", *this);
  const int64_t n = rank() == 0 ? 0 : shape_[0];
  fail_if(i < -n || i >= n, "[]: expected an index in {}..{} for dim 0 of {}; got {}.", -n, n - 1,
          shape_, i);
  const int64_t row = i < 0 ? i + n : i;
  return rows(row, row + 1).view(shape_.without(0));
}

Tensor Tensor::clone() const {
  check_defined("clone", "the tensor", *this);
  Tensor y = empty(shape_, dtype_);
  std::memcpy(y.data_, data_, static_cast<size_t>(numel()) * size_of(dtype_));
  return record("clone", std::move(y), {*this}, [](const Tensor& dy, Wants) { return dy; });
}

Tensor Tensor::to(DType dtype) const {
  check_defined("to", "the tensor", *this);
  if (dtype == dtype_) return *this;
  Tensor y = empty(shape_, dtype);
  visit_dtype(dtype_, [&]<typename From>(From) {
    visit_dtype(dtype, [&]<typename To>(To) {
      const From* from = static_cast<const From*>(data_);
      To* to = static_cast<To*>(y.data_);
      parallel_for(numel(), kStreamGrain, [=](int64_t i, int64_t end) {
        for (; i < end; ++i) {
          if constexpr (std::is_same_v<To, int64_t>) check_number("to", std::trunc(from[i]), i64);
          to[i] = static_cast<To>(from[i]);
        }
      });
    });
  });
  if (dtype == i64) return y;  // integers have no gradient
  return record("to", std::move(y), {*this},
                [from = dtype_](const Tensor& dy, Wants) { return dy.to(from); });
}

Tensor& Tensor::requires_grad_(bool on) {
  check_defined("requires_grad_", "the tensor", *this);
  fail_if(!is_float(dtype_),
          "requires_grad_: expected f32 or f64; got {} {}. Hint: x.to(f32).requires_grad_().",
          dtype_, shape_);
  if (meta_ && !node_of(*this)->is_leaf) {
    if (on) return retain_grad();
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
    leaf->id = ++Node::last_id;
    leaf->shape = shape_;
    leaf->dtype = dtype_;
    meta_ = Ref<GradMeta>::adopt(leaf);
  }
  return *this;
}

const Tensor& Tensor::grad() const {
  static const Tensor none{};
  return meta_ ? node_of(*this)->dense_gradient() : none;
}

void Tensor::set_grad(Tensor grad) {
  Node& node = required_node(*this, "set_grad");
  fail_if(grad.defined() && (grad.shape() != shape_ || grad.dtype() != dtype_),
          "set_grad: the tensor is {} {}; got a gradient of {} {}.", dtype_, shape_, grad.dtype(),
          grad.shape());
  zero_grad();
  node.grad = grad.detach();
}

void Tensor::zero_grad() {
  if (!meta_) return;
  node_of(*this)->grad = {};
  node_of(*this)->rows.reset();
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

void Tensor::check_in_place(const char* op, const Tensor& source) const {
  check_same_dtype(op, "the target", *this, "the source", source);
  fail_if(shape_ != source.shape_, "{}: the target {} and the source {} must have the same shape.",
          op, shape_, source.shape_);
  if (!grad_enabled()) return;
  fail_if(requires_grad() && node_of(*this)->is_leaf,
          "{}: the target {} requires a gradient and recording is on. Hint: put NoGrad around it.",
          op, shape_);
  if (requires_grad())
    fail("{}: the target {} is a result of {} on the tape. Hint: y.detach().clone().", op, shape_,
         node_of(*this)->op);
  fail_if(source.requires_grad(),
          "{}: the source {} requires a gradient, which a write in place does not pass on. Hint: "
          "source.detach(), or an op that makes a new tensor.",
          op, source.shape_);
}

}  // namespace ramp
