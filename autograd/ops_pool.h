// Pooling: images x [n, h, w, c] or signals x [n, w, c], f32 or f64, to y [n, h', w', c], a value
// for each window. With padding p, h' = (h + 2p - dilation (kernel - 1) - 1) / stride + 1, rounded
// down, or with ceil_mode up as long as the last window starts before the padding at the end. Bits
// do not depend on the number of threads. Errors, for all: another rank; no pixels; i64; an
// impossible kernel, stride, padding or size.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

template <typename Size>
struct MaxPoolOptions {
  Size stride = 0;   // 0: the kernel's
  Size padding = 0;  // at most half the kernel
  Size dilation = 1;
  bool ceil_mode = false;
};
using MaxPool2dOptions = MaxPoolOptions<Size2d>;
using MaxPool1dOptions = MaxPoolOptions<int64_t>;
/// y = the largest value of each window; NaN if there is one. dy goes to the first such pixel, row
/// by row. Padding counts as -inf. `max_pool2d(x, {3, 2}, {.stride = 1})`
Tensor max_pool2d(const Tensor& x, Size2d kernel = 2, const MaxPool2dOptions& options = {});

template <typename Size>
struct AvgPoolOptions {
  Size stride = 0;   // 0: the kernel's
  Size padding = 0;  // at most half the kernel
  bool ceil_mode = false;
  bool count_include_pad = true;  // in the divisor
  int64_t divisor_override = 0;   // the divisor; 0: the window's pixels
};
using AvgPool2dOptions = AvgPoolOptions<Size2d>;
using AvgPool1dOptions = AvgPoolOptions<int64_t>;
/// y = sum of the window / its pixels. dx = the sum of dy / pixels.
Tensor avg_pool2d(const Tensor& x, Size2d kernel = 2, const AvgPool2dOptions& options = {});

/// max_pool2d() along one axis: x [n, w, c] -> [n, w', c].
Tensor max_pool1d(const Tensor& x, int64_t kernel = 2, const MaxPool1dOptions& options = {});

/// avg_pool2d() along one axis: x [n, w, c] -> [n, w', c].
Tensor avg_pool1d(const Tensor& x, int64_t kernel = 2, const AvgPool1dOptions& options = {});

/// y [n, size.h, size.w, c] = means of windows floor(i h / size.h) .. ceil((i + 1) h / size.h).
Tensor adaptive_avg_pool2d(const Tensor& x, Size2d size);
/// The largest values of the same windows, as max_pool2d() takes them.
Tensor adaptive_max_pool2d(const Tensor& x, Size2d size);
/// The mean of all pixels: x [n, h, w, c] or [n, w, c] -> [n, c]. dx = dy / pixels.
Tensor global_avg_pool(const Tensor& x);
/// The largest of all pixels: x [n, h, w, c] or [n, w, c] -> [n, c]. dx: as of max().
Tensor global_max_pool(const Tensor& x);

}  // namespace ramp
