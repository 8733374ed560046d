#include "ramp/layers/module.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/record.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/init.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/pool.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/sequential.h"
#include "ramp/train/metrics.h"

using namespace ramp;

using Values = std::vector<double>;

namespace {

// A user's model: plain members, one of them a list, a buffer, and a tensor of its own.
struct Block : Module {
  Dense conv1{3, 4, ReLU{}}, conv2{4, 3};
  Parameter scale = Tensor::ones({3});
  Buffer seen = Tensor::zeros({}, f64);

  Tensor forward(const Tensor& x) override { return conv2(conv1(x)) * scale + x; }
  void fields(Fields& f) override {
    f.child("conv1", conv1).child("conv2", conv2).param("scale", scale).buffer("seen", seen);
  }
  std::string describe() const override { return "Block"; }
};

// Behaves differently in training.
struct Doubler : Module {
  Tensor forward(const Tensor& x) override { return training() ? x * 2 : x; }
};

std::string names(Module& m) {
  std::string all;
  for (const NamedTensor& p : m.named_parameters()) all += p.name + " ";
  return all;
}

Sequential model() {
  return Sequential{Dense(3, 3, ReLU{}), Block{}, Sequential{Block{}, LeakyReLU{}, Dense(3, 2)}};
}

}  // namespace

TEST_CASE("named_parameters: the paths, in order") {
  Sequential net = model();
  CHECK(names(net) ==
        "0.weight 0.bias 1.conv1.weight 1.conv1.bias 1.conv2.weight 1.conv2.bias 1.scale "
        "2.0.conv1.weight 2.0.conv1.bias 2.0.conv2.weight 2.0.conv2.bias 2.0.scale 2.2.weight "
        "2.2.bias ");
  CHECK(net.parameters().size() == 14);
  CHECK(net.state().size() == 16);
  CHECK(net.state()[7].name == "1.seen");
  CHECK(net.parameter_count() == 12 + 34 + 34 + 8);
  Sequential none;
  CHECK(names(none) == "");
  Sequential no_bias{Dense(2, 3, Identity{}, {.bias = false})};
  CHECK(names(no_bias) == "0.weight ");
}

TEST_CASE("the forward pass of a Sequential, and gradients of all its parameters") {
  Sequential net = model();
  const Tensor y = net(Tensor::ones({5, 3}));
  CHECK(y.shape() == Shape{5, 2});
  backward(sum(y));
  for (const NamedTensor& p : net.named_parameters()) {
    INFO(p.name);
    CHECK(p.tensor.grad().defined());
  }
  net.zero_grad();
  for (const Tensor& p : net.parameters()) CHECK_FALSE(p.grad().defined());
}

TEST_CASE("an error names the layer's path") {
  Sequential net{Dense(4, 3), ReLU{}, Sequential{Block{}, Dense(2, 5)}};
  CHECK(message([&] {
          net(Tensor::ones({1, 7}));
        }) ==
        "0: linear: x [1, 7] and w [4, 3] do not fit: x's last dimension must equal w's first. "
        "Hint: w is [in, out]; reshape x to [.., in].");
  CHECK(message([&] {
          net(Tensor::ones({1, 4}));
        }).rfind("2.1: linear: x [1, 3] and w [2, 5]", 0) == 0);
  Sequential deep{Dense(3, 3), Sequential{ReLU{}, Block{}}};
  deep.get<Sequential>(1).get<Block>(1).conv2 = Dense(7, 3);
  CHECK(message([&] {
          deep(Tensor::ones({1, 3}));
        }).rfind("1.1.conv2: linear: x [1, 4] and", 0) == 0);
  // Of a module without parent there is no path to name; the next call starts anew.
  Block block;
  CHECK(message([&] { block(Tensor::ones({1, 4})); }).rfind("conv1: linear: ", 0) == 0);
  CHECK(message([&] { block(Tensor::ones({1, 4})); }).rfind("conv1: linear: ", 0) == 0);
  Dense alone(3, 3);
  CHECK(message([&] { alone(Tensor::ones({1, 4})); }).rfind("linear: ", 0) == 0);
}

