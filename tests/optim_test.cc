#include <cmath>
#include <memory>

#include "fixture.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/random.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/adam.h"
#include "ramp/optim/sgd.h"

using namespace ramp;

using Values = std::vector<double>;

namespace {

std::unique_ptr<Optimizer> make(const Fixture& f, const Tensor& w) {
  const auto option = [&](const char* key, double otherwise) {
    return f.has(key) ? f.number(key) : otherwise;
  };
  if (f.name.rfind("SGD", 0) == 0) {
    SgdOptions o;
    o.lr = f.number("lr");
    o.momentum = option("momentum", o.momentum);
    o.dampening = option("dampening", o.dampening);
    o.weight_decay = option("weight_decay", o.weight_decay);
    o.nesterov = option("nesterov", 0) != 0;
    return std::make_unique<SGD>(std::vector<NamedTensor>{{"w", w}}, o);
  }
  AdamOptions o;
  o.lr = f.number("lr");
  o.beta1 = option("beta1", o.beta1);
  o.beta2 = option("beta2", o.beta2);
  o.eps = option("eps", o.eps);
  o.weight_decay = option("weight_decay", o.weight_decay);
  return std::make_unique<Adam>(std::vector<NamedTensor>{{"w", w}}, o);
}

std::vector<NamedTensor> one(const Tensor& w) { return {{"w", w}}; }

}  // namespace

TEST_CASE("ten steps are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("optim")) {
    INFO(f.name);
    ++cases;
    Tensor w = f.leaf("start");
    const auto optimizer = make(f, w);
    const Tensor gradients = f.tensor("gradients"), path = f.tensor("path");
    for (int64_t t = 0; t < 10; ++t) {
      w.zero_grad();
      if (t < f.number("late")) {
        CHECK_THROWS_AS(optimizer->step(), Error);
      } else {
        w.set_grad(gradients.rows(t, t + 1).view({5}));
        optimizer->step();
      }
      check_close(w.detach(), path.rows(t, t + 1).view({5}), w.dtype() == f32 ? 3e-6 : 1e-13);
    }
  }
  CHECK(cases == 30);
}

TEST_CASE("each parameter counts its own steps") {
  // A parameter that starts at step 4 goes the way of one that starts at once.
  const auto ways = [](auto make_optimizer) {
    Tensor early = Tensor::ones({3}, f64).requires_grad_(), late = early.clone().requires_grad_();
    auto optimizer = make_optimizer(std::vector<NamedTensor>{{"early", early}, {"late", late}});
    const Tensor g = Tensor::of<double>({1, -2, 0.5});
    std::vector<Values> way;
    for (int t = 0; t < 8; ++t) {
      early.set_grad(g);
      if (t >= 4) late.set_grad(g);
      optimizer.step();
      if (t < 4) {
        way.push_back(early.values());
        CHECK(late.values() == Values{1, 1, 1});
      } else {
        CHECK(late.values() == way[t - 4]);
      }
    }
    CHECK(optimizer.steps() == 8);
  };
  ways([](auto p) { return Adam(p, {.lr = 0.1}); });
  ways([](auto p) { return SGD(p, {.lr = 0.1, .momentum = 0.9, .dampening = 0.5}); });
}

TEST_CASE("frozen parameters are left out; those without a gradient stay; tied ones move once") {
  Sequential net{Dense(3, 4, ReLU{}), Dense(4, 2)};
  net[0].freeze();
  const Values frozen = net.get<Dense>(0).weight.values();
  const Values before = net.get<Dense>(1).bias.values();
  SGD sgd(net, {.lr = 1});
  backward(sum(net(Tensor::ones({1, 3}))));
  sgd.step();
  CHECK(net.get<Dense>(0).weight.values() == frozen);
  CHECK(net.get<Dense>(1).bias.values() == Values{before[0] - 1, before[1] - 1});

  Tensor w = Tensor::of<float>({1}).requires_grad_();
  SGD tied(std::vector<NamedTensor>{{"a", w}, {"b", w}}, {.lr = 1});
  w.set_grad(Tensor::of<float>({0.25}));
  tied.step();
  CHECK(w.item() == 0.75);
}

TEST_CASE("a step is announced: a tape that needs the old values fails") {
  Tensor w = Tensor::of<float>({1, 2}).requires_grad_();
  SGD sgd(one(w), {.lr = 0.1});
  const Tensor loss = sum(w * w);
  backward(loss, {}, {.retain_graph = true});
  sgd.step();
  CHECK_THROWS_AS(backward(loss), Error);
}

