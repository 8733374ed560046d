#include "ramp/data/batches.h"

#include <algorithm>

namespace ramp {
namespace {

// A dataset in memory gives its rows by take().
LazyDataset rows_of(const Dataset& data) {
  data.check("batches");
  return {data.size(), [data](const std::vector<int64_t>& rows) { return data.take(rows); }};
}

}  // namespace

Batches::Batches(const Dataset& data, const BatchOptions& options)
    : Batches(rows_of(data), options) {}

Batches::Batches(LazyDataset data, const BatchOptions& options)
    : data_(std::move(data)), options_(options) {
  if (options.size < 1) fail("batches: expected a batch size of at least 1; got {}.", options.size);
  const int64_t n = data_.size;
  if (n < 1 || !data_.gather) {
    fail("batches: the dataset is empty; got {} examples{}.", n,
         data_.gather ? "" : " and no gather()");
  }
  count_ = options.drop_last ? n / options.size : (n - 1) / options.size + 1;
  if (count_ == 0) {
    fail(
        "batches: drop_last leaves no batch: batch size {}; got {} examples. Hint: a smaller size.",
        options.size, n);
  }
  const std::vector<double>& weights = options.weights;
  if (weights.empty()) return;
  if (std::ssize(weights) != n || !options.shuffle) {
    fail("batches: expected a weight for each example, and shuffle; got {} weights for {}{}.",
         weights.size(), n, options.shuffle ? "" : ", in order");
  }
  weights_ = Tensor::of(weights);
  epoch(0);  // choice() checks them
}

int64_t Batches::examples() const {
  return options_.drop_last ? count_ * options_.size : data_.size;
}

Batches::Epoch Batches::epoch(int64_t number, Transform transform) const {
  if (number < 0) fail("batches: expected an epoch counted from 0; got {}.", number);
  const int64_t n = data_.size;
  // A key of its own: the same seed elsewhere must not give the same numbers.
  const uint64_t key = Rng(options_.seed).split().next();
  Rng rng(key, static_cast<uint64_t>(number));
  Tensor order;
  if (weights_.defined()) {
    order = rng.choice(weights_, {n});
  } else {
    order = options_.shuffle ? rng.permutation(n) : Tensor::arange(n);
  }
  return Epoch(*this, number, std::move(order), std::move(transform));
}

Dataset Batches::Epoch::batch(int64_t i) const {
  const int64_t begin = i * batches_.options_.size;
  const int64_t end = std::min(begin + batches_.options_.size, order_.dim(0));
  const int64_t* order = order_.data<int64_t>();
  Dataset batch = batches_.data_.gather({order + begin, order + end});
  batch.check("batches");
  if (batch.size() != end - begin) {
    fail("batches: gather() must give the rows asked for, {}; got x {}.", end - begin,
         batch.x.shape());
  }
  return transform_ ? transform_(std::move(batch), number_, begin) : batch;
}

Batches::Epoch Batches::Epoch::from(int64_t first) const {
  if (first < 0 || first > count()) {
    fail("batches: an epoch has batches 0..{}; got {} as the first.", count() - 1, first);
  }
  Epoch rest = *this;
  rest.first_ = first;
  return rest;
}

}  // namespace ramp
