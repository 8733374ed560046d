// The backward pass.
#pragma once

#include <vector>

#include "ramp/autograd/node.h"

namespace ramp {

struct BackwardOptions {
  bool retain_graph = false;
  bool create_graph = false;  // retains it too
};

/// Walks the tape from y in descending node id, adds to the `grad` of every leaf, and frees the
/// saved values as it goes. dy is the gradient of y; a scalar's is 1.
///
/// With create_graph the gradients are results on the tape, to be differentiated again, to any
/// order: see grad(), which is the better way where their sum with older ones is not wanted.
/// Errors: y requires no gradient; y is no scalar and dy is not given, or dy has another shape or
/// dtype; the tape was freed by an earlier pass (Hint: retain_graph); a saved value was changed.
void backward(const Tensor& y, const Tensor& dy = {}, BackwardOptions options = {});

struct GradOptions {
  bool create_graph = false;  // the gradients are on the tape; retains that of y
  Tensor dy = {};             // of y; 1 for a scalar
  bool allow_unused = false;  // an undefined gradient for an x that y does not depend on
  bool retain_graph = false;
};

/// The gradients of y for each x, leaf or result, for dy; no `grad` is touched, and only what leads
/// to an x is computed.
///
/// With create_graph they are on the tape: a function of all that y depends on, and of dy.
///     const Tensor u = net(x), du = grad(sum(u), {x}, {.create_graph = true})[0];
///     const Tensor ddu = grad(sum(du), {x}, {.create_graph = true})[0];
/// Such a pass keeps y's tape, and each order is two to four times the work and the memory of the
/// one before; ops that are fused for speed are computed again, op by op.
/// Errors: as backward(); an x that requires no gradient, or that y does not depend on; with
/// create_graph an op of your own whose derivative is not made of recorded ops.
std::vector<Tensor> grad(const Tensor& y, const std::vector<Tensor>& x, GradOptions options = {});

}  // namespace ramp
