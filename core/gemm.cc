#include "ramp/core/gemm.h"

#include <algorithm>
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
void cblas_sgemv(int order, int trans, int m, int n, float alpha, const float* a, int lda,
                 const float* x, int incx, float beta, float* y, int incy);
void cblas_dgemv(int order, int trans, int m, int n, double alpha, const double* a, int lda,
                 const double* x, int incx, double beta, double* y, int incy);
}

namespace ramp {
namespace {

constexpr auto blas_of(float) { return cblas_sgemm; }
constexpr auto blas_of(double) { return cblas_dgemm; }
constexpr auto gemv_of(float) { return cblas_sgemv; }
constexpr auto gemv_of(double) { return cblas_dgemv; }

// OpenBLAS on tiles of c; it never threads itself.
template <typename T>
void gemm_blas(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
               bool accumulate, const Epilogue* epilogue) {
  prepare_blas();
  const bool ta = transposes_a(trans), tb = transposes_b(trans);
  // Long slices: OpenBLAS packs b again for each.
  const bool by_rows = m >= n;
  const int64_t whole = by_rows ? m : n;
  const int64_t slice = std::max<int64_t>(ceil_div(ceil_div(whole, 4), 16) * 16, 64);
  parallel_for(whole, slice, [&](int64_t begin, int64_t end) {
    const int64_t i = by_rows ? begin : 0, rows = by_rows ? end - begin : m;
    const int64_t j = by_rows ? 0 : begin, cols = by_rows ? n : end - begin;
    const T* x = a + (ta ? i : i * k);
    const T* w = b + (tb ? j * k : j);
    blas_of(T{})(101, ta ? 112 : 111, tb ? 112 : 111, static_cast<int>(rows),
                 static_cast<int>(cols), static_cast<int>(k), T(1), x, static_cast<int>(ta ? m : k),
                 w, static_cast<int>(tb ? k : n), accumulate ? T(1) : T(0), c + i * n + j,
                 static_cast<int>(n));
    if (epilogue) (*epilogue)(i, rows, j, cols);
  });
}

// OpenBLAS on stretches of c, a row or a column: c = op(x) v for the matrix x and the vector v.
template <typename T>
void gemv_blas(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
               bool accumulate, const Epilogue* epilogue) {
  prepare_blas();
  const bool row = m == 1, transposes = row ? !transposes_b(trans) : transposes_a(trans);
  const T *x = row ? b : a, *v = row ? a : b;
  const int64_t length = row ? n : m, ld = transposes ? length : k;
  parallel_for(length, std::max<int64_t>(64, kGemmGrain / k), [&](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    const T* from = x + (transposes ? begin : begin * k);
    gemv_of(T{})(101, transposes ? 112 : 111, static_cast<int>(transposes ? k : count),
                 static_cast<int>(transposes ? count : k), T(1), from, static_cast<int>(ld), v, 1,
                 accumulate ? T(1) : T(0), c + begin, 1);
    if (epilogue) row ? (*epilogue)(0, 1, begin, count) : (*epilogue)(begin, count, 0, 1);
  });
}

// How c is cut into the tiles that threads share: by the shape alone.
struct Tiling {
  int64_t rows, panels;  // of a tile
  int64_t down, across;  // how many tiles
  int64_t work;          // multiply-adds of a tile

  Tiling(int64_t m, int64_t all_panels, int64_t width, int64_t k)
      : rows(std::min<int64_t>(96, m)),  // a multiple of the microkernel's 6, 8 and 12 rows
        panels(std::min<int64_t>(8, all_panels)) {
    const auto count = [&] {
      down = ceil_div(m, rows);
      across = ceil_div(all_panels, panels);
      work = rows * panels * width * k;
    };
    // Smaller tiles where there are too few for the threads, as long as they are worth a task.
    const auto too_few = [&] { return down * across < 8 && work >= 2 * kGemmGrain; };
    for (count(); too_few() && panels > 1; count()) panels = ceil_div(panels, 2);
    for (; too_few() && rows > 24; count()) rows /= 2;
  }
};

// A power-of-two stride maps a column's elements onto a few sets of the cache.
bool bad_stride(int64_t bytes) { return bytes >= 2048 && bytes % 1024 == 0; }

// op(b) in panels of `width` columns for the microkernel. A panel is read where it lies, or copied
// to [k, width]: all of them where b is transposed, has a bad stride or is read often enough; else
// only the last one, where n is no multiple of the vector.
template <typename T>
class PackedB {
 public:
  /// Transposed panels that one tile alone needs are made by it, in the cache, with pack().
  const bool packs_in_tile;

