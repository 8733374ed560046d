// The microkernel: an MR x NV block of vectors of C stays in registers while k runs.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// c(i, j) (+)= sum_p a(i, p) b(p, j) for MR rows and NV vectors of columns; `first` of the last
// vector's lanes are stored (0: all).
template <typename T, int MR, int NV, bool kAccumulate>
[[gnu::noinline]] void block(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
                             int64_t ldb, T* c, int64_t ldc, int64_t first) {
  constexpr int W = kLanes<T>;
  Vec<T> sum[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sum[i][j] = Vec<T>{};
  for (int64_t p = 0; p < k; ++p) {
    Vec<T> row[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) row[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec<T> x = splat(a[i * a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] += x * row[j];
    }
    a += a_col;
    b += ldb;
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      T* y = c + i * ldc + j * W;
      if (first != 0 && j == NV - 1) {
        const Vec<T> v = kAccumulate ? load_first(y, first) + sum[i][j] : sum[i][j];
        store_first(y, v, first);
      } else {
        store(y, kAccumulate ? load(y) + sum[i][j] : sum[i][j]);
      }
    }
}

template <typename T, int MR, int NV, bool kAccumulate>
void rows_of_blocks(int64_t m, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
                    int64_t ldb, T* c, int64_t ldc, int64_t first) {
  int64_t i = 0;
  for (; i + MR <= m; i += MR) {
    block<T, MR, NV, kAccumulate>(k, a + i * a_row, a_row, a_col, b, ldb, c + i * ldc, ldc, first);
  }
  // The rows left over: the largest smaller blocks.
  if constexpr (MR > 1) {
    if (i < m) {
      rows_of_blocks<T,
                     (MR > 8   ? 6
                      : MR > 4 ? 4
                               : MR - 1),
                     NV, kAccumulate>(m - i, k, a + i * a_row, a_row, a_col, b, ldb, c + i * ldc,
                                      ldc, first);
    }
  }
}

// The rows a block holds for NV vectors: as many as the registers take (16 of them; AVX-512: 32).
constexpr int rows_for(int nv) {
  if (kVectorBytes == 64) return nv == 4 ? 6 : nv == 3 ? 8 : nv == 2 ? 12 : 14;
  return nv == 2 ? 6 : 12;
}

template <typename T, bool kAccumulate>
void panel(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
           int64_t ldb, T* c, int64_t ldc) {
  constexpr int W = kLanes<T>;
  const int64_t vectors = (n + W - 1) / W, first = n % W;
  if (vectors == 1) {
    rows_of_blocks<T, rows_for(1), 1, kAccumulate>(m, k, a, a_row, a_col, b, ldb, c, ldc, first);
  } else if (vectors == 2) {
    rows_of_blocks<T, rows_for(2), 2, kAccumulate>(m, k, a, a_row, a_col, b, ldb, c, ldc, first);
  }
  if constexpr (kVectorBytes == 64) {
    if (vectors == 3) {
      rows_of_blocks<T, rows_for(3), 3, kAccumulate>(m, k, a, a_row, a_col, b, ldb, c, ldc, first);
    } else if (vectors == 4) {
      rows_of_blocks<T, rows_for(4), 4, kAccumulate>(m, k, a, a_row, a_col, b, ldb, c, ldc, first);
    }
  }
}

template <typename T>
void gemm_panel(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col,
                const T* b, int64_t ldb, T* c, int64_t ldc, bool accumulate) {
  if (accumulate) {
    panel<T, true>(m, n, k, a, a_row, a_col, b, ldb, c, ldc);
  } else {
    panel<T, false>(m, n, k, a, a_row, a_col, b, ldb, c, ldc);
  }
}

// y[j..] = sum_p x[p] b(p, j..) for NV vectors of columns.
template <typename T, int NV>
void row_block(int64_t k, const T* x, const T* b, int64_t ldb, T* y) {
  constexpr int W = kLanes<T>;
  Vec<T> sum[NV] = {};
  for (int64_t p = 0; p < k; ++p, b += ldb) {
    const Vec<T> a = splat(x[p]);
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) sum[j] += a * load(b + j * W);
  }
#pragma GCC unroll 8
  for (int j = 0; j < NV; ++j) store(y + j * W, sum[j]);
}

// Eight vectors at a time keep both multiply-add units busy. A rest of columns is computed as the
// last full vector, which overlaps the one before.
template <typename T>
void gemm_row(int64_t n, int64_t k, const T* x, const T* b, int64_t ldb, T* y) {
  constexpr int W = kLanes<T>;
  int64_t j = 0;
  for (; j + 8 * W <= n; j += 8 * W) row_block<T, 8>(k, x, b + j, ldb, y + j);
  for (; j + 4 * W <= n; j += 4 * W) row_block<T, 4>(k, x, b + j, ldb, y + j);
  for (; j + W <= n; j += W) row_block<T, 1>(k, x, b + j, ldb, y + j);
  if (j == n) return;
  if (n >= W) {
    row_block<T, 1>(k, x, b + n - W, ldb, y + n - W);
    return;
  }
  for (; j < n; ++j) {
    T sum = 0;
    for (int64_t p = 0; p < k; ++p) sum += x[p] * b[p * ldb + j];
    y[j] = sum;
  }
}

// One 16-byte square: 4 x 4 floats or 2 x 2 doubles.
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
typedef double Two __attribute__((vector_size(16), aligned(8), may_alias));

inline void transpose_square(const float* x, int64_t ldx, float* y, int64_t ldy) {
  const auto row = [&](int i) { return *reinterpret_cast<const Four*>(x + i * ldx); };
  const auto put = [&](int i, Four v) { *reinterpret_cast<Four*>(y + i * ldy) = v; };
  const Four a = row(0), b = row(1), c = row(2), d = row(3);
  const Four ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5),
             cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7),
             cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  put(0, __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5));
  put(1, __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7));
  put(2, __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5));
  put(3, __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7));
}
inline void transpose_square(const double* x, int64_t ldx, double* y, int64_t ldy) {
  const Two a = *reinterpret_cast<const Two*>(x), b = *reinterpret_cast<const Two*>(x + ldx);
  *reinterpret_cast<Two*>(y) = __builtin_shufflevector(a, b, 0, 2);
  *reinterpret_cast<Two*>(y + ldy) = __builtin_shufflevector(a, b, 1, 3);
}

template <typename T>
void transpose(int64_t rows, int64_t cols, const T* from, int64_t ld_from, T* to, int64_t ld_to) {
  constexpr int64_t B = 16 / sizeof(T);
  const int64_t whole_rows = rows / B * B, whole_cols = cols / B * B;
  for (int64_t j = 0; j < whole_cols; j += B)
    for (int64_t i = 0; i < whole_rows; i += B)
      transpose_square(from + i * ld_from + j, ld_from, to + j * ld_to + i, ld_to);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < whole_rows ? whole_cols : 0; j < cols; ++j)
      to[j * ld_to + i] = from[i * ld_from + j];
}

template <typename T>
void fill(Kernels<T>& k) {
  k.gemm_panel = gemm_panel<T>;
  k.gemm_panel_width = (kVectorBytes == 64 ? 4 : 2) * kLanes<T>;
  k.gemm_row = gemm_row<T>;
  k.transpose = transpose<T>;
  k.lanes = kLanes<T>;
}

}  // namespace

namespace RAMP_ISA {
void fill_gemm(Kernels<float>& k) { fill(k); }
void fill_gemm(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
