#include "ramp/autograd/ops_norm.h"

#include <algorithm>
#include <cmath>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// The rows that a thread takes at a time, where each is normalized by itself.
int64_t row_grain(int64_t n) {
  return std::clamp<int64_t>(kStreamGrain / std::max<int64_t>(n, 1), 1, 64);
}

// x as [samples, rows, groups, width]: what is normalized together is one group of one sample, all
// its rows. Rows lie side by side as one row of n columns where that fills the vectors.
struct Layout {
  int64_t samples, rows, groups, width;
  int64_t repeats = 1, n, height, pieces;

  Layout(DType dtype, int64_t samples, int64_t rows, int64_t groups, int64_t width)
      : samples(samples), rows(rows), groups(groups), width(width) {
    const int lanes = dtype == f32 ? kernels<float>().lanes : kernels<double>().lanes;
    const int64_t c = groups * width;
    for (int64_t r = rows; r && r % 2 == 0 && c * repeats % (4 * lanes) && c * repeats < 1024;
         r /= 2) {
      repeats *= 2;
    }
    n = c * repeats;
    height = std::max<int64_t>(16, 8192 / std::max<int64_t>(n, 1));  // of a piece: it stays in L1
    pieces = ceil_div(rows / repeats, height);
  }
  double together() const { return static_cast<double>(rows * width); }
  // [groups, width], f64, of a tensor [channels]
  Tensor channels(const Tensor& v) const { return v.detach().to(f64).view({groups, width}); }

  // The sum [samples, groups, 1] over the channels of each group.
  Tensor sum_channels(const Tensor& v) const {
    return width == 1 ? v : sum(v, {2}, {.keepdims = true});
  }
  // [samples, list, n]: f64 values [samples, groups, width or 1] for every column, in x's dtype
  Tensor constants(const std::vector<Tensor>& list, DType dtype) const {
    Tensor k = Tensor::empty({samples, static_cast<int64_t>(list.size()), n}, dtype);
    visit_float("norm", dtype, [&]<typename T>(T) {
      T* to = k.mutable_data<T>();
      for (int64_t s = 0; s < samples; ++s) {
        for (const Tensor& v : list) {
          const int64_t stride = v.shape().last() == 1 ? 0 : 1, step = stride ? width : 1;
          const double* from = v.data<double>() + s * groups * step;
          T* once = to;
          for (int64_t g = 0; g < groups; ++g, from += step)
            for (int64_t w = 0; w < width; ++w) *to++ = static_cast<T>(from[w * stride]);
          for (int64_t i = 1; i < repeats; ++i) to = std::copy_n(once, groups * width, to);
        }
      }
    });
    return k;
  }
  // f(sample, offset of the first element, rows, piece); `back` from the end on, where the pass
  // before has left its values in the caches.
  template <typename F>
  void for_pieces(bool back, F f) const {
    parallel_for(samples * pieces, std::max<int64_t>(1, 2048 / std::max<int64_t>(1, rows * n)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     const int64_t p = back ? samples * pieces - 1 - i : i;
                     const int64_t row = p % pieces * height, all = rows / repeats;
                     f(p / pieces, (p / pieces * all + row) * n, std::min(height, all - row), p);
                   }
                 });
  }
  // The sums [samples, groups, width] of two values for each channel, in what piece(sample, offset,
  // rows, part) writes to part [2, n].
  template <typename Piece>
  std::array<Tensor, 2> sums(Piece piece) const {
    Tensor parts = Tensor::empty({samples, pieces, 2, repeats, groups, width}, f64);
    double* part = parts.mutable_data<double>();
    for_pieces(false, [&](int64_t sample, int64_t at, int64_t count, int64_t p) {
      piece(sample, at, count, part + 2 * n * p);
    });
    Tensor total = Tensor::empty({samples, 2, n}, f64);
    Tensor s = Tensor::empty({2, samples, groups, width}, f64);
    double *all = total.mutable_data<double>(), *to = s.mutable_data<double>();
    const int64_t c = groups * width;
    const auto add = kernels<double>().sum_cols;
    parallel_for(samples, row_grain(n), [=, this](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        add(pieces, 2 * n, part + i * pieces * 2 * n, 2 * n, nullptr, all + 2 * i * n);
        add(repeats, c, all + 2 * i * n, c, nullptr, to + i * c);
        add(repeats, c, all + (2 * i + 1) * n, c, nullptr, to + (samples + i) * c);
      }
    });
    return {s[0], s[1]};
  }
};

