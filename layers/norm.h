// Normalization layers; channels are the last axis.
#pragma once

#include "ramp/autograd/activation.h"
#include "ramp/layers/module.h"

namespace ramp {

struct NormOptions {
  double momentum = 0.1;  // of the running statistics
  double eps = 1e-5;
  bool affine = true;  // has weight (starts as 1) and bias (0)
};

/// What they share. Errors: a number of channels below 1, or other than that of x.
struct Norm : Module {
  Tensor weight, bias;  // [channels]; undefined if not affine
  int64_t channels;
  NormOptions options;

  Norm(int64_t channels, NormOptions options);
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }

 protected:
  const Tensor& checked(const Tensor& x) const;
};

/// y = f(batch_norm(x)), x [.., channels] of rank 2 or more: by the batch's statistics in training,
/// by the running ones in evaluation.
struct BatchNorm final : Norm {
  Tensor running_mean, running_var;  // [channels]
  Activation activation;

  explicit BatchNorm(int64_t channels, Activation f = Identity{}, NormOptions options = {});
  Tensor forward(const Tensor& x) override;
  size_t forward_with(const Tensor& x, std::span<Module* const> next, Tensor& y) override;
  void fields(Fields& f) override {
    Norm::fields(f);
    f.buffer("running_mean", running_mean).buffer("running_var", running_var);
  }
  std::string describe() const override;
};
using BatchNorm1d = BatchNorm;
using BatchNorm2d = BatchNorm;

/// y = layer_norm(x), x [.., channels]: each row by itself.
struct LayerNorm final : Norm {
  explicit LayerNorm(int64_t channels, NormOptions options = {}) : Norm(channels, options) {}
  Tensor forward(const Tensor& x) override;
  std::string describe() const override { return fmt::format("LayerNorm({})", channels); }
};

/// y = group_norm(x), x [n, .., channels].
struct GroupNorm final : Norm {
  int64_t groups;

  GroupNorm(int64_t groups, int64_t channels, NormOptions options = {})
      : Norm(channels, options), groups(groups) {}
  Tensor forward(const Tensor& x) override;
  std::string describe() const override {
    return fmt::format("GroupNorm({}, {})", groups, channels);
  }
};

}  // namespace ramp
