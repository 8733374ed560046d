#include "ramp/layers/norm.h"

#include "ramp/autograd/ops_norm.h"

namespace ramp {
namespace {

void start(const char* layer, int64_t channels, bool affine, Tensor& weight, Tensor& bias) {
  if (channels < 1) fail("{}: expected at least 1 channel; got {}.", layer, channels);
  if (!affine) return;
  weight = Tensor::ones({channels}).requires_grad_();
  bias = Tensor::zeros({channels}).requires_grad_();
}

// Without weight and bias the ops cannot tell.
void check_channels(const char* layer, int64_t channels, const Tensor& x) {
  if (x.defined() && x.rank() > 0 && x.shape().last() == channels) return;
  check_defined(layer, "x", x);
  fail(
      "{}: expected {} channels on the last axis; got x {}. Hint: it was built for another number "
      "of channels, or x is channels-first.",
      layer, channels, x.shape());
}

}  // namespace

BatchNorm::BatchNorm(int64_t channels, Activation f, NormOptions options)
    : channels(channels), activation(std::move(f)), options(options) {
  start("BatchNorm", channels, options.affine, weight, bias);
  running_mean = Tensor::zeros({channels});
  running_var = Tensor::ones({channels});
}
Tensor BatchNorm::forward(const Tensor& x) {
  check_channels("BatchNorm", channels, x);
  return batch_norm(x, weight, bias, running_mean, running_var,
                    {training(), options.momentum, options.eps}, activation);
}
std::string BatchNorm::describe() const {
  return fmt::format("BatchNorm({}{}{})", channels,
                     activation.is_identity() ? "" : ", " + activation.name(),
                     options.affine ? "" : ", not affine");
}

LayerNorm::LayerNorm(int64_t channels, NormOptions options) : channels(channels), options(options) {
  start("LayerNorm", channels, options.affine, weight, bias);
}
Tensor LayerNorm::forward(const Tensor& x) {
  check_channels("LayerNorm", channels, x);
  return layer_norm(x, weight, bias, options.eps);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, NormOptions options)
    : groups(groups), channels(channels), options(options) {
  start("GroupNorm", channels, options.affine, weight, bias);
  if (groups < 1 || channels % groups != 0) {
    fail("GroupNorm: expected a number of groups that divides {} channels; got {}.", channels,
         groups);
  }
}
Tensor GroupNorm::forward(const Tensor& x) {
  check_channels("GroupNorm", channels, x);
  return group_norm(x, groups, weight, bias, options.eps);
}

}  // namespace ramp
