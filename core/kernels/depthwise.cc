// Depthwise convolution: taps run over pixels, vectors over channels.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

// The channels [c, c + count) as one vector; a cut one (count < lanes) element by element.
template <typename T>
inline Vec<T> get(const T* p, int64_t count) {
  return count >= kLanes<T> ? load(p) : load_first(p, count);
}
template <typename T>
inline void put(T* p, Vec<T> v, int64_t count) {
  if (count >= kLanes<T>) return store(p, v);
  store_first(p, v, count);
}

template <typename T>
void depthwise(int64_t n, int64_t channels, int64_t taps, const int64_t* offset, const T* x,
               int64_t step, const T* w, const T* bias, T* y, int64_t y_step) {
  for (int64_t i = 0; i < n; ++i, x += step, y += y_step) {
    for (int64_t c = 0; c < channels; c += kLanes<T>) {
      const int64_t left = channels - c;
      Vec<T> sum = bias ? get(bias + c, left) : Vec<T>{};
      for (int64_t t = 0; t < taps; ++t)
        sum += get(x + offset[t] + c, left) * get(w + t * channels + c, left);
      put(y + c, sum, left);
    }
  }
}

template <typename T>
void depthwise_dw(int64_t n, int64_t channels, int64_t taps, const int64_t* offset, const T* x,
                  int64_t step, const T* dy, T* dw) {
  for (int64_t c = 0; c < channels; c += kLanes<T>) {
    const int64_t left = channels - c;
    for (int64_t t = 0; t < taps; ++t) {
      Vec<T> sum = get(dw + t * channels + c, left);
      for (int64_t i = 0; i < n; ++i)
        sum += get(x + i * step + offset[t] + c, left) * get(dy + i * channels + c, left);
      put(dw + t * channels + c, sum, left);
    }
  }
}

}  // namespace

void RAMP_ISA::fill_depthwise(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.depthwise = depthwise<T>;
    k.depthwise_dw = depthwise_dw<T>;
  });
}

}  // namespace ramp
