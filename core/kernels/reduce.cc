// Sums, sums of squares and the places of extremes, of a row and of columns. An f32 sum runs in f32
// over short blocks and in f64 over the blocks, so its error does not grow with n.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// sum of f(x[i])
template <typename T, typename F>
inline double sum_of(int64_t n, const T* x, F f) {
  constexpr int W = kLanes<T>;
  double lanes[W] = {};
  while (n >= 4 * W) {
    const int64_t steps = n / (4 * W) < kBlock ? n / (4 * W) : kBlock;
    Vec<T> a{}, b{}, c{}, d{};
    for (int64_t i = 0; i < steps; ++i, x += 4 * W) {
      a += f(load(x));
      b += f(load(x + W));
      c += f(load(x + 2 * W));
      d += f(load(x + 3 * W));
    }
    add_in_double((a + b) + (c + d), lanes);
    n -= steps * 4 * W;
  }
  Vec<T> rest{};
  for (; n >= W; n -= W, x += W) rest += f(load(x));
  add_in_double(rest, lanes);
  double total = 0;
  for (int i = 0; i < W; ++i) total += lanes[i];
  for (int64_t i = 0; i < n; ++i) total += f(x[i]);
  return total;
}

// The `count` values at p as a vector. It is read whole where that stays inside x (before `end`):
// the lanes that belong to the next row are not used.
template <typename T>
inline Vec<T> get(const T* p, const T* end, int64_t count) {
  return count == kLanes<T> || p + kLanes<T> <= end ? load(p) : load_first(p, count);
}

// y[j] += sum over rows of x[i, j], or of (x[i, j] - about[j])^2, for NV vectors of columns, the
// last one of `count` values. 8 / NV rows are added at a time.
template <typename T, int NV, bool kSquares>
void sum_panel(int64_t rows, const T* x, int64_t ld, int64_t count, const T* about, double* y) {
  constexpr int W = kLanes<T>, U = 8 / NV;
  const T* end = x + (rows - 1) * ld + (NV - 1) * W + count;
  Vec<T> center[NV];
  for (int v = 0; kSquares && v < NV; ++v)
    center[v] = v == NV - 1 && count < W ? load_first(about + v * W, count) : load(about + v * W);
  for (int64_t i = 0; i < rows;) {
    const int64_t stop = rows - i < U * kBlock ? rows : i + U * kBlock;
    Vec<T> a[U][NV] = {};
    const auto add = [&](Vec<T>(&to)[NV], const T* row) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const Vec<T> d = v == NV - 1 ? get(row + v * W, end, count) : load(row + v * W);
        to[v] += kSquares ? (d - center[v]) * (d - center[v]) : d;
      }
    };
    for (; i + U <= stop; i += U) {
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) add(a[u], x + (i + u) * ld);
    }
    for (; i < stop; ++i) add(a[0], x + i * ld);
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
#pragma GCC unroll 8
      for (int u = 1; u < U; ++u) a[0][v] += a[u][v];
      if (v == NV - 1 && count < W) {
        for (int64_t l = 0; l < count; ++l) y[v * W + l] += a[0][v][l];
      } else {
        add_in_double(a[0][v], y + v * W);
      }
    }
  }
}

template <typename T, bool kSquares>
void sum_cols_of(int64_t rows, int64_t n, const T* x, int64_t ld, const T* about, double* y) {
  constexpr int W = kLanes<T>;
  for (int64_t j = 0; j < n; ++j) y[j] = 0;
  if (rows == 0) return;
  const auto at = [&](int64_t j) { return kSquares ? about + j : nullptr; };
  int64_t j = 0;
  for (; n - j >= 4 * W; j += 4 * W) sum_panel<T, 4, kSquares>(rows, x + j, ld, W, at(j), y + j);
  for (; n - j > W; j += 2 * W)
    sum_panel<T, 2, kSquares>(rows, x + j, ld, n - j < 2 * W ? n - j - W : W, at(j), y + j);
  if (n > j) sum_panel<T, 1, kSquares>(rows, x + j, ld, n - j, at(j), y + j);
}

