#include "ramp/train/average.h"

#include <cmath>

#include "fixture.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/core/random.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/sequential.h"
#include "threads.h"

using namespace ramp;

using Values = std::vector<double>;

TEST_CASE("averages are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("lbfgs")) {
    if (f.name != "swa" && f.name != "ema") continue;
    INFO(f.name);
    ++cases;
    Dense layer(3, 1, Identity{}, {.bias = false});
    layer.to(f64);
    EMA ema(layer, {.decay = 0.8});
    SWA swa(layer);
    WeightAverage& average = f.name == "ema" ? static_cast<WeightAverage&>(ema) : swa;
    const Tensor weights = f.tensor("weights"), path = f.tensor("path");
    for (int64_t t = 0; t < 10; ++t) {
      layer.weight.detach().copy_(weights.rows(t, t + 1).view({3, 1}));
      average.update();
      check_close(average.state()[0].tensor, path.rows(t, t + 1).view({3, 1}), 1e-13);
    }
  }
  CHECK(cases == 2);
}

TEST_CASE("an average of any size: each weight as by itself, equal bits for 1 and 2 threads") {
  check_equal_bits([] {
    Dense layer(257, 129);
    layer.weight.detach().copy_(Rng(1).normal({257, 129}));
    layer.bias.detach().fill_(1);
    EMA ema(layer, {.decay = 0.75});
    ema.update();
    const Tensor first = layer.weight.detach().clone();
    layer.weight.detach().mul_(3);
    ema.update();
    const Tensor average = ema.state()[0].tensor;
    check_close(average, first * 1.5, 1e-6);
    return average;
  });
}

TEST_CASE("swap exchanges weights, keeps the leaves, and is undone by another") {
  Sequential net{Dense(2, 2), BatchNorm(2)};
  SWA swa(net);
  swa.update();
  const Tensor leaf = net.get<Dense>(0).weight;
  const Values first = leaf.values();
  Tensor(leaf.detach()).fill_(3);
  net.get<BatchNorm>(1).running_mean.fill_(7);
  swa.update();  // the mean of both
  swa.swap();
  CHECK(net.get<Dense>(0).weight.same_memory(leaf));
  for (size_t i = 0; i < 4; ++i) CHECK(leaf.values()[i] == doctest::Approx((first[i] + 3) / 2));
  CHECK(net.get<BatchNorm>(1).running_mean.values() == Values{7, 7});
  swa.swap();
  CHECK(leaf.values() == Values{3, 3, 3, 3});
}

TEST_CASE("one tensor under two names is averaged and exchanged once") {
  struct Tied final : Module {
    Parameter w = Tensor::full({1}, 5);
    Buffer running = Tensor::full({1}, 7);
    Tensor forward(const Tensor& x) override { return x; }
    void fields(Fields& f) override {
      f.param("a", w).param("b", w).buffer("c", running).buffer("d", running);
    }
  } net;
  SWA average(net);
  net.w.detach().fill_(1);
  average.update();
  net.w.detach().fill_(5);
  net.running.fill_(8);
  average.update();
  average.swap();
  CHECK(net.w.item() == 3);
  net.running.fill_(9);
  average.swap();
  CHECK(net.w.item() == 5);
  CHECK(net.running.item() == 8);
  average.swap();
  CHECK(net.running.item() == 9);
}

TEST_CASE("a frozen weight is averaged too; a weight that was replaced is an error") {
  Dense layer(1, 1, Identity{}, {.bias = false});
  layer.weight.detach().fill_(1);
  SWA swa(layer);
  layer.freeze();
  swa.update();
  layer.freeze(false);
  layer.weight.detach().fill_(4);
  layer.freeze();
  swa.update();
  swa.update();
  CHECK(swa.state()[0].tensor.item() == 3);
  layer.to(f64);
  CHECK_THROWS_WITH_AS(swa.update(),
                       "WeightAverage: other tensors stand in the place of \"weight\" [1, 1] now. "
                       "Hint: take the parameters after to().",
                       Error);
  CHECK_THROWS_AS(swa.swap(), Error);
}

TEST_CASE("EMA warms up: the first weights are soon forgotten") {
  Dense layer(1, 1, Identity{}, {.bias = false});
  EMA ema(layer, {.decay = 0.999, .warmup = true});
  layer.weight.detach().fill_(100);
  ema.update();
  layer.weight.detach().fill_(0);
  double expected = 100;
  for (int n = 1; n <= 50; ++n) {
    ema.update();
    expected *= std::min(0.999, (1. + n) / (10. + n));
  }
  CHECK(ema.state()[0].tensor.item() == doctest::Approx(expected).epsilon(1e-4));
  CHECK(expected < 1e-3);
}

TEST_CASE("averages: the state is loaded, and a user's mistakes") {
  Dense a(2, 2), b(2, 2);
  EMA one(a), other(b);
  one.update();
  one.update();
  other.load_state(one.state());
  CHECK(other.state()[0].tensor.values() == one.state()[0].tensor.values());
  CHECK(other.state().back().tensor.item() == 2);
  std::vector<NamedTensor> state = one.state();
  state.back().tensor = Tensor::full({1}, -1, i64);
  CHECK_THROWS_WITH_AS(other.load_state(state),
                       "WeightAverage: expected saved updates >= 0; got -1.", Error);
  Dense larger(3, 2);
  SWA third(larger);
  CHECK_THROWS_AS(third.load_state(one.state()), Error);
  CHECK_THROWS_WITH_AS(EMA(a, {.decay = 1}), "EMA: expected decay in [0, 1); got 1.", Error);
  CHECK_THROWS_AS(EMA(a, {.decay = NAN}), Error);
}
