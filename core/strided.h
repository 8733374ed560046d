// Copies between strided views: what transposing, slicing, joining and padding have in common.
#pragma once

#include <array>
#include <cstdint>

#include "ramp/core/tensor.h"

namespace ramp {

using Strides = std::array<int64_t, Shape::kMaxRank>;

/// to[to_offset + sum(i[k] * to_stride[k])] = from[from_offset + sum(i[k] * from_stride[k])] for
/// all i in dims; both of one dtype, counted in elements. A stride may be 0 in `from`
/// (broadcasting). The two do not overlap. Runs go by memcpy, transpositions in blocks; where there
/// are many, on all threads.
void copy_strided(const Shape& dims, const Tensor& from, int64_t from_offset,
                  const Strides& from_stride, Tensor& to, int64_t to_offset,
                  const Strides& to_stride);

}  // namespace ramp
