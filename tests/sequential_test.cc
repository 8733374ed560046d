#include "ramp/layers/sequential.h"

#include <doctest/doctest.h>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/pool.h"
#include "ramp/layers/reshape.h"
#include "threads.h"

using namespace ramp;

using Values = std::vector<double>;

namespace {

// One more layer type, which counts its copies.
struct Twice : Module {
  Tensor forward(const Tensor& x) override { return x * 2; }
  std::string describe() const override { return "Twice"; }
};

// A model of one's own that is a Sequential.
struct Mlp : Sequential {
  int hidden;
  explicit Mlp(int hidden) : hidden(hidden) {
    add(Dense(3, hidden, ReLU{}));
    add(Dense(hidden, 2));
  }
  std::string describe() const override { return fmt::format("Mlp({})", hidden); }
};

// The weights that a layer starts with, in a net of the given layers behind seed 7.
template <typename... Layers>
Values first_weights(Layers... layers) {
  Sequential net{std::move(layers)...};
  return net.parameters()[0].values();
}

}  // namespace

static_assert(std::constructible_from<BatchNorm, int, ReLU, NormOptions>);
static_assert(std::constructible_from<BatchNorm, int, NormOptions>);
static_assert(!std::constructible_from<BatchNorm, int, const char*>);
static_assert(!std::constructible_from<Dense, int, int, PReLU>);
static_assert(!std::constructible_from<BatchNorm, int, PReLU>);

TEST_CASE("access and its errors") {
  Sequential net{Dense(3, 4, ReLU{}), ReLU{}, Dense(4, 2)};
  CHECK(net.size() == 3);
  CHECK(net.get<Dense>(2).weight.shape() == Shape{4, 2});
  CHECK(net[1].describe() == "relu");
  CHECK_THROWS_WITH_AS(net[3], "Sequential: expected an index below 3; got 3.", Error);
  CHECK_THROWS_WITH_AS(net.get<Dense>(1), "Sequential: layer 1 is relu, not the type asked for.",
                       Error);
  net.add(Dense(2, 2)).add(ReLU{});
  CHECK(net.size() == 5);
  const Tensor x = Tensor::ones({2, 3});
  CHECK(Sequential().forward(x).same_memory(x));
  CHECK_THROWS_WITH_AS(Dense(0, 3), "Dense: expected in and out of at least 1; got 0 and 3.",
                       Error);
  CHECK_THROWS_AS(Dense(3, -1), Error);
}

TEST_CASE("iterate, replace, take the first layers, append, derive") {
  seed_layers(1);
  Sequential net{Dense(3, 4), ReLU{}, Dense(4, 2)};
  std::string all;
  for (Module& layer : net) all += layer.describe() + "; ";
  CHECK(all == "Dense(3, 4); relu; Dense(4, 2); ");
  const Tensor x = Tensor::ones({5, 3});
  Tensor y = x;
  for (Module& layer : net) y = layer(y);
  CHECK(y.values() == net(x).values());

  const Tensor old = net.get<Dense>(2).weight;
  net.replace(2, Twice{}).replace(1, Tanh{});
  CHECK(net.size() == 3);
  CHECK(net[2].describe() == "Twice");
  CHECK(net[1].describe() == "tanh");
  CHECK(net(x).shape() == Shape{5, 4});
  CHECK(was_replaced(old));
  CHECK_THROWS_AS(net.replace(3, Twice{}), Error);

  Sequential features = net.first(2);
  CHECK(features.size() == 2);
  CHECK(features(x).values() == net[1](net[0](x)).values());
  CHECK_FALSE(features.parameters()[0].same_memory(net.parameters()[0]));
  CHECK(net.first(0).size() == 0);
  CHECK(message([&] { net.first(4); }) == "Sequential: expected at most 3 layers; got 4.");

  features.append(Sequential{Dense(4, 4), Twice{}}).append(features);
  CHECK(features.size() == 8);
  CHECK(features[3].describe() == "Twice");
  CHECK(features.named_parameters()[2].name == "2.weight");

  Mlp mlp(5);
  Mlp copy = mlp;
  CHECK(copy.hidden == 5);
  CHECK(copy.size() == 2);
  CHECK(copy(x).values() == mlp(x).values());
  CHECK_FALSE(copy.parameters()[0].same_memory(mlp.parameters()[0]));
  Sequential outer{mlp, ReLU{}};
  CHECK(outer.size() == 2);
  Sequential outer_copy = outer;
  CHECK(outer_copy[0].describe() == "Mlp(5)");
  CHECK(outer_copy.get<Mlp>(0).hidden == 5);
  mlp = Mlp(6);
  CHECK(mlp.hidden == 6);
  CHECK(mlp.get<Dense>(0).weight.shape() == Shape{3, 6});
  CHECK(mlp(x).shape() == Shape{5, 2});
}

