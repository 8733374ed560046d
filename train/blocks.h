// A look at a large tensor that costs the same whatever its size.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "ramp/core/parallel.h"

namespace ramp {

/// Calls f(begin, end) for blocks of [0, numel), of at least 256 elements and whole rows of `row`
/// elements: all of them, or about `look` elements in all. One block lies in each of the equal
/// parts; where, goes by the golden ratio: not all in the same corner of an image.
template <typename F>
void for_each_block(int64_t numel, int64_t row, int64_t look, F f) {
  const int64_t block = row * ceil_div(256, row);
  const int64_t step = block * std::max<int64_t>(1, numel / std::max(look, block));
  double at = 0;
  for (int64_t i = 0; i < numel; i += step, at += std::numbers::phi - 1) {
    const double rows = static_cast<double>((std::min(step, numel - i) - block) / row);
    const int64_t begin =
        i + row * static_cast<int64_t>(std::max(0., rows) * (at - std::floor(at)));
    f(begin, std::min(begin + block, numel));
  }
}

}  // namespace ramp
