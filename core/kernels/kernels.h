// The table of raw-pointer loops. Each kernel file is compiled once for each ISA level; the CPU
// picks the table at start (RAMP_ISA=base|v3|v4 forces one).
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "ramp/core/rules_binary.h"
#include "ramp/core/rules_loss.h"
#include "ramp/core/rules_unary.h"
#include "ramp/core/rules_update.h"
#include "ramp/core/taps.h"

namespace ramp {

// Where a row of a gemm_panel's a lies: `count` stretches of k values, each from its own offset. A
// matrix has one, a convolution one for each row of its kernel.
constexpr int64_t kNoOffset = 0;
struct Segments {
  int64_t count = 1;
  const int64_t* offset = &kNoOffset;
};

/// The number at row i, column j is p[i * row + j * step]; the step is 0 or 1.
template <typename T>
struct Operand {
  const T* p;
  int64_t step = 1, row = 0;
};

/// Which pixel of its window is the largest: an integer as wide as T.
template <typename T>
using Place = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// y = x; x = y, and 0 elsewhere in the windows; x += y.
enum Way { kPick, kSet, kAdd };

template <typename T>
struct Kernels {
  // ---- rules.cc: the rules of core/rules_unary.h, _binary.h and _loss.h, by their place ----
  // y[i] = f(x[i]); y may be x
  void (*unary[UnaryRules::size])(const void* rule, int64_t n, const T* x, T* y);
  // dx[i] = dy[i] f'(at[i]), 0 where f' is 0; `at` is x or y, as needs_x(rule) says; dx may be dy
  void (*unary_vjp[UnaryRules::size])(const void* rule, int64_t n, const T* at, const T* dy, T* dx);
  // y[i * n + j] = f(a, b) of the numbers at i, j
  void (*binary[BinaryRules::size])(int64_t rows, int64_t n, Operand<T> a, Operand<T> b, T* y);
  // u[i] = g[i * sg] times l [0], dl/dy [1] or dl/dt [2] of y[i] and t[i]; sg is 0 or 1
  using Loss = void(const void*, int64_t n, const T* y, const T* t, const T* g, int64_t sg, T* u);
  std::array<Loss*, 3> loss[LossRules::size];
  // y[i] = c[i * sc] != 0 ? a[i * sa] : b[i * sb]
  void (*where)(int64_t n, const T* c, int64_t sc, const T* a, int64_t sa, const T* b, int64_t sb,
                T* y);
  // y[i] = at[i] <= 0 ? s[i * ss] v[i] : v[i], 0 where at = 0 and s < 0; ss is 0 or 1
  void (*leak)(int64_t n, const T* at, const T* s, int64_t ss, const T* v, T* y);
  // y[i] += f * x[i]
  void (*axpy)(int64_t n, T f, const T* x, T* y);
  // y[i * y_row + j * y_step] = x[i * x_row + j * x_step], or +=, for n values j of each row i
  void (*copy_rows)(int64_t rows, int64_t n, const T* x, int64_t x_row, int64_t x_step, T* y,
                    int64_t y_row, int64_t y_step, bool adds);

  // ---- gemm.cc ----
  // c (+)= a b + bias for n <= gemm_panel_width columns: for p = s * k + q
  // a(i, p) = a[i * a_row + offset[s] + q * a_col], b(p, j) = b[p * ldb + j]; b and bias (null: 0)
  // are readable up to a multiple of `lanes` columns.
  void (*gemm_panel)(int64_t m, int64_t n, Segments segments, int64_t k, const T* a, int64_t a_row,
                     int64_t a_col, const T* b, int64_t ldb, const T* bias, T* c, int64_t ldc,
                     bool accumulate);
  int gemm_panel_width;
  int lanes;  // of a vector
  // y[j] = sum over p < k of x[p] b[p * ldb + j], for n columns
  void (*gemm_row)(int64_t n, int64_t k, const T* x, const T* b, int64_t ldb, T* y);
  // to[j, i] = from[i, j] for rows x cols
  void (*transpose)(int64_t rows, int64_t cols, const T* from, int64_t ld_from, T* to,
                    int64_t ld_to);

