#include "ramp/autograd/ops_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

double divisor(Reduction reduction, const Shape& shape) {
  if (reduction == Reduction::mean) return static_cast<double>(shape.numel());
  if (reduction == Reduction::batch_mean && shape.rank() > 0) return static_cast<double>(shape[0]);
  return 1;
}

Tensor reduce(const Tensor& loss, Reduction reduction) {
  if (reduction == Reduction::none) return loss;
  if (reduction == Reduction::mean) return mean(loss);
  return sum(loss) / divisor(reduction, loss.shape());
}

void check_pair(const char* op, const char* name, const Tensor& y, const Tensor& target) {
  check_same_dtype(op, name, y, "target", target);
  if (!is_float(y.dtype()) || y.shape() != target.shape() || y.numel() == 0) {
    fail(
        "{}: expected {} and target of one shape, f32 or f64, with at least one element; got {} {} "
        "and {} {}. Hint: reshape() one of them, or to(f32).",
        op, name, y.dtype(), y.shape(), target.dtype(), target.shape());
  }
}

// The losses f(y, t) of all elements, reduced; d(y, t) are their derivatives by y and by t.
template <typename F, typename D>
Tensor pairwise(const char* op, const char* name, const Tensor& y, const Tensor& target,
                Reduction reduction, F f, D d) {
  check_pair(op, name, y, target);
  return visit_float(op, y.dtype(), [&]<typename T>(T) {
    Tensor loss = Tensor::empty(y.shape(), y.dtype());
    const T *a = y.data<T>(), *b = target.data<T>();
    T* l = loss.mutable_data<T>();
    parallel_for(y.numel(), kStreamGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) l[i] = f(a[i], b[i]);
    });
    return record(
        op, reduce(loss, reduction), {y, target},
        [=, y = Saved(y, name), target = Saved(target, "target")](const Tensor& dl, Wants want) {
          const Tensor &ys = y.get(), &ts = target.get();
          const T *a = ys.data<T>(), *b = ts.data<T>(), *g = dl.data<T>();
          const bool each = reduction == Reduction::none;
          const T f = *g * static_cast<T>(1 / divisor(reduction, ys.shape()));
          std::array<Tensor, 2> dx;
          for (size_t k = 0; k < 2; ++k) {
            if (!want[static_cast<int>(k)]) continue;
            dx[k] = Tensor::empty(ys.shape(), ys.dtype());
            T* out = dx[k].template mutable_data<T>();
            parallel_for(ys.numel(), kStreamGrain, [=](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                const auto [da, db] = d(a[i], b[i]);
                out[i] = (each ? g[i] : f) * (k == 0 ? da : db);
              }
            });
          }
          return dx;
        });
  });
}

// What the losses of classes ask of x [n, classes], their target and their options.
void check_classes(const char* op, const char* name, const Tensor& x, const Tensor& target,
                   const CrossEntropyOptions& o) {
  const Tensor& w = o.class_weights;
  check_defined(op, name, x);
  check_defined(op, "target", target);
  visit_float(op, x.dtype(), [](auto) {});
  const bool soft = target.dtype() == x.dtype() && target.shape() == x.shape();
  if (target.dtype() != i64 && !soft) {
    fail(
        "{}: target must be class numbers, i64, or soft, with shape and dtype of {} {} {}; got {} "
        "{}. Hint: labels.to(i64).",
        op, name, x.dtype(), x.shape(), target.dtype(), target.shape());
  }
  if (x.rank() != 2 ||
      (target.dtype() == i64 && (target.rank() != 1 || x.dim(0) != target.dim(0)))) {
    fail(
        "{}: expected {} [n, classes] and labels [n]; got {} and {}. Hint: labels are class "
        "numbers, one for each row, not one-hot.",
        op, name, x.shape(), target.shape());
  }
  if (x.numel() == 0) {
    fail("{}: expected at least one row and one class; got {} {}. Hint: leave out empty batches.",
         op, name, x.shape());
  }
  if (w.defined() && (w.dtype() != x.dtype() || !(w.shape() == Shape{x.dim(1)}))) {
    fail("{}: expected class_weights {} [{}], one for each class; got {} {}.", op, x.dtype(),
         x.dim(1), w.dtype(), w.shape());
  }
  if (!(o.label_smoothing >= 0 && o.label_smoothing <= 1)) {
    fail("{}: expected label_smoothing in 0..1; got {}.", op, o.label_smoothing);
  }
  if (target.dtype() != i64) return;
  const int64_t* label = target.data<int64_t>();
  for (int64_t i = 0; i < x.dim(0); ++i) {
    if ((label[i] < 0 || label[i] >= x.dim(1)) && label[i] != o.ignore_index) {
      fail("{}: labels must be in 0..{}; got {} at row {}. Hint: {} {} have {} classes.", op,
           x.dim(1) - 1, label[i], i, name, x.shape(), x.dim(1));
    }
  }
}

