#include "ramp/autograd/ops_loss.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/strided.h"

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

void check_pair(const char* op, const char* a_name, const Tensor& a, const char* b_name,
                const Tensor& b) {
  check_same_dtype(op, a_name, a, b_name, b);
  fail_if(!is_float(a.dtype()) || a.shape() != b.shape() || a.numel() == 0,
          "{}: expected {} and {} of the same shape, f32 or f64, with at least one element; got {} "
          "{} and {} {}. Hint: reshape() one of them, or to(f32).",
          op, a_name, b_name, a.dtype(), a.shape(), b.dtype(), b.shape());
}

// x must lie in lo..hi (NaN may pass: the loss shows it); `what` says so.
void check_range(const char* op, const char* what, const Tensor& x, double lo, double hi,
                 const char* hint) {
  std::atomic<double> outside = 0;
  visit_float(op, x.dtype(), [&]<typename T>(T) {
    parallel_for(x.numel(), kStreamGrain, [&, v = x.data<T>()](int64_t i, int64_t end) {
      outside += kernels<T>().count_outside(end - i, v + i, lo, hi);
    });
  });
  if (outside == 0) return;
  const double least = min(x.detach()).item(), most = max(x.detach()).item();
  fail_if(least < lo || most > hi, "{}: expected {}; got {} to {}. Hint: {}.", op, what, least,
          most, hint);
}
// y and a target of -1 and +1.
void check_signs(const char* op, const char* name, const Tensor& y, const Tensor& target) {
  check_pair(op, name, y, "target", target);
  const Tensor t = target.detach(), size = abs(t);
  if (min(size).item() == 1 && max(size).item() == 1) return;
  fail("{}: expected targets -1 and +1; got {} to {}. Hint: 2 * target - 1 for 0 and 1.", op,
       min(t).item(), max(t).item());
}
void check_broadcasts(const char* op, const char* name, const Tensor& v, const char* y_name,
                      const Tensor& y) {
  check_same_dtype(op, y_name, y, name, v);
  if (broadcast(op, v.shape(), y.shape(), name, y_name) == y.shape()) return;
  fail("{}: expected a {} that broadcasts to {} {}; got {}.", op, name, y_name, y.shape(),
       v.shape());
}

// The op that x is the result of, seen through those that only move values; "" where nothing is
// recorded.
std::string_view made_by(const Tensor& x) {
  const Node* node = node_of(x);
  constexpr std::string_view kMoves[] = {"reshape", "permute", "slice", "clone"};
  while (node && !node->activation && std::ranges::count(kMoves, node->op) > 0)
    node = node->inputs()[0].get();
  return !node ? "" : node->activation ? node->activation : node->op;
}
// The mistake of taking a softmax or sigmoid twice trains slowly, or not at all, and says nothing.
void check_logits(const char* op, const Tensor& logits,
                  std::initializer_list<std::string_view> wrong, const char* instead) {
  const std::string_view maker = made_by(logits);
  if (std::ranges::find(wrong, maker) == wrong.end()) return;
  fail(
      "{0}: expected logits; got the result of {1}(), which {0} would apply once more. Hint: leave "
      "{1}() out, or {2}; if it is meant, multiply by 1.",
      op, maker, instead);
}

// The losses of all elements by a rule of core/rules_loss.h, reduced; again(y, t) is the rule of
// tensors, in recorded ops.
template <typename Rule, typename Again>
Tensor elementwise_loss(const char* op, const char* name, const Tensor& y, const Tensor& target,
                        Reduction reduction, Rule rule, Again again) {
  check_pair(op, name, y, "target", target);
  // g times l [0], dl/dy [1] or dl/dt [2]
  const auto part = [op, rule](size_t k, const Tensor& y, const Tensor& t, const Tensor& g) {
    const bool each = g.numel() > 1;
    const auto kernel = [&]<typename T>(int64_t n, const T* y, const T* t, const T* of, T* out) {
      kernels<T>().loss[LossRules::index<Rule>()][k](&rule, n, y, t, each ? of : g.data<T>(), each,
                                                     out);
    };
    return map_chunks(op, kStreamGrain, kernel, y, t, each ? g : y);
  };
  return record(
      op, reduce(part(0, y, target, scalar_like(1, y)), reduction), {y, target},
      [=, y = Saved(y, name), target = Saved(target, "target")](const Tensor& dl, Wants want) {
        const Tensor &ys = y.get(), &ts = target.get();
        if (grad_enabled()) {
          const auto loss = [&](auto& y, auto& t) { return reduce(again(y, t), reduction); };
          return recorded_vjp(dl, loss, ys, ts);
        }
        const double share = 1 / divisor(reduction, ys.shape());
        const Tensor g = share == 1 ? dl : dl * share;
        return std::array{want[0] ? part(1, ys, ts, g) : Tensor(),
                          want[1] ? part(2, ys, ts, g) : Tensor()};
      });
}

