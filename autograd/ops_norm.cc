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
  // [list, n]: f64 values [c] for every column, in x's dtype
  Tensor constants(const std::vector<Tensor>& list, DType dtype) const {
    Tensor k = Tensor::empty({static_cast<int64_t>(list.size()), repeats, c}, dtype);
    for (int64_t i = 0; i < k.dim(0); ++i) {
      k.rows(i, i + 1).copy_((Tensor::zeros({1, repeats, c}, f64) + list[i]).to(dtype));
    }
    return k;
  }
  // f(offset of the first element, rows, piece)
  template <typename F>
  void for_pieces(F f) const {
    parallel_for(rows, height,
                 [&](int64_t begin, int64_t end) { f(begin * n, end - begin, begin / height); });
  }
  // The sums of each channel's two values in what piece(offset, rows, part) writes to part [2, n].
  template <typename Piece>
  std::array<Tensor, 2> sums(Piece piece) const {
    Tensor parts = Tensor::empty({(rows + height - 1) / height, 2, repeats, c}, f64);
    double* part = parts.mutable_data<double>();
    for_pieces([&](int64_t at, int64_t count, int64_t p) { piece(at, count, part + 2 * n * p); });
    const Tensor s = sum(sum(parts, {0}), {1});
    return {s.rows(0, 1).view({c}), s.rows(1, 2).view({c})};
  }
};

struct Statistics {
  Tensor mean, var;  // f64 [c]
};
// From the moments about a rough mean (that of rows from all over x): an offset costs no digits.
Statistics statistics(const Tensor& x) {
  const Columns p(x);
  const DType t = x.dtype();
  Tensor rough = Tensor::zeros({p.repeats, p.c}, f64);
  if (x.numel() == 0) return {mean(rough, {0}), mean(rough, {0})};
  return visit_float("norm", t, [&]<typename T>(T) {
    const Kernels<T>& k = kernels<T>();
    const T* from = x.data<T>();
    const int64_t some = std::min<int64_t>(p.rows, 64);
    k.sum_cols(some, p.n, from, p.rows / some * p.n, rough.mutable_data<double>());
    const Tensor about = (mean(rough, {0}) / static_cast<double>(some)).to(t).to(f64);
    const Tensor m = p.constants({about}, t);
    const auto [first, second] = p.sums([&](int64_t at, int64_t rows, double* part) {
      k.moments_cols[0](rows, p.n, m.data<T>(), from + at, nullptr, part);
    });
    const double n = static_cast<double>(p.rows * p.repeats);
    const Tensor off = first / n;
    return Statistics{about + off, maximum(second / n - off * off, Tensor::scalar(0, f64))};
  });
}

// The power of two for each column that brings it to values about 1, if its variance is too large
// or too small to be squared in x's dtype; undefined if there is no such column.
Tensor scale_to_one(const Tensor& x, const Tensor& var, double eps) {
  const double largest = x.dtype() == f32 ? 1e30 : 1e200;
  const auto ordinary = [=](double v) { return v + eps >= 1 / largest && v <= largest; };
  const double* v = var.data<double>();
  if (std::all_of(v, v + var.numel(), ordinary)) return {};
  std::vector<int> rows;
  for (int i = 0; i < x.rank() - 1; ++i) rows.push_back(i);
  const Tensor peak = max(abs(x.detach()), rows).to(f64);
  Tensor scale = Tensor::ones(var.shape(), f64);
  const double* m = peak.data<double>();
  double* s = scale.mutable_data<double>();
  const int limit = x.dtype() == f32 ? 126 : 1022;
  for (int64_t j = 0; j < var.numel(); ++j) {
    if (ordinary(v[j]) || !std::isfinite(m[j]) || m[j] == 0) continue;
    s[j] = std::ldexp(1, std::clamp(-std::ilogb(m[j]), -limit, limit));
  }
  return scale;
}

