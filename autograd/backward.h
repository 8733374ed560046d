// The backward pass.
#pragma once

#include "ramp/autograd/node.h"

namespace ramp {

struct BackwardOptions {
  bool retain_graph = false;
};

/// Walks the tape from y in descending node id, adds to the `grad` of every leaf, and frees the
/// saved values as it goes. dy is the gradient of y; a scalar's is 1.
/// Errors: y requires no gradient; y is no scalar and dy is not given, or dy has another shape or
/// dtype; the tape was freed by an earlier pass (Hint: retain_graph); a saved value was changed.
void backward(const Tensor& y, const Tensor& dy = {}, BackwardOptions options = {});

}  // namespace ramp
