// Checks a derivative against central differences, for ramp's ops and for yours.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

struct GradcheckOptions {
  double step = 1e-6;       // times max(1, |x|)
  double tolerance = 1e-6;  // |numeric - analytic| <= tolerance * (1 + |numeric|)
  uint64_t seed = 1;        // of the cotangent
  bool allow_zero = false;  // a gradient that is zero everywhere usually means "not connected"
};

/// Compares the gradients of every input with central differences of sum(f(inputs) * dy), dy
/// random. The inputs are f64 and should stay away from kinks; i64 inputs are passed through.
/// Returns "" when all agree, else what differs: input, index, both values.
/// Errors: no f64 input.
std::string gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                      std::vector<Tensor> inputs, GradcheckOptions options = {});

/// The same for second derivatives: gradcheck() of the gradients for dy (random), which are
/// functions of the inputs and of dy. One that is zero everywhere is no fault: a linear op has it.
std::string gradgradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                          std::vector<Tensor> inputs, GradcheckOptions options = {});

}  // namespace ramp
