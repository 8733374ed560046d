// Convolution layers: images [n, h, w, c], signals [n, w, c].
#pragma once

#include "ramp/autograd/ops_conv.h"
#include "ramp/layers/module.h"

namespace ramp {

/// `Conv2d(1, 32, {.kernel = 3}, ReLU{})`.
struct Conv2dOptions {
  Size2d kernel = 3, stride = 1;
  Padding padding = 0;  // or kSame
  Size2d dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};

/// y = f(conv(x, w) + b): x [n, h, w, c] -> [n, oh, ow, k]; see conv2d(). Starts as Dense does,
/// with fan-in kh kw c / groups. In a Sequential, activation and 2x2 max-pooling behind it run in
/// the same pass. Errors: a size below 1; groups that do not divide c and k; those of conv2d().
struct Conv2d final : Module {
  Tensor weight;  // [kh, kw, c / groups, k]
  Tensor bias;    // [k]; undefined without
  ConvOptions options;
  Activation activation;

  Conv2d(int64_t c, int64_t k, const Conv2dOptions& o = {}, Activation f = Identity{});
  Tensor forward(const Tensor& x) override;
  size_t forward_with(const Tensor& x, std::span<Module* const> next, Tensor& y) override;
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
  std::string describe() const override;
};

struct Conv1dOptions {
  int64_t kernel = 3, stride = 1;
  Padding padding = 0;
  int64_t dilation = 1, groups = 1;
  bool bias = true;
};

/// The same along one axis: x [n, w, c] -> [n, ow, k]; see conv1d().
struct Conv1d final : Module {
  Tensor weight;  // [kw, c / groups, k]
  Tensor bias;    // [k]; undefined without
  ConvOptions options;
  Activation activation;

  Conv1d(int64_t c, int64_t k, const Conv1dOptions& o = {}, Activation f = Identity{});
  Tensor forward(const Tensor& x) override;
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
  std::string describe() const override;
};

struct ConvTranspose2dOptions {
  Size2d kernel = 3, stride = 1, padding = 0, output_padding = 0, dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};

/// y = f(the adjoint of conv(x, w) + b): x [n, h, w, c] -> [n, oh, ow, k]; see conv_transpose2d().
struct ConvTranspose2d final : Module {
  Tensor weight;  // [kh, kw, k / groups, c]
  Tensor bias;    // [k]; undefined without
  ConvTransposeOptions options;
  Activation activation;

  ConvTranspose2d(int64_t c, int64_t k, const ConvTranspose2dOptions& o = {},
                  Activation f = Identity{});
  Tensor forward(const Tensor& x) override;
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }
  std::string describe() const override;
};

}  // namespace ramp
