// What tests/onnx_judge.py runs:
//   onnx_run export FOLDER   writes models NAME.onnx with NAME.safetensors, an input x and what
//   ramp
//                            makes of it, y, as they lie in the ONNX file
//   onnx_run run LIST        runs models: LIST has lines MODEL INPUTS OUTPUTS, the two being
//                            safetensors of "0", "1", ..; a line for each: "ok" or why not
//   onnx_run train LIST      of the same list: a backward pass, in training mode; a line for each
//   with
//                            the numbers of parameters and of those with a gradient, and the names
//                            of those without
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "ramp/ramp.h"

using namespace ramp;

namespace {

// As it lies in the file.
Tensor in_file(const Tensor& t, bool channels_last) {
  if (t.rank() < 3 || channels_last) return t;
  std::vector<int> axes{0, t.rank() - 1};
  for (int i = 1; i + 1 < t.rank(); ++i) axes.push_back(i);
  return permute(t, axes);
}

// Running statistics and slopes that are not what they start with.
void stir(ModuleBase& net, Rng& rng) {
  const NoGrad no_grad;
  for (NamedTensor& t : net.state()) {
    if (!is_float(t.tensor.dtype()) || t.tensor.rank() != 1) continue;
    const double low = t.name.ends_with("var") ? 0.5 : -0.5;
    Tensor noise = rng.uniform(t.tensor.shape(), low, low + 1);
    t.tensor.copy_(t.name.ends_with("var") ? noise : Tensor(t.tensor + noise));
  }
}

struct Export {
  std::string folder;
  int written = 0;

  void operator()(const std::string& name, Sequential net, const Shape& input,
                  OnnxExportOptions options = {}) {
    Rng rng(7);
    stir(net, rng);
    net.eval();
    for (const bool last : {false, true}) {
      if (last && input.rank() < 3) break;
      options.channels_last = last;
      const std::string path = folder + "/" + name + (last ? "_channels_last" : "");
      save_onnx(path + ".onnx", net, input, options);
      Shape batch = input;
      batch[0] = 3;
      const Tensor x = rng.normal(batch);
      const NoGrad no_grad;
      const Tensor y = net(x);
      save_safetensors(path + ".safetensors", {{"x", in_file(x, last)}, {"y", in_file(y, last)}});
      OnnxModel again(path + ".onnx", {.channels_first = true});
      again.eval();
      const Tensor z = again(in_file(x, last));
      const double error = max(abs(z - in_file(y, last))).item();
      fail_if(!(error <= 1e-5 * std::max(1.0, max(abs(y)).item())), "{}: read again, off by {}.",
              path, error);
      ++written;
    }
  }
};

// For ids.
void export_ids(Export& save, const std::string& name, Sequential net,
                const std::vector<int64_t>& ids, const Shape& shape) {
  net.eval();
  const Tensor x = Tensor::of(ids, shape);
  const std::string path = save.folder + "/" + name;
  save_onnx(path + ".onnx", net, x);
  const NoGrad no_grad;
  const Tensor y = net(x);
  save_safetensors(path + ".safetensors", {{"x", x}, {"y", y}});
  OnnxModel again(path + ".onnx");
  again.eval();
  const double error = max(abs(again(x) - y)).item();
  fail_if(!(error <= 1e-5), "{}: read again, off by {}.", path, error);
  ++save.written;
}

Sequential basic_block(int64_t c) {
  return Sequential{Residual{Conv2d(c, c, 3, {.padding = 1, .bias = false}), BatchNorm2d(c, ReLU{}),
                             Conv2d(c, c, 3, {.padding = 1, .bias = false}), BatchNorm2d(c)},
                    ReLU{}};
}

// ResNet-20 of He et al. (2015), section 4.2, with convolutions of stride 2 between the stages.
Sequential resnet20() {
  Sequential net{Conv2d(3, 16, 3, {.padding = 1, .bias = false}), BatchNorm2d(16, ReLU{})};
  for (const int64_t c : {16, 32, 64}) {
    if (c > 16) net.add(Conv2d(c / 2, c, 3, ReLU{}, {.stride = 2, .padding = 1}));
    for (int i = 0; i < 3; ++i) net.append(basic_block(c));
  }
  net.add(GlobalAvgPool{}).add(Dense(64, 10));
  return net;
}

// Models that are plain C++.
struct Block final : Module {
  Conv2d conv1, conv2;
  BatchNorm2d norm1, norm2;

