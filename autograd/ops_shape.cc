#include "ramp/autograd/ops_shape.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"
#include "ramp/core/strided.h"

namespace ramp {
namespace {

void check_i64(const char* op, const char* name, const Tensor& index) {
  check_defined(op, name, index);
  fail_if(index.dtype() != i64, "{}: {} must be i64; got {} {}. Hint: {}.to(i64).", op, name,
          index.dtype(), index.shape(), name);
}

// The indices counted from the front; negative ones count from the end of n.
Tensor from_front(const char* op, const Tensor& index, int64_t n) {
  const int64_t* at = index.data<int64_t>();
  bool negative = false;
  for (int64_t k = 0; k < index.numel(); ++k) {
    fail_if(at[k] < -n || at[k] >= n,
            "{}: indices must be in {}..{} for an axis of size {}; got {} at position {}.", op, -n,
            n - 1, n, at[k], k);
    negative |= at[k] < 0;
  }
  return negative ? where(index < 0.0, index + static_cast<double>(n), index) : index;
}

// Where a new axis goes in: -1 is at the end.
int new_axis(const char* op, int axis, const Tensor& x) {
  const int rank = x.rank();
  fail_if(axis < -rank - 1 || axis > rank,
          "{}: a new axis for a tensor of rank {} must be in {}..{}; got {}.", op, rank, -rank - 1,
          rank, axis);
  return axis < 0 ? axis + rank + 1 : axis;
}

// Where the values of a box lie in a tensor of this shape.
struct Place {
  Shape shape;
  int64_t offset;
  Strides stride;
};

// y: a copy of that box of x at its place in y, and `value` around it. Its derivative is the copy
// back, with 0 around it.
Tensor copy_box(const char* op, const Shape& box, const Tensor& x, const Place& from,
                const Place& to, double value = 0) {
  Tensor y = box == to.shape ? Tensor::empty(box, x.dtype())
             : value == 0    ? Tensor::zeros(to.shape, x.dtype())
                             : Tensor::full(to.shape, value, x.dtype());
  copy_strided(box, x, from.offset, from.stride, y, to.offset, to.stride);
  return record(op, y, {x},
                [=](const Tensor& dy, Wants) { return copy_box(op, box, dy, to, from); });
}

// What concat and stack ask of their inputs alike.
void check_joined(const char* op, const std::vector<Tensor>& x) {
  if (x.empty()) fail("{}: expected at least one tensor; got none.", op);
  check_defined(op, "x[0]", x[0]);
  for (size_t i = 1; i < x.size(); ++i)
    check_same_dtype(op, "x[0]", x[0], fmt::format("x[{}]", i), x[i]);
}

}  // namespace

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  check_defined("permute", "x", x);
  std::vector<int> from, back(static_cast<size_t>(x.rank()), -1);
  for (const int axis : axes) {
    from.push_back(normalize_axis("permute", axis, x.rank()));
    back[static_cast<size_t>(from.back())] = static_cast<int>(from.size()) - 1;
  }
  fail_if(from.size() != back.size() || std::find(back.begin(), back.end(), -1) != back.end(),
          "permute: expected each of the {} axes of x {} once; got [{}].", x.rank(), x.shape(),
          fmt::join(axes, ", "));
  Shape shape = x.shape();
  const Strides stride = x.shape().strides();
  Strides from_stride{};
  for (size_t k = 0; k < from.size(); ++k) {
    shape[static_cast<int>(k)] = x.shape()[from[k]];
    from_stride[k] = stride[static_cast<size_t>(from[k])];
  }
  Tensor y = Tensor::empty(shape, x.dtype());
  copy_strided(shape, x, 0, from_stride, y, 0, shape.strides());
  return record("permute", y, {x}, [back](const Tensor& dy, Wants) { return permute(dy, back); });
}

