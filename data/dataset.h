// What a model learns from: examples and what is to be said about them.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

struct SplitOptions {
  uint64_t seed = 0;
  bool stratified = false;  // each label has the same share of both parts; y: i64 [n]
};

/// Row i of y belongs to row i of x. Copies share memory. `auto [x, y] = data` has the two, whether
/// there are more inputs or not.
struct Dataset {
  Tensor x, y;
  std::vector<Tensor> more = {};  // further inputs: row i of each belongs to row i of x, too

  int64_t size() const { return x.dim(0); }
  /// The same memory with each x as one row: images [n, 28, 28, 1] as [n, 784].
  Dataset flat() const;
  /// Examples [begin, end), sharing memory.
  Dataset rows(int64_t begin, int64_t end) const;

  // What follows is a copy. All: errors of check(name).

  /// The examples of these numbers, in their order: i64 [k], or a list. Negative ones count from
  /// the end. Errors: no such example.
  Dataset take(const Tensor& rows) const;
  Dataset take(const std::vector<int64_t>& rows) const;
  /// The examples i of which is_wanted(i) is true.
  Dataset where(const std::function<bool(int64_t i)>& is_wanted) const;
  Dataset shuffled(uint64_t seed = 0) const;
  /// Two parts, shuffled: `auto [train, valid] = data.split(0.8)`. The first has
  /// round(fraction n) examples; if stratified, that many of each label's.
  /// Errors: a fraction outside (0, 1); an empty part; stratified with a y that is not i64 [n].
  std::pair<Dataset, Dataset> split(double fraction, const SplitOptions& options = {}) const;

  /// Errors: an undefined x or y, or of different length.
  void check(const char* op) const;
};

/// One after the other. Errors: none given; shapes or dtypes that differ.
Dataset concat(const std::vector<Dataset>& parts);

/// A weight for each example with which each label is drawn equally often: n / count of its label.
/// For BatchOptions::weights. Errors: y is not i64 [n].
std::vector<double> balanced_weights(const Tensor& y);

/// Examples that do not fit in memory: gather(rows) makes those, as one Dataset. Only one thread at
/// a time calls it. Errors (from Batches): it gives another number of rows.
struct LazyDataset {
  int64_t size = 0;
  std::function<Dataset(const std::vector<int64_t>& rows)> gather;
};

/// `auto [x, y] = data`: get<0> is x, get<1> is y.
template <size_t i, typename D>
requires std::same_as<std::remove_cvref_t<D>, Dataset>
auto&& get(D&& data) {
  if constexpr (i == 0) {
    return std::forward<D>(data).x;
  } else {
    return std::forward<D>(data).y;
  }
}

}  // namespace ramp

template <>
struct std::tuple_size<ramp::Dataset> : std::integral_constant<size_t, 2> {};
template <size_t i>
struct std::tuple_element<i, ramp::Dataset> {
  using type = ramp::Tensor;
};
