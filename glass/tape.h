// The tape, to be looked at.
#pragma once

#include <string>

#include "ramp/core/tensor.h"

namespace ramp {

/// The tape behind y: one line a node, newest first, "%7 mul [2, 3] f32 <- %5 %6".
std::string tape_text(const Tensor& y);
/// The same as a Graphviz graph: `dot -Tsvg`.
std::string tape_dot(const Tensor& y);

}  // namespace ramp