TEST_CASE("a move keeps a model whole") {
  Sequential net = model();
  const Tensor x = Tensor::ones({2, 3});
  const Values y = net(x).values();
  Sequential moved = std::move(net);
  CHECK(moved(x).values() == y);
  CHECK(moved.parameters().size() == 14);
  std::vector<Block> blocks(3);
  blocks.reserve(100);
  CHECK(blocks[2](x).shape() == Shape{2, 3});
}

TEST_CASE("to(f64) converts all floats and keeps what requires a gradient") {
  Sequential net = model();
  net[0].freeze();
  net.to(f64);
  for (const NamedTensor& p : net.named_parameters()) {
    INFO(p.name);
    CHECK(p.tensor.dtype() == f64);
    CHECK(p.tensor.requires_grad() == (p.name[0] != '0'));
  }
  CHECK(net(Tensor::ones({2, 3}, f64)).dtype() == f64);
  const Tensor before = net.parameters()[5];
  net.to(f64);  // nothing to do: the same leaves
  CHECK(net.parameters()[5].meta().get() == before.meta().get());
  CHECK_THROWS_WITH_AS(net.to(i64), "to: a model is f32 or f64; got i64.", Error);
}

TEST_CASE("freeze, train and eval") {
  Sequential net{Dense(3, 3), Sequential{Doubler{}}};
  const Tensor x = Tensor::ones({1, 3});
  net.freeze();
  CHECK_FALSE(net(x).requires_grad());
  net.freeze(false);
  CHECK(net(x).requires_grad());
  net[0].freeze();
  CHECK_FALSE(net(x).requires_grad());

  CHECK(net.training());
  const Values trained = net(x).values();
  net.eval();
  CHECK_FALSE(net.training());
  CHECK_FALSE(net.get<Sequential>(1)[0].training());
  const Values evaluated = net(x).values();
  for (size_t i = 0; i < 3; ++i) CHECK(trained[i] == 2 * evaluated[i]);
  net.train();
  CHECK(net(x).values() == trained);
  CHECK(grad_enabled());
  {
    net[0].eval();
    const EvalMode eval;
    CHECK_FALSE(net.training());
    CHECK(net(x).values() == evaluated);
  }
  CHECK(net(x).values() == trained);
  CHECK_FALSE(net[0].training());
}

TEST_CASE("load_state copies by name, into the memory there is") {
  seed_layers(1);
  Sequential a = model();
  Sequential b = model();
  const Tensor x = Tensor::ones({2, 3}), weight = b.parameters()[0];
  CHECK(a(x).values() != b(x).values());
  b.load_state(a.state());
  CHECK(a(x).values() == b(x).values());
  CHECK(b.parameters()[0].same_memory(weight));
  CHECK(b.parameters()[0].requires_grad());
  CHECK_FALSE(b.parameters()[0].same_memory(a.parameters()[0]));
  // In any order, and from another dtype.
  std::vector<NamedTensor> state = a.state();
  std::reverse(state.begin(), state.end());
  for (NamedTensor& s : state) s.tensor = s.tensor.to(f64);
  Sequential c = model();
  c.load_state(state);
  CHECK(a(x).values() == c(x).values());
  CHECK(c.parameters()[0].dtype() == f32);
}

