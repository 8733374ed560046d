#include "ramp/autograd/ops_conv.h"

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_pool.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/conv.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

void check_geometry(const char* op, Size2d stride, Size2d padding, Size2d dilation,
                    int64_t groups) {
  if (stride.h < 1 || stride.w < 1 || dilation.h < 1 || dilation.w < 1 || padding.h < 0 ||
      padding.w < 0 || groups < 1) {
    fail(
        "{}: expected stride, dilation and groups of at least 1 and padding of at least 0; got "
        "stride {}x{}, dilation {}x{}, padding {}x{}, groups {}.",
        op, stride.h, stride.w, dilation.h, dilation.w, padding.h, padding.w, groups);
  }
}

ConvSizes sizes_of(const char* op, const Tensor& x, const Tensor& w, const Tensor& b,
                   const ConvOptions& o) {
  check_same_dtype(op, "x", x, "w", w);
  if (x.rank() != 4 || w.rank() != 4) {
    fail(
        "{}: expected x [n, h, w, c] and w [kh, kw, c / groups, k]; got {} and {}. Hint: one image "
        "[h, w, c] is unsqueeze(image, 0).",
        op, x.shape(), w.shape());
  }
  check_geometry(op, o.stride, o.padding.size, o.dilation, o.groups);
  const Shape &xs = x.shape(), &ws = w.shape();
  const int64_t c = xs[3], k = ws[3];
  if (c % o.groups != 0 || k % o.groups != 0 || ws[2] * o.groups != c) {
    fail("{}: x {} and w {} do not fit: x has {} channels and w takes {}{}. Hint: {}.", op, xs, ws,
         c, ws[2] * o.groups, o.groups == 1 ? "" : fmt::format(" in {} groups", o.groups),
         xs[1] == ws[2] * o.groups ? "channels are the last axis: permute(x, {0, 2, 3, 1})"
                                   : "w is [kh, kw, c / groups, k]; groups divide c and k");
  }
  check_bias(op, w, b, k);
  ConvSizes s{.n = xs[0],
              .h = xs[1],
              .w = xs[2],
              .c = c,
              .kh = ws[0],
              .kw = ws[1],
              .k = k,
              .oh = 0,
              .ow = 0,
              .stride = {o.stride.h, o.stride.w},
              .dilation = {o.dilation.h, o.dilation.w},
              .before = {o.padding.size.h, o.padding.size.w},
              .groups = o.groups};
  const auto places = [&](int axis, int64_t in, int64_t kernel) {
    const int64_t reach = (kernel - 1) * s.dilation[axis] + 1;
    if (o.padding.same) {
      const int64_t out = ceil_div(in, s.stride[axis]);
      s.before[axis] = std::max<int64_t>(0, (out - 1) * s.stride[axis] + reach - in) / 2;
      return out;
    }
    const int64_t whole = in + 2 * s.before[axis];
    if (kernel < 1 || whole < reach) {
      fail(
          "{}: the kernel reaches over {} places of the {} there are with padding; got x {} and w "
          "{}. Hint: padding, or fewer layers that shrink the image.",
          op, reach, whole, xs, ws);
    }
    return (whole - reach) / s.stride[axis] + 1;
  };
  s.oh = places(0, s.h, s.kh);
  s.ow = places(1, s.w, s.kw);
  return s;
}

