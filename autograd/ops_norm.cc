#include "ramp/autograd/ops_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

constexpr int64_t kBlock = 1024;  // elements that stay in L1, with dy and dz of them

// x as [outer, rows, c]: each of the `outer` samples has its own statistics, of `groups` groups of
// neighbouring channels. Batch norm is one sample with c groups.
struct Plan {
  const char* op;
  int64_t outer, rows, c, groups;

  double count() const { return static_cast<double>(rows * (c / groups)); }
  int64_t rows_in(int64_t elements) const { return std::max<int64_t>(1, elements / c); }
  int64_t pieces() const { return (rows + rows_in(kStreamGrain) - 1) / rows_in(kStreamGrain); }
  // f(piece, first row, end) for pieces of one sample, f(first row, count) for the blocks of one
  template <typename F>
  void for_pieces(F f) const {
    const int64_t size = rows_in(kStreamGrain);
    parallel_for(rows, size, [&](int64_t begin, int64_t end) { f(begin / size, begin, end); });
  }
  template <typename F>
  void for_blocks(int64_t begin, int64_t end, F f) const {
    const int64_t size = rows_in(kBlock);
    for (int64_t i = begin; i < end; i += size) f(i, std::min(size, end - i));
  }
  // f(first sample, end), each about a piece of work
  template <typename F>
  void for_samples(F f) const {
    parallel_for(outer, std::max<int64_t>(1, kStreamGrain / (rows * c)), f);
  }
  // sum over the channels of each group
  void sum_groups(const double* of_channels, double* of_groups) const {
    const int64_t size = c / groups;
    for (int64_t j = 0; j < groups; ++j) {
      of_groups[j] = 0;
      for (int64_t i = j * size; i < (j + 1) * size; ++i) of_groups[j] += of_channels[i];
    }
  }
};

// Mean and biased variance of each group of one sample: those of the pieces, where the squares are
// summed about the piece's own mean, joined in f64. Source: Chan, Golub and LeVeque (1983),
// eq. 2.1.
template <typename T>
void statistics(const Plan& p, const T* x, double* mean, double* var) {
  const Kernels<T>& k = kernels<T>();
  std::vector<double> parts(static_cast<size_t>(2 * p.groups * p.pieces()));
  p.for_pieces([&](int64_t piece, int64_t begin, int64_t end) {
    double *m = parts.data() + 2 * p.groups * piece, *squares = m + p.groups;
    const T* from = x + begin * p.c;
    const double n = static_cast<double>((end - begin) * (p.c / p.groups));
    // The mean that the kernels take is rounded: (v - m)^2 is (v - about)^2 less (m - about)^2.
    const auto about_true_mean = [n](double sum, double m, T about) {
      return std::max(0.0, sum - n * (m - about) * (m - about));
    };
    if (p.groups == 1) {
      const int64_t size = (end - begin) * p.c;
      *m = k.sum(size, from) / n;
      const T about = static_cast<T>(*m);
      *squares = about_true_mean(k.sum_squares(size, from, about), *m, about);
      return;
    }
    std::vector<double> sums(static_cast<size_t>(p.c));
    std::vector<T> about(sums.size());
    k.sum_cols(end - begin, p.c, from, p.c, sums.data());
    p.sum_groups(sums.data(), m);
    for (int64_t j = 0; j < p.groups; ++j) m[j] /= n;
    for (int64_t j = 0; j < p.c; ++j) about[j] = static_cast<T>(m[j / (p.c / p.groups)]);
    k.sum_squares_cols(end - begin, p.c, from, p.c, about.data(), sums.data());
    p.sum_groups(sums.data(), squares);
    for (int64_t j = 0; j < p.groups; ++j) {
      squares[j] = about_true_mean(squares[j], m[j], static_cast<T>(m[j]));
    }
  });
  const double whole = static_cast<double>(p.rows_in(kStreamGrain) * (p.c / p.groups));
  for (int64_t j = 0; j < p.groups; ++j) {
    double n = 0, m = 0, squares = 0;
    for (int64_t piece = 0; piece < p.pieces(); ++piece) {
      const double* part = parts.data() + 2 * p.groups * piece + j;
      const double more = std::min(whole, p.count() - n), d = part[0] - m;
      squares += part[p.groups] + d * d * n * more / (n + more);
      m += d * more / (n + more);
      n += more;
    }
    mean[j] = m;
    var[j] = squares / n;
  }
}

