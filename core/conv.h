// Convolution on raw memory, channels last. docs/convolution.md explains its two methods.
#pragma once

#include <array>
#include <cstdint>

#include "ramp/core/parallel.h"

namespace ramp {

/// x [n, h, w, c], w [kh, kw, c / groups, k], y [n, oh, ow, k]:
/// y[n, i, j, :] = sum over p, q of x[n, i s0 + p d0 - b0, j s1 + q d1 - b1, :] w[p, q, :, :] with
/// stride s, dilation d and b pixels of zero padding before x; outside of x all is 0.
struct ConvSizes {
  int64_t n, h, w, c, kh, kw, k, oh, ow;
  std::array<int64_t, 2> stride, dilation, pad_before;
  int64_t groups;
};

/// Rows [row, row + rows) of an image; `row` is a multiple of 4, and so is `rows` but at the end.
struct ConvRows {
  int64_t image, row, rows;
};
/// Called with rows of y as soon as they are there, from several threads.
template <typename T>
using ConvEpilogue = FunctionRef<void(ConvRows at, T* y)>;
/// Returns rows of dy, from several threads; `scratch` has room for them.
template <typename T>
using DyRows = FunctionRef<const T*(ConvRows at, T* scratch)>;

/// y = conv(x, w) + b; b may be null. Where y is null its rows are in scratch memory, for the
/// epilogue alone. Bit-equal for any number of threads. RAMP_CONV=direct|auto: the direct method,
/// or Winograd's where it is faster (3x3, stride 1, channels a multiple of 16).
template <typename T>
void conv(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvEpilogue<T> epilogue);

/// The gradients dx, dw and db, each unless null.
template <typename T>
void conv_vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy, T* dx, T* dw, T* db);

}  // namespace ramp
