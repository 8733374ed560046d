#include "ramp/glass/reasons.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "ramp/ramp.h"

using namespace ramp;

namespace {

double distance(const Tensor& f, int64_t a, int64_t b) {
  double squares = 0;
  for (int64_t k = 0; k < f.dim(1); ++k) squares += std::pow(f.at({a, k}) - f.at({b, k}), 2);
  return std::sqrt(squares);
}

}  // namespace

TEST_CASE("answers: logits, and what the last layer is given") {
  seed_layers(1);
  Sequential body{Conv2d(1, 3, 3, ReLU{}), MaxPool2d(2)};
  Sequential net{body, Flatten{}, Dense(12, 5, ReLU{}), Dense(5, 4)};
  const Tensor x = Rng(1).normal({2500, 6, 6, 1});
  const Answers a = answers(net, x);
  CHECK(a.logits.values() == predict(net, x).values());
  REQUIRE(a.features.shape() == Shape{2500, 5});
  const NoGrad no_grad;
  CHECK(a.features.rows(1000, 1003).values() == net.first(3)(x.rows(1000, 1003)).values());
  // One layer: nothing comes before it.
  Sequential one{Dense(2, 3)};
  CHECK_FALSE(answers(one, Tensor::ones({2, 2})).features.defined());
  // As many as there is room for: the first ones.
  Sequential wide{Dense(2, 1 << 13), Dense(1 << 13, 3)};
  CHECK(answers(wide, Tensor::ones({2100, 2})).features.shape() == Shape{2048, 1 << 13});
}

TEST_CASE("neighbours: as brute force finds them") {
  const Tensor f = Rng(2).normal({200, 6});
  const std::vector<double> y = Rng(3).randint({200}, 0, 4).values();
  std::vector<int64_t> labels(y.begin(), y.end()), guesses = labels, wrong;
  for (int64_t i = 0; i < 200; i += 2) {
    guesses[static_cast<size_t>(i)] = (labels[static_cast<size_t>(i)] + 1 + i % 3) % 4;
    wrong.push_back(i);
  }
  const std::vector<Neighbours> found = neighbours(f, guesses, labels, wrong);
  REQUIRE(found.size() == wrong.size());
  for (size_t k = 0; k < wrong.size(); ++k) {
    const int64_t at = wrong[k];
    const auto nearest = [&](int64_t of) {
      int64_t best = -1;
      for (int64_t i = 1; i < 200; i += 2)  // those it is right about
        if (labels[static_cast<size_t>(i)] == of &&
            (best < 0 || distance(f, at, i) < distance(f, at, best)))
          best = i;
      return best;
    };
    CHECK(found[k].said == nearest(guesses[static_cast<size_t>(at)]));
    CHECK(found[k].label == nearest(labels[static_cast<size_t>(at)]));
    CHECK(found[k].to_said == doctest::Approx(distance(f, at, found[k].said)).epsilon(1e-4));
    CHECK(found[k].to_label == doctest::Approx(distance(f, at, found[k].label)).epsilon(1e-4));
  }
  // Without features, or a class that is never right.
  CHECK(neighbours(f.rows(0, 100), guesses, labels, {150})[0].said == -1);
  CHECK(neighbours({}, guesses, labels, {0})[0].label == -1);
  CHECK(neighbours(f.rows(0, 2), {1, 1}, {0, 1}, {0})[0].said == 1);
  CHECK(neighbours(f.rows(0, 2), {1, 1}, {0, 1}, {0})[0].label == -1);
}

TEST_CASE("evidence: of a linear model, the weights times x") {
  seed_layers(1);
  Sequential net{Dropout(0.5), Dense(6, 4)};
  const Tensor& w = net.get<Dense>(1).weight;
  const Tensor x = Rng(2).normal({70, 6});
  std::vector<int64_t> guesses, labels;
  for (int64_t i = 0; i < 70; ++i) guesses.push_back(i % 4), labels.push_back((i + 1) % 4);
  const Tensor e = evidence(net, x, guesses, labels, -2);
  REQUIRE(e.shape() == x.shape());
  for (int64_t i = 0; i < 70; ++i)
    for (int64_t k = 0; k < 6; ++k)
      CHECK(e.at({i, k}) ==
            doctest::Approx((w.at({k, i % 4}) - w.at({k, (i + 1) % 4})) * (x.at({i, k}) + 2))
                .epsilon(1e-4));
  CHECK_FALSE(has_grad(w));
  CHECK(net.training());
  CHECK(live_nodes() == 2);  // the parameters
}
