#include "ramp/core/tensor.h"

#include <algorithm>
#include <cstring>

namespace ramp {

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  shape.check();
  Ref<Storage> storage = Storage::make(static_cast<size_t>(shape.numel()) * size_of(dtype));
  void* data = storage->data();
  return Tensor(std::move(storage), data, shape, dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  std::memset(t.data_, 0, t.storage_->bytes);
  return t;
}

Tensor Tensor::ones(const Shape& shape, DType dtype) { return full(shape, 1, dtype); }

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  Tensor t = empty(shape, dtype);
  visit_dtype(dtype, [&]<typename T>(T) {
    std::fill_n(static_cast<T*>(t.data_), shape.numel(), static_cast<T>(value));
  });
  return t;
}

Tensor Tensor::arange(int64_t n, DType dtype) {
  Tensor t = empty({n}, dtype);
  visit_dtype(dtype, [&]<typename T>(T) {
    for (int64_t i = 0; i < n; ++i) static_cast<T*>(t.data_)[i] = static_cast<T>(i);
  });
  return t;
}

template <typename T>
Tensor Tensor::of(const std::vector<T>& values, const Shape& shape) {
  if (static_cast<int64_t>(values.size()) != shape.numel()) {
    fail("of: a tensor of shape {} holds {} values; got {}.", shape, shape.numel(), values.size());
  }
  Tensor t = empty(shape, dtype_of<T>());
  std::copy(values.begin(), values.end(), static_cast<T*>(t.data_));
  return t;
}

template Tensor Tensor::of(const std::vector<float>&, const Shape&);
template Tensor Tensor::of(const std::vector<double>&, const Shape&);
template Tensor Tensor::of(const std::vector<int64_t>&, const Shape&);

double Tensor::item() const {
  check_defined("item", "the tensor", *this);
  if (numel() != 1) {
    fail("item: expected a tensor of one element; got {}. Hint: sum(x) or mean(x) first.", shape_);
  }
  return visit_dtype(dtype_,
                     [&]<typename T>(T) { return static_cast<double>(*static_cast<T*>(data_)); });
}

std::vector<double> Tensor::values() const {
  check_defined("values", "the tensor", *this);
  return visit_dtype(dtype_, [&]<typename T>(T) {
    const T* p = static_cast<const T*>(data_);
    return std::vector<double>(p, p + numel());
  });
}

Tensor& Tensor::copy_(const Tensor& source) {
  check_in_place("copy_");
  check_same_dtype("copy_", "the target", *this, "the source", source);
  if (!(shape_ == source.shape_)) {
    fail("copy_: the target {} and the source {} must have one shape.", shape_, source.shape_);
  }
  announce_write();
  std::memmove(data_, source.data_, static_cast<size_t>(numel()) * size_of(dtype_));
  return *this;
}

Tensor& Tensor::fill_(double value) {
  check_in_place("fill_");
  visit_dtype(dtype_, [&]<typename T>(T) {
    std::fill_n(mutable_data<T>(), numel(), static_cast<T>(value));
  });
  return *this;
}

Tensor& Tensor::add_(const Tensor& other, double factor) {
  check_in_place("add_");
  check_same_dtype("add_", "the target", *this, "the other", other);
  if (!(shape_ == other.shape_)) {
    fail("add_: the target {} and the other {} must have one shape.", shape_, other.shape_);
  }
  visit_dtype(dtype_, [&]<typename T>(T) {
    T* y = mutable_data<T>();
    const T* x = other.data<T>();
    const T f = static_cast<T>(factor);
    for (int64_t i = 0, n = numel(); i < n; ++i) y[i] += f * x[i];
  });
  return *this;
}

Tensor& Tensor::mul_(double factor) {
  check_in_place("mul_");
  visit_dtype(dtype_, [&]<typename T>(T) {
    T* y = mutable_data<T>();
    const T f = static_cast<T>(factor);
    for (int64_t i = 0, n = numel(); i < n; ++i) y[i] *= f;
  });
  return *this;
}

Tensor Tensor::clone() const {
  check_defined("clone", "the tensor", *this);
  Tensor t = empty(shape_, dtype_);
  std::memcpy(t.data_, data_, static_cast<size_t>(numel()) * size_of(dtype_));
  return t;
}

Tensor Tensor::to(DType dtype) const {
  check_defined("to", "the tensor", *this);
  if (dtype == dtype_) return detach();
  Tensor t = empty(shape_, dtype);
  visit_dtype(dtype_, [&]<typename From>(From) {
    visit_dtype(dtype, [&]<typename To>(To) {
      const From* from = static_cast<const From*>(data_);
      std::transform(from, from + numel(), static_cast<To*>(t.data_),
                     [](From v) { return static_cast<To>(v); });
    });
  });
  return t;
}

Tensor Tensor::view(const Shape& shape) const {
  check_defined("view", "the tensor", *this);
  if (shape.numel() != numel()) {
    fail("view: {} has {} elements; got the new shape {} of {}.", shape_, numel(), shape,
         shape.numel());
  }
  Tensor t = detach();
  t.shape_ = shape;
  return t;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  check_defined("rows", "the tensor", *this);
  if (rank() == 0 || begin < 0 || end < begin || end > shape_[0]) {
    fail("rows: expected 0 <= begin <= end <= dim 0 of {}; got begin {} and end {}.", shape_, begin,
         end);
  }
  Tensor t = detach();
  const int64_t row = shape_.without(0).numel();
  t.shape_[0] = end - begin;
  t.data_ = static_cast<char*>(data_) + static_cast<size_t>(begin * row) * size_of(dtype_);
  return t;
}

void Tensor::fail_data(DType wanted) const {
  if (!defined()) fail_undefined("data");
  fail("data: expected to read {}; got a tensor of {} {}. Hint: x.to({}) converts.", wanted, dtype_,
       shape_, wanted);
}

void Tensor::fail_undefined(const char* op) {
  fail("{}: the tensor is undefined (moved from, or never set). Hint: give it a value first.", op);
}

void check_defined(std::string_view op, std::string_view name, const Tensor& x) {
  if (!x.defined()) {
    fail("{}: {} is undefined (moved from, or never set). Hint: give it a value first.", op, name);
  }
}

void check_same_dtype(std::string_view op, std::string_view a_name, const Tensor& a,
                      std::string_view b_name, const Tensor& b) {
  check_defined(op, a_name, a);
  check_defined(op, b_name, b);
  if (a.dtype() != b.dtype()) {
    fail("{}: {} and {} must have one dtype; got {} {} and {} {}. Hint: {}.to({}).", op, a_name,
         b_name, a.dtype(), a.shape(), b.dtype(), b.shape(), b_name, a.dtype());
  }
}

void check_bias(std::string_view op, const Tensor& w, const Tensor& b, int64_t n) {
  if (!b.defined()) return;
  check_same_dtype(op, "w", w, "b", b);
  if (!(b.shape() == Shape{n})) {
    fail("{}: b must be [{}] for w {}; got {}.", op, n, w.shape(), b.shape());
  }
}

}  // namespace ramp