TEST_CASE("a layer of its own behind it, or in it: an activation starts the same weights") {
  const auto same = [](auto plain, auto with, auto activation) {
    seed_layers(7);
    const Values a = first_weights(with());
    seed_layers(7);
    const Values b = first_weights(plain(), activation);
    CHECK(a == b);
    // Nested; added one by one; a layer that was built before.
    seed_layers(7);
    CHECK(first_weights(Sequential{plain()}, activation) == a);
    seed_layers(7);
    const auto layer = plain();
    const Values alone = layer.weight.values();
    Sequential net;
    net.add(layer).add(activation).add(Twice{});
    CHECK(net.parameters()[0].values() == a);
    CHECK(layer.weight.values() == alone);
    CHECK(alone != a);
    // Behind a normalization, or nothing: gain 1.
    CHECK(first_weights(layer, Twice{}, activation) == alone);
    // Once only, and not what a user wrote.
    net.replace(1, activation);
    CHECK(net.parameters()[0].values() == a);
    auto mine = plain();
    mine.weight = Tensor::ones(mine.weight.shape());
    CHECK(first_weights(mine, activation) == Values(static_cast<size_t>(mine.weight.numel()), 1));
  };
  same([] { return Dense(20, 10); }, [] { return Dense(20, 10, ReLU{}); }, ReLU{});
  same([] { return Dense(20, 10); }, [] { return Dense(20, 10, GELU{}); }, GELU{});
  same([] { return Dense(20, 10); }, [] { return Dense(20, 10, LeakyReLU{0.25}); }, PReLU{});
  same([] { return Conv2d(3, 4, 3); }, [] { return Conv2d(3, 4, 3, ReLU{}); }, ReLU{});
  same([] { return Conv1d(3, 4, 3); }, [] { return Conv1d(3, 4, 3, Tanh{}); }, Tanh{});
  same([] { return ConvTranspose2d(3, 4, 3); }, [] { return ConvTranspose2d(3, 4, 3, ReLU{}); },
       ReLU{});
  // A layer with an activation of its own keeps its scale; a layer that is put in gets one.
  seed_layers(7);
  const Values own = first_weights(Dense(20, 10, Tanh{}));
  seed_layers(7);
  CHECK(first_weights(Dense(20, 10, Tanh{}), ReLU{}) == own);
  Sequential net{Twice{}, ReLU{}};
  seed_layers(7);
  net.replace(0, Dense(20, 10));
  seed_layers(7);
  CHECK(net.parameters()[0].values() == first_weights(Dense(20, 10, ReLU{})));
  // Both spellings train to the same bits.
  const Tensor x = Rng(3).normal({8, 20});
  const auto gradients = [&](Sequential model) {
    const Tensor y = model(x);
    backward(sum(y * y));
    return model.parameters()[0].grad().values();
  };
  seed_layers(7);
  const Values fused = gradients(Sequential{Dense(20, 10, ReLU{})});
  seed_layers(7);
  CHECK(gradients(Sequential{Dense(20, 10), ReLU{}}) == fused);
}

