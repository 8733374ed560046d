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

template <typename T, bool kAdds>
void affine_of(int64_t rows, int64_t n, const T* x, const T* m, const T* a, const T* b, const T* g,
               const T* e, T* y) {
  for_panels<T>(n, [=]<typename V, int NV>(int64_t j) {
    constexpr int W = sizeof(V) / sizeof(T);
    V mean[NV], scale[NV], shift[NV], factor[NV];
    for (int v = 0; v < NV; ++v) {
      mean[v] = at<V>(m + j + v * W);
      scale[v] = at<V>(a + j + v * W);
      shift[v] = at<V>(b + j + v * W);
      if (kAdds) factor[v] = at<V>(e + j + v * W);
    }
    for (int64_t i = j; i < rows * n; i += n) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        V z = (at<V>(x + i + v * W) - mean[v]) * scale[v] + shift[v];
        if (kAdds) z += at<V>(g + i + v * W) * factor[v];
        __builtin_memcpy(y + i + v * W, &z, sizeof z);
      }
    }
  });
}
template <typename T>
void affine_cols(int64_t rows, int64_t n, const T* x, const T* m, const T* a, const T* b,
                 const T* g, const T* e, T* y) {
  (g ? affine_of<T, true> : affine_of<T, false>)(rows, n, x, m, a, b, g, e, y);
}

template <typename T, bool kGiven>
void moments_of(int64_t rows, int64_t n, const T* x, const T* m, const T* g, double* y) {
  for (int64_t j = 0; j < 2 * n; ++j) y[j] = 0;
  for_panels<T>(n, [=]<typename V, int NV>(int64_t j) {
    constexpr int W = sizeof(V) / sizeof(T);
    V mean[NV];
    for (int v = 0; v < NV; ++v) mean[v] = at<V>(m + j + v * W);
    for (int64_t i = 0; i < rows;) {
      const int64_t stop = rows - i < kBlock ? rows : i + kBlock;
      V sum[NV], product[NV];
      for (int v = 0; v < NV; ++v) sum[v] = product[v] = V{};
      for (; i < stop; ++i) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const int64_t k = i * n + j + v * W;
          const V d = at<V>(x + k) - mean[v], u = kGiven ? at<V>(g + k) : d;
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
