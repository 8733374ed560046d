// Winograd's method for 3x3 and stride 1: F(4x4, 3x3) of Lavin and Gray (2016), "Fast algorithms
// for convolutional neural networks", section 4; kernels/winograd.cc has its transforms, and
// docs/convolution.md what it gains and what it costs.
//
// Tiles of 6x6 pixels, 4 apart, give 4x4 results each: y = A' [(G w G') * (B' x B)] A. The product
// in the middle is by element, summed over the channels: for each of the 36 elements a matrix
// product [tiles, c] [c, k]. With 32x32 pixels and padding 1 an image has 8x8 tiles, and 36
// products [64, c] [c, k] do what 9 products [1024, c] [c, k] do: a quarter of the multiplications.
#include <algorithm>

#include "ramp/core/conv_methods.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

template <typename T>
struct Winograd {
  const Kernels<T>& kernel = kernels<T>();
  const ConvSizes& s;
  const int64_t across, down, panel = kernel.gemm_panel_width;
  int64_t strip = 1;  // rows of tiles that are transformed at a time
  // The 36 matrices lie a little more than their size apart: a power of two would map all of them
  // onto the same sets of the cache.
  int64_t v_pitch, m_pitch;

  Winograd(const ConvSizes& sizes, bool vjp)
      : s(sizes), across(ceil_div(s.ow, 4)), down(ceil_div(s.oh, 4)) {
    // A strip should fit the cache, but not be smaller than the 36 sums for dw that each strip adds
    // to. The microkernel takes 6 tiles at a time: strips leave few over.
    const int64_t sums = vjp ? 72 * int64_t{sizeof(T)} * s.c * s.k : 0;
    const int64_t most =
        std::clamp(std::max(kCacheBytes, sums) / (36 * int64_t{sizeof(T)} * (s.c + s.k) * across),
                   int64_t{1}, std::max(down, ceil_div(s.n * down, 8)));
    double best = 0;
    for (int64_t rows = 1; rows <= most; ++rows) {
      const int64_t tiles = rows * across;
      const double gain = static_cast<double>(tiles) / static_cast<double>(ceil_div(tiles, 6) + 1);
      if (gain > best) {
        best = gain;
        strip = rows;
      }
    }
    v_pitch = strip * across * s.c + 16;
    m_pitch = strip * across * s.k + 16;
  }

  int64_t row_of(int64_t tile_row) const { return tile_row % down * 4; }
  int64_t rows_of(int64_t tile_row) const { return std::min<int64_t>(4, s.oh - row_of(tile_row)); }

  // V of the rows of tiles [begin, end), counted through all images
  void input(const T* x, int64_t begin, int64_t end, T* v) const {
    for (int64_t i = begin; i < end; ++i, v += across * s.c) {
      kernel.winograd_input(s.h, s.w, s.c, row_of(i) - s.pad_before[0], -s.pad_before[1], across,
                            x + i / down * s.h * s.w * s.c, v, v_pitch);
    }
  }

  // to [tiles, cols] = from [tiles, depth] u, u in panels
  void product(int64_t tiles, int64_t depth, int64_t cols, const T* from, const T* u, T* to) const {
    for (int64_t j = 0; j < cols; j += panel, u += depth * panel) {
      kernel.gemm_panel(tiles, std::min(panel, cols - j), {}, depth, from, depth, 1, u, panel,
                        nullptr, to + j, cols, false);
    }
  }

  // of each of the 36 matrices u
  int64_t u_size(int64_t depth, int64_t cols) const {
    return ceil_div(cols, panel) * panel * depth;
  }
};

}  // namespace