  explicit Block(int64_t c)
      : conv1(c, c, 3, {.padding = 1, .bias = false}),
        conv2(c, c, 3, {.padding = 1, .bias = false}),
        norm1(c, ReLU{}),
        norm2(c) {}
  Tensor forward(const Tensor& x) override { return relu(x + norm2(conv2(norm1(conv1(x))))); }
  void fields(Fields& f) override {
    f.child("conv1", conv1).child("norm1", norm1).child("conv2", conv2).child("norm2", norm2);
  }
};
struct Plain final : Module {
  Conv2d stem{2, 6, 3, {.padding = 1}}, wide{8, 6, 1};
  Block block{6};
  Dropout drop;
  Parameter scale = Tensor::of<float>({0.5, 1, 2, -1, 0.3, 0.7});
  Sequential gate{GlobalAvgPool{}, Dense(6, 6, Sigmoid{})},
      head{Flatten{}, Dense(72, 20, ReLU{}), Dropout(0.2), Dense(20, 4)};
  Dense last{16, 3};
  Activate own{LeakyReLU{0.3}};

  Tensor forward(const Tensor& x) override {
    Tensor y = drop(block(tanh(stem(x))));
    y = own(wide(concat({y, x}, -1)) * scale);
    y = y * unsqueeze(unsqueeze(gate(y), 1), 1);
    y = max_pool2d(1.0 - y, 2);
    const Tensor z = head(y);
    return last(
        concat({z, silu(z) / 3.0, -z, matmul(gelu(z), transpose(Tensor::ones({4, 4})))}, 1));
  }
  void fields(Fields& f) override {
    f.child("stem", stem).child("wide", wide).child("block", block).child("drop", drop);
    f.param("scale", scale).child("gate", gate).child("head", head).child("last", last);
    f.child("own", own);
  }
};

void export_models(const std::string& folder) {
  seed_layers(1);
  Export save{folder};
  save("mlp", Sequential{Dense(784, 128, ReLU{}), Dropout(0.5), Dense(128, 10)}, {1, 784});
  save("lenet",
       Sequential{Conv2d(1, 6, 5, Tanh{}, {.padding = 2}), AvgPool2d(2), Conv2d(6, 16, 5, Tanh{}),
                  AvgPool2d(2), Flatten{}, Dense(400, 120, Tanh{}), Dense(120, 84, Tanh{}),
                  Dense(84, 10), Softmax{}},
       {1, 28, 28, 1});
  save("batch_norm_cnn",
       Sequential{Conv2d(1, 32, 3, {.padding = 1, .bias = false}), BatchNorm2d(32, ReLU{}),
                  MaxPool2d(2), Conv2d(32, 64, 3, {.padding = 1, .bias = false}),
                  BatchNorm2d(64, ReLU{}), MaxPool2d(2), Flatten{}, Dense(7 * 7 * 64, 128),
                  BatchNorm1d(128), ReLU{}, Dense(128, 10)},
       {1, 28, 28, 1});
  save("resnet20", resnet20(), {1, 32, 32, 3});
  save("autoencoder",
       Sequential{
           Conv2d(1, 8, 3, ReLU{}, {.stride = 2, .padding = 1}),
           Conv2d(8, 16, 3, ReLU{}, {.stride = 2, .padding = 1}), Flatten{}, Dense(7 * 7 * 16, 12),
           Dense(12, 7 * 7 * 16), ReLU{}, Reshape({7, 7, 16}),
           ConvTranspose2d(16, 8, 3, ReLU{}, {.stride = 2, .padding = 1, .output_padding = 1}),
           ConvTranspose2d(8, 1, {4, 3}, Sigmoid{},
                           {.stride = 2, .padding = 1, .output_padding = {0, 1}})},
       {1, 28, 28, 1});
  save("depthwise",
       Sequential{Conv2d(3, 12, 3, HardSwish{}, {.stride = 2, .padding = kSame}),
                  Conv2d(12, 12, 3, ReLU6{}, {.padding = 1, .groups = 12}), Conv2d(12, 24, 1),
                  PReLU(24), GlobalAvgPool{}, Dense(24, 5), LogSoftmax{}},
       {1, 21, 17, 3});
  save("gelu_silu_mish",
       Sequential{Dense(20, 32, GELU{}), Dense(32, 32, SiLU{}), Dense(32, 32, Mish{}),
                  Dense(32, 32, GELUTanh{}), Dense(32, 3)},
       {1, 20});
  save("layer_norm",
       Sequential{Dense(20, 32), LayerNorm(32), ReLU{},
                  Residual{Dense(32, 32, GELU{}), LayerNorm(32)}, Dense(32, 4)},
       {1, 20});
  save("groups_stride_same",
       Sequential{Conv2d(4, 8, {3, 5}, ELU{0.7}, {.stride = {2, 3}, .padding = kSame, .groups = 2}),
                  Conv2d(8, 8, 3, CELU{1.3}, {.padding = kSame, .dilation = 2, .groups = 4}),
                  Conv2d(8, 6, 4, {.stride = 3, .padding = kSame}), GroupNorm(3, 6), LeakyReLU{0.2},
                  Flatten{}, Dense(3 * 2 * 6, 7)},
       {1, 18, 18, 4});
  save("upsample",
       Sequential{Conv2d(2, 4, 3, SELU{}, {.padding = 1}), Upsample(2),
                  Conv2d(4, 4, 3, Softplus{}, {.padding = 1}), Upsample(3, {.bilinear = true}),
                  Resize({17, 20}), Resize({9, 30}, {.bilinear = true, .align_corners = true}),
                  Conv2d(4, 2, 1)},
       {1, 6, 5, 2});
  // And what the ten above have not.
  save("activations",
       Sequential{Dense(12, 12, HardSigmoid{}), HardTanh{-0.5, 2}, ClippedReLU{1.5}, Dense(12, 12),
                  SquaredReLU{}, Dense(12, 12, ThresholdedReLU{0.4}), Dense(12, 12, SmeLU{0.8}),
                  Dense(12, 12, Swish{1.7}), Softplus{2}, Dense(12, 12, Softsign{}), LogSigmoid{},
                  Dense(12, 12), PReLU(12), RReLU{}, CReLU{}, Dense(24, 24), GLU{}, Dense(12, 3)},
       {1, 12});
  save("pools",
       Sequential{MaxPool2d(3, {.stride = 2, .padding = 1, .ceil_mode = true}),
                  AvgPool2d(3, {.stride = 2, .padding = 1, .ceil_mode = true}),
                  AvgPool2d(2, {.stride = 1, .padding = 1, .count_include_pad = false}),
                  AvgPool2d({2, 3}, {.stride = 1, .padding = 1, .divisor_override = 5}),
                  MaxPool2d(2, {.stride = 1, .dilation = 2}), AdaptiveAvgPool2d({5, 4}),
                  AdaptiveMaxPool2d({3, 3}), CReLU{}, AdaptiveAvgPool2d(1), Flatten{}},
       {1, 32, 30, 3});
  save("signals",
       Sequential{Conv1d(2, 6, 5, ReLU{}, {.stride = 2, .padding = kSame}), MaxPool1d(2),
                  BatchNorm1d(6), Conv1d(6, 6, 3, {.padding = 1, .groups = 3}), PReLU(6),
                  AvgPool1d(2), ConvTranspose1d(6, 4, 4, {.stride = 2, .padding = 1, .groups = 2}),
                  GLU{}, LayerNorm(2), Dense(2, 8, Tanh{}), GroupNorm(2, 8), Flatten{},
                  BatchNorm(96), PReLU(96), Dense(96, 3)},
       {1, 47, 2});
  save("turned_result", Sequential{Conv2d(2, 3, 3), Flatten{}, Sigmoid{}}, {1, 5, 6, 2});
  save("pixels", Sequential{Conv2d(2, 8, 3), LayerNorm(8), Dense(8, 4, GELU{}), Softmax{}},
       {1, 6, 7, 2});
  const std::vector<int64_t> ids{3, 1, 9, 0, 0, 7, 8, 9, 2, 2, 0, 0};
  export_ids(save, "ids",
             Sequential{Embedding(10, 6), LayerNorm(6), Conv1d(6, 4, 3), ReLU{}, GlobalAvgPool{}},
             ids, {3, 4});
  export_ids(save, "ids_padding",
             Sequential{Embedding(10, 6, {.padding = 0}), Flatten{}, Dense(24, 2)}, ids, {3, 4});
  for (const bool mean : {false, true}) {
    export_ids(save, fmt::format("bag_{}", mean),
               Sequential{EmbeddingBag(10, 6, {.mean = mean}), Dense(6, 2)}, ids, {3, 4});
    std::vector<int64_t> some = ids;
    some[1] = some[10] = some[11] = -1;
    export_ids(save, fmt::format("bag_padding_{}", mean),
               Sequential{EmbeddingBag(10, 6, {.mean = mean, .padding = -1}), Dense(6, 2)}, some,
               {3, 4});
  }
  save("plain_resnet",
       Sequential{Conv2d(1, 8, 3, {.padding = 1, .bias = false}), BatchNorm2d(8, ReLU{}),
                  MaxPool2d(2), Block(8), Block(8), Flatten{}, Dropout(0.3), Dense(7 * 7 * 8, 10)},
       {1, 14, 14, 1});
  save("plain", Sequential{Plain{}}, {1, 6, 8, 2});
  for (const Activation& f : {Activation(ReLU{}),
                              Activation(LeakyReLU{0.2}),
                              Activation(ELU{0.5}),
                              Activation(SELU{}),
                              Activation(CELU{2}),
                              Activation(ClippedReLU{0.7}),
                              Activation(ReLU6{}),
                              Activation(SquaredReLU{}),
                              Activation(ThresholdedReLU{0.3}),
                              Activation(SmeLU{1.5}),
                              Activation(GELU{}),
                              Activation(GELUTanh{}),
                              Activation(Swish{1.7}),
                              Activation(SiLU{}),
                              Activation(Mish{}),
                              Activation(HardSwish{}),
                              Activation(HardSigmoid{}),
                              Activation(HardTanh{-0.3, INFINITY}),
                              Activation(HardTanh{-0.3, 0.9}),
                              Activation(Softplus{}),
                              Activation(Softplus{-2.5}),
                              Activation(Softsign{}),
                              Activation(LogSigmoid{}),
                              Activation(Sigmoid{}),
                              Activation(Tanh{}),
                              Activation(Identity{})})
    save(fmt::format("activation_{:02}_{}", save.written, f.name()), Sequential{Activate(f)},
         {1, 200});
  fmt::print("{} files\n", save.written);
}

std::string run_model(const std::string& model, const std::string& in, const std::string& out) {
  try {
    OnnxModel net(model, {.channels_first = true});
    net.eval();
    const NoGrad no_grad;
    const TensorFile file = load_safetensors(in, {.any_format = true});
    std::vector<Tensor> x;
    for (size_t i = 0; i < file.size(); ++i) x.push_back(file[std::to_string(i)]);
    std::vector<NamedTensor> y;
    for (const Tensor& t : net.run_all(x)) y.push_back({std::to_string(y.size()), t});
    save_safetensors(out, y);
    return "ok";
  } catch (const Error& e) {
    return std::string("refused ") + e.what();
  }
}

std::string train_model(const std::string& model, const std::string& in) {
  try {
    OnnxModel net(model, {.channels_first = true});
    const TensorFile file = load_safetensors(in, {.any_format = true});
    Rng rng(3);
    const Tensor y = net.run_all({file["0"]})[0];
    sum(y * rng.normal(y.shape())).backward();
    int with = 0;
    std::string without;
    const std::vector<NamedTensor> parameters = net.named_parameters();
    for (const NamedTensor& p : parameters) {
      const bool has = p.tensor.grad().defined() && max(abs(p.tensor.grad())).item() > 0;
      with += has;
      if (!has) without += " " + p.name;
    }
    return fmt::format("{} {}{}", parameters.size(), with, without);
  } catch (const Error& e) {
    return std::string("refused ") + e.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "export" && argc == 3) {
      export_models(argv[2]);
    } else if ((what == "run" || what == "train") && argc == 3) {
      std::ifstream list(argv[2]);
      for (std::string model, in, out; list >> model >> in >> out;) {
        std::string text = what == "run" ? run_model(model, in, out) : train_model(model, in);
        std::ranges::replace(text, '\n', ' ');
        std::cout << text << std::endl;
      }
    } else {
      fail("usage: onnx_run export FOLDER | run LIST | train LIST");
    }
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
