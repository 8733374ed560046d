#include "ramp/autograd/ops_resize.h"

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

// y = x blended along an axis, or dx of y = dy, with n places.
Tensor blend(const Tensor& x, int axis, int64_t n, const std::vector<Blend>& blends, bool back) {
  Tensor y = Tensor::zeros(x.shape().without(axis).with(axis, n), x.dtype());
  const int64_t m = x.shape()[axis], inner = y.shape().strides()[static_cast<size_t>(axis)];
  visit_float("resample", x.dtype(), [&]<typename T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    const auto add = kernels<T>().axpy;
    const int64_t outer = y.numel() / std::max<int64_t>(n * inner, 1);
    parallel_for(outer, kStreamGrain / (std::max(n, m) * inner + 1) + 1,
                 [=, &blends](int64_t o, int64_t end) {
                   for (; o < end; ++o) {
                     const T* in = from + o * m * inner;
                     T* out = to + o * n * inner;
                     for (size_t i = 0; i < blends.size(); ++i) {
                       for (int64_t j = blends[i].begin; j < blends[i].end; ++j) {
                         const double f = j == blends[i].begin ? blends[i].first : blends[i].rest;
                         const int64_t k = static_cast<int64_t>(i);
                         add(inner, static_cast<T>(f), in + (back ? k : j) * inner,
                             out + (back ? j : k) * inner);
                       }
                     }
                   }
                 });
  });
  return y;
}

}  // namespace

void check_images(const char* op, const Tensor& x) {
  check_defined(op, "x", x);
  if (x.rank() == 4 && x.shape()[1] > 0 && x.shape()[2] > 0) return;
  fail("{}: expected images x [n, h, w, c] with pixels; got {}. Hint: {}", op, x.shape(),
       x.rank() == 3 ? "one image is unsqueeze(x, 0), gray ones are unsqueeze(x, -1)."
                     : "are they flat already, or pooled away?");
}

Tensor resample(const char* op, const Tensor& x, Size2d size,
                FunctionRef<Blend(int axis, int64_t i)> of) {
  check_images(op, x);
  visit_float(op, x.dtype(), [](auto) {});
  if (size.h < 1 || size.w < 1) {
    fail("{}: y must have at least 1 x 1 pixels; got {} from x {}.", op, size.str(), x.shape());
  }
  std::vector<Blend> h, w;
  for (int64_t i = 0; i < size.h; ++i) h.push_back(of(1, i));
  for (int64_t i = 0; i < size.w; ++i) w.push_back(of(2, i));
  Tensor y = blend(blend(x, 1, size.h, h, false), 2, size.w, w, false);
  return record(op, y, {x}, [h, w](const Tensor& dy, Wants want) {
    const Shape& x = want.shape(0);
    return blend(blend(dy, 2, x[2], w, true), 1, x[1], h, true);
  });
}

Tensor upsample_nearest2d(const Tensor& x, Size2d scale) {
  check_images("upsample_nearest2d", x);
  const Size2d size(x.shape()[1] * scale.h, x.shape()[2] * scale.w);
  return resample("upsample_nearest2d", x, size, [&](int axis, int64_t i) {
    const int64_t at = i / (axis == 1 ? scale.h : scale.w);
    return Blend{at, at + 1, 1, 0};
  });
}

Tensor upsample_bilinear2d(const Tensor& x, Size2d scale, BilinearOptions options) {
  check_images("upsample_bilinear2d", x);
  const Size2d size(x.shape()[1] * scale.h, x.shape()[2] * scale.w);
  return resample("upsample_bilinear2d", x, size, [&](int axis, int64_t i) {
    const int64_t n = x.shape()[axis], m = axis == 1 ? size.h : size.w;
    const double corners = static_cast<double>(i * (n - 1)) / std::max<int64_t>(m - 1, 1),
                 centers = std::max((i + 0.5) * static_cast<double>(n) / m - 0.5, 0.0),
                 at = options.align_corners ? corners : centers;
    const int64_t begin = std::min(static_cast<int64_t>(at), n - 1),
                  more = at > begin && begin + 1 < n;
    return Blend{begin, begin + 1 + more, more ? 1 - (at - begin) : 1, at - begin};
  });
}

}  // namespace ramp
