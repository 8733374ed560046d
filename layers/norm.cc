#include "ramp/layers/norm.h"

#include "ramp/autograd/ops_norm.h"
#include "ramp/layers/activation.h"

namespace ramp {

Norm::Norm(int64_t channels, NormOptions options) : channels(channels), options(options) {
  if (channels < 1) fail("norm: expected at least 1 channel; got {}.", channels);
  if (!options.affine) return;
  weight = Tensor::ones({channels}).requires_grad_();
  bias = Tensor::zeros({channels}).requires_grad_();
}

const Tensor& Norm::checked(const Tensor& x) const {
  if (x.defined() && x.shape().last() != channels) {
    fail("{}: expected {} channels on the last axis; got x {}. Hint: is x channels-first?",
         describe(), channels, x.shape());
  }
  return x;
}

BatchNorm::BatchNorm(int64_t channels, Activation f, NormOptions options)
    : Norm(channels, options),
      running_mean(Tensor::zeros({channels})),
      running_var(Tensor::ones({channels})),
      activation(std::move(f)) {}

Tensor BatchNorm::forward(const Tensor& x) {
  Tensor y;
  forward_with(x, {}, y);
  return y;
}

size_t BatchNorm::forward_with(const Tensor& x, std::span<Module* const> next, Tensor& y) {
  size_t took;
  const Activation& f = activation_with(activation, next, took);
  y = batch_norm(checked(x), weight, bias, running_mean, running_var,
                 {training(), options.momentum, options.eps}, f);
  return took;
}

std::string BatchNorm::describe() const {
  return fmt::format("BatchNorm({}{}{})", channels,
                     activation.is_identity() ? "" : ", " + activation.name(),
                     options.affine ? "" : ", not affine");
}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(checked(x), weight, bias, options.eps);
}

Tensor GroupNorm::forward(const Tensor& x) {
  return group_norm(checked(x), groups, weight, bias, options.eps);
}

}  // namespace ramp
