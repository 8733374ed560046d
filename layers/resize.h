// Upsampling and resizing as layers.
#pragma once

#include "ramp/autograd/ops_resize.h"
#include "ramp/layers/module.h"

namespace ramp {

/// Pixels are repeated, or with `bilinear` blended; align_corners is of blending alone.
struct ResizeOptions {
  bool bilinear = false, align_corners = false;
};

/// What they share: pixels are repeated or blended by the ops they name.
template <LiteralName kName, auto kNearest, auto kBilinear>
struct Resampling final : Module {
  Size2d size;
  ResizeOptions options;

  explicit Resampling(Size2d s, ResizeOptions o = {}) : size(s), options(o) {
    fail_if(o.align_corners && !o.bilinear,
            "{}: align_corners is of blended pixels. Hint: .bilinear = true.", kName.text);
  }
  Tensor forward(const Tensor& x) override {
    return options.bilinear ? kBilinear(x, size, {options.align_corners}) : kNearest(x, size);
  }
  std::string describe() const override {
    return fmt::format("{}({}, {}{})", kName.text, size.str(),
                       options.bilinear ? "bilinear" : "nearest",
                       options.align_corners ? ", align_corners" : "");
  }
};
/// [n, h, w, c] -> [n, h size.h, w size.w, c]: `Upsample(2, {.bilinear = true})`
using Upsample = Resampling<"Upsample", upsample_nearest2d, upsample_bilinear2d>;
/// [n, h, w, c] -> [n, size.h, size.w, c]: `Resize({28, 28})`
using Resize = Resampling<"Resize", resize_nearest2d, resize_bilinear2d>;

}  // namespace ramp
