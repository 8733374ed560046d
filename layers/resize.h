// Upsampling and resizing as layers.
#pragma once

#include "ramp/autograd/ops_resize.h"
#include "ramp/layers/module.h"

namespace ramp {

/// Pixels are repeated, or with `bilinear` blended; align_corners is of blending alone.
struct ResizeOptions {
  bool bilinear = false, align_corners = false;
  std::string str() const {
    return bilinear ? align_corners ? "bilinear, align_corners" : "bilinear" : "nearest";
  }
  void check(const char* layer) const {
    if (align_corners && !bilinear)
      fail("{}: align_corners is of blended pixels. Hint: .bilinear = true.", layer);
  }
};

/// [n, h, w, c] -> [n, h scale.h, w scale.w, c]: `Upsample(2, {.bilinear = true})`.
struct Upsample final : Module {
  Size2d scale;
  ResizeOptions options;

  explicit Upsample(Size2d s, ResizeOptions o = {}) : scale(s), options(o) { o.check("Upsample"); }
  Tensor forward(const Tensor& x) override {
    return options.bilinear ? upsample_bilinear2d(x, scale, {options.align_corners})
                            : upsample_nearest2d(x, scale);
  }
  std::string describe() const override {
    return fmt::format("Upsample({}, {})", scale.str(), options.str());
  }
};

/// [n, h, w, c] -> [n, size.h, size.w, c]: `Resize({28, 28}, {.bilinear = true})`.
struct Resize final : Module {
  Size2d size;
  ResizeOptions options;

  explicit Resize(Size2d s, ResizeOptions o = {}) : size(s), options(o) { o.check("Resize"); }
  Tensor forward(const Tensor& x) override {
    return options.bilinear ? resize_bilinear2d(x, size, {options.align_corners})
                            : resize_nearest2d(x, size);
  }
  std::string describe() const override {
    return fmt::format("Resize({}, {})", size.str(), options.str());
  }
};

}  // namespace ramp
