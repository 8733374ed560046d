#include "ramp/autograd/ops_pool.h"

#include <algorithm>
#include <cmath>

#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_resize.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"
#include "ramp/core/rules.h"

namespace ramp {
namespace {

// Sets the stride, and returns how many windows there are along h and w of x [n, h, w, c], or 1 and
// w of x [n, w, c]. An average has no dilation.
template <typename Options>
Size2d windows(const char* op, int rank, const Tensor& x, Size2d kernel, Options& o,
               Size2d dilation = 1) {
  detail::check_images(op, x, rank);
  if (o.stride == 0) o.stride = kernel;
  const int w = rank - 2;
  const auto text = [&](Size2d s) { return w == 1 ? fmt::format("{}", s.w) : s.str(); };
  const auto count = [&](int64_t n, int64_t k, int64_t s, int64_t p, int64_t d) {
    if (k >= 1 && s >= 1 && p >= 0 && d >= 1) {
      const int64_t effective_kernel = ((CheckedSize(op, k) - 1) * d + 1).value();
      const int64_t rest = (CheckedSize(op, p) * 2 + n - effective_kernel).value();
      const int64_t more = o.ceil_mode ? CheckedSize(op, s).value() - 1 : 0;
      if (2 * p <= k && rest + more >= 0) {
        const int64_t last = (rest + more) / s;
        return last + (o.ceil_mode && last * s >= n + p ? 0 : 1);
      }
    }
    fail(
        "{}: no kernel {} with stride {}, padding {} (at most half the kernel){} fits x {}. Hint: "
        "has the image been pooled too often?",
        op, text(kernel), text(o.stride), text(o.padding),
        dilation == 1 ? "" : " and dilation " + text(dilation), x.shape());
  };
  return {w == 1 ? 1 : count(x.dim(1), kernel.h, o.stride.h, o.padding.h, dilation.h),
          count(x.dim(w), kernel.w, o.stride.w, o.padding.w, dilation.w)};
}

// A signal is an image of height 1.
Tensor as_images(const Tensor& x) { return x.rank() == 3 ? unsqueeze(x, 1) : x; }
Tensor as_given(int rank, const Tensor& y) { return rank == 3 ? squeeze(y, 1) : y; }
Size2d along_width(int64_t stride) { return {std::min<int64_t>(stride, 1), stride}; }

// `count` pixels from `begin` on, `step` apart.
struct Window {
  int64_t begin, count, step;
};
// Those of adaptive pooling: they hold all pixels, and overlap where n is no multiple of m.
Window adaptive_window(int64_t i, int64_t n, int64_t m) {
  const int64_t begin = i * n / m;
  return {begin, ceil_div((i + 1) * n, m) - begin, 1};
}

// The largest value of each of m windows along an axis, the first one or the first NaN. Along w,
// then along h: what is largest in a rectangle, and first row by row.
Tensor max_along(const Tensor& x, int axis, int64_t m, FunctionRef<Window(int64_t i)> window) {
  std::vector<Tensor> y;
  for (int64_t i = 0; i < m; ++i) {
    const auto [begin, count, step] = window(i);
    const Tensor values = slice(x, axis, begin, begin + (count - 1) * step + 1, step);
    y.push_back(max(values, axis, {.keepdims = true}));
  }
  return concat(y, axis);
}

// Of x [n, h, w, c], whose padding is large enough for all windows.
Tensor max_pool_padded(const char* op, const Tensor& x, Size2d out, Size2d k, Size2d s, Size2d d) {
  const int64_t n = x.dim(0), h = x.dim(1), w = x.dim(2), c = x.dim(3);
  if (k.h > 256 / k.w) {  // an index takes a byte
    const auto along = [&](const Tensor& x, int axis, int64_t m, int64_t s, int64_t k, int64_t d) {
      return max_along(x, axis, m, [=](int64_t i) { return Window{i * s, k, d}; });
    };
    return along(along(x, 2, out.w, s.w, k.w, d.w), 1, out.h, s.h, k.h, d.h);
  }
  // f(first value of the windows, first value of y) for all rows of windows, `block` rows in order.
  const auto for_rows = [=](int64_t block, auto f) {
    const int64_t grain = kStreamGrain / (block * k.h * w * c + 1) + 1;
    parallel_for(n * out.h / block, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin * block; r < end * block; ++r)
        f((r / out.h * h + r % out.h * s.h) * w * c, r * out.w * c);
    });
  };
  return visit_float(op, x.dtype(), [&]<typename T>(T) {
    Tensor y = Tensor::empty({n, out.h, out.w, c}, x.dtype());
    const Ref<Storage> index = Storage::make(static_cast<size_t>(y.numel()));
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    auto* at = static_cast<uint8_t*>(index->data());
    for_rows(1, [&](int64_t i, int64_t o) {
      kernels<T>().max_pool_row(out.w, c, k.h, k.w, from + i, d.h * w * c, d.w * c, s.w * c, to + o,
                                at + o);
    });
    const auto place = [=, shape = x.shape()](const Tensor& dy, const Tensor&) {
      const bool apart = s == k && d == 1, all = apart && out.h * k.h == h && out.w * k.w == w;
      Tensor dx = (all ? Tensor::empty : Tensor::zeros)(shape, dy.dtype());
      const T* g = dy.data<T>();
      T* to = dx.mutable_data<T>();
      const auto* at = static_cast<const uint8_t*>(index->data());
      for_rows(apart ? 1 : out.h, [&](int64_t i, int64_t o) {
        kernels<T>().max_unpool_row(out.w, c, k.h, k.w, g + o, at + o, to + i, d.h * w * c, d.w * c,
                                    s.w * c, !apart);
      });
      return dx;
    };
    const auto pick = [=, shape = y.shape()](const Tensor& x, const Tensor&) {
      Tensor y = Tensor::empty(shape, x.dtype());
      const T* from = x.data<T>();
      T* to = y.mutable_data<T>();
      const auto* at = static_cast<const uint8_t*>(index->data());
      for_rows(1, [&](int64_t i, int64_t o) {
        for (int64_t j = 0; j < out.w * c; ++j) {
          const int64_t p = at[o + j] / k.w * d.h * w + at[o + j] % k.w * d.w + j / c * s.w;
          to[o + j] = from[i + p * c + j % c];
        }
      });
      return y;
    };
    return record(op, y, {x},
                  [=](const Tensor& dy, Wants) { return linear_map(op, dy, {}, place, pick); });
  });
}

