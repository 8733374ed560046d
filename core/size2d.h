// Height and width.
#pragma once

#include <cstdint>

namespace ramp {

/// `3` for both, or `{2, 3}`: height, width.
struct Size2d {
  int64_t h, w;
  constexpr Size2d(int64_t both) : h(both), w(both) {}  // NOLINT: implicit, for {.kernel = 3}
  constexpr Size2d(int64_t height, int64_t width) : h(height), w(width) {}
  bool operator==(const Size2d&) const = default;
};

}  // namespace ramp