Tensor transpose(const Tensor& x, int a, int b) {
  std::vector<int> axes(static_cast<size_t>(x.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[static_cast<size_t>(normalize_axis("transpose", a, x))],
            axes[static_cast<size_t>(normalize_axis("transpose", b, x))]);
  return permute(x, axes);
}

Tensor reshape(const Tensor& x, const std::vector<int64_t>& shape) {
  check_defined("reshape", "x", x);
  std::vector<int64_t> dims = shape;
  CheckedSize product("reshape", 1);
  for (const int64_t n : dims) product = product * (n == -1 ? 1 : n);
  int64_t known = product.value(), open = std::count(dims.begin(), dims.end(), -1);
  const bool negative = std::any_of(dims.begin(), dims.end(), [](int64_t n) { return n < -1; });
  if (open == 1 && known > 0 && x.numel() % known == 0) {
    *std::find(dims.begin(), dims.end(), -1) = x.numel() / known;
    known = x.numel();
    open = 0;
  }
  fail_if(open > 0 || negative || known != x.numel(),
          "reshape: x {} has {} elements and does not fit [{}]. Hint: {}.", x.shape(), x.numel(),
          fmt::join(shape, ", "),
          open > 1 ? "only one dimension may be -1" : "one dimension may be -1, which computes it");
  return x.view(dims);
}

Tensor flatten(const Tensor& x, int from) {
  const int axis = normalize_axis("flatten", from, x);
  const Shape before(x.shape().begin(), axis);
  return x.view(before.with(axis, Shape(x.shape().begin() + axis, x.rank() - axis).numel()));
}

Tensor squeeze(const Tensor& x, int axis) {
  axis = normalize_axis("squeeze", axis, x);
  fail_if(x.shape()[axis] != 1, "squeeze: expected axis {} to be of size 1; got x {}.", axis,
          x.shape());
  return x.view(x.shape().without(axis));
}

Tensor unsqueeze(const Tensor& x, int axis) {
  check_defined("unsqueeze", "x", x);
  return x.view(x.shape().with(new_axis("unsqueeze", axis, x), 1));
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  check_defined("broadcast_to", "x", x);
  const int more = shape.rank() - x.rank();
  bool fits = more >= 0;
  for (int i = 0; fits && i < x.rank(); ++i)
    fits = x.shape()[i] == shape[more + i] || x.shape()[i] == 1;
  fail_if(!fits,
          "broadcast_to: x {} does not broadcast to {}: aligned at the last axis, its dimensions "
          "must be equal or 1.",
          x.shape(), shape);
  Tensor y = Tensor::empty(shape, x.dtype());
  copy_strided(shape, x, 0, broadcast_strides(x.shape(), shape), y, 0, shape.strides());
  return record("broadcast_to", y, {x}, [](const Tensor& dy, Wants) { return dy; });
}

Tensor repeat(const Tensor& x, const std::vector<int64_t>& times) {
  check_defined("repeat", "x", x);
  if (times.size() != static_cast<size_t>(x.rank()) ||
      std::any_of(times.begin(), times.end(), [](int64_t n) { return n < 0; })) {
    fail(
        "repeat: expected a number of at least 0 for each axis of x {}; got [{}]. Hint: "
        "unsqueeze(x, 0) adds an axis.",
        x.shape(), fmt::join(times, ", "));
  }
  Shape shape = x.shape();
  for (int k = 0; k < x.rank(); ++k)
    shape[k] = (CheckedSize("repeat", shape[k]) * times[static_cast<size_t>(k)]).value();
  shape.check();  // before the first axes take memory
  Tensor y = x;
  for (int k = 0; k < x.rank(); ++k) {
    const AxisSplit s(y.shape(), k);
    const int64_t t = times[static_cast<size_t>(k)], row = s.n * s.inner;
    if (t == 1) continue;
    y = broadcast_to(y.view({s.outer, 1, row}), {s.outer, t, row})
            .view(y.shape().without(k).with(k, shape[k]));
  }
  return y;
}

Tensor flip(const Tensor& x, int axis) {
  const int64_t n = x.shape()[normalize_axis("flip", axis, x)];
  return take(x, static_cast<double>(n - 1) - Tensor::arange(n), axis);
}

Tensor roll(const Tensor& x, int64_t shift, int axis) {
  const int64_t n = x.shape()[normalize_axis("roll", axis, x)];
  const int64_t cut = n == 0 ? 0 : (n - shift % n) % n;
  return concat({slice(x, axis, cut, n), slice(x, axis, 0, cut)}, axis);
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step) {
  axis = normalize_axis("slice", axis, x);
  const int64_t n = x.shape()[axis], first = begin < 0 ? begin + n : begin,
                last = end < 0 ? end + n : end;
  fail_if(first < 0 || last > n || first > last || step < 1,
          "slice: expected 0 <= begin <= end <= {} (or counted from the end) and step >= 1 along "
          "axis {} of x {}; got begin {}, end {}, step {}.",
          n, axis, x.shape(), begin, end, step);
  const size_t k = static_cast<size_t>(axis);
  Shape shape = x.shape();
  step = std::min(step, std::max<int64_t>(n, 1));  // no further than the end
  shape[axis] = ceil_div(last - first, step);
  Strides stride = x.shape().strides();
  const int64_t offset = first * stride[k];
  stride[k] *= step;
  if (axis == 0 && step == 1) return x.rows(first, last);
  return copy_box("slice", shape, x, {x.shape(), offset, stride}, {shape, 0, shape.strides()});
}

std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int axis) {
  const int64_t n = x.shape()[normalize_axis("split", axis, x)];
  std::vector<Tensor> y;
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    if (size < 0 || size > n - begin) break;
    y.push_back(slice(x, axis, begin, begin + size));
    begin += size;
  }
  fail_if(y.size() != sizes.size() || begin != n,
          "split: the sizes must add up to {}, axis {} of x {}; got [{}].", n, axis, x.shape(),
          fmt::join(sizes, ", "));
  return y;
}

