#include "ramp/autograd/activation.h"

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {

template <typename T>
void ReLU::f_block(int64_t n, const T* x, T* y) const {
  kernels<T>().unary[static_cast<int>(Unary::relu)](n, x, y);
}
template <typename T>
void ReLU::vjp_block(int64_t n, const T* y, const T* dy, T* dx) const {
  kernels<T>().unary_vjp[static_cast<int>(Unary::relu)](n, y, y, dy, dx);
}
template void ReLU::f_block(int64_t, const float*, float*) const;
template void ReLU::f_block(int64_t, const double*, double*) const;
template void ReLU::vjp_block(int64_t, const float*, const float*, float*) const;
template void ReLU::vjp_block(int64_t, const double*, const double*, double*) const;

template <typename T>
void LeakyReLU::f_block(int64_t n, const T* x, T* y) const {
  kernels<T>().leaky_relu(n, static_cast<T>(slope), x, y);
}
template <typename T>
void LeakyReLU::vjp_block(int64_t n, const T* x, const T* dy, T* dx) const {
  kernels<T>().leaky_relu_vjp(n, static_cast<T>(slope), x, dy, dx);
}
template void LeakyReLU::f_block(int64_t, const float*, float*) const;
template void LeakyReLU::f_block(int64_t, const double*, double*) const;
template void LeakyReLU::vjp_block(int64_t, const float*, const float*, float*) const;
template void LeakyReLU::vjp_block(int64_t, const double*, const double*, double*) const;

Tensor activate(const Tensor& x, const Activation& activation) {
  check_defined("activate", "x", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_float("activate", x.dtype(), [&]<typename T>(T) {
    const T* p = x.data<T>();
    T* out = y.mutable_data<T>();
    parallel_for(x.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      activation.f_block(end - begin, p + begin, out + begin);
    });
  });
  const Saved at = activation.derives_from_x() ? x : y;
  return record("activate", std::move(y), {x}, [at, f = activation](const Tensor& dy, Wants) {
    return activation_vjp(f, at.get("activate", f.derives_from_x() ? "x" : "y"), dy);
  });
}

Tensor activation_vjp(const Activation& f, const Tensor& at, const Tensor& dy) {
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype());
  visit_float("activate", dy.dtype(), [&]<typename T>(T) {
    const T *p = at.data<T>(), *g = dy.data<T>();
    T* out = dx.mutable_data<T>();
    parallel_for(dy.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      f.vjp_block(end - begin, p + begin, g + begin, out + begin);
    });
  });
  return dx;
}

}  // namespace ramp
