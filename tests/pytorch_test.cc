#include "ramp/io/pytorch.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/io/safetensors.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/embedding.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/pool.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/sequential.h"
#include "scratch.h"

using namespace ramp;

namespace {

// ---- the nets of fixtures/make_pytorch_weights.py, small and in full size ----

struct Size {
  int64_t c, side, f1, f2, out;  // channels (or blocks' c), image, dense layers
};

Sequential mlp(Size s) {
  Sequential net{Flatten{}, Dense(s.c * s.side * s.side, s.f1, ReLU{}), Dense(s.f1, s.f2, ReLU{})};
  if (s.out == 3) net.add(Dense(16, 16, ReLU{}));
  return net.append(Sequential{Dense(s.f2, s.out)});
}

// In plain C++: no module says that the image is flattened.
struct LeNet final : Module {
  Conv2d conv1, conv2;
  Dense fc1, fc2, fc3;

  LeNet(Size s, int64_t c2)
      : conv1(1, s.c, 5, ReLU{}, {.padding = 2}),
        conv2(s.c, c2, 5, ReLU{}),
        fc1(c2 * (s.side / 2 - 4) * (s.side / 2 - 4) / 4, s.f1, ReLU{}),
        fc2(s.f1, s.f2, ReLU{}),
        fc3(s.f2, s.out) {}
  Tensor forward(const Tensor& x) override {
    const Tensor y = max_pool2d(conv2(max_pool2d(conv1(x), 2)), 2);
    return fc3(fc2(fc1(y.view({y.dim(0), y.numel() / y.dim(0)}))));
  }
  void fields(Fields& f) override {
    f.child("conv1", conv1).child("conv2", conv2);
    f.child("fc1", fc1).child("fc2", fc2).child("fc3", fc3);
  }
};

// The same with its layers in a row: other names.
Sequential lenet_in_a_row(Size s, int64_t c2) {
  return Sequential{Conv2d(1, s.c, 5, ReLU{}, {.padding = 2}),
                    MaxPool2d(2),
                    Conv2d(s.c, c2, 5, ReLU{}),
                    MaxPool2d(2),
                    Flatten{},
                    Dense(c2 * (s.side / 2 - 4) * (s.side / 2 - 4) / 4, s.f1, ReLU{}),
                    Dense(s.f1, s.f2, ReLU{}),
                    Dense(s.f2, s.out)};
}

Sequential bn_cnn(int64_t c) {
  return Sequential{Conv2d(1, c, 3, {.padding = 1}),
                    BatchNorm2d(c, ReLU{}),
                    Conv2d(c, 2 * c, 3, {.padding = 1}),
                    BatchNorm2d(2 * c, ReLU{}),
                    MaxPool2d(2),
                    Conv2d(2 * c, 4 * c, 3, {.padding = 1}),
                    BatchNorm2d(4 * c, ReLU{}),
                    MaxPool2d(2),
                    GlobalAvgPool{},
                    Dense(4 * c, 10)};
}

struct Block final : Module {
  Sequential body, shortcut;

