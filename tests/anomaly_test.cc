#include "ramp/train/anomaly.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "message.h"
#include "ramp/ramp.h"

using namespace ramp;

namespace {

// A layer that is y = f(x).
struct Function final : Module {
  std::function<Tensor(const Tensor&)> f;
  explicit Function(std::function<Tensor(const Tensor&)> f) : f(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return f(x); }
  std::string describe() const override { return "Function"; }
};

// What a training loop ends in under Anomaly.
std::string trained(Module& net, Optimizer& optimizer, const Dataset& data, int steps = 100,
                    AnomalyOptions options = {}) {
  return message([&] {
    const Anomaly anomaly(net, options);
    for (int i = 0; i < steps; ++i) {
      mse_loss(net(data.x), data.y).backward();
      optimizer.step();
      optimizer.zero_grad();
    }
  });
}

bool has(const std::string& text, const std::string& part) {
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK_MESSAGE(found, part);
  return found;
}

Dataset line() {
  const Tensor x = Tensor::of<float>({{-1}, {-0.5}, {0}, {0.5}, {1}});
  return {x, x * 2};
}

}  // namespace

TEST_CASE("anomaly: the op of a layer, forward") {
  Sequential net{Dense(1, 1), Residual{Function([](auto& x) { return log(relu(x)); })},
                 Dense(1, 1)};
  net.get<Dense>(0).weight = Tensor::ones({1, 1});
  SGD sgd(net);
  const std::string text = trained(net, sgd, line());
  CHECK(
      text ==
      "1.body.0: anomaly: in step 1 log made 3 inf in [5, 1] (the first at [0, 0]); log was given "
      "[5, 1] from 0 to 1. Likely: log of 0 or less. Hint: log(clamp(x, 1e-12, INFINITY)), or the "
      "loss of logits: cross_entropy(), bce_with_logits().");
}

TEST_CASE("anomaly: each op says why") {
  struct Row {
    std::function<Tensor(const Tensor&)> f;
    const char *made, *likely;
  };
  for (const auto& [f, made, likely] : std::vector<Row>{
           {[](auto& x) { return sqrt(x); }, "in step 1 sqrt made 2 NaN in [5, 1]",
            "root of a number below 0"},
           {[](auto& x) { return 1 / x; },
            "in step 1 div made 1 inf in [5, 1] (the first at [2, 0])", "a division by 0"},
           {[](auto& x) { return exp(x * 200); }, "in step 1 exp made 2 inf",
            "exp of more than 88"},
           {[](auto& x) { return pow(x, -0.5); }, "in step 1 pow made 2 NaN and 1 inf",
            "a power of 0"},
           {[](auto& x) { return sqrt(relu(x)); }, "backward, in step 1: sqrt",
            "the slope of sqrt at 0 is infinite"}}) {
    Sequential net{Dense(1, 1), Function(f)};
    net.get<Dense>(0).weight = Tensor::ones({1, 1});
    SGD sgd(net);
    const std::string text = trained(net, sgd, line());
    has(text, made);
    has(text, likely);
  }
}

TEST_CASE("anomaly: backward, with the layer and what its op was given") {
  Sequential net{Dense(1, 1), Function([](auto& x) { return sqrt(abs(x)); })};
  net.get<Dense>(0).weight = Tensor::ones({1, 1});
  SGD sgd(net);
  const std::string text = trained(net, sgd, line());
  has(text,
      "anomaly: backward, in step 1: sqrt (in 1 Function) made 1 NaN in [5, 1] (the first at [2, "
      "0]), in the gradient of the result of abs; sqrt was given [5, 1] from 0 to 1. ");
}

TEST_CASE("anomaly: outside of the layers, and where recording begins") {
  Sequential net{Dense(1, 1)};
  net.get<Dense>(0).weight = Tensor::ones({1, 1});
  SGD sgd(net);
  CHECK(message([&] {
          const Anomaly anomaly(net);
          mean(log(net(line().x))).backward();
        }).find("anomaly: in step 1 log made 2 NaN and 1 inf in [5, 1]") == 0);
  Dataset data = line();
  data.x.mutable_data<float>()[3] = NAN;
  const std::string text = trained(net, sgd, data);
  has(text,
      "0: anomaly: in step 1 linear made 1 NaN in [5, 1] (the first at [3, 0]); linear was given "
      "[5, 1] with 1 NaN in [5, 1] (the first at [3, 0]), 0.weight [1, 1] from 1 to 1, ");
  has(text, "it came from where nothing is recorded, as data");
}

