#include "ramp/autograd/ops_conv.h"

#include <algorithm>
#include <utility>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_pool.h"
#include "ramp/autograd/record.h"
#include "ramp/core/conv.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/taps.h"

namespace ramp {

void detail::check_conv_options(const char* op, int rank, const ConvTransposeOptions& o) {
  const auto text = [&](Size2d s) { return rank == 4 ? s.str() : fmt::format("{}", s.w); };
  if (std::min({o.stride.h, o.stride.w, o.dilation.h, o.dilation.w, o.groups}) < 1 ||
      std::min(o.padding.h, o.padding.w) < 0) {
    fail(
        "{}: expected stride, dilation and groups of at least 1 and padding of at least 0; got "
        "stride {}, dilation {}, padding {}, groups {}.",
        op, text(o.stride), text(o.dilation), text(o.padding), o.groups);
  }
  const Size2d extra = o.output_padding;
  if (std::min(extra.h, extra.w) < 0 || extra.h >= std::max(o.stride.h, o.dilation.h) ||
      extra.w >= std::max(o.stride.w, o.dilation.w)) {
    fail(
        "{}: expected an output_padding of at least 0 and below the stride or the dilation; got "
        "{}.",
        op, text(extra));
  }
  for (const Size2d size : {o.stride, o.dilation, o.padding})
    for (const int64_t n : {size.h, size.w}) CheckedSize(op, n);
  CheckedSize(op, o.groups);
}

namespace {

// A signal [n, w, c] is an image of height 1: of its options the numbers for columns count, and
// those for rows may not ask for anything else.
ConvTransposeOptions along_width(const char* op, const ConvTransposeOptions& o) {
  const auto along = [op](const char* option, Size2d size, int64_t usual) {
    fail_if(size.h != usual && size.h != size.w, "{}: expected one number for the {}; got {}.", op,
            option, size.str());
    return Size2d(usual, size.w);
  };
  return {along("stride", o.stride, 1), along("padding", o.padding, 0),
          along("output_padding", o.output_padding, 0), along("dilation", o.dilation, 1), o.groups};
}

// The sizes that both directions have in common, before what depends on the other image is known.
// rank 4: x [n, h, w, c] and w [kh, kw, ..]; rank 3: x [n, w, c] and w [kw, ..].
ConvSizes check_conv(const char* op, int rank, const Tensor& x, const Tensor& w,
                     const ConvTransposeOptions& o, bool transposed) {
  check_same_dtype(op, "x", x, "w", w);
  const bool image = rank == 4;
  const char* weights = transposed ? image ? "[kh, kw, k / groups, c]" : "[kw, k / groups, c]"
                        : image    ? "[kh, kw, c / groups, k]"
                                   : "[kw, c / groups, k]";
  fail_if(
      x.rank() != rank || w.rank() != rank,
      "{}: expected x {} and w {}; got {} and {}. Hint: one {}.", op,
      image ? "[n, h, w, c]" : "[n, w, c]", weights, x.shape(), w.shape(),
      image ? "image [h, w, c] is unsqueeze(image, 0)" : "signal [w, c] is unsqueeze(signal, 0)");
  detail::check_conv_options(op, rank, o);
  const auto [stride, padding, extra, dilation, groups] = o;
  const Shape &xs = x.shape(), &ws = w.shape();
  const int64_t takes = transposed ? ws.last() : (CheckedSize(op, groups) * ws[rank - 2]).value();
  if (xs.last() != takes || takes % groups != 0 || (!transposed && ws.last() % groups != 0)) {
    fail("{}: x {} and w {} do not fit: x has {} channels and w takes {}{}. Hint: {}.", op, xs, ws,
         xs.last(), takes, groups == 1 ? "" : fmt::format(" in {} groups", groups),
         xs[1] == takes && takes % groups == 0
             ? fmt::format("channels are the last axis: permute(x, {})",
                           image ? "{0, 2, 3, 1}" : "{0, 2, 1}")
             : fmt::format("w is {}; groups divide c and k", weights));
  }
  const int64_t h = image ? xs[1] : 1, kh = image ? ws[0] : 1, kw = ws[rank - 3];
  if (std::min(kh, kw) < 1) fail("{}: a kernel has at least 1 weight; got w {}.", op, ws);
  const int64_t k = transposed ? (CheckedSize(op, groups) * ws[rank - 2]).value() : ws.last();
  const std::array strides{stride.h, stride.w}, dilations{dilation.h, dilation.w},
      pads{padding.h, padding.w};
  // n, h, w, c; kh, kw, k; oh, ow, which are not yet known
  return {xs[0], h, xs[rank - 2], xs.last(), kh, kw, k, 0, 0, strides, dilations, pads, groups};
}

// Errors where so many values cannot be.
void check_values(const char* op, std::initializer_list<int64_t> sizes) {
  CheckedSize values(op, 1);
  for (const int64_t n : sizes) values = values * std::max<int64_t>(n, 1);
}

ConvSizes sizes_of(const char* op, int rank, const Tensor& x, const Tensor& w, const Tensor& b,
                   const ConvOptions& o) {
  const ConvTransposeOptions all{o.stride, o.padding.size, 0, o.dilation, o.groups};
  ConvSizes s = check_conv(op, rank, x, w, rank == 4 ? all : along_width(op, all), false);
  detail::check_bias(op, w, b, s.k);
  const auto output_size = [&](int axis, int64_t in, int64_t kernel) {
    const int64_t effective_kernel = ((CheckedSize(op, kernel) - 1) * s.dilation[axis] + 1).value();
    if (o.padding.same) {
      const int64_t out = ceil_div(in, s.stride[axis]);
      s.pad_before[axis] =
          std::max<int64_t>(0, (out - 1) * s.stride[axis] + effective_kernel - in) / 2;
      return out;
    }
    const int64_t whole = (CheckedSize(op, s.pad_before[axis]) * 2 + in).value();
    fail_if(
        whole < effective_kernel,
        "{}: the kernel reaches over {} pixels of the {} there are with padding; got x {} and w "
        "{}. Hint: padding, or fewer layers that shrink the image.",
        op, effective_kernel, whole, x.shape(), w.shape());
    return (whole - effective_kernel) / s.stride[axis] + 1;
  };
  s.oh = output_size(0, s.h, s.kh);
  s.ow = output_size(1, s.w, s.kw);
  check_values(op, {s.n, s.oh, s.ow, s.k});
  check_values(op, {s.h + 2 * s.pad_before[0], s.w + 2 * s.pad_before[1], s.c});
  return s;
}

// An image of height 1 is given back as the signal it is.
Shape shape_of(int rank, int64_t n, int64_t h, int64_t w, int64_t c) {
  return rank == 4 ? Shape{n, h, w, c} : Shape{n, w, c};
}

// The sum of conv(x, w) y, differentiated by one of the three (0: x, 1: w, 2: y), given the next
// two in the circle x w y: the convolution itself, its transpose, and the gradient of the weights.
Tensor correlation(const char* op, const ConvSizes& s, const std::array<Shape, 3>& shapes, int by,
                   const Tensor& a, const Tensor& b) {
  Tensor r = Tensor::empty(shapes[static_cast<size_t>(by)], a.dtype());
  visit_float(op, a.dtype(), [&]<typename T>(T) {
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* to = r.mutable_data<T>();
    const auto rows_of = [&s](const T* y) {
      return [&s, y](ConvRows at, T*) { return y + (at.image * s.oh + at.row) * s.ow * s.k; };
    };
    if (by == 0) conv_vjp<T>(s, nullptr, pa, rows_of(pb), to, nullptr, nullptr);
    if (by == 1) conv_vjp<T>(s, pb, nullptr, rows_of(pa), nullptr, to, nullptr);
    if (by == 2) conv<T>(s, pa, pb, nullptr, to, [](ConvRows, T*) {});
  });
  return record(op, std::move(r), {a, b},
                [=, a = Saved(a, "a"), b = Saved(b, "b")](const Tensor& dr, Wants want) {
                  const auto grad_by = [&](int i, const Tensor& u, const Tensor& v) {
                    return correlation(op, s, shapes, (by + i) % 3, u, v);
                  };
                  return std::array{want[0] ? grad_by(1, b.get(), dr) : Tensor{},
                                    want[1] ? grad_by(2, dr, a.get()) : Tensor{}};
                });
}

// Windows of 2 x 2 pixels along one axis of n.
template <typename P>
TapTable<P> pairs(int64_t n, int64_t step) {
  return window_taps<P>(n, n / 2, step, [](int64_t i) { return Window{2 * i, 2}; });
}

// With `pools`, y is max_pool2d(f(..)), and its indices are kept instead of f's result.
Tensor convolution(const char* op, const ConvSizes& s, const Tensor& x, const Tensor& w,
                   const Tensor& b, const Activation& f, bool pools) {
  const int64_t row = s.ow * s.k, halves = pools ? 2 : 1;
  Tensor y = Tensor::empty(shape_of(x.rank(), s.n, s.oh / halves, s.ow / halves, s.k), x.dtype());
  FusedActivation fused(f, y, should_record({x, w, b, f.parameter()}));
  // For each value of y: which of the four it is.
  const Ref<Storage> places =
      pools ? Storage::make(static_cast<size_t>(y.numel()) * size_of(y.dtype())) : Ref<Storage>();

  visit_float(op, x.dtype(), [&]<typename T>(T) {
    auto* place = pools ? static_cast<Place<T>*>(places->data()) : nullptr;
    const auto down = pairs<Place<T>>(2, 2), across = pairs<Place<T>>(s.ow, 1);
    T *sums = fused.z().mutable_data<T>(), *values = y.mutable_data<T>();
    const auto finish = [&](ConvRows at, T* rows) {
      const int64_t n = at.rows * row, first = (at.image * s.oh + at.row) * row;
      T* to = pools ? rows : values + first;
      fused.apply(n, rows, to);
      if (!pools) return;
      for (int64_t i = 0; i < at.rows; i += 2) {
        const int64_t pooled = first / 4 + i / 2 * (row / 2);
        kernels<T>().max_pool(s.ow / 2, s.k, down.at(0), across.at(0), rows + i * row, row,
                              values + pooled, place + pooled);
      }
    };
    conv<T>(s, x.data<T>(), w.data<T>(), b.defined() ? b.data<T>() : nullptr,
            pools ? nullptr : sums, finish);
  });

  return record(
      op, std::move(y), {x, w, b, f.parameter()},
      [op, s, row, pools, places, x = Saved(x, "x"), w = Saved(w, "w"), b = Saved(b, "b"),
       slope = Saved(f.parameter(), "slope"), at = Saved(fused.at(), "y"),
       f = Activation(f, {})](const Tensor& dy, Wants want) {
        const Tensor &xs = x.get(), &ws = w.get();
        if (grad_enabled()) {
          const auto again = [&](auto& x, auto& w, auto& b, auto& slope) {
            const Shape full = shape_of(x.rank(), s.n, s.oh, s.ow, s.k);
            const Tensor z = correlation(op, s, {x.shape(), w.shape(), full}, 2, x, w);
            const Tensor y = detail::finish(z, b, f, slope);
            return pools ? max_pool2d(y) : y;
          };
          return recorded_vjp(dy, again, xs, ws, b.get(), slope.get());
        }
        const DType t = dy.dtype();
        std::array<Tensor, 4> dx;
        if (want[0]) dx[0] = Tensor::empty(xs.shape(), t);
        if (want[1]) dx[1] = Tensor::empty(ws.shape(), t);
        if (want[2]) dx[2] = Tensor::empty({s.k}, t);
        if (want[3]) dx[3] = dy * minimum(at.get(), scalar_like(0, dy));
        visit_float(op, t, [&]<typename T>(T) {
          const T* g = dy.data<T>();
          const T* value = f.is_identity() ? g : at.get().data<T>();  // of g it reads none
          const auto* place = pools ? static_cast<const Place<T>*>(places->data()) : nullptr;
          const auto down = pairs<Place<T>>(2, 2), across = pairs<Place<T>>(s.ow, 1);
          const auto gradient = [&](ConvRows rows, T* scratch) -> const T* {
            const int64_t n = rows.rows * row, first = (rows.image * s.oh + rows.row) * row;
            if (!pools) return f.dz(n, value + first, g + first, scratch);
            const ScratchMemory<T> memory(n / 4);
            const T* small = f.dz(n / 4, value + first / 4, g + first / 4, memory.get());
            for (int64_t i = 0; i < rows.rows; i += 2) {
              const int64_t pooled = i / 2 * (row / 2);
              kernels<T>().at_place[kSet](s.ow / 2, s.k, down.at(0), across.at(0),
                                          scratch + i * row, row, place + first / 4 + pooled,
                                          const_cast<T*>(small + pooled));
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

// The adjoint of a convolution: from its y to its x.
Tensor transposed_convolution(const char* op, int rank, const Tensor& x, const Tensor& w,
                              const Tensor& b, const ConvTransposeOptions& given,
                              const Activation& f) {
  const ConvTransposeOptions o = rank == 4 ? given : along_width(op, given);
  ConvSizes s = check_conv(op, rank, x, w, o, true);
  const auto output_size = [&](int axis, int64_t in, int64_t kernel, int64_t extra) {
    const int64_t effective_kernel = ((CheckedSize(op, kernel) - 1) * s.dilation[axis] + 1).value();
    return ((CheckedSize(op, in) - 1) * s.stride[axis] - s.pad_before[axis] - s.pad_before[axis] +
            effective_kernel + extra)
        .value();
  };
  // s becomes the convolution whose adjoint this is.
  s.oh = std::exchange(s.h, output_size(0, s.h, s.kh, o.output_padding.h));
  s.ow = std::exchange(s.w, output_size(1, s.w, s.kw, o.output_padding.w));
  std::swap(s.c, s.k);
  if (s.h < 1 || s.w < 1) {
    fail("{}: nothing is left of x {} with w {} and padding {}. Hint: less padding.", op, x.shape(),
         w.shape(), rank == 4 ? o.padding.str() : fmt::format("{}", o.padding.w));
  }
  check_values(op, {s.n, s.h, s.w, s.c});
  check_values(op, {s.h + 2 * s.pad_before[0], s.w + 2 * s.pad_before[1], s.c});
  detail::check_bias(op, w, b, s.c);
  const std::array shapes{shape_of(rank, s.n, s.h, s.w, s.c), w.shape(), x.shape()};
  Tensor y = correlation(op, s, shapes, 0, w, x);
  return detail::finish(y, b, f, f.parameter());
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o,
              const Activation& f) {
  return convolution("conv2d", sizes_of("conv2d", 4, x, w, b, o), x, w, b, f, false);
}

Tensor conv2d_max_pool(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o,
                       const Activation& f) {
  const ConvSizes s = sizes_of("conv2d", 4, x, w, b, o);
  const bool fits = s.oh % 2 == 0 && s.ow % 2 == 0 && !f.needs_x();
  const Tensor y = convolution("conv2d", s, x, w, b, f, fits);
  return fits ? y : max_pool2d(y);
}

Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& b, const ConvOptions& o,
              const Activation& f) {
  return convolution("conv1d", sizes_of("conv1d", 3, x, w, b, o), x, w, b, f, false);
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& b,
                        const ConvTransposeOptions& o, const Activation& f) {
  return transposed_convolution("conv_transpose2d", 4, x, w, b, o, f);
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& b,
                        const ConvTransposeOptions& o, const Activation& f) {
  return transposed_convolution("conv_transpose1d", 3, x, w, b, o, f);
}

}  // namespace ramp
