// Convolution, channels last: images [n, h, w, c], weights [kh, kw, c / groups, k].
#pragma once

#include "ramp/core/activation.h"
#include "ramp/core/shape.h"

namespace ramp {

/// Zero padding of an image: a number, {rows, columns}, or kSame: as many as make the result
/// ceil(size / stride) large, the odd one at the end.
struct Padding {
  Size2d size;
  bool same = false;
  Padding(int64_t side = 0) : size(side) {}  // NOLINT: implicit
  Padding(int64_t rows, int64_t columns) : size(rows, columns) {}
  Padding(Size2d s) : size(s) {}  // NOLINT
};
inline Padding same_padding() {
  Padding p;
  p.same = true;
  return p;
}
inline const Padding kSame = same_padding();

struct ConvOptions {
  Size2d stride = 1;
  Padding padding = 0;
  Size2d dilation = 1;
  int64_t groups = 1;  // = c: each channel by itself (depthwise)
};

/// y = f(conv(x, w) + b): x [n, h, w, c], w [kh, kw, c / groups, k], b [k] or undefined ->
/// y [n, oh, ow, k] with oh = (h + 2 padding - dilation (kh - 1) - 1) / stride + 1, rounded down.
/// y[n, i, j, :] = f(b + sum over p, q of x[n, i stride + p dilation - padding, ..] w[p, q, :, :]).
/// f32 or f64; the gradient at f's kinks is f's. Errors: channels, groups or b that do not fit; a
/// kernel that is larger than the padded image; i64; sizes that cannot be.
/// Source: LeCun et al. (1989); how it is computed: docs/convolution.md.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b = {}, const ConvOptions& o = {},
              const Activation& f = Identity{});

/// max_pool2d(conv2d(x, w, b, o, f)), in one pass if the result has even sides and f derives from
/// y; equal to the bit. Sequential calls it.
Tensor conv2d_max_pool(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o,
                       const Activation& f);

/// conv2d along one axis: x [n, w, c], weights [kw, c / groups, k] -> [n, ow, k]. Options are one
/// number each.
Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& b = {}, const ConvOptions& o = {},
              const Activation& f = Identity{});

struct ConvTransposeOptions {
  Size2d stride = 1, padding = 0, output_padding = 0, dilation = 1;
  int64_t groups = 1;
};

/// The adjoint of conv2d: x [n, h, w, c], w [kh, kw, k / groups, c], b [k] -> y [n, oh, ow, k] with
/// oh = (h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
/// Errors: as conv2d; an output_padding that is not below the stride or the dilation.
/// Source: Zeiler et al. (2010), "Deconvolutional networks".
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& b = {},
                        const ConvTransposeOptions& o = {}, const Activation& f = Identity{});
/// The same along one axis: x [n, w, c], w [kw, k / groups, c] -> [n, ow, k].
Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& b = {},
                        const ConvTransposeOptions& o = {}, const Activation& f = Identity{});

namespace detail {
/// Errors: a stride, dilation or number of groups below 1, a negative padding, an output_padding
/// that does not fit. rank: of x.
void check_conv_options(const char* op, int rank, const ConvTransposeOptions& o);
}  // namespace detail

}  // namespace ramp
