#include "ramp/glass/sketch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "message.h"
#include "ramp/ramp.h"

using namespace ramp;

namespace {

// As docstring and format say, from the number itself.
size_t bin_of(double v) {
  if (v == 0) return 31;
  const int k = std::clamp(static_cast<int>(std::floor(std::log2(std::abs(v)))) + 24, 0, 30);
  return static_cast<size_t>(v > 0 ? 32 + k : 30 - k);
}

}  // namespace

TEST_CASE("Sketch: equals brute force") {
  for (const DType dtype : {f32, f64}) {
    Tensor x = (exp(Rng(1).normal({4000}, -3, 8)) * Rng(2).normal({4000})).to(dtype);
    for (int64_t i = 0; i < 4000; i += 7) x.rows(i, i + 1).fill_(0);
    for (const int64_t i : {3, 900, 1801}) x.rows(i, i + 1).fill_(i == 900 ? -INFINITY : NAN);
    Sketch s;
    s.add(x);
    Sketch expected;
    for (const double v : x.values()) {
      ++expected.n;
      if (!std::isfinite(v)) {
        ++expected.bad;
        continue;
      }
      expected.zeros += v == 0;
      expected.sum += v;
      expected.squares += v * v;
      expected.min = std::min(expected.min, v);
      expected.max = std::max(expected.max, v);
      ++expected.hist[bin_of(v)];
    }
    CHECK(s.n == 4000);
    CHECK(s.bad == 3);
    CHECK(s.zeros == expected.zeros);
    CHECK(s.min == expected.min);
    CHECK(s.max == expected.max);
    CHECK(s.hist == expected.hist);
    CHECK(s.sum == doctest::Approx(expected.sum));
    CHECK(s.rms() == doctest::Approx(expected.rms()));
    CHECK(s.std() == doctest::Approx(expected.std()));
  }
}

TEST_CASE("Sketch: bins at powers of two, zeros and the ends") {
  struct Case {
    double v;
    size_t bin;
  };
  for (const auto& [v, bin] : {Case{0, 31},
                               {-0., 31},
                               {1, 56},
                               {1.99, 56},
                               {2, 57},
                               {0.5, 55},
                               {-1, 6},
                               {-2, 5},
                               {1e-30, 32},
                               {-1e-30, 30},
                               {1e-42, 32},
                               {64, 62},
                               {1e9, 62},
                               {-1e9, 0}}) {
    Sketch s;
    s.add(Tensor::full({1}, v));
    CHECK(s.hist[bin] == 1);
  }
}

TEST_CASE("Sketch: several tensors, none, and JSON") {
  Sketch s, both;
  both.add(Tensor::of<float>({1, 2}));
  both.add(Tensor::of<double>({3, 6}));
  s.add(Tensor::of<float>({1, 2, 3, 6}));
  CHECK(both.json() == s.json());
  const auto json = nlohmann::json::parse(s.json());
  CHECK(json["n"] == 4);
  CHECK(json["mean"] == 3);
  CHECK(json["max"] == 6);
  CHECK(json["hist"].size() == 64);

  Sketch none;
  none.add(Tensor::empty({0, 3}));
  CHECK(none.json().starts_with(
      R"({"n":0,"mean":0,"std":0,"min":0,"max":0,"zeros":0,"bad":0,"hist":[0,)"));
  Sketch bad;
  bad.add(Tensor::of<float>({NAN, INFINITY}));
  CHECK(bad.json().starts_with(
      R"({"n":2,"mean":0,"std":0,"min":0,"max":0,"zeros":0,"bad":2,"hist":[0,)"));
  CHECK(message([&] { bad.add(Tensor::arange(3)); }).find("Sketch: ") == 0);
}

TEST_CASE("Sketch: of a large tensor, blocks that no pattern of images hides") {
  // Each image is 0 but in its lower half: half of all values, wherever the blocks lie.
  Tensor x = Tensor::zeros({64, 28, 28, 32});
  for (int64_t i = 0; i < 64; ++i) x[i].rows(14, 28).fill_(1);
  Sketch s;
  s.add(x);
  CHECK(s.n >= Sketch::kLook / 2);
  CHECK(s.n <= Sketch::kLook * 2);
  CHECK(s.mean() == doctest::Approx(0.5).epsilon(0.3));
}

TEST_CASE("Firing: counts equal brute force") {
  for (const Shape& shape :
       {Shape{7, 5}, Shape{64, 9, 9, 33}, Shape{3, 1000}, Shape{4, 1}, Shape{6}, Shape{0, 4}}) {
    const Tensor y = relu(Rng(5).normal(shape));
    const int64_t units = shape.last();
    std::vector<int64_t> expected(static_cast<size_t>(units));
    const std::vector<double> v = y.values();
    for (size_t i = 0; i < v.size(); ++i) expected[i % static_cast<size_t>(units)] += v[i] > 0;
    for (const DType dtype : {f32, f64}) {
      Firing f;
      f.add(y.to(dtype));
      CHECK(f.fired == expected);
      CHECK(f.seen == y.numel() / units);
    }
  }
  Firing f, sum;
  f.add(Tensor::of<float>({{1, NAN, -1}, {2, 0, INFINITY}}));
  CHECK(f.fired == std::vector<int64_t>{2, 0, 1});
  sum.add(f);
  sum.add(f);
  CHECK(sum.fired == std::vector<int64_t>{4, 0, 2});
  CHECK(sum.seen == 4);
  CHECK(message([&] {
          f.add(Tensor::zeros({2, 4}));
        }) == "Firing: expected 3 units; got 4 in y [2, 4].");
}
