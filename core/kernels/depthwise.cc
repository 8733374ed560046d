// Depthwise convolution: taps run over pixels, vectors over channels.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// f(c, get, put) for the channels from c on as one vector; the last ones, fewer than it has lanes,
// element by element.
template <typename T, typename F>
[[gnu::always_inline]] inline void for_channels(int64_t channels, F f) {
  int64_t c = 0;
  for (; c + kLanes<T> <= channels; c += kLanes<T>)
    f(
        c, [](const T* p) { return load(p); }, [](T* p, Vec<T> v) { store(p, v); });
  const int64_t left = channels - c;
  if (left > 0)
    f(
        c, [=](const T* p) { return load_first(p, left); },
        [=](T* p, Vec<T> v) { store_first(p, v, left); });
}

// The sums of kMany pixels hide each other's latency and share what they load of w; a rest takes
// fewer at a time.
template <typename T, int kMany>
void depthwise(int64_t n, int64_t channels, int64_t taps, const int64_t* offset, const T* x,
               int64_t step, const T* w, const T* bias, T* y, int64_t y_step) {
  for (; n >= kMany; n -= kMany, x += kMany * step, y += kMany * y_step) {
    for_channels<T>(
        channels, [=](int64_t c, auto get, auto put) __attribute__((always_inline)) {
          Vec<T> sum[kMany];
#pragma GCC unroll 8
          for (int i = 0; i < kMany; ++i) sum[i] = bias ? get(bias + c) : Vec<T>{};
          for (int64_t t = 0; t < taps; ++t) {
            const Vec<T> weight = get(w + t * channels + c);
#pragma GCC unroll 8
            for (int i = 0; i < kMany; ++i) sum[i] += get(x + i * step + offset[t] + c) * weight;
          }
#pragma GCC unroll 8
          for (int i = 0; i < kMany; ++i) put(y + i * y_step + c, sum[i]);
        });
  }
  if constexpr (kMany > 1)
    depthwise<T, kMany / 2>(n, channels, taps, offset, x, step, w, bias, y, y_step);
}

// The same for dw, where the sums are those of kMany taps.
template <typename T, int kMany>
void depthwise_dw(int64_t n, int64_t channels, int64_t taps, const int64_t* offset, const T* x,
                  int64_t step, const T* dy, T* dw) {
  for (; taps >= kMany; taps -= kMany, offset += kMany, dw += kMany * channels) {
    for_channels<T>(
        channels, [=](int64_t c, auto get, auto put) __attribute__((always_inline)) {
          Vec<T> sum[kMany];
#pragma GCC unroll 9
          for (int t = 0; t < kMany; ++t) sum[t] = get(dw + t * channels + c);
          for (int64_t i = 0; i < n; ++i) {
            const Vec<T> g = get(dy + i * channels + c);
#pragma GCC unroll 9
            for (int t = 0; t < kMany; ++t) sum[t] += get(x + i * step + offset[t] + c) * g;
          }
#pragma GCC unroll 9
          for (int t = 0; t < kMany; ++t) put(dw + t * channels + c, sum[t]);
        });
  }
  if constexpr (kMany > 1) depthwise_dw<T, kMany / 2>(n, channels, taps, offset, x, step, dy, dw);
}

}  // namespace

void RAMP_ISA::fill_depthwise(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.depthwise = depthwise<T, 8>;
    k.depthwise_dw = depthwise_dw<T, 9>;
  });
}

}  // namespace ramp
