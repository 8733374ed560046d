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
  int64_t strip;  // rows of tiles that are transformed at a time
  // The 36 matrices lie a little more than their size apart: a power of two would map all of them
  // onto the same sets of the cache.
  int64_t v_pitch, m_pitch;

  Winograd(const ConvSizes& sizes, bool vjp)
      : s(sizes), across(ceil_div(s.ow, 4)), down(ceil_div(s.oh, 4)) {
    // A strip should fit the cache, but not be smaller than the 36 sums for dw that each strip adds
    // to.
    const int64_t sums = vjp ? 72 * int64_t{sizeof(T)} * s.c / s.groups * s.k : 0;
    strip =
        std::clamp(std::max(kCacheBytes, sums) / (36 * int64_t{sizeof(T)} * (s.c + s.k) * across),
                   int64_t{1}, std::max(down, ceil_div(s.n * down, 8)));
    v_pitch = strip * across * s.c + 16;
    m_pitch = strip * across * s.k + 16;
  }

  int64_t row_of(int64_t tile_row) const { return tile_row % down * 4; }
  int64_t rows_of(int64_t tile_row) const { return std::min<int64_t>(4, s.oh - row_of(tile_row)); }

  // f(i) for the rows of tiles [begin, end), counted through all images, shared by the threads that
  // are free; those of one step do not overlap.
  void each_row(int64_t begin, int64_t end, int64_t step, auto f) const {
    share(ceil_div(end - begin, step), 500 * across * std::min(s.c, s.k),
          [&](int64_t i) { f(begin + i * step); });
  }

  // V of the rows of tiles [begin, end)
  void input(const T* x, int64_t begin, int64_t end, T* v) const {
    each_row(begin, end, 1, [&](int64_t i) {
      kernel.winograd_input(s.h, s.w, s.c, row_of(i) - s.pad_before[0], -s.pad_before[1], across,
                            x + i / down * s.h * s.w * s.c, v + (i - begin) * across * s.c,
                            v_pitch);
    });
  }

  // U = G w G' of w [3, 3, depth, cols]
  void weights(int64_t depth, int64_t cols, const T* w, T* u) const {
    parallel_for(depth, kStreamGrain / (36 * cols) + 1, [&](int64_t begin, int64_t end) {
      kernel.winograd_weights(depth, cols, begin, end, w, panel, u);
    });
  }
  // of each of the 36 matrices u
  int64_t u_size(int64_t depth, int64_t cols) const {
    return ceil_div(cols, panel) * panel * depth;
  }
  // to [tiles, cols] = from [tiles, depth of all groups] u, u in panels
  void product(int64_t tiles, int64_t depth, int64_t cols, const T* from, const T* u, T* to) const {
    const int64_t all = depth * s.groups, group = cols / s.groups;
    for (int64_t j = 0, n = 0; j < cols; j += n) {
      n = std::min(panel - j % panel, group - j % group);
      kernel.gemm_panel(tiles, n, {}, depth, from + j / group * depth, all, 1,
                        u + j / panel * depth * panel + j % panel, panel, nullptr, to + j, cols,
                        false);
    }
  }
};

}  // namespace

template <typename T>
void WinogradConv<T>::forward(const ConvSizes& s, const T* x, const T* w, const T* b, T* y,
                              ConvEpilogue<T> epilogue) {
  const Winograd<T> f(s, false);
  const int64_t depth = s.c / s.groups, u_size = f.u_size(depth, s.k), rows = s.n * f.down;
  const ScratchMemory<T> u(36 * u_size);
  f.weights(depth, s.k, w, u.get());
  // A few strips are shared by all threads, one after the other.
  parallel_for(rows, rows < 8 * f.strip ? rows : f.strip, [&](int64_t first, int64_t last) {
    const ScratchMemory<T> v(36 * f.v_pitch), m(36 * f.m_pitch);
    for (int64_t begin = first; begin < last; begin += f.strip) {
      const int64_t end = std::min(begin + f.strip, last), tiles = (end - begin) * f.across;
      f.input(x, begin, end, v.get());
      share(36, tiles * depth * s.k, [&](int64_t p) {
        f.product(tiles, depth, s.k, v.get() + p * f.v_pitch, u.get() + p * u_size,
                  m.get() + p * f.m_pitch);
      });
      f.each_row(begin, end, 1, [&](int64_t i) {
        const ConvRows at{i / f.down, f.row_of(i), f.rows_of(i)};
        const ScratchMemory<T> out(y ? 0 : 4 * s.ow * s.k);
        T* to = y ? y + (at.image * s.oh + at.row) * s.ow * s.k : out.get();
        f.kernel.winograd_output(at.rows, s.ow, s.k, 0, 0, f.across,
                                 m.get() + (i - begin) * f.across * s.k, f.m_pitch, b, to);
        epilogue(at, to);
      });
    }
  });
}

