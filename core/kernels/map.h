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
  int64_t i = 0;
  for (; i + W <= n; i += W) store(y + i, f(x.at(i)...));
  if (i < n) store_first(y + i, f(x.rest(i, n - i)...), n - i);
}

}  // namespace
}  // namespace ramp
