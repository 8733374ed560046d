#include "ramp/autograd/ops_norm.h"

#include <algorithm>
#include <cmath>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// x [.., channels] as rows of columns: rows of channels stand side by side where that fills the
// vectors, so column i is channel i % channels.
struct Columns {
  int64_t channels, n, rows;

  explicit Columns(const Tensor& x)
      : channels(x.shape().last()), n(channels), rows(x.shape().without(x.rank() - 1).numel()) {
    const int width = 4 * (x.dtype() == f32 ? kernels<float>().lanes : kernels<double>().lanes);
    for (; n % width != 0 && n < 1024 && rows > 0 && rows % 2 == 0; rows /= 2) n *= 2;
  }
  // Adds up [2, n] over the columns of each channel.
  std::vector<double> fold(const std::vector<double>& columns) const {
    std::vector<double> sums(static_cast<size_t>(2 * channels));
    for (int64_t i = 0; i < 2 * n; ++i) sums[i / n * channels + i % n % channels] += columns[i];
    return sums;
  }
  // f(offset of the first element, rows, piece), for pieces that stay in L1 where they can
  template <typename F>
  void for_pieces(F f) const {
    parallel_for(rows, height(),
                 [&](int64_t begin, int64_t end) { f(begin * n, end - begin, begin / height()); });
  }
  // The sum of what piece(offset, rows, part) writes to part [2, n], in order.
  template <typename Piece>
  std::vector<double> sum_pieces(Piece piece) const {
    std::vector<double> parts(2 * n * ((rows + height() - 1) / height())), sums(2 * n);
    for_pieces(
        [&](int64_t at, int64_t count, int64_t p) { piece(at, count, parts.data() + 2 * n * p); });
    for (size_t p = 0; p < parts.size(); p += sums.size())
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += parts[p + i];
    return fold(sums);
  }
  int64_t height() const { return std::max<int64_t>(16, 2048 / std::max<int64_t>(n, 1)); }
};

// The mean and the biased variance of each channel, f64 [2, channels]: moments about a rough mean
// (that of some rows from all over x), so that an offset costs no digits.
template <typename T>
Tensor statistics(const Columns& p, const T* x) {
  Tensor stats = Tensor::empty({2, p.channels}, f64);
  double *mean = stats.mutable_data<double>(), *var = mean + p.channels;
  const Kernels<T>& k = kernels<T>();
  const int64_t some = std::min<int64_t>(p.rows, 64), repeats = p.n / p.channels;
  std::vector<double> rough(2 * p.n);
  k.sum_cols(some, p.n, x, p.rows / some * p.n, rough.data());
  rough = p.fold(rough);
  std::vector<T> about(p.n);
  for (int64_t i = 0; i < p.n; ++i) {
    about[i] = static_cast<T>(rough[i % p.channels] / static_cast<double>(some * repeats));
  }
  const std::vector<double> sums = p.sum_pieces([&](int64_t at, int64_t rows, double* part) {
    k.moments_cols(rows, p.n, x + at, about.data(), nullptr, part);
  });
  const double n = static_cast<double>(p.rows * repeats);
  for (int64_t j = 0; j < p.channels; ++j) {
    const double off = sums[j] / n;
    mean[j] = about[j] + off;
    var[j] = std::max(0.0, sums[p.channels + j] / n - off * off);
  }
  return stats;
}

// z = (x - mean) scale + shift for each column, as [3, n]. The mean is rounded; shift has the rest.
template <typename T>
std::vector<T> affine(const Columns& p, const double* mean, const double* invstd,
                      const Tensor& gamma, const Tensor& beta) {
  std::vector<T> k(3 * p.n);
  const T *g = gamma.defined() ? gamma.data<T>() : nullptr,
          *b = beta.defined() ? beta.data<T>() : nullptr;
  for (int64_t i = 0; i < p.n; ++i) {
    const int64_t j = i % p.channels;
    const double scale = (g ? g[j] : 1) * invstd[j];
    k[i] = static_cast<T>(mean[j]);
    k[p.n + i] = static_cast<T>(scale);
    k[2 * p.n + i] = static_cast<T>((b ? b[j] : 0) - (mean[j] - k[i]) * scale);
  }
  return k;
}

