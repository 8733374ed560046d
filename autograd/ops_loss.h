// Losses: one number to minimize.
//
// y and target: f32 or f64, of the same shape; a loss has their dtype. Both get a gradient where
// they require it. NaN stays NaN. Errors, for all: shapes that differ (only weights and variances
// are broadcast); other or mixed dtypes; no elements; options that are negative, NaN or infinite.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// How per-element losses l (per-row losses, where there are classes) are reduced: to their mean
/// [], their sum [], or not at all. batch_mean is sum / dim(0).
enum class Reduction { mean, sum, none, batch_mean };

struct CrossEntropyOptions {
  double label_smoothing = 0;   // s in 0..1: the target is (1 - s) target + s / classes
  Tensor class_weights = {};    // [classes] of the logits' dtype; undefined: all 1
  int64_t ignore_index = -100;  // a row with this label counts for nothing
  Reduction reduction = Reduction::mean;
};

/// l_i = -sum over c of w_c q[i, c] log softmax(logits[i])[c], with q = onehot(labels) or soft
/// targets, smoothed; from the logits themselves (never from probabilities), so that large ones
/// neither overflow nor lose digits. The mean divides by the sum of the labels' weights, for soft
/// targets by n.
/// logits [n, .., classes] f32 or f64, target i64 [n, ..], or soft: of the logits' shape and dtype.
/// Gradient: without options, d logits = (softmax(logits) - onehot(labels)) / n * d loss. Soft
/// targets have one too. A row that holds NaN or +inf, or -inf alone, makes the loss NaN, unless it
/// counts for nothing: then its gradient is 0. A logit of -inf makes it inf where q is not 0.
/// Errors: other shapes or dtypes; no rows or no classes; a label outside 0..classes-1 that is not
/// ignored (its row and value are named); smoothing outside 0..1; a mean of labels that weigh 0;
/// recorded logits that are the result of softmax, log_softmax or sigmoid (times 1 they pass).
/// Source: Goodfellow, Bengio, Courville, Deep Learning, 6.2.2.3; Szegedy et al. (2016), section 7
/// (smoothing).
Tensor cross_entropy(const Tensor& logits, const Tensor& target,
                     const CrossEntropyOptions& options = {});

/// The same of log-probabilities: l_i = -sum over c of w_c q[i, c] log_p[i, c], which for labels is
/// -w_c log_p[i, c] with c = target[i]. d log_p = -w_c q / sum of w * d loss. Errors: also a log_p
/// above 0 (beyond rounding), which is no logarithm of a probability.
Tensor nll_loss(const Tensor& log_p, const Tensor& target, const CrossEntropyOptions& options = {});

struct BceOptions {
  Tensor weight = {};  // of each l, before it is reduced; broadcast to p; undefined: 1
  Reduction reduction = Reduction::mean;
};
/// l = -(target log p + (1 - target) log(1 - p)) of probabilities p; logarithms are not below -100.
/// dp = (p - target) / max(p (1 - p), 1e-12), dtarget = log(1 - p) - log p. Errors: p or target
/// outside 0..1. From logits, bce_with_logits() is exact where p rounds to 0 or 1.
Tensor bce_loss(const Tensor& p, const Tensor& target, const BceOptions& options = {});

struct BceWithLogitsOptions {
  Tensor weight = {};      // of each l, before it is reduced; broadcast to the logits; undefined: 1
  Tensor pos_weight = {};  // of the target's part of l; likewise
  Reduction reduction = Reduction::mean;
};

/// l = -(pos_weight target log s + (1 - target) log(1 - s)), s = sigmoid(logits), as softplus of
/// the logits: right to the last digits where s rounds to 0 or 1.
/// d logits = (1 - target) s - pos_weight target (1 - s). At infinite logits l is its limit.
/// Errors: a target outside 0..1; recorded logits that are the result of sigmoid, log_sigmoid or
/// softmax (times 1 they pass).
Tensor bce_with_logits(const Tensor& logits, const Tensor& target,
                       const BceWithLogitsOptions& options = {});

/// l = (y - target)^2; dy = 2 (y - target), dtarget = -dy.
/// Source: Bishop, Pattern Recognition and Machine Learning, 1.1 (there halved).
Tensor mse_loss(const Tensor& y, const Tensor& target, Reduction reduction = Reduction::mean);

/// l = |y - target|; dy = sign(y - target). At the kink y = target, and for NaN, dy is 0.
Tensor l1_loss(const Tensor& y, const Tensor& target, Reduction reduction = Reduction::mean);