// z = (x - mean) scale + shift, by channel. mean is rounded; shift holds what that leaves.
template <typename T>
struct Affine {
  std::vector<T> mean, scale, shift;

  Affine(const Plan& p, const double* stats, const Tensor& gamma, const Tensor& beta)
      : mean(static_cast<size_t>(p.c)), scale(mean.size()), shift(mean.size()) {
    const T *g = gamma.defined() ? gamma.data<T>() : nullptr,
            *b = beta.defined() ? beta.data<T>() : nullptr;
    for (int64_t i = 0; i < p.c; ++i) {
      const int64_t j = i / (p.c / p.groups);
      const double factor = (g ? g[i] : 1) * stats[p.groups + j];
      const auto at = static_cast<size_t>(i);
      mean[at] = static_cast<T>(stats[j]);
      scale[at] = static_cast<T>(factor);
      shift[at] = static_cast<T>((b ? b[i] : 0) - (stats[j] - mean[at]) * factor);
    }
  }
  void operator()(int64_t rows, const T* x, T* z) const {
    kernels<T>().affine_cols(rows, static_cast<int64_t>(mean.size()), x, mean.data(), scale.data(),
                             shift.data(), z);
  }
};

// One sample's part of the gradient: dx, and what it adds to dgamma and dbeta (f64). `fixed`
// statistics are constants; else g less its projections is what reaches x.
template <typename T>
void norm_vjp(const Plan& p, const T* x, const T* dy, const double* stats, const Tensor& gamma,
              const Tensor& beta, const Activation& f, bool fixed, bool sums_wanted, T* dx,
              double* dgamma, double* dbeta) {
  const Kernels<T>& k = kernels<T>();
  const Affine<T> affine(p, stats, gamma, beta);
  const size_t c = static_cast<size_t>(p.c), block = static_cast<size_t>(p.rows_in(kBlock)) * c;
  // use(row, rows, dz) for the blocks of a piece; z is computed again
  const auto for_dz = [&](int64_t begin, int64_t end, auto use) {
    std::vector<T> scratch(f.is_identity() ? 0 : 2 * block);
    T *z = scratch.data(), *dz = z + block;
    p.for_blocks(begin, end, [&](int64_t row, int64_t rows) {
      const T* from = dy + row * p.c;
      if (!f.is_identity()) {
        affine(rows, x + row * p.c, z);
        if (!f.derives_from_x()) f.f_block(rows * p.c, z, z);
        f.vjp_block(rows * p.c, z, from, dz);
        from = dz;
      }
      use(row, rows, from);
    });
  };

  std::vector<double> sums(2 * c);  // of dz, and of dz (x - mean)
  if (sums_wanted || !fixed) {
    std::vector<double> parts(2 * c * static_cast<size_t>(p.pieces()));
    p.for_pieces([&](int64_t piece, int64_t begin, int64_t end) {
      double* part = parts.data() + 2 * p.c * piece;
      std::vector<double> more(2 * c);
      for_dz(begin, end, [&](int64_t row, int64_t rows, const T* dz) {
        k.sum_cols(rows, p.c, dz, p.c, more.data());
        k.sum_products_cols(rows, p.c, x + row * p.c, dz, p.c, affine.mean.data(),
                            more.data() + p.c);
        for (size_t i = 0; i < 2 * c; ++i) part[i] += more[i];
      });
    });
    for (size_t i = 0; i < parts.size(); ++i) sums[i % (2 * c)] += parts[i];
    for (size_t i = 0; i < c; ++i) {
      const size_t j = i / (c / static_cast<size_t>(p.groups));
      sums[c + i] -= (stats[j] - affine.mean[i]) * sums[i];
      dbeta[i] += sums[i];
      dgamma[i] += sums[c + i] * stats[static_cast<size_t>(p.groups) + j];
    }
  }
  if (!dx) return;

  // dx = scale dz - slope (x - mean) - rest, with one slope and rest for each group
  std::vector<T> slope(c), rest(c);
  if (!fixed) {
    std::vector<double> groups(2 * static_cast<size_t>(p.groups));
    for (size_t i = 0; i < 2 * c; ++i) sums[i] *= affine.scale[i % c];
    p.sum_groups(sums.data(), groups.data());
    p.sum_groups(sums.data() + c, groups.data() + p.groups);
    for (size_t i = 0; i < c; ++i) {
      const size_t j = i / (c / static_cast<size_t>(p.groups));
      const double invstd = stats[static_cast<size_t>(p.groups) + j];
      const double by_x = groups[static_cast<size_t>(p.groups) + j] * invstd * invstd / p.count();
      slope[i] = static_cast<T>(-by_x);
      rest[i] = static_cast<T>(by_x * (stats[j] - affine.mean[i]) - groups[j] / p.count());
    }
  }
  p.for_pieces([&](int64_t, int64_t begin, int64_t end) {
    for_dz(begin, end, [&](int64_t row, int64_t rows, const T* dz) {
      k.affine_cols_add(rows, p.c, x + row * p.c, affine.mean.data(), slope.data(), rest.data(), dz,
                        affine.scale.data(), dx + row * p.c);
    });
  });
}