TEST_CASE("load_state names every wrong tensor, and then changes nothing") {
  Sequential net{Dense(3, 4), Dense(4, 2)};
  const Values before = net.get<Dense>(0).bias.values();
  std::vector<NamedTensor> state;
  state.push_back({"0.bias", Tensor::ones({4})});
  state.push_back({"0.weight", Tensor::ones({4, 3})});
  state.push_back({"1.weight", Tensor::ones({4, 2}, i64)});
  state.push_back({"2.weight", Tensor::ones({9})});
  CHECK(
      message([&] { net.load_state(state); }) ==
      "load_state: the state and the model must agree; \"0.weight\" is [3, 4] in the model and "
      "[4, 3] in the state; \"1.weight\" is f32 in the model and i64 in the state; \"1.bias\" [2] "
      "is missing; \"2.weight\" [9] is not in the model. Hint: is it the same architecture?");
  CHECK(net.get<Dense>(0).bias.values() == before);
  Block block;
  state = block.state();
  state.back().tensor = {};
  CHECK(message([&] { block.load_state(state); }) ==
        "load_state: the state and the model must agree; \"seen\" [] is missing. Hint: is it the "
        "same architecture?");
}

namespace {

// Without the line of the memory that is kept: it depends on the allocator.
std::string table_of(const std::string& summary) {
  const size_t at = summary.find("kept for the backward pass: ");
  CHECK(at != std::string::npos);
  return summary.substr(0, at);
}

}  // namespace

TEST_CASE("summary: flops of each kind of product; what is kept grows with the input") {
  // 2 fan_in for each output; of a transposed convolution, 2 kh kw k for each input.
  Sequential net{Conv2d(3, 8, 3, ReLU{}, {.padding = 1}), MaxPool2d(2),
                 ConvTranspose2d(8, 4, 2, {.stride = 2}), Flatten{}, Dense(4 * 64, 10)};
  const std::string text = net.summary({2, 8, 8, 3});
  INFO(text);
  for (const char* part : {"  55.3 k\n", "  8.19 k\n", "  10.2 k\n", "  73.7 k\n"})
    CHECK(text.find(part) != std::string::npos);
  const auto kept = [&](int64_t n) {
    const std::string all = net.summary({n, 8, 8, 3});
    const std::string tail = all.substr(all.find("pass: ") + 6);
    return std::stod(tail) * (tail.find("MB") != std::string::npos ? 1e6 : 1e3);
  };
  // x, the convolution's pooled output with its places, and those of the layers after it.
  const double each = (kept(1024) - kept(512)) / 512;
  CHECK(each > 4 * (8 * 8 * 3 + 4 * 4 * 8));
  CHECK(each < 4 * (8 * 8 * 3 + 3 * 8 * 8 * 8));
  struct Product final : Module {
    Parameter w = Tensor::ones({5, 4});
    Tensor forward(const Tensor& x) override { return matmul(x, w, Trans::b); }
    void fields(Fields& f) override { f.param("w", w); }
  } product;
  CHECK(table_of(product.summary({3, 4})).find("[3, 5]            20      120\n") !=
        std::string::npos);
}

TEST_CASE("describe and summary") {
  CHECK(Dense(784, 128, ReLU{}).describe() == "Dense(784, 128, relu)");
  CHECK(Dense(128, 10).describe() == "Dense(128, 10)");
  CHECK(Dense(128, 10, Identity{}, {.bias = false}).describe() == "Dense(128, 10, no bias)");
  Sequential net{Dense(3, 4, ReLU{}), Block{}};
  net.get<Block>(1).conv1 = Dense(4, 4);
  net.get<Block>(1).conv2 = Dense(4, 4);
  net.get<Block>(1).scale = Tensor::ones({4});
  CHECK(net.summary() ==
        "path     layer                parameters\n"
        "0        Dense(3, 4, relu)            16\n"
        "1        Block                        44\n"
        "1.conv1  Dense(4, 4)                  20\n"
        "1.conv2  Dense(4, 4)                  20\n"
        "         Sequential                   60\n");
  net.get<Block>(1).eval();
  CHECK(table_of(net.summary({7, 3})) ==
        "path     layer              output    parameters    flops\n"
        "0        Dense(3, 4, relu)  [7, 4]            16      168\n"
        "1        Block              [7, 4]            44      448\n"
        "1.conv1  Dense(4, 4)        [7, 4]            20      224\n"
        "1.conv2  Dense(4, 4)        [7, 4]            20      224\n"
        "         Sequential         [7, 4]            60      616\n");
  // Frozen layers count as well, and stay frozen.
  net[0].freeze();
  CHECK(table_of(net.summary({7, 3})) ==
        "path     layer              output     parameters    flops\n"
        "0        Dense(3, 4, relu)  [7, 4]      16 frozen      168\n"
        "1        Block              [7, 4]             44      448\n"
        "1.conv1  Dense(4, 4)        [7, 4]             20      224\n"
        "1.conv2  Dense(4, 4)        [7, 4]             20      224\n"
        "         Sequential         [7, 4]  60, 16 frozen      616\n");
  CHECK(!net.get<Dense>(0).weight.requires_grad());
  net[0].freeze(false);
  // It leaves the modes as they were.
  CHECK(net.training());
  CHECK_FALSE(net[1].training());
  CHECK_THROWS_AS(net.summary({7, 5}), Error);
  CHECK(net.training());
}