// y = f(gamma (x - mean) invstd + beta), where stats [2, channels] hold mean and variance; they are
// constants if `fixed`.
Tensor normalize(const char* op, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 Tensor stats, double eps, bool fixed, const Activation& f) {
  const Columns p(x);
  const double* mean = stats.data<double>();
  double* invstd = stats.mutable_data<double>() + p.channels;
  for (int64_t j = 0; j < p.channels; ++j) invstd[j] = 1 / std::sqrt(invstd[j] + eps);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_float(op, x.dtype(), [&]<typename T>(T) {
    const std::vector<T> k = affine<T>(p, mean, invstd, gamma, beta);
    const T *from = x.data<T>(), *m = k.data();
    T* to = y.mutable_data<T>();
    p.for_pieces([&](int64_t at, int64_t rows, int64_t) {
      kernels<T>().affine_cols(rows, p.n, from + at, m, m + p.n, m + 2 * p.n, nullptr, m, to + at);
      if (!f.is_identity()) f.f_block(rows * p.n, to + at, to + at);
    });
  });
  return record(
      op, std::move(y), {x, gamma, beta},
      [op, p, x = Saved(x), gamma = Saved(gamma, gamma.defined()),
       beta = Saved(beta, beta.defined()), stats, fixed, f](const Tensor& dy, Wants want) {
        const double *mean = stats.data<double>(), *invstd = mean + p.channels;
        const bool direct = f.is_identity();
        std::array<Tensor, 3> dx;
        if (want[0] || !direct) dx[0] = Tensor::empty(dy.shape(), dy.dtype());
        for (const int i : {1, 2})
          if (want[i]) dx[i] = Tensor::empty({p.channels}, dy.dtype());
        visit_float(op, dy.dtype(), [&]<typename T>(T) {
          const Kernels<T>& k = kernels<T>();
          const std::vector<T> c =
              affine<T>(p, mean, invstd, gamma.get(op, "gamma"), beta.get(op, "beta"));
          const T *from = x.get(op, "x").template data<T>(), *g = dy.data<T>(), *m = c.data(),
                  *scale = m + p.n;
          T* to = dx[0].defined() ? dx[0].template mutable_data<T>() : nullptr;
          const T* dz = direct ? g : to;  // dx's memory holds dz, until dx takes its place
          const std::vector<double> sums =
              p.sum_pieces([&](int64_t at, int64_t rows, double* part) {
                if (!direct) {
                  Tensor again = Tensor::empty({rows * p.n}, dy.dtype());
                  T* z = again.mutable_data<T>();
                  k.affine_cols(rows, p.n, from + at, m, scale, scale + p.n, nullptr, m, z);
                  if (!f.derives_from_x()) f.f_block(rows * p.n, z, z);
                  f.vjp_block(rows * p.n, z, g + at, to + at);
                }
                k.moments_cols(rows, p.n, from + at, m, dz + at, part);
              });
          // dx = scale (dz - mean(dz) - (x - mean) invstd^2 mean(dz (x - mean)))
          std::vector<T> slope(p.n), rest(p.n);
          const double n = static_cast<double>(p.rows * (p.n / std::max<int64_t>(p.channels, 1)));
          for (int64_t i = 0; i < p.n; ++i) {
            const int64_t j = i % p.channels;
            const double off = mean[j] - m[j], by_x = sums[p.channels + j] - off * sums[j];
            if (i < p.channels && want[1])
              dx[1].template mutable_data<T>()[j] = static_cast<T>(by_x * invstd[j]);
            if (i < p.channels && want[2])
              dx[2].template mutable_data<T>()[j] = static_cast<T>(sums[j]);
            const double s = fixed ? 0 : -scale[j] * by_x * invstd[j] * invstd[j] / n;
            slope[i] = static_cast<T>(s);
            rest[i] = static_cast<T>(fixed ? 0 : -s * off - scale[j] * sums[j] / n);
          }
          if (!want[0]) return;
          p.for_pieces([&](int64_t at, int64_t rows, int64_t) {
            k.affine_cols(rows, p.n, from + at, m, slope.data(), rest.data(), dz + at, scale,
                          to + at);
          });
        });
        if (!want[0]) dx[0] = Tensor();
        return dx;
      });
}