std::vector<Tensor> split(const Tensor& x, int64_t size, int axis) {
  if (size < 1) fail("split: expected slices of a size of at least 1; got {}.", size);
  const int64_t n = x.shape()[normalize_axis("split", axis, x)];
  std::vector<int64_t> sizes(static_cast<size_t>(n / size), size);
  if (n % size != 0 || n == 0) sizes.push_back(n % size);
  return split(x, sizes, axis);
}

Tensor concat(const std::vector<Tensor>& x, int axis) {
  check_joined("concat", x);
  axis = normalize_axis("concat", axis, x[0].rank());
  Shape shape = x[0].shape();
  std::vector<int64_t> sizes{shape[axis]};
  for (size_t i = 1; i < x.size(); ++i) {
    fail_if(x[i].rank() != shape.rank() || x[i].shape().without(axis) != x[0].shape().without(axis),
            "concat: shapes must be equal except at axis {}; got x[0] {} and x[{}] {}.", axis,
            x[0].shape(), i, x[i].shape());
    sizes.push_back(x[i].shape()[axis]);
    shape[axis] = (CheckedSize("concat", shape[axis]) + sizes.back()).value();
  }
  Tensor y = Tensor::empty(shape, x[0].dtype());
  const Strides stride = shape.strides();
  int64_t offset = 0;
  for (const Tensor& part : x) {
    copy_strided(part.shape(), part, 0, part.shape().strides(), y, offset, stride);
    offset += part.shape()[axis] * stride[static_cast<size_t>(axis)];
  }
  return record("concat", y, x, [sizes, axis](const Tensor& dy, Wants want) {
    std::vector<Tensor> dx(sizes.size());
    int64_t at = 0;
    for (size_t i = 0; i < dx.size(); at += sizes[i++])
      if (want[static_cast<int>(i)]) dx[i] = slice(dy, axis, at, at + sizes[i]);
    return dx;
  });
}

