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

/// The activation that a layer runs: its own, or that of the layer behind it where it has none;
/// `took` counts that one.
inline const Activation& activation_with(const Activation& own, std::span<Module* const> next,
                                         size_t& took) {
  auto* layer = own.is_identity() && !next.empty() ? dynamic_cast<Activate*>(next[0]) : nullptr;
  took = layer ? 1 : 0;
  return layer ? layer->activation : own;
}

}  // namespace ramp
