#include "ramp/data/batches.h"

#include <algorithm>

#include "ramp/autograd/ops_shape.h"

namespace ramp {

Batches::Batches(Dataset data, const BatchOptions& options)
    : data_(std::move(data)), options_(options) {
  const auto& [x, y] = data_;
  check_defined("batches", "x", x);
  check_defined("batches", "y", y);
  if (x.rank() < 1 || y.rank() < 1 || x.dim(0) != y.dim(0)) {
    fail("batches: expected x [n, ..] and y [n, ..] of the same length; got x {} and y {}.",
         x.shape(), y.shape());
  }
  if (options.size < 1) fail("batches: expected a batch size of at least 1; got {}.", options.size);
  const int64_t n = x.dim(0);
  if (n == 0) fail("batches: the dataset is empty; got x {} and y {}.", x.shape(), y.shape());
  count_ = options.drop_last ? n / options.size : (n - 1) / options.size + 1;
  if (count_ == 0) {
    fail(
        "batches: drop_last leaves no batch: batch size {}; got {} examples. Hint: a smaller size.",
        options.size, n);
  }
}

Batches::Epoch Batches::epoch(int64_t number, Transform transform) const {
  if (number < 0) fail("batches: expected an epoch counted from 0; got {}.", number);
  const int64_t n = data_.size();
  // A key of its own: the same seed elsewhere must not give the same numbers.
  const uint64_t key = Rng(options_.seed).split().next();
  Tensor order =
      options_.shuffle ? Rng(key, static_cast<uint64_t>(number)).permutation(n) : Tensor::arange(n);
  return Epoch(*this, number, std::move(order), std::move(transform));
}

Dataset Batches::Epoch::batch(int64_t i) const {
  const int64_t begin = i * batches_.options_.size;
  const Tensor rows = order_.rows(begin, std::min(begin + batches_.options_.size, order_.dim(0)));
  Tensor x = take(batches_.data_.x.detach(), rows);
  if (transform_) x = transform_(x, number_, begin);
  return {std::move(x), take(batches_.data_.y.detach(), rows)};
}

}  // namespace ramp
