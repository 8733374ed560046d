#include "ramp/core/shape.h"

#include <fmt/ranges.h>

namespace ramp {

void CheckedSize::fail_size(std::string_view op, int64_t n) {
  fail("{}: a size is at most 2^58, the most elements of a tensor; got {}.", op, n);
}

Shape::Shape(const int64_t* dims, int rank) : rank_(rank) {
  if (rank > kMaxRank) fail("shape: at most {} dimensions; got {}.", kMaxRank, rank);
  std::copy_n(dims, rank, dims_);
  check();
}

void Shape::check() const {
  int64_t n = 1;
  bool too_large = false;  // zero or not: strides() and numel() multiply the others too
  for (int i = 0; i < rank_; ++i) {
    const int64_t d = dims_[i];
    fail_if(d < 0,
            "shape: a dimension is at least 0; got {} at axis {}. Hint: reshape() takes one -1.", d,
            i);
    too_large |= d > 0 && (__builtin_mul_overflow(n, d, &n) || n > kMaxElements);
  }
  if (too_large) fail("shape: at most 2^58 elements; got {}.", str());
}

Shape Shape::without(int axis) const {
  Shape s;
  for (int i = 0; i < rank_; ++i)
    if (i != axis) s.dims_[s.rank_++] = dims_[i];
  return s;
}

Shape Shape::with(int axis, int64_t dim) const {
  std::vector<int64_t> dims(begin(), end());
  dims.insert(dims.begin() + axis, dim);
  return dims;
}

std::array<int64_t, Shape::kMaxRank> Shape::strides() const {
  std::array<int64_t, kMaxRank> s{};
  int64_t n = 1;
  for (int i = rank_ - 1; i >= 0; n *= dims_[i--]) s[i] = n;
  return s;
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

int normalize_axis(std::string_view op, int axis, int rank) {
  if (rank == 0) fail("{}: a scalar has no axes; got axis {}.", op, axis);
  fail_if(axis < -rank || axis >= rank,
          "{}: axis must be in {}..{} for a tensor of rank {}; got {}.", op, -rank, rank - 1, rank,
          axis);
  return axis < 0 ? axis + rank : axis;
}

Shape broadcast(std::string_view op, const Shape& a, const Shape& b, std::string_view a_name,
                std::string_view b_name) {
  if (a == b) return a;
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape y = longer;
  const int offset = longer.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    const int64_t m = longer[i + offset], n = shorter[i];
    if (m == n || n == 1) continue;
    if (m != 1) {
      fail(
          "{}: {} {} and {} {} do not broadcast: at axis -{} they have {} and {}, which "
          "must be equal or one of them 1. Hint: reshape one of them.",
          op, a_name, a, b_name, b, shorter.rank() - i, a[a.rank() - shorter.rank() + i],
          b[b.rank() - shorter.rank() + i]);
    }
    y[i + offset] = n;
  }
  return Shape(y.begin(), y.rank());  // which checks the number of elements
}

}  // namespace ramp