// y = f(gamma xhat + beta) by this mean and std, which are constants if `fixed`.
Tensor normalize(const char* op, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 const Tensor& mean, const Tensor& std, bool fixed, const Activation& f) {
  const Columns p(x);
  const DType t = x.dtype();
  // z = (x - mean) scale + shift, where mean is rounded by `off`: shift makes up for it.
  const Tensor invstd = 1 / std, off = mean - mean.to(t).to(f64);
  const Tensor scale = gamma.defined() ? gamma.detach().to(f64) * invstd : invstd;
  const Tensor shift =
      (beta.defined() ? beta.detach().to(f64) : Tensor::scalar(0, f64)) - off * scale;
  const Tensor k = p.constants({mean, scale, shift}, t);
  Tensor y = Tensor::empty(x.shape(), t);
  visit_float(op, t, [&]<typename T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    p.for_pieces([&](int64_t at, int64_t rows, int64_t) {
      kernels<T>().affine_cols[0](rows, p.n, k.data<T>(), from + at, nullptr, to + at);
      if (!f.is_identity()) f.f_block(rows * p.n, to + at, to + at);
    });
  });
  auto vjp = [=, x = Saved(x, "x")](const Tensor& dy, Wants want) {
    std::array<Tensor, 3> dx;
    visit_float(op, t, [&]<typename T>(T) {
      const auto& affine = kernels<T>().affine_cols;
      const bool direct = f.is_identity();
      // dz is made piece by piece, from z computed again, and lies where dx will.
      Tensor d = want[0] || !direct ? Tensor::empty(dy.shape(), t) : Tensor();
      T* to = d.defined() ? d.mutable_data<T>() : nullptr;
      const T *from = x.get().template data<T>(), *g = dy.data<T>(), *dz = direct ? g : to;
      const auto [dbeta, products] = p.sums([&](int64_t at, int64_t rows, double* part) {
        if (!direct) {
          Tensor again = Tensor::empty({rows * p.n}, t);
          T* z = again.mutable_data<T>();
          affine[0](rows, p.n, k.data<T>(), from + at, nullptr, z);
          if (!f.derives_from_x()) f.f_block(rows * p.n, z, z);
          f.vjp_block(rows * p.n, z, g + at, to + at);
        }
        kernels<T>().moments_cols[1](rows, p.n, k.data<T>(), from + at, dz + at, part);
      });
      const Tensor dgamma = (products - off * dbeta) * invstd;
      if (want[1]) dx[1] = dgamma.to(t);
      if (want[2]) dx[2] = dbeta.to(t);
      if (!want[0]) return;
      // dx = scale (dz - mean(dz) - (x - mean) invstd mean(dz xhat))
      const double n = fixed ? INFINITY : static_cast<double>(p.rows * p.repeats);
      const Tensor slope = -(scale * invstd * dgamma / n);
      const Tensor back = p.constants({mean, slope, -(slope * off) - scale * dbeta / n, scale}, t);
      p.for_pieces([&](int64_t at, int64_t rows, int64_t) {
        affine[1](rows, p.n, back.data<T>(), from + at, dz + at, to + at);
      });
      dx[0] = d;
    });
    return dx;
  };
  return record(op, std::move(y), {x, gamma, beta}, std::move(vjp));
}

// The same by x's own mean and variance, which it leaves in s.
Tensor normalize(const char* op, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 Statistics& s, double eps, const Activation& f) {
  s = statistics(x);
  const Tensor k = scale_to_one(x, s.var, eps);
  if (!k.defined()) return normalize(op, x, gamma, beta, s.mean, sqrt(s.var + eps), false, f);
  const Tensor scaled = x * k.to(x.dtype()), root = std::sqrt(eps) * k;
  const Statistics of = statistics(scaled);
  s = {of.mean / k, of.var / k / k};
  return normalize(op, scaled, gamma, beta, of.mean, sqrt(of.var + root * root), false, f);
}

void check_eps(const char* op, double eps) {
  if (!(eps >= 0 && eps < INFINITY)) fail("{}: expected eps >= 0, finite; got {}.", op, eps);
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

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                  Tensor& running_var, BatchNormOptions options, const Activation& activation) {
  const char* op = "batch_norm";
  check(op, x, {{"gamma", gamma}, {"beta", beta}});
  check(op, x, {{"running_mean", running_mean}, {"running_var", running_var}});
  check_eps(op, options.eps);
  if (!(options.momentum >= 0 && options.momentum <= 1)) {
    fail("{}: expected momentum in 0..1; got {}.", op, options.momentum);
  }
  const double n = static_cast<double>(x.shape().without(x.rank() - 1).numel());
  const bool tracks = running_mean.defined() && running_var.defined();
  if (!options.training) {
    if (!tracks) fail("{}: expected running statistics outside training; got undefined ones.", op);
    return normalize(op, x, gamma, beta, running_mean.to(f64).clone(),
                     sqrt(running_var.to(f64) + options.eps), true, activation);
  }
  if (n == 1) {
    fail(
        "{}: expected more than one value per channel in training; got x {}. Hint: a larger batch, "
        "or eval().",
        op, x.shape());
  }
  Statistics s;
  const Tensor y = normalize(op, x, gamma, beta, s, options.eps, activation);
  if (const double r = options.momentum; tracks && n > 0) {
    running_mean.mul_(1 - r).add_(s.mean.to(x.dtype()), r);
    running_var.mul_(1 - r).add_((s.var * (n / (n - 1))).to(x.dtype()), r);
  }
  return y;
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  check("layer_norm", x, {{"gamma", gamma}, {"beta", beta}});
  check_eps("layer_norm", eps);
  const Shape& shape = x.shape();
  const Tensor rows = reshape(x, {shape.without(x.rank() - 1).numel(), shape.last()});
  return reshape(group_norm(rows, 1, gamma, beta, eps), {shape.begin(), shape.end()});
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& gamma, const Tensor& beta,
                  double eps) {
  const char* op = "group_norm";
  check(op, x, {{"gamma", gamma}, {"beta", beta}});
  check_eps(op, eps);
  const int64_t n = x.dim(0), channels = x.dim(-1);
  if (groups < 1 || channels % groups != 0) {
    fail("{}: expected a number of groups that divides the {} channels of x {}; got {}.", op,
         channels, x.shape(), groups);
  }
  // What is normalized together becomes a column, and goes back.
  const int64_t c = channels / groups, places = x.numel() / std::max<int64_t>(1, n * channels);
  const Tensor split = permute(reshape(x, {n, places, groups, c}), {1, 3, 0, 2});
  const Tensor columns = reshape(split, {places * c, n * groups});
  Statistics s;
  Tensor y = normalize(op, columns, {}, {}, s, eps, Identity{});
  y = permute(reshape(y, {places, c, n, groups}), {2, 0, 3, 1});
  y = reshape(y, {x.shape().begin(), x.shape().end()});
  if (gamma.defined()) y = y * gamma;
  return beta.defined() ? y + beta : y;
}

}  // namespace ramp
