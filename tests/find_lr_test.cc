#include "ramp/train/find_lr.h"

#include <doctest/doctest.h>

#include <cmath>

#include "message.h"
#include "ramp/ramp.h"

using namespace ramp;

namespace {

const Dataset& digits() {
  static const Dataset all = load_mnist("mnist", Split::test).rows(0, 2000);
  return all;
}
Sequential mlp() {
  return Sequential{Flatten{}, Dense(784, 64, ReLU{}), Dropout(0.1), BatchNorm(64), Dense(64, 10)};
}

// What a trial may not change.
std::vector<std::vector<double>> all_of(ModuleBase& net, Optimizer& optimizer) {
  std::vector<std::vector<double>> all;
  for (const NamedTensor& t : net.state()) all.push_back(t.tensor.values());
  for (const NamedTensor& t : optimizer.state()) all.push_back(t.tensor.values());
  for (const Tensor& p : net.parameters()) CHECK(!p.grad().defined());
  return all;
}

}  // namespace

TEST_CASE("find_lr: an lr that trains well, for several optimizers; all is put back") {
  const auto check = [](Optimizer& optimizer, Sequential& net, double low, double high) {
    // Some state to put back.
    cross_entropy(net(digits().x.rows(0, 10)), digits().y.rows(0, 10)).backward();
    optimizer.step();
    optimizer.zero_grad();
    const double lr = optimizer.lr();
    const auto before = all_of(net, optimizer);
    const LrCurve curve = find_lr(net, optimizer, digits());
    CHECK(all_of(net, optimizer) == before);
    CHECK(optimizer.lr() == lr);
    INFO(curve.str());
    CHECK(curve.suggestion > low);
    CHECK(curve.suggestion < high);
    CHECK(curve.least > curve.suggestion);
    REQUIRE(curve.lr.size() == curve.loss.size());
    CHECK(curve.lr.size() > 50);
    const Plot chart = plot(curve);
    CHECK(svg(chart).find(curve.str()) != std::string::npos);
    CHECK(std::abs(chart.series[1].x[0] - std::log10(curve.suggestion)) < 1e-9);
    optimizer.set_lr(curve.suggestion);
    fit(net, optimizer, digits(), {.epochs = 2, .out = nullptr});
    CHECK(evaluate(net, digits()) > 0.85);
  };
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    seed_layers(seed);
    Sequential a = mlp(), b = mlp(), c = mlp();
    Adam adam(a);
    check(adam, a, 1e-4, 3e-2);
    SGD sgd(b);
    check(sgd, b, 1e-3, 1);
    SGD with_momentum(c, {.momentum = 0.9});
    check(with_momentum, c, 1e-3, 0.3);
  }
}

TEST_CASE("find_lr: a user's mistakes") {
  Sequential net = mlp();
  Adam adam(net);
  CHECK(message([&] { find_lr(net, adam, digits(), {}, {.from = 1, .to = 1}); }) ==
        "find_lr: expected 0 < from < to, steps >= 10, batch >= 1; got 1, 1, 120, 64.");
  CHECK(message([&] { find_lr(net, adam, {}); }).find("find_lr: ") == 0);
  const auto each = [&](const Dataset& b) { return net(b.x); };
  CHECK(message([&] { find_lr(net, adam, digits(), each); }) ==
        "find_lr: the loss of a batch must be one number; got [64, 10]. Hint: mean(loss).");
  const auto nan = [&](const Dataset& b) { return sum(net(b.x)) * NAN; };
  CHECK(message([&] { find_lr(net, adam, digits(), nan); }) ==
        "find_lr: the loss is nan before any step. Hint: autopsy(), Anomaly.");
  CHECK(!net.parameters()[0].grad().defined());
  CHECK(message([&] { plot(LrCurve{}); }) == "plot: the curve has no steps.");
  struct Pair final : ModuleOf<Pair> {
    Dense a{1, 1};
    std::pair<Tensor, Tensor> forward(const Tensor& x) { return {a(x), x}; }
    void fields(Fields& f) override { f.child("a", a); }
  } pair;
  Adam of_pair(pair);
  const Dataset ones{Tensor::ones({2, 1}), Tensor::ones({2, 1})};
  CHECK(message([&] {
          overfit_one_batch(pair, of_pair, ones);
        }).find("overfit_one_batch: a model that is no Module needs a loss of the batch") == 0);
}

TEST_CASE("find_lr, overfit_one_batch: a model of several inputs is called by x and more") {
  seed_layers(1);
  struct Two final : ModuleOf<Two> {
    Dense a{2, 8, Tanh{}}, b{1, 8}, out{8, 1};
    Tensor forward(const Tensor& x, const Tensor& z) { return out(a(x) + b(z)); }
    void fields(Fields& f) override { f.child("a", a).child("b", b).child("out", out); }
  } net;
  Adam adam(net, {.lr = 3e-2});
  Rng rng(2);
  const Dataset data{rng.normal({64, 2}), rng.normal({64, 1}), {rng.normal({64, 1})}};
  CHECK(find_lr(net, adam, data, {}, {.batch = 16}).suggestion > 0);
  CHECK(overfit_one_batch(net, adam, data.rows(0, 6), mse_loss).fits);
}

TEST_CASE("overfit_one_batch: a sound model does, whatever the labels; a broken one does not") {
  seed_layers(1);
  const Dataset batch = digits().rows(0, 32);
  const Dataset wrong{batch.x, Rng(1).randint({32}, 0, 10)};
  {
    Sequential net = mlp();
    Adam adam(net, {.lr = 3e-3});
    const auto before = all_of(net, adam);
    for (const Dataset& data : {batch, wrong}) {
      const Overfit result = overfit_one_batch(net, adam, data);
      INFO(result.str());
      CHECK(result.fits);
      CHECK(result.steps < 200);
      CHECK(result.least <= 0.05 * result.first);
    }
    CHECK(all_of(net, adam) == before);
  }
  {
    Sequential net{Flatten{}, Dense(784, 64, ReLU{}), Dropout(1), Dense(64, 10)};
    Adam adam(net, {.lr = 3e-3});
    const Overfit result = overfit_one_batch(net, adam, batch, {}, {.steps = 50});
    CHECK(!result.fits);
    CHECK(result.str().find("does not fit: the loss fell from 2.") == 0);
    CHECK(result.steps == 50);
  }
  {
    Sequential net{Dense(3, 8, Tanh{}), Dense(8, 1)};
    Adam adam(net, {.lr = 3e-2});
    Rng rng(2);
    const Dataset numbers{rng.normal({8, 3}), rng.normal({8, 1})};
    CHECK(overfit_one_batch(net, adam, numbers, "huber").fits);
  }
  Sequential net{Dense(2, 2)};
  SGD sgd(net);
  CHECK(message([&] { overfit_one_batch(net, sgd, batch, {}, {.share = 1}); }) ==
        "overfit_one_batch: expected steps >= 1 and a share in (0, 1); got 300 and 1.");
}
