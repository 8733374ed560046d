#include "ramp/autograd/ops_sort.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "ramp/autograd/ops_shape.h"
#include "ramp/core/strided.h"

namespace ramp {
namespace {

// The first k places of each row in order; among equal values the first one comes first.
Sorted first_in_order(const Tensor& x, int axis, int64_t k, bool descending) {
  const AxisSplit s(x.shape(), axis);
  Shape shape = x.shape();
  shape[axis] = k;
  Tensor places = Tensor::empty(shape, i64);
  visit_dtype(x.dtype(), [&]<typename T>(T) {
    const T* from = x.data<T>();
    int64_t* to = places.mutable_data<int64_t>();
    s.for_each_row([&](int64_t r, int64_t first) {
      const auto less = [](T a, T b) { return a < b || (a == a && b != b); };
      const auto before = [&](int64_t i, int64_t j) {
        const T a = from[first + i * s.inner], b = from[first + j * s.inner];
        return less(a, b) ? !descending : less(b, a) ? descending : i < j;
      };
      std::vector<int64_t> order(static_cast<size_t>(s.n));
      std::iota(order.begin(), order.end(), 0);
      std::nth_element(order.begin(), order.begin() + k, order.end(), before);
      std::sort(order.begin(), order.begin() + k, before);
      for (int64_t i = 0; i < k; ++i)
        to[(r / s.inner * k + i) * s.inner + r % s.inner] = order[static_cast<size_t>(i)];
    });
  });
  return {gather(x, axis, places), places};
}

}  // namespace

Sorted sort(const Tensor& x, int axis, SortOptions options) {
  axis = normalize_axis("sort", axis, x);
  return first_in_order(x, axis, x.shape()[axis], options.descending);
}

Sorted topk(const Tensor& x, int64_t k, int axis, TopkOptions options) {
  axis = normalize_axis("topk", axis, x);
  fail_if(k < 0 || k > x.shape()[axis],
          "topk: expected 0 <= k <= {}, the size of axis {} of x {}; got k {}.", x.shape()[axis],
          axis, x.shape(), k);
  return first_in_order(x, axis, k, options.largest);
}

}  // namespace ramp
