// Softmax over rows, and what follows from it. Narrow rows (10 classes) are taken kLanes at a time,
// one in each lane, so that nothing is ever added across lanes; wide ones by themselves.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/math.h"

namespace ramp {
namespace {

constexpr int64_t kNarrow = 32;

// How a row of n values lies in vectors. kAcross: the row is contiguous, and its last vector may be
// cut. Otherwise each lane is a row, and vector j holds the values j of kLanes rows.
template <typename T, bool kAcross>
struct Row {
  static constexpr int W = kLanes<T>;
  int64_t n;

  int64_t vectors() const { return kAcross ? (n + W - 1) / W : n; }
  bool whole(int64_t j) const { return !kAcross || (j + 1) * W <= n; }
  Vec<T> get(const T* p, int64_t j, T fill = 0) const {
    if (whole(j)) return load(p + j * W);
    Vec<T> v = splat(fill);
    for (int64_t i = j * W; i < n; ++i) v[i - j * W] = p[i];
    return v;
  }
  void put(T* p, int64_t j, Vec<T> v) const {
    if (whole(j)) return store(p + j * W, v);
    store_first(p + j * W, v, n - j * W);
  }
  Vec<T> sum(Vec<T> v) const { return kAcross ? splat(sum_lanes<T>(v)) : v; }
  Vec<T> max(Vec<T> v) const {
    if (!kAcross) return v;
    T m = v[0];
    for (int i = 1; i < W; ++i) m = v[i] > m ? v[i] : m;
    return splat(m);
  }
};

// Calls f(row, first, count, a, b, y) for each group of rows [first, first + count) with pointers
// to their values, transposed where rows are narrow; y is then written back.
template <typename T, typename F>
inline void for_rows(int64_t rows, int64_t n, const T* a, const T* b, T* y, F f) {
  constexpr int64_t W = kLanes<T>;
  if (n > kNarrow) {
    const Row<T, true> row{n};
    for (int64_t i = 0; i < rows; ++i) {
      f(row, i, int64_t{1}, a + i * n, b ? b + i * n : nullptr, y + i * n);
    }
    return;
  }
  alignas(kVectorBytes) T at[kNarrow * W] = {}, bt[kNarrow * W] = {};
  const Row<T, false> row{n};
  for (int64_t i = 0; i < rows; i += W) {
    const int64_t count = rows - i < W ? rows - i : W;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < n; ++j) at[j * W + r] = a[(i + r) * n + j];
    if (b) {
      for (int64_t r = 0; r < count; ++r)
        for (int64_t j = 0; j < n; ++j) bt[j * W + r] = b[(i + r) * n + j];
    }
    f(row, i, count, at, bt, at);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < n; ++j) y[(i + r) * n + j] = at[j * W + r];
  }
}

template <typename T, typename R>
inline Vec<T> max_of(const R& row, const T* x) {
  constexpr T kLowest = static_cast<T>(-__builtin_inf());
  Vec<T> m = row.get(x, 0, kLowest);
  for (int64_t j = 1; j < row.vectors(); ++j) {
    const Vec<T> v = row.get(x, j, kLowest);
    m = v > m ? v : m;
  }
  return row.max(m);
}

template <typename T>
struct MaxAndSum {
  Vec<T> max, sum;
};
// y = softmax(x): exp(x - max) / sum. A row with NaN or +inf, or of -inf alone, becomes NaN.
template <typename T, typename R>
inline MaxAndSum<T> softmax_row(const R& row, const T* x, T* y) {
  const Vec<T> m = max_of(row, x);
  Vec<T> s{};
  for (int64_t j = 0; j < row.vectors(); ++j) {
    const Vec<T> e = vexp<T>(row.get(x, j, static_cast<T>(-__builtin_inf())) - m);
    row.put(y, j, e);
    s += e;
  }
  s = row.sum(s);
  const Vec<T> scale = T{1} / s;
  for (int64_t j = 0; j < row.vectors(); ++j) row.put(y, j, row.get(y, j) * scale);
  return {m, s};
}

template <typename T>
void softmax(int64_t rows, int64_t n, const T* x, T* y) {
  for_rows(rows, n, x, static_cast<const T*>(nullptr), y,
           [](const auto& row, int64_t, int64_t, const T* x, const T*, T* y) {
             softmax_row(row, x, y);
           });
}

// y = (x - max) - log(sum(exp(x - max)))
template <typename T>
void log_softmax(int64_t rows, int64_t n, const T* x, T* y) {
  for_rows(rows, n, x, static_cast<const T*>(nullptr), y,
           [](const auto& row, int64_t, int64_t, const T* x, const T*, T* y) {
             const Vec<T> m = max_of(row, x);
             Vec<T> s{};
             for (int64_t j = 0; j < row.vectors(); ++j) {
               s += vexp<T>(row.get(x, j, static_cast<T>(-__builtin_inf())) - m);
             }
             s = vlog<T>(row.sum(s));
             for (int64_t j = 0; j < row.vectors(); ++j) row.put(y, j, row.get(x, j) - m - s);
           });
}

// dx = y (dy - sum(dy y))
template <typename T>
void softmax_vjp(int64_t rows, int64_t n, const T* y, const T* dy, T* dx) {
  for_rows(rows, n, y, dy, dx,
           [](const auto& row, int64_t, int64_t, const T* y, const T* dy, T* dx) {
             Vec<T> s{};
             for (int64_t j = 0; j < row.vectors(); ++j) s += row.get(y, j) * row.get(dy, j);
             s = row.sum(s);
             for (int64_t j = 0; j < row.vectors(); ++j) {
               row.put(dx, j, row.get(y, j) * (row.get(dy, j) - s));
             }
           });
}

// dx = dy - exp(y) sum(dy)
template <typename T>
void log_softmax_vjp(int64_t rows, int64_t n, const T* y, const T* dy, T* dx) {
  for_rows(rows, n, y, dy, dx,
           [](const auto& row, int64_t, int64_t, const T* y, const T* dy, T* dx) {
             Vec<T> s{};
             for (int64_t j = 0; j < row.vectors(); ++j) s += row.get(dy, j);
             s = row.sum(s);
             for (int64_t j = 0; j < row.vectors(); ++j) {
               row.put(dx, j, row.get(dy, j) - vexp<T>(row.get(y, j)) * s);
             }
           });
}

// -log p[label] = log(sum) + (max - x[label]), which is exact where p underflows.
template <typename T>
double cross_entropy(int64_t rows, int64_t n, const T* x, const int64_t* label, T* p) {
  double loss = 0;
  for_rows(rows, n, x, static_cast<const T*>(nullptr), p,
           [&](const auto& row, int64_t first, int64_t count, const T* xs, const T*, T* y) {
             Vec<T> picked{};
             for (int64_t r = 0; r < count; ++r) {
               picked[r] = x[(first + r) * n + label[first + r]];
             }
             const MaxAndSum<T> of = softmax_row(row, xs, y);
             const Vec<T> l = vlog<T>(of.sum) + (of.max - picked);
             for (int64_t r = 0; r < count; ++r) loss += l[r];
           });
  return loss;
}

template <typename T>
void fill(Kernels<T>& k) {
  k.softmax = softmax<T>;
  k.log_softmax = log_softmax<T>;
  k.softmax_vjp = softmax_vjp<T>;
  k.log_softmax_vjp = log_softmax_vjp<T>;
  k.cross_entropy = cross_entropy<T>;
}

}  // namespace

namespace RAMP_ISA {
void fill_softmax(Kernels<float>& k) { fill(k); }
void fill_softmax(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
