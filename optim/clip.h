// Limits on gradients, between backward() and step(), and on weights, after it. Frozen parameters
// stay as they are.
#pragma once

#include "ramp/optim/parameters.h"

namespace ramp {

/// g = min(max(g, -limit), limit) for each number of each gradient. NaN stays.
/// Errors: a limit that is negative or NaN.
void clip_grad_value(const Parameters& parameters, double limit);

/// The norm |g| of all gradients together; where it is above the limit they are multiplied by
/// limit / (|g| + 1e-6). Returns |g| as it was. Where |g| is inf or NaN it is an error that names
/// the first such parameter, or with `allow_non_finite` returned; the gradients then stay.
/// Errors: a limit that is negative or NaN.
/// Source: Pascanu, Mikolov and Bengio (2013), algorithm 1.
double clip_grad_norm(const Parameters& parameters, double limit, bool allow_non_finite = false);

/// g = g factor |w| / |g| where |g| > factor |w|, for each unit by itself: a column of w [.., in,
/// out], or all of a tensor of one axis. |w| counts as at least eps. The paper leaves out the last
/// layer: pass the other parameters. Errors: a factor or eps that is negative or NaN.
/// Source: Brock et al. (2021), eq. 3.
void adaptive_clip_grad(const Parameters& parameters, double factor = 0.01, double eps = 1e-3);

/// w = w limit / |w| where |w| > limit, for the incoming weights of each unit: the columns of w
/// [.., in, out]. Tensors of one axis (biases) stay. Errors: a limit that is negative or NaN.
/// Source: Srebro and Shraibman (2005); Hinton et al. (2012), section 2.
void max_norm(const Parameters& parameters, double limit);

}  // namespace ramp