// log p, and 0 where q = 0 and p = 0, whose product counts as 0.
Tensor finite_where_0(const Tensor& q, const Tensor& log_p) {
  return where((q == 0.0) * (log_p == -INFINITY), scalar_like(0, log_p), log_p);
}

// -q x, and 0 where q = 0.
Tensor weigh(const char* op, const char* name, const Tensor& x, const Tensor& q) {
  return elementwise_loss(
      op, name, x, q, Reduction::none, ClassLoss{},
      [](const Tensor& x, const Tensor& q) { return -(q * finite_where_0(q, x)); });
}

// The losses of y's elements, each times its weight, reduced; without weights they are already.
Tensor weighted(const char* op, const char* name, const Tensor& loss, const Tensor& weight,
                Reduction reduction) {
  if (!weight.defined()) return loss;
  check_broadcasts(op, "weight", weight, name, loss);
  return reduce(loss * weight, reduction);
}

// What the losses of classes ask of x [n, .., classes], their target and their options.
void check_classes(const char* op, const char* name, const Tensor& x, const Tensor& target,
                   const CrossEntropyOptions& o) {
  const Tensor& w = o.class_weights;
  check_float(op, x, name);
  check_defined(op, "target", target);
  fail_if(
      target.dtype() != i64 && (target.dtype() != x.dtype() || target.shape() != x.shape()),
      "{}: target must be class numbers, i64, or soft, with shape and dtype of {} {} {}; got {} "
      "{}. Hint: labels.to(i64).",
      op, name, x.dtype(), x.shape(), target.dtype(), target.shape());
  fail_if(
      x.rank() < 2 || (target.dtype() == i64 && target.shape() != x.shape().without(x.rank() - 1)),
      "{}: expected {} [n, .., classes] and labels [n, ..]; got {} and {}. Hint: labels are "
      "class numbers, one for each row, not one-hot; classes are the last axis.",
      op, name, x.shape(), target.shape());
  fail_if(x.numel() == 0,
          "{}: expected at least one row and one class; got {} {}. Hint: leave out empty batches.",
          op, name, x.shape());
  const int64_t classes = x.dim(-1);
  fail_if(w.defined() && (w.dtype() != x.dtype() || w.shape() != Shape{classes}),
          "{}: expected class_weights {} [{}], one for each class; got {} {}.", op, x.dtype(),
          classes, w.dtype(), w.shape());
  const double s = o.label_smoothing;
  check_options(op, s >= 0 && s <= 1, "label_smoothing in 0..1", {s});
  if (target.dtype() != i64) return;
  const int64_t* label = target.data<int64_t>();
  for (int64_t i = 0; i < target.numel(); ++i)
    fail_if((label[i] < 0 || label[i] >= classes) && label[i] != o.ignore_index,
            "{}: labels must be in 0..{}; got {} at row {}. Hint: {} {} have {} classes.", op,
            classes - 1, label[i], i, name, x.shape(), classes);
}

