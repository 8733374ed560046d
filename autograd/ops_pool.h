// Pooling: images x [n, h, w, c], f32 or f64, to y [n, h', w', c], a value for each window. With
// padding p, h' = (h + 2p - kernel) / stride + 1, rounded down, or with ceil_mode up as long as the
// last window starts before the padding at the end. Bits do not depend on the number of threads.
// Errors, for all: another rank; no pixels; i64; an impossible kernel, stride, padding or size.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

struct Pool2dOptions {
  Size2d kernel = 2;
  Size2d stride = 0;   // 0: the kernel's
  Size2d padding = 0;  // at most half the kernel
  bool ceil_mode = false;
  bool count_include_pad = true;  // in the divisor of avg_pool2d
};

/// y = the largest value of each window of at most 256 places; NaN if there is one. dy goes to the
/// first such place, row by row. Padding counts as -inf. `max_pool2d(x, {.kernel = {2, 2}})`
Tensor max_pool2d(const Tensor& x, Pool2dOptions options = {});
/// y = sum of the window / its places. dx = the sum of dy / places.
Tensor avg_pool2d(const Tensor& x, Pool2dOptions options = {});
/// y [n, size.h, size.w, c] = means of windows floor(i h / size.h) .. ceil((i + 1) h / size.h).
Tensor adaptive_avg_pool2d(const Tensor& x, Size2d size);
/// y [n, c] = mean or largest of all pixels of x [n, h, w, c] or [n, l, c]: mean(x, ..), max(x,
/// ..).
Tensor global_avg_pool(const Tensor& x);
Tensor global_max_pool(const Tensor& x);

}  // namespace ramp