template <typename T>
void WinogradConv<T>::forward(const ConvSizes& s, const T* x, const T* w, const T* b, T* y,
                              ConvEpilogue<T> epilogue) {
  const Winograd<T> f(s, false);
  const int64_t u_size = f.u_size(s.c, s.k);
  const ScratchMemory<T> u(36 * u_size);
  f.kernel.winograd_weights(s.c, s.k, w, f.panel, u.get());
  parallel_for(s.n * f.down, f.strip, [&](int64_t begin, int64_t end) {
    const ScratchMemory<T> v(36 * f.v_pitch), m(36 * f.m_pitch), out(y ? 0 : 4 * s.ow * s.k);
    f.input(x, begin, end, v.get());
    for (int64_t p = 0; p < 36; ++p) {
      f.product((end - begin) * f.across, s.c, s.k, v.get() + p * f.v_pitch, u.get() + p * u_size,
                m.get() + p * f.m_pitch);
    }
    for (int64_t i = begin; i < end; ++i) {
      const ConvRows at{i / f.down, f.row_of(i), f.rows_of(i)};
      T* to = y ? y + (at.image * s.oh + at.row) * s.ow * s.k : out.get();
      f.kernel.winograd_output(at.rows, s.ow, s.k, m.get() + (i - begin) * f.across * s.k,
                               f.m_pitch, b, to);
      epilogue(at, to);
    }
  });
}

template <typename T>
void WinogradConv<T>::vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy_rows, T* dx,
                          T* dw, T* db) {
  const Winograd<T> f(s, true);
  const int64_t du_size = 36 * s.c * s.k, image = s.h * s.w * s.c;
  const int64_t u_size = f.u_size(s.k, s.c);
  const ScratchMemory<T> u(dx ? 36 * u_size : 0);
  if (dx) {
    const ScratchMemory<T> transposed(9 * s.c * s.k);
    for (int64_t i = 0; i < 9 * s.c * s.k; i += s.c * s.k)
      f.kernel.transpose(s.c, s.k, w + i, s.k, transposed.get() + i, s.c);
    f.kernel.winograd_weights(s.k, s.c, transposed.get(), f.panel, u.get());
  }
  // A chunk should have more tiles to add up than its sums have rows and columns.
  const int64_t enough = s.n * f.down * f.across * (s.c + s.k) / (2 * s.c * s.k);
  ConvSums<T> sums(s.n, dw ? du_size : 0, db ? s.k : 0,
                   std::clamp<int64_t>(enough, 4, kConvChunks));

  parallel_for(s.n, sums.images, [&](int64_t first, int64_t last) {
    const int64_t chunk = first / sums.images;
    const ScratchMemory<T> v(36 * f.v_pitch), m(36 * f.m_pitch), out(4 * s.ow * s.k);
    for (int64_t begin = first * f.down; begin < last * f.down; begin += f.strip) {
      const int64_t end = std::min(begin + f.strip, last * f.down);
      const int64_t tiles = (end - begin) * f.across;
      for (int64_t i = begin; i < end; ++i) {
        const ConvRows at{i / f.down, f.row_of(i), f.rows_of(i)};
        const T* dy = dy_rows(at, out.get());
        if (db) sums.add_db(chunk, at.rows * s.ow, dy);
        f.kernel.winograd_output_vjp(at.rows, s.ow, s.k, dy, m.get() + (i - begin) * f.across * s.k,
                                     f.m_pitch);
      }
      if (dw) f.input(x, begin, end, v.get());
      for (int64_t p = 0; p < 36; ++p) {
        T *vp = v.get() + p * f.v_pitch, *mp = m.get() + p * f.m_pitch;
        for (int64_t j = 0; dw && j < s.k; j += f.panel) {
          f.kernel.gemm_panel(s.c, std::min(f.panel, s.k - j), {}, tiles, vp, 1, s.c, mp + j, s.k,
                              nullptr, sums.dw(chunk) + p * s.c * s.k + j, s.k,
                              begin > first * f.down);
        }
        if (dx) f.product(tiles, s.k, s.c, mp, u.get() + p * u_size, vp);
      }
      if (dx) {
        for (int64_t i = begin; i < end; ++i) {
          if (i % f.down == 0) std::fill_n(dx + i / f.down * image, image, T(0));
          f.kernel.winograd_input_vjp(
              s.h, s.w, s.c, f.row_of(i) - s.pad_before[0], -s.pad_before[1], f.across,
              v.get() + (i - begin) * f.across * s.c, f.v_pitch, dx + i / f.down * image);
        }
      }
    }
  });
  if (dw) f.kernel.winograd_weights_vjp(s.c, s.k, sums.total_dw(), dw);
  if (db) sums.total_db(db);
}

template struct WinogradConv<float>;
template struct WinogradConv<double>;

}  // namespace ramp
