// Normalization layers; channels are the last axis.
#pragma once

#include "ramp/autograd/activation.h"
#include "ramp/layers/module.h"

namespace ramp {

struct NormOptions {
  double momentum = 0.1;  // of the running statistics (BatchNorm)
  double eps = 1e-5;
  bool affine = true;  // with weight and bias
};

/// y = f(batch_norm(x)), x [.., channels] of any rank from 2: with the batch's statistics in
/// training, with the running ones in evaluation. Starts with weight 1 and bias 0.
struct BatchNorm final : Module {
  Tensor weight, bias;               // [channels]; undefined if not affine
  Tensor running_mean, running_var;  // [channels]
  int64_t channels;
  Activation activation;
  NormOptions options;

  explicit BatchNorm(int64_t channels, Activation f = Identity{}, NormOptions options = {});
  Tensor forward(const Tensor& x) override;
  void fields(Fields& f) override {
    f.param("weight", weight).param("bias", bias);
    f.buffer("running_mean", running_mean).buffer("running_var", running_var);
  }
  std::string describe() const override;
};
using BatchNorm1d = BatchNorm;
using BatchNorm2d = BatchNorm;

/// y = layer_norm(x), x [.., channels], each row by itself.
struct LayerNorm final : Module {
  Tensor weight, bias;
  int64_t channels;
  NormOptions options;

  explicit LayerNorm(int64_t channels, NormOptions options = {});
  Tensor forward(const Tensor& x) override;
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
  std::string describe() const override { return fmt::format("LayerNorm({})", channels); }
};

/// y = group_norm(x), x [n, .., channels]. Errors: groups do not divide the channels.
struct GroupNorm final : Module {
  Tensor weight, bias;
  int64_t groups, channels;
  NormOptions options;

  GroupNorm(int64_t groups, int64_t channels, NormOptions options = {});
  Tensor forward(const Tensor& x) override;
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
  std::string describe() const override {
    return fmt::format("GroupNorm({}, {})", groups, channels);
  }
};

}  // namespace ramp