  PackedB(bool transposed, int64_t m, int64_t n, int64_t k, const T* b, const Tiling& tiling)
      : packs_in_tile(transposed && tiling.down == 1),
        n_(n),
        k_(k),
        b_(b),
        panels_(ceil_div(n, width_)),
        first_packed_(transposed || m >= 256 || (m > 16 && bad_stride(n * int64_t{sizeof(T)})) ? 0
                      : n % kernel_.lanes == 0 ? panels_
                                               : panels_ - 1),
        memory_(packs_in_tile ? 0 : (panels_ - first_packed_) * width_ * k) {
    if (packs_in_tile) return;
    if (transposed) {
      parallel_for(panels_, grain(k * width_),
                   [&](int64_t begin, int64_t end) { pack(begin, end, packed(begin)); });
    } else if (first_packed_ < panels_) {
      // Row by row: b is read in one stream.
      parallel_for(k, grain(n), [&](int64_t begin, int64_t end) {
        for (int64_t d = begin; d < end; ++d) {
          for (int64_t p = first_packed_; p < panels_; ++p) {
            T* row = packed(p) + d * width_;
            std::copy_n(b + d * n + p * width_, cols(p), row);
            std::fill_n(row + cols(p), rest(p), T(0));
          }
        }
      });
    }
  }

  int64_t cols(int64_t p) const { return std::min(width_, n_ - p * width_); }
  /// Row d of panel p, unless it was packed in a tile; its rows lie stride(p) apart.
  const T* panel(int64_t p, int64_t d) const {
    return p < first_packed_ ? b_ + d * n_ + p * width_ : packed(p) + d * width_;
  }
  int64_t stride(int64_t p) const { return p < first_packed_ ? n_ : width_; }

  /// to [end - begin, k, width] = the panels [begin, end) of a transposed b.
  void pack(int64_t begin, int64_t end, T* to) const {
    for (int64_t p = begin; p < end; ++p, to += width_ * k_) {
      const int64_t used = cols(p), unused = rest(p);
      kernel_.transpose(used, k_, b_ + p * width_ * k_, k_, to, width_);
      for (int64_t d = 0; unused > 0 && d < k_; ++d)
        std::fill_n(to + d * width_ + used, unused, T(0));
    }
  }

 private:
  static int64_t grain(int64_t values) { return std::max<int64_t>(1, (1 << 15) / (values + 1)); }
  T* packed(int64_t p) const { return memory_.get() + (p - first_packed_) * width_ * k_; }
  // What a row's last vector reads beyond its columns.
  int64_t rest(int64_t p) const {
    return ceil_div(cols(p), kernel_.lanes) * kernel_.lanes - cols(p);
  }

