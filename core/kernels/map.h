// y[i] = f(x[i]...), in vectors.
#pragma once

#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// A source of vectors: an array, or one value for all i (stride 0).
template <typename T>
struct Stream {
  const T* p;
  bool moves;
  Vec<T> same;
  // An array is not read before it is walked: it may be empty.
  Stream(const T* x, int64_t stride)
      : p(x), moves(stride != 0), same(moves ? Vec<T>{} : splat(*x)) {}
  Vec<T> at(int64_t i) const { return moves ? load_unmasked(p + i) : same; }
  Vec<T> rest(int64_t i, int64_t n) const { return moves ? load_first(p + i, n) : same; }
};

// y[i] = f(x[i]...)
template <typename F, typename T, typename... S>
inline void map(F f, int64_t n, T* y, const S&... x) {
  constexpr int W = kLanes<T>;
  if (n < W) return store_first(y, f(x.rest(0, n)...), n);
  // The last vector overlaps the one before; y may be x, so it is made before that is written.
  int64_t i = 0;
  for (; i + 2 * W <= n; i += W) store(y + i, f(x.at(i)...));
  const Vec<T> last = f(x.at(n - W)...);
  if (i + W < n) store(y + i, f(x.at(i)...));
  store(y + n - W, last);
}

}  // namespace
}  // namespace ramp
