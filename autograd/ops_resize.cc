#include "ramp/autograd/ops_resize.h"

#include <algorithm>
#include <vector>

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/memory.h"
#include "ramp/core/parallel.h"
#include "ramp/core/taps.h"

namespace ramp {
namespace detail {

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
  // Rows of y as blends of rows of x, in long vectors, then their pixels.
  const auto map = [=](const Tensor& x, bool back) {
    const Size2d in{x.dim(1), x.dim(2)}, out = back ? Size2d{h, w} : size;
    Tensor y = Tensor::empty({x.dim(0), out.h, out.w, x.dim(3)}, x.dtype());
    if (y.numel() == 0) return y;
    visit_float(op, x.dtype(), [&]<typename T>(T) {
      const auto along = [&](int axis, int64_t n, int64_t m) {
        TapList<T> taps;
        for (int64_t i = 0; i < m; ++i) {
          const auto [begin, end, first, rest] = of(axis, i, n, m);
          for (int64_t j = begin; j < end; ++j) {
            const T weight = static_cast<T>(j == begin ? first : rest);
            taps.push_back(back ? Tap<T>{j, i, weight} : Tap<T>{i, j, weight});
          }
        }
        return TapTable<T>(back ? n : m, std::move(taps));
      };
      const TapTable<T> rows = along(1, h, size.h), cols = along(2, w, size.w);
      const T* from = x.data<T>();
      T* to = y.mutable_data<T>();
      const int64_t c = x.dim(3), width = in.w * c, work = std::max(x.numel(), y.numel());
      const int64_t count = x.dim(0) * out.h;
      parallel_for(count, kStreamGrain * count / work + 1, [&](int64_t r, int64_t end) {
        const ScratchMemory<T> row(width);
        for (; r < end; ++r) {
          kernels<T>().blend(1, width, rows.at(r % out.h), from + r / out.h * in.h * width,
                             row.get());
          kernels<T>().blend(out.w, c, cols.at(0), row.get(), to + r * out.w * c);
        }
      });
    });
    return y;
  };
  return linear_map(
      op, x, {}, [=](const Tensor& x, const Tensor&) { return map(x, false); },
      [=](const Tensor& dy, const Tensor&) { return map(dy, true); });
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