Tensor stack(const std::vector<Tensor>& x, int axis) {
  check_joined("stack", x);
  axis = new_axis("stack", axis, x[0]);
  std::vector<Tensor> parts;
  for (size_t i = 0; i < x.size(); ++i) {
    fail_if(x[i].shape() != x[0].shape(), "stack: shapes must be equal; got x[0] {} and x[{}] {}.",
            x[0].shape(), i, x[i].shape());
    parts.push_back(unsqueeze(x[i], axis));
  }
  return concat(parts, axis);
}

namespace {

using Around = std::vector<std::pair<int64_t, int64_t>>;

Shape padded(const Tensor& x, const Around& around) {
  check_defined("pad", "x", x);
  fail_if(around.size() != static_cast<size_t>(x.rank()),
          "pad: expected a pair {{before, after}} for each axis of x {}; got {}.", x.shape(),
          around.size());
  Shape shape = x.shape();
  for (int k = 0; k < x.rank(); ++k) {
    const auto [before, after] = around[static_cast<size_t>(k)];
    fail_if(before < 0 || after < 0,
            "pad: expected numbers of at least 0; got {{{}, {}}} at axis {}. Hint: slice() takes "
            "values away.",
            before, after, k);
    shape[k] = (CheckedSize("pad", shape[k]) + before + after).value();
  }
  shape.check();
  return shape;
}

}  // namespace

Tensor pad(const Tensor& x, const Around& around, double value) {
  const Shape shape = padded(x, around);
  const Strides stride = shape.strides();
  int64_t offset = 0;
  for (size_t k = 0; k < around.size(); ++k) offset += around[k].first * stride[k];
  return copy_box("pad", x.shape(), x, {x.shape(), 0, x.shape().strides()}, {shape, offset, stride},
                  value);
}

Tensor pad(const Tensor& x, const Around& around, PadMode mode) {
  const Shape shape = padded(x, around);
  Tensor y = x;
  for (int k = 0; k < x.rank(); ++k) {
    const int64_t n = x.shape()[k], before = around[static_cast<size_t>(k)].first;
    if (shape[k] == n) continue;
    fail_if(n == 0, "pad: axis {} of x {} has no values to pad with. Hint: pad(x, around, 0.0).", k,
            x.shape());
    const int64_t period = mode == PadMode::reflect ? std::max<int64_t>(2 * n - 2, 1) : n;
    Tensor index = Tensor::arange(shape[k]);
    int64_t* from = index.mutable_data<int64_t>();
    for (int64_t i = 0; i < shape[k]; ++i) {
      const int64_t j = i - before, turn = (j % period + period) % period;
      from[i] = mode == PadMode::replicate ? std::clamp<int64_t>(j, 0, n - 1)
                : mode == PadMode::reflect ? std::min(turn, period - turn)
                                           : turn;
    }
    y = take(y, index, k);
  }
  return y;
}

Tensor take(const Tensor& x, const Tensor& index, int axis) {
  check_i64("take", "indices", index);
  axis = normalize_axis("take", axis, x);
  const AxisSplit s(x.shape(), axis);
  const int64_t outer = s.outer, n = s.n, inner = s.inner;
  const Tensor indices = from_front("take", index, n);
  std::vector<int64_t> dims(x.shape().begin(), x.shape().begin() + axis);
  dims.insert(dims.end(), indices.shape().begin(), indices.shape().end());
  dims.insert(dims.end(), x.shape().begin() + axis + 1, x.shape().end());
  const int64_t m = indices.numel();
  const auto pick = [=, shape = Shape(dims)](const Tensor& x, const Tensor& index) {
    Tensor y = Tensor::empty(shape, x.dtype());
    visit_dtype(x.dtype(), [&, at = index.data<int64_t>()]<typename T>(T) {
      const T* from = x.data<T>();
      T* to = y.mutable_data<T>();
      const int64_t grain = kStreamGrain / std::max<int64_t>(inner, 1);
      parallel_for(outer * m, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          std::copy_n(from + (i / m * n + at[i % m]) * inner, inner, to + i * inner);
      });
    });
    return y;
  };
  // Each column of dx gets its gradients in the order of the indices, whichever thread it is on.
  const auto place = [=, shape = x.shape()](const Tensor& dy, const Tensor& index) {
    Tensor dx = Tensor::zeros(shape, dy.dtype());
    visit_float("take", dy.dtype(), [&, at = index.data<int64_t>()]<typename T>(T) {
      const T* g = dy.data<T>();
      T* d = dx.mutable_data<T>();
      constexpr int64_t kColumns = 1024;
      const int64_t strips = ceil_div(inner, kColumns);
      parallel_for(outer * strips, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t o = i / strips, j = i % strips * kColumns,
                        width = std::min(kColumns, inner - j);
          for (int64_t k = 0; k < m; ++k) {
            kernels<T>().axpy(width, 1, g + (o * m + k) * inner + j,
                              d + (o * n + at[k]) * inner + j);
          }
        }
      });
    });
    return dx;
  };
  return linear_map("take", x, indices, pick, place);
}