Tensor max_pool(const char* op, int rank, const Tensor& given, Size2d k, MaxPool2dOptions o) {
  const Size2d out = windows(op, rank, given, k, o, o.dilation);
  const Tensor x = as_images(given);
  const auto [s, p, d, ceil_mode] = o;
  const auto after = [](int64_t n, int64_t out, int64_t k, int64_t s, int64_t p, int64_t d) {
    return std::max<int64_t>((out - 1) * s + d * (k - 1) + 1 - p - n, 0);
  };
  const int64_t below = after(x.dim(1), out.h, k.h, s.h, p.h, d.h),
                right = after(x.dim(2), out.w, k.w, s.w, p.w, d.w);
  const bool pads = p.h + p.w + below + right > 0;
  const Tensor all = pads ? pad(x, {{0, 0}, {p.h, below}, {p.w, right}, {0, 0}}, -INFINITY) : x;
  return as_given(rank, max_pool_padded(op, all, out, k, s, d));
}

Tensor avg_pool(const char* op, int rank, const Tensor& x, Size2d kernel, AvgPool2dOptions o) {
  const Size2d out = windows(op, rank, x, kernel, o);
  check_options(op, o.divisor_override >= 0,
                "a divisor_override of at least 1, or 0 for a window's pixels",
                {static_cast<double>(o.divisor_override)});
  const auto blend = [=](int axis, int64_t i, int64_t n, int64_t) {
    const auto [k, s, p] = axis == 1 ? std::array{kernel.h, o.stride.h, o.padding.h}
                                     : std::array{kernel.w, o.stride.w, o.padding.w};
    const int64_t begin = i * s - p, end = std::min(begin + k, n + p),
                  first = std::max<int64_t>(begin, 0), last = std::min(end, n);
    const int64_t pixels = o.count_include_pad ? end - begin : last - first;
    const double f = 1.0 / (o.divisor_override == 0 ? pixels : axis == 1 ? 1 : o.divisor_override);
    return detail::Blend{first, last, f, f};
  };
  return as_given(rank, detail::resample(op, as_images(x), out, blend));
}

Axes pixels(const char* op, const Tensor& x) {
  check_defined(op, "x", x);
  if (x.rank() == 3) return 1;
  if (x.rank() == 4) return {1, 2};
  fail("{}: expected x [n, h, w, c] or [n, w, c]; got {}.", op, x.shape());
}

}  // namespace

Tensor max_pool2d(const Tensor& x, Size2d kernel, const MaxPool2dOptions& o) {
  return max_pool("max_pool2d", 4, x, kernel, o);
}
Tensor max_pool1d(const Tensor& x, int64_t kernel, const MaxPool1dOptions& o) {
  return max_pool("max_pool1d", 3, x, {1, kernel},
                  {along_width(o.stride), {0, o.padding}, {1, o.dilation}, o.ceil_mode});
}

Tensor avg_pool2d(const Tensor& x, Size2d kernel, const AvgPool2dOptions& o) {
  return avg_pool("avg_pool2d", 4, x, kernel, o);
}
Tensor avg_pool1d(const Tensor& x, int64_t kernel, const AvgPool1dOptions& o) {
  return avg_pool("avg_pool1d", 3, x, {1, kernel},
                  {along_width(o.stride), {0, o.padding}, o.ceil_mode, o.count_include_pad});
}

Tensor adaptive_avg_pool2d(const Tensor& x, Size2d size) {
  return detail::resample("adaptive_avg_pool2d", x, size, [](int, int64_t i, int64_t n, int64_t m) {
    const auto [begin, count, step] = adaptive_window(i, n, m);
    return detail::Blend{begin, begin + count, 1.0 / count, 1.0 / count};
  });
}

Tensor adaptive_max_pool2d(const Tensor& x, Size2d size) {
  const char* op = "adaptive_max_pool2d";
  detail::check_images(op, x);
  detail::check_size(op, x, size);
  const auto along = [&](const Tensor& x, int axis, int64_t m) {
    return max_along(x, axis, m, [&](int64_t i) { return adaptive_window(i, x.dim(axis), m); });
  };
  return along(along(x, 2, size.w), 1, size.h);
}

Tensor global_avg_pool(const Tensor& x) { return mean(x, pixels("global_avg_pool", x)); }
Tensor global_max_pool(const Tensor& x) { return max(x, pixels("global_max_pool", x)); }

}  // namespace ramp
