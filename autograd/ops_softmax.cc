#include "ramp/autograd/ops_softmax.h"

#include <algorithm>

#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// f(rows, offset of the first): the rows of the last axis, on all threads.
template <typename F>
void for_rows(const Tensor& x, F f) {
  const int64_t n = x.shape().last();
  if (x.numel() == 0) return;
  parallel_for(x.numel() / n, std::max<int64_t>(1, kStreamGrain / n),
               [&](int64_t begin, int64_t end) { f(end - begin, begin * n); });
}

// y = kernel(x) along an axis; the kernels take the last one, others are swapped with it.
template <typename Kernel, typename Vjp>
Tensor along(const char* op, const Tensor& x, int axis, Kernel kernel, Vjp vjp) {
  check_defined(op, "x", x);
  if (x.rank() == 0) fail("{}: expected a tensor of at least one axis; got a scalar.", op);
  axis = normalize_axis(op, axis, x.rank());
  if (axis != x.rank() - 1) {
    return transpose(along(op, transpose(x, axis, -1), -1, kernel, vjp), axis, -1);
  }
  return visit_float(op, x.dtype(), [&]<typename T>(T) {
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for_rows(x, [&](int64_t rows, int64_t at) {
      kernel(kernels<T>())(rows, x.shape().last(), from + at, to + at);
    });
    return record(op, y, {x}, [vjp, y = Saved(y, "its result")](const Tensor& dy, Wants) {
      const Tensor& saved = y.get();
      Tensor dx = Tensor::empty(dy.shape(), dy.dtype());
      const T *value = saved.data<T>(), *g = dy.data<T>();
      T* to = dx.mutable_data<T>();
      for_rows(dy, [&](int64_t rows, int64_t at) {
        vjp(kernels<T>())(rows, dy.shape().last(), value + at, g + at, to + at);
      });
      return dx;
    });
  });
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  return along(
      "softmax", x, axis, [](const auto& k) { return k.softmax; },
      [](const auto& k) { return k.softmax_vjp; });
}

Tensor log_softmax(const Tensor& x, int axis) {
  return along(
      "log_softmax", x, axis, [](const auto& k) { return k.log_softmax; },
      [](const auto& k) { return k.log_softmax_vjp; });
}

}  // namespace ramp
