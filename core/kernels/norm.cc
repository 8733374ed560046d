// The passes of normalization: over the columns of x [rows, n], whose constants stay in registers,
// and over rows that are normalized by themselves.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// V is a vector, or T for the columns that fill none.
template <typename V, typename T>
inline V at(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <typename V, typename T>
constexpr int kWidth = sizeof(V) / sizeof(T);
inline void add_in_double(float v, double* y) { *y += static_cast<double>(v); }
inline void add_in_double(double v, double* y) { *y += v; }

// f.operator()<V, NV>(j) for NV times V columns at j
template <typename T, typename F>
inline void for_panels(int64_t n, F f) {
  constexpr int W = kLanes<T>;
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W) f.template operator()<Vec<T>, 4>(j);
  for (; j + W <= n; j += W) f.template operator()<Vec<T>, 1>(j);
  for (; j < n; ++j) f.template operator()<T, 1>(j);
}

template <typename T, bool kGiven>
void affine_of(int64_t rows, int64_t n, const T* k, const T* x, const T* g, T* y) {
  for_panels<T>(n, [=]<typename V, int NV>(int64_t j) {
    constexpr int W = sizeof(V) / sizeof(T), K = kGiven ? 5 : 3;
    V c[K][NV];
    for (int q = 0; q < K; ++q)
      for (int v = 0; v < NV; ++v) c[q][v] = at<V>(k + q * n + j + v * W);
    for (int64_t i = j; i < rows * n; i += n) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        V z = (at<V>(x + i + v * W) - c[0][v]) * c[1][v];
        if constexpr (kGiven) {
          z = z * c[2][v] + c[3][v] + at<V>(g + i + v * W) * c[4][v];
        } else {
          z += c[2][v];
        }
        __builtin_memcpy(y + i + v * W, &z, sizeof z);
      }
    }
  });
}

template <typename T, bool kGiven>
void moments_of(int64_t rows, int64_t n, const T* k, const T* x, const T* g, double* y) {
  for (int64_t j = 0; j < 2 * n; ++j) y[j] = 0;
  for_panels<T>(n, [=]<typename V, int NV>(int64_t j) {
    constexpr int W = sizeof(V) / sizeof(T);
    for (int64_t i = 0; i < rows;) {
      const int64_t stop = rows - i < kBlock ? rows : i + kBlock;
      V mean[NV], scale[NV], sum[NV], product[NV];
      for (int v = 0; v < NV; ++v) {
        mean[v] = at<V>(k + j + v * W);
        if constexpr (kGiven) scale[v] = at<V>(k + n + j + v * W);
        sum[v] = product[v] = V{};
      }
      for (; i < stop; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          V d = at<V>(x + i * n + j + v * W) - mean[v];
          if constexpr (kGiven) d *= scale[v];
          const V u = kGiven ? at<V>(g + i * n + j + v * W) : d;
          sum[v] += u;
          product[v] += u * d;
        }
      }
      for (int v = 0; v < NV; ++v) {
        add_in_double(sum[v], y + j + v * W);
        add_in_double(product[v], y + n + j + v * W);
      }
    }
  });
}

// ---- rows, each by itself ----

template <typename V>
struct Pair {
  V a, b;
};
// The sums of both values of f(j), for the columns j of a row.
template <typename T, typename F>
inline Pair<double> sum_row(int64_t n, F f) {
  constexpr int W = kLanes<T>;
  double a[W] = {}, b[W] = {};
  int64_t j = 0;
  while (j + W <= n) {
    const int64_t stop = n - j < kBlock * W ? n : j + kBlock * W;
    Pair<Vec<T>> s{};
    for (; j + W <= stop; j += W) {
      const Pair<Vec<T>> v = f.template operator()<Vec<T>>(j);
      s.a += v.a;
      s.b += v.b;
    }
    add_in_double(s.a, a);
    add_in_double(s.b, b);
  }
  for (int lane = 0; j < n; ++j, ++lane) {
    const Pair<T> v = f.template operator()<T>(j);
    a[lane] += v.a;
    b[lane] += v.b;
  }
  Pair<double> s{};
  for (int lane = 0; lane < W; ++lane) {
    s.a += a[lane];
    s.b += b[lane];
  }
  return s;
}

