// Upsampling as a layer.
#pragma once

#include "ramp/autograd/ops_resize.h"
#include "ramp/layers/module.h"

namespace ramp {

/// [n, h, w, c] -> [n, h scale.h, w scale.w, c]: `Upsample(2)` repeats pixels, `Upsample(2, true)`
/// blends them (bilinear).
struct Upsample final : Module {
  Size2d scale;
  bool bilinear;

  explicit Upsample(Size2d s, bool blends = false) : scale(s), bilinear(blends) {}
  Tensor forward(const Tensor& x) override {
    return bilinear ? upsample_bilinear2d(x, scale) : upsample_nearest2d(x, scale);
  }
  std::string describe() const override {
    return fmt::format("Upsample({}, {})", scale.str(), bilinear ? "bilinear" : "nearest");
  }
};

}  // namespace ramp
