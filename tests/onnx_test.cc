#include "ramp/io/onnx.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "message.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/data/read_file.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/pool.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/sequential.h"
#include "scratch.h"

using namespace ramp;

#ifndef RAMP_PROTOZERO
TEST_CASE("without protozero") {
  const Scratch folder;
  Sequential net{Dense(2, 3)};
  const char* missing =
      "onnx: ramp was built without protozero. Hint: install it (Debian: apt-get install "
      "libprotozero-dev) and build ramp again.";
  CHECK(message([&] { save_onnx(folder.path("a.onnx"), net, {1, 2}); }) == missing);
  CHECK(message([&] { OnnxModel::from_bytes(""); }) == missing);
}
#else

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

namespace {
struct Plain final : ModuleOf<Plain> {
  Dense a{2, 3};
  Tensor forward(const Tensor& x, const Tensor& z) { return a(x + z); }
  void fields(Fields& f) override { f.child("a", a); }
  std::string describe() const override { return "Plain"; }
};
struct Cumulates final : Module {
  Dense a{2, 3}, b{3, 2};
  bool adds = true;
  Tensor forward(const Tensor& x) override { return adds ? relu(b(a(x)) + x) : cumsum(b(a(x)), 1); }
  void fields(Fields& f) override { f.child("a", a).child("b", b); }
  std::string describe() const override { return "Cumulates"; }
};
}  // namespace

TEST_CASE("models that are plain C++: layers and ops are read off a run") {
  const Scratch folder;
  const std::string path = folder.path("a.onnx");
  Cumulates net;
  save_onnx(path, net, {1, 2});
  const onnx::File file = read(path);
  REQUIRE(file.nodes.size() == 4);
  CHECK(file.nodes[1].name == "b");
  CHECK(file.nodes[1].inputs == std::vector<std::string>{"a", "b.weight", "b.bias"});
  CHECK(file.nodes[2].op == "Add");
  CHECK(file.nodes[3].op == "Relu");
  Rng rng(2);
  const Tensor x = rng.normal({5, 2});
  OnnxModel again(path);
  CHECK(max(abs((again(x) - net(x)).detach())).item() < 1e-6);

  Sequential whole{net};
  whole.get<Cumulates>(0).adds = false;
  CHECK(
      message([&] {
        save_onnx(path, whole, {1, 2});
      }) ==
      "save_onnx: layer \"0\", Cumulates: the op cumsum of its forward(), or its options, are not "
      "known in ONNX. Hint: make it a layer that fields() names, or say what Cumulates is: "
      "options.layer<Its type>([](OnnxGraph& graph, auto& layer, const OnnxValue& x) { .. }).");
  struct Branches final : Module {
    Dense a{2, 2};
    Tensor forward(const Tensor& x) override { return x.dim(0) > 2 ? a(x) + x : a(x); }
    void fields(Fields& f) override { f.child("a", a); }
  } branches;
  CHECK(
      message([&] {
        save_onnx(path, branches, {1, 2});
      }).starts_with("save_onnx: the file would give something else than the model for x [3, 2]"));
  Plain two;
  CHECK(
      message([&] {
        save_onnx(path, two, {1, 2});
      }) ==
      "save_onnx: layer \"\", Plain, takes or gives more than one tensor. Hint: say what it is in "
      "the file: options.layer<Its type>([](OnnxGraph& graph, auto& layer, const OnnxValue& x) "
      "{ .. }).");
}

TEST_CASE("what cannot be written") {
  const Scratch folder;
  Sequential net{Dense(2, 3)};
  CHECK(message([&] {
          save_onnx(folder.path("no/a.onnx"), net, {1, 2});
        }).starts_with("save_onnx"));
  CHECK(message([&] { save_onnx(folder.path("a.onnx"), net, {1, 3}); }).starts_with("linear"));
}

// ---- reading ----

