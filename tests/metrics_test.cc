#include "ramp/train/metrics.h"

#include <cmath>
#include <limits>
#include <thread>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
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
  CHECK(of(Tensor::zeros({2, 1}), Tensor::of<int64_t>({0, 2})) ==
        "accuracy: labels must be in 0..1; got 2 at row 1. Hint: leave out the rows that do not "
        "count.");
  CHECK(of(Tensor::zeros({2, 1}), Tensor::of<float>({0, 0.5}, {2, 1})).find("got 0.5 at row 1") !=
        std::string::npos);
  CHECK(of({}, x).find("accuracy: logits is undefined") == 0);
  CHECK(of(x, {}).find("accuracy: labels is undefined") == 0);
}

TEST_CASE("one logit for two classes: labels as numbers or floats, with the last axis or without") {
  const Tensor logits = Tensor::of<float>({2, -1, 0, NAN, 3}, {5, 1});
  const Tensor labels = Tensor::of<int64_t>({1, 0, 1, 0, 0});
  CHECK(accuracy(logits, labels) == 0.4);
  CHECK(accuracy(logits, reshape(labels, {5, 1})) == 0.4);
  CHECK(accuracy(reshape(logits, {5}), labels.to(f32)) == 0.4);
  CHECK(confusion_matrix(logits, labels).values() == std::vector<double>{1, 1, 1, 1});
}

TEST_CASE("top k: the label's logit among the k largest, equal ones for it") {
  const Tensor logits = Tensor::of<float>({5, 4, 3, 2, 1, 1, 2, 2, NAN, 9, 8, 7}, {3, 4});
  const Tensor labels = Tensor::of<int64_t>({2, 3, 1});
  CHECK(top_k_accuracy(logits, labels, 1) == doctest::Approx(1 / 3.));  // 2 is one of two largest
  CHECK(top_k_accuracy(logits, labels, 2) == doctest::Approx(1 / 3.));
  CHECK(top_k_accuracy(logits, labels, 3) == doctest::Approx(2 / 3.));
  CHECK(top_k_accuracy(logits, labels, 4) == doctest::Approx(2 / 3.));  // NaN is wrong
  CHECK(message([&] { top_k_accuracy(logits, labels, 5); }) ==
        "top_k_accuracy: k must be in 1..4, the classes; got 5.");
}

TEST_CASE("confusion matrix, precision, recall, F1") {
  // Guesses 0 0 1 1 2 0 for labels 0 0 0 1 1 3; of four classes no label is 2.
  const std::vector<int64_t> guesses{0, 0, 1, 1, 2, 0};
  const Tensor labels = Tensor::of<int64_t>({0, 0, 0, 1, 1, 3});
  Tensor logits = Tensor::zeros({6, 4});
  for (size_t i = 0; i < 6; ++i) logits.mutable_data<float>()[4 * i + guesses[i]] = 1;
  CHECK(confusion_matrix(logits, labels).values() ==
        std::vector<double>{2, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0});
  // By class 0, 1, 3: precision 2/3, 1/2, 0 of 0; recall 2/3, 1/2, 0; F1 2/3, 1/2, 0.
  CHECK(precision(logits, labels) == doctest::Approx((2 / 3. + 0.5) / 3));
  CHECK(recall(logits, labels) == doctest::Approx((2 / 3. + 0.5) / 3));
  CHECK(f1_score(logits, labels) == doctest::Approx((2 / 3. + 0.5) / 3));
  // Two classes: those of class 1. Guesses 1 1 0 1 for labels 1 0 1 1.
  const Tensor z = Tensor::of<float>({1, 2, -1, 3}), two = Tensor::of<int64_t>({1, 0, 1, 1});
  CHECK(precision(z, two) == doctest::Approx(2 / 3.));
  CHECK(recall(z, two) == doctest::Approx(2 / 3.));
  CHECK(f1_score(z, two) == doctest::Approx(2 / 3.));
  CHECK(precision(Tensor::of<float>({-1, -1}), Tensor::of<int64_t>({1, 1})) == 0);
}