  Block(int64_t c, int64_t k, int64_t stride)
      : body(Conv2d(c, k, 3, {.stride = stride, .padding = 1, .bias = false}),
             BatchNorm2d(k, ReLU{}), Conv2d(k, k, 3, {.padding = 1, .bias = false}),
             BatchNorm2d(k)) {
    if (c == k) return;
    shortcut.add(Conv2d(c, k, 1, {.stride = stride, .bias = false})).add(BatchNorm2d(k));
  }
  Tensor forward(const Tensor& x) override { return relu(body(x) + shortcut(x)); }
  void fields(Fields& f) override { f.child("body", body).child("shortcut", shortcut); }
};

Sequential resnet(int64_t c, int blocks) {
  Sequential net{Conv2d(3, c, 3, {.padding = 1, .bias = false}), BatchNorm2d(c, ReLU{})};
  int64_t last = c;
  for (const int64_t k : {c, 2 * c, 4 * c}) {
    for (int i = 0; i < blocks; ++i) {
      net.add(Block(last, k, last == k ? 1 : 2));
      last = k;
    }
  }
  return net.append(Sequential{GlobalAvgPool{}, Dense(last, 10)});
}

Sequential autoencoder(Size s) {
  const int64_t side = s.side / 4, c = s.c;
  return Sequential{
      Sequential{Conv2d(1, c, 3, ReLU{}, {.stride = 2, .padding = 1}),
                 Conv2d(c, 2 * c, 3, ReLU{}, {.stride = 2, .padding = 1}), Flatten{},
                 Dense(side * side * 2 * c, s.f1)},
      Sequential{Dense(s.f1, side * side * 2 * c, ReLU{}), Reshape({side, side, 2 * c}),
                 ConvTranspose2d(2 * c, c, 4, ReLU{}, {.stride = 2, .padding = 1}),
                 ConvTranspose2d(c, 1, 4, Sigmoid{}, {.stride = 2, .padding = 1})}};
}

Sequential groups() {
  return Sequential{Conv2d(2, 4, {3, 2}, {.bias = false}),
                    GroupNorm(2, 4),
                    PReLU(4),
                    Conv2d(4, 4, 3, {.groups = 4}),
                    PReLU(),
                    Conv2d(4, 4, 1, {.groups = 2}),
                    ConvTranspose2d(4, 6, {2, 3}, {.stride = 2, .groups = 2}),
                    Flatten{},
                    BatchNorm1d(60),
                    PReLU(60),
                    Dense(60, 8),
                    LayerNorm(8),
                    Dense(8, 8)};
}

Sequential signals() {
  return Sequential{Conv1d(3, 4, 3, {.padding = 1}),
                    BatchNorm1d(4),
                    PReLU(4),
                    ConvTranspose1d(4, 2, 2, {.stride = 2}),
                    Flatten{},
                    Dense(24, 8),
                    Dense(8, 12),
                    BatchNorm1d(12),
                    Reshape({4, 3}),
                    ReLU{},
                    Conv1d(3, 2, 3, {.bias = false})};
}

// ---- what is asked of each ----

std::string weights(const std::string& name) {
  return fmt::format("{}/pytorch_{}.safetensors", RAMP_FIXTURES_DIR, name);
}
Fixture example(const std::string& name) {
  for (const Fixture& f : read_fixtures("pytorch_weights"))
    if (f.name == name) return f;
  fail("no fixture {}", name);
}
Shape one(const Tensor& x) { return x.rows(0, 1).shape(); }
Tensor predict(Module& net, const Tensor& x) {
  const NoGrad no_grad;
  const EvalMode eval;
  return net(x);
}
// All but the counters, which no one reads.
void check_equal(const std::string& a, const std::string& b) {
  const TensorFile x = load_safetensors(a, {.any_format = true});
  const TensorFile y = load_safetensors(b, {.any_format = true});
  CHECK(x.size() == y.size());
  for (const NamedTensor& t : x) {
    INFO(t.name);
    REQUIRE(y.contains(t.name));
    CHECK(y[t.name].shape() == t.tensor.shape());
    if (!t.name.ends_with("num_batches_tracked")) CHECK(y[t.name].values() == t.tensor.values());
  }
}

// There: the same numbers come out. Back: the same file.
void check_both_ways(const std::string& name, Module& net, PyTorchOptions options = {}) {
  INFO(name);
  const Scratch folder;
  const Fixture f = example(name);
  options.input = one(f.tensor("x"));
  for (const Tensor& p : net.parameters()) CHECK(p.requires_grad());
  CHECK(load_pytorch(net, weights(name), options).empty());
  check_close(predict(net, f.tensor("x")), f.tensor("y"), 1e-5);
  options.like = weights(name);
  save_pytorch(net, folder.path("back"), options);
  check_equal(weights(name), folder.path("back"));
}

constexpr Size kMlp{2, 4, 16, 16, 3}, kLeNet{2, 16, 8, 8, 10}, kAutoEncoder{3, 8, 4, 0, 0};

}  // namespace

