#include "ramp/core/activation.h"

#include "ramp/core/kernels/kernels.h"

namespace ramp::detail {

template <typename T>
void run_rule(int index, const void* rule, int64_t n, const T* x, T* y) {
  kernels<T>().unary[index](rule, n, x, y);
}
template <typename T>
void run_rule_vjp(int index, const void* rule, int64_t n, const T* at, const T* dy, T* dx) {
  kernels<T>().unary_vjp[index](rule, n, at, dy, dx);
}
template void run_rule(int, const void*, int64_t, const float*, float*);
template void run_rule(int, const void*, int64_t, const double*, double*);
template void run_rule_vjp(int, const void*, int64_t, const float*, const float*, float*);
template void run_rule_vjp(int, const void*, int64_t, const double*, const double*, double*);

}  // namespace ramp::detail