// l_i = -sum over c of q[i, c] log_p[i, c], where q holds target, smoothing and weights; a class
// with q = 0 adds 0, even where its probability is 0.
Tensor class_loss(const char* op, const Tensor& log_p, const Tensor& target,
                  const CrossEntropyOptions& o) {
  const int64_t classes = log_p.dim(-1), n = log_p.numel() / classes;
  const double s = o.label_smoothing, spread = s / static_cast<double>(classes);
  const Tensor w = o.class_weights.detach();
  const auto term = [op](const Tensor& x, const Tensor& q) { return weigh(op, "log_p", x, q); };
  if (target.dtype() != i64) {
    const Tensor q = s > 0 ? target * (1 - s) + spread : target;
    return reduce(sum(term(log_p, w.defined() ? q * w : q), -1), o.reduction);
  }
  // q is 1 - s at the label and `spread` everywhere, times w, and 0 in ignored rows: never made.
  const Tensor counted = target != static_cast<double>(o.ignore_index), label = target * counted;
  const Tensor one = counted.to(log_p.dtype()), own = w.defined() ? one * take(w, label) : one;
  const Tensor x = detail::gather(op, log_p, {n, classes}, 1, label.view({n, 1}), label.shape());
  Tensor loss = term(x, own * (1 - s));
  if (s > 0) {
    const Tensor all = w.defined() ? -term(log_p, broadcast_to(w, log_p.shape())) : log_p;
    loss = loss + term(sum(all, -1), one * spread);
  }
  if (o.reduction != Reduction::mean) return reduce(loss, o.reduction);
  const double weight = sum(own).item();
  fail_if(weight == 0,
          "{}: the mean is over labels that weigh 0, or all {} are ignored ({}). Hint: leave out "
          "such batches, or take Reduction::sum.",
          op, n, o.ignore_index);
  return sum(loss) / weight;
}

// What a logarithm of 1 may be off by.
constexpr double kLogRounding = 1e-3;

Tensor huber(const char* op, const Tensor& y, const Tensor& target, double delta,
             Reduction reduction) {
  return elementwise_loss(op, "y", y, target, reduction, HuberLoss{delta},
                          [delta](const Tensor& y, const Tensor& t) {
                            const Tensor d = y - t, c = clamp(d, -delta, delta);
                            return c * (d - c / 2);
                          });
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& o) {
  const char* op = "cross_entropy";
  check_classes(op, "logits", logits, target, o);
  check_logits(op, logits, {"softmax", "log_softmax", "sigmoid"},
               "nll_loss() takes log-probabilities");
  const int64_t classes = logits.dim(-1), n = logits.numel() / classes;
  const int64_t* label = target.dtype() == i64 ? target.data<int64_t>() : nullptr;
  if (!label || o.class_weights.defined() || o.label_smoothing > 0 ||
      o.reduction == Reduction::none || std::count(label, label + n, o.ignore_index) > 0) {
    return class_loss(op, log_softmax(logits), target, o);
  }
  return visit_float(op, logits.dtype(), [&]<typename T>(T) {
    Tensor p = Tensor::empty(logits.shape(), logits.dtype());
    T* probability = p.mutable_data<T>();
    // The partial sums are added in the order of the pieces: equal bits for any thread count.
    const int64_t grain = std::max<int64_t>(64, kStreamGrain / classes);
    std::vector<double> part(static_cast<size_t>(ceil_div(n, grain)));
    parallel_for(n, grain, [&, x = logits.data<T>()](int64_t i, int64_t end) {
      part[static_cast<size_t>(i / grain)] = kernels<T>().cross_entropy(
          end - i, classes, x + i * classes, label + i, probability + i * classes);
    });
    const double count = divisor(o.reduction, target.shape());
    const auto y =
        Tensor::scalar(std::accumulate(part.begin(), part.end(), 0.0) / count, p.dtype());
    auto vjp = [=, p = Saved(p, "the probabilities"), labels = Saved(target, "target"),
                logits = Saved(logits, "logits")](const Tensor& dy, Wants) {
      if (grad_enabled()) {
        const auto loss = [&](auto& x) { return class_loss(op, log_softmax(x), labels.get(), o); };
        return recorded_vjp(dy, loss, logits.get())[0];
      }
      const Tensor f = dy / count;
      Tensor dx = p.get() * f;
      const int64_t* label = labels.get().data<int64_t>();
      T* d = dx.mutable_data<T>();
      for (int64_t i = 0; i < n; ++i) d[i * classes + label[i]] -= *f.data<T>();
      return dx;
    };
    return record(op, y, {logits}, std::move(vjp));
  });
}

Tensor nll_loss(const Tensor& log_p, const Tensor& target, const CrossEntropyOptions& o) {
  check_classes("nll_loss", "log_p", log_p, target, o);
  check_range("nll_loss", "log-probabilities log_p, at most 0", log_p, -INFINITY, kLogRounding,
              "log_softmax(logits), or cross_entropy(), which takes logits");
  return class_loss("nll_loss", log_p, target, o);
}

