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

// A box of x that goes to one of y; where they begin and their strides count elements.
struct Move {
  Shape box;
  int64_t from, to;
  Strides from_stride, to_stride;
};
using Moves = std::vector<Move>;
Tensor record_moves(const char* op, Tensor y, const Tensor& x, Moves moves);

// y: what the moves bring there, and `value` elsewhere.
Tensor move(const char* op, const Tensor& x, const Shape& shape, Moves moves, double value = 0) {
  int64_t moved = 0;
  for (const Move& m : moves) moved += m.box.numel();
  Tensor y = moved >= shape.numel() ? Tensor::empty(shape, x.dtype())
             : value == 0           ? Tensor::zeros(shape, x.dtype())
                                    : Tensor::full(shape, value, x.dtype());
  bool adds = false;  // to what a move before it brought to all of y
  for (const Move& m : moves) {
    copy_strided(m.box, x, m.from, m.from_stride, y, m.to, m.to_stride, adds);
    adds |= m.box.numel() == y.numel();
  }
  return record_moves(op, y, x, std::move(moves));
}

// Records y, which these moves made of x.
Tensor record_moves(const char* op, Tensor y, const Tensor& x, Moves moves) {
  if (!should_record({x})) return y;
  for (Move& m : moves) m = {m.box, m.to, m.from, m.to_stride, m.from_stride};
  return record(op, y, {x},
                [op, back = std::move(moves), from = x.shape()](const Tensor& dy, Wants) {
                  return move(op, dy, from, back);
                });
}

// y[to + i] = x[from + i * step] for i < n, along an axis.
struct Segment {
  int64_t to, from, n, step = 1;
};

// Cuts the moves into what goes by each of the segments along an axis.
void cut(Moves& moves, int axis, const std::vector<Segment>& segments) {
  const size_t k = static_cast<size_t>(axis);
  for (const Move& m : std::exchange(moves, {})) {
    for (const Segment& s : segments) {
      Move part = m;
      part.box[axis] = s.n;
      part.from += s.from * m.from_stride[k];
      part.to += s.to * m.to_stride[k];
      part.from_stride[k] *= s.step;
      moves.push_back(part);
    }
  }
}

// y of this shape by segments of x along one axis.
Tensor move_along(const char* op, const Tensor& x, int axis, const Shape& y,
                  const std::vector<Segment>& segments) {
  Moves moves{{x.shape(), 0, 0, x.shape().strides(), y.strides()}};
  cut(moves, axis, segments);
  return move(op, x, y, std::move(moves));
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
  uint64_t seen = 0;
  Shape shape = x.shape();
  const Strides stride = x.shape().strides();
  Strides from_stride{};
  for (size_t k = 0; k < axes.size() && k < stride.size(); ++k) {
    const int from = normalize_axis("permute", axes[k], x.rank());
    seen |= uint64_t{1} << from;
    shape[static_cast<int>(k)] = x.shape()[from];
    from_stride[k] = stride[static_cast<size_t>(from)];
  }
  fail_if(static_cast<int>(axes.size()) != x.rank() || seen + 1 != uint64_t{1} << x.rank(),
          "permute: expected each of the {} axes of x {} once; got [{}].", x.rank(), x.shape(),
          fmt::join(axes, ", "));
  return move("permute", x, shape, {{shape, 0, 0, from_stride, shape.strides()}});
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
  axis = normalize_axis("flip", axis, x);
  const int64_t n = x.shape()[axis];
  return move_along("flip", x, axis, x.shape(), {{0, n - 1, n, -1}});
}

Tensor roll(const Tensor& x, int64_t shift, int axis) {
  axis = normalize_axis("roll", axis, x);
  const int64_t n = x.shape()[axis], first = n == 0 ? 0 : (shift % n + n) % n;
  return move_along("roll", x, axis, x.shape(), {{first, 0, n - first}, {0, n - first, first}});
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  check_defined("rows", "the tensor", *this);
  fail_if(rank() == 0 || begin < 0 || end < begin || end > shape_[0],
          "rows: expected 0 <= begin <= end <= dim 0 of {}; got begin {} and end {}.", shape_,
          begin, end);
  Tensor y = detach();
  y.shape_[0] = end - begin;
  const Strides stride = shape_.strides();
  const int64_t first = begin * stride[0];
  y.data_ = static_cast<char*>(data_) + static_cast<size_t>(first) * size_of(dtype_);
  return record_moves("slice", y, *this, {{y.shape_, first, 0, stride, stride}});
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step) {
  axis = normalize_axis("slice", axis, x);
  const int64_t n = x.shape()[axis], first = begin < 0 ? begin + n : begin,
                last = end < 0 ? end + n : end;
  fail_if(first < 0 || last > n || first > last || step < 1,
          "slice: expected 0 <= begin <= end <= {} (or counted from the end) and step >= 1 along "
          "axis {} of x {}; got begin {}, end {}, step {}.",
          n, axis, x.shape(), begin, end, step);
  if (axis == 0 && step == 1) return x.rows(first, last);
  step = std::min(step, std::max<int64_t>(n, 1));  // no further than the end
  Shape shape = x.shape();
  shape[axis] = ceil_div(last - first, step);
  return move_along("slice", x, axis, shape, {{0, first, shape[axis], step}});
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
  Move inside{x.shape(), 0, 0, x.shape().strides(), shape.strides()};
  for (size_t k = 0; k < around.size(); ++k) inside.to += around[k].first * inside.to_stride[k];
  return move("pad", x, shape, {inside}, value);
}