/// l = |d| < beta ? d^2 / (2 beta) : |d| - beta / 2, d = y - target; dy = min(max(d / beta, -1),
/// 1). beta = 0 is l1_loss. Errors: beta < 0, or not finite. Source: Girshick (2015), eq. 3.
Tensor smooth_l1_loss(const Tensor& y, const Tensor& target, double beta = 1,
                      Reduction reduction = Reduction::mean);

/// l = |d| <= delta ? d^2 / 2 : delta (|d| - delta / 2), d = y - target; dy = min(max(d, -delta),
/// delta). Errors: delta <= 0. Source: Huber (1964), section 3.
Tensor huber_loss(const Tensor& y, const Tensor& target, double delta = 1,
                  Reduction reduction = Reduction::mean);

/// l = max(0, 1 - target y), target -1 or +1; dy = target y < 1 ? -target : 0, as at the kink.
/// Errors: another target. Source: Cortes and Vapnik (1995), section 3.
Tensor hinge_loss(const Tensor& y, const Tensor& target, Reduction reduction = Reduction::mean);

/// l = x for target 1, max(0, margin - x) for target -1, where x is a distance; dx = 1, or -1 where
/// x < margin. Errors: another target. Source: Hadsell, Chopra and LeCun (2006), there of squares.
Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin = 1,
                            Reduction reduction = Reduction::mean);

/// l = max(0, margin - target (a - b)): a should be above b for target 1, below for -1.
/// da = -target where l > 0, db = -da. Errors: another target.
/// Source: Herbrich, Graepel and Obermayer (2000).
Tensor margin_ranking_loss(const Tensor& a, const Tensor& b, const Tensor& target,
                           double margin = 0, Reduction reduction = Reduction::mean);

/// l = 1 - c for target 1, max(0, c - margin) for target -1, where c is the cosine a b / (|a| |b|)
/// over the last axis, with 1e-12 added to both squares: a, b [.., features], target and l [..].
/// Errors: another target; margin outside -1..1.
Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target,
                             double margin = 0, Reduction reduction = Reduction::mean);

struct TripletMarginOptions {
  double margin = 1;
  double p = 2;       // of the norm
  double eps = 1e-6;  // added to the differences: the norm has no kink at 0 then
  bool swap = false;  // d(anchor, negative) is at most d(positive, negative)
  Reduction reduction = Reduction::mean;
};
/// l = max(0, d(anchor, positive) - d(anchor, negative) + margin), d(a, b) = |a - b + eps|_p over
/// the last axis: all three [.., features], l [..].
/// Source: Schroff, Kalenichenko and Philbin (2015), there of squares; Balntas et al. (2016)
/// (swap).
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginOptions& options = {});

struct GaussianNllOptions {
  bool full = false;  // with log(2 pi) / 2
  double eps = 1e-6;  // var is at least this
  Reduction reduction = Reduction::mean;
};
/// l = (log v + (y - target)^2 / v) / 2, v = max(var, eps): the target is normal around y. dy = (y
/// - target) / v, dvar = (1 - (y - target)^2 / v) / (2 v), also where var < eps. var is broadcast
/// to y. Errors: a negative var. Source: Nix and Weigend (1994).
Tensor gaussian_nll_loss(const Tensor& y, const Tensor& target, const Tensor& var,
                         const GaussianNllOptions& options = {});

struct PoissonNllOptions {
  bool log_input = true;  // y is the logarithm of the rate
  bool full = false;      // with Stirling's t log t - t + log(2 pi t) / 2 for targets t > 1
  double eps = 1e-8;      // log(y + eps) without log_input
  Reduction reduction = Reduction::mean;
};
/// l = e^y - target y, without log_input y - target log(y + eps): the target counts what occurs at
/// this rate. dy = e^y - target, or 1 - target / (y + eps).
/// Errors: a negative target; without log_input, a negative y. Source: McCullagh and Nelder,
/// Generalized Linear Models, chapter 6.
Tensor poisson_nll_loss(const Tensor& y, const Tensor& target,
                        const PoissonNllOptions& options = {});

struct KlDivOptions {
  bool log_target = false;  // target is log q
  Reduction reduction = Reduction::mean;
};

/// l = q (log q - log_p), and 0 for q = 0, p = 0 too: its sum over classes is the divergence
/// KL(q || p), so Reduction::batch_mean is the mean divergence of rows. target: q, or log q.
/// d log_p = -q; dtarget = log q + 1 - log_p, 0 where q = p = 0, for log_target q (log q + 1 -
/// log_p).
/// Errors: log_p or log q above 0 (beyond rounding), a negative q.
/// Source: Kullback and Leibler (1951), eq. 2.4.
Tensor kl_div(const Tensor& log_p, const Tensor& target, const KlDivOptions& options = {});

}  // namespace ramp
