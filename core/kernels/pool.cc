// The largest value of each window of pixels, for a row of windows. Vectors run over the channels.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// f<kCut>(window, channel, n) for vectors over out windows of `channels` values each. The last
// vector of a window overlaps the one before; one of n < kLanes values runs into the next window,
// which comes later, and is cut at the end of the row.
template <typename T, typename F>
inline void for_vectors(int64_t out, int64_t channels, F f) {
  constexpr int64_t W = kLanes<T>;
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < channels; i += W) {
      const int64_t c = i > 0 && channels - i < W ? channels - W : i;
      const int64_t n = channels - c < W ? channels - c : W;
      const int64_t end = o * channels + c + W;
      if (end <= out * channels) {
        f.template operator()<false>(o, c, n);
      } else {
        f.template operator()<true>(o, c, n);
      }
    }
  }
}

// As many bytes as a vector of T has lanes; g++ gets there faster in two steps.
template <typename T>
struct Bytes {
  typedef uint8_t type __attribute__((vector_size(kLanes<T>)));
  typedef int16_t wide __attribute__((vector_size(2 * kLanes<T>)));
};

// kSize: of the windows' sides, 0 for any.
template <typename T, int kSize>
void max_pool(int64_t out, int64_t channels, int64_t kh, int64_t kw, const T* x, int64_t row_step,
              int64_t pixel_step, int64_t window_step, T* y, uint8_t* at) {
  if (kSize) kh = kw = kSize;
  for_vectors<T>(out, channels, [=]<bool kCut>(int64_t o, int64_t c, int64_t n) {
    Vec<T> m{};
    Mask<T> best{};
#pragma GCC unroll 2
    for (int64_t i = 0; i < kh; ++i) {
#pragma GCC unroll 2
      for (int64_t j = 0; j < kw; ++j) {
        const T* from = x + o * window_step + c + i * row_step + j * pixel_step;
        const Vec<T> v = kCut ? load_first(from, n) : load(from);
        const Mask<T> better = i + j == 0 ? ~Mask<T>{} : beats<true>(v, m);
        m = better ? v : m;
        best = better ? Mask<T>{} + place<T>(i * kw + j) : best;
      }
    }
    kCut ? store_first(y + o * channels + c, m, n) : store(y + o * channels + c, m);
    const auto bytes = __builtin_convertvector(
        __builtin_convertvector(best, typename Bytes<T>::wide), typename Bytes<T>::type);
    __builtin_memcpy(at + o * channels + c, &bytes, kCut ? uint64_t(n) : sizeof bytes);
  });
}

template <typename T, int kSize>
void max_unpool(int64_t out, int64_t channels, int64_t kh, int64_t kw, const T* dy,
                const uint8_t* at, T* dx, int64_t row_step, int64_t pixel_step,
                int64_t window_step) {
  if (kSize) kh = kw = kSize;
  for_vectors<T>(out, channels, [=]<bool kCut>(int64_t o, int64_t c, int64_t n) {
    typename Bytes<T>::type bytes{};
    __builtin_memcpy(&bytes, at + o * channels + c, kCut ? uint64_t(n) : sizeof bytes);
    const Mask<T> best = __builtin_convertvector(bytes, Mask<T>);
    const T* from = dy + o * channels + c;
    const Vec<T> g = kCut ? load_first(from, n) : load(from);
#pragma GCC unroll 2
    for (int64_t i = 0; i < kh; ++i) {
#pragma GCC unroll 2
      for (int64_t j = 0; j < kw; ++j) {
        T* to = dx + o * window_step + c + i * row_step + j * pixel_step;
        const Vec<T> v = best == Mask<T>{} + place<T>(i * kw + j) ? g : Vec<T>{};
        kCut ? store_first(to, v, n) : store(to, v);
      }
    }
  });
}

}  // namespace

void RAMP_ISA::fill_pool(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.max_pool_row = [](int64_t out, int64_t c, int64_t kh, int64_t kw, const T* x, int64_t row,
                        int64_t pixel, int64_t window, T* y, uint8_t* at) {
      const auto f = kh == 2 && kw == 2 ? max_pool<T, 2> : max_pool<T, 0>;
      f(out, c, kh, kw, x, row, pixel, window, y, at);
    };
    k.max_unpool_row = [](int64_t out, int64_t c, int64_t kh, int64_t kw, const T* dy,
                          const uint8_t* at, T* dx, int64_t row, int64_t pixel, int64_t window,
                          bool accumulate) {
      if (!accumulate) {
        const auto f = kh == 2 && kw == 2 ? max_unpool<T, 2> : max_unpool<T, 0>;
        return f(out, c, kh, kw, dy, at, dx, row, pixel, window);
      }
      int64_t offset[256];
      for (int64_t p = 0; p < kh * kw; ++p) offset[p] = p / kw * row + p % kw * pixel;
      for (; out > 0; --out, dx += window)
        for (int64_t i = 0; i < c; ++i) dx[i + offset[*at++]] += *dy++;
    };
  });
}

}  // namespace ramp