// With `pools`, y is max_pool2d(f(..), 2), and its places are kept instead of f's result.
Tensor convolution(const char* op, const ConvSizes& s, const Tensor& x, const Tensor& w,
                   const Tensor& b, const Activation& f, bool pools) {
  const bool keeps_z = f.derives_from_x() && should_record({x, w, b});
  const int64_t row = s.ow * s.k, halves = pools ? 2 : 1;
  Tensor y = Tensor::empty({s.n, s.oh / halves, s.ow / halves, s.k}, x.dtype());
  Tensor z = keeps_z ? Tensor::empty(y.shape(), x.dtype()) : y.detach();
  // A byte for each value of y: which of the four it is.
  const Ref<Storage> places =
      pools ? Storage::make(static_cast<size_t>(y.numel())) : Ref<Storage>();
  auto* place = pools ? static_cast<uint8_t*>(places->data()) : nullptr;

  visit_float(op, x.dtype(), [&]<typename T>(T) {
    T *sums = z.mutable_data<T>(), *values = y.mutable_data<T>();
    const auto finish = [&](ConvRows at, T* rows) {
      const int64_t n = at.rows * row, first = (at.image * s.oh + at.row) * row;
      T* to = pools ? rows : values + first;
      if (keeps_z || !f.is_identity()) f.f_block(n, rows, to);
      if (!pools) return;
      for (int64_t i = 0; i < at.rows; i += 2) {
        const int64_t pooled = first / 4 + i / 2 * (row / 2);
        kernels<T>().max_pool_row(s.ow / 2, s.k, 2, 2, rows + i * row, row, 2 * s.k,
                                  values + pooled, place + pooled);
      }
    };
    conv<T>(s, x.data<T>(), w.data<T>(), b.defined() ? b.data<T>() : nullptr,
            pools ? nullptr : sums, finish);
  });

  const Tensor at = keeps_z ? z : y;
  return record(
      op, std::move(y), {x, w, b},
      [op, s, row, pools, places, x = Saved(x, "x"), w = Saved(w, "w"),
       at = Saved(at, "y", pools || !f.is_identity()), f](const Tensor& dy, Wants want) {
        const Tensor &xs = x.get(), &ws = w.get();
        const DType t = dy.dtype();
        std::array<Tensor, 3> dx;
        if (want[0]) dx[0] = Tensor::empty(xs.shape(), t);
        if (want[1]) dx[1] = Tensor::empty(ws.shape(), t);
        if (want[2]) dx[2] = Tensor::empty({s.k}, t);
        visit_float(op, t, [&]<typename T>(T) {
          const T* g = dy.data<T>();
          const T* value = at.get().defined() ? at.get().data<T>() : nullptr;
          const auto* place = pools ? static_cast<const uint8_t*>(places->data()) : nullptr;
          const auto gradient = [&](ConvRows rows, T* scratch) -> const T* {
            const int64_t n = rows.rows * row, first = (rows.image * s.oh + rows.row) * row;
            if (!pools) {
              if (f.is_identity()) return g + first;
              f.vjp_block(n, value + first, g + first, scratch);
              return scratch;
            }
            const ScratchMemory<T> small(n / 4);
            f.vjp_block(n / 4, value + first / 4, g + first / 4, small.get());
            for (int64_t i = 0; i < rows.rows; i += 2) {
              const int64_t pooled = i / 2 * (row / 2);
              kernels<T>().max_unpool_row(s.ow / 2, s.k, 2, 2, small.get() + pooled,
                                          place + first / 4 + pooled, scratch + i * row, row,
                                          2 * s.k, false);
            }
            return scratch;
          };
          const auto data = [](Tensor& d) { return d.defined() ? d.mutable_data<T>() : nullptr; };
          conv_vjp<T>(s, xs.data<T>(), ws.data<T>(), gradient, data(dx[0]), data(dx[1]),
                      data(dx[2]));
        });
        return dx;
      });
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o,
              const Activation& f) {
  return convolution("conv2d", sizes_of("conv2d", x, w, b, o), x, w, b, f, false);
}