namespace {

Sequential small_net() {
  seed_layers(3);
  return Sequential{Conv2d(2, 4, 3, {.padding = kSame, .bias = false}),
                    BatchNorm2d(4, ReLU{}),
                    MaxPool2d(2),
                    Flatten{},
                    Dense(2 * 3 * 4, 5, Tanh{}),
                    Dropout(0.5),
                    Dense(5, 3)};
}
double largest(const Tensor& x) { return max(abs(x.detach())).item(); }

// A graph of nodes over x [n, 4], whose result is y.
std::string graph(std::vector<onnx::Node> nodes, std::vector<onnx::Constant> constants = {},
                  int64_t opset = 20) {
  onnx::File file;
  file.opset = opset;
  file.nodes = std::move(nodes);
  file.constants = std::move(constants);
  file.inputs = {{"x", onnx::kFloat, true, {-1, 4}, {"n", ""}}};
  file.outputs = {{"y", onnx::kFloat, true, {-1, -1}, {"n", "m"}}};
  return onnx::encode(file);
}
onnx::Node node(const std::string& op, std::vector<std::string> in, std::vector<std::string> out,
                std::vector<onnx::Attribute> attributes = {}) {
  return {"it", op, "", std::move(in), std::move(out), std::move(attributes)};
}
std::string error_of(const std::string& bytes) {
  return message([&] { OnnxModel::from_bytes(bytes, "a.onnx"); });
}

}  // namespace

TEST_CASE("a file that ramp wrote is a module that computes the same, in f32 and f64") {
  const Scratch folder;
  const std::string path = folder.path("a.onnx");
  Sequential net = small_net();
  Rng rng(1);
  const Tensor x = rng.normal({6, 4, 6, 2});
  for (int i = 0; i < 5; ++i) net(x);  // running statistics
  save_onnx(path, net, {1, 4, 6, 2});
  net.eval();
  OnnxModel model(path);
  model.eval();
  CHECK(largest(model(x) - net(x)) < 1e-6);
  CHECK(model.inputs() == std::vector<std::string>{"x"});
  CHECK(model.outputs() == std::vector<std::string>{"y"});
  CHECK(message([&] {
          model(rng.normal({6, 4, 5, 2}));
        }) ==
        "OnnxModel: input \"x\" is [n, 2, 4, 6] in the file, so [n, 4, 6, 2] here (channels last); "
        "got [6, 4, 5, 2].");

  const auto parameters = model.named_parameters();
  REQUIRE(parameters.size() == 7);
  CHECK(parameters[0].name == "0.weight");
  CHECK(parameters[0].tensor.shape() == Shape{3, 3, 2, 4});
  CHECK(!parameters[1].decays);
  CHECK(model.named_buffers().size() == 2);

  model.to(f64);
  net.to(f64);
  CHECK(largest(model(x.to(f64)) - net(x.to(f64))) < 1e-12);
  save_onnx(path, net, {1, 4, 6, 2});
  OnnxModel wide(path);
  wide.eval();
  CHECK(largest(wide(x.to(f64)) - net(x.to(f64))) < 1e-12);
}

TEST_CASE("a module as all others: it trains, is frozen, copied, saved and loaded") {
  const Scratch folder;
  const std::string path = folder.path("a.onnx");
  Sequential net = small_net();
  save_onnx(path, net, {1, 4, 6, 2});
  OnnxModel model(path);
  const OnnxModel before = model;
  Rng rng(1);
  const Tensor x = rng.normal({16, 4, 6, 2}), target = rng.normal({16, 3});
  const Tensor y = model(x);
  sum(y * target).backward();
  for (const NamedTensor& p : model.named_parameters()) {
    CAPTURE(p.name);
    REQUIRE(p.tensor.grad().defined());
    CHECK(largest(p.tensor.grad()) > 0);
  }
  CHECK(largest(model.named_buffers()[0].tensor) > 0);  // batch norm moved them
  CHECK(largest(OnnxModel(before).named_buffers()[0].tensor) == 0);
  {
    const NoGrad no_grad;
    for (Tensor& p : model.parameters()) p.add_(p.grad(), -0.1);
  }
  OnnxModel copy = before;
  model.eval();
  copy.eval();
  CHECK(largest(model(x) - copy(x)) > 1e-3);
  copy.load_state(model.state());
  CHECK(largest(model(x) - copy(x)) == 0);
  model.freeze();
  CHECK(!model(x).requires_grad());

  // As a part of another model.
  Sequential whole{OnnxModel(path), Dense(3, 2)};
  CHECK(whole.named_parameters()[0].name == "0.0.weight");
  CHECK(whole(x).shape() == Shape{16, 2});
}

