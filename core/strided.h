// Strided views: copies between them (what transposing, slicing, joining and padding have in
// common) and the walk over several at once.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "ramp/core/parallel.h"
#include "ramp/core/tensor.h"

namespace ramp {

using Strides = std::array<int64_t, Shape::kMaxRank>;

/// to[to_offset + sum(i[k] * to_stride[k])] = from[from_offset + sum(i[k] * from_stride[k])] for
/// all i in dims; `adds`: += instead, of floats. Both of one dtype, counted in elements. A stride
/// may be negative, and 0 in `from` (broadcasting). The two do not overlap. Runs go by memcpy,
/// transpositions in blocks; where there are many, on all threads.
void copy_strided(const Shape& dims, const Tensor& from, int64_t from_offset,
                  const Strides& from_stride, Tensor& to, int64_t to_offset,
                  const Strides& to_stride, bool adds = false);

/// y = f(x, more..), all of x's shape and of its dtype, which is a float: f(n, x, more.., y) makes
/// n values of y from those at the same place. In chunks of `grain`, on all threads.
template <typename F, typename... X>
Tensor map_chunks(const char* op, int64_t grain, F f, const Tensor& x, const X&... more) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_float(op, x.dtype(), [&]<typename T>(T) {
    const auto run = [&, to = y.mutable_data<T>()](const auto*... from) {
      parallel_for(y.numel(), grain,
                   [&](int64_t i, int64_t end) { f(end - i, from + i..., to + i); });
    };
    run(x.data<T>(), more.template data<T>()...);
  });
  return y;
}

/// A shape as [outer, n, inner], n being the size of one axis: outer * inner rows of n values.
struct AxisSplit {
  int64_t outer = 1, n = 1, inner = 1;

  AxisSplit() = default;
  AxisSplit(const Shape& x, int axis) : n(x[axis]) {
    for (int i = 0; i < x.rank(); ++i)
      if (i != axis) (i < axis ? outer : inner) *= x[i];
  }
};

/// The stride of x along each axis of y, which x broadcasts to: 0 where x is stretched.
inline Strides broadcast_strides(const Shape& x, const Shape& y) {
  Strides stride{};
  int64_t next = 1;
  for (int i = x.rank() - 1; i >= 0; next *= x[i--])
    if (x[i] != 1) stride[static_cast<size_t>(y.rank() - x.rank() + i)] = next;
  return stride;
}

/// How N tensors are read to make one of shape y, given their strides along y's axes. Neighbouring
/// axes that all of them walk alike are one; axis 0 is the innermost, where the strides of tensors
/// that broadcast to y are 0 or 1.
template <int N>
struct Walk {
  int rank = 0;
  int64_t size[Shape::kMaxRank] = {1}, stride[Shape::kMaxRank][N] = {};

  Walk(const Shape& y, const std::array<Strides, N>& x) {
    for (int axis = y.rank() - 1; axis >= 0; --axis) {
      if (y[axis] == 1) continue;
      int64_t here[N];
      bool merges = rank > 0;
      for (int k = 0; k < N; ++k) {
        here[k] = x[k][static_cast<size_t>(axis)];
        merges = merges && here[k] == stride[rank - 1][k] * size[rank - 1];
      }
      if (merges) {
        size[rank - 1] *= y[axis];
        continue;
      }
      size[rank] = y[axis];
      for (int k = 0; k < N; ++k) stride[rank][k] = here[k];
      ++rank;
    }
    rank = std::max(rank, 1);
  }

  /// Calls f(at, n, offset) for the runs of y's elements [at, at + n) that make up [begin, end);
  /// offset[k] is where tensor k is read first, stride[0][k] its step.
  template <typename F>
  void runs(int64_t begin, int64_t end, F f) const {
    blocks(begin, end, [&](int64_t at, int64_t rows, int64_t n, int64_t* offset) {
      for (; rows > 0; --rows, at += n) {
        f(at, n, offset);
        for (int k = 0; k < N; ++k) offset[k] += stride[1][k];
      }
    });
  }

  /// The same, f(at, rows, n, offset), for as many runs at once as lie stride[1][k] apart.
  template <typename F>
  void blocks(int64_t begin, int64_t end, F f) const {
    if (begin >= end) return;
    int64_t index[Shape::kMaxRank], offset[N] = {}, rest = begin;
    for (int a = 0; a < rank; ++a) {
      index[a] = rest % size[a];
      rest /= size[a];
      for (int k = 0; k < N; ++k) offset[k] += index[a] * stride[a][k];
    }
    while (begin < end) {
      const int by = rank > 1 && index[0] == 0 && end - begin >= size[0];
      const int64_t n = by ? size[0] : std::min(size[0] - index[0], end - begin),
                    rows = by ? std::min(size[1] - index[1], (end - begin) / n) : 1,
                    step = by ? rows : n;
      int64_t first[N];
      std::copy_n(offset, N, first);
      f(begin, rows, n, first);
      begin += rows * n;
      index[by] += step;
      for (int k = 0; k < N; ++k) offset[k] += step * stride[by][k];
      for (int a = by; a + 1 < rank && index[a] == size[a]; ++a) {
        index[a] = 0;
        ++index[a + 1];
        for (int k = 0; k < N; ++k) offset[k] += stride[a + 1][k] - size[a] * stride[a][k];
      }
    }
  }
};

}  // namespace ramp
