// Ops that move values without changing them. All take f32, f64 and i64; an axis may count from the
// end. Gradients are moved back; where one value was used often, its gradients are added in order.
#pragma once

#include <utility>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

/// y[i, j, ..] = x[..] with y's axis k being x's axis axes[k]; e.g. {0, 3, 1, 2}: NHWC to NCHW.
/// Errors: axes is not a permutation of x's axes.
Tensor permute(const Tensor& x, const std::vector<int>& axes);
/// Swaps two axes; by default the last two.
Tensor transpose(const Tensor& x, int a = -2, int b = -1);

/// The same values in another shape, without copying. One dimension may be -1: it is computed.
/// Errors: another number of elements; more than one -1.
Tensor reshape(const Tensor& x, const std::vector<int64_t>& shape);
/// [a, b, c, ..] -> [a, b * c * ..]: makes one axis of those from `from` on.
Tensor flatten(const Tensor& x, int from = 1);
/// Removes an axis of size 1 / inserts one before `axis` (-1: at the end).
Tensor squeeze(const Tensor& x, int axis);
Tensor unsqueeze(const Tensor& x, int axis);
/// Repeats x along new axes in front and along axes of 1, as NumPy does.
/// Gradient: the sum over the repeats. Errors: shapes that don't broadcast.
Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// x side by side with itself, times[k] times along axis k: repeat({{1, 2}}, {2, 1}) is
/// {{1, 2}, {1, 2}}. Errors: not one number for each axis; a negative one.
Tensor repeat(const Tensor& x, const std::vector<int64_t>& times);
/// The values along the axis from the last to the first.
Tensor flip(const Tensor& x, int axis);
/// Moves the values along the axis by `shift`, those beyond the end to the beginning:
/// y[(i + shift) mod n] = x[i].
Tensor roll(const Tensor& x, int64_t shift, int axis);

/// y = x[begin:end:step] along the axis; rows (axis 0, step 1) without copying. begin and end may
/// count from the end. Errors: unlike Python's, bounds outside the axis; begin > end; step < 1.
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step = 1);
/// x in slices of `size` along the axis, the last one smaller if need be / of the given sizes.
/// Errors: size < 1; sizes that do not add up to the axis.
std::vector<Tensor> split(const Tensor& x, int64_t size, int axis = 0);
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int axis = 0);
/// Joins tensors along an axis / along a new axis. Errors: no tensors; shapes that differ elsewhere
/// than at the axis; dtypes that differ.
Tensor concat(const std::vector<Tensor>& x, int axis = 0);
Tensor stack(const std::vector<Tensor>& x, int axis = 0);
/// Puts before[k] and after[k] values around axis k: `pad(images, {{0, 0}, {2, 2}, {2, 2}, {0,
/// 0}})`. Errors: not one pair for each axis; a negative one.
Tensor pad(const Tensor& x, const std::vector<std::pair<int64_t, int64_t>>& around,
           double value = 0);
/// The same with values of x: reflect mirrors at the edge value (c b | a b c | b a), replicate
/// repeats it (a a | a b c | c c), circular goes round (b c | a b c | a b); by any number.
/// Errors: an axis of size 0 to take them from.
enum class PadMode { reflect, replicate, circular };
Tensor pad(const Tensor& x, const std::vector<std::pair<int64_t, int64_t>>& around, PadMode mode);

/// y[.., k, ..] = x[.., indices[k], ..]: the entries of an axis, in any order and number; for
/// indices of more axes, y has them all in place of that axis. indices i64. take(images, batch)
/// gathers a batch. Negative indices count from the end. Gradient: added at the places taken from,
/// in the order of the indices. Errors: an index outside -n..n-1 (its position and value are
/// named).
Tensor take(const Tensor& x, const Tensor& indices, int axis = 0);
/// y[i, j, k] = x[i, index[i, j, k], k] for axis 1 of rank 3, and so on (torch.gather). index i64,
/// of x's rank, and not larger than x except along the axis. Errors: as for take; an index that
/// does not fit x.
Tensor gather(const Tensor& x, int axis, const Tensor& index);
/// y[.., c] = 1 for c = labels[..], else 0: [..] -> [.., classes]. labels i64. No gradient.
/// Errors: a label outside 0..classes-1.
Tensor one_hot(const Tensor& labels, int64_t classes, DType dtype = f32);

namespace detail {
/// gather() for x read as of shape `from`, y as of shape `to`, and an index that is in range.
Tensor gather(const char* op, const Tensor& x, const Shape& from, int axis, const Tensor& index,
              const Shape& to);
}  // namespace detail

}  // namespace ramp
