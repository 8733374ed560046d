#include "ramp/autograd/ops_norm.h"

#include <algorithm>
#include <cmath>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// x [.., c] as `rows` of n = c repeats columns: rows of channels side by side, to fill the vectors.
struct Columns {
  int64_t c, repeats = 1, rows, n, height;

  explicit Columns(const Tensor& x)
      : c(x.shape().last()), rows(x.shape().without(x.rank() - 1).numel()) {
    const int lanes = x.dtype() == f32 ? kernels<float>().lanes : kernels<double>().lanes;
    for (; c * repeats % (4 * lanes) && c * repeats < 1024 && rows && rows % 2 == 0; rows /= 2) {
      repeats *= 2;
    }
    n = c * repeats;
    height = std::max<int64_t>(16, 2048 / std::max<int64_t>(n, 1));  // of a piece: it stays in L1
  }
  // v [c] for every column, in x's dtype
  Tensor repeat(const Tensor& v, DType dtype) const {
    return (repeats == 1 ? v : Tensor::zeros({repeats, c}, v.dtype()) + v).to(dtype);
  }
  // f(offset of the first element, rows, piece)
  template <typename F>
  void for_pieces(F f) const {
    parallel_for(rows, height,
                 [&](int64_t begin, int64_t end) { f(begin * n, end - begin, begin / height); });
  }
  // [2, c]: the sum of what piece(offset, rows, part) writes to part [2, n]
  template <typename Piece>
  Tensor sum_pieces(Piece piece) const {
    Tensor parts = Tensor::empty({(rows + height - 1) / height, 2, repeats, c}, f64);
    double* part = parts.mutable_data<double>();
    for_pieces([&](int64_t at, int64_t count, int64_t p) { piece(at, count, part + 2 * n * p); });
    return sum(sum(parts, {0}), {1});
  }
  // the mean of v [2, c], one of its two
  Tensor mean_of(const Tensor& sums, int i) const {
    return sums.rows(i, i + 1).view({c}) / static_cast<double>(rows * repeats);
  }
};

// f64 [c], of each channel: the mean, and the biased variance or 1 / sqrt(var + eps).
struct Statistics {
  Tensor mean, var;
};

// From the moments about a rough mean (that of rows from all over x): an offset costs no digits.
template <typename T>
Statistics statistics(const Columns& p, const T* x) {
  const Kernels<T>& k = kernels<T>();
  const int64_t some = std::min<int64_t>(p.rows, 64);
  Tensor rough = Tensor::empty({p.repeats, p.c}, f64);
  k.sum_cols(some, p.n, x, p.rows / some * p.n, rough.mutable_data<double>());
  const Tensor about = (mean(rough, {0}) / static_cast<double>(some)).to(dtype_of<T>());
  const Tensor m = p.repeat(about, dtype_of<T>());
  const Tensor sums = p.sum_pieces([&](int64_t at, int64_t rows, double* part) {
    k.moments_cols(rows, p.n, x + at, m.data<T>(), nullptr, part);
  });
  const Tensor off = p.mean_of(sums, 0);
  return {about.to(f64) + off, maximum(p.mean_of(sums, 1) - off * off, Tensor::scalar(0, f64))};
}

// z = (x - mean) scale + shift, where mean is rounded by `off` and shift makes up for it.
struct Affine {
  Tensor off, scale, mean_of_columns, scale_of_columns, shift_of_columns;

  Affine(const Columns& p, const Statistics& s, const Tensor& gamma, const Tensor& beta, DType t)
      : off(s.mean - s.mean.to(t).to(f64)),
        scale(gamma.defined() ? gamma.to(f64) * s.var : s.var),
        mean_of_columns(p.repeat(s.mean, t)),
        scale_of_columns(p.repeat(scale, t)),
        shift_of_columns(
            p.repeat(beta.defined() ? beta.to(f64) - off * scale : -(off * scale), t)) {}
  template <typename T>
  void operator()(int64_t rows, int64_t n, const T* x, T* z) const {
    kernels<T>().affine_cols(rows, n, x, mean_of_columns.data<T>(), scale_of_columns.data<T>(),
                             shift_of_columns.data<T>(), nullptr, nullptr, z);
  }
};

