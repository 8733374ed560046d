#include "ramp/autograd/ops_sort.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "ramp/autograd/ops_shape.h"
#include "ramp/core/strided.h"

namespace ramp {
namespace {

// A value and its place in a number that orders as values do: NaN last, equal ones by place.
using Placed = unsigned __int128;

template <typename T>
Placed placed(T value, int64_t place, bool descending) {
  constexpr uint64_t kTop = uint64_t{1} << 63;
  uint64_t key = 0;
  if constexpr (std::is_same_v<T, int64_t>) {
    key = kTop ^ static_cast<uint64_t>(value);
  } else {
    const auto bits = std::bit_cast<int64_t>(static_cast<double>(value + T{0}));  // no -0
    key = value != value ? ~key : static_cast<uint64_t>(bits ^ (bits >> 63)) | (~bits & kTop);
  }
  return Placed{descending ? ~key : key} << 64 | static_cast<uint64_t>(place);
}

// Halves are merged from both ends at once, by choices that are no branches.
void merge_sort(Placed* x, Placed* scratch, int64_t n) {
  if (n < 2) return;
  const int64_t half = n / 2;
  merge_sort(x, scratch, half);
  merge_sort(x + half, scratch, n - half);
  std::copy_n(x, n, scratch);
  const Placed *a = scratch, *b = a + half, *a_end = b - 1, *b_end = a + n - 1;
  for (int64_t i = 0; i < half; ++i) {
    const bool first = *b < *a, last = *b_end < *a_end;
    x[i] = *(first ? b : a);
    x[n - 1 - i] = *(last ? a_end : b_end);
    b += first;
    a += !first;
    a_end -= last;
    b_end -= !last;
  }
  if (n % 2 == 1) x[half] = *(a <= a_end ? a : b);
}

// all[0, k) = the first k in order of x[i * step], kept while the row goes by.
template <bool kDescending, typename T>
void first_few(int64_t n, const T* x, int64_t step, int64_t k, Placed* all) {
  int64_t count = 0;
  T last{};
  for (int64_t i = 0; i < n; ++i) {
    const T v = x[i * step];
    if (count == k && (kDescending ? v <= last : v >= last)) continue;  // NaN does not
    const Placed p = placed(v, i, kDescending);
    if (count == k && all[k - 1] < p) continue;
    int64_t at = count < k ? count++ : k - 1;
    for (; at > 0 && p < all[at - 1]; --at) all[at] = all[at - 1];
    all[at] = p;
    last = x[static_cast<int64_t>(all[count - 1]) * step];
  }
}

// The first k places of each row in order.
Sorted first_in_order(const Tensor& x, int axis, int64_t k, bool descending) {
  const AxisSplit s(x.shape(), axis);
  Shape shape = x.shape();
  shape[axis] = k;
  Tensor places = Tensor::empty(shape, i64);
  visit_dtype(x.dtype(), [&]<typename T>(T) {
    const T* from = x.data<T>();
    int64_t* to = places.mutable_data<int64_t>();
    parallel_for(s.outer * s.inner, kStreamGrain / (s.n + 1) + 1, [&](int64_t r, int64_t end) {
      std::vector<Placed> all(static_cast<size_t>(s.n)), scratch(all);
      for (; r < end; ++r) {
        const int64_t o = r / s.inner, j = r % s.inner;
        const T* first = from + o * s.n * s.inner + j;
        if (k > 0 && k <= 16 && k < s.n) {
          (descending ? first_few<true, T> : first_few<false, T>)(s.n, first, s.inner, k,
                                                                  all.data());
        } else {
          for (int64_t i = 0; i < s.n; ++i) all[i] = placed(first[i * s.inner], i, descending);
          merge_sort(all.data(), scratch.data(), s.n);
        }
        for (int64_t i = 0; i < k; ++i)
          to[(o * k + i) * s.inner + j] = static_cast<int64_t>(all[i]);
      }
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