  const Kernels<T>& kernel_ = kernels<T>();
  const int64_t width_ = kernel_.gemm_panel_width;
  int64_t n_, k_;
  const T* b_;
  int64_t panels_, first_packed_;
  ScratchMemory<T> memory_;
};

template <typename T>
void gemm_own(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
              bool accumulate, const Epilogue* epilogue) {
  const int64_t width = kernels<T>().gemm_panel_width, panels = ceil_div(n, width);
  const bool ta = transposes_a(trans);
  const Tiling tiling(m, panels, width, k);
  const PackedB<T> packed(transposes_b(trans), m, n, k, b, tiling);
  // k is cut so that a panel of b stays in the L1 cache.
  const int64_t slice = ceil_div(k, ceil_div(k, 256));
  const bool packs_a = ta && k > 32 && bad_stride(m * int64_t{sizeof(T)});

  const int64_t grain = std::max<int64_t>(1, kGemmGrain / tiling.work);
  parallel_for(tiling.down * tiling.across, grain, [&](int64_t begin, int64_t end) {
    const ScratchMemory<T> a_tile(packs_a ? slice * tiling.rows : 0);
    const ScratchMemory<T> b_tile(packed.packs_in_tile ? tiling.panels * width * k : 0);
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t i = tile / tiling.across * tiling.rows, rows = std::min(tiling.rows, m - i);
      const int64_t p0 = tile % tiling.across * tiling.panels;
      const int64_t p1 = std::min(p0 + tiling.panels, panels);
      if (packed.packs_in_tile) packed.pack(p0, p1, b_tile.get());
      for (int64_t d = 0; d < k; d += slice) {
        const int64_t depth = std::min(slice, k - d);
        const T* x = a + (ta ? d * m + i : i * k + d);
        int64_t x_row = ta ? 1 : k, x_col = ta ? m : 1;
        if (packs_a) {
          for (int64_t q = 0; q < depth; ++q) std::copy_n(x + q * m, rows, a_tile.get() + q * rows);
          x = a_tile.get();
          x_col = rows;
        }
        for (int64_t p = p0; p < p1; ++p) {
          const T* w =
              packed.packs_in_tile ? b_tile.get() + ((p - p0) * k + d) * width : packed.panel(p, d);
          kernels<T>().gemm_panel(rows, packed.cols(p), {}, depth, x, x_row, x_col, w,
                                  packed.stride(p), nullptr, c + i * n + p * width, n,
                                  accumulate || d > 0);
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
  const int64_t columns = std::max<int64_t>(8 * lanes, ceil_div(kGemmGrain, k * lanes) * lanes);
  parallel_for(n, columns, [&](int64_t begin, int64_t end) {
    kernels<T>().gemm_row(end - begin, k, a, b + begin, n, c + begin);
    if (epilogue) (*epilogue)(0, 1, begin, end - begin);
  });
}

// k = 1: the product of a column and a row, a row of c at a time.
template <typename T>
void outer_product(int64_t m, int64_t n, const T* a, const T* b, T* c, const Epilogue* epilogue) {
  const auto mul = kernels<T>().binary[BinaryRules::index<Mul>()];
  parallel_for(m, ceil_div(kStreamGrain, n), [&](int64_t begin, int64_t end) {
    mul(end - begin, n, {a + begin, 0, 1}, {b}, c + begin * n);
    if (epilogue) (*epilogue)(begin, end - begin, 0, n);
  });
}

}  // namespace

bool gemm_uses_blas(GemmFor use) {
  static const size_t choice = environment_choice("RAMP_GEMM", {"auto", "own", "blas"});
  static const bool no_kernels = std::string_view(isa_level()) == "base";
  return choice == 0 ? use == GemmFor::matmul || no_kernels : choice == 2;
}

template <typename T>
void gemm(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
          bool accumulate, const Epilogue* epilogue, GemmFor use) {
  if (m == 0 || n == 0) return;
  const bool blas = gemm_uses_blas(use), vector = m == 1 || n == 1;
  if (k == 0) {  // an empty sum
    if (!accumulate) std::fill_n(c, m * n, T(0));
    if (epilogue) (*epilogue)(0, m, 0, n);
  } else if (k == 1 && n >= 256 && !accumulate) {
    outer_product(m, n, a, b, c, epilogue);
  } else if (!blas && m == 1 && trans == Trans::none && !accumulate) {
    gemm_one_row(n, k, a, b, c, epilogue);
  } else if (blas || vector) {
    (vector ? gemv_blas<T> : gemm_blas<T>)(trans, m, n, k, a, b, c, accumulate, epilogue);
  } else {
    gemm_own(trans, m, n, k, a, b, c, accumulate, epilogue);
  }
}

template decltype(gemm<float>) gemm<float>;
template decltype(gemm<double>) gemm<double>;

}  // namespace ramp