struct Statistics {
  Tensor mean, var;  // f64 [samples, groups, 1]
};
// From the moments about a rough mean (that of some rows of each sample): an offset costs no
// digits.
Statistics statistics(const Tensor& x, const Layout& l, double eps) {
  const DType t = x.dtype();
  const Tensor none = Tensor::zeros({l.samples, l.groups, 1}, f64);
  if (x.numel() == 0) return {none, none};
  return visit_float("norm", t, [&]<typename T>(T) {
    const Kernels<T>& k = kernels<T>();
    const T* from = x.data<T>();
    Tensor rough = Tensor::empty({l.samples, l.repeats, l.groups, l.width}, f64);
    double* to = rough.mutable_data<double>();
    const int64_t all = l.rows / l.repeats, some = std::min<int64_t>(all, 16);
    parallel_for(l.samples, 1, [&](int64_t sample, int64_t) {
      k.sum_cols(some, l.n, from + sample * all * l.n, all / some * l.n, nullptr,
                 to + sample * l.n);
    });
    const Tensor about =
        unsqueeze(mean(rough, {1, 3}) / static_cast<double>(some), 2).to(t).to(f64);
    const Tensor m = l.constants({about}, t);
    const auto [first, second] =
        l.sums([&](int64_t sample, int64_t at, int64_t rows, double* part) {
          k.moments_cols[0](rows, l.n, m.data<T>() + sample * l.n, from + at, nullptr, part);
        });
    const Tensor off = l.sum_channels(first) / l.together();
    const Tensor square = l.sum_channels(second) / l.together();
    const Tensor var = maximum(square - off * off, Tensor::scalar(0, f64));
    // Squares that overflow in f32, or vanish beside eps: once more in f64.
    const Tensor fits = (var + eps >= 1e-30) * (var <= 1e30);
    if (t == f64 || min(fits).item() == 1) return Statistics{about + off, var};
    const Layout wide(f64, l.samples, l.rows, l.groups, l.width);
    const Statistics exact = statistics(x.detach().to(f64), wide, eps);
    return Statistics{where(fits, about + off, exact.mean), where(fits, var, exact.var)};
  });
}

// The same in recorded ops, for x as [samples, rows, groups, width], by this mean and variance if
// they are given.
Tensor normalize_again(const Tensor& x, const Shape& split, const Tensor& gamma, const Tensor& beta,
                       double eps, const Tensor& mean_or_none, const Tensor& var_or_none) {
  const Shape channels{split[2], split[3]};
  const Tensor v = x.view(split);
  const auto given = [&](const Tensor& s) {
    return s.to(x.dtype()).view({split[0], 1, split[2], 1});
  };
  const Tensor m =
      mean_or_none.defined() ? given(mean_or_none) : mean(v, {1, 3}, {.keepdims = true});
  const Tensor s = var_or_none.defined() ? given(var_or_none)
                                         : var(v, {1, 3}, {.correction = 0, .keepdims = true});
  Tensor z = (v - m) / sqrt(s + eps);
  if (gamma.defined()) z = z * gamma.view(channels);
  if (beta.defined()) z = z + beta.view(channels);
  return z.view(x.shape());
}

