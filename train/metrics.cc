#include "ramp/train/metrics.h"

#include <algorithm>
#include <vector>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"

namespace ramp {

double accuracy(const Tensor& logits, const Tensor& labels) {
  check_defined("accuracy", "logits", logits);
  check_defined("accuracy", "labels", labels);
  if (logits.rank() != 2 || logits.shape()[0] == 0 ||
      !(labels.shape() == Shape{logits.shape()[0]})) {
    fail("accuracy: expected logits [n, classes] and labels [n], n > 0; got {} and {}.",
         logits.shape(), labels.shape());
  }
  const Tensor guess = argmax(logits, -1);
  const int64_t *g = guess.data<int64_t>(), *y = labels.data<int64_t>(), n = labels.numel();
  int64_t right = 0;
  for (int64_t i = 0; i < n; ++i) right += g[i] == y[i];
  return static_cast<double>(right) / static_cast<double>(n);
}

Tensor predict(Module& model, const Tensor& x, int64_t batch) {
  if (batch < 1) fail("predict: expected a batch of at least 1; got {}.", batch);
  const NoGrad no_grad;
  const EvalMode eval(model);
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < x.dim(0); i += batch) {
    parts.push_back(model(x.rows(i, std::min(i + batch, x.dim(0)))));
  }
  return concat(parts, 0);
}

double evaluate(Module& model, const Dataset& data) {
  return accuracy(predict(model, data.x), data.y);
}

}  // namespace ramp
