// The passes of normalization over the columns of x [rows, n], whose constants stay in registers.
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
    constexpr int W = sizeof(V) / sizeof(T), K = kGiven ? 4 : 3;
    V c[K][NV];
    for (int q = 0; q < K; ++q)
      for (int v = 0; v < NV; ++v) c[q][v] = at<V>(k + q * n + j + v * W);
    for (int64_t i = j; i < rows * n; i += n) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        V z = (at<V>(x + i + v * W) - c[0][v]) * c[1][v] + c[2][v];
        if constexpr (kGiven) z += at<V>(g + i + v * W) * c[3][v];
        __builtin_memcpy(y + i + v * W, &z, sizeof z);
      }
    }
  });
}

template <typename T, bool kGiven>
void moments_of(int64_t rows, int64_t n, const T* m, const T* x, const T* g, double* y) {
  for (int64_t j = 0; j < 2 * n; ++j) y[j] = 0;
  for_panels<T>(n, [=]<typename V, int NV>(int64_t j) {
    constexpr int W = sizeof(V) / sizeof(T);
    for (int64_t i = 0; i < rows;) {
      const int64_t stop = rows - i < kBlock ? rows : i + kBlock;
      V mean[NV], sum[NV], product[NV];
      for (int v = 0; v < NV; ++v) {
        mean[v] = at<V>(m + j + v * W);
        sum[v] = product[v] = V{};
      }
      for (; i < stop; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const V d = at<V>(x + i * n + j + v * W) - mean[v];
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

template <typename T>
void fill(Kernels<T>& k) {
  k.affine_cols[0] = affine_of<T, false>;
  k.affine_cols[1] = affine_of<T, true>;
  k.moments_cols[0] = moments_of<T, false>;
  k.moments_cols[1] = moments_of<T, true>;
}

}  // namespace

namespace RAMP_ISA {
void fill_norm(Kernels<float>& k) { fill(k); }
void fill_norm(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
