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
#include "ramp/core/taps.h"

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

// y [n, out.h, out.w, c] = the largest values of windows of x [n, h, w, c]. The weights of the
// windows' rows and columns make up a pixel's place. `apart`: each pixel lies in one of them.
template <typename T>
Tensor max_windows(const char* op, const Tensor& x, Size2d out, const TapTable<Place<T>>& rows,
                   const TapTable<Place<T>>& cols, bool apart) {
  const int64_t n = x.dim(0), w = x.dim(2), c = x.dim(3), image = x.dim(1) * w * c;
  // f(row of windows in the image, where the image and that row begin), `block` rows in order
  const auto for_rows = [=](int64_t block, auto f) {
    const int64_t grain = kStreamGrain * out.h / (block * image + 1) + 1;
    parallel_for(n * out.h / block, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin * block; r < end * block; ++r)
        f(r % out.h, r / out.h * image, r * out.w * c);
    });
  };
  Tensor y = Tensor::empty({n, out.h, out.w, c}, x.dtype());
  const auto places = Storage::make(static_cast<size_t>(y.numel()) * sizeof(Place<T>));
  auto* at = static_cast<Place<T>*>(places->data());
  const T* from = x.data<T>();
  T* to = y.mutable_data<T>();
  for_rows(1, [&](int64_t i, int64_t first, int64_t row) {
    kernels<T>().max_pool(out.w, c, rows.at(i), cols.at(0), from + first, w * c, to + row,
                          at + row);
  });
  const auto move = [=](Way way, T* x, T* y) {
    const auto* at = static_cast<const Place<T>*>(places->data());
    for_rows(way == kAdd ? out.h : 1, [&](int64_t i, int64_t first, int64_t row) {
      if (way == kAdd && i == 0) std::fill_n(x + first, image, T{0});
      kernels<T>().at_place[way](out.w, c, rows.at(i), cols.at(0), x + first, w * c, at + row,
                                 y + row);
    });
  };
  const auto place = [=, shape = x.shape()](const Tensor& dy, const Tensor&) {
    Tensor dx = Tensor::empty(shape, dy.dtype());
    move(apart ? kSet : kAdd, dx.mutable_data<T>(), const_cast<T*>(dy.data<T>()));
    return dx;
  };
  const auto pick = [=, shape = y.shape()](const Tensor& x, const Tensor&) {
    Tensor y = Tensor::empty(shape, x.dtype());
    move(kPick, const_cast<T*>(x.data<T>()), y.mutable_data<T>());
    return y;
  };
  return record(op, y, {x},
                [=](const Tensor& dy, Wants) { return linear_map(op, dy, {}, place, pick); });
}

Tensor max_pool(const char* op, int rank, const Tensor& given, Size2d k, MaxPool2dOptions o) {
  const Size2d out = windows(op, rank, given, k, o, o.dilation);
  const Tensor x = as_images(given);
  fail_if(k.h > (int64_t{1} << 30) / k.w, "{}: expected a kernel of at most 2^30 pixels; got {}.",
          op, k.str());
  const Size2d s = o.stride, p = o.padding, d = o.dilation;
  const bool apart =
      s == k && p == 0 && d == 1 && out.h * k.h == x.dim(1) && out.w * k.w == x.dim(2);
  return visit_float(op, x.dtype(), [&]<typename T>(T) {
    const auto rows = window_taps<Place<T>>(x.dim(1), out.h, k.w, [&](int64_t i) {
      return Window{i * s.h - p.h, k.h, d.h};
    });
    const auto cols = window_taps<Place<T>>(x.dim(2), out.w, 1, [&](int64_t i) {
      return Window{i * s.w - p.w, k.w, d.w};
    });
    return as_given(rank, max_windows<T>(op, x, out, rows, cols, apart));
  });
}

// Window i of m of adaptive pooling: they hold all n pixels, and overlap where n is no multiple of
// m.
Window adaptive_window(int64_t i, int64_t n, int64_t m) {
  return {i * n / m, ceil_div((i + 1) * n, m) - i * n / m};
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
  const AvgPool2dOptions wide{along_width(o.stride), Size2d{0, o.padding}, o.ceil_mode,
                              o.count_include_pad, o.divisor_override};
  return avg_pool("avg_pool1d", 3, x, {1, kernel}, wide);
}

Tensor adaptive_avg_pool2d(const Tensor& x, Size2d size) {
  return detail::resample("adaptive_avg_pool2d", x, size, [](int, int64_t i, int64_t n, int64_t m) {
    const auto [begin, count, apart] = adaptive_window(i, n, m);
    return detail::Blend{begin, begin + count, 1.0 / count, 1.0 / count};
  });
}

Tensor adaptive_max_pool2d(const Tensor& x, Size2d size) {
  const char* op = "adaptive_max_pool2d";
  detail::check_images(op, x);
  detail::check_size(op, x, size);
  const int64_t h = x.dim(1), w = x.dim(2);
  return visit_float(op, x.dtype(), [&]<typename T>(T) {
    const auto along = [](int64_t n, int64_t m, int64_t step) {
      return window_taps<Place<T>>(n, m, step, [=](int64_t i) { return adaptive_window(i, n, m); });
    };
    return max_windows<T>(op, x, size, along(h, size.h, w), along(w, size.w, 1),
                          h % size.h + w % size.w == 0);
  });
}

Tensor global_avg_pool(const Tensor& x) { return mean(x, pixels("global_avg_pool", x)); }
Tensor global_max_pool(const Tensor& x) { return max(x, pixels("global_max_pool", x)); }

}  // namespace ramp
