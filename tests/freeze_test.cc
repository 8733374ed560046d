// A leaf is a leaf for life: freezing is a switch that optimizers see.
#include <doctest/doctest.h>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/sgd.h"

using namespace ramp;

using Values = std::vector<double>;

namespace {

// How far a step moves each layer's first weight.
template <typename Step>
std::vector<bool> moved(Sequential& net, Step step) {
  std::vector<Values> before;
  for (Module& layer : net) before.push_back(layer.parameters()[0].values());
  step();
  std::vector<bool> all;
  size_t i = 0;
  for (Module& layer : net) all.push_back(layer.parameters()[0].values() != before[i++]);
  return all;
}

}  // namespace

TEST_CASE("freeze() and freeze(false) under one optimizer") {
  seed_layers(1);
  Sequential net{Dense(3, 3), Dense(3, 2)};
  SGD sgd(net, {.lr = 0.1});
  const Tensor x = Tensor::ones({4, 3});
  const auto step = [&] {
    sgd.zero_grad();
    backward(sum(net(x)));
    sgd.step();
  };
  CHECK(moved(net, step) == std::vector<bool>{true, true});
  net[0].freeze();
  CHECK(moved(net, step) == std::vector<bool>{false, true});
  net[0].freeze(false);
  CHECK(moved(net, step) == std::vector<bool>{true, true});
  // Frozen between backward() and step(): its gradient is gone.
  CHECK(moved(net, [&] {
          sgd.zero_grad();
          backward(sum(net(x)));
          net[0].freeze();
          sgd.step();
        }) == std::vector<bool>{false, true});
  // Frozen between the forward and the backward pass.
  net[0].freeze(false);
  CHECK(moved(net, [&] {
          sgd.zero_grad();
          const Tensor loss = sum(net(x));
          net[0].freeze();
          backward(loss);
          sgd.step();
        }) == std::vector<bool>{false, true});
  net.freeze();
  CHECK_FALSE(net(x).requires_grad());
  CHECK(net.parameters().size() == 4);
  CHECK(net.parameter_count() == 12 + 8);
}

TEST_CASE("what is frozen is the net's own layer, not its original") {
  Dense features(3, 3);
  Sequential net{features, Dense(3, 2)};
  features.freeze();
  CHECK(net[0].parameters()[0].requires_grad());
  net[0].freeze();
  CHECK_FALSE(net[0].parameters()[0].requires_grad());
  CHECK(net[1].parameters()[0].requires_grad());
  // A frozen layer is still frozen in the net that takes it.
  Sequential second{features, Dense(3, 2)};
  CHECK_FALSE(second[0].parameters()[0].requires_grad());
}

TEST_CASE("a GAN freezes the discriminator for the generator's step") {
  seed_layers(1);
  Sequential g{Dense(2, 3)}, d{Dense(3, 1)};
  SGD sgd_g(g, {.lr = 0.1}), sgd_d(d, {.lr = 0.1});
  const Tensor z = Tensor::ones({4, 2});
  for (int i = 0; i < 3; ++i) {
    sgd_d.zero_grad();
    backward(mean(d(g(z).detach())));
    CHECK(moved(d, [&] { sgd_d.step(); })[0]);
    CHECK_FALSE(g.parameters()[0].grad().defined());
    d.freeze();
    sgd_d.zero_grad();
    sgd_g.zero_grad();
    backward(-mean(d(g(z))));
    d.freeze(false);
    CHECK_FALSE(d.parameters()[0].grad().defined());
    CHECK(moved(d, [&] { CHECK(moved(g, [&] { sgd_g.step(); })[0]); }) == std::vector<bool>{false});
    sgd_g.zero_grad();
  }
}

TEST_CASE("a GAN under one optimizer, and a layer that was frozen when the optimizer was made") {
  seed_layers(1);
  Sequential g{Dense(2, 3)}, d{Dense(3, 1), Dense(1, 1)};
  d[1].freeze();
  SGD sgd({{"g", g}, {"d", d}}, {.lr = 0.1});
  const Tensor z = Tensor::ones({4, 2});
  const auto step = [&](Sequential& trained, Sequential& frozen, const auto& loss) {
    frozen[0].freeze();
    sgd.zero_grad();
    backward(loss());
    CHECK(moved(frozen, [&] { CHECK(moved(trained, [&] { sgd.step(); })[0]); })[0] == false);
    frozen[0].freeze(false);
  };
  for (int i = 0; i < 2; ++i) {
    step(d, g, [&] { return mean(d(g(z))); });
    step(g, d, [&] { return -mean(d(g(z))); });
  }
  d[1].freeze(false);
  g[0].freeze();
  CHECK(moved(d, [&] {
          sgd.zero_grad();
          backward(mean(d(g(z))));
          sgd.step();
        }) == std::vector<bool>{true, true});
}
