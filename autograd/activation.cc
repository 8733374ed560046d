#include "ramp/autograd/activation.h"

#include <fmt/format.h>

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {

void check_options(const char* rule, bool ok, const char* expected,
                   std::initializer_list<double> options) {
  if (!ok) fail("{}: expected {}; got {}.", rule, expected, fmt::join(options, " and "));
}

template <typename T>
void run_rule(int index, const void* rule, int64_t n, const T* x, T* y) {
  kernels<T>().activation[index](rule, n, x, y);
}
template <typename T>
void run_rule_vjp(int index, const void* rule, int64_t n, const T* at, const T* dy, T* dx) {
  kernels<T>().activation_vjp[index](rule, n, at, dy, dx);
}
template void run_rule(int, const void*, int64_t, const float*, float*);
template void run_rule(int, const void*, int64_t, const double*, double*);
template void run_rule_vjp(int, const void*, int64_t, const float*, const float*, float*);
template void run_rule_vjp(int, const void*, int64_t, const double*, const double*, double*);

Tensor activate(const Tensor& x, const Activation& f) {
  check_defined(f.name(), "x", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_float(f.name(), x.dtype(), [&]<typename T>(T) {
    const T* p = x.data<T>();
    T* out = y.mutable_data<T>();
    parallel_for(x.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      f.f_block(end - begin, p + begin, out + begin);
    });
  });
  const auto at = f.derives_from_x() ? Saved(x, "x") : Saved(y, "y");
  return record(f.name(), std::move(y), {x},
                [at, f](const Tensor& dy, Wants) { return activation_vjp(f, at.get(), dy); });
}

Tensor activation_vjp(const Activation& f, const Tensor& at, const Tensor& dy) {
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype());
  visit_float(f.name(), dy.dtype(), [&]<typename T>(T) {
    const T *p = at.data<T>(), *g = dy.data<T>();
    T* out = dx.mutable_data<T>();
    parallel_for(dy.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      f.vjp_block(end - begin, p + begin, g + begin, out + begin);
    });
  });
  return dx;
}

}  // namespace ramp