TEST_CASE("an MLP with square matrices, behind an image of two channels") {
  Sequential net = mlp(kMlp);
  check_both_ways("mlp", net);
}

TEST_CASE("LeNet, in plain C++ and in a row") {
  LeNet named(kLeNet, 3);
  check_both_ways("lenet", named);
  Sequential row = lenet_in_a_row(kLeNet, 3);
  check_both_ways("lenet", row);
  // Frozen, it is the same.
  row.freeze();
  load_pytorch(row, weights("lenet"), {.input = {1, 16, 16, 1}});
  check_close(predict(row, example("lenet").tensor("x")), example("lenet").tensor("y"), 1e-5);
  CHECK(!row.parameters()[0].requires_grad());
}

TEST_CASE("convolutions with batch norm: no input is needed where nothing is flattened") {
  Sequential net = bn_cnn(2);
  check_both_ways("bn_cnn", net);
  Sequential again = bn_cnn(2);
  load_pytorch(again, weights("bn_cnn"));
  CHECK(again.state()[0].tensor.values() == net.state()[0].tensor.values());
}

TEST_CASE("a ResNet") {
  Sequential net = resnet(2, 1);
  check_both_ways("resnet", net);
}

TEST_CASE("an auto-encoder: the Dense before Reshape is turned too") {
  Sequential net = autoencoder(kAutoEncoder);
  check_both_ways("autoencoder", net);
}

TEST_CASE("groups, depthwise, PReLU, norms, behind Flatten too; signals") {
  Sequential net = groups();
  check_both_ways("groups", net);
  Sequential line = signals();
  check_both_ways("signals", line);
}

TEST_CASE("names by rules, and another's names") {
  const Scratch folder;
  const Fixture f = example("autoencoder");
  const Shape input = one(f.tensor("x"));
  Sequential net = autoencoder(kAutoEncoder);
  load_pytorch(net, weights("autoencoder"),
               {.input = input,
                .names = {{"^encoder\\.0", "0.0"},
                          {"^encoder\\.2", "0.1"},
                          {"^encoder\\.5", "0.3"},
                          {"^decoder\\.0", "1.0"},
                          {"^decoder\\.3", "1.2"},
                          {"^decoder\\.5", "1.3"}}});
  check_close(predict(net, f.tensor("x")), f.tensor("y"), 1e-5);
  save_pytorch(net, folder.path("named"),
               {.input = input, .names = {{"^0\\.(\\d)", "encoder.layer$1"}, {"^1", "decoder"}}});
  const TensorFile file = load_safetensors(folder.path("named"), {.any_format = true});
  CHECK(file.metadata() == Metadata{{"format", "pt"}});
  CHECK(file.contains("encoder.layer3.weight"));
  CHECK(file["encoder.layer3.weight"].shape() == Shape{4, 24});
  CHECK(file["decoder.2.weight"].shape() == Shape{6, 3, 4, 4});
  CHECK(message([&] {
          load_pytorch(net, weights("autoencoder"), {.input = input, .names = {{"(", "x"}}});
        }).find("\"(\" is no regular expression") != std::string::npos);
  CHECK(message([&] {
          load_pytorch(net, weights("autoencoder"), {.input = input, .names = {{".*", "x"}}});
        }).find("two tensors are \"x\"") != std::string::npos);
}