// l_i = -sum over c of q[i, c] log_p[i, c], where q holds target, smoothing and weights; a class
// with q = 0 adds 0, be its probability 0 too.
Tensor class_loss(const char* op, const Tensor& log_p, const Tensor& target,
                  const CrossEntropyOptions& o) {
  const int64_t n = log_p.dim(0), classes = log_p.dim(1);
  const double s = o.label_smoothing;
  double weight = static_cast<double>(n);  // what the mean divides by
  Tensor q = target;
  if (target.dtype() != i64) {
    if (s > 0) q = q * (1 - s) + s / static_cast<double>(classes);
    if (o.class_weights.defined()) q = q * o.class_weights;
  } else {
    q = Tensor::zeros(log_p.shape(), log_p.dtype());
    weight = 0;
    visit_float(op, q.dtype(), [&]<typename T>(T) {
      const T* w = o.class_weights.defined() ? o.class_weights.data<T>() : nullptr;
      const int64_t* label = target.data<int64_t>();
      T* row = q.mutable_data<T>();
      for (int64_t i = 0; i < n; ++i, row += classes) {
        if (label[i] == o.ignore_index) continue;
        const T spread = static_cast<T>(s / static_cast<double>(classes));
        for (int64_t c = 0; c < classes; ++c) row[c] = w ? w[c] * spread : spread;
        const T own = w ? w[label[i]] : 1;
        row[label[i]] += static_cast<T>(1 - s) * own;
        weight += own;
      }
    });
  }
  const Tensor loss = pairwise(
      op, "log_p", log_p, q, Reduction::none, [](auto x, auto q) { return q == 0 ? 0 : -q * x; },
      [](auto x, auto q) {
        return std::array{-q, q == 0 ? 0 : -x};
      });
  if (o.reduction != Reduction::mean) return reduce(sum(loss, -1), o.reduction);
  if (weight == 0) {
    fail(
        "{}: the mean is over labels that weigh 0, or all {} are ignored ({}). Hint: leave out "
        "such batches, or take Reduction::sum.",
        op, n, o.ignore_index);
  }
  return sum(loss) / weight;
}

