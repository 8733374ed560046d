// What a model learns from: examples and what is to be said about them.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// Row i of y belongs to row i of x. Copies share memory.
struct Dataset {
  Tensor x, y;

  int64_t size() const { return x.dim(0); }
  /// The same memory with each x as one row: images [n, 28, 28, 1] as [n, 784].
  Dataset flat() const;
  /// Examples [begin, end), sharing memory.
  Dataset rows(int64_t begin, int64_t end) const {
    return {x.rows(begin, end), y.rows(begin, end)};
  }
};

}  // namespace ramp
