// Scores to probabilities.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// y = exp(x - max) / sum(exp(x - max)) along the axis. f32 or f64 -> the same. dx = y (dy - sum(dy
/// y)). A row that holds NaN or +inf, or -inf alone, becomes NaN; a single -inf gives 0. A row
/// whose dy are all 0 has dx = 0, even where it is NaN: what is left out of a loss does no harm.
/// Errors: i64; a scalar. For a loss use cross_entropy, which takes logits.
/// Source: Goodfellow, Bengio, Courville, Deep Learning, 4.1 (the shift by max), 6.2.2.3.
Tensor softmax(const Tensor& x, int axis = -1);
/// y = log(softmax(x)) = (x - max) - log(sum(exp(x - max))), right where softmax(x) underflows.
/// dx = dy - exp(y) sum(dy). NaN as in softmax; a single -inf stays -inf.
Tensor log_softmax(const Tensor& x, int axis = -1);

}  // namespace ramp