// xhat at column j of a row with constants k
template <typename V, typename T>
inline V xhat(const T* x, const T* k) {
  return (at<V>(x) - k[0]) * k[1] + k[2];
}

template <typename T>
void norm_rows(int64_t rows, int64_t n, double eps, const T* x, const T* scale, const T* shift,
               T* k, T* y) {
  const double count = static_cast<double>(n);
  for (int64_t i = 0; i < rows; ++i, k += 3, x += n, y += n) {
    const auto values = [=]<typename V>(int64_t j) { return Pair<V>{at<V>(x + j), V{}}; };
    const T about = static_cast<T>(sum_row<T>(n, values).a / count);
    const Pair<double> s = sum_row<T>(n, [=]<typename V>(int64_t j) {
      const V d = at<V>(x + j) - about;
      return Pair<V>{d, d * d};
    });
    double off = s.a / count, mean = static_cast<double>(about) + off;
    double var = s.b / count - off * off;
    if (!(var + eps >= 1e-30 && var <= 1e30)) {  // squares overflow in f32, or vanish beside eps
      mean = var = 0;
      for (int64_t j = 0; j < n; ++j) mean += static_cast<double>(x[j]) / count;
      for (int64_t j = 0; j < n; ++j) var += (x[j] - mean) * (x[j] - mean) / count;
    }
    const double invstd = 1 / __builtin_sqrt((var < 0 ? 0 : var) + eps);
    k[0] = static_cast<T>(mean);
    k[1] = static_cast<T>(invstd);
    k[2] = static_cast<T>((k[0] - mean) * invstd);
    for_panels<T>(n, [=]<typename V, int NV>(int64_t j) {
      for (int64_t stop = j + NV * kWidth<V, T>; j < stop; j += kWidth<V, T>) {
        const V z = xhat<V>(x + j, k) * at<V>(scale + j) + at<V>(shift + j);
        __builtin_memcpy(y + j, &z, sizeof z);
      }
    });
  }
}

// dx = (g - mean(g) - xhat mean(g xhat)) k[1], g = scale dy; the columns' sums of dy xhat and dy
template <typename T>
void norm_rows_vjp(int64_t rows, int64_t n, const T* k, const T* scale, const T* x, const T* dy,
                   T* dx, T* sums) {
  for (int64_t j = 0; j < 2 * n; ++j) sums[j] = 0;
  for (int64_t i = 0; i < rows; ++i, k += 3, x += n, dy += n, dx += n) {
    const Pair<double> s = sum_row<T>(n, [=]<typename V>(int64_t j) {
      const V g = at<V>(scale + j) * at<V>(dy + j);
      return Pair<V>{g, g * xhat<V>(x + j, k)};
    });
    const T a = static_cast<T>(s.a / static_cast<double>(n));
    const T b = static_cast<T>(s.b / static_cast<double>(n));
    for_panels<T>(n, [=]<typename V, int NV>(int64_t j) {
      for (int64_t stop = j + NV * kWidth<V, T>; j < stop; j += kWidth<V, T>) {
        const V h = xhat<V>(x + j, k), g = at<V>(dy + j);
        const V d = (at<V>(scale + j) * g - a - h * b) * k[1];
        const V p = at<V>(sums + j) + g * h, q = at<V>(sums + n + j) + g;
        __builtin_memcpy(dx + j, &d, sizeof d);
        __builtin_memcpy(sums + j, &p, sizeof p);
        __builtin_memcpy(sums + n + j, &q, sizeof q);
      }
    });
  }
}

}  // namespace

void RAMP_ISA::fill_norm(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.norm_rows = norm_rows<T>;
    k.norm_rows_vjp = norm_rows_vjp<T>;
    k.affine_cols[0] = affine_of<T, false>;
    k.affine_cols[1] = affine_of<T, true>;
    k.moments_cols[0] = moments_of<T, false>;
    k.moments_cols[1] = moments_of<T, true>;
  });
}

}  // namespace ramp
