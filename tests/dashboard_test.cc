#include "ramp/glass/dashboard.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/random.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/sgd.h"

using namespace ramp;

namespace {
std::string written(std::FILE* out) {
  std::rewind(out);
  std::string text(100000, 0);
  text.resize(std::fread(text.data(), 1, text.size(), out));
  std::fclose(out);
  return text;
}
}  // namespace

TEST_CASE("the loss, the gradients, the dead units; in ASCII and in Braille") {
  for (const bool ascii : {true, false}) {
    Sequential net(Dense(2, 4, ReLU{}), Dense(4, 1));
    Tensor w = net.named_parameters()[0].tensor.detach(),
           b = net.named_parameters()[1].tensor.detach();
    w.fill_(0.5);
    b.copy_(Tensor::of<float>({0, -100, -100, 0}));
    net.named_parameters()[2].tensor.detach().fill_(0.25);
    glass::Dashboard dashboard(net, {.every = 1, .ascii = ascii, .out = nullptr});
    for (int i = 0; i < 20; ++i) {
      backward(mean(net(Tensor::ones({3, 2}))));
      dashboard.after_step(2 - 0.1 * i);
      for (Tensor& p : net.parameters()) node_of(p)->grad = {};
    }
    const std::string picture = "\n" + dashboard.text();
    if (ascii) {
      CHECK(picture == R"(
step 20   loss 0.1
        2 |***
          |   *****
          |        ****
          |            *****
      0.1 |                 ***
gradient norms, 1e-8 to 100
0.weight                       0.5 ##################
0.bias                       0.354 ##################
1.weight                      1.41 ####################
1.bias                           1 ###################
units that never fire, in the last 10 looks
0 Dense(2, 4, relu)         2 of 4
)");
    } else {
      const std::string curve = R"(
        2 │⠑⢄
          │  ⠑⢄
          │    ⠑⢄
          │      ⠑⢄
      0.1 │        ⠑⢄
)";
      CHECK(picture.find(curve) != std::string::npos);
      CHECK(picture.find("█") != std::string::npos);
    }
    CHECK(picture.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("fit with a dashboard: the same bits, one picture an epoch where there is no terminal") {
  Rng rng(1);
  const Tensor x = rng.uniform({64, 2}, -1, 1), y = sum(x, 1, {.keepdims = true});
  std::vector<std::vector<double>> weights;
  for (const bool with : {false, true}) {
    Rng start(7);
    Sequential net(Dense(2, 8, ReLU{}), Dense(8, 1));
    for (Tensor p : net.parameters()) p.detach().copy_(start.uniform(p.shape(), -0.5, 0.5));
    SGD sgd(net.parameters(), {.lr = 0.1});
    std::FILE* out = std::tmpfile();
    glass::Dashboard dashboard(net, {.every = 3, .out = out});
    FitOptions options{.epochs = 2, .batch = 16, .out = nullptr};
    if (with) options.callbacks = {dashboard};
    fit(net, sgd, Dataset{x, y}, options);
    weights.push_back(net.parameters()[0].values());
    const std::string text = written(out);
    CHECK((text.find("step 4 ") != std::string::npos) == with);
    CHECK((text.find("step 8 ") != std::string::npos) == with);
    CHECK(text.find('\x1b') == std::string::npos);
  }
  CHECK(weights[0] == weights[1]);
}

TEST_CASE("long runs, and losses that are not finite") {
  Sequential net(Dense(1, 1));
  glass::Dashboard dashboard(net, {.ascii = true, .out = nullptr});
  CHECK(dashboard.text() == "step 0   loss 0\n");
  for (int i = 0; i < 5000; ++i) dashboard.after_step(i < 10 ? NAN : 1);
  const std::string text = dashboard.text();
  CHECK(text.starts_with("step 5000   loss 1\n"));
  CHECK(text.size() < 500);
  CHECK(text.find("nan") == std::string::npos);
  dashboard.draw();  // to nowhere
  CHECK_THROWS_WITH_AS(glass::Dashboard(net, {.every = 0}),
                       "Dashboard: expected every >= 1 and width >= 1; got 0 and 60.", Error);
}
