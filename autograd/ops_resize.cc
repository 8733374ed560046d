#include "ramp/autograd/ops_resize.h"

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

// y = x blended along an axis, or dx of y = dy, with n places.
Tensor blend(const Tensor& x, int axis, int64_t n, const std::vector<Blend>& blends, bool back) {
  Tensor y = Tensor::zeros(x.shape().without(axis).with(axis, n), x.dtype());
  const int64_t m = x.shape()[axis], row = y.shape().strides()[static_cast<size_t>(axis)],
                outer = y.numel() / std::max<int64_t>(n * row, 1);
  visit_float("resample", x.dtype(), [&]<typename T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    parallel_for(outer, kStreamGrain / (m * row + 1) + 1, [&](int64_t o, int64_t stop) {
      for (; o < stop; ++o) {
        for (int64_t i = 0; i < std::ssize(blends); ++i) {
          const auto [begin, end, first, rest] = blends[static_cast<size_t>(i)];
          for (int64_t j = begin; j < end; ++j) {
            kernels<T>().axpy(row, static_cast<T>(j == begin ? first : rest),
                              from + (o * m + (back ? i : j)) * row,
                              to + (o * n + (back ? j : i)) * row);
          }
        }
      }
    });
  });
  return y;
}

Size2d scaled(const char* op, const Tensor& x, Size2d scale) {
  check_images(op, x);
  return {x.shape()[1] * scale.h, x.shape()[2] * scale.w};
}

}  // namespace

void check_images(const char* op, const Tensor& x) {
  check_defined(op, "x", x);
  visit_float(op, x.dtype(), [](auto) {});
  if (x.rank() == 4 && x.shape()[1] > 0 && x.shape()[2] > 0) return;
  fail("{}: expected images x [n, h, w, c] with pixels; got {}. Hint: {}", op, x.shape(),
       x.rank() == 3 ? "one image is unsqueeze(x, 0), gray ones are unsqueeze(x, -1)."
                     : "are they flat already, or pooled away?");
}

Tensor resample(const char* op, const Tensor& x, Size2d size,
                FunctionRef<Blend(int axis, int64_t i, int64_t n, int64_t m)> of) {
  check_images(op, x);
  if (std::min(size.h, size.w) < 1) {
    fail("{}: y must have at least 1 x 1 pixels; got {} from x {}.", op, size.str(), x.shape());
  }
  std::vector<Blend> h, w;
  for (int64_t i = 0; i < size.h; ++i) h.push_back(of(1, i, x.shape()[1], size.h));
  for (int64_t i = 0; i < size.w; ++i) w.push_back(of(2, i, x.shape()[2], size.w));
  Tensor y = blend(blend(x, 1, size.h, h, false), 2, size.w, w, false);
  return record(op, y, {x}, [h, w](const Tensor& dy, Wants want) {
    const Shape& x = want.shape(0);
    return blend(blend(dy, 2, x[2], w, true), 1, x[1], h, true);
  });
}

Tensor upsample_nearest2d(const Tensor& x, Size2d scale) {
  const char* op = "upsample_nearest2d";
  return resample(op, x, scaled(op, x, scale), [](int, int64_t i, int64_t n, int64_t m) {
    return Blend{i * n / m, i * n / m + 1, 1, 0};
  });
}

Tensor upsample_bilinear2d(const Tensor& x, Size2d scale, BilinearOptions options) {
  const char* op = "upsample_bilinear2d";
  return resample(op, x, scaled(op, x, scale), [&](int, int64_t i, int64_t n, int64_t m) {
    const double corners = static_cast<double>(i * (n - 1)) / std::max<int64_t>(m - 1, 1),
                 centers = std::max((i + 0.5) * n / m - 0.5, 0.0),
                 at = options.align_corners ? corners : centers;
    const int64_t begin = static_cast<int64_t>(at);
    const bool between = at > begin && begin + 1 < n;
    return Blend{begin, begin + 1 + between, between ? 1 - (at - begin) : 1, at - begin};
  });
}

}  // namespace ramp
