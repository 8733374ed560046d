// The tensor: a handle to shared, contiguous, row-major memory.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <string_view>
#include <vector>

#include "ramp/core/dtype.h"
#include "ramp/core/memory.h"
#include "ramp/core/ref.h"
#include "ramp/core/shape.h"

namespace ramp {

/// What autograd hangs on a tensor. Core only carries it (autograd/node.h defines what it is).
struct GradMeta {
  std::atomic<uint32_t> refs{1};
  bool requires_grad = true;  // a leaf's switch: off while it is frozen
};
void destroy(GradMeta* meta) noexcept;

class Tensor;
/// Errors unless the tensor is defined: "relu: x is undefined (moved from, or never set)".
void check_defined(std::string_view op, std::string_view name, const Tensor& x);

/// A handle: copies share memory and gradient. Features are the last axis, everywhere.
class Tensor {
 public:
  /// Undefined: holds nothing; reading it is an error.
  Tensor() noexcept {}  // not `= default`: Tensor{} would set all bytes to 0 first
  Tensor(const Tensor&) = default;
  Tensor(Tensor&&) noexcept = default;
  // Of lvalues only: `x[0] = y` would change a handle that is gone at once.
  Tensor& operator=(const Tensor&) & = default;
  Tensor& operator=(Tensor&&) & noexcept = default;

  /// Memory that is not set yet.
  static Tensor empty(const Shape& shape, DType dtype = f32);
  static Tensor zeros(const Shape& shape, DType dtype = f32);
  static Tensor ones(const Shape& shape, DType dtype = f32) { return full(shape, 1, dtype); }
  static Tensor full(const Shape& shape, double value, DType dtype = f32);
  static Tensor scalar(double value, DType dtype = f32) { return full({}, value, dtype); }
  /// 0, 1, ... n-1.
  static Tensor arange(int64_t n, DType dtype = i64);
  /// A copy of the values, row by row; the dtype is that of T, for all integer types i64:
  /// `Tensor::of<float>({1, 2, 3, 4}, {2, 2})`, `Tensor::of(pixels.data(), {28, 28})`. Without a
  /// shape: one dimension, or two: `Tensor::of<float>({{1, 2}, {3, 4}})`.
  /// Errors: a count other than the shape's; rows of different lengths.
  template <typename T>
  static Tensor of(const T* values, const Shape& shape) {
    return copied(values, static_cast<size_t>(shape.numel()), shape);
  }
  template <typename T>
  static Tensor of(const std::vector<T>& values, const Shape& shape) {
    return copied(values.begin(), values.size(), shape);
  }
  template <typename T>
  static Tensor of(std::initializer_list<T> values, const Shape& shape) {
    return copied(values.begin(), values.size(), shape);
  }
  template <typename T>
  static Tensor of(const std::vector<T>& values) {
    return of(values, Shape{static_cast<int64_t>(values.size())});
  }
  template <typename T>
  static Tensor of(std::initializer_list<T> values) {
    return of(values, Shape{static_cast<int64_t>(values.size())});
  }
  template <typename T>
  static Tensor of(std::initializer_list<std::initializer_list<T>> rows) {
    if (rows.size() == 0) return of(std::vector<T>{});
    const size_t n = rows.begin()->size();
    std::vector<T> values;
    for (const auto& row : rows) {
      fail_if(row.size() != n, "of: all rows must have the same length; got {} and {}.", n,
              row.size());
      values.insert(values.end(), row.begin(), row.end());
    }
    return of(values, Shape{static_cast<int64_t>(rows.size()), static_cast<int64_t>(n)});
  }

  bool defined() const { return static_cast<bool>(storage_); }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  /// The size of an axis, which may count from the end (-1 is the last).
  int64_t dim(int axis) const { return shape_[normalize_axis("dim", axis, rank())]; }
  int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }

  /// The elements. Errors: an undefined tensor, or a T that is not the dtype.
  template <typename T>
  const T* data() const {
    check_data(dtype_of<T>());
    return static_cast<const T*>(data_);
  }
  /// The elements to write to: announces a write, so that a backward pass which needs the old
  /// values fails instead of being wrong.
  template <typename T>
  T* mutable_data() {
    check_data(dtype_of<T>());
    bump_version();
    return static_cast<T*>(data_);
  }
  /// The value of a tensor of one element, whatever its dtype.
  double item() const;
  /// One value, whatever the dtype: `x.at({i, j})`; negative indices count from the end.
  /// Errors: not one index for each axis; one outside.
  double at(std::initializer_list<int64_t> index) const;
  /// All values, row by row, whatever the dtype.
  std::vector<double> values() const;

  /// In place, and never recorded. Errors: shapes or dtypes that differ; a number that is no
  /// integer in i64; a target or source that requires a gradient, unless recording is off (NoGrad).
  Tensor& copy_(const Tensor& source);
  Tensor& fill_(double value);
  Tensor& add_(const Tensor& other, double factor = 1);
  Tensor& mul_(double factor);