TEST_CASE("our own names, and the counters of BatchNorm") {
  const Scratch folder;
  Sequential net = bn_cnn(2);
  save_pytorch(net, folder.path("a"));
  const TensorFile file = load_safetensors(folder.path("a"), {.any_format = true});
  CHECK(file.size() == 23);
  CHECK(file["1.num_batches_tracked"].dtype() == i64);
  CHECK(file["1.num_batches_tracked"].rank() == 0);
  CHECK(file["0.weight"].shape() == Shape{2, 1, 3, 3});
  Sequential again = bn_cnn(2);
  load_pytorch(again, folder.path("a"));
  for (size_t i = 0; i < net.state().size(); ++i)
    CHECK(again.state()[i].tensor.values() == net.state()[i].tensor.values());
  Dense single(2, 3);  // a model that is one layer
  save_pytorch(single, folder.path("b"));
  CHECK(load_safetensors(folder.path("b"), {.any_format = true})["weight"].shape() == Shape{3, 2});
}

TEST_CASE("what does not fit is named with both names and shapes, and nothing changes") {
  Sequential net = lenet_in_a_row({2, 16, 9, 8, 10}, 3);
  const std::vector<double> before = net.parameters()[0].values();
  const PyTorchOptions options{.input = {1, 16, 16, 1}};
  const std::string text = message([&] { load_pytorch(net, weights("lenet"), options); });
  CHECK(text ==
        fmt::format("load_pytorch: {} must fit the model; the model has \"6.bias\" [8], "
                    "\"6.weight\" [9, 8] (PyTorch's [8, 9]), \"5.bias\" [9], \"5.weight\" [12, 9] "
                    "(PyTorch's [9, 12]); the file has \"fc1.bias\" [8], \"fc1.weight\" [8, 12], "
                    "\"fc2.bias\" [8], \"fc2.weight\" [8, 8] instead. Hint: is it the same "
                    "architecture? .names leaves tensors out: {{{{\"^head\", \"\"}}}}; .strict = "
                    "false all that do not fit.",
                    weights("lenet")));
  CHECK(net.parameters()[0].values() == before);
  PyTorchOptions loose = options;
  loose.strict = false;
  CHECK(load_pytorch(net, weights("lenet"), loose).size() == 1);
  CHECK(net.parameters()[0].values() != before);

  LeNet named({2, 16, 9, 8, 10}, 3);
  CHECK(message([&] { load_pytorch(named, weights("lenet"), options); }) ==
        fmt::format("load_pytorch: {} must fit the model; \"fc1.weight\" [12, 9] (PyTorch's [9, "
                    "12]) is not of \"fc1.weight\" [8, 12]; \"fc1.bias\" [9] is not of "
                    "\"fc1.bias\" [8]; \"fc2.weight\" [9, 8] (PyTorch's [8, 9]) is not of "
                    "\"fc2.weight\" [8, 8]. Hint: is it the same architecture? .names "
                    "leaves tensors out: {{{{\"^head\", \"\"}}}}; .strict = false all that do not "
                    "fit.",
                    weights("lenet")));
  loose.names = {{"", "$&"}};  // by name
  CHECK(load_pytorch(named, weights("lenet"), loose).size() == 3);
  loose.names = {{"^conv1", "conv0"}, {"^fc", "fc"}};
  CHECK(load_pytorch(named, weights("lenet"), loose).size() == 7);  // conv1 is missing, conv0 extra
}

TEST_CASE("layers that could be exchanged are refused") {
  const Scratch folder;
  Sequential net{Dense(4, 4), Dense(4, 4)};
  const auto save = [&](const std::string& a, const std::string& b) {
    save_safetensors(folder.path("x"),
                     {{a + ".weight", Tensor::full({4, 4}, 1)},
                      {a + ".bias", Tensor::full({4}, 1)},
                      {b + ".weight", Tensor::full({4, 4}, 2)},
                      {b + ".bias", Tensor::full({4}, 2)}},
                     {{"format", "pt"}});
  };
  save("encoder.0", "decoder.0");
  CHECK(
      message([&] { load_pytorch(net, folder.path("x")); }) ==
      "load_pytorch: the layers \"decoder.0\", \"encoder.0\" have the same shapes, so their names "
      "must say which is which; the model has \"0\" and others. Hint: .names = "
      "{{\"^decoder.0\", \"0\"}, ..}.");
  load_pytorch(net, folder.path("x"), {.names = {{"^enc.*r\\.0", "0"}, {"^dec.*r\\.0", "1"}}});
  CHECK(net.get<Dense>(0).bias.at({0}) == 1);
  save("layer10", "layer9");  // numbers count as numbers
  load_pytorch(net, folder.path("x"));
  CHECK(net.get<Dense>(0).bias.at({0}) == 2);
}