// y = f(gamma (x - mean) / sqrt(var + eps) + beta); the statistics are constants if `fixed`.
Tensor normalize(const char* op, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 Statistics s, double eps, bool fixed, const Activation& f) {
  const Columns p(x);
  s.var = 1 / sqrt(s.var + eps);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_float(op, x.dtype(), [&]<typename T>(T) {
    const Affine affine(p, s, gamma, beta, x.dtype());
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    p.for_pieces([&](int64_t at, int64_t rows, int64_t) {
      affine(rows, p.n, from + at, to + at);
      if (!f.is_identity()) f.f_block(rows * p.n, to + at, to + at);
    });
  });
  return record(op, std::move(y), {x, gamma, beta},
                [op, p, x = Saved(x), gamma = Saved(gamma, gamma.defined()),
                 beta = Saved(beta, beta.defined()), s, fixed, f](const Tensor& dy, Wants want) {
                  const DType t = dy.dtype();
                  const bool direct = f.is_identity();
                  std::array<Tensor, 3> dx;
                  visit_float(op, t, [&]<typename T>(T) {
                    const Kernels<T>& k = kernels<T>();
                    const Affine affine(p, s, gamma.get(op, "gamma"), beta.get(op, "beta"), t);
                    // dz lies where dx will: z is computed again, piece by piece
                    Tensor d = want[0] || !direct ? Tensor::empty(dy.shape(), t) : Tensor();
                    T* to = d.defined() ? d.mutable_data<T>() : nullptr;
                    const T *from = x.get(op, "x").template data<T>(), *g = dy.data<T>(),
                            *dz = direct ? g : to, *m = affine.mean_of_columns.template data<T>();
                    const Tensor sums = p.sum_pieces([&](int64_t at, int64_t rows, double* part) {
                      if (!direct) {
                        Tensor again = Tensor::empty({rows * p.n}, t);
                        T* z = again.mutable_data<T>();
                        affine(rows, p.n, from + at, z);
                        if (!f.derives_from_x()) f.f_block(rows * p.n, z, z);
                        f.vjp_block(rows * p.n, z, g + at, to + at);
                      }
                      k.moments_cols(rows, p.n, from + at, m, dz + at, part);
                    });
                    const Tensor dbeta = sums.rows(0, 1).view({p.c});
                    const Tensor dgamma =
                        (sums.rows(1, 2).view({p.c}) - affine.off * dbeta) * s.var;
                    if (want[1]) dx[1] = dgamma.to(t);
                    if (want[2]) dx[2] = dbeta.to(t);
                    if (!want[0]) return;
                    // dx = scale (dz - mean(dz) - (x - mean) invstd mean(dz xhat))
                    const double n = fixed ? INFINITY : static_cast<double>(p.rows * p.repeats);
                    const Tensor slope = -(affine.scale * s.var * dgamma / n);
                    const Tensor a = p.repeat(slope, t),
                                 b = p.repeat(-(slope * affine.off) - affine.scale * dbeta / n, t);
                    p.for_pieces([&](int64_t at, int64_t rows, int64_t) {
                      k.affine_cols(rows, p.n, from + at, m, a.data<T>(), b.data<T>(), dz + at,
                                    affine.scale_of_columns.template data<T>(), to + at);
                    });
                    dx[0] = d;
                  });
                  return dx;
                });
}

void check(const char* op, const Tensor& x,
           std::initializer_list<std::pair<const char*, Input>> channels) {
  check_defined(op, "x", x);
  visit_float(op, x.dtype(), [](auto) {});
  if (x.rank() < 2) {
    fail("{}: expected x of at least two axes, channels last; got {}. Hint: reshape it to [n, c].",
         op, x.shape());
  }
  for (const auto& [name, input] : channels) {
    const Tensor& v = *input.tensor;
    if (v.defined()) check_same_dtype(op, "x", x, name, v);
    if (v.defined() && !(v.shape() == Shape{x.shape().last()})) {
      fail("{}: {} must be [{}] for x {}; got {}. Hint: channels are the last axis.", op, name,
           x.shape().last(), x.shape(), v.shape());
    }
  }
}

// Of each of n samples, each of `groups` groups of channels: they become columns, and go back.
Tensor normalize_groups(const char* op, const Tensor& x, int64_t n, int64_t groups,
                        const Tensor& gamma, const Tensor& beta, double eps) {
  check(op, x, {{"gamma", gamma}, {"beta", beta}});
  Tensor y = x;
  if (x.numel() > 0) {
    const int64_t c = x.dim(-1) / groups, places = x.numel() / n / x.dim(-1);
    y = reshape(permute(reshape(x, {n, places, groups, c}), {1, 3, 0, 2}),
                {places * c, n * groups});
    const Statistics s = visit_float(
        op, x.dtype(), [&]<typename T>(T) { return statistics(Columns(y), y.data<T>()); });
    y = normalize(op, y, {}, {}, s, eps, false, Identity{});
    y = permute(reshape(y, {places, c, n, groups}), {2, 0, 3, 1});
    y = reshape(y, {x.shape().begin(), x.shape().end()});
  }
  if (gamma.defined()) y = y * gamma;
  return beta.defined() ? y + beta : y;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                  Tensor& running_var, BatchNormOptions options, const Activation& activation) {
  const char* op = "batch_norm";
  check(op, x,
        {{"gamma", gamma},
         {"beta", beta},
         {"running_mean", running_mean},
         {"running_var", running_var}});
  const double n = static_cast<double>(x.shape().without(x.rank() - 1).numel());
  const bool tracks = running_mean.defined() && running_var.defined();
  if (options.training && n == 1) {
    fail(
        "{}: expected more than one value per channel in training; got x {}. Hint: a larger batch, "
        "or eval().",
        op, x.shape());
  }
  if (!options.training && !tracks) {
    fail("{}: expected running_mean and running_var outside training; got undefined ones.", op);
  }
  Statistics s;
  if (!options.training) {
    s = {running_mean.to(f64).clone(), running_var.to(f64)};
  } else if (x.numel() == 0) {
    s = {Tensor::zeros({x.dim(-1)}, f64), Tensor::zeros({x.dim(-1)}, f64)};
  } else {
    s = visit_float(op, x.dtype(),
                    [&]<typename T>(T) { return statistics(Columns(x), x.data<T>()); });
    const double r = options.momentum;
    if (tracks) {
      running_mean.mul_(1 - r).add_(s.mean.to(x.dtype()), r);
      running_var.mul_(1 - r).add_((s.var * (n / (n - 1))).to(x.dtype()), r);
    }
  }
  return normalize(op, x, gamma, beta, s, options.eps, !options.training, activation);
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  check("layer_norm", x, {});
  return normalize_groups("layer_norm", x, x.shape().without(x.rank() - 1).numel(), 1, gamma, beta,
                          eps);
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& gamma, const Tensor& beta,
                  double eps) {
  check("group_norm", x, {});
  if (groups < 1 || x.dim(-1) % groups != 0) {
    fail("group_norm: expected a number of groups that divides the {} channels of x {}; got {}.",
         x.dim(-1), x.shape(), groups);
  }
  return normalize_groups("group_norm", x, x.dim(0), groups, gamma, beta, eps);
}

}  // namespace ramp
