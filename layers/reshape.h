// Layers that only change the shape.
#pragma once

#include <fmt/format.h>

#include "ramp/autograd/ops_shape.h"
#include "ramp/layers/module.h"

namespace ramp {

struct FlattenOptions {
  bool channels_first = false;
};

/// [n, h, w, c] -> [n, h w c]; with channels_first in the order [c, h, w], for weights from
/// PyTorch.
struct Flatten final : Module {
  FlattenOptions options;

  explicit Flatten(FlattenOptions o = {}) : options(o) {}
  Tensor forward(const Tensor& x) override {
    if (!options.channels_first || x.rank() < 3) return flatten(x);
    std::vector<int> axes{0, -1};
    for (int i = 1; i + 1 < x.rank(); ++i) axes.push_back(i);
    return flatten(permute(x, axes));
  }
  std::string describe() const override {
    return options.channels_first ? "Flatten(channels first)" : "Flatten";
  }
};

/// [n, ..] -> [n, shape..], of which one may be -1: `Reshape({7, 7, 64})`.
struct Reshape final : Module {
  std::vector<int64_t> shape;

  explicit Reshape(std::vector<int64_t> s) : shape(std::move(s)) {}
  Tensor forward(const Tensor& x) override {
    std::vector<int64_t> to{x.dim(0)};
    to.insert(to.end(), shape.begin(), shape.end());
    return reshape(x, to);
  }
  std::string describe() const override {
    return fmt::format("Reshape({})", fmt::join(shape, ", "));
  }
};

}  // namespace ramp