void check_channels(const char* op, const char* name, const Tensor& t, const Tensor& x) {
  if (!t.defined()) return;
  check_same_dtype(op, "x", x, name, t);
  if (!(t.shape() == Shape{x.shape().last()})) {
    fail(
        "{}: {} must be [{}], one value for each channel of x {}; got {}. Hint: channels are the "
        "last axis.",
        op, name, x.shape().last(), x.shape(), t.shape());
  }
}

// y = f(gamma xhat + beta), recorded. stats [outer, 2, groups] f64: given if `fixed`, else set
// here: the mean and the variance, of which 1 / sqrt(var + eps) is left when `seen` has seen it.
template <typename Seen>
Tensor normalize(const Plan& p, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 double eps, Tensor stats, bool fixed, const Activation& f, Seen seen) {
  check_channels(p.op, "gamma", gamma, x);
  check_channels(p.op, "beta", beta, x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  double* s = stats.mutable_data<double>();
  visit_float(p.op, x.dtype(), [&]<typename T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    if (x.numel() == 0) return;
    p.for_samples([&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        double *mean = s + o * 2 * p.groups, *var = mean + p.groups;
        const T* sample = from + o * p.rows * p.c;
        if (!fixed) statistics(p, sample, mean, var);
        seen(mean, var);
        for (int64_t j = 0; j < p.groups; ++j) var[j] = 1 / std::sqrt(var[j] + eps);
        const Affine<T> affine(p, mean, gamma, beta);
        p.for_pieces([&](int64_t, int64_t first, int64_t last) {
          p.for_blocks(first, last, [&](int64_t row, int64_t rows) {
            T* out = to + (o * p.rows + row) * p.c;
            affine(rows, sample + row * p.c, out);
            if (!f.is_identity()) f.f_block(rows * p.c, out, out);
          });
        });
      }
    });
  });
  return record(p.op, std::move(y), {x, gamma, beta},
                [p, x = Saved(x), gamma = Saved(gamma), beta = Saved(beta, beta.defined()), stats,
                 fixed, f](const Tensor& dy, Wants want) {
                  const Tensor &at = x.get(p.op, "x"), &g = gamma.get(p.op, "gamma"),
                               &b = beta.get(p.op, "beta");
                  const int64_t grain =
                      std::max<int64_t>(1, kStreamGrain / std::max<int64_t>(1, p.rows * p.c));
                  std::array<Tensor, 3> dx;
                  if (want[0]) dx[0] = Tensor::empty(dy.shape(), dy.dtype());
                  const int64_t pieces = (p.outer + grain - 1) / grain;
                  visit_float(p.op, dy.dtype(), [&]<typename T>(T) {
                    Tensor sums = Tensor::zeros({pieces, 2, p.c}, f64);
                    double* parts = sums.mutable_data<double>();
                    T* to = want[0] ? dx[0].mutable_data<T>() : nullptr;
                    const T *from = at.data<T>(), *cotangent = dy.data<T>();
                    if (dy.numel() > 0) {
                      p.for_samples([&](int64_t begin, int64_t end) {
                        double* part = parts + begin / grain * 2 * p.c;
                        for (int64_t o = begin; o < end; ++o) {
                          const int64_t i = o * p.rows * p.c;
                          norm_vjp<T>(p, from + i, cotangent + i,
                                      stats.data<double>() + o * 2 * p.groups, g, b, f, fixed,
                                      want[1] || want[2], to ? to + i : nullptr, part, part + p.c);
                        }
                      });
                    }
                    for (const int i : {1, 2}) {
                      if (!want[i]) continue;
                      dx[i] = Tensor::empty({p.c}, dy.dtype());
                      T* total = dx[i].mutable_data<T>();
                      for (int64_t j = 0; j < p.c; ++j) {
                        double sum = 0;
                        for (int64_t n = 0; n < pieces; ++n)
                          sum += parts[(2 * n + i - 1) * p.c + j];
                        total[j] = static_cast<T>(sum);
                      }
                    }
                  });
                  return dx;
                });
}

