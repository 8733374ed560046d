// The largest value and the mean of each window of pixels, for a row of windows, and what their
// derivatives spread. Vectors run over the channels.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

template <typename T, bool kCut>
inline Vec<T> get(const T* p, int64_t n) {
  return kCut ? load_first(p, n) : load(p);
}
template <typename T, bool kCut>
inline void put(T* p, Vec<T> v, int64_t n) {
  kCut ? store_first(p, v, n) : store(p, v);
}

// As many bytes as a vector of T has lanes; g++ gets there faster in two steps.
template <typename T>
struct Places {
  typedef uint8_t type __attribute__((vector_size(kLanes<T>)));
  typedef int16_t wide __attribute__((vector_size(2 * kLanes<T>)));
};

// f<kCut>(window, channel, n) for vectors over out windows of `channels` values each. A vector of
// n < kLanes values is cut only at the end of the row; elsewhere it runs into the next pixel, which
// comes later. With kOverlap the last vector of a pixel rather overlaps the one before.
template <typename T, bool kOverlap, typename F>
inline void for_vectors(int64_t out, int64_t channels, F f) {
  constexpr int64_t W = kLanes<T>;
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < channels; i += W) {
      const int64_t c = kOverlap && i > 0 && channels - i < W ? channels - W : i;
      const int64_t n = channels - c < W ? channels - c : W;
      if (n == W || o * channels + c + W <= out * channels) {
        f.template operator()<false>(o, c, n);
      } else {
        f.template operator()<true>(o, c, n);
      }
    }
  }
}

template <typename T, int K>
void max_pool(int64_t out, int64_t channels, int64_t kh, int64_t kw, const T* x, int64_t row_stride,
              int64_t pixel_step, T* y, uint8_t* at) {
  if (K > 0) kh = kw = K;
  for_vectors<T, true>(out, channels, [&]<bool kCut>(int64_t o, int64_t c, int64_t n) {
    const T* from = x + o * pixel_step + c;
    Vec<T> m = get<T, kCut>(from, n);
    Mask<T> best{};
#pragma GCC unroll 2
    for (int64_t i = 0; i < kh; ++i) {
#pragma GCC unroll 2
      for (int64_t j = i == 0 ? 1 : 0; j < kw; ++j) {
        const Vec<T> v = get<T, kCut>(from + i * row_stride + j * channels, n);
        const Mask<T> better = beats<true>(v, m);
        m = better ? v : m;
        best = better ? Mask<T>{} + place<T>(i * kw + j) : best;
      }
    }
    put<T, kCut>(y + o * channels + c, m, n);
    const auto wide = __builtin_convertvector(best, typename Places<T>::wide);
    const auto places = __builtin_convertvector(wide, typename Places<T>::type);
    __builtin_memcpy(at + o * channels + c, &places,
                     kCut ? static_cast<uint64_t>(n) : sizeof places);
  });
}

// dx = value(place), or dx += it, at each place of each window; value = of<kCut>(offset in dy, n).
template <typename T, int K, bool kAccumulate, typename Of>
inline void spread(int64_t out, int64_t channels, int64_t kh, int64_t kw, T* dx, int64_t row_stride,
                   int64_t pixel_step, Of of) {
  if (K > 0) kh = kw = K;
  Mask<T> lane;
  for (int l = 0; l < kLanes<T>; ++l) lane[l] = l;
  for_vectors<T, !kAccumulate>(out, channels, [&]<bool kCut>(int64_t o, int64_t c, int64_t n) {
    const auto value = of.template operator()<kCut>(o * channels + c, n);
#pragma GCC unroll 2
    for (int64_t i = 0; i < kh; ++i) {
#pragma GCC unroll 2
      for (int64_t j = 0; j < kw; ++j) {
        T* to = dx + o * pixel_step + c + i * row_stride + j * channels;
        Vec<T> v = value(i * kw + j);
        if (kAccumulate) v = get<T, kCut>(to, n) + (lane < place<T>(n) ? v : Vec<T>{});
        put<T, kCut>(to, v, n);
      }
    }
  });
}