Tensor pad(const Tensor& x, const Around& around, PadMode mode) {
  const Shape shape = padded(x, around);
  Moves moves{{x.shape(), 0, 0, x.shape().strides(), shape.strides()}};
  for (int k = 0; k < x.rank(); ++k) {
    const int64_t n = x.shape()[k], before = around[static_cast<size_t>(k)].first;
    if (shape[k] == n) continue;
    fail_if(n == 0, "pad: axis {} of x {} has no values to pad with. Hint: pad(x, around, 0.0).", k,
            x.shape());
    const int64_t period = mode == PadMode::reflect ? std::max<int64_t>(2 * n - 2, 1) : n;
    std::vector<Segment> segments{{before, 0, n}};
    for (int64_t i = 0; i < shape[k]; ++i) {
      const int64_t j = i - before, turn = (j % period + period) % period;
      const int64_t from = mode == PadMode::replicate ? std::clamp<int64_t>(j, 0, n - 1)
                           : mode == PadMode::reflect ? std::min(turn, period - turn)
                                                      : turn;
      if (j < 0 || j >= n) segments.push_back({i, from, 1});
    }
    cut(moves, k, segments);
  }
  return move("pad", x, shape, std::move(moves));
}

namespace {

// each(index, f) calls f(i, j, n) where y[i, i + n) = x[j, j + n). For each place of x in one and
// the same order, so that the gradients are added in it, whichever thread they are on.
template <typename Each>
Tensor pick(const char* op, const Tensor& x, const Shape& to, const Tensor& index, Each each) {
  const auto get = [=](const Tensor& x, const Tensor& index) {
    Tensor y = Tensor::empty(to, x.dtype());
    visit_dtype(x.dtype(), [&]<typename T>(T) {
      each(index, [from = x.data<T>(), out = y.mutable_data<T>()](int64_t i, int64_t j, int64_t n) {
        std::copy_n(from + j, n, out + i);
      });
    });
    return y;
  };
  const auto add = [=, from = x.shape()](const Tensor& dy, const Tensor& index) {
    Tensor dx = Tensor::zeros(from, dy.dtype());
    visit_float(op, dy.dtype(), [&]<typename T>(T) {
      each(index, [g = dy.data<T>(), d = dx.mutable_data<T>()](int64_t i, int64_t j, int64_t n) {
        if (n > 1) return kernels<T>().axpy(n, 1, g + i, d + j);
        d[j] += g[i];
      });
    });
    return dx;
  };
  return linear_map(op, x, index, get, add);
}

}  // namespace

Tensor take(const Tensor& x, const Tensor& index, int axis) {
  check_i64("take", "indices", index);
  axis = normalize_axis("take", axis, x);
  const AxisSplit s(x.shape(), axis);
  const Tensor indices = from_front("take", index, s.n);
  std::vector<int64_t> dims(x.shape().begin(), x.shape().begin() + axis);
  dims.insert(dims.end(), indices.shape().begin(), indices.shape().end());
  dims.insert(dims.end(), x.shape().begin() + axis + 1, x.shape().end());
  return pick("take", x, dims, indices, [s](const Tensor& index, auto f) {
    const int64_t* at = index.data<int64_t>();
    const int64_t m = index.numel(), width = std::min<int64_t>(s.inner, 256),
                  strips = width == 0 ? 0 : ceil_div(s.inner, width);
    parallel_for(s.outer * strips, kStreamGrain / (m * width + 1) + 1, [&](int64_t t, int64_t end) {
      for (; t < end; ++t) {
        const int64_t o = t / strips, j = t % strips * width, n = std::min(width, s.inner - j);
        for (int64_t k = 0; k < m; ++k)
          f((o * m + k) * s.inner + j, (o * s.n + at[k]) * s.inner + j, n);
      }
    });
  });
}

Tensor detail::gather(const char* op, const Tensor& x, const Shape& from, int axis,
                      const Tensor& index, const Shape& to) {
  Strides stride = from.strides();
  const int64_t step = std::exchange(stride[static_cast<size_t>(axis)], 0);
  return pick(op, x, to, index, [=](const Tensor& index, auto f) {
    const int64_t* along = index.data<int64_t>();
    const Walk<1> walk(index.shape(), {stride});
    walk.runs(0, index.numel(), [&](int64_t begin, int64_t n, const int64_t* at) {
      for (int64_t i = 0; i < n; ++i)
        f(begin + i, at[0] + i * walk.stride[0][0] + along[begin + i] * step, 1);
    });
  });
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
