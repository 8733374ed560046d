// Dropout layers: active in training only.
#pragma once

#include "ramp/autograd/ops_dropout.h"
#include "ramp/layers/module.h"

namespace ramp {

/// dropout(x, p) in training, x in evaluation. The masks come from a Generator of its own. Errors:
/// p outside [0, 1].
template <LiteralName kName, auto kOp>
struct DropoutOf final : Module {
  double p;
  Generator rng;

  explicit DropoutOf(double p = 0.5) : p(p) {
    if (!(p >= 0 && p <= 1)) fail("{}: expected p in [0, 1].", describe());
  }
  Tensor forward(const Tensor& x) override { return training() ? kOp(x, p, rng) : x; }
  void fields(Fields& f) override { f.rng("rng", rng); }
  std::string describe() const override { return fmt::format("{}({})", kName.text, p); }
};
/// Drops single values.
using Dropout = DropoutOf<"Dropout", dropout>;
/// Drops whole channels of each sample.
using Dropout2d = DropoutOf<"Dropout2d", dropout2d>;

}  // namespace ramp