// For bce_loss.
template <typename T>
T bounded(T log) {
  return log < -100 ? -100 : log;
}
// For kl_div: q v, and 0 for q = 0, even where log p is -inf; NaN where it is NaN.
template <typename T>
T times(T q, T v, T log_p) {
  return log_p != log_p ? log_p : math::damped(v, q);
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& o) {
  check_classes("cross_entropy", "logits", logits, target, o);
  const int64_t n = logits.dim(0), classes = logits.dim(1);
  const int64_t* label = target.dtype() == i64 ? target.data<int64_t>() : nullptr;
  if (!label || o.class_weights.defined() || o.label_smoothing > 0 ||
      o.reduction == Reduction::none || std::count(label, label + n, o.ignore_index) > 0) {
    return class_loss("cross_entropy", log_softmax(logits), target, o);
  }
  return visit_float("cross_entropy", logits.dtype(), [&]<typename T>(T) {
    const T* x = logits.data<T>();
    Tensor p = Tensor::empty(logits.shape(), logits.dtype());
    T* probability = p.mutable_data<T>();
    // The partial sums are added in the order of the pieces: equal bits for any thread count.
    const int64_t grain = std::max<int64_t>(64, kStreamGrain / classes);
    double loss = 0;
    if (n <= grain) {
      loss = kernels<T>().cross_entropy(n, classes, x, label, probability);
    } else {
      std::vector<double> part(static_cast<size_t>((n + grain - 1) / grain));
      parallel_for(n, grain, [&](int64_t begin, int64_t end) {
        part[static_cast<size_t>(begin / grain)] =
            kernels<T>().cross_entropy(end - begin, classes, x + begin * classes, label + begin,
                                       probability + begin * classes);
      });
      for (const double l : part) loss += l;
    }
    const double count = o.reduction == Reduction::sum ? 1 : static_cast<double>(n);
    const Tensor y = Tensor::scalar(loss / count, logits.dtype());
    return record("cross_entropy", y, {logits},
                  [count, p = Saved(p, "the probabilities"), labels = Saved(target, "target")](
                      const Tensor& dy, Wants) {
                    const Tensor& prob = p.get();
                    const int64_t* label = labels.get().data<int64_t>();
                    const int64_t n = prob.dim(0), classes = prob.dim(1);
                    const T f = *dy.data<T>() / static_cast<T>(count);
                    Tensor dx = Tensor::empty(prob.shape(), prob.dtype());
                    T* d = dx.mutable_data<T>();
                    kernels<T>().binary[static_cast<int>(Binary::mul)](prob.numel(), prob.data<T>(),
                                                                       1, &f, 0, d);
                    for (int64_t i = 0; i < n; ++i) d[i * classes + label[i]] -= f;
                    return dx;
                  });
  });
}

Tensor nll_loss(const Tensor& log_p, const Tensor& target, const NllOptions& o) {
  const CrossEntropyOptions options{.label_smoothing = 0,
                                    .class_weights = o.class_weights,
                                    .ignore_index = o.ignore_index,
                                    .reduction = o.reduction};
  check_classes("nll_loss", "log_p", log_p, target, options);
  return class_loss("nll_loss", log_p, target, options);
}

Tensor bce_loss(const Tensor& p, const Tensor& target, Reduction reduction) {
  check_defined("bce_loss", "p", p);
  const Tensor x = p.detach();
  if (is_float(x.dtype()) && sum((x < 0) + (x > 1)).item() > 0) {
    fail(
        "bce_loss: expected probabilities p in 0..1; got {} to {}. Hint: bce_with_logits() takes "
        "logits.",
        min(x).item(), max(x).item());
  }
  return pairwise(
      "bce_loss", "p", p, target, reduction,
      [](auto p, auto t) { return -t * bounded(std::log(p)) - (1 - t) * bounded(std::log1p(-p)); },
      [](auto p, auto t) {
        const auto v = p * (1 - p), least = static_cast<decltype(v)>(1e-12f);
        return std::array{(p - t) / (v < least ? least : v),
                          bounded(std::log1p(-p)) - bounded(std::log(p))};
      });
}

Tensor bce_with_logits(const Tensor& logits, const Tensor& target, const BceOptions& o) {
  const char* op = "bce_with_logits";
  if (!o.pos_weight.defined()) {
    return pairwise(
        op, "logits", logits, target, o.reduction,
        [](auto x, auto t) {
          return math::damped(Softplus{}.f(-x), t) + math::damped(Softplus{}.f(x), 1 - t);
        },
        [](auto x, auto t) {
          return std::array{(1 - t) * math::sigmoid(x) - t * math::sigmoid(-x), -x};
        });
  }
  check_pair(op, "logits", logits, target);
  check_same_dtype(op, "logits", logits, "pos_weight", o.pos_weight);
  if (broadcast(op, o.pos_weight.shape(), logits.shape(), "pos_weight", "logits") !=
      logits.shape()) {
    fail("{}: expected a pos_weight that broadcasts to logits {}; got {}.", op, logits.shape(),
         o.pos_weight.shape());
  }
  // -w log sigmoid(x)
  const auto term = [op](const Tensor& x, const Tensor& w) {
    return pairwise(
        op, "logits", x, w, Reduction::none,
        [](auto x, auto w) { return math::damped(Softplus{}.f(-x), w); },
        [](auto x, auto w) {
          return std::array{-w * math::sigmoid(-x), Softplus{}.f(-x)};
        });
  };
  return reduce(term(logits, o.pos_weight * target) + term(-logits, 1 - target), o.reduction);
}