  /// A copy in new memory; dx = dy.
  Tensor clone() const;
  /// In another dtype, the tensor itself if it has it; dx = dy in x's dtype, none from i64.
  /// Errors: NaN, or a number that i64 does not hold.
  Tensor to(DType dtype) const;
  /// The same memory in another shape, as reshape(); dx = dy in x's shape.
  Tensor view(const Shape& shape) const;
  /// The same memory, rows [begin, end) of dim 0; dx = dy there, 0 in the other rows.
  Tensor rows(int64_t begin, int64_t end) const;
  /// Row i of dim 0, without copying: [n, a, ..] -> [a, ..]; -1 is the last. dx = dy in that row.
  Tensor operator[](int64_t i) const;
  /// The same memory without history: the one way to cut the tape.
  Tensor detach() const { return Tensor(storage_, data_, shape_, dtype_); }

  const void* address() const { return data_; }
  bool same_memory(const Tensor& other) const { return data_ == other.data_; }
  bool unique() const { return storage_ && storage_.unique(); }
  uint32_t version() const {
    if (!storage_) check_defined("version", "the tensor", *this);
    return storage_->version.load(std::memory_order_relaxed);
  }
  void bump_version() {
    if (!storage_) check_defined("bump_version", "the tensor", *this);
    std::atomic<uint32_t>& v = storage_->version;
    v.store(v.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  // ---- autograd (defined in autograd/) ----

  /// Asks for the gradient of this leaf (of a result: retain_grad()); off, the leaf is frozen: the
  /// same leaf still, without a gradient. Errors: i64; off for a result on the tape.
  Tensor& requires_grad_(bool on = true);
  /// True for a result on the tape, and for a leaf whose gradient is asked for.
  bool requires_grad() const { return meta_ && meta_->requires_grad; }
  /// The gradient that backward() accumulated; undefined where there is none yet. That of some rows
  /// alone, as of an embedding's table (row_gradient()), is made dense for whoever asks here, and
  /// stays one of rows for the optimizer unless the dense one is written to.
  const Tensor& grad() const;
  void set_grad(Tensor grad);
  void zero_grad();
  /// Keeps the gradient of a result, which otherwise is dropped as the pass goes by.
  Tensor& retain_grad();
  /// Calls f with the gradient of this tensor in each pass; what it returns (if defined) replaces
  /// the gradient.
  Tensor& hook(std::function<Tensor(const Tensor& dy)> f);
  /// See ramp::backward in autograd/backward.h.
  void backward() const;

  const Ref<GradMeta>& meta() const { return meta_; }
  void set_meta(Ref<GradMeta> meta) { meta_ = std::move(meta); }

 private:
  Tensor(Ref<Storage> storage, void* data, const Shape& shape, DType dtype)
      : storage_(std::move(storage)), dtype_(dtype), shape_(shape), data_(data) {}
  template <typename Iterator>
  static Tensor copied(Iterator values, size_t count, const Shape& shape) {
    using T = std::iter_value_t<Iterator>;
    using Element = std::conditional_t<std::is_integral_v<T>, int64_t, T>;
    fail_if(static_cast<int64_t>(count) != shape.numel(),
            "of: a tensor of shape {} holds {} values; got {}.", shape, shape.numel(), count);
    Tensor t = empty(shape, dtype_of<Element>());
    Element* to = static_cast<Element*>(t.data_);
    for (size_t i = 0; i < count; ++i, ++values) to[i] = static_cast<Element>(*values);
    return t;
  }
  void check_data(DType wanted) const {
    if (!storage_ || wanted != dtype_) fail_data(wanted);
  }
  [[noreturn]] void fail_data(DType wanted) const;
  void check_in_place(const char* op, const Tensor& source) const;

  // No two words side by side that a move takes: g++ would read them as one 16-byte load, which
  // waits for the two stores that made them.
  Ref<Storage> storage_;
  DType dtype_ = f32;
  Ref<GradMeta> meta_;
  Shape shape_;
  void* data_ = nullptr;
};

/// As NumPy prints arrays (glass/format.h, which defines it, has the rules and formats).
std::ostream& operator<<(std::ostream& out, const Tensor& x);

/// An axis of x, as normalize_axis() of its rank. Errors: also an undefined x.
int normalize_axis(std::string_view op, int axis, const Tensor& x);
/// Errors unless x, called `name`, is defined and f32 or f64.
void check_float(std::string_view op, const Tensor& x, std::string_view name = "x");
/// Errors unless the dtype holds the number: i64 takes integers.
void check_number(std::string_view op, double value, DType dtype);
/// Errors unless all are defined and of one dtype.
void check_same_dtype(std::string_view op, std::string_view a_name, const Tensor& a,
                      std::string_view b_name, const Tensor& b);

}  // namespace ramp
