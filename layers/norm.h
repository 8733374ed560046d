// Normalization layers; channels are the last axis.
#pragma once

#include "ramp/autograd/ops_norm.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/module.h"

namespace ramp {

struct NormOptions {
  double momentum = 0.1;  // of the running statistics
  double eps = 1e-5;
  bool affine = true;  // has weight (starts as 1) and bias (0)
};

/// What they share. Errors: fewer than 1 channel; eps below 0 or not finite; momentum outside 0..1;
/// those of the ops.
struct Norm : Module {
  Parameter weight, bias;  // [channels]; undefined if not affine
  int64_t channels;
  NormOptions options;

  Norm(int64_t channels, NormOptions options) : channels(channels), options(options) {
    if (channels < 1) fail("norm: expected at least 1 channel; got {}.", channels);
    const auto [momentum, eps, affine] = options;
    check_options("norm", is_at_least(eps), "eps >= 0, finite", {eps});
    check_options("norm", momentum >= 0 && momentum <= 1, "momentum in 0..1", {momentum});
    if (!affine) return;
    weight = Tensor::ones({channels});
    bias = Tensor::zeros({channels});
  }
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
};

/// y = f(batch_norm(x)), x [.., channels] of rank 2 or more: by the batch's statistics in training,
/// by the running ones in evaluation.
struct BatchNorm final : Norm {
  Buffer running_mean, running_var;  // [channels]
  Activation activation;

  explicit BatchNorm(int64_t channels, Activation f = Identity{}, NormOptions options = {})
      : Norm(channels, options),
        running_mean(Tensor::zeros({channels})),
        running_var(Tensor::ones({channels})),
        activation(std::move(f)) {}
  BatchNorm(int64_t channels, NormOptions options) : BatchNorm(channels, Identity{}, options) {}
  Tensor forward(const Tensor& x) override { return forward_with(x, {}).y; }
  Fused forward_with(const Tensor& x, std::span<Module* const> next) override {
    const auto [f, took] = detail::activation_with(activation, next);
    return {batch_norm(x, weight, bias, running_mean, running_var,
                       {training(), options.momentum, options.eps}, f),
            took};
  }
  void fields(Fields& f) override {
    Norm::fields(f);
    f.buffer("running_mean", running_mean).buffer("running_var", running_var);
  }
  std::string describe() const override {
    return fmt::format("BatchNorm({}{})", channels, detail::after_comma(activation));
  }
};
using BatchNorm1d = BatchNorm;
using BatchNorm2d = BatchNorm;

/// y = layer_norm(x), x [.., channels].
struct LayerNorm final : Norm {
  explicit LayerNorm(int64_t channels, NormOptions options = {}) : Norm(channels, options) {}
  Tensor forward(const Tensor& x) override {
    return layer_norm(x, weight, bias, {.eps = options.eps});
  }
  std::string describe() const override { return fmt::format("LayerNorm({})", channels); }
};

/// y = group_norm(x), x [n, .., channels].
struct GroupNorm final : Norm {
  int64_t groups;

  GroupNorm(int64_t groups, int64_t channels, NormOptions options = {})
      : Norm(channels, options), groups(groups) {}
  Tensor forward(const Tensor& x) override {
    return group_norm(x, groups, weight, bias, options.eps);
  }
  std::string describe() const override {
    return fmt::format("GroupNorm({}, {})", groups, channels);
  }
};

}  // namespace ramp
