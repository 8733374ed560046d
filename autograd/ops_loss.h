// Losses: one number to minimize.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// loss = mean over rows i of -log softmax(logits[i])[labels[i]], from the logits themselves (never
/// from probabilities), so that large ones neither overflow nor lose digits.
/// logits [n, classes] f32 or f64, labels [n] i64 -> [] of the logits' dtype.
/// Gradient: d logits = (softmax(logits) - onehot(labels)) / n * d loss. A row that holds NaN or
/// +inf, or -inf alone, makes the loss NaN; a label whose logit is -inf makes it inf.
/// Errors: other shapes or dtypes; no rows or no classes; a label outside 0..classes-1 (its row and
/// value are named).
/// Source: Goodfellow, Bengio, Courville, Deep Learning, 6.2.2.3.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels);

/// loss = mean of (y - target)^2 over all elements.
/// y and target: f32 or f64, of one shape -> [] of their dtype.
/// Gradient: dy = 2 (y - target) / n * d loss, dtarget = -dy. NaN and inf as the formula gives
/// them. Errors: shapes that differ (nothing is broadcast); other dtypes; no elements. Source:
/// Bishop, Pattern Recognition and Machine Learning, 1.1 (there halved and not divided by n).
Tensor mse_loss(const Tensor& y, const Tensor& target);

}  // namespace ramp