TEST_CASE("a parameter can be one that weight decay skips") {
  struct Gate final : Module {
    Parameter w = Tensor::ones({1}), slope = Tensor::ones({1});
    Tensor forward(const Tensor& x) override { return x; }
    void fields(Fields& f) override { f.param("w", w).param("slope", slope, false); }
  } gate;
  Gate copy = gate;
  copy.to(f64);
  for (Gate* g : {&gate, &copy}) {
    const std::vector<NamedTensor> p = g->named_parameters();
    REQUIRE(p.size() == 2);
    CHECK(p[0].decays);
    CHECK(!p[1].decays);
    CHECK(g->state().size() == 2);
    g->freeze();
    CHECK(!g->slope.requires_grad());
    CHECK(g->parameter_count() == 2);
  }
}

namespace {

// Two inputs, two outputs.
struct Towers final : ModuleOf<Towers> {
  Sequential image{Dense(4, 3, ReLU{})}, text{Dense(2, 3, ReLU{})};
  Dense score{3, 1};
  Dropout dropout{0.5};

  std::pair<Tensor, Tensor> forward(const Tensor& x, const Tensor& words) {
    const Tensor both = image(x) * text(words);
    return {score(dropout(both)), both};
  }
  void fields(Fields& f) override {
    f.child("image", image).child("text", text).child("score", score).child("dropout", dropout);
  }
  std::string describe() const override { return "Towers"; }
};

}  // namespace

TEST_CASE("a model of two inputs and two outputs") {
  seed_layers(1);
  Towers net;
  const Tensor x = Tensor::ones({5, 4}), words = Tensor::ones({5, 2});
  const auto [score, both] = net(x, words);
  CHECK(score.shape() == Shape{5, 1});
  CHECK(both.shape() == Shape{5, 3});
  backward(sum(score) + sum(both));
  for (const Tensor& p : net.parameters()) CHECK(p.grad().defined());
  CHECK(message([&] { net(x, x); }).find("text.0: linear: x [5, 4] and w [2, 3]") == 0);
  CHECK(table_of(net.summary(x, words)) ==
        "path     layer              output            parameters    flops\n"
        "image    Sequential         [5, 3]                    15      120\n"
        "image.0  Dense(4, 3, relu)  [5, 3]                    15      120\n"
        "text     Sequential         [5, 3]                     9       60\n"
        "text.0   Dense(2, 3, relu)  [5, 3]                     9       60\n"
        "score    Dense(3, 1)        [5, 1]                     4       30\n"
        "dropout  Dropout(0.5)       [5, 3]                     0         \n"
        "         Towers             [5, 1], [5, 3]            28      210\n");
  net.eval();
  CHECK(net(x, words).first.values() == net(x, words).first.values());
  Towers copy = net;
  CHECK(copy(x, words).first.values() == net(x, words).first.values());
  CHECK_FALSE(copy.parameters()[0].same_memory(net.parameters()[0]));
  copy.to(f64).freeze();
  CHECK(copy(x.to(f64), words.to(f64)).first.dtype() == f64);
}

