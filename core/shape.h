// The dimensions of a tensor, and NumPy's broadcasting rule.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "ramp/core/error.h"

namespace ramp {

/// The most elements of a tensor: their bytes, strides and sums of two sizes fit 64 bits.
constexpr int64_t kMaxElements = int64_t{1} << 58;

/// What an op computes sizes with: `(CheckedSize("pad", n) + before + after).value()`.
/// Errors: a number, given or computed, beyond +-kMaxElements; the message starts with `op`. So
/// nothing overflows, and what cannot be is refused before memory is taken.
class CheckedSize {
 public:
  CheckedSize(std::string_view op, int64_t n) : op_(op), n_(n) {
    if (n > kMaxElements || n < -kMaxElements) fail_size(op, n);
  }
  int64_t value() const { return n_; }
  CheckedSize operator+(int64_t b) const { return CheckedSize(op_, n_ + CheckedSize(op_, b).n_); }
  CheckedSize operator-(int64_t b) const { return CheckedSize(op_, n_ - CheckedSize(op_, b).n_); }
  CheckedSize operator*(int64_t b) const {
    int64_t product = 0;
    if (__builtin_mul_overflow(n_, b, &product)) fail_size(op_, b);
    return CheckedSize(op_, product);
  }

 private:
  [[noreturn]] static void fail_size(std::string_view op, int64_t n);
  std::string_view op_;
  int64_t n_;
};

/// Up to eight dimensions, held inline. Rank 0 is a scalar (numel 1).
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(const Shape& other) { *this = other; }
  /// Copies no more than it must: a scalar's dimensions are none.
  Shape& operator=(const Shape& other) {
    rank_ = other.rank_;
    if (rank_ > 0) std::memcpy(dims_, other.dims_, sizeof(dims_) / 2);
    if (rank_ > kMaxRank / 2) std::memcpy(dims_, other.dims_, sizeof(dims_));
    return *this;
  }
  Shape(std::initializer_list<int64_t> dims) : Shape(dims.begin(), static_cast<int>(dims.size())) {}
  Shape(const std::vector<int64_t>& dims) : Shape(dims.data(), static_cast<int>(dims.size())) {}
  /// Errors: more than eight dimensions, a negative one, or more than 2^58 elements (counting
  /// a dimension of 0 as 1).
  Shape(const int64_t* dims, int rank);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  int64_t& operator[](int axis) { return dims_[axis]; }
  /// The last dimension; 1 for a scalar.
  int64_t last() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  /// Errors: as of the constructor. Whoever takes memory for a shape asks, for operator[] may have
  /// changed it.
  void check() const;
  const int64_t* begin() const { return dims_; }
  const int64_t* end() const { return dims_ + rank_; }

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims_[i] != other.dims_[i]) return false;
    return true;
  }

  /// A copy without / with a dimension at `axis` (0 <= axis <= rank).
  Shape without(int axis) const;
  Shape with(int axis, int64_t dim) const;

  /// The row-major stride of each dimension, in elements.
  std::array<int64_t, kMaxRank> strides() const;

  /// "[64, 784]"; a scalar is "[]".
  std::string str() const;

 private:
  int rank_ = 0;
  int64_t dims_[kMaxRank];
};

/// "[64, 784]".
std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// Rows and columns of a window, a stride or a padding: `3` is {3, 3}.
struct Size2d {
  int64_t h, w;
  Size2d(int64_t side) : h(side), w(side) {}  // NOLINT: implicit
  Size2d(int64_t rows, int64_t columns) : h(rows), w(columns) {}
  bool operator==(const Size2d&) const = default;
  std::string str() const { return h == w ? fmt::format("{}", h) : fmt::format("{}x{}", h, w); }
};

/// An axis that may count from the end (-1 is the last), as 0..rank-1.
/// Errors: outside -rank..rank-1; the message starts with `op`.
int normalize_axis(std::string_view op, int axis, int rank);

/// NumPy's rule: shapes are aligned at the last axis; a dimension of 1 stretches.
/// Errors: names the first pair of dimensions that fits neither way.
Shape broadcast(std::string_view op, const Shape& a, const Shape& b, std::string_view a_name = "a",
                std::string_view b_name = "b");

}  // namespace ramp

template <>
struct fmt::formatter<ramp::Shape> : ramp::TextFormatter<&ramp::Shape::str> {};