TEST_CASE("where features are is never guessed") {
  const PyTorchOptions none;
  Sequential net = lenet_in_a_row(kLeNet, 3);
  CHECK(
      message([&] { load_pytorch(net, weights("lenet")); }) ==
      "load_pytorch: a model with Dense layers and Flatten must be run once, for PyTorch flattens "
      "an image in another order. Hint: {.input = {1, 28, 28, 1}}, the shape of an input.");
  CHECK(message([&] {
          load_pytorch(net, weights("lenet"), {.input = {1, 16, 16, 2}});
        }).find("0: conv2d") != std::string::npos);
  // Pixels of an image are mixed with others before the Dense.
  struct Mixed final : Module {
    Dense head{12, 2};
    Tensor forward(const Tensor& x) override {
      const Tensor y = flatten(x);
      return head(concat({y, y * 2}, 1));
    }
    void fields(Fields& f) override { f.child("head", head); }
  } mixed;
  const Scratch folder;
  save_safetensors(
      folder.path("x"),
      {{"head.weight", Tensor::arange(24, f32).view({2, 12})}, {"head.bias", Tensor::zeros({2})}},
      {{"format", "pt"}});
  CHECK(message([&] {
          load_pytorch(mixed, folder.path("x"), {.input = {1, 1, 3, 2}});
        }) ==
        "load_pytorch: the run of .input must show which image is flattened in front of \"head\", "
        "Dense(12, 2); it does not: what it gets has been reordered on the way. Hint: .flattened = "
        "{{\"head\", channels of that image, or 0}}.");
  load_pytorch(mixed, folder.path("x"), {.input = {1, 1, 3, 2}, .flattened = {{"head", 0}}});
  CHECK(mixed.head.weight.at({1, 0}) == 1);
  load_pytorch(mixed, folder.path("x"), {.input = {1, 1, 3, 2}, .flattened = {{"head", 2}}});
  CHECK(mixed.head.weight.at({1, 0}) == 6);
  CHECK(
      message([&] {
        load_pytorch(mixed, folder.path("x"), {.input = {1, 1, 3, 2}, .flattened = {{"head", 5}}});
      }).find("for no image of 5 channels") != std::string::npos);
  // Neither what is mixed by a parameter, frozen or not.
  struct Scaled final : Module {
    Parameter scale = Tensor::ones({12});
    Dense head{12, 2};
    Tensor forward(const Tensor& x) override { return head(flatten(x) * scale); }
    void fields(Fields& f) override { f.param("scale", scale).child("head", head); }
  } scaled;
  for (const bool freeze : {false, true}) {
    scaled.freeze(freeze);
    CHECK(message([&] {
            load_pytorch(scaled, folder.path("x"), {.input = {1, 2, 3, 2}});
          }).find("in front of \"head\"") != std::string::npos);
    CHECK(scaled.scale.requires_grad() != freeze);
  }
  // A flattened signal is not told from a sequence; one that went through a convolution is.
  Sequential sequence{Flatten{}, Dense(12, 2)};
  CHECK(message([&] {
          load_pytorch(sequence, folder.path("x"), {.input = {1, 6, 2}});
        }).find("in front of \"1\"") != std::string::npos);
  // What is never called.
  struct Idle final : Module {
    Dense head{12, 2};
    Tensor forward(const Tensor& x) override { return x; }
    void fields(Fields& f) override { f.child("head", head); }
  } idle;
  CHECK(message([&] {
          load_pytorch(idle, folder.path("x"), {.input = {1, 12}});
        }).find("it is not called") != std::string::npos);
}

