#include "ramp/core/conv.h"

#include <algorithm>

#include "ramp/core/conv_methods.h"
#include "ramp/core/error.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

// Where the tiles that reach over the edge do not eat up the gain, and where there are so many that
// the 36 products pay for transforming the weights. All else is direct: it is faster there, and a
// NaN, an inf or a huge value stays in the results that see it.
bool takes_winograd(const ConvSizes& s) {
  static const bool allowed = environment_choice("RAMP_CONV", {"auto", "direct"}) == 0;
  const int64_t tiles = ceil_div(s.oh, 4) * ceil_div(s.ow, 4);
  return allowed && s.kh == 3 && s.kw == 3 && s.c % (16 * s.groups) == 0 &&
         s.k % (16 * s.groups) == 0 && s.stride[0] == 1 && s.stride[1] == 1 && s.dilation[0] == 1 &&
         s.dilation[1] == 1 && 8 * tiles <= s.oh * s.ow && s.n * tiles >= 16;
}

}  // namespace

template <typename T>
void conv(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvEpilogue<T> epilogue) {
  if (s.n * s.oh * s.ow * s.k == 0) return;
  (takes_winograd(s) ? WinogradConv<T>::forward : DirectConv<T>::forward)(s, x, w, b, y, epilogue);
}

template <typename T>
void conv_vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy, T* dx, T* dw, T* db) {
  if (s.n * s.oh * s.ow * s.k == 0) {
    if (dx) std::fill_n(dx, s.n * s.h * s.w * s.c, T(0));
    if (dw) std::fill_n(dw, s.kh * s.kw * (s.c / s.groups) * s.k, T(0));
    if (db) std::fill_n(db, s.k, T(0));
    return;
  }
  (takes_winograd(s) ? WinogradConv<T>::vjp : DirectConv<T>::vjp)(s, x, w, dy, dx, dw, db);
}

template <typename T>
const T* ConvSums<T>::total_dw() const {
  parallel_for(dw_size, kStreamGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = 1; i < chunks; ++i)
      kernels<T>().axpy(end - begin, T(1), dw(i) + begin, dw(0) + begin);
  });
  return dw(0);
}

template <typename T>
void ConvSums<T>::total_db(T* db) const {
  for (int64_t j = 0; j < db_size; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < chunks; ++i) sum += dbs.get()[i * db_size + j];
    db[j] = static_cast<T>(sum);
  }
}

template struct ConvSums<float>;
template struct ConvSums<double>;
template decltype(conv<float>) conv<float>;
template decltype(conv<double>) conv<double>;
template decltype(conv_vjp<float>) conv_vjp<float>;
template decltype(conv_vjp<double>) conv_vjp<double>;

}  // namespace ramp
