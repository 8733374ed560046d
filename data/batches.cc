#include "ramp/data/batches.h"

#include <algorithm>
#include <cstring>

#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// y_i = x[rows_i]
Tensor gather(const Tensor& x, const Tensor& rows) {
  const int64_t n = rows.numel();
  Shape shape = x.shape();
  shape[0] = n;
  Tensor y = Tensor::empty(shape, x.dtype());
  visit_dtype(x.dtype(), [&]<typename T>(T) {
    const int64_t d = shape.without(0).numel();
    const size_t bytes = sizeof(T) * static_cast<size_t>(d);
    const int64_t grain = std::max<int64_t>(1, (1 << 16) / static_cast<int64_t>(bytes + 1));
    const int64_t* row = rows.data<int64_t>();
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    parallel_for(n, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) std::memcpy(to + d * i, from + d * row[i], bytes);
    });
  });
  return y;
}

}  // namespace

Batches::Batches(Dataset data, const BatchOptions& options)
    : data_(std::move(data)), options_(options) {
  const auto& [x, y] = data_;
  check_defined("batches", "x", x);
  check_defined("batches", "y", y);
  if (x.rank() < 1 || y.rank() < 1 || x.dim(0) != y.dim(0)) {
    fail("batches: expected x [n, ..] and y [n, ..] of one length; got x {} and y {}.", x.shape(),
         y.shape());
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
  Tensor x = gather(batches_.data_.x, rows);
  if (transform_) x = transform_(x, number_, begin);
  return {std::move(x), gather(batches_.data_.y, rows)};
}

}  // namespace ramp
