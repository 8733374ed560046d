#include <cmath>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/node.h"
#include "ramp/core/parallel.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/init.h"
#include "ramp/layers/sequential.h"

using namespace ramp;

namespace {

Tensor random(const Shape& shape, uint64_t seed, DType dtype = f32) {
  return Rng(seed).normal(shape, 0, 1, dtype);
}

}  // namespace

TEST_CASE("each value is dropped with probability p, the others are scaled") {
  for (const DType dtype : {f32, f64}) {
    for (const double p : {0.1, 0.5, 0.9}) {
      Rng rng(1);
      constexpr int64_t n = 100000;
      const std::vector<double> y = dropout(Tensor::full({n}, 3, dtype), p, rng).values();
      double dropped = 0;
      for (const double v : y) {
        if (v == 0) {
          ++dropped;
        } else {
          CHECK(v == doctest::Approx(3 / (1 - p)).epsilon(1e-6));
        }
      }
      // Five standard deviations.
      CHECK(std::fabs(dropped / n - p) < 5 * std::sqrt(p * (1 - p) / n));
    }
  }
}

TEST_CASE("dropout2d drops channels of a sample whole") {
  Rng rng(2);
  constexpr int64_t n = 200, c = 50, places = 12;
  const std::vector<double> y = dropout2d(Tensor::ones({n, 3, 4, c}), 0.25, rng).values();
  double dropped = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      const double first = y[static_cast<size_t>(i * places * c + j)];
      CHECK((first == 0 || first == doctest::Approx(4 / 3.0).epsilon(1e-6)));
      dropped += first == 0;
      for (int64_t k = 1; k < places; ++k) {
        CHECK(y[static_cast<size_t>((i * places + k) * c + j)] == first);
      }
    }
  }
  CHECK(std::fabs(dropped / (n * c) - 0.25) < 5 * std::sqrt(0.25 * 0.75 / (n * c)));
}

TEST_CASE("the mask depends on seed and draw, not on the threads") {
  const int before = num_threads();
  const Tensor x = random({300, 10, 33}, 1);
  std::vector<Tensor> results[2];
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    Rng rng(7);
    for (int draw = 0; draw < 2; ++draw) {
      Tensor leaf = x.clone().requires_grad_();
      const Tensor y = dropout2d(dropout(leaf, 0.5, rng), 0.5, rng);
      backward(y, random(x.shape(), 2));
      results[threads - 1].push_back(y.detach());
      results[threads - 1].push_back(leaf.grad());
    }
  }
  set_num_threads(before);
  for (size_t i = 0; i < 4; ++i) check_close(results[0][i], results[1][i], 0);
  CHECK(difference(results[0][0], results[0][2], 0.1) != "");  // another draw, another mask
  Rng other(8);
  CHECK(difference(dropout2d(dropout(x, 0.5, other), 0.5, other), results[0][0], 0.1) != "");
}

TEST_CASE("the derivatives, and no node is left behind") {
  const int64_t before = live_nodes();
  for (const auto& op : {dropout, dropout2d}) {
    CHECK(gradcheck(
              [&](const auto& in) {
                Rng rng(3);
                return op(in[0], 0.4, rng);
              },
              {random({5, 4, 6}, 1, f64)}) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("p = 0, p = 1, NaN and empty inputs") {
  Rng rng(1);
  const Tensor x = random({4, 3, 5}, 1);
  for (const auto& op : {dropout, dropout2d}) {
    check_close(op(x, 0, rng), x, 0);
    CHECK(rng.draw() == 0);
    rng = Rng(1);
    check_close(op(x, 1, rng), Tensor::zeros(x.shape()), 0);
    rng = Rng(1);
    Tensor leaf = x.clone().requires_grad_();
    backward(op(leaf, 1, rng), x);
    check_close(leaf.grad(), Tensor::zeros(x.shape()), 0);
    rng = Rng(1);
    CHECK(op(Tensor::zeros({0, 3}), 0.5, rng).shape() == Shape{0, 3});
    rng = Rng(1);
    for (const double v : op(Tensor::full({9, 9}, NAN), 0.5, rng).values()) CHECK(std::isnan(v));
    rng = Rng(1);
  }
  CHECK(dropout(Tensor::scalar(2), 1, rng).item() == 0);
}

TEST_CASE("the layers are active in training only") {
  seed_layers(5);
  Sequential net{Dropout(0.5), Dropout2d(0.3)};
  CHECK(net[0].describe() == "Dropout(0.5)");
  CHECK(net[1].describe() == "Dropout2d(0.3)");
  const Tensor x = random({8, 9, 10}, 1);
  const Tensor y = net(x);
  CHECK(difference(y, x, 0.1) != "");
  CHECK(difference(net(x), y, 0.1) != "");  // each forward has a mask of its own
  // The generators are in the state: what is resumed goes on with the same bits.
  CHECK(net.state().size() == 2);
  CHECK(net.state()[1].name == "1.rng");
  Sequential resumed{Dropout(0.5), Dropout2d(0.3)};
  resumed.load_state(net.state());
  check_close(resumed(x), net(x), 0);
  // A copy has its own.
  Sequential copy = net, other = copy;
  const Tensor z = net(x);
  CHECK(difference(copy(x), z, 0.1) != "");
  CHECK(difference(other(x), copy(x), 0.1) != "");
  net.eval();
  check_close(net(x), x, 0);
  // Two layers do not share their masks; the seed decides them.
  Dropout a, b;
  CHECK(difference(a(x), b(x), 0.1) != "");
  seed_layers(5);
  Sequential again{Dropout(0.5), Dropout2d(0.3)};
  check_close(again(x), y, 0);
}

TEST_CASE("errors") {
  Rng rng(1);
  const Tensor x = Tensor::ones({2, 3});
  CHECK(message([&] { dropout(x, 1.5, rng); }) ==
        "dropout: expected a probability p in [0, 1]; got 1.5.");
  CHECK(message([&] { dropout2d(x, -0.1, rng); }) ==
        "dropout2d: expected a probability p in [0, 1]; got -0.1.");
  CHECK(message([&] { dropout(x, NAN, rng); }).find("got nan.") != std::string::npos);
  CHECK(message([&] { dropout(x.to(i64), 0, rng); }) ==
        fmt::format("dropout: expected an f32 or f64 tensor; got i64 {}. Hint: x.to(f32).",
                    x.shape()));
  CHECK(message([&] { dropout({}, 0.5, rng); }).find("dropout: x is undefined") == 0);
  CHECK(message([&] { dropout2d(Tensor::ones({3}), 0.5, rng); }) ==
        "dropout2d: expected x [n, .., c]; got [3]. Hint: dropout drops single values.");
  CHECK(message([] { Dropout(1.5); }) == "Dropout(1.5): expected p in [0, 1].");
  CHECK(message([] { Dropout2d(NAN); }) == "Dropout2d(nan): expected p in [0, 1].");
}
