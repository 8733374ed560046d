#include "ramp/core/gemm.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "ramp/core/blas.h"
#include "ramp/core/error.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/memory.h"

extern "C" {
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                 const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
void cblas_dgemm(int order, int trans_a, int trans_b, int m, int n, int k, double alpha,
                 const double* a, int lda, const double* b, int ldb, double beta, double* c,
                 int ldc);
}

namespace ramp {
namespace {

// Tiles of c are what threads share. They depend on the shape alone.
constexpr int64_t kTileRows = 96;  // a multiple of the microkernel's 6, 8 and 12 rows
constexpr int64_t kTilePanels = 8;
constexpr int64_t kDepth = 256;  // k is cut so that a panel of b stays in the L1 cache

enum class Path { automatic, own, blas };
Path path_at_start() {
  const char* text = std::getenv("RAMP_GEMM");
  if (text == nullptr || *text == 0 || std::string_view(text) == "auto") return Path::automatic;
  if (std::string_view(text) == "own") return Path::own;
  if (std::string_view(text) == "blas") return Path::blas;
  fail("RAMP_GEMM: expected own, blas or auto; got \"{}\".", text);
}

void blas(int trans_a, int trans_b, int m, int n, int k, const float* a, int lda, const float* b,
          int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(101, trans_a, trans_b, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}
void blas(int trans_a, int trans_b, int m, int n, int k, const double* a, int lda, const double* b,
          int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(101, trans_a, trans_b, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

// OpenBLAS on tiles of c; it never threads itself.
template <typename T>
void gemm_blas(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
               bool accumulate, const Epilogue* epilogue) {
  prepare_blas();
  const bool ta = transposes_a(trans), tb = transposes_b(trans);
  // Long slices: OpenBLAS packs b again for each.
  const bool by_rows = m >= n;
  const int64_t whole = by_rows ? m : n;
  const int64_t slice = std::max<int64_t>(divide_up(divide_up(whole, 4), 16) * 16, 64);
  parallel_for(whole, slice, [&](int64_t begin, int64_t end) {
    const int64_t i = by_rows ? begin : 0, rows = by_rows ? end - begin : m;
    const int64_t j = by_rows ? 0 : begin, cols = by_rows ? n : end - begin;
    const T* x = a + (ta ? i : i * k);
    const T* w = b + (tb ? j * k : j);
    blas(ta ? 112 : 111, tb ? 112 : 111, static_cast<int>(rows), static_cast<int>(cols),
         static_cast<int>(k), x, static_cast<int>(ta ? m : k), w, static_cast<int>(tb ? k : n),
         accumulate ? T(1) : T(0), c + i * n + j, static_cast<int>(n));
    if (epilogue) (*epilogue)(i, rows, j, cols);
  });
}

// A power-of-two stride maps a column's elements onto a few sets of the cache.
bool bad_stride(int64_t bytes) { return bytes >= 2048 && bytes % 1024 == 0; }

template <typename T>
void gemm_own(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
              bool accumulate, const Epilogue* epilogue) {
  const Kernels<T>& kernel = kernels<T>();
  const int64_t width = kernel.gemm_panel_width, lanes = kernel.lanes;
  const bool ta = transposes_a(trans), tb = transposes_b(trans);
  const int64_t a_row = ta ? 1 : k, a_col = ta ? m : 1;
  const int64_t panels = divide_up(n, width);

  int64_t tile_rows = std::min(kTileRows, m), tile_panels = std::min(kTilePanels, panels);
  const auto tiles = [&] { return divide_up(m, tile_rows) * divide_up(panels, tile_panels); };
  const auto work = [&] { return tile_rows * tile_panels * width * k; };
  while (tiles() < 8 && tile_panels > 1 && work() >= 2 * kGemmGrain) {
    tile_panels = divide_up(tile_panels, 2);
  }
  while (tiles() < 8 && tile_rows > 24 && work() >= 2 * kGemmGrain) tile_rows /= 2;

  // b is copied into panels [k][width] where it is transposed, where its stride is bad for the
  // cache, and (the last panel only) where n is no multiple of the vector.
  const bool pack_all = tb || m >= 256 || (m > 16 && bad_stride(n * int64_t{sizeof(T)}));
  const int64_t first_packed = pack_all ? 0 : n % lanes == 0 ? panels : panels - 1;
  // A transposed panel that one tile alone needs is made there, in the cache.
  const bool late = tb && m <= tile_rows;
  const ScratchMemory<T> packed(late ? 0 : (panels - first_packed) * width * k);
  const auto panel_memory = [&](int64_t p) {
    return packed.get() + (p - first_packed) * width * k;
  };
  const auto turn = [&](int64_t begin, int64_t end, T* to) {
    for (int64_t p = begin; p < end; ++p, to += width * k) {
      const int64_t j = p * width, cols = std::min(width, n - j);
      kernel.transpose(cols, k, b + j * k, k, to, width);
      for (int64_t i = 0; cols % lanes != 0 && i < k; ++i)
        std::fill_n(to + i * width + cols, lanes - cols % lanes, T(0));
    }
  };
  if (tb && !late) {
    parallel_for(panels, std::max<int64_t>(1, (1 << 15) / (k * width + 1)),
                 [&](int64_t begin, int64_t end) { turn(begin, end, panel_memory(begin)); });
  } else if (!tb && first_packed < panels) {
    // Row by row: b is read in one stream.
    parallel_for(k, std::max<int64_t>(1, (1 << 15) / n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t p = first_packed; p < panels; ++p) {
          const int64_t j = p * width, cols = std::min(width, n - j);
          T* to = panel_memory(p) + i * width;
          std::copy_n(b + i * n + j, cols, to);
          if (cols % lanes != 0) std::fill_n(to + cols, lanes - cols % lanes, T(0));
        }
      }
    });
  }

  const int64_t tiles_across = divide_up(panels, tile_panels);
  const bool pack_a = ta && k > 32 && bad_stride(m * int64_t{sizeof(T)});

  const int64_t slice = divide_up(k, divide_up(k, kDepth));

  parallel_for(tiles(), std::max<int64_t>(1, kGemmGrain / work()), [&](int64_t begin, int64_t end) {
    const ScratchMemory<T> a_tile(pack_a ? slice * tile_rows : 0);
    const ScratchMemory<T> turned(late ? tile_panels * width * k : 0);
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t i = tile / tiles_across * tile_rows, rows = std::min(tile_rows, m - i);
      const int64_t p0 = tile % tiles_across * tile_panels;
      const int64_t p1 = std::min(p0 + tile_panels, panels);
      if (late) turn(p0, p1, turned.get());
      for (int64_t d = 0; d < k; d += slice) {
        const int64_t depth = std::min(slice, k - d);
        const T* x = a + i * a_row + d * a_col;
        int64_t x_row = a_row, x_col = a_col;
        if (pack_a) {
          for (int64_t p = 0; p < depth; ++p) {
            std::memcpy(a_tile.get() + p * rows, x + p * a_col,
                        static_cast<size_t>(rows) * sizeof(T));
          }
          x = a_tile.get();
          x_col = rows;
        }
        for (int64_t p = p0; p < p1; ++p) {
          const int64_t j = p * width;
          const bool is_packed = p >= first_packed;
          const T* w = !is_packed ? b + d * n + j
                                  : (late ? turned.get() + (p - p0) * width * k : panel_memory(p)) +
                                        d * width;
          kernel.gemm_panel(rows, std::min(width, n - j), depth, x, x_row, x_col, w,
                            is_packed ? width : n, c + i * n + j, n, accumulate || d > 0);
        }
      }
      const int64_t col = p0 * width;
      if (epilogue) (*epilogue)(i, rows, col, std::min(p1 * width, n) - col);
    }
  });
}

// One row: bound by reading b once, so nothing is packed.
template <typename T>
void gemm_one_row(int64_t n, int64_t k, const T* a, const T* b, T* c, const Epilogue* epilogue) {
  const int64_t lanes = kernels<T>().lanes;
  const int64_t columns = std::max<int64_t>(8 * lanes, divide_up(kGemmGrain, k * lanes) * lanes);
  parallel_for(n, columns, [&](int64_t begin, int64_t end) {
    kernels<T>().gemm_row(end - begin, k, a, b + begin, n, c + begin);
    if (epilogue) (*epilogue)(0, 1, begin, end - begin);
  });
}

}  // namespace

template <typename T>
void gemm(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
          bool accumulate, const Epilogue* epilogue) {
  static const Path path = path_at_start();
  if (m == 0 || n == 0) return;
  if (k == 0) {  // an empty sum
    if (!accumulate) std::fill_n(c, m * n, T(0));
    if (epilogue) (*epilogue)(0, m, 0, n);
  } else if (path == Path::blas) {
    gemm_blas(trans, m, n, k, a, b, c, accumulate, epilogue);
  } else if (m == 1 && trans == Trans::none && !accumulate) {
    gemm_one_row(n, k, a, b, c, epilogue);
  } else {
    gemm_own(trans, m, n, k, a, b, c, accumulate, epilogue);
  }
}

template void gemm(Trans, int64_t, int64_t, int64_t, const float*, const float*, float*, bool,
                   const Epilogue*);
template void gemm(Trans, int64_t, int64_t, int64_t, const double*, const double*, double*, bool,
                   const Epilogue*);

}  // namespace ramp
