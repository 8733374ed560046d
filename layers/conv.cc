#include "ramp/layers/conv.h"

#include <fmt/format.h>

#include <algorithm>

#include "ramp/layers/activation.h"
#include "ramp/layers/pool.h"

namespace ramp {
namespace {

template <int kAxes, bool kTransposed>
constexpr const char* kName = kTransposed ? (kAxes == 2 ? "ConvTranspose2d" : "ConvTranspose1d")
                                          : (kAxes == 2 ? "Conv2d" : "Conv1d");

// ", stride 2": what is not the default.
std::string unless_default(const char* what, Size2d size, int64_t usual) {
  return size == Size2d(usual) ? "" : fmt::format(", {} {}", what, size.str());
}

}  // namespace

template <auto kOp, int kAxes, typename Options>
Convolution<kOp, kAxes, Options>::Convolution(int64_t c, int64_t k, Kernel kernel, Activation f,
                                              Options o)
    : activation(std::move(f)), options(o) {
  const char* name = kName<kAxes, kTransposed>;
  const Size2d size = kernel;
  if (std::min({c, k, size.h, size.w}) < 1) {
    fail("{}: expected channels and a kernel of at least 1; got {} and {} channels, kernel {}.",
         name, c, k, size.str());
  }
  if (o.groups < 1 || c % o.groups != 0 || k % o.groups != 0) {
    fail("{}: expected groups that divide the channels; got {} groups for {} and {} channels.",
         name, o.groups, c, k);
  }
  if constexpr (kTransposed) {
    detail::check_conv_options(name, kAxes + 2, o);
  } else {
    detail::check_conv_options(name, kAxes + 2,
                               {o.stride, o.padding.size, 0, o.dilation, o.groups});
  }
  const auto shape = [&](int64_t rows, int64_t columns) {
    return kAxes == 2 ? Shape{size.h, size.w, rows, columns} : Shape{size.w, rows, columns};
  };
  Tensor w = init::he_normal(shape(c / o.groups, k), layer_rng(), activation);
  weight.start(kTransposed ? w.view(shape(k / o.groups, c)) : w);
  if (o.bias) bias = Tensor::zeros({k});
}

template <auto kOp, int kAxes, typename Options>
Fused Convolution<kOp, kAxes, Options>::forward_with(const Tensor& x,
                                                     std::span<Module* const> next) {
  const auto [f, took] = detail::activation_with(activation, next);
  if constexpr (kAxes == 2 && !kTransposed) {
    const auto* pool = took < next.size() ? dynamic_cast<MaxPool2d*>(next[took]) : nullptr;
    if (pool && pool->is_halving()) {
      return {conv2d_max_pool(x, weight, bias, options, f), took + 1};
    }
  }
  return {detail::fused(f, kOp(x, weight, bias, options, f)), took};
}

template <auto kOp, int kAxes, typename Options>
std::string Convolution<kOp, kAxes, Options>::describe() const {
  const Options& o = options;
  const Shape& s = weight.shape();
  const int64_t rows = s[kAxes] * o.groups, columns = s[kAxes + 1];
  std::string padding;
  if constexpr (kTransposed) {
    padding = unless_default("padding", o.padding, 0) +
              unless_default("output_padding", o.output_padding, 0);
  } else {
    padding = o.padding.same ? ", padding same" : unless_default("padding", o.padding.size, 0);
  }
  return fmt::format("{}({}, {}, {}{}{}{}{}{}{})", kName<kAxes, kTransposed>,
                     kTransposed ? columns : rows, kTransposed ? rows : columns,
                     Size2d(s[0], s[kAxes - 1]).str(), detail::after_comma(activation),
                     unless_default("stride", o.stride, 1), padding,
                     unless_default("dilation", o.dilation, 1),
                     unless_default("groups", o.groups, 1), bias.defined() ? "" : ", no bias");
}

template struct Convolution<conv2d, 2, ConvLayerOptions>;
template struct Convolution<conv1d, 1, ConvLayerOptions>;
template struct Convolution<conv_transpose2d, 2, ConvTransposeLayerOptions>;
template struct Convolution<conv_transpose1d, 1, ConvTransposeLayerOptions>;

}  // namespace ramp
