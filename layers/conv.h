// Convolution layers: images [n, h, w, c], signals [n, w, c].
#pragma once

#include <fmt/format.h>

#include <algorithm>

#include "ramp/autograd/ops_conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/pool.h"

namespace ramp {

/// For layers along one axis too, where each size is one number.
struct ConvLayerOptions {
  Size2d stride = 1;
  Padding padding = 0;  // or kSame
  Size2d dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  operator ConvOptions() const { return {stride, padding, dilation, groups}; }  // NOLINT
  // What both directions have. NOLINTNEXTLINE
  operator ConvTransposeOptions() const { return {stride, padding.size, 0, dilation, groups}; }
};
struct ConvTransposeLayerOptions {
  Size2d stride = 1, padding = 0, output_padding = 0, dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  operator ConvTransposeOptions() const {  // NOLINT
    return {stride, padding, output_padding, dilation, groups};
  }
};

/// y = f(op(x, w) + b), for the ops and names below: `Conv2d(1, 32, 3, ReLU{}, {.padding = 1})` has
/// a 3x3 kernel; {3, 5} is one of 3 rows and 5 columns. Starts as Dense does, with fan-in
/// kh kw c / groups. In a Sequential the activation behind it, and behind a Conv2d 2x2 max-pooling
/// too, run in the same pass.
/// Errors: a size below 1; groups that do not divide c and k; options and inputs as of the op.
template <LiteralName kName, auto kOp, int kAxes, typename Options>
struct Convolution final : LinearLayer {
  static constexpr bool kTransposed = std::same_as<Options, ConvTransposeLayerOptions>;
  using Kernel = std::conditional_t<kAxes == 2, Size2d, int64_t>;

  // weight [kh, kw, c / groups, k] or [kw, ..], transposed [.., k / groups, c]; bias [k]
  Options options;

  Convolution(int64_t c, int64_t k, Kernel kernel, Activation f = Identity{}, Options o = {})
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
    const Tensor w = init::he_normal(shape(c / o.groups, k), layer_rng(), activation);
    weight.start(kTransposed ? w.view(shape(k / o.groups, c)) : w);
    if (o.bias) bias = Tensor::zeros({k});
  }
  Convolution(int64_t c, int64_t k, Kernel kernel, Options o)
      : Convolution(c, k, kernel, Identity{}, o) {}
  Convolution(int64_t c, int64_t k, Activation,
              Options = {}) = delete;  // the kernel is missing: Conv2d(1, 32, 3, ReLU{})

  Fused forward_with(const Tensor& x, std::span<Module* const> next) override {
    const auto [f, took] = detail::activation_with(activation, next);
    if constexpr (kAxes == 2 && !kTransposed) {
      auto* pool = took < next.size() ? dynamic_cast<MaxPool2d*>(next[took]) : nullptr;
      if (pool && pool->is_halving())
        return {conv2d_max_pool(x, weight, bias, options, f), took + 1};
    }
    return {detail::fused(f, kOp(x, weight, bias, options, f)), took};
  }
  std::string describe() const override {
    using detail::unless_usual;
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
};

/// Images [n, h, w, c] -> [n, oh, ow, k]; see conv2d().
using Conv2d = Convolution<"Conv2d", conv2d, 2, ConvLayerOptions>;
/// Signals [n, w, c] -> [n, ow, k]; see conv1d().
using Conv1d = Convolution<"Conv1d", conv1d, 1, ConvLayerOptions>;
/// Images [n, h, w, c] -> larger ones [n, oh, ow, k]; see conv_transpose2d().
using ConvTranspose2d =
    Convolution<"ConvTranspose2d", conv_transpose2d, 2, ConvTransposeLayerOptions>;
/// Signals [n, w, c] -> longer ones [n, ow, k]; see conv_transpose1d().
using ConvTranspose1d =
    Convolution<"ConvTranspose1d", conv_transpose1d, 1, ConvTransposeLayerOptions>;

}  // namespace ramp
