#include "ramp/train/metrics.h"

#include <cmath>
#include <limits>
#include <thread>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/random.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/sequential.h"

using namespace ramp;

TEST_CASE("accuracy: a row with a NaN is wrong, whatever its label") {
  constexpr float nan = NAN, inf = std::numeric_limits<float>::infinity();
  struct Row {
    std::vector<float> logits;
    int64_t label;
    double right;
  };
  for (const Row& row : std::vector<Row>{{{3, 1, 2}, 0, 1},
                                         {{3, 1, 2}, 2, 0},
                                         {{2, 2, 1}, 0, 1},  // the first of equals
                                         {{2, 2, 1}, 1, 0},
                                         {{nan, nan, nan}, 0, 0},
                                         {{nan, 1, 2}, 0, 0},
                                         {{nan, 1, 2}, 2, 0},
                                         {{3, nan, 2}, 0, 0},
                                         {{3, 1, nan}, 2, 0},
                                         {{3, inf, 2}, 1, 1},
                                         {{-inf, -inf, -inf}, 0, 1}}) {
    for (const DType dtype : {f32, f64}) {
      const Tensor x = Tensor::of(row.logits, {1, 3}).to(dtype);
      INFO(row.logits[0], " ", row.logits[1], " ", row.logits[2], " label ", row.label);
      CHECK(accuracy(x, Tensor::of<int64_t>({row.label})) == row.right);
    }
  }
  // Of four rows two are right, and one of these has a NaN.
  const Tensor x = Tensor::of<float>({1, 0, 0, 1, nan, 1, 1, 0}, {4, 2});
  const Tensor labels = Tensor::of<int64_t>({0, 1, 0, 1});
  CHECK(accuracy(x, labels) == 0.5);
  CHECK(accuracy(reshape(x, {2, 2, 2}), reshape(labels, {2, 2})) == 0.5);
}

TEST_CASE("accuracy: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 3});
  const auto of = [](const Tensor& logits, const Tensor& labels) {
    return message([&] { accuracy(logits, labels); });
  };
  CHECK(
      of(x, Tensor::zeros({3}, i64)) ==
      "accuracy: expected logits [n, .., classes] and labels [n, ..], n > 0; got [2, 3] and [3].");
  CHECK(of(Tensor::zeros({0, 3}), Tensor::zeros({0}, i64)).find("n > 0; got [0, 3] and [0].") !=
        std::string::npos);
  CHECK(of(Tensor::zeros({3}), Tensor::zeros({}, i64)).find("got [3] and [].") !=
        std::string::npos);
  CHECK(of(x, Tensor::zeros({2})) ==
        "accuracy: labels must be class numbers, i64; got f32. Hint: labels.to(i64).");
  CHECK(of(x, Tensor::of<int64_t>({0, 3})) ==
        "accuracy: labels must be in 0..2; got 3 at row 1. Hint: leave out the rows that do not "
        "count.");
  CHECK(of(Tensor::zeros({2, 1}), Tensor::of<int64_t>({0, 1})) ==
        "accuracy: labels must be in 0..0; got 1 at row 1. Hint: mean((logits > 0) == labels) for "
        "one logit.");
  CHECK(of({}, x).find("accuracy: logits is undefined") == 0);
  CHECK(of(x, {}).find("accuracy: labels is undefined") == 0);
}

TEST_CASE("predict from several threads on one model in training") {
  Sequential net{Dense(4, 8), BatchNorm(8, ReLU{}), Dropout(0.5), Dense(8, 3)};
  const Tensor x = Rng(1).normal({40, 4}), y = predict(net, x);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i)
        count += predict(net, x, 7).values() != predict(net, x, 7).values();
      count += difference(predict(net, x), y, 1e-6) != "";
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(wrong == std::vector<int>(4));
}

TEST_CASE("predict: in evaluation, in batches of any size, and nothing is recorded") {
  const int64_t nodes = live_nodes();
  {
    Sequential net{Dense(4, 8), BatchNorm(8, ReLU{}), Dropout(0.5), Dense(8, 3)};
    const int64_t parameters = live_nodes();
    const Tensor x = Rng(1).normal({10, 4});
    const Tensor y = predict(net, x);
    CHECK(y.shape() == Shape{10, 3});
    CHECK(!y.requires_grad());
    for (const int64_t batch : {1, 3, 10, 11}) check_close(predict(net, x, batch), y, 1e-6);
    CHECK(live_nodes() == parameters);
    CHECK(net.training());
    net.eval();
    check_close(net(x).detach(), y, 1e-6);

    CHECK(predict(net, Tensor::zeros({0, 4})).shape() == Shape{0, 3});
    CHECK(message([&] { predict(net, x, 0); }) ==
          "predict: expected a batch of at least 1; got 0.");

    // evaluate() is the accuracy of that.
    Tensor labels = Tensor::zeros({10}, i64);
    CHECK(evaluate(net, {x, labels}) == accuracy(y, labels));
    CHECK(message([&] {
            evaluate(net, {x.rows(0, 0), labels.rows(0, 0)});
          }).find("accuracy: ") == 0);
  }
  CHECK(live_nodes() == nodes);
}