// y = f(z), z = gamma xhat + beta, xhat = (x - mean) / sigma, by this mean and sigma = sqrt(var +
// eps), [samples, groups, 1], which are constants if `fixed`.
//
// Backwards, with dz = dy f'(z); mean and sigma, too, are functions of the n values x that are
// normalized together, dmean/dx = 1 / n and dsigma/dx = xhat / n:
//   dbeta  = sum dz
//   dgamma = sum dz xhat
//   dxhat  = gamma dz
//   dmean  = -sum dxhat / sigma
//   dsigma = -sum dxhat xhat / sigma
//   dx     = dxhat / sigma + dmean / n + dsigma xhat / n
//          = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / sigma
// The kernels take constants of each column: z = (x - m) k1 + k2, dx = h k2 + k3 + dz k4 with
// h = (x - m) / sigma. m is the mean as x's dtype rounds it; `rest`, what is lost by that, is made
// up for.
Tensor normalize(const char* op, const Tensor& x, const Layout& l, const Tensor& gamma,
                 const Tensor& beta, const Statistics& s, double eps, bool fixed,
                 const Activation& f) {
  const DType t = x.dtype();
  const Tensor &mean = s.mean, &var = s.var;
  const Tensor sigma = sqrt(var + eps);
  const Tensor invstd = 1 / sigma, rest = mean - mean.to(t).to(f64);
  const Tensor scale = gamma.defined() ? l.channels(gamma) * invstd : invstd;
  const Tensor shift = (beta.defined() ? l.channels(beta) : Tensor::scalar(0, f64)) - rest * scale;
  const Tensor k = l.constants({mean, scale, shift}, t);
  Tensor y = Tensor::empty(x.shape(), t);
  visit_float(op, t, [&]<typename T>(T) {
    const T *from = x.data<T>(), *constants = k.data<T>();
    T* to = y.mutable_data<T>();
    l.for_pieces(true, [&](int64_t sample, int64_t at, int64_t rows, int64_t) {
      kernels<T>().affine_cols[0](rows, l.n, constants + sample * 3 * l.n, from + at, nullptr,
                                  to + at);
      if (!f.is_identity()) f.f_block(rows * l.n, to + at, to + at);
    });
  });
  auto vjp = [=, x = Saved(x, "x"), gamma = Saved(gamma, "gamma"), beta = Saved(beta, "beta"),
              slope = Saved(f.parameter(), "slope"),
              f = Activation(f, {})](const Tensor& dy, Wants want) {
    if (grad_enabled()) {
      const auto again = [&](auto& x, auto& gamma, auto& beta, auto& slope) {
        const Tensor none, z = normalize_again(x, {l.samples, l.rows, l.groups, l.width}, gamma,
                                               beta, eps, fixed ? mean : none, fixed ? var : none);
        return detail::finish(z, {}, f, slope);
      };
      return recorded_vjp(dy, again, x.get(), gamma.get(), beta.get(), slope.get());
    }
    std::array<Tensor, 4> dx;
    const Tensor h = l.constants({mean, invstd}, t);
    visit_float(op, t, [&]<typename T>(T) {
      const Kernels<T>& kernel = kernels<T>();
      const T *from = x.get().template data<T>(), *g = dy.data<T>();
      // dz is made piece by piece, from z computed again, and lies where dx will; or it is dy.
      const bool dz_is_dy = f.is_identity();
      Tensor dz_then_dx = want[0] || !dz_is_dy ? Tensor::empty(dy.shape(), t) : Tensor();
      T* to = dz_then_dx.defined() ? dz_then_dx.mutable_data<T>() : nullptr;
      const T* dz = dz_is_dy ? g : to;
      Tensor whole = want[3] ? Tensor::empty(dy.shape(), t) : Tensor();
      T* zs = want[3] ? whole.mutable_data<T>() : nullptr;
      const auto [sum_dz,
                  moment] = l.sums([&](int64_t sample, int64_t at, int64_t rows, double* part) {
        const T* constants = k.data<T>() + sample * 3 * l.n;
        if (!dz_is_dy) {
          Tensor again = Tensor::empty({rows * l.n}, t);
          T* z = zs ? zs + at : again.mutable_data<T>();
          kernel.affine_cols[0](rows, l.n, constants, from + at, nullptr, z);
          if (!f.needs_x() && !zs) f.f_block(rows * l.n, z, z);
          f.vjp_block(rows * l.n, z, g + at, to + at);
        }
        kernel.moments_cols[1](rows, l.n, h.data<T>() + sample * 2 * l.n, from + at, dz + at, part);
      });
      const Tensor sum_dz_xhat = moment - rest * invstd * sum_dz;
      if (want[1]) dx[1] = sum(sum_dz_xhat, {0}).to(t).view({l.groups * l.width});
      if (want[2]) dx[2] = sum(sum_dz, {0}).to(t).view({l.groups * l.width});
      if (want[3]) dx[3] = dy * minimum(whole, scalar_like(0, dy));
      if (!want[0]) return;
      const double inverse_n = fixed ? 0 : 1 / l.together();  // fixed: no terms with means
      const auto mean_of = [&](const Tensor& s) { return l.sum_channels(s) * inverse_n; };
      const Tensor a = mean_of(scale * sum_dz), b = mean_of(scale * sum_dz_xhat);  // both / sigma
      const Tensor back = l.constants({mean, invstd, -b, b * rest * invstd - a, scale}, t);
      l.for_pieces(true, [&](int64_t sample, int64_t at, int64_t rows, int64_t) {
        kernel.affine_cols[1](rows, l.n, back.data<T>() + sample * 5 * l.n, from + at, dz + at,
                              to + at);
      });
      dx[0] = dz_then_dx;
    });
    return dx;
  };
  return record(op, std::move(y), {x, gamma, beta, f.parameter()}, std::move(vjp));
}