Tensor bce_loss(const Tensor& p, const Tensor& target, const BceOptions& o) {
  const char* op = "bce_loss";
  check_pair(op, "p", p, "target", target);
  check_range(op, "probabilities p in 0..1", p, 0, 1, "bce_with_logits() takes logits");
  check_range(op, "targets in 0..1", target, 0, 1, "(target + 1) / 2 for -1 and +1");
  const Tensor loss = elementwise_loss(
      op, "p", p, target, o.weight.defined() ? Reduction::none : o.reduction, BceLoss{},
      [](const Tensor& p, const Tensor& t) {
        return -(t * clamp(log(p), -100, INFINITY) + (1 - t) * clamp(log(1 - p), -100, INFINITY));
      });
  return weighted(op, "p", loss, o.weight, o.reduction);
}

Tensor bce_with_logits(const Tensor& logits, const Tensor& target, const BceWithLogitsOptions& o) {
  const char* op = "bce_with_logits";
  check_pair(op, "logits", logits, "target", target);
  check_range(op, "targets in 0..1", target, 0, 1, "(target + 1) / 2 for -1 and +1");
  check_logits(op, logits, {"sigmoid", "softmax", "log_softmax", "log_sigmoid"},
               "bce_loss() takes probabilities");
  const Reduction r = o.weight.defined() ? Reduction::none : o.reduction;
  if (!o.pos_weight.defined()) {
    const Tensor loss = elementwise_loss(
        op, "logits", logits, target, r, LogitsLoss{},
        [](const Tensor& x, const Tensor& t) { return t * softplus(-x) + (1 - t) * softplus(x); });
    return weighted(op, "logits", loss, o.weight, o.reduction);
  }
  check_broadcasts(op, "pos_weight", o.pos_weight, "logits", logits);
  const Tensor loss = weigh(op, "logits", log_sigmoid(logits), o.pos_weight * target) +
                      weigh(op, "logits", log_sigmoid(-logits), 1 - target);
  return weighted(op, "logits", reduce(loss, r), o.weight, o.reduction);
}

Tensor mse_loss(const Tensor& y, const Tensor& target, Reduction reduction) {
  return elementwise_loss("mse_loss", "y", y, target, reduction, SquareLoss{},
                          [](const Tensor& y, const Tensor& t) { return pow(y - t, 2); });
}

Tensor l1_loss(const Tensor& y, const Tensor& target, Reduction reduction) {
  return elementwise_loss("l1_loss", "y", y, target, reduction, AbsLoss{},
                          [](const Tensor& y, const Tensor& t) { return abs(y - t); });
}

Tensor smooth_l1_loss(const Tensor& y, const Tensor& target, double beta, Reduction reduction) {
  check_options("smooth_l1_loss", is_at_least(beta), "beta >= 0, finite", {beta});
  if (beta == 0) return l1_loss(y, target, reduction);
  return huber("smooth_l1_loss", y, target, beta, reduction) / beta;
}

Tensor huber_loss(const Tensor& y, const Tensor& target, double delta, Reduction reduction) {
  check_options("huber_loss", delta > 0, "delta > 0", {delta});
  return huber("huber_loss", y, target, delta, reduction);
}

Tensor hinge_loss(const Tensor& y, const Tensor& target, Reduction reduction) {
  check_signs("hinge_loss", "y", y, target);
  return reduce(relu(1 - target * y), reduction);
}

Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin,
                            Reduction reduction) {
  const char* op = "hinge_embedding_loss";
  check_signs(op, "x", x, target);
  check_options(op, is_at_least(margin), "margin >= 0, finite", {margin});
  return reduce(where(target > 0, x, relu(margin - x)), reduction);
}

