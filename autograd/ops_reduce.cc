#include "ramp/autograd/ops_reduce.h"

#include <algorithm>
#include <cmath>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/strided.h"

namespace ramp {
namespace {

// x as [outer, n, inner], to be reduced over n. Where the axes do not lie side by side, x is a
// (recorded) permutation of the caller's with those reduced over at the end.
struct Plan : AxisSplit {
  Tensor x;
  Shape y;  // with keepdims applied

  Plan(const char* op, const Tensor& from, const Axes& axes, bool keepdims) : x(from) {
    check_float(op, x);
    bool reduced[Shape::kMaxRank] = {};
    for (const int a : axes.list) {
      const int axis = normalize_axis(op, a, x.rank());
      if (std::exchange(reduced[axis], true)) fail("{}: axis {} is named twice.", op, axis);
    }
    if (axes.list.empty()) std::fill_n(reduced, x.rank(), true);
    std::vector<int> order, last;
    std::vector<int64_t> dims;
    bool split = false;  // in [outer, n, inner], a size of 1 fits anywhere
    for (int i = 0; i < x.rank(); ++i) {
      const int64_t size = x.shape()[i];
      (reduced[i] ? last : order).push_back(i);
      if (!reduced[i] || keepdims) dims.push_back(reduced[i] ? 1 : size);
      if (reduced[i]) {
        split |= size != 1 && inner != 1;
        n *= size;
      } else {
        (n == 1 ? outer : inner) *= size;
      }
    }
    y = dims;
    if (split) {
      order.insert(order.end(), last.begin(), last.end());
      x = permute(x, order);
      outer *= inner;
      inner = 1;
    }
  }
};

constexpr int64_t kChunk = 1 << 15, kWidth = 1 << 10;

// Cuts x into blocks of rows (of n) and columns (of inner), which depend on the shape alone:
// `chunk(o, i, rows, j, cols, part)` writes one value for each column of a block. merge(a, b,
// k) is that of two blocks, the second below the first, and put(k, value) takes result k of [outer,
// inner].
template <typename Part, typename Chunk, typename Merge, typename Put>
void reduce_blocks(const Plan& p, Chunk chunk, Merge merge, Put put) {
  if (p.outer * p.inner == 0) return;
  const int64_t width = std::min(p.inner, kWidth), height = kChunk / width,
                across = ceil_div(p.inner, width),
                down = std::max<int64_t>(1, ceil_div(p.n, height));
  const auto columns = [&](int64_t c) { return std::min(width, p.inner - c * width); };
  const auto finish = [&](int64_t o, int64_t c, const Part* parts) {
    const int64_t cols = columns(c), first = o * p.inner + c * width;
    for (int64_t j = 0; j < cols; ++j) {
      Part all = parts[j];
      for (int64_t d = 1; d < down; ++d) all = merge(all, parts[d * cols + j], first + j);
      put(first + j, all);
    }
  };
  if (down == 1) {
    const int64_t grain = std::max<int64_t>(1, kChunk / (std::max<int64_t>(p.n, 1) * width));
    parallel_for(p.outer * across, grain, [&](int64_t begin, int64_t end) {
      Part part[kWidth];
      for (int64_t t = begin; t < end; ++t) {
        const int64_t o = t / across, c = t % across;
        chunk(o, int64_t{0}, p.n, c * width, columns(c), part);
        finish(o, c, part);
      }
    });
    return;
  }
  Tensor scratch = Tensor::empty({p.outer * across * down * width}, dtype_of<Part>());
  Part* parts = scratch.mutable_data<Part>();
  parallel_for(p.outer * across * down, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t d = t % down, c = t / down % across, o = t / down / across;
      chunk(o, d * height, std::min(height, p.n - d * height), c * width, columns(c),
            parts + (t - d) * width + d * columns(c));
    }
  });
  for (int64_t t = 0; t < p.outer * across; ++t)
    finish(t / across, t % across, parts + t * down * width);
}

// y = scale * sum of x, or of (x - about)^2 where `about` [outer, inner] is given.
Tensor scaled_sum(const Plan& p, double scale, const Tensor& about = {}) {
  Tensor y = Tensor::empty(p.y, p.x.dtype());
  visit_float("sum", y.dtype(), [&]<typename T>(T) {
    const T *x = p.x.data<T>(), *center = about.defined() ? about.data<T>() : nullptr;
    T* to = y.mutable_data<T>();
    const Kernels<T>& k = kernels<T>();
    reduce_blocks<double>(
        p,
        [&](int64_t o, int64_t i, int64_t rows, int64_t j, int64_t cols, double* part) {
          const T* from = x + (o * p.n + i) * p.inner + j;
          const int64_t at = o * p.inner + j;
          if (p.inner == 1) {
            *part = center ? k.sum_squares(rows, from, center[at]) : k.sum(rows, from);
          } else if (center) {
            k.sum_squares_cols(rows, cols, from, p.inner, center + at, part);
          } else {
            k.sum_cols(rows, cols, from, p.inner, part);
          }
        },
        [](double a, double b, int64_t) { return a + b; },
        [&](int64_t k, double total) { to[k] = static_cast<T>(total * scale); });
  });
  return y;
}

