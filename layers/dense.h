// The fully connected layer.
#pragma once

#include "ramp/autograd/ops_linear.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/init.h"
#include "ramp/layers/module.h"

namespace ramp {

/// What Dense and the convolutions share: y = f(op(x, weight) + bias).
struct LinearLayer : Module {
  Parameter weight, bias;  // bias is undefined without
  Activation activation;

  explicit LinearLayer(Activation f) : activation(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return forward_with(x, {}).y; }
  void start_before(const Activation& f) override {
    if (activation.is_identity()) init::scale_by_gain(weight, f);
  }
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
};

struct DenseOptions {
  bool bias = true;
};

/// y = f(x w + b): x [.., in] -> [.., out], weight [in, out]. `Dense(784, 128, ReLU{})`. Starts
/// with He-normal weights for the activation's gain and zero bias, drawn from layer_rng(). Without
/// an activation the gain is 1 (LeCun), or that of the activation right behind it in a Sequential.
/// Errors: in or out below 1; those of linear().
struct Dense final : LinearLayer {
  Dense(int64_t in, int64_t out, Activation f = Identity{}, DenseOptions options = {})
      : LinearLayer(std::move(f)) {
    fail_if(in < 1 || out < 1, "Dense: expected in and out of at least 1; got {} and {}.", in, out);
    weight.start(init::he_normal({in, out}, layer_rng(), activation));
    if (options.bias) bias = Tensor::zeros({out});
  }
  Dense(int64_t in, int64_t out, DenseOptions options) : Dense(in, out, Identity{}, options) {}

  Fused forward_with(const Tensor& x, std::span<Module* const> next) override {
    const auto [f, took] = detail::activation_with(activation, next);
    return {detail::fused(f, linear(x, weight, bias, f)), took};
  }
  std::string describe() const override {
    return fmt::format("Dense({}, {}{}{})", weight.dim(0), weight.dim(1),
                       detail::after_comma(activation), bias.defined() ? "" : ", no bias");
  }
};

}  // namespace ramp
