// Gradients that are 0 but for some rows of a tensor, as those of an embedding's table are.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// Rows of a gradient [n, ..], which is 0 in all others.
struct RowGradient {
  Tensor ids;            // i64 [k], rising
  Tensor values;         // [k, ..]
  uint32_t version = 0;  // of its dense form, when the leaf was asked for that

  /// y += the gradient.
  void add_to(Tensor& y) const;
};

/// The gradient of a leaf where it is one of rows; null where there is none, or it is dense: where
/// the leaf has hooks or takes part in other ops than embeddings too, in a pass that creates a
/// graph, and from the time on that its grad() was written to.
const RowGradient* row_gradient(const Tensor& leaf);

namespace detail {

/// The matrix m [bags, n] of 0 and 1 (of a mean: 1 / count) that takes a table of n rows to the
/// sums of the rows of each bag: those of its ids, but for `skip`.
struct Bags {
  Tensor ids;  // i64 [bags, size]
  int64_t n, bags, size = 1, skip = -1;
  bool mean = false;

  /// m table [bags, d].
  Tensor sums(const Tensor& table) const;
  /// The rows of the transpose of m times dy [bags, d]; the sums go in the order of the ids.
  RowGradient transposed(const Tensor& dy) const;
};

}  // namespace detail

}  // namespace ramp
