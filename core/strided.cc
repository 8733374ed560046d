#include "ramp/core/strided.h"

#include <cstring>

#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

struct Axis {
  int64_t n, from, to;
};

constexpr int64_t kTile = 16;  // a cache line of f32

// y[j, i] = x[i, j] for n <= kTile columns j. By way of a tile: lines of y are written whole, and
// rows of x that lie a power of 2 apart do not drive each other out of the cache.
template <typename T>
void transpose_strip(int64_t rows, int64_t n, const T* x, int64_t ldx, T* y, int64_t ldy) {
  if (rows <= 8 * kTile) return kernels<T>().transpose(rows, n, x, ldx, y, ldy);
  T tile[kTile * kTile];
  for (int64_t i = 0; i < rows; i += kTile, x += kTile * ldx, y += kTile) {
    const int64_t m = std::min(kTile, rows - i);
    for (int64_t r = 0; r < m; r += 4)
      kernels<T>().transpose(std::min<int64_t>(4, m - r), n, x + r * ldx, ldx, tile + r, kTile);
    kernels<T>().copy_rows(n, m, tile, kTile, 1, y, ldy, 1, false);
  }
}

template <typename T>
void copy(Axis* axes, int rank, bool adds, const T* x, T* y) {
  // The axis along which y is written goes last. Where another one has stride 1 in x, the two are
  // transposed, in strips of that one; long rows are cut, so that threads share them.
  for (int i = 1; i < rank; ++i)
    for (int j = i; j > 0 && axes[j - 1].to < axes[j].to; --j) std::swap(axes[j - 1], axes[j]);
  const Axis inner = axes[rank - 1];
  int across = rank - 1;
  const bool turns = !adds && inner.to == 1 && inner.from != 0 && inner.from != 1;
  for (int i = 0; i < rank - 1; ++i)
    if (turns && axes[i].from == 1) across = i;
  const bool transposed = across < rank - 1;
  const Axis cut = axes[across];
  const int64_t piece = transposed ? kTile : kStreamGrain, pieces = ceil_div(cut.n, piece);
  axes[across] = {pieces, piece * cut.from, piece * cut.to};
  if (transposed) std::swap(axes[across], axes[--rank - 1]);
  int64_t dims[Shape::kMaxRank];
  Strides from{}, to{};
  for (int i = 0; i < rank; ++i) {
    dims[i] = axes[i].n;
    from[static_cast<size_t>(i)] = axes[i].from;
    to[static_cast<size_t>(i)] = axes[i].to;
  }
  const Shape rows(dims, rank);
  const Walk<2> walk(rows, {from, to});
  const int64_t row = std::min(cut.n, piece) * (transposed ? inner.n : 1);
  const int64_t x_row = walk.stride[0][0], y_row = walk.stride[0][1];
  parallel_for(rows.numel(), kStreamGrain / row + 1, [&](int64_t begin, int64_t end) {
    walk.runs(begin, end, [&](int64_t at, int64_t count, const int64_t* offset) {
      const T* x_i = x + offset[0];
      T* y_i = y + offset[1];
      if (pieces == 1 && !transposed)
        return kernels<T>().copy_rows(count, cut.n, x_i, x_row, inner.from, y_i, y_row, inner.to,
                                      adds);
      for (int64_t i = at; i < at + count; ++i, x_i += x_row, y_i += y_row) {
        const int64_t n = std::min(piece, cut.n - i % pieces * piece);
        if (transposed) {
          transpose_strip(inner.n, n, x_i, inner.from, y_i, cut.to);
        } else {
          kernels<T>().copy_rows(1, n, x_i, 0, inner.from, y_i, 0, inner.to, adds);
        }
      }
    });
  });
}

}  // namespace

void copy_strided(const Shape& dims, const Tensor& from, int64_t from_offset,
                  const Strides& from_stride, Tensor& to, int64_t to_offset,
                  const Strides& to_stride, bool adds) {
  if (dims.numel() == 0) return;
  const Walk<2> walk(dims, {from_stride, to_stride});
  Axis axes[Shape::kMaxRank];
  for (int i = 0; i < walk.rank; ++i) {
    Axis& a = axes[i] = {walk.size[i], walk.stride[i][0], walk.stride[i][1]};
    if (a.to >= 0) continue;
    from_offset += (a.n - 1) * a.from;
    to_offset += (a.n - 1) * a.to;
    a = {a.n, -a.from, -a.to};
  }
  visit_dtype(from.dtype(), [&]<typename T>(T) {
    // Where values are only moved, what moves 8 bytes of f64 moves i64 too.
    using Moved = std::conditional_t<std::is_same_v<T, int64_t>, double, T>;
    copy(axes, walk.rank, adds, reinterpret_cast<const Moved*>(from.data<T>()) + from_offset,
         reinterpret_cast<Moved*>(to.mutable_data<T>()) + to_offset);
  });
}

}  // namespace ramp
