// The fully connected layer.
#pragma once

#include "ramp/core/activation.h"
#include "ramp/layers/init.h"
#include "ramp/layers/module.h"

namespace ramp {

struct DenseOptions {
  bool bias = true;
};

/// y = f(x w + b): x [.., in] -> [.., out]. `Dense(784, 128, ReLU{})`. Starts with He-normal
/// weights for the activation's gain and zero bias, drawn from layer_rng(). Without an activation
/// the gain is 1 (LeCun), or that of the activation right behind it in a Sequential.
/// Errors: in or out below 1; those of linear().
struct Dense final : Module {
  Parameter weight;  // [in, out]
  Parameter bias;    // [out]; undefined without
  Activation activation;

  Dense(int64_t in, int64_t out, Activation f = Identity{}, DenseOptions options = {});
  Dense(int64_t in, int64_t out, DenseOptions options) : Dense(in, out, Identity{}, options) {}
  Tensor forward(const Tensor& x) override { return forward_with(x, {}).y; }
  Fused forward_with(const Tensor& x, std::span<Module* const> next) override;
  void start_before(const Activation& f) override {
    if (activation.is_identity()) init::scale_by_gain(weight, f);
  }
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
  std::string describe() const override;
};

}  // namespace ramp
