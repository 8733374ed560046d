#include "ramp/layers/conv.h"

#include <fmt/format.h>

#include <algorithm>

#include "ramp/layers/activation.h"
#include "ramp/layers/pool.h"

namespace ramp {

using detail::unless_usual;

template <LayerName kName, auto kOp, int kAxes, typename Options>
Convolution<kName, kOp, kAxes, Options>::Convolution(int64_t c, int64_t k, Kernel kernel,
                                                     Activation f, Options o)
    : LinearLayer(std::move(f)), options(o) {
  const Size2d size = kernel;
  fail_if(std::min({c, k, size.h, size.w}) < 1,
          "{}: expected channels and a kernel of at least 1; got {} and {} channels, kernel {}.",
          kName.text, c, k, size.str());
  fail_if(o.groups < 1 || c % o.groups != 0 || k % o.groups != 0,
          "{}: expected groups that divide the channels; got {} groups for {} and {} channels.",
          kName.text, o.groups, c, k);
  detail::check_conv_options(kName.text, kAxes + 2, o);
  const auto shape = [&](int64_t rows, int64_t columns) {
    return kAxes == 2 ? Shape{size.h, size.w, rows, columns} : Shape{size.w, rows, columns};
  };
  Tensor w = init::he_normal(shape(c / o.groups, k), layer_rng(), activation);
  weight.start(kTransposed ? w.view(shape(k / o.groups, c)) : w);
  if (o.bias) bias = Tensor::zeros({k});
}

template <LayerName kName, auto kOp, int kAxes, typename Options>
Fused Convolution<kName, kOp, kAxes, Options>::forward_with(const Tensor& x,
                                                            std::span<Module* const> next) {
  const auto [f, took] = detail::activation_with(activation, next);
  if constexpr (kAxes == 2 && !kTransposed) {
    const auto* pool = took < next.size() ? dynamic_cast<MaxPool2d*>(next[took]) : nullptr;
    if (pool && pool->is_halving()) return {conv2d_max_pool(x, weight, bias, options, f), took + 1};
  }
  return {detail::fused(f, kOp(x, weight, bias, options, f)), took};
}

template <LayerName kName, auto kOp, int kAxes, typename Options>
std::string Convolution<kName, kOp, kAxes, Options>::describe() const {
  const ConvTransposeOptions o = options;
  const Shape& s = weight.shape();
  int64_t c = s[kAxes] * o.groups, k = s[kAxes + 1];
  if (kTransposed) std::swap(c, k);
  std::string same;
  if constexpr (!kTransposed) same = options.padding.same ? ", padding same" : "";
  return fmt::format(
      "{}({}, {}, {}{}{}{}{}{}{}{}{})", kName.text, c, k, Size2d(s[0], s[kAxes - 1]).str(),
      detail::after_comma(activation), unless_usual("stride", o.stride, 1), same,
      unless_usual("padding", o.padding, 0), unless_usual("output_padding", o.output_padding, 0),
      unless_usual("dilation", o.dilation, 1), unless_usual("groups", o.groups, 1),
      bias.defined() ? "" : ", no bias");
}

template struct Convolution<"Conv2d", conv2d, 2, ConvLayerOptions>;
template struct Convolution<"Conv1d", conv1d, 1, ConvLayerOptions>;
template struct Convolution<"ConvTranspose2d", conv_transpose2d, 2, ConvTransposeLayerOptions>;
template struct Convolution<"ConvTranspose1d", conv_transpose1d, 1, ConvTransposeLayerOptions>;

}  // namespace ramp