TEST_CASE("its gradients are those of the model that was written") {
  const Scratch folder;
  const std::string path = folder.path("a.onnx");
  seed_layers(4);
  Sequential net{Conv2d(2, 4, 3, {.padding = kSame, .bias = false}),
                 BatchNorm2d(4, GELU{}),
                 AvgPool2d(2),
                 ConvTranspose2d(4, 2, 3, Mish{}, {.stride = 2}),
                 PReLU(2),
                 GlobalAvgPool{},
                 Dense(2, 3)};
  net.to(f64);
  save_onnx(path, net, {1, 4, 6, 2});
  OnnxModel model(path);
  Rng rng(1);
  const Tensor x = rng.normal({5, 4, 6, 2}).to(f64), dy = rng.normal({5, 3}).to(f64);
  sum(net(x) * dy).backward();
  sum(model(x) * dy).backward();
  const auto a = net.named_parameters(), b = model.named_parameters();
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i].name);
    REQUIRE(a[i].name == b[i].name);
    const Tensor want = a[i].tensor.grad();
    CHECK(largest(want) > 1e-6);
    CHECK(largest(want - reshape(b[i].tensor.grad(), {want.shape().begin(), want.shape().end()})) <
          1e-8);
  }
}

TEST_CASE("running statistics are each layer's own, where a file has one tensor for several") {
  onnx::File file;
  const std::vector<std::string> names{"w", "b", "m", "v"};
  std::vector<std::string> first{"x", "w", "m", "m", "w"}, second{"h", "w", "m", "m", "w"};
  file.nodes = {{"bn1", "BatchNormalization", "", first, {"h"}, {}},
                {"bn2", "BatchNormalization", "", second, {"y"}, {}}};
  file.constants = {{"w", Tensor::ones({4})}, {"m", Tensor::zeros({4})}};
  file.inputs = {{"x", onnx::kFloat, true, {-1, 4}, {"n", ""}}};
  file.outputs = {{"y", onnx::kFloat, true, {-1, 4}, {"n", ""}}};
  OnnxModel model = OnnxModel::from_bytes(onnx::encode(file));
  CHECK(model.parameters().size() == 2);
  REQUIRE(model.named_buffers().size() == 4);
  CHECK(model.named_buffers()[3].name == "bn2.running_var");
  Rng rng(1);
  model(rng.normal({32, 4}) + 3.0);
  CHECK(largest(model.named_buffers()[0].tensor) > 0.2);
  CHECK(largest(model.named_buffers()[2].tensor) < 1e-6);
  CHECK(largest(model.named_parameters()[1].tensor) == 0);
}

TEST_CASE("what is not supported is refused by name") {
  CHECK(error_of(graph({node("Einsum", {"x"}, {"y"})})) ==
        "load_onnx: a.onnx: node \"it\" (Einsum, opset 20): this op is not supported.");
  CHECK(error_of(graph({node("Relu", {"x"}, {"y"}, {{"slope", 0.5}})})) ==
        "load_onnx: a.onnx: node \"it\" (Relu, opset 20): attribute slope is not supported.");
  CHECK(
      error_of(graph({node("Gelu", {"x"}, {"y"}, {{"approximate", "fast"}})})) ==
      "load_onnx: a.onnx: node \"it\" (Gelu, opset 20): approximate = \"fast\" is not supported.");
  CHECK(error_of(graph({node("Gelu", {"x"}, {"y"}, {{"approximate", 1}})})) ==
        "load_onnx: a.onnx: node \"it\" (Gelu, opset 20): attribute approximate of kind 2 is not "
        "supported.");
  CHECK(error_of(graph({node("Gelu", {"x"}, {"y"})}, {}, 19)) ==
        "load_onnx: a.onnx: node \"it\" (Gelu, opset 19): this op in this opset is not supported.");
  CHECK(error_of(graph({node("Relu", {"x", "x"}, {"y"})})) ==
        "load_onnx: a.onnx: node \"it\" (Relu, opset 20): a number of 2 inputs is not supported.");
  CHECK(
      error_of(graph({node("Dropout", {"x"}, {"m", "y"})})) ==
      "load_onnx: a.onnx: node \"it\" (Dropout, opset 20): its output 1 (\"y\") is not supported.");
  CHECK(error_of(graph({node("Relu", {"x"}, {"y"})}, {}, 99)) ==
        "load_onnx: a.onnx: opset 99 is not supported (6 to 28 are).");
  // And when it runs.
  OnnxModel ints = OnnxModel::from_bytes(
      graph({node("Cast", {"x"}, {"i"}, {{"to", onnx::kInt32}}), node("Add", {"i", "i"}, {"y"})}));
  CHECK(message([&] {
          ints(Tensor::zeros({1, 4}));
        }) == "it (Add): arithmetic of int32 is not supported.");
}

