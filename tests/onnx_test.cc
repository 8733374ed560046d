#include "ramp/io/onnx.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "message.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/data/read_file.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/sequential.h"
#include "scratch.h"

using namespace ramp;

namespace {

struct Scale final : Module {
  Parameter factor = Tensor::of<float>({1, 2, 3});
  Tensor forward(const Tensor& x) override { return x * factor; }
  void fields(Fields& f) override { f.param("factor", factor); }
  std::string describe() const override { return "Scale"; }
};

// Of the name of one of ramp's, and another function.
struct Relu {
  static constexpr const char *name = "relu", *formula = "y = 2 max(0, x)";
  template <typename T>
  T f(T x) const {
    return x < 0 ? 0 : 2 * x;
  }
  template <typename T>
  T derivative_from_y(T y) const {
    return y <= 0 ? 0 : 2;
  }
};

onnx::File read(const std::string& path) { return onnx::decode(read_file(path), path); }

}  // namespace

TEST_CASE("nodes and weights have the names of modules; images are channels first") {
  const Scratch folder;
  const std::string path = folder.path("a.onnx");
  Sequential net{Conv2d(2, 3, 3, ReLU{}, {.padding = kSame}), Flatten{}, Dense(60, 4)};
  save_onnx(path, net, {1, 4, 5, 2});
  const onnx::File file = read(path);
  CHECK(file.opset == 20);
  CHECK(file.ir_version == 9);
  REQUIRE(file.nodes.size() == 4);
  const char* names[] = {"0", "0.Relu", "1", "2"};
  const char* ops[] = {"Conv", "Relu", "Flatten", "Gemm"};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(file.nodes[i].name == names[i]);
    CHECK(file.nodes[i].op == ops[i]);
  }
  REQUIRE(file.inputs.size() == 1);
  CHECK(file.inputs[0].dims == std::vector<int64_t>{-1, 2, 4, 5});
  CHECK(file.inputs[0].dim_names[0] == "n");
  CHECK(file.outputs[0].dims == std::vector<int64_t>{-1, 4});
  REQUIRE(file.constants.size() == 4);
  CHECK(file.constants[0].name == "0.weight");
  CHECK(file.constants[0].value.shape() == Shape{3, 2, 3, 3});
  // Row (h, w, c) of the dense layer's weight is (c, h, w) in the file.
  const Tensor& w = net.get<Dense>(2).weight;
  const Tensor& turned = file.constants[2].value;
  CHECK(turned.at({1 * 20 + 2 * 5 + 3, 1}) == w.at({(2 * 5 + 3) * 3 + 1, 1}));
}

TEST_CASE("layers and activations of a user's own, by hooks") {
  const Scratch folder;
  const std::string path = folder.path("a.onnx");
  Sequential net{Dense(2, 3), Scale{}, Activate(Relu{})};
  CHECK(message([&] {
          save_onnx(path, net, {1, 2});
        }) ==
        "save_onnx: layer \"1\", Scale, is not one of ramp's. Hint: say what it is in the file: "
        "options.layer<Its type>([](OnnxGraph& graph, auto& layer, const OnnxValue& x) { return "
        "graph.child(\"name\", layer.name, x); }).");
  OnnxExportOptions options;
  options.layer<Scale>([](OnnxGraph& graph, Scale& m, const OnnxValue& x) {
    return graph.node("Mul", {x, graph.constant("factor", m.factor)}, m.forward(x.example));
  });
  CHECK(message([&] {
          save_onnx(path, net, {1, 2}, options);
        }) ==
        "save_onnx: layer \"2\": ramp does not know the activation \"relu\" in ONNX. Hint: "
        "options.activations[\"relu\"] = [](OnnxGraph& graph, const OnnxValue& x) { return "
        "graph.node(..); }.");
  CHECK(!std::filesystem::exists(path));
  options.activations["relu"] = [](OnnxGraph& graph, const OnnxValue& x) {
    const OnnxValue r = graph.node("Relu", {x}, x.example);
    return graph.node("Add", {r, r}, x.example);
  };
  save_onnx(path, net, {1, 2}, options);
  const onnx::File file = read(path);
  REQUIRE(file.nodes.size() == 4);
  CHECK(file.nodes[1].inputs == std::vector<std::string>{"0", "1.factor"});
  CHECK(file.nodes[3].inputs == std::vector<std::string>{"2", "2"});
  CHECK(file.nodes[3].outputs == std::vector<std::string>{"y"});
}

TEST_CASE("what cannot be written") {
  const Scratch folder;
  Sequential net{Dense(2, 3)};
  CHECK(message([&] {
          save_onnx(folder.path("no/a.onnx"), net, {1, 2});
        }).starts_with("save_onnx"));
  CHECK(message([&] { save_onnx(folder.path("a.onnx"), net, {1, 3}); }).starts_with("linear"));
}