Tensor conv2d_max_pool(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o,
                       const Activation& f) {
  const ConvSizes s = sizes_of("conv2d", x, w, b, o);
  const bool fits = s.oh % 2 == 0 && s.ow % 2 == 0 && !f.derives_from_x();
  const Tensor y = convolution("conv2d", s, x, w, b, f, fits);
  return fits ? y : max_pool2d(y);
}

Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o,
              const Activation& f) {
  check_same_dtype("conv1d", "x", x, "w", w);
  if (x.rank() != 3 || w.rank() != 3) {
    fail("conv1d: expected x [n, w, c] and w [kw, c / groups, k]; got {} and {}.", x.shape(),
         w.shape());
  }
  ConvOptions columns = o;
  columns.stride.h = columns.dilation.h = 1;
  columns.padding.size.h = 0;
  return squeeze(conv2d(unsqueeze(x, 1), unsqueeze(w, 0), b, columns, f), 1);
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& b,
                        const ConvTransposeOptions& o, const Activation& f) {
  const char* op = "conv_transpose2d";
  check_same_dtype(op, "x", x, "w", w);
  check_geometry(op, o.stride, o.padding, o.dilation, o.groups);
  if (x.rank() != 4 || w.rank() != 4 || x.dim(3) != w.dim(3) || x.dim(3) % o.groups != 0) {
    fail("{}: expected x [n, h, w, c] and w [kh, kw, k / groups, c]; got {} and {}.", op, x.shape(),
         w.shape());
  }
  const auto fits = [](int64_t extra, int64_t stride, int64_t dilation) {
    return extra >= 0 && extra < std::max(stride, dilation);
  };
  if (!fits(o.output_padding.h, o.stride.h, o.dilation.h) ||
      !fits(o.output_padding.w, o.stride.w, o.dilation.w)) {
    fail(
        "{}: expected an output_padding of at least 0 and below the stride or the dilation; got "
        "{}x{}.",
        op, o.output_padding.h, o.output_padding.w);
  }
  const Shape &xs = x.shape(), &ws = w.shape();
  const auto places = [&](int64_t in, int64_t kernel, int64_t stride, int64_t padding,
                          int64_t dilation, int64_t extra) {
    return (in - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1;
  };
  // The convolution whose adjoint this is: from y to x.
  const ConvSizes s{
      .n = xs[0],
      .h = places(xs[1], ws[0], o.stride.h, o.padding.h, o.dilation.h, o.output_padding.h),
      .w = places(xs[2], ws[1], o.stride.w, o.padding.w, o.dilation.w, o.output_padding.w),
      .c = ws[2] * o.groups,
      .kh = ws[0],
      .kw = ws[1],
      .k = xs[3],
      .oh = xs[1],
      .ow = xs[2],
      .stride = {o.stride.h, o.stride.w},
      .dilation = {o.dilation.h, o.dilation.w},
      .before = {o.padding.h, o.padding.w},
      .groups = o.groups};
  if (s.h < 1 || s.w < 1) {
    fail("{}: nothing is left of x {} with w {} and padding {}x{}. Hint: less padding.", op, xs, ws,
         o.padding.h, o.padding.w);
  }
  check_bias(op, w, b, s.c);
  const auto image = [s]<typename T>(const T* from) {
    return [=](ConvRows at, T*) { return from + (at.image * s.oh + at.row) * s.ow * s.k; };
  };
  Tensor y = Tensor::empty({s.n, s.h, s.w, s.c}, x.dtype());
  visit_float(op, x.dtype(), [&]<typename T>(T) {
    conv_vjp<T>(s, nullptr, w.data<T>(), image(x.data<T>()), y.mutable_data<T>(), nullptr, nullptr);
  });
  y = record(op, std::move(y), {x, w},
             [op, s, image, x = Saved(x, "x"), w = Saved(w, "w")](const Tensor& dy, Wants want) {
               const Tensor &xs = x.get(), &ws = w.get();
               std::array<Tensor, 2> dx;
               visit_float(op, dy.dtype(), [&]<typename T>(T) {
                 const T* g = dy.data<T>();
                 if (want[0]) {
                   dx[0] = Tensor::empty(xs.shape(), dy.dtype());
                   conv<T>(s, g, ws.data<T>(), nullptr, dx[0].mutable_data<T>(),
                           [](ConvRows, T*) {});
                 }
                 if (want[1]) {
                   dx[1] = Tensor::empty(ws.shape(), dy.dtype());
                   conv_vjp<T>(s, g, nullptr, image(xs.data<T>()), nullptr, dx[1].mutable_data<T>(),
                               nullptr);
                 }
               });
               return dx;
             });
  if (b.defined()) y = y + b;
  return f.is_identity() ? y : activate(y, f);
}

}  // namespace ramp
