// A dataset in batches: shuffled anew for each epoch, gathered by index.
#pragma once

#include <cstdint>
#include <functional>

#include "ramp/core/random.h"
#include "ramp/data/dataset.h"

namespace ramp {

struct BatchOptions {
  int64_t size = 64;
  bool shuffle = true;
  uint64_t seed = 0;
  bool drop_last = false;  // leaves out the last batch where it is smaller
};

/// What makes the x of a batch anew: image first + i of the epoch from x_i. An Augment, or the
/// user's own function.
using Transform = std::function<Tensor(const Tensor& x, int64_t epoch, int64_t first)>;

/// ```
/// Batches batches(data, {.size = 64, .seed = 1});
/// for (int64_t e = 0; e < 10; ++e)
///   for (auto [x, y] : batches.epoch(e)) step(x, y);
/// ```
/// The order of an epoch depends on the seed and its number alone, so training can go on from any.
/// A loop over `batches` itself is the next epoch: 0, then 1, ..
class Batches {
 public:
  /// Errors: an undefined or empty x or y, or of different length; a size < 1; no batch at all
  /// (drop_last of fewer examples than one batch has).
  explicit Batches(Dataset data, const BatchOptions& options = {});

  /// Batches in an epoch.
  int64_t count() const { return count_; }
  const Dataset& data() const { return data_; }

  class Epoch;
  /// Errors: number < 0.
  Epoch epoch(int64_t number, Transform transform = nullptr) const;

  class Iterator;
  struct End {};
  Iterator begin();
  void begin() const = delete;  // each loop is another epoch; const Batches: `batches.epoch(e)`
  End end() const { return {}; }

 private:
  Dataset data_;
  BatchOptions options_;
  int64_t count_, next_epoch_ = 0;
};

/// The batches of one epoch; each is copied out into tensors of its own.
class Batches::Epoch {
 public:
  Iterator begin() const;
  End end() const { return {}; }
  /// Batches in the epoch / batch i of it.
  int64_t count() const { return batches_.count(); }
  Dataset batch(int64_t i) const;

 private:
  friend Batches;
  Epoch(const Batches& batches, int64_t number, Tensor order, Transform transform)
      : batches_(batches),
        number_(number),
        order_(std::move(order)),
        transform_(std::move(transform)) {}
  Batches batches_;
  int64_t number_;
  Tensor order_;
  Transform transform_;
};

class Batches::Iterator {
 public:
  /// Batch i: rows order[i size .. (i + 1) size) of x, transformed, and of y.
  Dataset operator*() const { return epoch_.batch(i_); }
  Iterator& operator++() {
    ++i_;
    return *this;
  }
  bool operator==(End) const { return i_ == epoch_.count(); }

 private:
  friend Batches;
  explicit Iterator(Epoch epoch) : epoch_(std::move(epoch)) {}
  Epoch epoch_;
  int64_t i_ = 0;
};

inline Batches::Iterator Batches::begin() { return Iterator(epoch(next_epoch_++)); }
inline Batches::Iterator Batches::Epoch::begin() const { return Iterator(*this); }

}  // namespace ramp