TEST_CASE("in PyTorch's order already; any inputs") {
  const Scratch folder;
  save_safetensors(
      folder.path("x"),
      {{"1.weight", Tensor::arange(24, f32).view({2, 12})}, {"1.bias", Tensor::zeros({2})}},
      {{"format", "pt"}});
  Sequential first{Flatten({.channels_first = true}), Dense(12, 2)};
  load_pytorch(first, folder.path("x"), {.input = {1, 2, 3, 2}});
  CHECK(first.get<Dense>(1).weight.at({1, 0}) == 1);
  struct Two final : ModuleOf<Two> {
    Flatten flat;
    Dense one{12, 2};
    Tensor forward(const Tensor& image, const Tensor& scale) { return one(flat(image)) * scale; }
    void fields(Fields& f) override { f.child("0", flat).child("1", one); }
  } two;
  CHECK(message([&] {
          load_pytorch(two, folder.path("x"), {.input = {1, 2, 3, 2}});
        }).find("Hint: .forward") != std::string::npos);
  load_pytorch(two, folder.path("x"), {.forward = [&] {
                 two(Tensor::zeros({1, 2, 3, 2}).requires_grad_(), Tensor::ones({1}));
               }});
  CHECK(two.one.weight.at({1, 0}) == 6);
  CHECK(live_nodes() == 4);  // the leaves
}

TEST_CASE("embeddings lie as in PyTorch, and so do their features when they are flattened") {
  struct Words final : ModuleOf<Words> {
    Embedding table{5, 4};
    Dense head{8, 2};
    Tensor forward(const Tensor& ids) { return head(flatten(table(ids))); }
    void fields(Fields& f) override { f.child("table", table).child("head", head); }
  } words;
  const Scratch folder;
  save_safetensors(folder.path("x"),
                   {{"emb.weight", Tensor::arange(20, f32).view({5, 4})},
                    {"fc.weight", Tensor::arange(16, f32).view({2, 8})},
                    {"fc.bias", Tensor::zeros({2})}},
                   {{"format", "pt"}});
  load_pytorch(words, folder.path("x"), {.forward = [&] { words(Tensor::zeros({1, 2}, i64)); }});
  CHECK(words.table.weight.at({1, 2}) == 6);
  CHECK(words.head.weight.at({5, 0}) == 5);
  CHECK(words.head.weight.at({5, 1}) == 13);
  Sequential bag{EmbeddingBag(5, 4), Dense(4, 8)};  // no run is needed
  save_pytorch(bag, folder.path("y"));
}

TEST_CASE("a model in several files") {
  const Scratch folder;
  const auto one = [](const char* name, double v) {
    return std::vector<NamedTensor>{{fmt::format("{}.weight", name), Tensor::full({2, 2}, v)},
                                    {fmt::format("{}.bias", name), Tensor::zeros({2})}};
  };
  save_safetensors(folder.path("net-1.safetensors"), one("0", 1), {{"format", "pt"}});
  save_safetensors(folder.path("net-2.safetensors"), one("2", 2), {{"format", "pt"}});
  const std::string index = folder.path("net.safetensors.index.json");
  std::ofstream(index) << R"({"weight_map": {"0.weight": "net-1.safetensors",)"
                       << R"("0.bias": "net-1.safetensors", "2.weight": "net-2.safetensors",)"
                       << R"("2.bias": "net-2.safetensors"}})";
  Sequential net{Dense(2, 2, ReLU{}), Dense(2, 2)};
  CHECK(load_pytorch(net, index).empty());
  CHECK(net(Tensor::ones({1, 2})).values() == std::vector<double>{8, 8});
}

