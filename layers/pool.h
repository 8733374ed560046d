// Pooling layers; see autograd/ops_pool.h.
#pragma once

#include "ramp/autograd/ops_pool.h"
#include "ramp/layers/module.h"

namespace ramp {

/// A pooling layer of the names below, e.g. `AvgPool2d(3, {.stride = 2, .padding = 1})`.
template <auto kPool, typename Size, typename Options>
struct Pool final : Module {
  static constexpr bool kMax = requires(Options o) { o.dilation; };
  static constexpr bool kImages = std::is_same_v<Size, Size2d>;
  Size kernel;
  Options options;

  explicit Pool(Size kernel, Options o = {}) : kernel(kernel), options(o) {}
  Tensor forward(const Tensor& x) override { return kPool(x, kernel, options); }
  /// 2 x 2 windows side by side: these run in one pass with a convolution before them.
  bool is_halving() const requires std::same_as<Options, MaxPool2dOptions> {
    const Options& o = options;
    return kernel == 2 && (o.stride == 0 || o.stride == 2) && o.padding == 0 && o.dilation == 1 &&
           !o.ceil_mode;
  }
  /// "MaxPool2d(3, stride 2)": what is not the default.
  std::string describe() const override {
    using detail::unless_usual;
    std::string text = Size2d(kernel).str() + unless_usual("stride", options.stride, 0) +
                       unless_usual("padding", options.padding, 0);
    if constexpr (kMax) text += unless_usual("dilation", options.dilation, 1);
    if (options.ceil_mode) text += ", ceil";
    if constexpr (!kMax) text += options.count_include_pad ? "" : ", without padding";
    if constexpr (!kMax) text += unless_usual("divisor", options.divisor_override, 0);
    return fmt::format("{}Pool{}d({})", kMax ? "Max" : "Avg", kImages ? 2 : 1, text);
  }
};
/// Images [n, h, w, c]; see max_pool2d(). `MaxPool2d(2)`
using MaxPool2d = Pool<max_pool2d, Size2d, MaxPool2dOptions>;
/// Images [n, h, w, c]; see avg_pool2d().
using AvgPool2d = Pool<avg_pool2d, Size2d, AvgPool2dOptions>;
/// Signals [n, w, c]; see max_pool1d().
using MaxPool1d = Pool<max_pool1d, int64_t, MaxPool1dOptions>;
/// Signals [n, w, c]; see avg_pool1d().
using AvgPool1d = Pool<avg_pool1d, int64_t, AvgPool1dOptions>;

/// To the given height and width, whatever the image's.
template <LiteralName kName, auto kPool>
struct AdaptivePool2d final : Module {
  Size2d size;

  explicit AdaptivePool2d(Size2d s) : size(s) {}
  Tensor forward(const Tensor& x) override { return kPool(x, size); }
  std::string describe() const override { return fmt::format("{}({})", kName.text, size.str()); }
};
/// See adaptive_avg_pool2d(). `AdaptiveAvgPool2d(7)`
using AdaptiveAvgPool2d = AdaptivePool2d<"AdaptiveAvgPool2d", adaptive_avg_pool2d>;
/// See adaptive_max_pool2d().
using AdaptiveMaxPool2d = AdaptivePool2d<"AdaptiveMaxPool2d", adaptive_max_pool2d>;

/// [n, h, w, c] or [n, w, c] -> [n, c]; see global_avg_pool().
using GlobalAvgPool = OpLayer<"GlobalAvgPool", global_avg_pool>;
/// [n, h, w, c] or [n, w, c] -> [n, c]; see global_max_pool().
using GlobalMaxPool = OpLayer<"GlobalMaxPool", global_max_pool>;

}  // namespace ramp
