// Dropout: some values are left out at random.
#pragma once

#include "ramp/core/random.h"
#include "ramp/core/tensor.h"

namespace ramp {

/// y_i = x_i / (1 - p), or 0 with probability p, so that the mean stays; dx = dy by the same mask,
/// which depends on rng's seed and draw alone. x is f32 or f64; NaN and inf stay NaN where dropped.
/// Errors: p outside [0, 1]. Source: Srivastava et al. (2014), section 10 ("inverted").
Tensor dropout(const Tensor& x, double p, Rng& rng);
/// The same for whole channels of each sample: x [n, .., c]. Errors: a rank below 2. Source:
/// Tompson et al. (2015), section 3.2.
Tensor dropout2d(const Tensor& x, double p, Rng& rng);

}  // namespace ramp
