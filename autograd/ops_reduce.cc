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

constexpr int64_t kChunk = 1 << 15, kWidth = 1 << 10, kShort = 128, kRows = 64;

// Cuts x into blocks of rows (of n) and columns (of inner), which depend on the shape alone:
// `chunk(from, i, rows, cols, ld, k, part)` writes one value for each column of a block, whose rows
// from i on lie at from, from + ld, .., and whose columns are results k, k + 1, .. of [outer,
// inner]. merge(a, b, k) is that of two blocks, the second below the first; put(k, value) takes the
// result. Short rows of x are made columns, which vectors run across.
template <typename Part, typename T, typename Chunk, typename Merge, typename Put>
void reduce_blocks(const AxisSplit& p, const T* x, Chunk chunk, Merge merge, Put put) {
  if (p.outer * p.inner == 0) return;
  const bool turned = p.inner == 1 && p.n > 1 && p.n <= kShort && p.outer >= kRows;
  const int64_t inner = turned ? p.outer : p.inner,
                width = turned ? kRows : std::min(inner, kWidth), height = kChunk / width,
                across = ceil_div(inner, width), blocks = turned ? across : p.outer * across,
                down = std::max<int64_t>(1, ceil_div(p.n, height));
  // Threads share what is down, or if that is a single block, what is across.
  const int64_t grain = down > 1 ? blocks : kChunk / (std::max<int64_t>(p.n, 1) * width);
  parallel_for(blocks, grain, [&](int64_t t, int64_t end) {
    const ScratchMemory<Part> parts(down * width);
    T columns[kShort * kRows];
    for (; t < end; ++t) {
      const int64_t o = t / across, j = t % across * width, cols = std::min(width, inner - j),
                    k = o * inner + j;
      if (turned) kernels<T>().transpose(cols, p.n, x + j * p.n, p.n, columns, kRows);
      parallel_for(down, 1, [&](int64_t d, int64_t below) {
        for (; d < below; ++d) {
          const int64_t i = d * height, rows = std::min(height, p.n - i);
          const T* from = turned ? columns : x + (o * p.n + i) * inner + j;
          chunk(from, i, rows, cols, turned ? kRows : inner, k, parts.get() + d * cols);
        }
      });
      for (int64_t c = 0; c < cols; ++c) {
        Part all = parts.get()[c];
        for (int64_t d = 1; d < down; ++d) all = merge(all, parts.get()[d * cols + c], k + c);
        put(k + c, all);
      }
    }
  });
}

