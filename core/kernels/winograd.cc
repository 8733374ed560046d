// Winograd's F(4x4, 3x3) over channels-last images: 36 products of matrices for 16 outputs of a
// 3x3 kernel, a quarter of the multiplications. Vectors run over the channels.
// Source: Lavin and Gray (2016), "Fast algorithms for convolutional neural networks", section 4.3.
#include <type_traits>

#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// The one-dimensional transforms of the paper and their transposes; y's elements lie s apart.
// B' : 6 -> 6
template <typename T>
[[gnu::always_inline]] inline void input_1d(const Vec<T>* x, Vec<T>* y, int s) {
  const Vec<T> a = x[4] - 4 * x[2], b = x[3] - 4 * x[1], c = x[4] - x[2], d = 2 * (x[3] - x[1]);
  y[0] = 4 * x[0] - 5 * x[2] + x[4];
  y[s] = a + b;
  y[2 * s] = a - b;
  y[3 * s] = c + d;
  y[4 * s] = c - d;
  y[5 * s] = 4 * x[1] - 5 * x[3] + x[5];
}
// B : 6 -> 6
template <typename T>
[[gnu::always_inline]] inline void input_vjp_1d(const Vec<T>* x, Vec<T>* y, int s) {
  const Vec<T> p = x[1] + x[2], m = x[1] - x[2], q = x[3] + x[4], n = x[3] - x[4];
  y[0] = 4 * x[0];
  y[s] = 4 * x[5] - 4 * m - 2 * n;
  y[2 * s] = -5 * x[0] - 4 * p - q;
  y[3 * s] = m + 2 * n - 5 * x[5];
  y[4 * s] = x[0] + p + q;
  y[5 * s] = x[5];
}
// A' : 6 -> 4
template <typename T>
[[gnu::always_inline]] inline void output_1d(const Vec<T>* x, Vec<T>* y, int s) {
  const Vec<T> p = x[1] + x[2], m = x[1] - x[2], q = x[3] + x[4], n = x[3] - x[4];
  y[0] = x[0] + p + q;
  y[s] = m + 2 * n;
  y[2 * s] = p + 4 * q;
  y[3 * s] = m + 8 * n + x[5];
}
// A : 4 -> 6
template <typename T>
[[gnu::always_inline]] inline void output_vjp_1d(const Vec<T>* x, Vec<T>* y, int s) {
  const Vec<T> e = x[0] + x[2], f = x[1] + x[3], g = x[0] + 4 * x[2], h = 2 * x[1] + 8 * x[3];
  y[0] = x[0];
  y[s] = e + f;
  y[2 * s] = e - f;
  y[3 * s] = g + h;
  y[4 * s] = g - h;
  y[5 * s] = x[3];
}
// G : 3 -> 6
template <typename T>
[[gnu::always_inline]] inline void weights_1d(const Vec<T>* x, Vec<T>* y, int s) {
  const Vec<T> a = x[0] + x[2], c = x[0] * T(1. / 24) + x[2] * T(1. / 6), d = x[1] * T(1. / 12);
  y[0] = x[0] * T(0.25);
  y[s] = T(-1. / 6) * (a + x[1]);
  y[2 * s] = T(-1. / 6) * (a - x[1]);
  y[3 * s] = c + d;
  y[4 * s] = c - d;
  y[5 * s] = x[2];
}
// G' : 6 -> 3
template <typename T>
[[gnu::always_inline]] inline void weights_vjp_1d(const Vec<T>* x, Vec<T>* y, int s) {
  const Vec<T> p = x[1] + x[2], m = x[1] - x[2], q = x[3] + x[4], n = x[3] - x[4];
  y[0] = T(0.25) * x[0] - T(1. / 6) * p + T(1. / 24) * q;
  y[s] = T(1. / 12) * n - T(1. / 6) * m;
  y[2 * s] = T(1. / 6) * (q - p) + x[5];
}

// put(i, j, y_ij) for y = f x f', where get(i, j) is x_ij: f, from kFrom to kTo values, down each
// column, then along each row.
template <typename T, int kFrom, int kTo, auto f, typename Get, typename Put>
[[gnu::always_inline]] inline void transform(Get get, Put put) {
  Vec<T> t[kTo * kFrom];
#pragma GCC unroll 6
  for (int j = 0; j < kFrom; ++j) {
    Vec<T> x[kFrom];
#pragma GCC unroll 6
    for (int i = 0; i < kFrom; ++i) x[i] = get(i, j);
    f(x, t + j, kFrom);
  }
#pragma GCC unroll 6
  for (int i = 0; i < kTo; ++i) {
    Vec<T> y[kTo];
    f(t + i * kFrom, y, 1);
#pragma GCC unroll 6
    for (int j = 0; j < kTo; ++j) put(i, j, y[j]);
  }
}

