// Pooling layers; see autograd/ops_pool.h.
#pragma once

#include "ramp/autograd/ops_pool.h"
#include "ramp/layers/module.h"

namespace ramp {

/// What they share: `MaxPool2d(2)`, `AvgPool2d(3, {.stride = 2, .padding = 1})`.
template <typename Size, typename Options, Tensor (*pool)(const Tensor&, Size, const Options&)>
struct Pool : Module {
  Size2d kernel;
  Options options;

  explicit Pool(Size kernel, Options o = {}) : kernel(kernel), options(o) {}
  Tensor forward(const Tensor& x) override {
    if constexpr (std::is_same_v<Size, Size2d>) {
      return pool(x, kernel, options);
    } else {
      return pool(x, kernel.w, options);
    }
  }

 protected:
  // "MaxPool2d(3, stride 2)": what is not the default.
  std::string describe_as(const char* layer) const {
    std::string text = kernel.str();
    const auto add = [&](const char* what, Size2d value, int64_t usual) {
      if (!(value == usual)) text += fmt::format(", {} {}", what, value.str());
    };
    add("stride", options.stride, 0);
    add("padding", options.padding, 0);
    if constexpr (requires { options.dilation; }) add("dilation", options.dilation, 1);
    if (options.ceil_mode) text += ", ceil";
    if constexpr (requires { options.count_include_pad; }) {
      if (!options.count_include_pad) text += ", without padding";
    }
    if constexpr (requires { options.divisor_override; })
      add("divisor", options.divisor_override, 0);
    return fmt::format("{}({})", layer, text);
  }
};

struct MaxPool2d final : Pool<Size2d, MaxPool2dOptions, max_pool2d> {
  using Pool::Pool;
  /// 2 x 2 windows side by side: these run in one pass with a convolution before them.
  bool is_halving() const {
    const auto& o = options;
    return kernel == 2 && (o.stride == 0 || o.stride == 2) && o.padding == 0 && o.dilation == 1 &&
           !o.ceil_mode;
  }
  std::string describe() const override { return describe_as("MaxPool2d"); }
};
struct AvgPool2d final : Pool<Size2d, AvgPool2dOptions, avg_pool2d> {
  using Pool::Pool;
  std::string describe() const override { return describe_as("AvgPool2d"); }
};
struct MaxPool1d final : Pool<int64_t, MaxPool1dOptions, max_pool1d> {
  using Pool::Pool;
  std::string describe() const override { return describe_as("MaxPool1d"); }
};
struct AvgPool1d final : Pool<int64_t, AvgPool1dOptions, avg_pool1d> {
  using Pool::Pool;
  std::string describe() const override { return describe_as("AvgPool1d"); }
};

/// To the given height and width, whatever the image's.
struct AdaptiveAvgPool2d final : Module {
  Size2d size;

  explicit AdaptiveAvgPool2d(Size2d s) : size(s) {}
  Tensor forward(const Tensor& x) override { return adaptive_avg_pool2d(x, size); }
  std::string describe() const override { return "AdaptiveAvgPool2d(" + size.str() + ")"; }
};
struct AdaptiveMaxPool2d final : Module {
  Size2d size;

  explicit AdaptiveMaxPool2d(Size2d s) : size(s) {}
  Tensor forward(const Tensor& x) override { return adaptive_max_pool2d(x, size); }
  std::string describe() const override { return "AdaptiveMaxPool2d(" + size.str() + ")"; }
};

/// [n, h, w, c] or [n, w, c] -> [n, c].
struct GlobalAvgPool final : Module {
  Tensor forward(const Tensor& x) override { return global_avg_pool(x); }
  std::string describe() const override { return "GlobalAvgPool"; }
};
struct GlobalMaxPool final : Module {
  Tensor forward(const Tensor& x) override { return global_max_pool(x); }
  std::string describe() const override { return "GlobalMaxPool"; }
};

}  // namespace ramp
