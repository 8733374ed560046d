#include "ramp/layers/dense.h"

#include "ramp/autograd/ops_linear.h"
#include "ramp/layers/activation.h"

namespace ramp {

Dense::Dense(int64_t in, int64_t out, Activation f, DenseOptions options)
    : LinearLayer(std::move(f)) {
  if (in < 1 || out < 1) fail("Dense: expected in and out of at least 1; got {} and {}.", in, out);
  weight.start(init::he_normal({in, out}, layer_rng(), activation));
  if (options.bias) bias = Tensor::zeros({out});
}

Fused Dense::forward_with(const Tensor& x, std::span<Module* const> next) {
  const auto [f, took] = detail::activation_with(activation, next);
  return {detail::fused(f, linear(x, weight, bias, f)), took};
}

std::string Dense::describe() const {
  return fmt::format("Dense({}, {}{}{})", weight.shape()[0], weight.shape()[1],
                     detail::after_comma(activation), bias.defined() ? "" : ", no bias");
}

}  // namespace ramp