Tensor sum_or_mean(const char* op, const Plan& p, double scale) {
  return record(op, scaled_sum(p, scale), {p.x},
                [scale, shape = p.x.shape(), s = AxisSplit(p)](const Tensor& dy, Wants) {
                  const Tensor g = (scale == 1 ? dy : dy * scale).view({s.outer, 1, s.inner});
                  return broadcast_to(g, {s.outer, s.n, s.inner}).view(shape);
                });
}

}  // namespace

Tensor sum(const Tensor& x, Axes axes, ReduceOptions options) {
  return sum_or_mean("sum", Plan("sum", x, axes, options.keepdims), 1);
}

Tensor sum_to(const Tensor& g, const Shape& shape) {
  const int more = g.rank() - shape.rank();
  std::vector<int> axes;
  for (int axis = 0; axis < g.rank(); ++axis) {
    const int64_t size = axis < more ? 1 : shape[axis - more];
    if (size != 1 && size != g.dim(axis)) return g;
    if (axis < more || size != g.dim(axis)) axes.push_back(axis);
  }
  return more < 0 || axes.empty() ? g : sum(g, axes).view(shape);
}

Tensor mean(const Tensor& x, Axes axes, ReduceOptions options) {
  const Plan p("mean", x, axes, options.keepdims);
  return sum_or_mean("mean", p, 1 / static_cast<double>(p.n));
}

Tensor var(const Tensor& x, Axes axes, VarOptions options) {
  const Plan p("var", x, axes, options.keepdims);
  const double n = static_cast<double>(p.n);
  const double scale = 1 / std::max(0.0, n - options.correction);
  const Tensor center = scaled_sum(p, 1 / n);
  return record("var", scaled_sum(p, scale, center), {p.x},
                [x = Saved(p.x, "x"), center, scale, s = AxisSplit(p)](const Tensor& dy, Wants) {
                  const Shape kept{s.outer, 1, s.inner}, all{s.outer, s.n, s.inner};
                  const Tensor v = x.get().view(all);
                  const Tensor mid = grad_enabled() ? mean(v, 1) : center;
                  return ((2 * scale * dy).view(kept) * (v - mid.view(kept))).view(x.get().shape());
                });
}

Tensor stddev(const Tensor& x, Axes axes, VarOptions options) {
  const Tensor v = var(x, axes, options), flat = v == 0.0;
  return sqrt(v + flat) - flat;  // at 0 the derivative of sqrt is not used
}

Tensor prod(const Tensor& x, Axes axes, ReduceOptions options) {
  const Plan p("prod", x, axes, options.keepdims);
  if (p.n == 0) return sum(x, axes, options) + 1;
  Tensor y = p.x.view({p.outer, p.n, p.inner}).to(f64);
  // Half of the factors times the other half: no division, so that a 0 among them does no harm.
  for (int64_t n = p.n; n > 1; n = y.dim(1)) {
    const Tensor all = y;
    y = slice(all, 1, 0, n / 2) * slice(all, 1, n / 2, n / 2 * 2);
    if (n % 2 == 1) y = concat({y, slice(all, 1, n - 1, n)}, 1);
  }
  return y.to(x.dtype()).view(p.y);
}

Tensor logsumexp(const Tensor& x, Axes axes, ReduceOptions options) {
  check_float("logsumexp", x);
  if (x.numel() == 0) return log(sum(x, axes, options));
  const Tensor most = max(x.detach(), axes, {.keepdims = true}), zero = scalar_like(0, x);
  const Tensor shift = where(abs(most) == HUGE_VAL, zero, most);
  const Tensor scaled = log(sum(exp(x.detach() - shift), axes, options));
  const Tensor y = scaled + shift.view(scaled.shape());
  return record(
      "logsumexp", y, {x},
      [x = Saved(x, "x"), y = Saved(y, "y"), kept = shift.shape()](const Tensor& dy, Wants) {
        return dy.view(kept) * exp(x.get() - y.get().view(kept));
      });
}

