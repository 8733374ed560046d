#include "ramp/layers/reshape.h"

#include <doctest/doctest.h>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/residual.h"

using namespace ramp;

using Values = std::vector<double>;

TEST_CASE("Flatten: as the values lie, or in PyTorch's order") {
  const Tensor x = Tensor::arange(12, f32).view({1, 2, 2, 3});
  Tensor y = Flatten{}(x);
  CHECK(y.shape() == Shape{1, 12});
  CHECK(y.values() == Tensor::arange(12, f32).values());
  Flatten torch({.channels_first = true});
  y = torch(x);
  CHECK(y.shape() == Shape{1, 12});
  CHECK(y.values() == Values{0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11});
  // A signal [n, l, c]; and what is flat already stays.
  CHECK(torch(x.view({2, 2, 3})).values() == Values{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11});
  CHECK(torch(x.view({4, 3})).shape() == Shape{4, 3});
  CHECK(torch(Tensor::zeros({0, 2, 2, 3})).shape() == Shape{0, 12});
  CHECK(Flatten{}.describe() == "Flatten");
  CHECK(torch.describe() == "Flatten(channels first)");
  const std::vector<Tensor> z{Rng(1).normal({2, 3, 2, 4}, 0, 1, f64)};
  for (const bool first : {false, true}) {
    Flatten layer({.channels_first = first});
    CHECK(gradcheck([&](const auto& z) { return layer(z[0]); }, z) == "");
  }
  CHECK(message([] { Flatten{}(Tensor::ones({2})); }).starts_with("flatten: "));
}

TEST_CASE("Reshape: each sample") {
  Sequential net{Dense(4, 12), Reshape({2, -1, 3}), Flatten{}};
  CHECK(net[1](Tensor::zeros({5, 12})).shape() == Shape{5, 2, 2, 3});
  CHECK(net(Tensor::zeros({5, 4})).shape() == Shape{5, 12});
  CHECK(Reshape({7, 7, 64}).describe() == "Reshape(7, 7, 64)");
  CHECK(Reshape({2, -1, 3}).describe() == "Reshape(2, -1, 3)");
  CHECK(message([] {
          Reshape({5, 5})(Tensor::zeros({3, 24}));
        }) ==
        "reshape: x [3, 24] has 72 elements and does not fit [3, 5, 5]. Hint: one dimension may be "
        "-1, which computes it.");
}

TEST_CASE("Residual: y = x + body(x)") {
  const int64_t before = live_nodes();
  {
    Residual block{Dense(3, 5, ReLU{}), Dense(5, 3)};
    const Tensor x = Rng(1).normal({2, 3});
    CHECK(block(x).values() == (x + block.body(x)).values());
    CHECK(block.named_parameters()[2].name == "body.1.weight");
    CHECK(block.parameter_count() == 3 * 5 + 5 + 5 * 3 + 3);
    // A copy is a block of its own kind, and one block may hold another.
    Residual copy = block;
    CHECK(!copy.parameters()[0].same_memory(block.parameters()[0]));
    CHECK(copy(x).values() == block(x).values());
    Sequential net{Dense(4, 3), Residual{Residual{Dense(3, 3)}, LeakyReLU{}}, Dense(3, 1)};
    net.to(f64);
    CHECK(gradcheck([&](const auto& x) { return net(x[0]); }, {Rng(2).normal({5, 4}, 0, 1, f64)}) ==
          "");
    net.eval();
    CHECK(!net.get<Residual>(1).body.training());
    CHECK(net[1].describe() == "Residual");
    Sequential wrong{Dense(4, 3), Residual{Dense(3, 2)}};
    CHECK(message([&] {
            wrong(Tensor::zeros({5, 4}));
          }) ==
          "1: Residual: x and body(x) must have the same shape; got [5, 3] and [5, 2]. Hint: "
          "stride 1 "
          "and padding that keeps the size; as many channels out as in.");
    wrong = Sequential{Residual{Dense(3, 4), Dense(3, 3)}};
    CHECK(message([&] { wrong(Tensor::zeros({5, 3})); }).starts_with("0.body.1: linear: "));
  }
  CHECK(live_nodes() == before);
}
