// The two methods of convolution, which docs/convolution.md explains, and what they share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ramp/core/conv.h"
#include "ramp/core/gemm.h"
#include "ramp/core/memory.h"
#include "ramp/core/parallel.h"

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

/// The images are cut into so many chunks at most, and into fewer where these sums get large.
constexpr int64_t kConvChunks = 8;
constexpr int64_t kConvChunksBytes = 1 << 26;

/// Few images, each with work for many threads: these share the rows and channels of one image
/// after the other. Else the chunks of images.
inline bool shares_image(const ConvSizes& s) {
  return s.n < kConvChunks && s.oh * s.ow * s.k * s.kh * s.kw * (s.c / s.groups) > 8 * kGemmGrain;
}

/// f(i) for i < count on the threads that are free; `work` is about what one takes in
/// multiply-adds.
inline void share(int64_t count, int64_t work, auto f) {
  parallel_for(count, kGemmGrain / (work + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

/// The sums for dw and db (size 0: not wanted) over images: each chunk of images has its own.
template <typename T>
struct ConvSums {
  int64_t dw_size, db_size, images, chunks;  // images: of a chunk
  ScratchMemory<T> dws;
  ScratchMemory<double> dbs;

  ConvSums(const ConvSizes& s, int64_t dw_size, int64_t db_size, int64_t most)
      : dw_size(dw_size),
        db_size(db_size),
        images(
            ceil_div(s.n, std::clamp<int64_t>(kConvChunksBytes / (dw_size * int64_t{sizeof(T)} + 1),
                                              1, shares_image(s) ? 1 : std::min(most, s.n)))),
        chunks(ceil_div(s.n, images)),
        dws(chunks * dw_size),
        dbs(chunks * db_size) {
    std::fill_n(dbs.get(), chunks * db_size, 0.);
  }

  T* dw(int64_t chunk) const { return dws.get() + chunk * dw_size; }
  /// Adds sums of dy [parts, db_size].
  void add_db(int64_t chunk, int64_t parts, const double* sums) const {
    double* const db = dbs.get() + chunk * db_size;
    for (; parts > 0; --parts, sums += db_size)
      for (int64_t j = 0; j < db_size; ++j) db[j] += sums[j];
  }
  /// Over all chunks, in their order.
  const T* total_dw() const;
  void total_db(T* db) const;
};

/// What one thread works on at a time: about the size of its L2 cache.
constexpr int64_t kCacheBytes = 5 << 17;

}  // namespace ramp
