#include "ramp/autograd/ops_loss.h"

#include <algorithm>
#include <vector>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {

Tensor cross_entropy(const Tensor& logits, const Tensor& labels) {
  check_defined("cross_entropy", "logits", logits);
  check_defined("cross_entropy", "labels", labels);
  if (labels.dtype() != i64) {
    fail("cross_entropy: labels must be class numbers, i64; got {} {}. Hint: labels.to(i64).",
         labels.dtype(), labels.shape());
  }
  if (logits.rank() != 2 || labels.rank() != 1 || logits.dim(0) != labels.dim(0)) {
    fail(
        "cross_entropy: expected logits [n, classes] and labels [n]; got {} and {}. Hint: "
        "labels are class numbers, one for each row, not one-hot.",
        logits.shape(), labels.shape());
  }
  if (logits.numel() == 0) {
    fail(
        "cross_entropy: expected at least one row and one class; got logits {}. Hint: leave out "
        "empty batches.",
        logits.shape());
  }
  const int64_t n = logits.dim(0), classes = logits.dim(1);
  const int64_t* label = labels.data<int64_t>();
  for (int64_t i = 0; i < n; ++i) {
    if (label[i] < 0 || label[i] >= classes) {
      fail(
          "cross_entropy: labels must be in 0..{}; got {} at row {}. Hint: logits {} have {} "
          "classes.",
          classes - 1, label[i], i, logits.shape(), classes);
    }
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
    const Tensor y = Tensor::scalar(loss / static_cast<double>(n), logits.dtype());
    return record("cross_entropy", y, {logits},
                  [p = Saved(p), labels = Saved(labels)](const Tensor& dy, Wants) {
                    const Tensor& prob = p.get("cross_entropy", "the probabilities");
                    const int64_t* label = labels.get("cross_entropy", "labels").data<int64_t>();
                    const int64_t n = prob.dim(0), classes = prob.dim(1);
                    const T f = *dy.data<T>() / static_cast<T>(n);
                    Tensor dx = Tensor::empty(prob.shape(), prob.dtype());
                    T* d = dx.mutable_data<T>();
                    kernels<T>().binary[static_cast<int>(Binary::mul)](prob.numel(), prob.data<T>(),
                                                                       1, &f, 0, d);
                    for (int64_t i = 0; i < n; ++i) d[i * classes + label[i]] -= f;
                    return dx;
                  });
  });
}

Tensor mse_loss(const Tensor& y, const Tensor& target) {
  check_same_dtype("mse_loss", "y", y, "target", target);
  if (!is_float(y.dtype()) || !(y.shape() == target.shape()) || y.numel() == 0) {
    fail(
        "mse_loss: expected y and target of one shape, f32 or f64, with at least one element; got "
        "{} {} and {} {}. Hint: reshape() one of them, or to(f32).",
        y.dtype(), y.shape(), target.dtype(), target.shape());
  }
  const Tensor d = y.detach() - target.detach();
  return record("mse_loss", mean(d * d), {y, target}, [d](const Tensor& dy, Wants want) {
    const Tensor dx = d * (dy.item() * 2 / static_cast<double>(d.numel()));
    return std::array{want[0] ? dx : Tensor(), want[1] ? -dx : Tensor()};
  });
}

}  // namespace ramp