namespace {

// Calls f(i, j) where gather reads y[i] = x[j], in the order of y.
template <typename F>
void for_gathered(const Shape& x, int axis, const Tensor& index, F f) {
  Strides stride = x.strides();
  const int64_t step = std::exchange(stride[static_cast<size_t>(axis)], 0);
  const int64_t* along = index.data<int64_t>();
  const Walk<1> walk(index.shape(), {stride});
  walk.runs(0, index.numel(), [&](int64_t begin, int64_t n, const int64_t* from) {
    for (int64_t i = 0; i < n; ++i)
      f(begin + i, from[0] + i * walk.stride[0][0] + along[begin + i] * step);
  });
}

}  // namespace

Tensor detail::gather(const char* op, const Tensor& x, const Shape& from, int axis,
                      const Tensor& index, const Shape& to) {
  const auto pick = [=](const Tensor& x, const Tensor& index) {
    Tensor y = Tensor::empty(to, x.dtype());
    visit_dtype(x.dtype(), [&]<typename T>(T) {
      const T* values = x.data<T>();
      T* out = y.mutable_data<T>();
      for_gathered(from, axis, index, [&](int64_t i, int64_t at) { out[i] = values[at]; });
    });
    return y;
  };
  const auto place = [=, shape = x.shape()](const Tensor& dy, const Tensor& index) {
    Tensor dx = Tensor::zeros(shape, dy.dtype());
    visit_float(op, dy.dtype(), [&]<typename T>(T) {
      const T* g = dy.data<T>();
      T* d = dx.mutable_data<T>();
      for_gathered(from, axis, index, [&](int64_t i, int64_t at) { d[at] += g[i]; });
    });
    return dx;
  };
  return linear_map(op, x, index, pick, place);
}

Tensor gather(const Tensor& x, int axis, const Tensor& indices) {
  check_i64("gather", "index", indices);
  axis = normalize_axis("gather", axis, x);
  bool fits = indices.rank() == x.rank();
  for (int k = 0; fits && k < x.rank(); ++k) fits = k == axis || indices.shape()[k] <= x.shape()[k];
  fail_if(!fits,
          "gather: index must have x's rank and, except at axis {}, be no larger; got x {} and "
          "index {}.",
          axis, x.shape(), indices.shape());
  const Tensor index = from_front("gather", indices, x.shape()[axis]);
  return detail::gather("gather", x, x.shape(), axis, index, index.shape());
}

Tensor one_hot(const Tensor& labels, int64_t classes, DType dtype) {
  check_i64("one_hot", "labels", labels);
  const int64_t* label = labels.data<int64_t>();
  Tensor y = Tensor::zeros(labels.shape().with(labels.rank(), classes), dtype);
  visit_dtype(dtype, [&]<typename T>(T) {
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < labels.numel(); ++i) {
      fail_if(label[i] < 0 || label[i] >= classes,
              "one_hot: labels must be in 0..{}; got {} at position {}.", classes - 1, label[i], i);
      to[i * classes + label[i]] = 1;
    }
  });
  return y;
}

}  // namespace ramp
