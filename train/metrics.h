// How well a model does.
#pragma once

#include "ramp/data/dataset.h"
#include "ramp/layers/module.h"

namespace ramp {

/// The share of rows whose largest logit is the label's, the first one of equals: logits [n, ..,
/// classes], labels i64 [n, ..]. A row that holds a NaN counts as wrong.
/// Errors: shapes that do not fit; no rows; a label outside 0..classes-1 (it is named).
double accuracy(const Tensor& logits, const Tensor& labels);

/// The logits of all of x, in eval mode, without recording, `batch` rows at a time.
Tensor predict(Module& model, const Tensor& x, int64_t batch = 1000);

/// accuracy() of the model on a dataset.
double evaluate(Module& model, const Dataset& data);

}  // namespace ramp
