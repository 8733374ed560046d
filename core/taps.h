// What the pixels along an axis are made of, for pooling and resizing: a sparse matrix.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "ramp/core/memory.h"
#include "ramp/core/parallel.h"

namespace ramp {

/// Pixel `from` is part of pixel `to`.
template <typename T>
struct Tap {
  int64_t to, from;
  T weight;
};
/// The taps of pixel i are tap[k], k in first[i] .. first[i + 1].
template <typename T>
struct Taps {
  const int64_t* first;
  const Tap<T>* tap;
};

template <typename T>
using TapList = std::vector<Tap<T>, Allocator<Tap<T>>>;

template <typename T>
class TapTable {
 public:
  /// Of `size` pixels, from taps in any order.
  TapTable(int64_t size, TapList<T> taps)
      : taps_(std::move(taps)), first_(static_cast<size_t>(size) + 1) {
    const auto before = [](const Tap<T>& a, const Tap<T>& b) { return a.to < b.to; };
    if (!std::is_sorted(taps_.begin(), taps_.end(), before))  // those of windows are
      std::stable_sort(taps_.begin(), taps_.end(), before);
    for (const Tap<T>& t : taps_) ++first_[static_cast<size_t>(t.to) + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    taps_.push_back({});  // the first tap of a pixel that has none is read too
  }
  /// The taps of the pixels from i on.
  Taps<T> at(int64_t i) const { return {first_.data() + i, taps_.data()}; }

 private:
  TapList<T> taps_;
  std::vector<int64_t, Allocator<int64_t>> first_;
};

/// `count` pixels from `begin` on, `apart` from each other.
struct Window {
  int64_t begin, count, apart = 1;
};
/// m windows of n pixels, given by window(i); pixel j of one has the weight j * step.
template <typename T, typename F>
TapTable<T> window_taps(int64_t n, int64_t m, int64_t step, F window) {
  TapList<T> taps;
  for (int64_t i = 0; i < m; ++i) {
    const Window w = window(i);
    int64_t j = w.begin < 0 ? ceil_div(-w.begin, w.apart) : 0;
    for (; j < w.count && w.begin + j * w.apart < n; ++j)
      taps.push_back({i, w.begin + j * w.apart, static_cast<T>(j * step)});
  }
  return {m, std::move(taps)};
}

}  // namespace ramp
