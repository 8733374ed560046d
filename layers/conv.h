// Convolution layers: images [n, h, w, c], signals [n, w, c].
#pragma once

#include "ramp/autograd/ops_conv.h"
#include "ramp/layers/init.h"
#include "ramp/layers/module.h"

namespace ramp {

/// What they share. Starts as Dense does, with fan-in kh kw c / groups. In a Sequential the
/// activation behind it runs in the same pass.
/// Errors: a size below 1; groups that do not divide c and k; options and inputs as of the op.
struct Convolution : Module {
  Parameter weight;
  Parameter bias;  // [k]; undefined without
  Activation activation;

  Tensor forward(const Tensor& x) override { return forward_with(x, {}).y; }
  void start_before(const Activation& f) override {
    if (activation.is_identity()) init::scale_by_gain(weight, f);
  }
  void fields(Fields& f) override { f.param("weight", weight).param("bias", bias); }

 protected:
  Convolution(const char* layer, int64_t c, int64_t k, std::vector<int64_t> kernel,
              const ConvTransposeOptions& o, bool has_bias, Activation f);
};

struct Conv2dOptions {
  Size2d stride = 1;
  Padding padding = 0;  // or kSame
  Size2d dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};

/// y = f(conv(x, w) + b): x [n, h, w, c] -> [n, oh, ow, k]; see conv2d().
/// `Conv2d(1, 32, 3, ReLU{}, {.padding = 1})`: 3x3; {3, 5} is a kernel of 3 rows and 5 columns.
/// 2x2 max-pooling behind it in a Sequential runs in the same pass too.
struct Conv2d final : Convolution {  // weight [kh, kw, c / groups, k]
  ConvOptions options;

  Conv2d(int64_t c, int64_t k, Size2d kernel, Activation f = Identity{}, Conv2dOptions o = {});
  Conv2d(int64_t c, int64_t k, Size2d kernel, Conv2dOptions o)
      : Conv2d(c, k, kernel, Identity{}, o) {}
  Conv2d(int64_t c, int64_t k, Activation, Conv2dOptions = {}) = delete;  // write the kernel's size
  Fused forward_with(const Tensor& x, std::span<Module* const> next) override;
  std::string describe() const override;
};

struct Conv1dOptions {
  int64_t stride = 1;
  Padding padding = 0;
  int64_t dilation = 1, groups = 1;
  bool bias = true;
};

/// The same along one axis: x [n, w, c] -> [n, ow, k]; see conv1d().
struct Conv1d final : Convolution {  // weight [kw, c / groups, k]
  ConvOptions options;

  Conv1d(int64_t c, int64_t k, int64_t kernel, Activation f = Identity{}, Conv1dOptions o = {});
  Conv1d(int64_t c, int64_t k, int64_t kernel, Conv1dOptions o)
      : Conv1d(c, k, kernel, Identity{}, o) {}
  Conv1d(int64_t c, int64_t k, Activation, Conv1dOptions = {}) = delete;  // write the kernel's size
  Fused forward_with(const Tensor& x, std::span<Module* const> next) override;
  std::string describe() const override;
};

struct ConvTranspose2dOptions {
  Size2d stride = 1, padding = 0, output_padding = 0, dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};

/// y = f(the adjoint of conv(x, w) + b): x [n, h, w, c] -> [n, oh, ow, k]; see conv_transpose2d().
struct ConvTranspose2d final : Convolution {  // weight [kh, kw, k / groups, c]
  ConvTransposeOptions options;

  ConvTranspose2d(int64_t c, int64_t k, Size2d kernel, Activation f = Identity{},
                  ConvTranspose2dOptions o = {});
  ConvTranspose2d(int64_t c, int64_t k, Size2d kernel, ConvTranspose2dOptions o)
      : ConvTranspose2d(c, k, kernel, Identity{}, o) {}
  ConvTranspose2d(int64_t c, int64_t k, Activation,
                  ConvTranspose2dOptions = {}) = delete;  // write the kernel's size
  Fused forward_with(const Tensor& x, std::span<Module* const> next) override;
  std::string describe() const override;
};

struct ConvTranspose1dOptions {
  int64_t stride = 1, padding = 0, output_padding = 0, dilation = 1, groups = 1;
  bool bias = true;
};

/// The same along one axis: x [n, w, c] -> [n, ow, k]; see conv_transpose1d().
struct ConvTranspose1d final : Convolution {  // weight [kw, k / groups, c]
  ConvTransposeOptions options;

  ConvTranspose1d(int64_t c, int64_t k, int64_t kernel, Activation f = Identity{},
                  ConvTranspose1dOptions o = {});
  ConvTranspose1d(int64_t c, int64_t k, int64_t kernel, ConvTranspose1dOptions o)
      : ConvTranspose1d(c, k, kernel, Identity{}, o) {}
  ConvTranspose1d(int64_t c, int64_t k, Activation,
                  ConvTranspose1dOptions = {}) = delete;  // write the kernel's size
  Fused forward_with(const Tensor& x, std::span<Module* const> next) override;
  std::string describe() const override;
};

}  // namespace ramp
