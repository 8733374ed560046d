// The passes of normalization: over the columns of x [rows, n], whose constants stay in registers,
// and over rows that are normalized by themselves.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

template <typename T, bool kGiven>
void affine_of(int64_t rows, int64_t n, const T* k, const T* x, const T* g, T* y) {
  for_panels<T>(n, [=]<int N, int NV>(Panel<N, NV> p) {
    using V = Vec<T, N>;
    constexpr int K = kGiven ? 5 : 3;
    V c[K][NV];
    for (int q = 0; q < K; ++q)
      for (int v = 0; v < NV; ++v) c[q][v] = load<N>(k + q * n + p[v]);
    for (int64_t i = 0; i < rows * n; i += n) {
      V z[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        z[v] = (load<N>(x + i + p[v]) - c[0][v]) * c[1][v];
        if constexpr (kGiven) {
          z[v] = z[v] * c[2][v] + c[3][v] + load<N>(g + i + p[v]) * c[4][v];
        } else {
          z[v] += c[2][v];
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) store<N>(y + i + p[v], z[v]);
    }
  });
}

template <typename T, bool kGiven>
void moments_of(int64_t rows, int64_t n, const T* k, const T* x, const T* g, double* y) {
  for_panels<T>(n, [=]<int N, int NV>(Panel<N, NV> p) {
    Vec<T, N> mean[NV], scale[NV];
    for (int v = 0; v < NV; ++v) {
      mean[v] = load<N>(k + p[v]);
      if constexpr (kGiven) scale[v] = load<N>(k + n + p[v]);
    }
    const auto values = [&](int64_t i, int v, Vec<T, N>* value) {
      Vec<T, N> d = load<N>(x + i * n + p[v]) - mean[v];
      if constexpr (kGiven) d *= scale[v];
      value[0] = kGiven ? load<N>(g + i * n + p[v]) : d;
      value[1] = value[0] * d;
    };
    sum_columns<T, 2>(p, rows, values, {y, y + n});
  });
}

// ---- rows, each by itself ----

// xhat at column j of a row with constants k
template <int N, typename T>
inline Vec<T, N> xhat(const T* x, const T* k) {
  return (load<N>(x) - k[0]) * k[1] + k[2];
}

template <typename T>
void norm_rows(int64_t rows, int64_t n, double eps, const T* x, const T* scale, const T* shift,
               T* k, T* y) {
  const double count = static_cast<double>(n);
  for (int64_t i = 0; i < rows; ++i, k += 3, x += n, y += n) {
    double sum[1], s[2];
    sum_row<T>(
        n,
        [=]<int N>(int64_t j, Vec<T, N> * v)
            __attribute__((always_inline)) { *v = load<N>(x + j); },
        sum);
    const T about = static_cast<T>(sum[0] / count);
    const auto moments = [=]<int N>(int64_t j, Vec<T, N> * v) __attribute__((always_inline)) {
      v[0] = load<N>(x + j) - about;
      v[1] = v[0] * v[0];
    };
    sum_row<T>(n, moments, s);
    double off = s[0] / count, mean = static_cast<double>(about) + off;
    double var = s[1] / count - off * off;
    if (!(var + eps >= 1e-30 && var <= 1e30)) {  // squares overflow in f32, or vanish beside eps
      mean = var = 0;
      for (int64_t j = 0; j < n; ++j) mean += static_cast<double>(x[j]) / count;
      for (int64_t j = 0; j < n; ++j) var += (x[j] - mean) * (x[j] - mean) / count;
    }
    const double invstd = 1 / __builtin_sqrt((var < 0 ? 0 : var) + eps);
    k[0] = static_cast<T>(mean);
    k[1] = static_cast<T>(invstd);
    k[2] = static_cast<T>((k[0] - mean) * invstd);
    for_panels<T>(n, [=]<int N, int NV>(Panel<N, NV> p) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v)
        store<N>(y + p[v], xhat<N>(x + p[v], k) * load<N>(scale + p[v]) + load<N>(shift + p[v]));
    });
  }
}

// dx = (g - mean(g) - xhat mean(g xhat)) k[1], g = scale dy; the columns' sums of dy xhat and dy
template <typename T>
void norm_rows_vjp(int64_t rows, int64_t n, const T* k, const T* scale, const T* x, const T* dy,
                   T* dx, T* sums) {
  for (int64_t j = 0; j < 2 * n; ++j) sums[j] = 0;
  for (int64_t i = 0; i < rows; ++i, k += 3, x += n, dy += n, dx += n) {
    double s[2];
    const auto products = [=]<int N>(int64_t j, Vec<T, N> * v) __attribute__((always_inline)) {
      v[0] = load<N>(scale + j) * load<N>(dy + j);
      v[1] = v[0] * xhat<N>(x + j, k);
    };
    sum_row<T>(n, products, s);
    const T a = static_cast<T>(s[0] / static_cast<double>(n));
    const T b = static_cast<T>(s[1] / static_cast<double>(n));
    for_panels<T>(n, [=]<int N, int NV>(Panel<N, NV> p) {
      Vec<T, N> d[NV], by_scale[NV], by_shift[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const Vec<T, N> h = xhat<N>(x + p[v], k), g = load<N>(dy + p[v]);
        d[v] = (load<N>(scale + p[v]) * g - a - h * b) * k[1];
        by_scale[v] = load<N>(sums + p[v]) + g * h;
        by_shift[v] = load<N>(sums + n + p[v]) + g;
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        store<N>(dx + p[v], d[v]);
        store<N>(sums + p[v], by_scale[v]);
        store<N>(sums + n + p[v], by_shift[v]);
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