TEST_CASE("the area under the curve is the share of pairs in order") {
  Rng rng(1);
  const int64_t n = 60;
  Tensor scores = rng.normal({n, 2});
  for (int64_t i = 0; i < 2 * n; ++i) {  // with equal ones
    float& v = scores.mutable_data<float>()[i];
    v = std::round(v * 2) / 2;
  }
  const Tensor labels = (rng.uniform({n}) < 0.3).to(i64);
  double pairs = 0, in_order = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (labels.data<int64_t>()[i] != 1 || labels.data<int64_t>()[j] != 0) continue;
      const float* s = scores.data<float>();
      const double a = s[2 * i + 1] - s[2 * i], b = s[2 * j + 1] - s[2 * j];
      ++pairs;
      in_order += a > b ? 1 : a == b ? 0.5 : 0;
    }
  }
  CHECK(roc_auc(scores, labels) == doctest::Approx(in_order / pairs));
  CHECK(roc_auc(Tensor::of<float>({1, 2}), Tensor::of<int64_t>({0, 1})) == 1);
  CHECK(std::isnan(roc_auc(Tensor::of<float>({1, 2}), Tensor::of<int64_t>({1, 1}))));
  CHECK(std::isnan(roc_auc(Tensor::of<float>({1, NAN}), Tensor::of<int64_t>({0, 1}))));
  CHECK(message([&] {
          roc_auc(Tensor::zeros({2, 3}), Tensor::zeros({2}, i64));
        }) == "roc_auc: expected one or two logits a row; got [2, 3].");
}

TEST_CASE("of numbers: mae, mse, rmse, r2") {
  const Tensor y = Tensor::of<float>({1, 2, 4}, {3, 1}), t = Tensor::of<float>({1, 4, 1}, {3, 1});
  CHECK(mae(y, t) == doctest::Approx(5 / 3.));
  CHECK(mse(y, t) == doctest::Approx(13 / 3.));
  CHECK(rmse(y, t) == doctest::Approx(std::sqrt(13 / 3.)));
  CHECK(r2_score(y, t) == doctest::Approx(1 - 13 / 6.));
  CHECK(r2_score(t, t) == 1);
  CHECK(std::isnan(r2_score(y, Tensor::ones({3, 1}))));
  CHECK(message([&] { mae(y, reshape(t, {3})); }) ==
        "mae: y and target must have the same shape, with elements; got [3, 1] and [3].");
  CHECK(message([&] { mae(y, t.to(i64)); }).find("mae: ") == 0);
}

TEST_CASE("a metric's error holds the truth in 95 of 100 samples") {
  // Normal distances with mean square 1; shares of 0.98.
  Rng rng(3);
  int rmse_in = 0, mae_in = 0, accuracy_in = 0;
  const int runs = 400;
  for (int run = 0; run < runs; ++run) {
    const Tensor y = rng.normal({500}), zero = Tensor::zeros({500});
    const Estimate r = Metric("rmse").of(y, zero), m = Metric("mae").of(y, zero);
    rmse_in += std::abs(r.value - 1) < r.error;
    mae_in += std::abs(m.value - std::sqrt(2 / 3.14159265)) < m.error;
    const Tensor right = 1.0 - 2.0 * (rng.uniform({500}) < 0.02);
    const Estimate a = Metric("accuracy").of(right, Tensor::ones({500}));
    accuracy_in += std::abs(a.value - 0.98) < a.error;
  }
  for (const int in : {rmse_in, mae_in, accuracy_in}) {
    CHECK(in > 0.92 * runs);
    CHECK(in < 0.99 * runs);
  }
  CHECK(Metric("accuracy").of(Tensor::ones({9}), Tensor::ones({9})).error > 0.1);
}

TEST_CASE("a metric's text has as many digits as are known") {
  CHECK(Metric("accuracy").str({0.98017, 0.0027}) == "98.0 +- 0.3 %");
  CHECK(Metric("accuracy").str({0.98017, 0.0014}) == "98.02 +- 0.14 %");
  CHECK(Metric("accuracy").str({0.98017}) == "98.02 %");
  CHECK(Metric("mae").str({12.3456, 0.6}) == "12.3 +- 0.6");
  CHECK(Metric("mae").str({1234.56, 60}) == "1235 +- 60");
  CHECK(Metric("r2").str({0.98765}) == "0.9877");
  CHECK(Metric("mae").str({NAN, NAN}) == "nan");
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