TEST_CASE("anomaly: an lr that is too high: the step, the last gradients, their growth") {
  seed_layers(1);
  Sequential net{Dense(1, 8, ReLU{}), Dense(8, 1)};
  SGD sgd(net, {.lr = 5});
  const Anomaly outer(net);
  const std::string text = trained(net, sgd, line());
  has(text, "anomaly: ");
  has(text, "Norms of the last gradients: ");
  has(text, "0.weight ");
  has(text, "the lr is too high");
  CHECK(outer.steps() > 1);
}

TEST_CASE("anomaly: weights that a step made NaN are named") {
  Sequential net{Dense(1, 1), Dense(1, 1)};
  net.get<Dense>(1).weight = Tensor::full({1, 1}, NAN);
  SGD sgd(net);
  const std::string text = trained(net, sgd, line());
  has(text, "1: anomaly: in step 1 linear made 5 NaN");
  has(text, "1.weight was so already: the step before made it so");
}

TEST_CASE("anomaly: infinities may be allowed; nothing is seen after its scope; no node is left") {
  const int64_t nodes = live_nodes();
  {
    const Tensor mask = Tensor::of<float>({{0}, {0}, {1}, {1}, {1}});
    Sequential net{Dense(1, 1), Function([&](auto& x) {
                     const Tensor hidden = Tensor::full({5, 1}, -INFINITY);
                     return sigmoid(where(mask, x, hidden));
                   })};
    SGD sgd(net);
    has(trained(net, sgd, line(), 1), "1: anomaly: in step 1 where made 2 inf");
    CHECK(trained(net, sgd, line(), 3, {.allow_inf = true}) == "no error");
    CHECK(detail::op_watch == nullptr);
    CHECK(detail::watch == nullptr);
    for (const Tensor& p : net.parameters()) CHECK(!node_of(p)->hooks);
    mean(log(net(line().x) * 0)).backward();
  }
  CHECK(live_nodes() == nodes);
}

TEST_CASE("anomaly: steps are counted, a healthy run keeps its bits") {
  std::vector<std::vector<double>> weights;
  for (const bool with : {false, true}) {
    seed_layers(2);
    Sequential net{Dense(1, 8, Tanh{}), Dropout(0.2), Dense(8, 1)};
    Adam adam(net);
    if (with) {
      CHECK(trained(net, adam, line(), 20) == "no error");
    } else {
      for (int i = 0; i < 20; ++i) {
        mse_loss(net(line().x), line().y).backward();
        adam.step();
        adam.zero_grad();
      }
    }
    for (const Tensor& p : net.parameters()) weights.push_back(p.values());
  }
  for (size_t i = 0; i < 4; ++i) CHECK(weights[i] == weights[4 + i]);
}

TEST_CASE("autopsy: the weights, the batch, the step") {
  seed_layers(3);
  Sequential net{Dense(1, 4), BatchNorm(4), Dropout(0.5), Function([](auto& x) { return exp(x); }),
                 Dense(4, 1)};
  const auto loss = [&](const Dataset& b) { return mse_loss(net(b.x), b.y); };
  const Dataset good = line(), far{line().x * 1e3, line().y * 1e30};
  Dataset bad = line();
  bad.y.mutable_data<float>()[1] = INFINITY;

  loss(good).backward();
  std::vector<std::vector<double>> before, after;
  const auto state = [&](auto& list) {
    for (const NamedTensor& t : net.state()) list.push_back(t.tensor.values());
    for (const Tensor& p : net.parameters()) list.push_back(p.grad().values());
  };
  state(before);
  has(autopsy(net, good, loss), "are finite when they are repeated");
  has(autopsy(net, bad, loss),
      "The batch is not finite: y has 1 inf in [5, 1] (the first at [1, 0])");
  has(autopsy(net, far, loss), "mse_loss made inf; mse_loss was given ");
  {
    const NoGrad no_grad;  // as fit has it when it evaluates
    const EvalMode eval;
    has(autopsy(net, far, loss), "3: exp made ");
  }
  state(after);
  CHECK(before == after);
  Sequential root{Dense(1, 1), Function([](auto& x) { return sqrt(abs(x)); })};
  root.get<Dense>(0).weight = Tensor::ones({1, 1});
  has(autopsy(root, line(), [&](const Dataset& b) { return mse_loss(root(b.x), b.y); }),
      "backward: sqrt (in 1 Function) made 1 NaN in [5, 1] (the first at [2, 0])");

  {
    const NoGrad no_grad;
    Tensor(net.get<Dense>(4).weight).fill_(NAN);
  }
  has(autopsy(net, good, loss),
      "The weights were not finite before this step: 4.weight: 4 NaN in [4, 1] (the first at [0, "
      "0]). Likely: a step that was too large.");
}
