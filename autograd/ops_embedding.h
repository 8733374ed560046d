// Embeddings: rows of a table by their numbers. The gradient of the table touches the rows in use
// alone, where the table is a leaf: see row_gradient().
#pragma once

#include <optional>

#include "ramp/core/tensor.h"

namespace ramp {

struct EmbeddingOptions {
  std::optional<int64_t> padding = {};  // this id, 0..n-1 or any other number, stands for no row
};

/// y = weight[id] for each id: weight [n, d], ids i64 [..] -> y [.., d], and 0 at the padding.
/// dweight[i] = the sum of dy over the places of id i, in their order.
/// Errors: weight of another rank, or i64; ids that are not i64, or outside 0..n-1.
Tensor embedding(const Tensor& weight, const Tensor& ids, const EmbeddingOptions& options = {});

struct EmbeddingBagOptions {
  bool mean = true;                     // of the rows of a bag; else their sum
  std::optional<int64_t> padding = {};  // as above; a mean does not count it
};

/// y = the mean or sum over each bag, the ids along the last axis, of weight[id], in one pass:
/// weight [n, d], ids i64 [.., bag] -> y [.., d]; 0 for a bag that has no ids but padding. dweight
/// as of embedding(). Errors: those of embedding(); ids without an axis.
Tensor embedding_bag(const Tensor& weight, const Tensor& ids,
                     const EmbeddingBagOptions& options = {});

}  // namespace ramp
