#include "ramp/layers/conv.h"

#include "ramp/layers/activation.h"
#include "ramp/layers/init.h"
#include "ramp/layers/pool.h"

namespace ramp {
namespace {

void check_channels(const char* layer, int64_t c, int64_t k, Size2d kernel, int64_t groups) {
  if (c < 1 || k < 1 || kernel.h < 1 || kernel.w < 1) {
    fail("{}: expected channels and a kernel of at least 1; got {} and {} channels, kernel {}x{}.",
         layer, c, k, kernel.h, kernel.w);
  }
  if (groups < 1 || c % groups != 0 || k % groups != 0) {
    fail("{}: expected groups that divide the channels; got {} groups for {} and {} channels.",
         layer, groups, c, k);
  }
}

Tensor zero_bias(bool wanted, int64_t k) {
  return wanted ? Tensor::zeros({k}).requires_grad_() : Tensor();
}

// "Conv2d(1, 32, 3x3, stride 2x2, relu, no bias)": what is not the default.
std::string describe_conv(const char* layer, int64_t c, int64_t k, Size2d kernel, Size2d stride,
                          const Activation& f, const Tensor& bias) {
  return fmt::format("{}({}, {}, {}{}{}{})", layer, c, k, kernel.str(),
                     stride.h == 1 && stride.w == 1 ? "" : ", stride " + stride.str(),
                     after_comma(f), bias.defined() ? "" : ", no bias");
}

}  // namespace

Conv2d::Conv2d(int64_t c, int64_t k, const Conv2dOptions& o, Activation f)
    : options{o.stride, o.padding, o.dilation, o.groups}, activation(std::move(f)) {
  check_channels("Conv2d", c, k, o.kernel, o.groups);
  weight = he_normal({o.kernel.h, o.kernel.w, c / o.groups, k}, layer_rng(), activation)
               .requires_grad_();
  bias = zero_bias(o.bias, k);
}

Tensor Conv2d::forward(const Tensor& x) { return conv2d(x, weight, bias, options, activation); }

size_t Conv2d::forward_with(const Tensor& x, std::span<Module* const> next, Tensor& y) {
  size_t took;
  const Activation& f = activation_with(activation, next, took);
  const auto* pool = took < next.size() ? dynamic_cast<MaxPool2d*>(next[took]) : nullptr;
  const bool pools = pool && pool->is_halving();
  y = pools ? conv2d_max_pool(x, weight, bias, options, f) : conv2d(x, weight, bias, options, f);
  return took + (pools ? 1 : 0);
}

std::string Conv2d::describe() const {
  const Shape& s = weight.shape();
  return describe_conv("Conv2d", s[2] * options.groups, s[3], {s[0], s[1]}, options.stride,
                       activation, bias);
}

Conv1d::Conv1d(int64_t c, int64_t k, const Conv1dOptions& o, Activation f)
    : options{{1, o.stride}, o.padding, {1, o.dilation}, o.groups}, activation(std::move(f)) {
  check_channels("Conv1d", c, k, o.kernel, o.groups);
  weight = he_normal({o.kernel, c / o.groups, k}, layer_rng(), activation).requires_grad_();
  bias = zero_bias(o.bias, k);
}

Tensor Conv1d::forward(const Tensor& x) { return conv1d(x, weight, bias, options, activation); }

std::string Conv1d::describe() const {
  const Shape& s = weight.shape();
  return describe_conv("Conv1d", s[1] * options.groups, s[2], {1, s[0]}, options.stride, activation,
                       bias);
}

ConvTranspose2d::ConvTranspose2d(int64_t c, int64_t k, const ConvTranspose2dOptions& o,
                                 Activation f)
    : options{o.stride, o.padding, o.output_padding, o.dilation, o.groups},
      activation(std::move(f)) {
  check_channels("ConvTranspose2d", c, k, o.kernel, o.groups);
  weight = he_normal({o.kernel.h, o.kernel.w, c / o.groups, k}, layer_rng(), activation)
               .view({o.kernel.h, o.kernel.w, k / o.groups, c})
               .requires_grad_();
  bias = zero_bias(o.bias, k);
}

Tensor ConvTranspose2d::forward(const Tensor& x) {
  return conv_transpose2d(x, weight, bias, options, activation);
}

std::string ConvTranspose2d::describe() const {
  const Shape& s = weight.shape();
  return describe_conv("ConvTranspose2d", s[3], s[2] * options.groups, {s[0], s[1]}, options.stride,
                       activation, bias);
}

}  // namespace ramp
