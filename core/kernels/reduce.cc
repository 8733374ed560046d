// Sums, sums of squares and the places of extremes, of a row and of columns. An f32 sum runs in f32
// over short blocks and in f64 over the blocks, so its error does not grow with n.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// sum of f(x[i])
template <typename T, typename F>
inline double sum_of(int64_t n, const T* x, F f) {
  double sum[1];
  sum_row<T>(
      n,
      [=]<int N>(int64_t j, Vec<T, N> * v)
          __attribute__((always_inline)) { *v = f(load<N>(x + j)); },
      sum);
  return sum[0];
}

// A row is a few vectors: in T down the lanes, in double across them.
template <typename T>
void sum_rows(int64_t rows, int64_t n, double scale, const T* x, T* y) {
  constexpr int W = kLanes<T>;
  for (int64_t i = 0; i < rows; ++i, x += n) {
    Vec<T> s{};
    int64_t j = 0;
    for (; j + W <= n; j += W) s += load(x + j);
    if (j < n) s += last_lanes<T>(load(x + n - W), n - j);
    Vec<double> all{};
    T lane[W];
    store(lane, s);
    for (int l = 0; l < W; l += kLanes<double>)
      all += __builtin_convertvector(load<kLanes<double>>(lane + l), Vec<double>);
    all = across(all, [](Vec<double> a, Vec<double> b) { return a + b; });
    y[i] = static_cast<T>(all[0] * scale);
  }
}

// y[j] = sum over rows of x[i, j], or of (x[i, j] - about[j])^2
template <typename T, bool kSquares>
void sum_cols_of(int64_t rows, int64_t n, const T* x, int64_t ld, const T* about, double* y) {
  // Narrow rows that lie side by side: `fold` of them are one that fills the vectors.
  constexpr int64_t kWide = 8 * kLanes<T>;
  const int64_t fold = !kSquares && n > 0 && ld == n ? kWide / n : 0;
  if (fold < 2 || rows < 2 * fold) {
    for_panels<T>(n, [=]<int N, int NV>(Panel<N, NV> p) {
      const auto value = [=](int64_t i, int v, Vec<T, N>* value) {
        *value = load<N>(x + i * ld + p[v]);
        if constexpr (kSquares) *value -= load<N>(about + p[v]);
        if constexpr (kSquares) *value *= *value;
      };
      sum_columns<T, 1>(p, rows, value, {y});
    });
    return;
  }
  double wide[kWide];
  sum_cols_of<T, false>(rows / fold, fold * n, x, fold * n, nullptr, wide);
  for (int64_t j = 0; j < n; ++j) y[j] = 0;
  for (int64_t k = 0; k < fold; ++k)
    for (int64_t j = 0; j < n; ++j) y[j] += wide[k * n + j];
  for (int64_t k = rows / fold * fold * n; k < rows * n; ++k) y[k % n] += x[k];
}

template <bool kMax>
constexpr auto extreme = [](auto v, auto m) { return beats<kMax>(v, m) ? v : m; };

// The first place of the extreme (or of NaN) among n >= 1 values: the extreme, then where it is.
template <typename T, bool kMax>
int64_t arg_max_or_min(int64_t n, const T* x) {
  constexpr int W = kLanes<T>;
  if (n < W) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; ++i) best = beats<kMax>(x[i], x[best]) ? i : best;
    return best;
  }
  Vec<T> m[4];
  for (auto& v : m) v = load(x);
  int64_t i = W;
  for (; i + 4 * W <= n; i += 4 * W) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) m[u] = extreme<kMax>(load(x + i + u * W), m[u]);
  }
  for (; i < n; i += W) m[0] = extreme<kMax>(load(x + (n - i < W ? n - W : i)), m[0]);
  for (int u = 1; u < 4; ++u) m[0] = extreme<kMax>(m[u], m[0]);
  const Vec<T> most = across(m[0], extreme<kMax>);
  // From the end on, so that the first one stays.
  Mask<T> at = (Mask<T>)(~Bits<T>{} >> 1);
  for (i = n - W;; i = i < W ? 0 : i - W) {
    const Vec<T> v = load(x + i);
    at = ((v == most) | (v != v)) ? lane_numbers<T>() + place<T>(i) : at;
    if (i == 0) break;
  }
  return across(at, [](Mask<T> a, Mask<T> b) { return a < b ? a : b; })[0];
}

// The first place of the extreme (or of NaN) in each column.
template <typename T, bool kMax>
void arg_max_or_min_cols(int64_t rows, int64_t n, const T* x, int64_t ld, int64_t* index) {
  for_panels<T>(n, [=]<int N, int NV>(Panel<N, NV> p) {
    Vec<T, N> m[NV];
    Mask<T, N> at[NV] = {};
    for (int v = 0; v < NV; ++v) m[v] = load<N>(x + p[v]);
    for (int64_t i = 1; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const Vec<T, N> d = load<N>(x + i * ld + p[v]);
        const auto better = beats<kMax>(d, m[v]);
        m[v] = better ? d : m[v];
        at[v] = better ? Mask<T, N>{} + place<T>(i) : at[v];
      }
    }
    for (int v = 0; v < NV; ++v) {
      decltype(place<T>(0)) lanes[N];
      store<N>(lanes, at[v]);
      for (int l = 0; l < N; ++l) index[p[v] + l] = lanes[l];
    }
  });
}

}  // namespace

void RAMP_ISA::fill_reduce(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.sum = [](int64_t n, const T* x) { return sum_of(n, x, [](auto v) { return v; }); };
    k.sum_squares = [](int64_t n, const T* x, T about) {
      return sum_of(n, x, [about](auto v) { return (v - about) * (v - about); });
    };
    k.sum_rows = sum_rows<T>;
    k.count_outside = [](int64_t n, const T* x, double low, double high) {
      return sum_of(n, x, [a = static_cast<T>(low), b = static_cast<T>(high)](auto v) {
        return ((v < a) | (v > b)) ? math::constant_like(v, 1) : 0;
      });
    };
    k.sum_cols = [](int64_t rows, int64_t n, const T* x, int64_t ld, const T* about, double* y) {
      (about ? sum_cols_of<T, true> : sum_cols_of<T, false>)(rows, n, x, ld, about, y);
    };
    k.arg_max_or_min[0] = arg_max_or_min<T, false>;
    k.arg_max_or_min[1] = arg_max_or_min<T, true>;
    k.arg_max_or_min_cols[0] = arg_max_or_min_cols<T, false>;
    k.arg_max_or_min_cols[1] = arg_max_or_min_cols<T, true>;
  });
}

}  // namespace ramp