TEST_CASE("equal bits for 1 and 2 threads, with pieces of many sizes") {
  const int threads_before = num_threads();
  for (const bool adam : {true, false}) {
    std::vector<Values> first;
    for (const int threads : {1, 2}) {
      set_num_threads(threads);
      Rng rng(1);
      std::vector<NamedTensor> p;
      for (const int64_t n : {1, 100, 16384, 16385, 50000, 0, 7}) {
        p.push_back({std::to_string(n), rng.normal({n}).requires_grad_()});
      }
      std::unique_ptr<Optimizer> optimizer;
      if (adam) {
        optimizer = std::make_unique<Adam>(p);
      } else {
        optimizer = std::make_unique<SGD>(p, SgdOptions{.lr = 0.1, .momentum = 0.9});
      }
      for (int t = 0; t < 3; ++t) {
        for (NamedTensor& w : p) w.tensor.set_grad(rng.normal(w.tensor.shape()));
        optimizer->step();
      }
      std::vector<Values> all;
      for (const NamedTensor& w : p) all.push_back(w.tensor.values());
      if (threads == 1) first = all;
      CHECK(all == first);
    }
  }
  set_num_threads(threads_before);
}

TEST_CASE("a quadratic is minimized") {
  const Tensor target = Tensor::of<double>({1, -2, 3});
  for (const bool adam : {true, false}) {
    Tensor w = Tensor::zeros({3}, f64).requires_grad_();
    std::unique_ptr<Optimizer> optimizer;
    if (adam) {
      optimizer = std::make_unique<Adam>(one(w), AdamOptions{.lr = 0.1});
    } else {
      optimizer = std::make_unique<SGD>(one(w), SgdOptions{.lr = 0.1, .momentum = 0.5});
    }
    for (int t = 0; t < 400; ++t) {
      optimizer->zero_grad();
      backward(sum((w - target) * (w - target)));
      optimizer->step();
    }
    for (size_t i = 0; i < 3; ++i)
      CHECK(w.values()[i] == doctest::Approx(target.values()[i]).epsilon(1e-3));
  }
}

TEST_CASE("the rate can change, and is checked") {
  Tensor w = Tensor::of<float>({1}).requires_grad_();
  SGD sgd(one(w), {.lr = 1});
  CHECK(sgd.rate() == 1);
  sgd.set_rate(0.5);
  w.set_grad(Tensor::ones({1}));
  sgd.step();
  CHECK(w.item() == 0.5);
  sgd.set_rate(0);
  sgd.step();
  CHECK(w.item() == 0.5);
  for (const double wrong : {-0.1, static_cast<double>(NAN), HUGE_VAL}) {
    const std::string text =
        fmt::format(": the rate must be a finite number of at least 0; got {}.", wrong);
    CHECK_THROWS_WITH_AS(sgd.set_rate(wrong), ("SGD" + text).c_str(), Error);
    CHECK_THROWS_WITH_AS(SGD(one(w), {.lr = wrong}), ("SGD" + text).c_str(), Error);
    CHECK_THROWS_WITH_AS(Adam(one(w), {.lr = wrong}), ("Adam" + text).c_str(), Error);
  }
  CHECK(sgd.rate() == 0);
}

TEST_CASE("a user's mistakes") {
  Tensor w = Tensor::of<float>({1}).requires_grad_();
  for (const double wrong : {-0.1, static_cast<double>(NAN)}) {
    CHECK_THROWS_AS(SGD(one(w), {.momentum = wrong}), Error);
    CHECK_THROWS_AS(SGD(one(w), {.dampening = wrong}), Error);
    CHECK_THROWS_AS(SGD(one(w), {.weight_decay = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.beta1 = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.beta2 = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.eps = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.weight_decay = wrong}), Error);
  }
  CHECK_THROWS_WITH_AS(Adam(one(w), {.beta1 = 1}), "Adam: beta1 must be in [0, 1); got 1.", Error);
  CHECK_THROWS_AS(Adam(one(w), {.beta2 = 1}), Error);
  CHECK_THROWS_WITH_AS(SGD(one(w), {.nesterov = true}),
                       "SGD: Nesterov needs momentum above 0 and no dampening; got momentum 0 and "
                       "dampening 0.",
                       Error);
  CHECK_THROWS_AS(SGD(one(w), {.momentum = 0.9, .dampening = 0.1, .nesterov = true}), Error);
  CHECK_THROWS_WITH_AS(
      Adam(one(Tensor::ones({1}))),
      "Adam: expected parameters that require a gradient; got none of 1. Hint: does "
      "fields() name them, and are they frozen?",
      Error);
  CHECK_THROWS_AS(SGD(std::vector<NamedTensor>{}), Error);
  CHECK_THROWS_WITH_AS(
      SGD(one({})), "SGD: w is undefined (moved from, or never set). Hint: give it a value first.",
      Error);

  Dense layer(2, 2);
  Adam adam(layer);
  CHECK_THROWS_WITH_AS(adam.step(),
                       "Adam: step() found no gradient in any of 2 parameters. Hint: backward() "
                       "comes before it, and an optimizer is made after to() and freeze().",
                       Error);
  layer.to(f64);  // the optimizer still has the old leaves
  backward(sum(layer(Tensor::ones({1, 2}, f64))));
  CHECK_THROWS_AS(adam.step(), Error);
  CHECK(adam.steps() == 0);
}
