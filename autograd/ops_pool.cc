#include "ramp/autograd/ops_pool.h"

#include <algorithm>
#include <limits>

#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_resize.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// Sets the stride, and returns how many windows there are along h and w.
Size2d windows(const char* op, const Tensor& x, Pool2dOptions& o) {
  check_images(op, x);
  if (o.stride == 0) o.stride = o.kernel;
  const auto count = [&](int64_t n, int64_t k, int64_t s, int64_t p) {
    const int64_t rest = n + 2 * p - k + (o.ceil_mode ? s - 1 : 0);
    if (k >= 1 && s >= 1 && p >= 0 && 2 * p <= k && rest >= 0) {
      return rest / s + (o.ceil_mode && rest / s * s >= n + p ? 0 : 1);
    }
    fail(
        "{}: no kernel {} with stride {} and padding {} (at most half the kernel) fits x {}. "
        "Hint: has the image been pooled too often?",
        op, o.kernel.str(), o.stride.str(), o.padding.str(), x.shape());
  };
  return {count(x.shape()[1], o.kernel.h, o.stride.h, o.padding.h),
          count(x.shape()[2], o.kernel.w, o.stride.w, o.padding.w)};
}

Axes pixels(const char* op, const Tensor& x) {
  check_defined(op, "x", x);
  if (x.rank() == 3) return 1;
  if (x.rank() == 4) return {1, 2};
  fail("{}: expected x [n, h, w, c] or [n, l, c]; got {}.", op, x.shape());
}

}  // namespace

Tensor max_pool2d(const Tensor& x, Pool2dOptions options) {
  const Size2d out = windows("max_pool2d", x, options);
  const Size2d k = options.kernel, s = options.stride, p = options.padding;
  if (k.h * k.w > 256) {
    fail("max_pool2d: a window has at most 256 places; got kernel {}. Hint: pool twice.", k.str());
  }
  const int64_t n = x.shape()[0], h = x.shape()[1], w = x.shape()[2], c = x.shape()[3];
  const int64_t below = std::max<int64_t>((out.h - 1) * s.h + k.h - p.h - h, 0),
                right = std::max<int64_t>((out.w - 1) * s.w + k.w - p.w - w, 0);
  if (p.h + p.w + below + right > 0) {
    const Tensor padded = pad(x, {{0, 0}, {p.h, below}, {p.w, right}, {0, 0}},
                              -std::numeric_limits<double>::infinity());
    return max_pool2d(padded, {.kernel = k, .stride = s});
  }
  // f(first value of the windows, first value of y) for all rows of windows, `block` rows in order.
  const auto for_rows = [=](int64_t block, auto f) {
    const int64_t grain = kStreamGrain / (block * k.h * w * c + 1) + 1;
    parallel_for(n * out.h / block, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin * block; r < end * block; ++r) {
        f((r / out.h * h + r % out.h * s.h) * w * c, r * out.w * c);
      }
    });
  };
  return visit_float("max_pool2d", x.dtype(), [&]<typename T>(T) {
    Tensor y = Tensor::empty({n, out.h, out.w, c}, x.dtype());
    const Ref<Storage> places = Storage::make(static_cast<size_t>(y.numel()));
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    auto* at = static_cast<uint8_t*>(places->data());
    for_rows(1, [&](int64_t i, int64_t o) {
      kernels<T>().max_pool_row(out.w, c, k.h, k.w, from + i, w * c, s.w * c, to + o, at + o);
    });
    return record("max_pool2d", y, {x}, [=](const Tensor& dy, Wants want) {
      const bool apart = s == k, all = apart && out.h * k.h == h && out.w * k.w == w;
      Tensor dx = (all ? Tensor::empty : Tensor::zeros)(want.shape(0), dy.dtype());
      const T* g = dy.data<T>();
      T* d = dx.mutable_data<T>();
      const auto* at = static_cast<const uint8_t*>(places->data());
      for_rows(apart ? 1 : out.h, [&](int64_t i, int64_t o) {
        kernels<T>().max_unpool_row(out.w, c, k.h, k.w, g + o, at + o, d + i, w * c, s.w * c,
                                    !apart);
      });
      return dx;
    });
  });
}

Tensor avg_pool2d(const Tensor& x, Pool2dOptions o) {
  const Size2d out = windows("avg_pool2d", x, o);
  return resample("avg_pool2d", x, out, [&](int axis, int64_t i, int64_t n, int64_t) {
    const auto [k, s, p] = axis == 1 ? std::array{o.kernel.h, o.stride.h, o.padding.h}
                                     : std::array{o.kernel.w, o.stride.w, o.padding.w};
    const int64_t begin = i * s - p, end = std::min(begin + k, n + p),
                  first = std::max<int64_t>(begin, 0), last = std::min(end, n);
    const double f = 1.0 / (o.count_include_pad ? end - begin : last - first);
    return Blend{first, last, f, f};
  });
}

Tensor adaptive_avg_pool2d(const Tensor& x, Size2d size) {
  return resample("adaptive_avg_pool2d", x, size, [](int, int64_t i, int64_t n, int64_t m) {
    const int64_t begin = i * n / m, end = ((i + 1) * n + m - 1) / m;
    return Blend{begin, end, 1.0 / (end - begin), 1.0 / (end - begin)};
  });
}

Tensor global_avg_pool(const Tensor& x) { return mean(x, pixels("global_avg_pool", x)); }
Tensor global_max_pool(const Tensor& x) { return max(x, pixels("global_max_pool", x)); }

}  // namespace ramp