Tensor margin_ranking_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin,
                           Reduction reduction) {
  const char* op = "margin_ranking_loss";
  check_pair(op, "a", a, "b", b);
  check_signs(op, "a", a, target);
  check_options(op, is_at_least(margin), "margin >= 0, finite", {margin});
  return reduce(relu(margin - target * (a - b)), reduction);
}

Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin,
                             Reduction reduction) {
  const char* op = "cosine_embedding_loss";
  check_pair(op, "a", a, "b", b);
  check_same_dtype(op, "a", a, "target", target);
  fail_if(a.rank() == 0 || target.shape() != a.shape().without(a.rank() - 1),
          "{}: expected a, b [.., features] and target [..]; got {} and {}.", op, a.shape(),
          target.shape());
  check_options(op, margin >= -1 && margin <= 1, "margin in -1..1", {margin});
  const Tensor cosine = sum(a * b, -1) / sqrt((sum(a * a, -1) + 1e-12) * (sum(b * b, -1) + 1e-12));
  check_signs(op, "the cosine", cosine, target);
  return reduce(where(target > 0, 1 - cosine, relu(cosine - margin)), reduction);
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginOptions& o) {
  const char* op = "triplet_margin_loss";
  check_pair(op, "anchor", anchor, "positive", positive);
  check_pair(op, "anchor", anchor, "negative", negative);
  if (anchor.rank() == 0) fail("{}: expected anchor [.., features]; got a scalar.", op);
  check_options(op, is_at_least(o.margin), "margin >= 0, finite", {o.margin});
  check_options(op, o.eps > 0 && o.eps < INFINITY, "eps > 0, finite", {o.eps});
  check_options(op, o.p > 0 && o.p < INFINITY, "p > 0, finite", {o.p});
  const auto distance = [&](const Tensor& a, const Tensor& b) {
    return pow(sum(pow(abs(a - b + o.eps), o.p), -1), 1 / o.p);
  };
  Tensor apart = distance(anchor, negative);
  if (o.swap) apart = minimum(apart, distance(positive, negative));
  return reduce(relu(distance(anchor, positive) - apart + o.margin), o.reduction);
}

Tensor gaussian_nll_loss(const Tensor& y, const Tensor& target, const Tensor& var,
                         const GaussianNllOptions& o) {
  const char* op = "gaussian_nll_loss";
  check_pair(op, "y", y, "target", target);
  check_broadcasts(op, "var", var, "y", y);
  check_range(op, "variances var of at least 0", var, 0, INFINITY, "exp() or softplus() of it");
  check_options(op, is_at_least(o.eps), "eps >= 0, finite", {o.eps});
  // max(var, eps), with the gradient of var also below: it can rise again.
  const Tensor v = where(var < o.eps, var - var.detach() + o.eps, var), d = y - target;
  const double constant = o.full ? std::log(2 * std::numbers::pi) : 0;
  return reduce((log(v) + d * d / v + constant) * 0.5, o.reduction);
}

Tensor poisson_nll_loss(const Tensor& y, const Tensor& target, const PoissonNllOptions& o) {
  const char* op = "poisson_nll_loss";
  check_pair(op, "y", y, "target", target);
  check_range(op, "counts, targets of at least 0", target, 0, INFINITY, "count from 0");
  if (!o.log_input)
    check_range(op, "rates y of at least 0", y, 0, INFINITY, ".log_input = true takes logarithms");
  check_options(op, is_at_least(o.eps), "eps >= 0, finite", {o.eps});
  Tensor loss = o.log_input ? exp(y) - target * y : y - target * log(y + o.eps);
  if (o.full) {
    const Tensor t = maximum(target, scalar_like(1, target));
    const Tensor log_factorial = t * log(t) - t + log(2 * std::numbers::pi * t) * 0.5;
    loss = loss + where(target > 1, log_factorial, scalar_like(0, target));
  }
  return reduce(loss, o.reduction);
}

Tensor kl_div(const Tensor& log_p, const Tensor& target, const KlDivOptions& o) {
  check_pair("kl_div", "log_p", log_p, "target", target);
  check_range("kl_div", "log-probabilities log_p, at most 0", log_p, -INFINITY, kLogRounding,
              "log_softmax(logits)");
  const bool logs = o.log_target;
  check_range("kl_div", logs ? "targets log q, at most 0" : "targets q of at least 0", target,
              logs ? -INFINITY : 0, logs ? kLogRounding : INFINITY,
              logs ? ".log_target = false takes q" : ".log_target = true takes log q");
  const auto again = [logs](const Tensor& x, const Tensor& t) {
    const Tensor q = logs ? exp(t) : t, log_q = logs ? finite_where_0(q, t) : log(q + (q == 0.0));
    return q * (log_q - finite_where_0(q, x));
  };
  return elementwise_loss("kl_div", "log_p", log_p, target, o.reduction, KlLoss{logs}, again);
}

}  // namespace ramp
