// Order along an axis.
//
// x is f32, f64 or i64. NaN counts as larger than any number, as max() takes it: it comes last in
// ascending order and first in descending order. Equal values (0 and -0 are) keep their order, in
// both directions. The gradient goes to where the values came from.
#pragma once

#include "ramp/core/tensor.h"

namespace ramp {

/// `auto [values, indices] = sort(x);` indices are i64 and count along the axis:
/// values = gather(x, axis, indices).
struct Sorted {
  Tensor values, indices;
};
struct SortOptions {
  bool descending = false;
};
struct TopkOptions {
  bool largest = true;
};

/// All values along the axis in order.
Sorted sort(const Tensor& x, int axis = -1, SortOptions options = {});
/// The k largest values in descending order, or the k smallest in ascending order.
/// Errors: k outside 0..n, the size of the axis.
Sorted topk(const Tensor& x, int64_t k, int axis = -1, TopkOptions options = {});

}  // namespace ramp