template <typename T, int K, bool kAccumulate>
void max_unpool(int64_t out, int64_t channels, int64_t kh, int64_t kw, const T* dy,
                const uint8_t* at, T* dx, int64_t row_stride, int64_t pixel_step) {
  spread<T, K, kAccumulate>(
      out, channels, kh, kw, dx, row_stride, pixel_step, [=]<bool kCut>(int64_t i, int64_t n) {
        typename Places<T>::type bytes{};
        __builtin_memcpy(&bytes, at + i, kCut ? static_cast<uint64_t>(n) : sizeof bytes);
        const Mask<T> best = __builtin_convertvector(bytes, Mask<T>);
        const Vec<T> g = get<T, kCut>(dy + i, n);
        return [=](int64_t p) { return best == Mask<T>{} + place<T>(p) ? g : Vec<T>{}; };
      });
}

template <typename T>
void avg_pool(int64_t out, int64_t channels, int64_t kh, int64_t kw, T divisor, const T* x,
              int64_t row_stride, int64_t pixel_step, T* y) {
  for_vectors<T, true>(out, channels, [&]<bool kCut>(int64_t o, int64_t c, int64_t n) {
    const T* from = x + o * pixel_step + c;
    Vec<T> total{};
    for (int64_t i = 0; i < kh; ++i) {
      Vec<T> row{};
      for (int64_t j = 0; j < kw; ++j) {
        row += get<T, kCut>(from + i * row_stride + j * channels, n);
      }
      total += row;
    }
    put<T, kCut>(y + o * channels + c, total / splat(divisor), n);
  });
}

template <typename T, bool kAccumulate>
void avg_unpool(int64_t out, int64_t channels, int64_t kh, int64_t kw, T divisor, const T* dy,
                T* dx, int64_t row_stride, int64_t pixel_step) {
  spread<T, 0, kAccumulate>(out, channels, kh, kw, dx, row_stride, pixel_step,
                            [=]<bool kCut>(int64_t i, int64_t n) {
                              const Vec<T> g = get<T, kCut>(dy + i, n) / splat(divisor);
                              return [=](int64_t) { return g; };
                            });
}

template <typename T>
void fill(Kernels<T>& k) {
  k.max_pool_row = [](int64_t out, int64_t channels, int64_t kh, int64_t kw, const T* x,
                      int64_t row_stride, int64_t pixel_step, T* y, uint8_t* at) {
    const auto f = kh == 2 && kw == 2 ? max_pool<T, 2> : max_pool<T, 0>;
    f(out, channels, kh, kw, x, row_stride, pixel_step, y, at);
  };
  k.max_unpool_row = [](int64_t out, int64_t channels, int64_t kh, int64_t kw, const T* dy,
                        const uint8_t* at, T* dx, int64_t row_stride, int64_t pixel_step,
                        bool accumulate) {
    const auto f = accumulate           ? max_unpool<T, 0, true>
                   : kh == 2 && kw == 2 ? max_unpool<T, 2, false>
                                        : max_unpool<T, 0, false>;
    f(out, channels, kh, kw, dy, at, dx, row_stride, pixel_step);
  };
  k.avg_pool_row = avg_pool<T>;
  k.avg_unpool_row = [](int64_t out, int64_t channels, int64_t kh, int64_t kw, T divisor,
                        const T* dy, T* dx, int64_t row_stride, int64_t pixel_step,
                        bool accumulate) {
    const auto f = accumulate ? avg_unpool<T, true> : avg_unpool<T, false>;
    f(out, channels, kh, kw, divisor, dy, dx, row_stride, pixel_step);
  };
}

}  // namespace

namespace RAMP_ISA {
void fill_pool(Kernels<float>& k) { fill(k); }
void fill_pool(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
