// Copies between strided views: what transposing, slicing, joining and padding have in common.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ramp/core/shape.h"

namespace ramp {

/// to[sum(i[k] * to_stride[k])] = from[sum(i[k] * from_stride[k])] for all i in dims; strides count
/// elements of 4 or 8 bytes and may be 0 in `from` (broadcasting). The two do not overlap.
/// Runs go by memcpy, transpositions in blocks; where there are many, on all threads.
void copy_strided(Shape dims, size_t element, const void* from,
                  std::array<int64_t, Shape::kMaxRank> from_stride, void* to,
                  std::array<int64_t, Shape::kMaxRank> to_stride);

}  // namespace ramp
