// An activation as a layer of its own.
#pragma once

#include "ramp/autograd/activation.h"
#include "ramp/layers/module.h"

namespace ramp {

/// y = f(x). Fused into the layer before it, `Dense(784, 128, ReLU{})` is faster.
struct Activate final : Module {
  Activation activation;

  explicit Activate(Activation f) : activation(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return activate(x, activation); }
  std::string describe() const override { return activation.name(); }
};

}  // namespace ramp
