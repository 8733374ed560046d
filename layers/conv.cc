#include "ramp/layers/conv.h"

#include <fmt/format.h>

#include <algorithm>

#include "ramp/layers/activation.h"
#include "ramp/layers/pool.h"

namespace ramp {
namespace {

// ", stride 2": what is not the default.
std::string unless_default(const char* what, Size2d size, int64_t usual) {
  return size == Size2d(usual) ? "" : fmt::format(", {} {}", what, size.str());
}

template <typename Options>
std::string describe_conv(const Convolution& layer, const char* name, int64_t c, int64_t k,
                          Size2d kernel, const Options& o, const std::string& padding) {
  return fmt::format(
      "{}({}, {}, {}{}{}{}{}{}{})", name, c, k, kernel.str(), after_comma(layer.activation),
      unless_default("stride", o.stride, 1), padding, unless_default("dilation", o.dilation, 1),
      unless_default("groups", o.groups, 1), layer.bias.defined() ? "" : ", no bias");
}

std::string padding_text(const Padding& p) {
  return p.same ? ", padding same" : unless_default("padding", p.size, 0);
}
std::string padding_text(const ConvTransposeOptions& o) {
  return unless_default("padding", o.padding, 0) +
         unless_default("output_padding", o.output_padding, 0);
}

}  // namespace

Convolution::Convolution(const char* layer, int64_t c, int64_t k, std::vector<int64_t> shape,
                         const ConvTransposeOptions& o, bool has_bias, Activation f)
    : activation(std::move(f)) {
  const int64_t groups = o.groups;
  if (c < 1 || k < 1 || *std::min_element(shape.begin(), shape.end()) < 1) {
    fail("{}: expected channels and a kernel of at least 1; got {} and {} channels, kernel {}.",
         layer, c, k, fmt::join(shape, "x"));
  }
  if (groups < 1 || c % groups != 0 || k % groups != 0) {
    fail("{}: expected groups that divide the channels; got {} groups for {} and {} channels.",
         layer, groups, c, k);
  }
  detail::check_conv_options(layer, static_cast<int>(shape.size()) + 2, o);
  shape.push_back(c / groups);
  shape.push_back(k);
  weight.start(init::he_normal(shape, layer_rng(), activation));
  if (has_bias) bias = Tensor::zeros({k});
}

Conv2d::Conv2d(int64_t c, int64_t k, Size2d kernel, Activation f, Conv2dOptions o)
    : Convolution("Conv2d", c, k, {kernel.h, kernel.w},
                  {o.stride, o.padding.size, 0, o.dilation, o.groups}, o.bias, std::move(f)),
      options{o.stride, o.padding, o.dilation, o.groups} {}

Fused Conv2d::forward_with(const Tensor& x, std::span<Module* const> next) {
  const auto [f, took] = activation_with(activation, next);
  const auto* pool = took < next.size() ? dynamic_cast<MaxPool2d*>(next[took]) : nullptr;
  if (pool && pool->is_halving()) {
    return {conv2d_max_pool(x, weight, bias, options, f), took + 1};
  }
  return {conv2d(x, weight, bias, options, f), took};
}

std::string Conv2d::describe() const {
  const Shape& s = weight.shape();
  return describe_conv(*this, "Conv2d", s[2] * options.groups, s[3], {s[0], s[1]}, options,
                       padding_text(options.padding));
}

Conv1d::Conv1d(int64_t c, int64_t k, int64_t kernel, Activation f, Conv1dOptions o)
    : Convolution("Conv1d", c, k, {kernel}, {o.stride, o.padding.size, 0, o.dilation, o.groups},
                  o.bias, std::move(f)),
      options{o.stride, o.padding, o.dilation, o.groups} {}

Fused Conv1d::forward_with(const Tensor& x, std::span<Module* const> next) {
  const auto [f, took] = activation_with(activation, next);
  return {conv1d(x, weight, bias, options, f), took};
}

std::string Conv1d::describe() const {
  const Shape& s = weight.shape();
  return describe_conv(*this, "Conv1d", s[1] * options.groups, s[2], s[0], options,
                       padding_text(options.padding));
}

ConvTranspose2d::ConvTranspose2d(int64_t c, int64_t k, Size2d kernel, Activation f,
                                 ConvTranspose2dOptions o)
    : Convolution("ConvTranspose2d", c, k, {kernel.h, kernel.w},
                  {o.stride, o.padding, o.output_padding, o.dilation, o.groups}, o.bias,
                  std::move(f)),
      options{o.stride, o.padding, o.output_padding, o.dilation, o.groups} {
  weight.start(weight.detach().view({kernel.h, kernel.w, k / o.groups, c}));
}

Fused ConvTranspose2d::forward_with(const Tensor& x, std::span<Module* const> next) {
  const auto [f, took] = activation_with(activation, next);
  return {conv_transpose2d(x, weight, bias, options, f), took};
}

std::string ConvTranspose2d::describe() const {
  const Shape& s = weight.shape();
  return describe_conv(*this, "ConvTranspose2d", s[3], s[2] * options.groups, {s[0], s[1]}, options,
                       padding_text(options));
}

ConvTranspose1d::ConvTranspose1d(int64_t c, int64_t k, int64_t kernel, Activation f,
                                 ConvTranspose1dOptions o)
    : Convolution("ConvTranspose1d", c, k, {kernel},
                  {o.stride, o.padding, o.output_padding, o.dilation, o.groups}, o.bias,
                  std::move(f)),
      options{o.stride, o.padding, o.output_padding, o.dilation, o.groups} {
  weight = weight.detach().view({kernel, k / o.groups, c}).requires_grad_();
}

Fused ConvTranspose1d::forward_with(const Tensor& x, std::span<Module* const> next) {
  const auto [f, took] = activation_with(activation, next);
  return {conv_transpose1d(x, weight, bias, options, f), took};
}

std::string ConvTranspose1d::describe() const {
  const Shape& s = weight.shape();
  return describe_conv(*this, "ConvTranspose1d", s[2], s[1] * options.groups, s[0], options,
                       padding_text(options));
}

}  // namespace ramp
