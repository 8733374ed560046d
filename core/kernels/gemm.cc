// The microkernel of products and convolutions: an MR x NV block of vectors of C stays in registers
// while k runs.
#include <utility>

#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// c(i, j) (+)= bias(j) + sum_p a(i, p) b(p, j) for MR rows and NV vectors of columns; `first` of
// the last vector's lanes are stored (0: all).
template <typename T, int MR, int NV, bool kAccumulate>
[[gnu::always_inline]] inline void block(Segments segments, int64_t k, const T* from, int64_t a_row,
                                         int64_t a_col, const T* b, int64_t ldb, const T* bias,
                                         T* c, int64_t ldc, int64_t first) {
  constexpr int W = kLanes<T>;
  Vec<T> sum[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) sum[i][j] = Vec<T>{};
  for (int64_t s = 0; s < segments.count; ++s) {
    const T* a = from + segments.offset[s];
#pragma GCC unroll 2
    for (int64_t p = 0; p < k; ++p) {
      Vec<T> row[NV];
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) row[j] = load(b + j * W);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const Vec<T> x = splat(a[i * a_row]);
#pragma GCC unroll 8
        for (int j = 0; j < NV; ++j) sum[i][j] += x * row[j];
      }
      a += a_col;
      b += ldb;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) {
      T* y = c + i * ldc + j * W;
      Vec<T> v = sum[i][j];
      if (bias) v += load(bias + j * W);
      if (first != 0 && j == NV - 1) {
        store_first(y, kAccumulate ? load_first(y, first) + v : v, first);
      } else {
        store(y, kAccumulate ? load(y) + v : v);
      }
    }
}

// The rows a block holds for NV vectors: as many as the registers take (16 of them; AVX-512: 32).
constexpr int rows_for(int nv) {
  if (kVectorBytes == 64) return nv == 4 ? 6 : nv == 3 ? 8 : nv == 2 ? 12 : 14;
  return nv == 2 ? 6 : 12;
}

// `count` blocks, one below the other.
template <typename T, int MR, int NV, bool kAccumulate>
[[gnu::noinline]] void blocks(int64_t count, Segments segments, int64_t k, const T* a,
                              int64_t a_row, int64_t a_col, const T* b, int64_t ldb, const T* bias,
                              T* c, int64_t ldc, int64_t first) {
  for (; count > 0; --count, a += MR * a_row, c += MR * ldc)
    block<T, MR, NV, kAccumulate>(segments, k, a, a_row, a_col, b, ldb, bias, c, ldc, first);
}

// m rows in blocks of nearly equal size: a last block of a row or two would wait for its own sums.
template <typename T, int NV, bool kAccumulate, int... kRows>
void rows_of_blocks(std::integer_sequence<int, kRows...>, int64_t m, Segments segments, int64_t k,
                    const T* a, int64_t a_row, int64_t a_col, const T* b, int64_t ldb,
                    const T* bias, T* c, int64_t ldc, int64_t first) {
  static constexpr decltype(&blocks<T, 1, NV, kAccumulate>) of_rows[] = {
      blocks<T, kRows + 1, NV, kAccumulate>...};
  constexpr int64_t kMost = sizeof...(kRows);
  const int64_t count = (m + kMost - 1) / kMost;
  if (count == 0) return;
  const int64_t rows = m / count, larger = m % count;  // so many have a row more
  if (larger > 0) {
    of_rows[rows](larger, segments, k, a, a_row, a_col, b, ldb, bias, c, ldc, first);
    a += larger * (rows + 1) * a_row;
    c += larger * (rows + 1) * ldc;
  }
  of_rows[rows - 1](count - larger, segments, k, a, a_row, a_col, b, ldb, bias, c, ldc, first);
}

template <typename T, bool kAccumulate>
void panel(int64_t m, int64_t n, Segments segments, int64_t k, const T* a, int64_t a_row,
           int64_t a_col, const T* b, int64_t ldb, const T* bias, T* c, int64_t ldc) {
  constexpr int W = kLanes<T>;
  const auto run = [&]<int NV>(std::integer_sequence<int, NV>) {
    rows_of_blocks<T, NV, kAccumulate>(std::make_integer_sequence<int, rows_for(NV)>(), m, segments,
                                       k, a, a_row, a_col, b, ldb, bias, c, ldc, n % W);
  };
  const int64_t vectors = (n + W - 1) / W;
  if (vectors == 1) return run(std::integer_sequence<int, 1>());
  if (vectors == 2) return run(std::integer_sequence<int, 2>());
  if constexpr (kVectorBytes == 64) {
    if (vectors == 3) return run(std::integer_sequence<int, 3>());
    if (vectors == 4) return run(std::integer_sequence<int, 4>());
  }
}

template <typename T>
void gemm_panel(int64_t m, int64_t n, Segments segments, int64_t k, const T* a, int64_t a_row,
                int64_t a_col, const T* b, int64_t ldb, const T* bias, T* c, int64_t ldc,
                bool accumulate) {
  (accumulate ? panel<T, true> : panel<T, false>)(m, n, segments, k, a, a_row, a_col, b, ldb, bias,
                                                  c, ldc);
}

// Eight vectors at a time keep both multiply-add units busy. A rest of columns is computed as the
// last full vector, which overlaps the one before.
template <typename T>
void gemm_row(int64_t n, int64_t k, const T* x, const T* b, int64_t ldb, T* y) {
  constexpr int W = kLanes<T>;
  const auto run = [&]<int NV>(std::integer_sequence<int, NV>, int64_t j) {
    block<T, 1, NV, false>({}, k, x, 0, 1, b + j, ldb, nullptr, y + j, 0, 0);
  };
  int64_t j = 0;
  for (; j + 8 * W <= n; j += 8 * W) run(std::integer_sequence<int, 8>(), j);
  for (; j + W <= n; j += W) run(std::integer_sequence<int, 1>(), j);
  if (j == n) return;
  if (n >= W) return run(std::integer_sequence<int, 1>(), n - W);
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

}  // namespace

void RAMP_ISA::fill_gemm(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.gemm_panel = gemm_panel<T>;
    k.gemm_panel_width = (kVectorBytes == 64 ? 4 : 2) * kLanes<T>;
    k.gemm_row = gemm_row<T>;
    k.transpose = transpose<T>;
    k.lanes = kLanes<T>;
  });
}

}  // namespace ramp
