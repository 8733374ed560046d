// The passes of normalization over x [rows, n] with constants for each column.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// NV vectors of columns, whose constants stay in registers.
template <typename T, int NV, bool kAdds>
void panel(int64_t rows, int64_t ld, const T* x, const T* m, const T* a, const T* b, const T* g,
           const T* e, T* y) {
  constexpr int W = kLanes<T>;
  Vec<T> mean[NV], scale[NV], shift[NV], factor[NV];
  for (int v = 0; v < NV; ++v) {
    mean[v] = load(m + v * W);
    scale[v] = load(a + v * W);
    shift[v] = load(b + v * W);
    if (kAdds) factor[v] = load(e + v * W);
  }
  for (int64_t at = 0; at < rows * ld; at += ld) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const int64_t i = at + v * W;
      Vec<T> z = (load(x + i) - mean[v]) * scale[v] + shift[v];
      if (kAdds) z += load(g + i) * factor[v];
      store(y + i, z);
    }
  }
}

template <typename T, bool kAdds>
void affine_of(int64_t rows, int64_t n, const T* x, const T* m, const T* a, const T* b, const T* g,
               const T* e, T* y) {
  constexpr int W = kLanes<T>;
  if (n < W) {  // W rows are one of n W columns
    const int64_t wide = rows / W;
    if (wide > 1) {
      T c[4][W * W] = {};
      for (int64_t j = 0; j < n * W; ++j) {
        c[0][j] = m[j % n];
        c[1][j] = a[j % n];
        c[2][j] = b[j % n];
        if (kAdds) c[3][j] = e[j % n];
      }
      affine_of<T, kAdds>(wide, n * W, x, c[0], c[1], c[2], g, c[3], y);
    }
    for (int64_t i = wide > 1 ? wide * W : 0; i < rows; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const T z = (x[i * n + j] - m[j]) * a[j] + b[j];
        y[i * n + j] = kAdds ? z + g[i * n + j] * e[j] : z;
      }
    }
    return;
  }
  const auto columns = [&]<int NV>(int64_t j) {
    panel<T, NV, kAdds>(rows, n, x + j, m + j, a + j, b + j, g + j, e + j, y + j);
  };
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W) columns.template operator()<4>(j);
  for (; j + 2 * W <= n; j += 2 * W) columns.template operator()<2>(j);
  for (; j + W <= n; j += W) columns.template operator()<1>(j);
  if (j < n) columns.template operator()<1>(n - W);  // some columns twice
}

template <typename T>
void affine_cols(int64_t rows, int64_t n, const T* x, const T* m, const T* a, const T* b, T* y) {
  affine_of<T, false>(rows, n, x, m, a, b, x, a, y);
}
template <typename T>
void affine_cols_add(int64_t rows, int64_t n, const T* x, const T* m, const T* a, const T* b,
                     const T* g, const T* e, T* y) {
  affine_of<T, true>(rows, n, x, m, a, b, g, e, y);
}

template <typename T>
void fill(Kernels<T>& k) {
  k.affine_cols = affine_cols<T>;
  k.affine_cols_add = affine_cols_add<T>;
}

}  // namespace

namespace RAMP_ISA {
void fill_norm(Kernels<float>& k) { fill(k); }
void fill_norm(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