TEST_CASE("graphs that are none") {
  CHECK(error_of(graph({node("Relu", {"z"}, {"y"})})) ==
        "load_onnx: a.onnx: node \"it\" (Relu) reads \"z\", which no node before it makes.");
  CHECK(error_of(graph({node("Add", {"x", "b"}, {"a"}), node("Relu", {"a"}, {"b"}),
                        node("Relu", {"b"}, {"y"})})) ==
        "load_onnx: a.onnx: node \"it\" (Add) reads \"b\", which no node before it makes.");
  CHECK(error_of(graph({node("Relu", {"x"}, {"h"})})) ==
        "load_onnx: a.onnx: its result \"y\" is made by no node.");
  CHECK(error_of(graph({node("Relu", {"x"}, {"y"}), node("Tanh", {"x"}, {"y"})})) ==
        "load_onnx: a.onnx: \"y\" is made twice.");
  CHECK(error_of(
            graph({node("Conv", {"x", "w"}, {"y"}, {{"pads", std::vector<int64_t>{1, -1, 0, 0}}})},
                  {{"w", Tensor::zeros({1, 4, 1, 1})}})) ==
        "load_onnx: a.onnx: node \"it\" (Conv, opset 20): pads = [1, -1, 0, 0] is not supported.");
}

TEST_CASE("nodes that are larger than any op") {
  CHECK(error_of(graph({node("Sum", std::vector<std::string>(5000, "x"), {"y"})})) ==
        "load_onnx: a.onnx: a node has more than 4096 inputs or outputs, or 64 attributes.");
  CHECK(error_of(graph({node("", {"x"}, {"y"})})) == "load_onnx: a.onnx: node \"it\" has no op.");
}

TEST_CASE("damaged files: an error or a model, whatever is cut off or changed") {
  const Scratch folder;
  const std::string path = folder.path("a.onnx");
  Sequential net{Conv2d(1, 2, 2), ReLU{}, Flatten{}, Dense(8, 2)};
  save_onnx(path, net, {1, 3, 3, 1});
  const std::string bytes = read_file(path);
  int refused = 0, all = 0;
  const auto try_it = [&](const std::string& damaged) {
    ++all;
    try {
      OnnxModel::from_bytes(damaged);
    } catch (const Error& error) {
      CHECK(std::string(error.what()).starts_with("load_onnx: model: "));
      ++refused;
    }
  };
  for (size_t n = 0; n < bytes.size(); ++n) try_it(bytes.substr(0, n));
  CHECK(refused > all * 9 / 10);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int change : {0x01, 0x04, 0x80, 0xff}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ change);
      try_it(damaged);
    }
  }
  CHECK(message([&] { OnnxModel("no.onnx"); }).starts_with("load_onnx"));
}

TEST_CASE("tensors: types, lengths, data elsewhere") {
  const auto tensor = [](const std::string& fields) {
    // ModelProto { ir_version: 9, opset_import { version: 20 }, graph { initializer { fields } } }
    const auto part = [](char tag, const std::string& body) {
      return std::string(1, tag) + static_cast<char>(body.size()) + body;
    };
    return error_of("\x08\x09" + part(0x42, "\x10\x14") + part(0x3a, part(0x2a, fields)));
  };
  const std::string w = "\x42\x01w", floats = "\x10\x01", two = "\x08\x02";
  CHECK(tensor(two + floats + w + std::string("\x4a\x04\0\0\0\0", 6)) ==
        "load_onnx: a.onnx: tensor \"w\" of shape [2] has data of 1 values.");
  CHECK(tensor(two + "\x10\x08" + w) ==
        "load_onnx: a.onnx: tensor \"w\" is of string, which ramp does not read.");
  CHECK(tensor(two + floats + w + "\x70\x01")
            .starts_with("load_onnx: a.onnx: tensor \"w\" has its data in another file"));
  // 2^62 values by 2^62, and -1
  const std::string huge = "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x40";
  CHECK(tensor(huge + huge + floats + w).starts_with("load_onnx: a.onnx: "));
  CHECK(tensor(huge + floats + w).starts_with("load_onnx: a.onnx: "));
  CHECK(tensor("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + floats + w)
            .starts_with("load_onnx: a.onnx: "));
  CHECK(error_of("") == "load_onnx: a.onnx: it is not an ONNX model.");
  CHECK(error_of("hello, world").starts_with("load_onnx: a.onnx: "));
}
#endif
