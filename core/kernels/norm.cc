// The passes of normalization over the columns of x [rows, n]; the first step of each column's
// constants stays in registers.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// f.operator()<NV>(j) for NV vectors of columns at j; returns the first column that fills none.
template <typename T, typename F>
inline int64_t for_panels(int64_t n, F f) {
  constexpr int W = kLanes<T>;
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W) f.template operator()<4>(j);
  for (; j + W <= n; j += W) f.template operator()<1>(j);
  return j;
}

template <typename T, bool kAdds>
void affine_of(int64_t rows, int64_t n, const T* x, const T* m, const T* a, const T* b, const T* g,
               const T* e, T* y) {
  constexpr int W = kLanes<T>;
  const int64_t rest = for_panels<T>(n, [=]<int NV>(int64_t j) {
    Vec<T> mean[NV], scale[NV], shift[NV], factor[NV];
    for (int v = 0; v < NV; ++v) {
      mean[v] = load(m + j + v * W);
      scale[v] = load(a + j + v * W);
      shift[v] = load(b + j + v * W);
      if (kAdds) factor[v] = load(e + j + v * W);
    }
    for (int64_t i = j; i < rows * n; i += n) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        Vec<T> z = (load(x + i + v * W) - mean[v]) * scale[v] + shift[v];
        if (kAdds) z += load(g + i + v * W) * factor[v];
        store(y + i + v * W, z);
      }
    }
  });
  for (int64_t i = 0; i < rows * n; i += n) {
    for (int64_t j = rest; j < n; ++j) {
      const T z = (x[i + j] - m[j]) * a[j] + b[j];
      y[i + j] = kAdds ? z + g[i + j] * e[j] : z;
    }
  }
}
template <typename T>
void affine_cols(int64_t rows, int64_t n, const T* x, const T* m, const T* a, const T* b,
                 const T* g, const T* e, T* y) {
  (g ? affine_of<T, true> : affine_of<T, false>)(rows, n, x, m, a, b, g, e, y);
}

template <typename T, bool kGiven>
void moments_of(int64_t rows, int64_t n, const T* x, const T* m, const T* g, double* y) {
  constexpr int W = kLanes<T>;
  for (int64_t j = 0; j < 2 * n; ++j) y[j] = 0;
  const int64_t rest = for_panels<T>(n, [=]<int NV>(int64_t j) {
    Vec<T> mean[NV];
    for (int v = 0; v < NV; ++v) mean[v] = load(m + j + v * W);
    for (int64_t i = 0; i < rows;) {
      const int64_t stop = rows - i < kBlock ? rows : i + kBlock;
      Vec<T> sum[NV], product[NV];
      for (int v = 0; v < NV; ++v) sum[v] = product[v] = Vec<T>{};
      for (; i < stop; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const int64_t at = i * n + j + v * W;
          const Vec<T> d = load(x + at) - mean[v], u = kGiven ? load(g + at) : d;
          sum[v] += u;
          product[v] += u * d;
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        add_in_double(sum[v], y + j + v * W);
        add_in_double(product[v], y + n + j + v * W);
      }
    }
  });
  for (int64_t i = 0; i < rows * n; i += n) {
    for (int64_t j = rest; j < n; ++j) {
      const T d = x[i + j] - m[j], u = kGiven ? g[i + j] : d;
      y[j] += u;
      y[n + j] += u * d;
    }
  }
}
template <typename T>
void moments_cols(int64_t rows, int64_t n, const T* x, const T* m, const T* g, double* y) {
  (g ? moments_of<T, true> : moments_of<T, false>)(rows, n, x, m, g, y);
}

template <typename T>
void fill(Kernels<T>& k) {
  k.affine_cols = affine_cols<T>;
  k.moments_cols = moments_cols<T>;
}

}  // namespace

namespace RAMP_ISA {
void fill_norm(Kernels<float>& k) { fill(k); }
void fill_norm(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
