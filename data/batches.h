// A dataset in batches: shuffled anew for each epoch, gathered by index.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <vector>

#include "ramp/core/random.h"
#include "ramp/data/dataset.h"

namespace ramp {

struct BatchOptions {
  int64_t size = 64;
  bool shuffle = true;
  uint64_t seed = 0;
  bool drop_last = false;  // leaves out the last batch where it is smaller
  // Not empty: one for each example. An epoch draws as many examples as there are, with
  // replacement, each in proportion to its weight: balanced_weights(y).
  std::vector<double> weights = {};
};

/// What makes a batch anew; its row i is example first + i of the epoch. An Augment, or the user's
/// own function, of x alone or of the whole batch:
///
///     [](const Tensor& x, int64_t epoch, int64_t first) { return x + ..; }
///     [](Dataset batch, int64_t epoch, int64_t first) { batch.y = ..; return batch; }
class Transform {
 public:
  Transform(std::nullptr_t = nullptr) {}  // NOLINT: implicit, none
  template <typename F>
  requires std::convertible_to<std::invoke_result_t<F, const Tensor&, int64_t, int64_t>, Tensor>
  Transform(F of_x)  // NOLINT: implicit
      : f_([of_x = std::move(of_x)](Dataset batch, int64_t epoch, int64_t first) {
          batch.x = of_x(batch.x, epoch, first);
          return batch;
        }) {}
  template <typename F>
  requires std::convertible_to<std::invoke_result_t<F, Dataset, int64_t, int64_t>, Dataset>
  Transform(F f) : f_(std::move(f)) {}  // NOLINT: implicit

  explicit operator bool() const { return static_cast<bool>(f_); }
  Dataset operator()(Dataset batch, int64_t epoch, int64_t first) const {
    return f_(std::move(batch), epoch, first);
  }

 private:
  std::function<Dataset(Dataset batch, int64_t epoch, int64_t first)> f_;
};

/// ```
/// Batches batches(data, {.size = 64, .seed = 1});
/// for (int64_t e = 0; e < 10; ++e)
///   for (auto [x, y] : batches.epoch(e)) step(x, y);
/// ```
/// The order of an epoch depends on the seed and its number alone, so training can go on from any.
/// A loop over `batches` itself is the next epoch: 0, then 1, ..
class Batches {
 public:
  /// Errors: those of Dataset::check(); no examples; a size < 1; no batch at all (drop_last of
  /// fewer examples than one batch has); weights that are not one for each example, negative, not
  /// finite or all 0.
  explicit Batches(const Dataset& data, const BatchOptions& options = {});
  explicit Batches(LazyDataset data, const BatchOptions& options = {});

  /// Batches / examples in an epoch.
  int64_t count() const { return count_; }
  int64_t examples() const;
  const BatchOptions& options() const { return options_; }
  /// Where they come from; that of a Dataset too.
  const LazyDataset& data() const { return data_; }

  class Epoch;
  /// Errors: number < 0.
  Epoch epoch(int64_t number, Transform transform = nullptr) const;

  class Iterator;
  struct End {};
  Iterator begin();
  void begin() const = delete;  // each loop is another epoch; const Batches: `batches.epoch(e)`
  End end() const { return {}; }

 private:
  LazyDataset data_;
  BatchOptions options_;
  Tensor weights_;  // undefined: none
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
  /// The epoch from batch `first` on: where a run that was stopped goes on.
  Epoch from(int64_t first) const;
  int64_t first() const { return first_; }

 private:
  friend Batches;
  Epoch(const Batches& batches, int64_t number, Tensor order, Transform transform)
      : batches_(batches),
        number_(number),
        order_(std::move(order)),
        transform_(std::move(transform)) {}
  Batches batches_;
  int64_t number_, first_ = 0;
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
  explicit Iterator(Epoch epoch) : epoch_(std::move(epoch)), i_(epoch_.first()) {}
  Epoch epoch_;
  int64_t i_;
};

inline Batches::Iterator Batches::begin() { return Iterator(epoch(next_epoch_++)); }
inline Batches::Iterator Batches::Epoch::begin() const { return Iterator(*this); }

}  // namespace ramp
