#include "ramp/train/metrics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"

namespace ramp {

double accuracy(const Tensor& logits, const Tensor& labels) {
  check_defined("accuracy", "logits", logits);
  check_defined("accuracy", "labels", labels);
  const int last = logits.rank() - 1;
  if (last < 1 || logits.numel() == 0 || labels.shape() != logits.shape().without(last)) {
    fail("accuracy: expected logits [n, .., classes] and labels [n, ..], n > 0; got {} and {}.",
         logits.shape(), labels.shape());
  }
  if (labels.dtype() != i64) {
    fail("accuracy: labels must be class numbers, i64; got {}. Hint: labels.to(i64).",
         labels.dtype());
  }
  const Tensor guess = argmax(logits, -1);
  return visit_float("accuracy", logits.dtype(), [&]<typename T>(T) {
    const T* row = logits.data<T>();
    const int64_t *g = guess.data<int64_t>(), *y = labels.data<int64_t>();
    const int64_t n = labels.numel(), classes = logits.dim(-1);
    int64_t right = 0;
    for (int64_t i = 0; i < n; ++i, row += classes) {
      if (y[i] < 0 || y[i] >= classes) {
        fail("accuracy: labels must be in 0..{}; got {} at row {}. Hint: {}.", classes - 1, y[i], i,
             classes == 1 ? "mean((logits > 0) == labels) for one logit"
                          : "leave out the rows that do not count");
      }
      right += g[i] == y[i] && !std::isnan(row[g[i]]);  // argmax finds the first NaN
    }
    return static_cast<double>(right) / static_cast<double>(n);
  });
}

Tensor predict(Module& model, const Tensor& x, int64_t batch) {
  if (batch < 1) fail("predict: expected a batch of at least 1; got {}.", batch);
  const NoGrad no_grad;
  const EvalMode eval;
  std::vector<Tensor> parts;
  for (int64_t i = 0; i == 0 || i < x.dim(0); i += batch) {  // no rows have a shape, too
    parts.push_back(model(x.rows(i, std::min(i + batch, x.dim(0)))));
  }
  return concat(parts, 0);
}

double evaluate(Module& model, const Dataset& data) {
  return accuracy(predict(model, data.x), data.y);
}

}  // namespace ramp
