// Pooling layers; see autograd/ops_pool.h.
#pragma once

#include "ramp/autograd/ops_pool.h"
#include "ramp/layers/module.h"

namespace ramp {

/// `MaxPool2d(2)`, `AvgPool2d(3, {.stride = 2, .padding = 1})`.
template <Tensor (*pool)(const Tensor&, Pool2dOptions)>
struct Pool2d final : Module {
  Pool2dOptions options;

  explicit Pool2d(Size2d kernel, Pool2dOptions o = {}) : options(o) { options.kernel = kernel; }
  Tensor forward(const Tensor& x) override { return pool(x, options); }
  /// 2 x 2 windows side by side: these run in one pass with a convolution before them.
  bool is_halving() const {
    const auto& o = options;
    return o.kernel == 2 && (o.stride == 0 || o.stride == 2) && o.padding == 0 && !o.ceil_mode;
  }
  std::string describe() const override {
    const auto& o = options;
    return fmt::format("{}({}{}{}{})", pool == max_pool2d ? "MaxPool2d" : "AvgPool2d",
                       o.kernel.str(), o.stride.h ? ", stride " + o.stride.str() : "",
                       o.padding.h + o.padding.w ? ", padding " + o.padding.str() : "",
                       o.ceil_mode ? ", ceil" : "");
  }
};
using MaxPool2d = Pool2d<max_pool2d>;
using AvgPool2d = Pool2d<avg_pool2d>;

/// To the given height and width, whatever the image's.
struct AdaptiveAvgPool2d final : Module {
  Size2d size;

  explicit AdaptiveAvgPool2d(Size2d s) : size(s) {}
  Tensor forward(const Tensor& x) override { return adaptive_avg_pool2d(x, size); }
  std::string describe() const override { return "AdaptiveAvgPool2d(" + size.str() + ")"; }
};

/// [n, h, w, c] or [n, l, c] -> [n, c].
struct GlobalAvgPool final : Module {
  Tensor forward(const Tensor& x) override { return global_avg_pool(x); }
  std::string describe() const override { return "GlobalAvgPool"; }
};
struct GlobalMaxPool final : Module {
  Tensor forward(const Tensor& x) override { return global_max_pool(x); }
  std::string describe() const override { return "GlobalMaxPool"; }
};

}  // namespace ramp
