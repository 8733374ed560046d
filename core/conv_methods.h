// The two methods of convolution, and what they share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ramp/core/conv.h"
#include "ramp/core/memory.h"

namespace ramp {

/// As conv() and conv_vjp(), for results that are not empty.
template <typename T>
void conv_direct(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvDone<T> done);
template <typename T>
void conv_direct_vjp(const ConvSizes& s, const T* x, const T* w, ConvGradient<T> dy, T* dx, T* dw,
                     T* db);
template <typename T>
void conv_winograd(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvDone<T> done);
template <typename T>
void conv_winograd_vjp(const ConvSizes& s, const T* x, const T* w, ConvGradient<T> dy, T* dx, T* dw,
                       T* db);

/// What one thread works on at a time: about the size of its L2 cache.
constexpr int64_t kCacheBytes = 5 << 17;

/// The images are shared out in so many pieces at most, and in fewer where these sums get large.
constexpr int64_t kConvPieces = 8;
constexpr int64_t kConvPiecesBytes = 1 << 26;

/// The sums for dw and db (size 0: not wanted) over images: each piece of images has its own.
template <typename T>
struct ConvSums {
  int64_t dw_size, db_size, images, pieces;  // images: of a piece
  ScratchMemory<T> dws;
  ScratchMemory<double> dbs;

  ConvSums(int64_t n, int64_t dw_size, int64_t db_size, int64_t most)
      : dw_size(dw_size),
        db_size(db_size),
        images(
            ceil_div(n, std::clamp<int64_t>(kConvPiecesBytes / (dw_size * int64_t{sizeof(T)} + 1),
                                             1, std::min(most, n)))),
        pieces(ceil_div(n, images)),
        dws(pieces * dw_size),
        dbs(pieces * 2 * db_size) {
    std::fill_n(dbs.get(), pieces * 2 * db_size, 0.);
  }

  T* dw(int64_t piece) const { return dws.get() + piece * dw_size; }
  /// Adds the rows of dy [rows, db_size].
  void add_db(int64_t piece, int64_t rows, const T* dy) const;
  /// Over all pieces, in their order.
  const T* all_dw() const;
  void all_db(T* db) const;
};

}  // namespace ramp
