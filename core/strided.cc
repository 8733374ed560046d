#include "ramp/core/strided.h"

#include <cstring>

#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

constexpr int64_t kChunkBytes = 1 << 17;

struct Axis {
  int64_t n, from, to;
};

template <typename T>
void copy(Axis* axes, int rank, const T* x, T* y) {
  // The axis with stride 1 in y goes last; if another one has stride 1 in x, the two are
  // transposed.
  for (int i = 0; i < rank; ++i)
    if (axes[i].to == 1) std::swap(axes[i], axes[rank - 1]);
  int across = -1;
  if (axes[rank - 1].to == 1 && axes[rank - 1].from != 1) {
    for (int i = 0; i < rank - 1; ++i)
      if (axes[i].from == 1) across = i;
  }
  Axis outer{1, 0, 0};
  if (across >= 0) {
    outer = axes[across];
    std::swap(axes[across], axes[rank - 2]);
  }
  const Axis inner = axes[rank - 1];
  const int loops = across >= 0 ? rank - 2 : rank - 1;
  // A transposition is cut in strips, so that one matrix is enough for all threads.
  constexpr int64_t kStrip = 64;
  const int64_t strips = ceil_div(outer.n, kStrip);
  int64_t steps = strips;
  for (int i = 0; i < loops; ++i) steps *= axes[i].n;
  const int64_t bytes = inner.n * (across >= 0 ? kStrip : 1) * static_cast<int64_t>(sizeof(T));
  parallel_for(steps, kChunkBytes / bytes, [&](int64_t begin, int64_t end) {
    for (int64_t step = begin; step < end; ++step) {
      const int64_t j = step % strips * kStrip;
      int64_t rest = step / strips, from = j * outer.from, to = j * outer.to;
      for (int i = loops - 1; i >= 0; --i) {
        const int64_t at = rest % axes[i].n;
        rest /= axes[i].n;
        from += at * axes[i].from;
        to += at * axes[i].to;
      }
      if (across >= 0) {
        const int64_t n = outer.n - j < kStrip ? outer.n - j : kStrip;
        kernels<T>().transpose(inner.n, n, x + from, inner.from, y + to, outer.to);
      } else if (inner.from == 1 && inner.to == 1) {
        std::memcpy(y + to, x + from, static_cast<size_t>(inner.n) * sizeof(T));
      } else {
        for (int64_t k = 0; k < inner.n; ++k) y[to + k * inner.to] = x[from + k * inner.from];
      }
    }
  });
}

}  // namespace

void copy_strided(const Shape& dims, const Tensor& from, int64_t from_offset,
                  const Strides& from_stride, Tensor& to, int64_t to_offset,
                  const Strides& to_stride) {
  if (dims.numel() == 0) return;
  const Walk<2> walk(dims, {from_stride, to_stride});
  Axis axes[Shape::kMaxRank];
  for (int i = 0; i < walk.rank; ++i)
    axes[walk.rank - 1 - i] = {walk.size[i], walk.stride[i][0], walk.stride[i][1]};
  visit_dtype(from.dtype(), [&]<typename T>(T) {
    // Values are only moved: what moves 8 bytes of f64 moves i64 too.
    using Moved = std::conditional_t<std::is_same_v<T, int64_t>, double, T>;
    copy(axes, walk.rank, reinterpret_cast<const Moved*>(from.data<T>()) + from_offset,
         reinterpret_cast<Moved*>(to.mutable_data<T>()) + to_offset);
  });
}

}  // namespace ramp