Tensor mse_loss(const Tensor& y, const Tensor& target, Reduction reduction) {
  return pairwise(
      "mse_loss", "y", y, target, reduction, [](auto y, auto t) { return (y - t) * (y - t); },
      [](auto y, auto t) {
        return std::array{2 * (y - t), 2 * (t - y)};
      });
}

Tensor l1_loss(const Tensor& y, const Tensor& target, Reduction reduction) {
  return pairwise(
      "l1_loss", "y", y, target, reduction, [](auto y, auto t) { return std::fabs(y - t); },
      [](auto y, auto t) {
        const auto s = static_cast<decltype(y)>((y > t) - (y < t));
        return std::array{s, -s};
      });
}

Tensor smooth_l1_loss(const Tensor& y, const Tensor& target, double beta, Reduction reduction) {
  if (!(beta >= 0 && beta < INFINITY)) {
    fail("smooth_l1_loss: expected beta >= 0, finite; got {}.", beta);
  }
  if (beta == 0) return l1_loss(y, target, reduction);
  return pairwise(
      "smooth_l1_loss", "y", y, target, reduction,
      [beta](auto y, auto t) {
        const auto d = std::fabs(y - t), b = static_cast<decltype(y)>(beta), c = d < b ? d : b;
        return c * (d - c / 2) / b;
      },
      [beta](auto y, auto t) {
        const auto s = math::within((y - t) / static_cast<decltype(y)>(beta), 1);
        return std::array{s, -s};
      });
}

Tensor huber_loss(const Tensor& y, const Tensor& target, double delta, Reduction reduction) {
  if (!(delta > 0)) fail("huber_loss: expected delta > 0; got {}.", delta);
  return pairwise(
      "huber_loss", "y", y, target, reduction,
      [delta](auto y, auto t) {
        const auto d = std::fabs(y - t), e = static_cast<decltype(y)>(delta), c = d < e ? d : e;
        return c * (d - c / 2);
      },
      [delta](auto y, auto t) {
        const auto s = math::within(y - t, delta);
        return std::array{s, -s};
      });
}

Tensor hinge_loss(const Tensor& y, const Tensor& target, Reduction reduction) {
  check_same_dtype("hinge_loss", "y", y, "target", target);
  const Tensor t = target.detach();
  if (is_float(t.dtype()) && t.numel() > 0 &&
      !(min(abs(t)).item() == 1 && max(abs(t)).item() == 1)) {
    fail("hinge_loss: expected targets -1 and +1; got {} to {}. Hint: 2 * target - 1 for 0 and 1.",
         min(t).item(), max(t).item());
  }
  return pairwise(
      "hinge_loss", "y", y, target, reduction,
      [](auto y, auto t) {
        const auto l = 1 - t * y;
        return l < 0 ? 0 : l;
      },
      [](auto y, auto t) {
        const bool flat = t * y >= 1;
        return std::array{flat ? 0 : -t, flat ? 0 : -y};
      });
}

Tensor kl_div(const Tensor& log_p, const Tensor& target, const KlDivOptions& o) {
  if (o.log_target) {
    return pairwise(
        "kl_div", "log_p", log_p, target, o.reduction,
        [](auto x, auto t) { return times(std::exp(t), t - x, x); },
        [](auto x, auto t) {
          return std::array{-std::exp(t), times(std::exp(t), t - x + 1, x)};
        });
  }
  return pairwise(
      "kl_div", "log_p", log_p, target, o.reduction,
      [](auto x, auto q) { return times(q, std::log(q) - x, x); },
      [](auto x, auto q) {
        const bool ruled_out = q == 0 && x == -INFINITY;
        return std::array{-q, ruled_out ? 0 : std::log(q) + 1 - x};
      });
}

}  // namespace ramp
