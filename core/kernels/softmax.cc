// Softmax over rows, and what follows from it. A row is read and written in whole vectors: beyond
// its end lie the rows that come after it, which are written later. So the result must not overlap
// x.
#include <utility>

#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/math.h"

namespace ramp {
namespace {

// Row i of [rows, n], as vectors 0..count.
template <typename T>
struct Row {
  static constexpr int W = kLanes<T>;
  int64_t n, count, readable;

  Row(int64_t i, int64_t rows, int64_t n)
      : n(n), count((n + W - 1) / W), readable((rows - i) * n) {}

  // Vector j; lanes beyond the row are `fill`.
  Vec<T> get(const T* p, int64_t j, Vec<T> fill = Vec<T>{}) const {
    const int64_t rest = n - j * W;
    if (rest >= W) return load(p + j * W);
    return keep(j, readable - j * W >= W ? load(p + j * W) : load_first(p + j * W, rest), fill);
  }
  // The lanes of v in the row, and `fill` beyond.
  Vec<T> keep(int64_t j, Vec<T> v, Vec<T> fill = Vec<T>{}) const {
    return lane_numbers<T>() < place<T>(n - j * W) ? v : fill;
  }
  void put(T* p, int64_t j, Vec<T> v) const {
    if (readable - j * W >= W) {
      store(p + j * W, v);
    } else {
      store_first(p + j * W, v, n - j * W);
    }
  }
  // The sum of f(0), f(1), ..., in each lane.
  template <typename F>
  Vec<T> sum(F f) const {
    Vec<T> s{};
    for (int64_t j = 0; j < count; ++j) s += f(j);
    return across(s, [](Vec<T> a, Vec<T> b) { return a + b; });
  }
  Vec<T> max(const T* x) const {
    const auto larger = [](Vec<T> a, Vec<T> b) { return a > b ? a : b; };
    const Vec<T> lowest = splat(static_cast<T>(-__builtin_inf()));
    Vec<T> m = lowest;
    for (int64_t j = 0; j < count; ++j) m = larger(get(x, j, lowest), m);
    return across(m, larger);
  }
  // exp(x - m). Beyond the row it is not exp(-inf), as numbers that underflow are slow.
  Vec<T> exp(const T* x, int64_t j, Vec<T> m) const {
    const Vec<T> e = math::exp(get(x, j, m) - m);
    return (j + 1) * W <= n ? e : keep(j, e);
  }
};

template <typename T>
struct MaxAndSum {
  Vec<T> max, sum;
};
// y = softmax(x): exp(x - max) / sum. A row with NaN or +inf, or of -inf alone, becomes NaN.
template <typename T>
inline MaxAndSum<T> softmax_row(const Row<T>& row, const T* x, T* y) {
  const Vec<T> m = row.max(x);
  const Vec<T> s = row.sum([&](int64_t j) {
    const Vec<T> e = row.exp(x, j, m);
    row.put(y, j, e);
    return e;
  });
  const Vec<T> scale = T{1} / s;
  for (int64_t j = 0; j < row.count; ++j) row.put(y, j, row.get(y, j) * scale);
  return {m, s};
}

template <typename T>
void softmax(int64_t rows, int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < rows; ++i) softmax_row(Row<T>(i, rows, n), x + i * n, y + i * n);
}

// y = (x - max) - log(sum(exp(x - max))), one logarithm for as many rows as a vector has lanes
template <typename T>
void log_softmax(int64_t rows, int64_t n, const T* x, T* y) {
  constexpr int64_t W = kLanes<T>;
  for (int64_t i = 0; i < rows; i += W) {
    const int64_t end = rows - i < W ? rows : i + W;
    T sum[W] = {}, shift[W] = {};
    for (int64_t r = i; r < end; ++r) {
      const Row<T> row(r, rows, n);
      const Vec<T> m = row.max(x + r * n);
      sum[r - i] = row.sum([&](int64_t j) { return row.exp(x + r * n, j, m); })[0];
      shift[r - i] = m[0];
    }
    const Vec<T> l = math::log(load(sum));
    for (int64_t r = i; r < end; ++r) {
      const Row<T> row(r, rows, n);
      for (int64_t j = 0; j < row.count; ++j)
        row.put(y + r * n, j, row.get(x + r * n, j) - shift[r - i] - l[r - i]);
    }
  }
}

// dx = y (dy - sum(dy y)), of log_softmax dx = dy - exp(y) sum(dy). Where no dy counts dx is 0,
// even of a row that is NaN.
template <typename T, bool kLog>
void softmax_vjp(int64_t rows, int64_t n, const T* y, const T* dy, T* dx) {
  for (int64_t i = 0; i < rows; ++i, y += n, dy += n, dx += n) {
    const Row<T> row(i, rows, n);
    const auto times_y = [&](Vec<T> g, int64_t j) { return g == 0 ? g : row.get(y, j) * g; };
    const Vec<T> s =
        row.sum([&](int64_t j) { return kLog ? row.get(dy, j) : times_y(row.get(dy, j), j); });
    for (int64_t j = 0; j < row.count; ++j) {
      const Vec<T> g = row.get(dy, j);
      if constexpr (kLog) {
        row.put(dx, j, ((g == 0) & (s == 0)) ? g : g - math::exp(row.get(y, j)) * s);
      } else {
        row.put(dx, j, times_y(g - s, j));
      }
    }
  }
}

// -log p[label] = log(sum) + (max - x[label]), which is exact where p underflows.
template <typename T>
double cross_entropy(int64_t rows, int64_t n, const T* x, const int64_t* label, T* p) {
  constexpr int64_t W = kLanes<T>;
  double loss = 0;
  for (int64_t i = 0; i < rows; i += W) {
    const int64_t lanes = rows - i < W ? rows - i : W;
    T sum[W] = {}, shift[W] = {};
    for (int64_t r = 0; r < lanes; ++r) {
      const T* row = x + (i + r) * n;
      const MaxAndSum<T> of = softmax_row(Row<T>(i + r, rows, n), row, p + (i + r) * n);
      sum[r] = of.sum[0];
      shift[r] = of.max[0] - row[label[i + r]];
    }
    const Vec<T> l = math::log(load(sum)) + load(shift);
    for (int64_t r = 0; r < lanes; ++r) loss += l[r];
  }
  return loss;
}

}  // namespace

void RAMP_ISA::fill_softmax(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.softmax = softmax<T>;
    k.log_softmax = log_softmax<T>;
    k.softmax_vjp = softmax_vjp<T, false>;
    k.log_softmax_vjp = softmax_vjp<T, true>;
    k.cross_entropy = cross_entropy<T>;
  });
}

}  // namespace ramp