void check(const char* op, const Tensor& x,
           std::initializer_list<std::pair<const char*, Input>> channels) {
  check_defined(op, "x", x);
  if (!is_float(x.dtype()))
    fail("{}: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).", op);
  if (x.rank() < 2) {
    fail("{}: expected x of at least two axes, channels last; got {}. Hint: reshape it to [n, c].",
         op, x.shape());
  }
  for (const auto& [name, input] : channels) {
    if (!input.tensor->defined()) continue;
    check_same_dtype(op, "x", x, name, *input.tensor);
    if (!(input.tensor->shape() == Shape{x.shape().last()})) {
      fail("{}: {} must be [{}] for x {}; got {}. Hint: channels are the last axis.", op, name,
           x.shape().last(), x.shape(), input.tensor->shape());
    }
  }
}

// Groups of channels of each of n samples: they become the columns, and go back.
Tensor normalize_groups(const char* op, const Tensor& x, int64_t n, int64_t groups,
                        const Tensor& gamma, const Tensor& beta, double eps) {
  check(op, x, {{"gamma", gamma}, {"beta", beta}});
  Tensor y = x;
  if (x.numel() > 0) {
    const int64_t c = x.dim(-1) / groups, places = x.numel() / n / x.dim(-1);
    const Tensor columns = reshape(permute(reshape(x, {n, places, groups, c}), {1, 3, 0, 2}),
                                   {places * c, n * groups});
    const Tensor stats = visit_float(op, x.dtype(), [&]<typename T>(T) {
      return statistics(Columns(columns), columns.data<T>());
    });
    y = normalize(op, columns, {}, {}, stats, eps, false, Identity{});
    y = reshape(permute(reshape(y, {places, c, n, groups}), {2, 0, 3, 1}),
                {x.shape().begin(), x.shape().end()});
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
  const int64_t c = x.dim(-1), n = x.shape().without(x.rank() - 1).numel();
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
  Tensor stats = Tensor::zeros({2, c}, f64);
  if (x.numel() > 0)
    visit_float(op, x.dtype(), [&]<typename T>(T) {
      if (options.training) stats = statistics(Columns(x), x.data<T>());
      double *mean = stats.mutable_data<double>(), *var = mean + c;
      if (!tracks) return;
      T *m = running_mean.mutable_data<T>(), *v = running_var.mutable_data<T>();
      for (int64_t j = 0; j < c; ++j) {
        if (options.training) {
          const double count = static_cast<double>(n), unbiased = var[j] * count / (count - 1);
          m[j] = static_cast<T>(m[j] + options.momentum * (mean[j] - m[j]));
          v[j] = static_cast<T>(v[j] + options.momentum * (unbiased - v[j]));
        } else {
          mean[j] = m[j];
          var[j] = v[j];
        }
      }
    });
  return normalize(op, x, gamma, beta, stats, options.eps, !options.training, activation);
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  if (x.defined() && x.rank() == 1)
    return reshape(layer_norm(reshape(x, {1, x.numel()}), gamma, beta, eps), {x.numel()});
  return normalize_groups("layer_norm", x, x.defined() && x.numel() > 0 ? x.numel() / x.dim(-1) : 0,
                          1, gamma, beta, eps);
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