TEST_CASE("what took part and is in no fields() is named") {
  struct Forgetful final : Module {
    Dense known{2, 2}, forgotten{2, 3};
    Parameter scale = Tensor::ones({3}), bias = Tensor::zeros({3});
    Tensor plain = Tensor::ones({1}).requires_grad_();
    Tensor forward(const Tensor& x) override { return forgotten(known(x)) * scale * plain + bias; }
    void fields(Fields& f) override { f.child("known", known).param("bias", bias); }
    std::string describe() const override { return "Forgetful"; }
  };
  Sequential net{Forgetful{}};
  const std::string text = net.summary({1, 2});
  CHECK(
      text.substr(text.find("in no fields()")) ==
      "in no fields(), so never trained or saved: Dense(2, 3); a parameter [1]; a parameter [3]\n");
  CHECK(net.summary().find("in no fields()") == std::string::npos);
  // The training step: the parameters that got a gradient and have no name, once.
  net.parameters();
  take_unnamed_parameters();
  backward(sum(net(Tensor::ones({1, 2}))));
  const std::vector<Shape> unnamed = take_unnamed_parameters();
  CHECK(unnamed.size() == 3);
  CHECK(std::count(unnamed.begin(), unnamed.end(), Shape{2, 3}) == 1);
  CHECK(take_unnamed_parameters().empty());
  // A model that no optimizer knows, but that names what it has, is not accused.
  Sequential loss_net{Dense(3, 1)};
  Block block;
  backward(sum(loss_net(block(Tensor::ones({1, 3})))));
  CHECK(take_unnamed_parameters().empty());
  // Nor is a layer that took another one's place.
  block.conv1 = Dense(3, 5);
  block.conv2 = Dense(5, 3);
  backward(sum(loss_net(block(Tensor::ones({1, 3})))));
  CHECK(take_unnamed_parameters().empty());
}

TEST_CASE("eval mode is a thread's own") {
  Doubler doubler;
  const Tensor x = Tensor::ones({1, 3});
  const EvalMode eval;
  CHECK_FALSE(doubler.training());
  CHECK(doubler(x).values() == x.values());
  bool other = false;
  std::thread([&] { other = doubler.training(); }).join();
  CHECK(other);
  { const EvalMode inner; }
  CHECK_FALSE(doubler.training());
}

TEST_CASE("one model, evaluated by several threads") {
  seed_layers(1);
  Sequential net{Dense(4, 16, ReLU{}), BatchNorm(16), Dropout(0.5), Dense(16, 3)};
  net(Tensor::ones({8, 4}));  // the model stays in training mode
  const Values statistics = net.get<BatchNorm>(1).running_mean.values();
  const Tensor x = Rng(1).normal({40, 4});
  const std::vector<double> expected = predict(net, x, 7).values();
  std::atomic<int> wrong = 0, errors = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) wrong += predict(net, x, 7).values() != expected;
      // Paths in errors and summaries are a thread's own too.
      errors += message([&] { predict(net, Tensor::ones({2, 5})); }).find("0: linear: ") != 0;
      errors += net.summary({2, 4}).find("[2, 16]") == std::string::npos;
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(errors == 0);
  CHECK(net.training());
  CHECK(net.get<BatchNorm>(1).running_mean.values() == statistics);
}

TEST_CASE("a resumed model draws what it would have drawn") {
  const auto model = [] { return Sequential{Dense(4, 8), Dropout(0.5), RReLU{}}; };
  Sequential net = model();
  const Tensor x = Rng(1).normal({6, 4});
  net(x);
  std::vector<NamedTensor> state = net.state();
  CHECK(state[2].name == "1.rng");
  CHECK(state[3].name == "2.rng");
  CHECK(state[3].tensor.dtype() == i64);
  Sequential resumed = model();
  resumed.load_state(state);
  for (int i = 0; i < 3; ++i) CHECK(resumed(x).values() == net(x).values());
}