namespace {

// The sums of x up to each place along the axis, or from each place on.
Tensor running_sum(const Tensor& x, int axis, bool backward) {
  const AxisSplit s(x.shape(), axis);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_dtype(x.dtype(), [&]<typename T>(T) {
    using Sum = std::conditional_t<std::is_same_v<T, int64_t>, uint64_t, double>;
    const T* from = x.data<T>();
    s.for_each_row([&, to = y.mutable_data<T>()](int64_t, int64_t first) {
      const int64_t step = backward ? -s.inner : s.inner;
      int64_t at = backward ? first + (s.n - 1) * s.inner : first;
      Sum total = 0;
      for (int64_t i = 0; i < s.n; ++i, at += step)
        to[at] = static_cast<T>(total += static_cast<Sum>(from[at]));
    });
  });
  return record("cumsum", y, {x}, [axis, backward](const Tensor& dy, Wants) {
    return running_sum(dy, axis, !backward);
  });
}

}  // namespace

Tensor cumsum(const Tensor& x, int axis) {
  return running_sum(x, normalize_axis("cumsum", axis, x), false);
}

Tensor normalize(const Tensor& x, int axis, double eps) {
  check_float("normalize", x);
  axis = normalize_axis("normalize", axis, x.rank());
  if (!(eps > 0)) fail("normalize: expected eps > 0; got {}.", eps);
  if (x.numel() == 0) return x;
  // Of values scaled to at most 1 the squares neither over- nor underflow.
  const Tensor scale = maximum(max(abs(x.detach()), axis, {.keepdims = true}), scalar_like(eps, x));
  const Tensor u = x / scale, least = eps / scale;
  return u / sqrt(maximum(sum(u * u, axis, {.keepdims = true}), least * least));
}

Tensor cosine_similarity(const Tensor& a, const Tensor& b, int axis, double eps) {
  check_same_dtype("cosine_similarity", "a", a, "b", b);
  check_float("cosine_similarity", a);
  const Shape shape = broadcast("cosine_similarity", a.shape(), b.shape());
  axis = normalize_axis("cosine_similarity", axis, shape.rank());
  const auto unit = [&](const Tensor& x) {
    return normalize(x.shape() == shape ? x : broadcast_to(x, shape), axis, eps);
  };
  return sum(unit(a) * unit(b), axis);
}

namespace {

Tensor arg_max_or_min(const char* op, const Plan& p, bool largest) {
  fail_if(p.n == 0, "{}: expected at least one value to choose from; got x {}.", op, p.x.shape());
  Tensor y = Tensor::empty(p.y, i64);
  visit_float(op, p.x.dtype(), [&]<typename T>(T) {
    const T* x = p.x.data<T>();
    int64_t* to = y.mutable_data<int64_t>();
    reduce_blocks<int64_t>(
        p,
        [&](int64_t o, int64_t i, int64_t rows, int64_t j, int64_t cols, int64_t* part) {
          const T* from = x + (o * p.n + i) * p.inner + j;
          if (p.inner == 1) {
            *part = kernels<T>().arg_max_or_min[largest](rows, from);
          } else {
            kernels<T>().arg_max_or_min_cols[largest](rows, cols, from, p.inner, part);
          }
          for (int64_t c = 0; c < cols; ++c) part[c] += i;
        },
        [&](int64_t a, int64_t b, int64_t k) {
          const T* column = x + k / p.inner * p.n * p.inner + k % p.inner;
          const T m = column[a * p.inner], v = column[b * p.inner];
          return (largest ? v > m : v < m) || (v != v && m == m) ? b : a;
        },
        [&](int64_t k, int64_t best) { to[k] = best; });
  });
  return y;
}

Tensor max_or_min(const char* op, const Plan& p, bool largest) {
  const Tensor at = arg_max_or_min(op, p, largest).view({p.outer, 1, p.inner});
  return detail::gather(op, p.x, {p.outer, p.n, p.inner}, 1, at, p.y);
}

}  // namespace

Tensor max(const Tensor& x, Axes axes, ReduceOptions options) {
  return max_or_min("max", Plan("max", x, axes, options.keepdims), true);
}
Tensor min(const Tensor& x, Axes axes, ReduceOptions options) {
  return max_or_min("min", Plan("min", x, axes, options.keepdims), false);
}
Tensor argmax(const Tensor& x, Axes axes, ReduceOptions options) {
  return arg_max_or_min("argmax", Plan("argmax", x.detach(), axes, options.keepdims), true);
}
Tensor argmin(const Tensor& x, Axes axes, ReduceOptions options) {
  return arg_max_or_min("argmin", Plan("argmin", x.detach(), axes, options.keepdims), false);
}

}  // namespace ramp
