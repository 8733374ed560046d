#include "ramp/layers/init.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "ramp/layers/dense.h"

using namespace ramp;

namespace {

struct Moments {
  double mean = 0, std = 0, most = 0;
  explicit Moments(const Tensor& x) {
    const std::vector<double> v = x.values();
    for (const double a : v) {
      mean += a / static_cast<double>(v.size());
      most = std::max(most, std::fabs(a));
    }
    for (const double a : v) std += (a - mean) * (a - mean) / static_cast<double>(v.size());
    std = std::sqrt(std);
  }
};

}  // namespace

TEST_CASE("standard deviation and limits are the theory's, for dense and convolution shapes") {
  struct Case {
    Shape shape;
    double fan_in, fan_out;
  };
  for (const DType dtype : {f32, f64}) {
    for (const Case& c : {Case{{400, 300}, 400, 300}, Case{{3, 5, 64, 128}, 960, 1920},
                          Case{{7, 200, 100}, 1400, 700}}) {
      INFO(c.shape.str());
      Rng rng(3);
      const double n = static_cast<double>(c.shape.numel());
      const auto normal = [&](const Tensor& w, double std) {
        const Moments m(w);
        CHECK(w.shape() == c.shape);
        CHECK(w.dtype() == dtype);
        CHECK_FALSE(w.requires_grad());
        // Five times the error of an estimate from n draws.
        CHECK(std::fabs(m.mean) < 5 * std / std::sqrt(n));
        CHECK(std::fabs(m.std / std - 1) < 5 / std::sqrt(2 * n));
        CHECK(m.most > 3.5 * std);  // a normal's tail, not a uniform's
      };
      const auto uniform = [&](const Tensor& w, double std) {
        const Moments m(w);
        CHECK(w.dtype() == dtype);
        CHECK(std::fabs(m.mean) < 5 * std / std::sqrt(n));
        CHECK(std::fabs(m.std / std - 1) < 5 / std::sqrt(2 * n));
        const double limit = std::sqrt(3) * std;
        CHECK(m.most <= limit * (1 + 1e-6));
        CHECK(m.most > 0.99 * limit);
      };
      const double he = std::sqrt(2 / c.fan_in), glorot = std::sqrt(2 / (c.fan_in + c.fan_out));
      normal(he_normal(c.shape, rng, ReLU{}, dtype), he);
      uniform(he_uniform(c.shape, rng, ReLU{}, dtype), he);
      normal(he_normal(c.shape, rng, LeakyReLU{0.5}, dtype), he / std::sqrt(1.25));
      normal(xavier_normal(c.shape, rng, dtype), glorot);
      uniform(xavier_uniform(c.shape, rng, dtype), glorot);
      normal(lecun_normal(c.shape, rng, dtype), std::sqrt(1 / c.fan_in));
      uniform(lecun_uniform(c.shape, rng, dtype), std::sqrt(1 / c.fan_in));
    }
  }
}

TEST_CASE("the default of he_normal is ReLU's gain") {
  Rng a(1), b(1);
  CHECK(he_normal({20, 30}, a).values() == he_normal({20, 30}, b, ReLU{}).values());
}

TEST_CASE("seeds") {
  const auto weights = [](uint64_t seed) {
    seed_layers(seed);
    const Dense first(30, 20, ReLU{}), second(30, 20, ReLU{});
    CHECK(first.weight.values() != second.weight.values());
    return first.weight.values();
  };
  CHECK(weights(1) == weights(1));
  CHECK(weights(1) != weights(2));
  // The generator is the thread's own, and starts from 0 there.
  std::vector<double> there;
  std::thread([&] { there = Dense(30, 20, ReLU{}).weight.values(); }).join();
  CHECK(there == weights(0));
}

TEST_CASE("Dense starts with the gain of its activation, and zero bias") {
  seed_layers(5);
  CHECK(Moments(Dense(500, 200, ReLU{}).weight).std ==
        doctest::Approx(std::sqrt(2. / 500)).epsilon(0.02));
  CHECK(Moments(Dense(500, 200).weight).std == doctest::Approx(std::sqrt(1. / 500)).epsilon(0.02));
  CHECK(Moments(Dense(500, 200).bias).most == 0);
}

TEST_CASE("shapes without fans, and empty ones") {
  Rng rng(0);
  CHECK_THROWS_WITH_AS(
      he_normal({5}, rng),
      "he_normal: expected a weight shape of rank 2 or more, [.., in, out]; got [5].", Error);
  CHECK_THROWS_AS(he_uniform({}, rng), Error);
  CHECK_THROWS_AS(xavier_normal({5}, rng), Error);
  CHECK_THROWS_AS(xavier_uniform({5}, rng), Error);
  CHECK_THROWS_AS(lecun_normal({5}, rng), Error);
  CHECK_THROWS_AS(lecun_uniform({5}, rng), Error);
  CHECK_THROWS_AS(he_normal({2, 2}, rng, ReLU{}, i64), Error);
  CHECK(he_normal({0, 5}, rng).numel() == 0);
  CHECK(xavier_uniform({0, 0}, rng).numel() == 0);
}