TEST_CASE("files that are something else") {
  const Scratch folder;
  Sequential net{Dense(2, 3)};
  save_model(folder.path("own"), net);
  CHECK(message([&] { load_pytorch(net, folder.path("own")); }).find("Hint: load_model()") !=
        std::string::npos);
  std::ofstream(folder.path("w.pt"), std::ios::binary) << "PK\3\4....";
  CHECK(message([&] { load_pytorch(net, folder.path("w.pt")); }) ==
        fmt::format("load_safetensors: {0}.pt must be a safetensors file; it is one of torch.save. "
                    "Hint: safetensors.torch.save_file(net.state_dict(), \"{0}.safetensors\") in "
                    "Python.",
                    folder.path("w")));
  CHECK(message([&] { save_pytorch(net, "w.pth"); }) ==
        "save_pytorch: w.pth would be a safetensors file, which torch.load() does not read. Hint: "
        "name it w.safetensors; net.load_state_dict(safetensors.torch.load_file(path)) in Python.");
  // A header of 128 bytes begins as a pickle does.
  std::string name = "0.bias";
  for (size_t length = 0; length % 256 != 128; name += "x") {
    save_safetensors(folder.path("128"), {{name, Tensor::zeros({3})}}, {{"format", "pt"}});
    length = read_all(folder.path("128"))[0];
  }
  CHECK(message([&] { load_pytorch(net, folder.path("128")); }).find("must fit the model") !=
        std::string::npos);
  CHECK(message([&] { load_pytorch(net, folder.path("none")); }).find("cannot open") !=
        std::string::npos);
  save_safetensors(folder.path("ints"),
                   {{"0.weight", Tensor::zeros({3, 2}, i64)}, {"0.bias", Tensor::zeros({3})}},
                   {{"format", "pt"}});
  CHECK(message([&] { load_pytorch(net, folder.path("ints")); }).find("f32 and \"0.weight\" i64") !=
        std::string::npos);
  save_safetensors(folder.path("long"), {{std::string(100'000, 'a'), Tensor::zeros({1})}},
                   {{"format", "pt"}});
  CHECK(message([&] {
          load_pytorch(net, folder.path("long"), {.names = {{".*b", "c"}}});
        }).find("one of 100000 characters") != std::string::npos);
  net.to(f64);  // dtypes are converted
  save_safetensors(folder.path("f32"),
                   {{"a.weight", Tensor::ones({3, 2})}, {"a.bias", Tensor::zeros({3})}},
                   {{"format", "pt"}});
  load_pytorch(net, folder.path("f32"));
  CHECK(net.parameters()[0].dtype() == f64);
  CHECK(net.parameters()[0].at({1, 2}) == 1);
}

// For pytorch_judge.py: nets in full size.
TEST_CASE("judge") {
  const char* at = std::getenv("RAMP_PYTORCH_JUDGE");
  if (!at) return;
  const std::string folder = at;
  const auto run = [&](const std::string& name, Module& net) {
    const TensorFile f =
        load_safetensors(folder + "/" + name + "_example.safetensors", {.any_format = true});
    PyTorchOptions options{.input = one(f["x"])};
    const std::string path = folder + "/pytorch_" + name + ".safetensors";
    load_pytorch(net, path, options);
    const std::vector<double> y = predict(net, f["x"]).values(), expected = f["y"].values();
    double worst = 0, size = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      worst = std::max(worst, std::fabs(y[i] - expected[i]));
      size = std::max(size, std::fabs(expected[i]));
    }
    fmt::print("{}: logits differ by {:.2g} at most; the largest is {:.3g}\n", name, worst, size);
    CHECK(worst <= 1e-5 * std::max(1.0, size));
    options.like = path;
    save_pytorch(net, folder + "/" + name + "_back.safetensors", options);
  };
  Sequential dense = mlp({1, 28, 512, 512, 10}), norm = bn_cnn(16), deep = resnet(16, 3);
  LeNet lenet({6, 28, 120, 84, 10}, 16);
  Sequential coder = autoencoder({16, 28, 16, 0, 0});
  run("mlp", dense);
  run("lenet", lenet);
  run("bn_cnn", norm);
  run("resnet", deep);
  run("autoencoder", coder);
}
