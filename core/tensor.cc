#include "ramp/core/tensor.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ostream>

#include "ramp/core/parallel.h"
#include "ramp/core/rules_binary.h"

namespace ramp {

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  shape.check();
  Ref<Storage> storage = Storage::make(static_cast<size_t>(shape.numel()) * size_of(dtype));
  void* data = storage->data();
  return Tensor(std::move(storage), data, shape, dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  parallel_for(static_cast<int64_t>(t.storage_->bytes), 8 * kStreamGrain,
               [&](int64_t i, int64_t n) {
                 std::memset(static_cast<char*>(t.data_) + i, 0, static_cast<size_t>(n - i));
               });
  return t;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  check_number("full", value, dtype);
  Tensor t = empty(shape, dtype);
  visit_dtype(dtype, [&]<typename T>(T) {
    std::fill_n(static_cast<T*>(t.data_), shape.numel(), static_cast<T>(value));
  });
  return t;
}

Tensor Tensor::arange(int64_t n, DType dtype) {
  if (n < 0) fail("arange: expected a length n >= 0; got {}.", n);
  Tensor t = empty({n}, dtype);
  visit_dtype(dtype, [&]<typename T>(T) {
    for (int64_t i = 0; i < n; ++i) static_cast<T*>(t.data_)[i] = static_cast<T>(i);
  });
  return t;
}

double Tensor::item() const {
  check_defined("item", "the tensor", *this);
  fail_if(numel() != 1,
          "item: expected a tensor of one element; got {}. Hint: sum(x) or mean(x) first.", shape_);
  return visit_dtype(dtype_,
                     [&]<typename T>(T) { return static_cast<double>(*static_cast<T*>(data_)); });
}

double Tensor::at(std::initializer_list<int64_t> index) const {
  check_defined("at", "the tensor", *this);
  bool inside = index.size() == static_cast<size_t>(rank());
  int64_t place = 0;
  for (int axis = 0; inside && axis < rank(); ++axis) {
    const int64_t n = shape_[axis], i = index.begin()[axis];
    inside = i >= -n && i < n;
    place = place * n + (i < 0 ? i + n : i);
  }
  fail_if(!inside, "at: expected {} indices inside {}, or negative ones from the end; got [{}].",
          rank(), shape_, fmt::join(index, ", "));
  return visit_dtype(
      dtype_, [&]<typename T>(T) { return static_cast<double>(static_cast<T*>(data_)[place]); });
}

std::vector<double> Tensor::values() const {
  check_defined("values", "the tensor", *this);
  return visit_dtype(dtype_, [&]<typename T>(T) {
    const T* p = static_cast<const T*>(data_);
    return std::vector<double>(p, p + numel());
  });
}

Tensor& Tensor::copy_(const Tensor& source) {
  check_in_place("copy_", source);
  bump_version();
  std::memmove(data_, source.data_, static_cast<size_t>(numel()) * size_of(dtype_));
  return *this;
}

Tensor& Tensor::fill_(double value) {
  check_in_place("fill_", *this);
  check_number("fill_", value, dtype_);
  visit_dtype(dtype_, [&]<typename T>(T) {
    std::fill_n(mutable_data<T>(), numel(), static_cast<T>(value));
  });
  return *this;
}

Tensor& Tensor::add_(const Tensor& other, double factor) {
  check_in_place("add_", other);
  check_number("add_", factor, dtype_);
  visit_dtype(dtype_, [&]<typename T>(T) {
    T* y = mutable_data<T>();
    const T* x = other.data<T>();
    const auto f = static_cast<T>(factor);
    parallel_for(numel(), kStreamGrain, [=](int64_t i, int64_t end) {
      for (; i < end; ++i) y[i] = Add::f(y[i], Mul::f(f, x[i]));
    });
  });
  return *this;
}

Tensor& Tensor::mul_(double factor) {
  check_in_place("mul_", *this);
  check_number("mul_", factor, dtype_);
  visit_dtype(dtype_, [&]<typename T>(T) {
    T* y = mutable_data<T>();
    const auto f = static_cast<T>(factor);
    for (int64_t i = 0, n = numel(); i < n; ++i) y[i] = Mul::f(y[i], f);
  });
  return *this;
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }
std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }

void Tensor::fail_data(DType wanted) const {
  check_defined("data", "the tensor", *this);
  fail("data: expected to read {}; got a tensor of {} {}. Hint: x.to({}) converts.", wanted, dtype_,
       shape_, wanted);
}

void check_defined(std::string_view op, std::string_view name, const Tensor& x) {
  fail_if(!x.defined(),
          "{}: {} is undefined (moved from, or never set). Hint: give it a value first.", op, name);
}

int normalize_axis(std::string_view op, int axis, const Tensor& x) {
  check_defined(op, "x", x);
  return normalize_axis(op, axis, x.rank());
}

void check_float(std::string_view op, const Tensor& x, std::string_view name) {
  check_defined(op, name, x);
  if (is_float(x.dtype())) return;
  fail("{}: expected an f32 or f64 tensor; got i64 {}. Hint: {}.to(f32).", op, x.shape(), name);
}

void check_number(std::string_view op, double value, DType dtype) {
  if (is_float(dtype)) return;
  fail_if(value != std::trunc(value) || !(value >= -0x1p63 && value < 0x1p63),
          "{}: an i64 tensor takes integers; got {}. Hint: x.to(f32).", op, value);
}

void check_same_dtype(std::string_view op, std::string_view a_name, const Tensor& a,
                      std::string_view b_name, const Tensor& b) {
  check_defined(op, a_name, a);
  check_defined(op, b_name, b);
  if (a.dtype() != b.dtype()) {
    // Never a hint to make a float an integer; x is what a layer is given, and the rest its own.
    const bool gives_x = a_name == "x" && b_name != "target" && is_float(b.dtype());
    const bool to_a = is_float(a.dtype()) && !gives_x;
    fail("{}: {} and {} must have the same dtype; got {} {} and {} {}. Hint: {}.to({}).", op,
         a_name, b_name, a.dtype(), a.shape(), b.dtype(), b.shape(), to_a ? b_name : a_name,
         to_a ? a.dtype() : b.dtype());
  }
}

}  // namespace ramp
