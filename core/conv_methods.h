// The two methods of convolution, which docs/convolution.md explains.
#pragma once

#include <cstdint>

#include "ramp/core/conv.h"

namespace ramp {

/// As conv() and conv_vjp(), for results that are not empty.
template <typename T>
struct DirectConv {
  static void forward(const ConvSizes& s, const T* x, const T* w, const T* b, T* y,
                      ConvEpilogue<T> epilogue);
  static void vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy, T* dx, T* dw, T* db);
};
template <typename T>
struct WinogradConv {
  static void forward(const ConvSizes& s, const T* x, const T* w, const T* b, T* y,
                      ConvEpilogue<T> epilogue);
  static void vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy, T* dx, T* dw, T* db);
};

/// What one thread works on at a time: about the size of its L2 cache.
constexpr int64_t kCacheBytes = 5 << 17;

}  // namespace ramp
