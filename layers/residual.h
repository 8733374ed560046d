// The residual connection.
#pragma once

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/layers/sequential.h"

namespace ramp {

/// y = x + body(x): `Residual{Conv2d(16, 16, 3, ReLU{}, {.padding = 1}), Conv2d(16, 16, ..)}`.
/// Errors: body changes the shape. Source: He et al. (2015), "Deep residual learning", eq. 1.
struct Residual final : Module {
  Sequential body;

  template <typename... Layers>
  requires(sizeof...(Layers) > 0 && !(std::same_as<std::remove_cvref_t<Layers>, Residual> &&
                                      ...)) explicit Residual(Layers&&... layers)
      : body(std::forward<Layers>(layers)...) {}
  Tensor forward(const Tensor& x) override {
    const Tensor y = body(x);
    if (y.shape() == x.shape()) return x + y;
    fail(
        "Residual: x and body(x) must have the same shape; got {} and {}. Hint: stride 1 and "
        "padding that keeps the size; as many channels out as in.",
        x.shape(), y.shape());
  }
  void fields(Fields& f) override { f.child("body", body); }
  std::string describe() const override { return "Residual"; }
};

}  // namespace ramp