// The first place of the extreme (or of NaN) among n >= 1 values: each lane keeps its best and the
// place of it, and the lanes' are compared at the end.
template <typename T, bool kMax>
int64_t arg_max_or_min(int64_t n, const T* x) {
  constexpr int W = kLanes<T>;
  Vec<T> m = splat(x[0]);
  Mask<T> lane, at{};
  for (int l = 0; l < W; ++l) lane[l] = l;
  const auto see = [&](Vec<T> v, int64_t i) {
    const Mask<T> better = beats<kMax>(v, m);
    m = better ? v : m;
    at = better ? lane + place<T>(i) : at;
  };
  int64_t i = 0;
  for (; i + W <= n; i += W) see(load(x + i), i);
  if (i < n && n >= W) {
    see(load(x + n - W), n - W);  // some values are seen twice, at the same places
  } else if (i < n) {
    T few[W];
    for (int l = 0; l < W; ++l) few[l] = l < n ? x[l] : x[0];
    see(load(few), 0);
  }
  int best = 0;
  for (int l = 1; l < W; ++l) {
    const T v = m[l], b = m[best];
    const bool equal = (v == b) | ((v != v) & (b != b));
    best = beats<kMax>(v, b) | (equal & (at[l] < at[best])) ? l : best;
  }
  return at[best];
}

// The first place of the extreme (or of NaN) in each column of NV vectors, the last one of `count`.
template <typename T, bool kMax, int NV>
void arg_panel(int64_t rows, const T* x, int64_t ld, int64_t count, int64_t* index) {
  constexpr int W = kLanes<T>;
  const T* end = x + (rows - 1) * ld + (NV - 1) * W + count;
  Vec<T> m[NV];
  Mask<T> at[NV] = {};
  for (int v = 0; v < NV; ++v) m[v] = get(x + v * W, end, count);
  for (int64_t i = 1; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const Vec<T> d = get(x + i * ld + v * W, end, count);
      const Mask<T> better = beats<kMax>(d, m[v]);
      m[v] = better ? d : m[v];
      at[v] = better ? Mask<T>{} + place<T>(i) : at[v];
    }
  }
  for (int v = 0; v < NV; ++v)
    for (int64_t l = 0; l < (v == NV - 1 ? count : W); ++l) index[v * W + l] = at[v][l];
}

template <typename T, bool kMax>
void arg_max_or_min_cols(int64_t rows, int64_t n, const T* x, int64_t ld, int64_t* index) {
  constexpr int W = kLanes<T>;
  int64_t j = 0;
  for (; j + 2 * W <= n; j += 2 * W) arg_panel<T, kMax, 2>(rows, x + j, ld, W, index + j);
  for (; j < n; j += W) arg_panel<T, kMax, 1>(rows, x + j, ld, n - j < W ? n - j : W, index + j);
}

}  // namespace

void RAMP_ISA::fill_reduce(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.sum = [](int64_t n, const T* x) { return sum_of(n, x, [](auto v) { return v; }); };
    k.sum_squares = [](int64_t n, const T* x, T about) {
      return sum_of(n, x, [about](auto v) { return (v - about) * (v - about); });
    };
    k.count_outside = [](int64_t n, const T* x, double low, double high) {
      return sum_of(n, x, [a = static_cast<T>(low), b = static_cast<T>(high)](auto v) {
        return ((v < a) | (v > b)) ? math::constant_like(v, 1) : 0;
      });
    };
    k.sum_cols = [](int64_t rows, int64_t n, const T* x, int64_t ld, double* y) {
      sum_cols_of<T, false>(rows, n, x, ld, nullptr, y);
    };
    k.sum_squares_cols = sum_cols_of<T, true>;
    k.arg_max_or_min[0] = arg_max_or_min<T, false>;
    k.arg_max_or_min[1] = arg_max_or_min<T, true>;
    k.arg_max_or_min_cols[0] = arg_max_or_min_cols<T, false>;
    k.arg_max_or_min_cols[1] = arg_max_or_min_cols<T, true>;
  });
}

}  // namespace ramp