// y = scale * sum of x, or of (x - about)^2 where `about` [outer, inner] is given.
Tensor scaled_sum(const Plan& p, double scale, const Tensor& about = {}) {
  Tensor y = Tensor::empty(p.y, p.x.dtype());
  visit_float("sum", y.dtype(), [&]<typename T>(T) {
    const T* center = about.defined() ? about.data<T>() : nullptr;
    T* to = y.mutable_data<T>();
    const Kernels<T>& run = kernels<T>();
    if (p.inner == 1 && p.n >= 16 && p.n <= kShort && !center) {
      return parallel_for(p.outer, kChunk / p.n, [&, x = p.x.data<T>()](int64_t i, int64_t end) {
        run.sum_rows(end - i, p.n, scale, x + i * p.n, to + i);
      });
    }
    reduce_blocks<double>(
        p, p.x.data<T>(),
        [&](const T* from, int64_t, int64_t rows, int64_t cols, int64_t ld, int64_t k,
            double* part) {
          if (ld == 1) {
            *part = center ? run.sum_squares(rows, from, center[k]) : run.sum(rows, from);
          } else {
            run.sum_cols(rows, cols, from, ld, center ? center + k : nullptr, part);
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

namespace {

// f(at, r, first, total) for all values x[at] along the axis, in order or from the last one on: r
// is the row's number, `total` its own, to be set where it is the first one. Eight rows go side by
// side, or 64 columns.
template <typename Total, typename F>
void scan(const AxisSplit& s, bool backward, F f) {
  const bool rows = s.inner == 1;
  const int64_t width = rows ? 8 : 64, across = ceil_div(s.inner, width),
                blocks = rows ? ceil_div(s.outer, width) : s.outer * across;
  parallel_for(blocks, kStreamGrain / (s.n * width + 1) + 1, [&](int64_t block, int64_t end) {
    for (; block < end; ++block) {
      const int64_t o = rows ? block * width : block / across,
                    j = rows ? 0 : block % across * width;
      Total total[64];
      const auto run = [&](auto count, auto step) {
        for (int64_t i = 0; i < s.n; ++i) {
          const int64_t at = (o * s.n + (backward ? s.n - 1 - i : i)) * s.inner + j;
          for (int64_t c = 0; c < count; ++c)
            f(at + c * step, o * s.inner + j + c, i == 0, total[c]);
        }
      };
      const int64_t count = std::min(width, rows ? s.outer - o : s.inner - j);
      if (rows && count == 8) {
        run(std::integral_constant<int64_t, 8>(), s.n);
      } else {
        rows ? run(count, s.n) : run(count, std::integral_constant<int64_t, 1>());
      }
    }
  });
}

}  // namespace

Tensor prod(const Tensor& x, Axes axes, ReduceOptions options) {
  const Plan p("prod", x, axes, options.keepdims);
  if (p.n == 0) return sum(x, axes, options) + 1;
  Tensor y = Tensor::empty(p.y, p.x.dtype());
  visit_float("prod", y.dtype(), [&]<typename T>(T) {
    const auto multiply = [x = p.x.data<T>(), to = y.mutable_data<T>()](int64_t at, int64_t r,
                                                                        bool first, double& all) {
      all = first ? x[at] : all * x[at];
      to[r] = static_cast<T>(all);
    };
    scan<double>(p, false, multiply);
  });
  // For the second derivative: half of the factors times the other half.
  const auto halves = [s = AxisSplit(p), kept = p.y](const Tensor& x) {
    Tensor y = x.view({s.outer, s.n, s.inner}).to(f64);
    for (int64_t n = s.n; n > 1; n = y.dim(1)) {
      const Tensor all = y;
      y = slice(all, 1, 0, n / 2) * slice(all, 1, n / 2, n / 2 * 2);
      if (n % 2 == 1) y = concat({y, slice(all, 1, n - 1, n)}, 1);
    }
    return y.to(x.dtype()).view(kept);
  };
  return record(
      "prod", y, {p.x}, [=, s = AxisSplit(p), x = Saved(p.x, "x")](const Tensor& dy, Wants) {
        if (grad_enabled()) return recorded_vjp(dy, halves, x.get())[0];
        // The product of those before times that of those behind: no division, so a 0
        // among them does no harm.
        Tensor dx = Tensor::empty(x.get().shape(), dy.dtype()),
               scratch = Tensor::empty(dx.shape(), f64);
        visit_float("prod", dy.dtype(), [&]<typename T>(T) {
          const T *v = x.get().data<T>(), *g = dy.data<T>();
          double* before = scratch.mutable_data<double>();
          scan<double>(s, false, [=](int64_t at, int64_t, bool first, double& all) {
            before[at] = first ? 1 : all;
            all = before[at] * v[at];
          });
          scan<double>(
              s, true,
              [=, to = dx.mutable_data<T>()](int64_t at, int64_t r, bool first, double& behind) {
                if (first) behind = g[r];
                to[at] = static_cast<T>(before[at] * behind);
                behind *= v[at];
              });
        });
        return dx;
      });
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
    scan<Sum>(s, backward,
              [from, to = y.mutable_data<T>()](int64_t at, int64_t, bool first, Sum& total) {
                total = (first ? 0 : total) + static_cast<Sum>(from[at]);
                to[at] = static_cast<T>(total);
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
  const Tensor squares = sum(x * x, axis, {.keepdims = true}), s = squares.detach();
  if (min(s).item() > 1e-30 && max(s).item() < 1e30)
    return x / maximum(sqrt(squares), scalar_like(eps, x));
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
        p, x,
        [&](const T* from, int64_t i, int64_t rows, int64_t cols, int64_t ld, int64_t,
            int64_t* part) {
          if (ld == 1) {
            *part = kernels<T>().arg_max_or_min[largest](rows, from);
          } else {
            kernels<T>().arg_max_or_min_cols[largest](rows, cols, from, ld, part);
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
