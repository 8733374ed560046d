// The gradients of a loss beside central differences, number by number: to be looked at.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ramp/core/tensor.h"
#include "ramp/layers/module.h"

namespace ramp {

struct GradcheckRow {
  std::string name;  // of the parameter
  int64_t index;     // in it, flat
  double numeric, analytic;
  double error;  // |numeric - analytic| / (1 + |numeric|)
};

struct GradcheckTableOptions {
  double step = 1e-6;  // times max(1, |w|)
  int64_t most = 20;   // of each parameter, evenly spread
};

/// Calls `loss` once for the gradients and twice for each number. Afterwards the parameters and
/// their gradients are what they were. Gradcheck has a tolerance of 1e-6.
///
///     gradcheck_table([&] { return cross_entropy(net(x), y); }, net.named_parameters())
///
/// Errors: a parameter that is not f64 (net.to(f64)) or needs no gradient; a loss that is not one
/// number.
std::vector<GradcheckRow> gradcheck_table(const std::function<Tensor()>& loss,
                                          const std::vector<NamedTensor>& parameters,
                                          GradcheckTableOptions options = {});

/// A line of a .glass file. `planted`: what is wrong on purpose, "sign".
std::string gradcheck_line(const std::vector<GradcheckRow>& rows, const std::string& planted = "");

enum class Planted { nothing, sign, factor, missing_term };
/// y = w x sigmoid(x), to be seen with a fault in its derivative: dL/dw without its sign, dL/dx
/// with half of it, or dL/dx without its second term, sigmoid(x) + x sigmoid(x) (1 - sigmoid(x)).
Tensor faulty_silu(const Tensor& x, const Tensor& w, Planted fault);

}  // namespace ramp
