// Images blended along height and width: upsampling, and what average pooling is made of.
#pragma once

#include "ramp/core/parallel.h"
#include "ramp/core/tensor.h"

namespace ramp {

/// A place of y along an axis: first * x[begin] + rest * (x[begin + 1] + .. + x[end - 1]).
struct Blend {
  int64_t begin, end;
  double first, rest;
};
/// y [n, size.h, size.w, c] of x [n, h, w, c], f32 or f64: blended along axis 1, then along 2,
/// place i of m from n as of(axis, i, n, m) says. dx: the transpose of that. Errors: another rank;
/// no pixels; i64; a size below 1.
Tensor resample(const char* op, const Tensor& x, Size2d size,
                FunctionRef<Blend(int axis, int64_t i, int64_t n, int64_t m)> of);
/// Errors unless x is [n, h, w, c] with pixels.
void check_images(const char* op, const Tensor& x);

/// y[n, i, j, c] = x[n, i / scale.h, j / scale.w, c]. Errors: as resample().
Tensor upsample_nearest2d(const Tensor& x, Size2d scale);
struct BilinearOptions {
  bool align_corners = false;
};
/// y[i] = x between its places, at (i + 1/2) / scale - 1/2 (not below 0), or with align_corners at
/// i (h - 1) / (h' - 1); along both axes. Errors: as resample().
Tensor upsample_bilinear2d(const Tensor& x, Size2d scale, BilinearOptions options = {});

}  // namespace ramp