  // ---- depthwise.cc: each channel by itself; tap t reads x[i * step + offset[t] + channel] ----
  // y[i * y_step + c] = bias[c] + sum_t x(i, t, c) w[t, c]
  void (*depthwise)(int64_t n, int64_t channels, int64_t taps, const int64_t* offset, const T* x,
                    int64_t step, const T* w, const T* bias, T* y, int64_t y_step);
  // dw[t, c] += sum_i x(i, t, c) dy[i, c]
  void (*depthwise_dw)(int64_t n, int64_t channels, int64_t taps, const int64_t* offset, const T* x,
                       int64_t step, const T* dy, T* dw);

  // ---- winograd.cc: F(4x4, 3x3), channels a multiple of 16. A tile is 6x6 pixels of the input and
  // 4x4 of the output; its 36 transformed values lie `pitch` apart: v[p * pitch + tile * c + ..].
  // U = G w G' of w [3, 3, c, k], in panels [36][ceil(k / width)][c][width]: the rows [begin, end)
  // of c
  void (*winograd_weights)(int64_t c, int64_t k, int64_t begin, int64_t end, const T* w,
                           int64_t width, T* u);
  // dw = G' dU G of dU [36, c, k], for the rows [begin, end) of c
  void (*winograd_weights_vjp)(int64_t c, int64_t k, int64_t begin, int64_t end, const T* du,
                               T* dw);
  // v = B' x B for a row of tiles, the first one at (row, col) of the image x [h, w, c]; pixels
  // outside are 0. output_vjp: dm = A dy A', tiles of 4x4
  using FromImage = void(int64_t h, int64_t w, int64_t c, int64_t row, int64_t col, int64_t tiles,
                         const T* x, T* v, int64_t pitch);
  FromImage *winograd_input, *winograd_output_vjp;
  // y = A' m A + bias (null: 0); input_vjp: dx += B dv B'
  using ToImage = void(int64_t h, int64_t w, int64_t c, int64_t row, int64_t col, int64_t tiles,
                       const T* v, int64_t pitch, const T* bias, T* x);
  ToImage *winograd_output, *winograd_input_vjp;

  // ---- reduce.cc ----
  // sum of x[i]; sum of (x[i] - about)^2
  double (*sum)(int64_t n, const T* x);
  double (*sum_squares)(int64_t n, const T* x, T about);
  // y[i] = scale * the sum of row i of x [rows, n], for n from 16 to a few hundred
  void (*sum_rows)(int64_t rows, int64_t n, double scale, const T* x, T* y);
  // how many x[i] are below low or above high; NaN is neither
  double (*count_outside)(int64_t n, const T* x, double low, double high);
  // y[j] = the sum of column j of x [rows, n], whose rows lie ld apart, or of (x - about[j])^2
  void (*sum_cols)(int64_t rows, int64_t n, const T* x, int64_t ld, const T* about, double* y);
  // the first place of the minimum [0] or maximum [1], of NaN where there is one; n, rows >= 1
  int64_t (*arg_max_or_min[2])(int64_t n, const T* x);
  void (*arg_max_or_min_cols[2])(int64_t rows, int64_t n, const T* x, int64_t ld, int64_t* index);

  // ---- softmax.cc ----
  // y = softmax or log_softmax of each row of x [rows, n]; results do not overlap inputs
  void (*softmax)(int64_t rows, int64_t n, const T* x, T* y);
  void (*log_softmax)(int64_t rows, int64_t n, const T* x, T* y);
  // dx = y * (dy - sum(dy * y)), dx = dy - exp(y) * sum(dy)
  void (*softmax_vjp)(int64_t rows, int64_t n, const T* y, const T* dy, T* dx);
  void (*log_softmax_vjp)(int64_t rows, int64_t n, const T* y, const T* dy, T* dx);
  // p = softmax(x); returns the sum of -log p[i, label[i]]
  double (*cross_entropy)(int64_t rows, int64_t n, const T* x, const int64_t* label, T* p);