// gamma and its kin are of the last axes of x, one for batch and group norm.
void check(const char* op, const Tensor& x, double eps,
           std::initializer_list<std::pair<const char*, Input>> channels, int axes = 1) {
  check_float(op, x);
  fail_if(x.rank() < 2,
          "{}: expected x of at least two axes, channels last; got {}. Hint: reshape it to [n, c].",
          op, x.shape());
  fail_if(axes < 1 || axes >= x.rank(), "{}: expected axes in 1..{} for x {}; got {}.", op,
          x.rank() - 1, x.shape(), axes);
  const Shape last(x.shape().end() - axes, axes);
  for (const auto& [name, input] : channels) {
    const Tensor& v = *input.tensor;
    if (v.defined()) check_same_dtype(op, "x", x, name, v);
    fail_if(v.defined() && v.shape() != last,
            "{}: {} must be {} for x {}; got {}. Hint: channels are the last axis.", op, name, last,
            x.shape(), v.shape());
  }
  check_options(op, is_at_least(eps), "eps >= 0, finite", {eps});
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                  Tensor& running_var, BatchNormOptions options, const Activation& activation) {
  const char* op = "batch_norm";
  check(op, x, options.eps,
        {{"gamma", gamma},
         {"beta", beta},
         {"running_mean", running_mean},
         {"running_var", running_var}});
  const double momentum = options.momentum;
  check_options(op, momentum >= 0 && momentum <= 1, "momentum in 0..1", {momentum});
  const int64_t n = x.shape().without(x.rank() - 1).numel(), channels = x.dim(-1);
  const Layout layout(x.dtype(), 1, n, channels, 1);
  const bool tracks = running_mean.defined() && running_var.defined(), fixed = !options.training;
  fail_if(fixed && !tracks, "{}: expected running statistics outside training; got undefined ones.",
          op);
  fail_if(
      n == 1 && !fixed,
      "{}: expected more than one value per channel in training; got x {}. Hint: a larger batch, "
      "or eval().",
      op, x.shape());
  const Shape all{1, channels, 1};
  const Statistics s = fixed ? Statistics{running_mean.to(f64).clone().view(all),
                                          running_var.to(f64).clone().view(all)}
                             : statistics(x, layout, options.eps);
  if (!fixed && tracks && n > 0) {
    const double unbiased = static_cast<double>(n) / static_cast<double>(n - 1);
    running_mean.mul_(1 - momentum).add_(s.mean.view({channels}).to(x.dtype()), momentum);
    running_var.mul_(1 - momentum)
        .add_((s.var * unbiased).view({channels}).to(x.dtype()), momentum);
  }
  return normalize(op, x, layout, gamma, beta, s, options.eps, fixed, activation);
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  LayerNormOptions options) {
  const char* op = "layer_norm";
  check(op, x, options.eps, {{"gamma", gamma}, {"beta", beta}}, options.axes);
  const DType t = x.dtype();
  const Shape last(x.shape().end() - options.axes, options.axes);
  const int64_t n = last.numel(), rows = Shape(x.shape().begin(), x.rank() - options.axes).numel();
  const int64_t grain = row_grain(n);
  const Tensor w = gamma.defined() ? gamma : Tensor::ones(last, t);
  const Tensor b = beta.defined() ? beta : Tensor::zeros(last, t);
  Tensor y = Tensor::empty(x.shape(), t), k = Tensor::empty({rows, 3}, t);
  visit_float(op, t, [&]<typename T>(T) {
    const T *from = x.data<T>(), *scale = w.data<T>(), *shift = b.data<T>();
    T *to = y.mutable_data<T>(), *constants = k.mutable_data<T>();
    parallel_for(rows, grain, [=](int64_t i, int64_t end) {
      kernels<T>().norm_rows(end - i, n, options.eps, from + i * n, scale, shift, constants + 3 * i,
                             to + i * n);
    });
  });
  return record(
      op, y, {x, gamma, beta},
      [=, x = Saved(x, "x"), w = Saved(w, "gamma"), b = Saved(b, "beta"), eps = options.eps](
          const Tensor& dy, Wants want) {
        if (grad_enabled()) {
          const auto again = [=](const Tensor& x, const Tensor& gamma, const Tensor& beta) {
            return normalize_again(x, {rows, 1, 1, n}, gamma, beta, eps, {}, {});
          };
          return recorded_vjp(dy, again, x.get(), w.get(), b.get());
        }
        Tensor dx = Tensor::empty(dy.shape(), t);
        Tensor parts = Tensor::empty({ceil_div(rows, grain), 2, n}, t);  // of dgamma and dbeta
        visit_float(op, t, [&]<typename T>(T) {
          const T *from = x.get().template data<T>(), *g = dy.data<T>();
          const T *constants = k.data<T>(), *scale = w.get().template data<T>();
          T *to = dx.mutable_data<T>(), *part = parts.mutable_data<T>();
          parallel_for(rows, grain, [=](int64_t i, int64_t end) {
            kernels<T>().norm_rows_vjp(end - i, n, constants + 3 * i, scale, from + i * n,
                                       g + i * n, to + i * n, part + i / grain * 2 * n);
          });
        });
        const Tensor s = want[1] || want[2] ? sum(parts, {0}) : Tensor();
        return std::array{dx, want[1] ? s.rows(0, 1).view(last) : Tensor(),
                          want[2] ? s.rows(1, 2).view(last) : Tensor()};
      });
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& gamma, const Tensor& beta,
                  double eps) {
  const char* op = "group_norm";
  check(op, x, eps, {{"gamma", gamma}, {"beta", beta}});
  const int64_t n = x.dim(0), channels = x.dim(-1);
  fail_if(groups < 1 || channels % groups != 0,
          "{}: expected a number of groups that divides the {} channels of x {}; got {}.", op,
          channels, x.shape(), groups);
  const int64_t rows = x.numel() / std::max<int64_t>(1, n * channels);
  const Layout layout(x.dtype(), n, rows, groups, channels / groups);
  return normalize(op, x, layout, gamma, beta, statistics(x, layout, eps), eps, false, Identity{});
}

}  // namespace ramp