TEST_CASE("PReLU and RReLU run in the op of the layer before them, to the same bits") {
  const auto same = [](Sequential net, const Tensor& x, const char* fused) {
    std::vector<Values> runs[2];
    for (const bool apart : {false, true}) {
      for (Tensor p : net.parameters()) p.zero_grad();
      const Tensor y = apart ? net[1](net[0](x)) : net(x);
      if (!apart) {
        const char* name = node_of(y)->activation;
        CHECK(std::string(name ? name : "") == fused);
      }
      backward(sum(y * y));
      runs[apart].push_back(y.values());
      for (const Tensor& p : net.parameters()) {
        if (p.requires_grad()) runs[apart].push_back(p.grad().values());
      }
      const NoGrad no_grad;
      runs[apart].push_back((apart ? net[1](net[0](x)) : net(x)).values());
    }
    CHECK(runs[0] == runs[1]);
  };
  const Tensor image = Rng(2).normal({4, 6, 6, 3});
  const auto all = [&](auto activation, const char* name) {
    INFO(activation.describe());
    const bool eval = !activation.training();
    const auto with = [&](auto layer, const Tensor& x, const char* fused) {
      Sequential net{layer, activation};
      if (eval) net.eval();
      same(net, x, fused);
      net.to(f64);
      same(net, x.to(f64), fused);
      net[0].freeze();
      if (net[1].parameter_count() > 0) same(net, x.to(f64), fused);
    };
    with(Dense(3, 8), image, name);
    with(Conv2d(3, 8, 3, {.padding = 1}), image, name);
    with(Conv1d(3, 8, 3), image.view({24, 6, 3}), name);
    if (!eval) with(BatchNorm(3), image, "");  // it does not say
  };
  seed_layers(1);
  for (const double slope : {0.25, 2.0}) all(PReLU(1, slope), "prelu");
  for (const double slope : {0., -0.5}) all(PReLU(1, slope), "");
  RReLU random(0.1, 0.3);
  random.eval();
  all(random, "leaky_relu");
  Sequential of_nan{Dense(3, 8), PReLU{}};
  of_nan.get<PReLU>(1).slope = Tensor::full({1}, NAN);
  CHECK(std::isnan(sum(of_nan(image)).item()));
  // One for each channel; behind an adjoint; in training: as they are by themselves.
  same(Sequential{Dense(3, 8), PReLU(8, 0.1)}, image, "");
  same(Sequential{Conv2d(3, 8, 3), PReLU(8, 0.1)}, image, "");
  same(Sequential{ConvTranspose2d(3, 8, 3), PReLU(1, 0.1)}, image, "prelu");
  Sequential pooled{Conv2d(3, 8, 3), PReLU{}, MaxPool2d(2)};
  CHECK(pooled(image).values() == pooled[2](pooled[1](pooled[0](image))).values());
  CHECK(node_of(Sequential{Dense(3, 8), RReLU{}}(image))->op == std::string("mul"));
  for (const bool conv : {false, true}) {
    Sequential net = conv ? Sequential{Conv2d(3, 8, 3), PReLU{}} : Sequential{Dense(3, 8), PReLU{}};
    check_equal_bits([&] {
      for (Tensor p : net.parameters()) p.zero_grad();
      backward(sum(net(image)));
      return net.parameters().back().grad();
    });
  }
  Sequential normed{BatchNorm(3), PReLU{}};
  check_equal_bits([&] {
    for (Tensor p : normed.parameters()) p.zero_grad();
    backward(sum(normed(image)));
    return normed.parameters().back().grad();
  });
}

TEST_CASE("what stands in front of a Dense that does not fit is named") {
  const auto text = [](Sequential net, const Shape& shape) {
    return message([&] { net(Tensor::ones(shape)); });
  };
  CHECK(text(Sequential{MaxPool2d(2), Dense(4 * 4 * 3, 10)}, {2, 8, 8, 3}) ==
        "1: linear: Dense(48, 10) expects 48 features; got 3 from x [2, 4, 4, 3]. Hint: put "
        "Flatten{} before it.");
  CHECK(
      text(Sequential{MaxPool2d(2), Sequential{Dropout(0.5), Dense(48, 10), ReLU{}}}, {2, 8, 8, 3})
          .find("1.1: linear: Dense(48, 10) expects 48 features; got 3") == 0);
  const std::string resized =
      "linear: Dense(48, 10) expects 48 = 4x4x3 features; got 75 from the flattened [2, 5, 5, 3]. "
      "Hint: did the image size change?";
  CHECK(text(Sequential{Flatten{}, Dense(48, 10)}, {2, 5, 5, 3}) == "1: " + resized);
  CHECK(text(Sequential{Flatten{}, Dropout(0.5), Dense(48, 10)}, {2, 5, 5, 3}) == "2: " + resized);
  CHECK(text(Sequential{Flatten{}, ReLU{}, Dense(48, 10), ReLU{}}, {2, 5, 5, 3}) ==
        "2: " + resized);
  // Otherwise the op's own words.
  CHECK(text(Sequential{GlobalAvgPool{}, Dense(48, 10)}, {2, 5, 5, 3})
            .find("1: linear: x [2, 3] and w [48, 10] do not fit") == 0);
  CHECK(text(Sequential{Dense(48, 10)}, {2, 5, 3}).find("0: linear: x [2, 5, 3] and w") == 0);
}

TEST_CASE("an input of another dtype: the hint converts the input, not the weights") {
  Sequential net{Dense(3, 2)};
  Sequential convs{Conv2d(1, 2, 3)};
  for (const DType dtype : {f64, i64}) {
    CHECK(message([&] {
            net(Tensor::ones({1, 3}, dtype));
          }).find("Hint: x.to(f32).") != std::string::npos);
    CHECK(message([&] {
            convs(Tensor::ones({1, 5, 5, 1}, dtype));
          }).find("Hint: x.to(f32).") != std::string::npos);
  }
  net.freeze();
  net.to(f64);
  CHECK(message([&] { net(Tensor::ones({1, 3})); }).find("Hint: x.to(f64).") != std::string::npos);
}