// x as samples of `rows` rows of channels.
Plan plan(const char* op, const Tensor& x, int least_rank) {
  check_defined(op, "x", x);
  if (x.rank() < least_rank) {
    fail("{}: expected x of at least {} axes, channels last; got {}. Hint: reshape it to [{}c].",
         op, least_rank, x.shape(), least_rank == 1 ? "" : "n, ");
  }
  return Plan{op, 1, x.shape().without(x.rank() - 1).numel(), x.shape().last(), 1};
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                  Tensor& running_var, BatchNormOptions options, const Activation& activation) {
  const char* op = "batch_norm";
  Plan p = plan(op, x, 2);
  p.groups = p.c;
  check_channels(op, "running_mean", running_mean, x);
  check_channels(op, "running_var", running_var, x);
  const bool training = options.training, tracks = running_mean.defined() && running_var.defined();
  if (training && p.rows == 1) {
    fail(
        "{}: expected more than one value per channel in training; got x {}. Hint: a larger batch, "
        "or eval().",
        op, x.shape());
  }
  if (!training && !tracks) {
    fail("{}: expected running_mean and running_var outside training; got undefined ones.", op);
  }
  Tensor stats = Tensor::empty({2, p.c}, f64);
  if (!training) {
    stats.rows(0, 1).copy_(running_mean.to(f64).view({1, p.c}));
    stats.rows(1, 2).copy_(running_var.to(f64).view({1, p.c}));
  }
  const auto track = [&](const double* mean, const double* var) {
    if (!training || !tracks) return;
    visit_float(op, x.dtype(), [&]<typename T>(T) {
      T *m = running_mean.mutable_data<T>(), *v = running_var.mutable_data<T>();
      const double n = p.count();
      for (int64_t j = 0; j < p.c; ++j) {
        m[j] = static_cast<T>(m[j] + options.momentum * (mean[j] - m[j]));
        v[j] = static_cast<T>(v[j] + options.momentum * (var[j] * n / (n - 1) - v[j]));
      }
    });
  };
  return normalize(p, x, gamma, beta, options.eps, stats, !training, activation, track);
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  Plan p = plan("layer_norm", x, 1);
  std::swap(p.outer, p.rows);
  return normalize(p, x, gamma, beta, eps, Tensor::empty({p.outer, 2}, f64), false, Identity{},
                   [](const double*, const double*) {});
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& gamma, const Tensor& beta,
                  double eps) {
  Plan p = plan("group_norm", x, 2);
  p.outer = x.dim(0);
  p.rows = x.numel() == 0 ? 0 : x.numel() / p.outer / p.c;
  if (groups < 1 || p.c % groups != 0) {
    fail("group_norm: expected a number of groups that divides the {} channels of x {}; got {}.",
         p.c, x.shape(), groups);
  }
  p.groups = groups;
  return normalize(p, x, gamma, beta, eps, Tensor::empty({p.outer, 2, groups}, f64), false,
                   Identity{}, [](const double*, const double*) {});
}

}  // namespace ramp