  // ---- pool.cc: a row of n pixels of c values, made of those of x by taps ----
  // y[i] = sum of weight x[from]
  void (*blend)(int64_t n, int64_t c, Taps<T> taps, const T* x, T* y);
  // Windows: the rows of x (ld apart) that are the taps of pixel 0 of `rows`, in each the pixels
  // `cols`; the place of a pixel in its window is the sum of both weights. y[i] = the largest
  // value, the first one or the first NaN, at[i] = its place
  using P = Place<T>;
  void (*max_pool)(int64_t n, int64_t c, Taps<P> rows, Taps<P> cols, const T* x, int64_t ld, T* y,
                   P* at);
  // Between y and the values of x at those places, a Way each
  void (*at_place[3])(int64_t n, int64_t c, Taps<P> rows, Taps<P> cols, T* x, int64_t ld,
                      const P* at, T* y);

  // ---- norm.cc: of the columns j of x [rows, n]; constants k [list, n] ----
  // [0]: y = (x - k0) k1 + k2; [1]: y = (x - k0) k1 k2 + k3 + g k4, and y may be g
  void (*affine_cols[2])(int64_t rows, int64_t n, const T* k, const T* x, const T* g, T* y);
  // y[j] = sum of u, y[n + j] = sum of u d; [0]: u = d = x - k0; [1]: u = g, d = (x - k0) k1
  void (*moments_cols[2])(int64_t rows, int64_t n, const T* k, const T* x, const T* g, double* y);
  // Each row by itself: y = xhat scale[j] + shift[j], xhat = (x - k0) k1 + k2; it makes k [rows, 3]
  void (*norm_rows)(int64_t rows, int64_t n, double eps, const T* x, const T* scale, const T* shift,
                    T* k, T* y);
  // its dx, where k holds the row's mean and 1 / std; sums [2, n] of dy xhat and of dy over the
  // rows
  void (*norm_rows_vjp)(int64_t rows, int64_t n, const T* k, const T* scale, const T* x,
                        const T* dy, T* dx, T* sums);

  // ---- optimizer.cc: the rules of core/rules_update.h, by their place in UpdateRules ----
  // w and the rule's states s after a step with gradients g
  void (*update[UpdateRules::size])(const void* rule, int64_t n, const T* g, T* w, T* const* s);
};

/// The kernels for both types.
struct KernelTable : Kernels<float>, Kernels<double> {
  void fill(auto f) {
    f.template operator()<float>(*this);
    f.template operator()<double>(*this);
  }
};

// At each ISA level, each kernel file fills in its part.
#define RAMP_DECLARE_LEVEL(level)                                                                  \
  namespace level {                                                                                \
  using Fill = void(KernelTable & table);                                                          \
  Fill fill_rules, fill_gemm, fill_depthwise, fill_winograd, fill_reduce, fill_softmax, fill_pool, \
      fill_norm, fill_optimizer;                                                                   \
  constexpr Fill* kParts[] = {fill_rules,   fill_gemm, fill_depthwise, fill_winograd, fill_reduce, \
                              fill_softmax, fill_pool, fill_norm,      fill_optimizer};            \
  }
RAMP_DECLARE_LEVEL(base)
RAMP_DECLARE_LEVEL(v3)
RAMP_DECLARE_LEVEL(v4)
#undef RAMP_DECLARE_LEVEL

/// Those of the level in use.
const KernelTable& kernel_table();
template <typename T>
const Kernels<T>& kernels() {
  return kernel_table();
}

/// "base", "v3" (AVX2, FMA) or "v4" (AVX-512): the highest level this CPU runs.
const char* cpu_isa_level();
/// The level in use: the CPU's, or what RAMP_ISA asks for.
const char* isa_level();

}  // namespace ramp
