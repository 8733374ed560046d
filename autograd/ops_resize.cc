#include "ramp/autograd/ops_resize.h"

#include <vector>

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace detail {
namespace {

// y = x [.., n, ..] blended to m pixels along an axis; with `back` the transpose: dx of x = dy.
Tensor blend(const Tensor& x, int axis, int64_t n, int64_t m, const Blends& of, bool back) {
  const int64_t from_size = back ? m : n, to_size = back ? n : m;
  Tensor y = Tensor::zeros(x.shape().without(axis).with(axis, to_size), x.dtype());
  if (y.numel() == 0) return y;
  std::vector<Blend> blends;
  for (int64_t i = 0; i < m; ++i) blends.push_back(of(axis, i, n, m));
  const int64_t row = y.shape().strides()[static_cast<size_t>(axis)];
  visit_float("resample", x.dtype(), [&]<typename T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    parallel_for(y.numel() / (to_size * row), kStreamGrain / (from_size * row + 1) + 1,
                 [&](int64_t o, int64_t stop) {
                   for (; o < stop; ++o) {
                     for (int64_t i = 0; i < m; ++i) {
                       const auto [begin, end, first, rest] = blends[static_cast<size_t>(i)];
                       for (int64_t j = begin; j < end; ++j) {
                         kernels<T>().axpy(row, static_cast<T>(j == begin ? first : rest),
                                           from + (o * from_size + (back ? i : j)) * row,
                                           to + (o * to_size + (back ? j : i)) * row);
                       }
                     }
                   }
                 });
  });
  return y;
}

}  // namespace

void check_images(const char* op, const Tensor& x, int rank) {
  check_float(op, x);
  if (x.rank() == rank && x.shape()[1] > 0 && x.shape()[rank - 2] > 0) return;
  fail_if(rank == 3, "{}: expected signals x [n, w, c] with values; got {}.{}", op, x.shape(),
          x.rank() == 2 ? " Hint: signals of one channel are unsqueeze(x, -1)." : "");
  fail("{}: expected images x [n, h, w, c] with pixels; got {}. Hint: {}", op, x.shape(),
       x.rank() == 3 ? "one image is unsqueeze(x, 0), gray ones are unsqueeze(x, -1)."
                     : "are they flat already, or pooled away?");
}

void check_size(const char* op, const Tensor& x, Size2d size) {
  fail_if(std::min(size.h, size.w) < 1, "{}: y must have at least 1 x 1 pixels; got {} from x {}.",
          op, size.str(), x.shape());
  const auto some = [&](int axis) { return std::max<int64_t>(x.dim(axis), 1); };
  CheckedSize(op, some(0)) * size.h* size.w* some(3);
}

Tensor resample(const char* op, const Tensor& x, Size2d size, const Blends& of) {
  check_images(op, x);
  check_size(op, x, size);
  const int64_t h = x.dim(1), w = x.dim(2);
  const auto forward = [=](const Tensor& x, const Tensor&) {
    return blend(blend(x, 1, h, size.h, of, false), 2, w, size.w, of, false);
  };
  const auto transposed = [=](const Tensor& dy, const Tensor&) {
    return blend(blend(dy, 2, w, size.w, of, true), 1, h, size.h, of, true);
  };
  return linear_map(op, x, {}, forward, transposed);
}

}  // namespace detail

namespace {

using detail::Blend;

Tensor nearest(const char* op, const Tensor& x, Size2d size) {
  return detail::resample(op, x, size, [](int, int64_t i, int64_t n, int64_t m) {
    return Blend{i * n / m, i * n / m + 1, 1, 0};
  });
}

Tensor bilinear(const char* op, const Tensor& x, Size2d size, BilinearOptions options) {
  return detail::resample(op, x, size, [options](int, int64_t i, int64_t n, int64_t m) {
    const double corners = static_cast<double>(i * (n - 1)) / std::max<int64_t>(m - 1, 1),
                 centers = std::max((i + 0.5) * n / m - 0.5, 0.0),
                 at = options.align_corners ? corners : centers;
    const int64_t begin = static_cast<int64_t>(at);
    const bool between = at > begin && begin + 1 < n;
    return Blend{begin, begin + 1 + between, between ? 1 - (at - begin) : 1, at - begin};
  });
}

Size2d scaled(const char* op, const Tensor& x, Size2d scale) {
  detail::check_images(op, x);
  return {(CheckedSize(op, x.shape()[1]) * scale.h).value(),
          (CheckedSize(op, x.shape()[2]) * scale.w).value()};
}

}  // namespace

Tensor resize_nearest2d(const Tensor& x, Size2d size) {
  return nearest("resize_nearest2d", x, size);
}
Tensor resize_bilinear2d(const Tensor& x, Size2d size, BilinearOptions options) {
  return bilinear("resize_bilinear2d", x, size, options);
}
Tensor upsample_nearest2d(const Tensor& x, Size2d scale) {
  const char* op = "upsample_nearest2d";
  return nearest(op, x, scaled(op, x, scale));
}
Tensor upsample_bilinear2d(const Tensor& x, Size2d scale, BilinearOptions options) {
  const char* op = "upsample_bilinear2d";
  return bilinear(op, x, scaled(op, x, scale), options);
}

}  // namespace ramp
