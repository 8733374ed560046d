#include "ramp/autograd/ops_softmax.h"

#include <algorithm>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/strided.h"

namespace ramp {
namespace {

// y = kernel(x) along an axis; the kernels take the last one, others are swapped with it.
// again(y, dy) is what vjp computes, in recorded ops.
template <typename Kernel, typename Vjp, typename Again>
Tensor along(const char* op, const Tensor& x, int axis, Kernel kernel, Vjp vjp, Again again) {
  check_defined(op, "x", x);
  if (x.rank() == 0) fail("{}: expected a tensor of at least one axis; got a scalar.", op);
  axis = normalize_axis(op, axis, x.rank());
  if (axis != x.rank() - 1)
    return transpose(along(op, transpose(x, axis, -1), -1, kernel, vjp, again), axis, -1);
  const int64_t n = std::max<int64_t>(x.shape().last(), 1);
  const int64_t grain = std::max<int64_t>(1, kStreamGrain / n) * n;
  const auto on_rows = [n](auto of) {
    return [n, of]<typename T, typename... More>(int64_t count, const T* x, More*... more) {
      of(kernels<T>())(count / n, n, x, more...);
    };
  };
  Tensor y = map_chunks(op, grain, on_rows(kernel), x);
  return record(op, y, {x}, [=, y = Saved(y, "its result")](const Tensor& dy, Wants) {
    if (grad_enabled()) return again(y.get(), dy);
    return map_chunks(op, grain, on_rows(vjp), y.get(), dy);
  });
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  return along(
      "softmax", x, axis, [](const auto& k) { return k.softmax; },
      [](const auto& k) { return k.softmax_vjp; },
      [](const Tensor& y, const Tensor& dy) {
        return y * (dy - sum(dy * y, -1, {.keepdims = true}));
      });
}

Tensor log_softmax(const Tensor& x, int axis) {
  return along(
      "log_softmax", x, axis, [](const auto& k) { return k.log_softmax; },
      [](const auto& k) { return k.log_softmax_vjp; },
      [](const Tensor& y, const Tensor& dy) {
        return dy - exp(y) * sum(dy, -1, {.keepdims = true});
      });
}

}  // namespace ramp