template <typename T>
void weights(int64_t c, int64_t k, int64_t begin, int64_t end, const T* w, int64_t width, T* u) {
  const int64_t panels = (k + width - 1) / width, size = panels * c * width;
  for (int64_t i = begin; i < end; ++i)
    for (int64_t j = 0; j < k; j += kLanes<T>) {
      const T* x = w + i * k + j;
      T* y = u + (j / width * c + i) * width + j % width;
      transform<T, 3, 6, weights_1d<T>>(
          [&](int p, int q) { return load(x + (p * 3 + q) * c * k); },
          [&](int p, int q, Vec<T> v) { store(y + (p * 6 + q) * size, v); });
    }
}

template <typename T>
void weights_vjp(int64_t c, int64_t k, int64_t begin, int64_t end, const T* du, T* dw) {
  for (int64_t i = begin * k; i < end * k; i += kLanes<T>) {
    transform<T, 6, 3, weights_vjp_1d<T>>(
        [&](int p, int q) { return load(du + (p * 6 + q) * c * k + i); },
        [&](int p, int q, Vec<T> v) { store(dw + (p * 3 + q) * c * k + i, v); });
  }
}

// f(true_type) for a tile that is whole, which need not ask for each pixel whether it is there.
[[gnu::always_inline]] inline void for_tile(bool whole, auto f) {
  if (whole) return f(std::true_type());
  f(std::false_type());
}

// in(p, q): whether pixel (row + p, col + q) is in the image [h, w].
inline auto inside(int64_t h, int64_t w, int64_t row, int64_t col) {
  return [=](int p, int q) { return row + p >= 0 && row + p < h && col + q >= 0 && col + q < w; };
}

// v = f x f' for a row of tiles of kSize pixels, the first one at (row, col) of the image x [h, w,
// c].
template <typename T, int kSize, auto f>
void from_image(int64_t h, int64_t w, int64_t c, int64_t row, int64_t col, int64_t tiles,
                const T* x, T* v, int64_t pitch) {
  for (int64_t b = 0; b < tiles; ++b, col += 4, v += c) {
    const auto in = inside(h, w, row, col);
    for_tile(in(0, 0) && in(kSize - 1, kSize - 1), [&](auto whole) {
      for (int64_t i = 0; i < c; i += kLanes<T>) {
        const T* from = x + (row * w + col) * c + i;
        transform<T, kSize, 6, f>(
            [&](int p, int q) {
              return whole || in(p, q) ? load(from + (p * w + q) * c) : Vec<T>{};
            },
            [&](int p, int q, Vec<T> y) { store(v + (p * 6 + q) * pitch + i, y); });
      }
    });
  }
}

// Back to the image: x = f v f' + bias, or x += f v f' where tiles overlap.
template <typename T, int kSize, auto f>
void to_image(int64_t h, int64_t w, int64_t c, int64_t row, int64_t col, int64_t tiles, const T* v,
              int64_t pitch, const T* bias, T* x) {
  for (int64_t b = 0; b < tiles; ++b, col += 4, v += c) {
    const auto in = inside(h, w, row, col);
    for_tile(in(0, 0) && in(kSize - 1, kSize - 1), [&](auto whole) {
      for (int64_t i = 0; i < c; i += kLanes<T>) {
        const Vec<T> add = bias ? load(bias + i) : Vec<T>{};
        T* to = x + (row * w + col) * c + i;
        transform<T, 6, kSize, f>([&](int p, int q) { return load(v + (p * 6 + q) * pitch + i); },
                                  [&](int p, int q, Vec<T> y) {
                                    T* at = to + (p * w + q) * c;
                                    if (whole || in(p, q))
                                      store(at, y + (kSize == 6 ? load(at) : add));
                                  });
      }
    });
  }
}

}  // namespace

void RAMP_ISA::fill_winograd(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.winograd_weights = weights<T>;
    k.winograd_weights_vjp = weights_vjp<T>;
    k.winograd_input = from_image<T, 6, input_1d<T>>;
    k.winograd_input_vjp = to_image<T, 6, input_vjp_1d<T>>;
    k.winograd_output = to_image<T, 4, output_1d<T>>;
    k.winograd_output_vjp = from_image<T, 4, output_vjp_1d<T>>;
  });
}

}  // namespace ramp