template <typename T>
void WinogradConv<T>::vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy_rows, T* dx,
                          T* dw, T* db) {
  const Winograd<T> f(s, true);
  const int64_t cg = s.c / s.groups, kg = s.k / s.groups, w_size = cg * s.k;
  const int64_t image = s.h * s.w * s.c;
  const int64_t u_size = f.u_size(kg, s.c);
  const ScratchMemory<T> u(dx ? 36 * u_size : 0);
  if (dx) {
    const ScratchMemory<T> transposed(9 * w_size);
    share(9 * s.groups, 16 * cg * kg, [&](int64_t i) {
      const int64_t p = i / s.groups * w_size, g = i % s.groups;
      f.kernel.transpose(cg, kg, w + p + g * kg, s.k, transposed.get() + p + g * cg, s.c);
    });
    f.weights(kg, s.c, transposed.get(), u.get());
  }
  // A chunk should have more tiles to add up than its sums have rows and columns.
  const int64_t enough = s.n * f.down * f.across * (cg + kg) / (2 * cg * kg);
  ConvSums<T> sums(s, dw ? 36 * w_size : 0, db ? s.k : 0,
                   std::clamp<int64_t>(enough, 4, kConvChunks));

  parallel_for(s.n, sums.images, [&](int64_t first, int64_t last) {
    const int64_t chunk = first / sums.images;
    const ScratchMemory<T> v(36 * f.v_pitch), m(36 * f.m_pitch);
    const ScratchMemory<double> dbs(db ? f.strip * s.k : 0);
    for (int64_t begin = first * f.down; begin < last * f.down; begin += f.strip) {
      const int64_t end = std::min(begin + f.strip, last * f.down);
      const int64_t tiles = (end - begin) * f.across;
      f.each_row(begin, end, 1, [&](int64_t i) {
        const ConvRows at{i / f.down, f.row_of(i), f.rows_of(i)};
        const ScratchMemory<T> out(4 * s.ow * s.k);
        const T* dy = dy_rows(at, out.get());
        if (db)
          f.kernel.sum_cols(at.rows * s.ow, s.k, dy, s.k, nullptr, dbs.get() + (i - begin) * s.k);
        if (dx && at.row == 0) std::fill_n(dx + at.image * image, image, T(0));
        f.kernel.winograd_output_vjp(at.rows, s.ow, s.k, 0, 0, f.across, dy,
                                     m.get() + (i - begin) * f.across * s.k, f.m_pitch);
      });
      if (db) sums.add_db(chunk, end - begin, dbs.get());
      if (dw) f.input(x, begin, end, v.get());
      share(36, tiles * cg * s.k, [&](int64_t p) {
        T *vp = v.get() + p * f.v_pitch, *mp = m.get() + p * f.m_pitch;
        for (int64_t j = 0, n = 0; dw && j < s.k; j += n) {
          n = std::min(f.panel, kg - j % kg);
          f.kernel.gemm_panel(cg, n, {}, tiles, vp + j / kg * cg, 1, s.c, mp + j, s.k, nullptr,
                              sums.dw(chunk) + p * w_size + j, s.k, begin > first * f.down);
        }
        if (dx) f.product(tiles, kg, s.c, mp, u.get() + p * u_size, vp);
      });
      // A row of tiles overlaps the next one.
      for (int64_t i = begin; dx && i < begin + 2; ++i) {
        f.each_row(i, end, 2, [&](int64_t row) {
          f.kernel.winograd_input_vjp(s.h, s.w, s.c, f.row_of(row) - s.pad_before[0],
                                      -s.pad_before[1], f.across,
                                      v.get() + (row - begin) * f.across * s.c, f.v_pitch, nullptr,
                                      dx + row / f.down * image);
        });
      }
    }
  });
  if (dw) {
    const T* du = sums.total_dw();
    parallel_for(cg, kStreamGrain / (36 * s.k) + 1, [&](int64_t begin, int64_t end) {
      f.kernel.winograd_weights_vjp(cg, s.k, begin, end, du, dw);
    });
  }
  if (db) sums.total_db(db);
}

template struct WinogradConv<float>;
template struct WinogradConv<double>;

}  // namespace ramp
