// Losses: one number to minimize.
//
// y and target: f32 or f64, of one shape; a loss has their dtype. Both get a gradient where they
// require it. NaN stays NaN. Errors, for all: shapes that differ (nothing is broadcast); other or
// mixed dtypes; no elements.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// What becomes of the losses l of the elements (of the rows, where a loss has classes): their
/// mean -> [], their sum -> [], or l itself. batch_mean is sum / dim(0).
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
/// logits [n, classes] f32 or f64, target i64 [n], or soft: of the logits' shape and dtype.
/// Gradient: without options, d logits = (softmax(logits) - onehot(labels)) / n * d loss. Soft
/// targets have one too. A row that holds NaN or +inf, or -inf alone, makes the loss NaN; a logit
/// of -inf makes it inf where q is not 0.
/// Errors: other shapes or dtypes; no rows or no classes; a label outside 0..classes-1 that is not
/// ignored (its row and value are named); smoothing outside 0..1; a mean of labels that weigh 0.
/// Source: Goodfellow, Bengio, Courville, Deep Learning, 6.2.2.3; Szegedy et al. (2016), section 7
/// (smoothing).
Tensor cross_entropy(const Tensor& logits, const Tensor& target,
                     const CrossEntropyOptions& options = {});

struct NllOptions {
  Tensor class_weights = {};
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};

/// The same of log-probabilities: l_i = -sum over c of w_c q[i, c] log_p[i, c], which for labels is
/// -w_c log_p[i, c] with c = target[i]. d log_p = -w_c q / sum of w * d loss.
Tensor nll_loss(const Tensor& log_p, const Tensor& target, const NllOptions& options = {});

/// l = -(target log p + (1 - target) log(1 - p)) of probabilities p; logarithms are not below -100.
/// dp = (p - target) / max(p (1 - p), 1e-12), dtarget = log(1 - p) - log p. Errors: p outside 0..1.
/// From logits, bce_with_logits() is exact where p rounds to 0 or 1.
Tensor bce_loss(const Tensor& p, const Tensor& target, Reduction reduction = Reduction::mean);

struct BceOptions {
  Tensor pos_weight = {};  // broadcast to the logits; undefined: 1
  Reduction reduction = Reduction::mean;
};

/// l = -(pos_weight target log s + (1 - target) log(1 - s)), s = sigmoid(logits), as softplus of
/// the logits: right to the last digits where s rounds to 0 or 1.
/// d logits = (1 - target) s - pos_weight target (1 - s). At infinite logits l is its limit.
Tensor bce_with_logits(const Tensor& logits, const Tensor& target, const BceOptions& options = {});

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

struct KlDivOptions {
  bool log_target = false;  // target is log q
  Reduction reduction = Reduction::mean;
};

/// l = q (log q - log_p), and 0 for q = 0, p = 0 too: its sum over classes is the divergence
/// KL(q || p), so Reduction::batch_mean is the mean divergence of rows. target: q, or log q.
/// d log_p = -q; dtarget = log q + 1 - log_p, 0 where q = p = 0, for log_target q (log q + 1 -
/// log_p).
/// Source: Kullback and Leibler (1951), eq. 2.4.
Tensor kl_div(const Tensor& log_p, const Tensor& target, const KlDivOptions& options = {});

}  // namespace ramp
