// Images resized along height and width: x [n, h, w, c], f32 or f64, to y [n, size.h, size.w, c].
// Errors, for all: another rank; no pixels; i64; a size below 1.
#pragma once

#include <functional>

#include "ramp/core/tensor.h"

namespace ramp {

/// y[i, j] = x[floor(i h / size.h), floor(j w / size.w)].
Tensor resize_nearest2d(const Tensor& x, Size2d size);
struct BilinearOptions {
  bool align_corners = false;
};
/// y[i] = x between its pixels, at (i + 1/2) h / size.h - 1/2 (not below 0), or with align_corners
/// at i (h - 1) / (size.h - 1); along both axes.
Tensor resize_bilinear2d(const Tensor& x, Size2d size, BilinearOptions options = {});

/// resize_nearest2d() to scale.h times the height and scale.w times the width.
Tensor upsample_nearest2d(const Tensor& x, Size2d scale);
/// resize_bilinear2d() to scale.h times the height and scale.w times the width.
Tensor upsample_bilinear2d(const Tensor& x, Size2d scale, BilinearOptions options = {});

namespace detail {
/// Errors unless x is [n, h, w, c] with pixels, or, of rank 3, [n, w, c].
void check_images(const char* op, const Tensor& x, int rank = 4);
/// Errors unless y [n, size.h, size.w, c] can be.
void check_size(const char* op, const Tensor& x, Size2d size);

/// A pixel of y along an axis: first * x[begin] + rest * (x[begin + 1] + .. + x[end - 1]).
struct Blend {
  int64_t begin, end;
  double first, rest;
};
/// Pixel i of m from n along `axis`.
using Blends = std::function<Blend(int axis, int64_t i, int64_t n, int64_t m)>;
/// y: x blended along axis 1, then along 2. dx: the transpose of that.
Tensor resample(const char* op, const Tensor& x, Size2d size, const Blends& blends);
}  // namespace detail

}  // namespace ramp
