#include "ramp/core/random.h"

#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "ramp/core/parallel.h"

using namespace ramp;

namespace {

template <typename T>
std::vector<T> elements(const Tensor& x) {
  return {x.data<T>(), x.data<T>() + x.numel()};
}

// The largest distance between the values' distribution and F (Kolmogorov, Smirnov).
template <typename F>
double distance(std::vector<double> x, F f) {
  std::sort(x.begin(), x.end());
  double d = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double n = static_cast<double>(x.size()), p = f(x[i]);
    d = std::max({d, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return d * std::sqrt(static_cast<double>(x.size()));
}

double mean_of(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

}  // namespace

TEST_CASE("philox: the known answers of its authors (Random123, kat_vectors)") {
  using Block = std::array<uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t f = 0xffffffff;
  CHECK(philox({f, f, f, f}, {f, f}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform is the upper 52 bits of each half block") {
  Rng rng(0);  // whose first block is the first known answer
  const std::vector<double> u = rng.uniform({2}, 0, 1, f64).values();
  CHECK(u[0] == static_cast<double>(0xe169c58d6627e8d5 >> 12) * 0x1p-52);
  CHECK(u[1] == static_cast<double>(0x9b00dbd8bc57ac4c >> 12) * 0x1p-52);
}

TEST_CASE("the numbers are frozen") {
  Rng rng(42);
  std::vector<uint64_t> got;
  for (double v : rng.uniform({3}, -1, 2, f64).values()) got.push_back(std::bit_cast<uint64_t>(v));
  for (double v : rng.normal({5}, 0, 1, f64).values()) got.push_back(std::bit_cast<uint64_t>(v));
  for (float v : elements<float>(rng.normal({3}, 1, 0.5))) {
    got.push_back(std::bit_cast<uint32_t>(v));
  }
  for (double v : rng.permutation(6).values()) got.push_back(static_cast<uint64_t>(v));
  got.push_back(rng.next());
  got.push_back(rng.split().next());
  // All of a long draw, folded into one number.
  uint64_t hash = 0;
  for (double v : rng.normal({100'000}, 0, 1, f64).values()) {
    hash = (hash ^ std::bit_cast<uint64_t>(v)) * 0x100000001b3;
  }
  for (int64_t v : elements<int64_t>(rng.permutation(1000))) {
    hash = (hash ^ static_cast<uint64_t>(v)) * 0x100000001b3;
  }
  got.push_back(hash);
  const std::vector<uint64_t> expected = {0x3fd9f7f6ecb5b034,
                                          0x3f97206e14e0f7c0,
                                          0xbf9342e41825ba80,
                                          0xbfbfc4eccdf40b92,
                                          0xbfe024df1cc6f601,
                                          0x3fde10f032038031,
                                          0x4008697db8ee2f64,
                                          0xbfd178eaadc1c8c3,
                                          0x3f489534,
                                          0x3ede335d,
                                          0x3ef0a84a,
                                          4,
                                          1,
                                          3,
                                          0,
                                          5,
                                          2,
                                          0xbdfc405328011911,
                                          0xdc3697a806b2a072,
                                          0x2973bd5991df6a19};
  std::string text;
  for (uint64_t v : got) text += fmt::format("{:#x}, ", v);
  INFO(text);
  CHECK(got == expected);
}

TEST_CASE("normal: Box and Muller's formula, to rounding") {
  const int64_t n = 20'000;
  const std::vector<double> z = Rng(7).normal({n}, 0, 1, f64).values();
  double worst = 0;
  for (int64_t i = 0; i < n; i += 2) {
    const auto r = philox({static_cast<uint32_t>(i / 2), 0, 0, 0}, {7, 0});
    const auto u = [](uint32_t low, uint32_t high) {
      return static_cast<double>((low | static_cast<uint64_t>(high) << 32) >> 12) * 0x1p-52;
    };
    const double radius = std::sqrt(-2 * std::log(1 - u(r[0], r[1])));
    const double angle = 2 * 3.14159265358979323846 * u(r[2], r[3]);
    worst = std::max(worst, std::abs(z[i] - radius * std::cos(angle)) / radius);
    worst = std::max(worst, std::abs(z[i + 1] - radius * std::sin(angle)) / radius);
  }
  CHECK(worst < 2e-15);
}

TEST_CASE("f32 is the rounded f64, and an element does not depend on the length of its draw") {
  const std::vector<double> wide = Rng(3).normal({1000}, 0, 1, f64).values();
  const std::vector<float> narrow = elements<float>(Rng(3).normal({7, 99}));
  for (size_t i = 0; i < narrow.size(); ++i) CHECK(narrow[i] == static_cast<float>(wide[i]));
  const std::vector<double> u = Rng(3).uniform({1000}, 0, 1, f64).values();
  const std::vector<float> v = elements<float>(Rng(3).uniform({501}));
  for (size_t i = 0; i < v.size(); ++i) CHECK(v[i] == static_cast<float>(u[i]));
}

TEST_CASE("the distributions are right") {
  const int64_t n = 100'000;
  for (uint64_t seed : {0ull, 1ull, 0xffffffffffffffffull}) {
    Rng rng(seed);
    const std::vector<double> u = rng.uniform({n}, 2, 4).values();
    // 1.95 / sqrt(n) is exceeded once in a thousand.
    CHECK(distance(u, [](double x) { return (x - 2) / 2; }) < 1.95);
    const std::vector<double> z = rng.normal({n}, 3, 2).values();
    CHECK(distance(z, [](double x) { return 0.5 * std::erfc(-(x - 3) / 2 / std::sqrt(2.0)); }) <
          1.95);
    CHECK(std::abs(mean_of(z) - 3) < 4 * 2 / std::sqrt(double(n)));
    std::vector<double> squares(z), products(z);
    for (int64_t i = 0; i < n; ++i) {
      squares[i] = (z[i] - 3) * (z[i] - 3);
      products[i] = (z[i] - 3) * (z[(i + 1) % n] - 3);
    }
    CHECK(std::abs(mean_of(squares) / 4 - 1) < 4 * std::sqrt(2.0 / double(n)));
    CHECK(std::abs(mean_of(products) / 4) < 4 / std::sqrt(double(n)));
  }
}

TEST_CASE("uniform stays in [lo, hi)") {
  // A range so narrow that rounding reaches both ends.
  const float next = std::nextafter(std::nextafter(1.0f, 2.0f), 2.0f);
  const std::vector<float> y = elements<float>(Rng(1).uniform({1000}, 1, next));
  for (float v : y) CHECK((v >= 1 && v < next));
  // hi as f32 is above hi, lo as f32 is below lo.
  const double lo = 1.0 + 1e-9, hi = 1.0 + 3e-7;
  for (double v : Rng(1).uniform({1000}, lo, hi).values()) CHECK((v >= lo && v < hi));
  CHECK(Rng(1).uniform({3}, 5, 5).values() == std::vector<double>{5, 5, 5});
  CHECK(Rng(1).normal({3}, 5, 0).values() == std::vector<double>{5, 5, 5});
}

TEST_CASE("draws, seeds and splits differ") {
  Rng rng(1);
  const std::vector<double> first = rng.normal({100}).values(), second = rng.normal({100}).values();
  CHECK(first != second);
  CHECK(first == Rng(1).normal({100}).values());
  CHECK(first != Rng(2).normal({100}).values());
  CHECK(first != Rng(uint64_t{1} << 32).normal({100}).values());
  Rng child = rng.split();
  CHECK(child.normal({100}).values() != rng.normal({100}).values());
  CHECK(rng.next() != rng.next());
}

TEST_CASE("a permutation holds each number once, each place alike") {
  Rng rng(5);
  for (int64_t n : {0, 1, 2, 63, 64, 65, 1000}) {
    const Tensor p = rng.permutation(n);
    CHECK(p.shape() == Shape{n});
    std::vector<int64_t> sorted = elements<int64_t>(p);
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == elements<int64_t>(Tensor::arange(n)));
  }
  // All 24 orders of 4: chi squared with 23 degrees of freedom, 49.7 once in a thousand.
  std::vector<int> count(256);
  const int trials = 24'000;
  for (int i = 0; i < trials; ++i) {
    const std::vector<int64_t> p = elements<int64_t>(rng.permutation(4));
    ++count[p[0] + 4 * p[1] + 16 * p[2] + 64 * p[3]];
  }
  double chi = 0;
  for (int n : count) chi += n == 0 ? 0 : (n - 1000) * (n - 1000) / 1000.0;
  CHECK(std::count_if(count.begin(), count.end(), [](int n) { return n > 0; }) == 24);
  CHECK(chi < 49.7);
}

TEST_CASE("one thread and two give the same bits") {
  const int before = num_threads();
  std::vector<std::vector<double>> drawn[2];
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    Rng rng(9);
    for (int64_t n : {int64_t{1}, int64_t{16'385}, int64_t{100'001}}) {
      drawn[threads - 1].push_back(rng.uniform({n}).values());
      drawn[threads - 1].push_back(rng.normal({n}, 0, 1, f64).values());
      drawn[threads - 1].push_back(rng.permutation(n).values());
    }
  }
  set_num_threads(before);
  CHECK(drawn[0] == drawn[1]);
}

TEST_CASE("empty draws and a user's mistakes") {
  Rng rng(0);
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  CHECK(rng.uniform({0, 3}).numel() == 0);
  CHECK(rng.normal({}).shape() == Shape{});
  CHECK_THROWS_WITH_AS(rng.uniform({2}, 1, -1),
                       "uniform: expected finite bounds lo <= hi; got lo 1 and hi -1.", Error);
  CHECK_THROWS_AS(rng.uniform({2}, nan, 1), Error);
  CHECK_THROWS_AS(rng.uniform({2}, 0, inf), Error);
  CHECK_THROWS_AS(rng.uniform({2}, -1e308, 1e308), Error);
  CHECK_THROWS_WITH_AS(rng.normal({2}, 0, -1),
                       "normal: expected a finite mean and std >= 0; got mean 0 and std -1.",
                       Error);
  CHECK_THROWS_AS(rng.normal({2}, nan, 1), Error);
  CHECK_THROWS_AS(rng.normal({2}, 0, inf), Error);
  CHECK_THROWS_WITH_AS(rng.normal({2}, 0, 1, i64),
                       "normal: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).", Error);
  CHECK_THROWS_WITH_AS(rng.permutation(-1), "permutation: expected a length n >= 0; got -1.",
                       Error);
}

TEST_CASE("randint, bernoulli, choice: the numbers are frozen") {
  Rng rng(42);
  using V = std::vector<double>;
  const V a = rng.randint({8}, -2, 3).values(), b = rng.bernoulli({8}, 0.3).values(),
          c = rng.choice(10, 4).values(),
          d = rng.choice(Tensor::of<float>({1, 0, 3}), {8}).values();
  INFO(fmt::format("{} | {} | {} | {}", fmt::join(a, ", "), fmt::join(b, ", "), fmt::join(c, ", "),
                   fmt::join(d, ", ")));
  CHECK(a == V{0, -1, -1, 0, 1, 1, 1, -1});
  CHECK(b == V{1, 0, 0, 1, 1, 0, 0, 1});
  CHECK(c == V{9, 1, 8, 3});
  CHECK(d == V{2, 2, 0, 0, 2, 2, 2, 2});
}

TEST_CASE("randint, bernoulli, choice: as likely as they should be") {
  const int64_t n = 100'000;
  const auto count = [](const std::vector<double>& x, double v) {
    return static_cast<double>(std::count(x.begin(), x.end(), v));
  };
  const auto near = [&](double got, double p) {
    CHECK(std::fabs(got - n * p) < 4 * std::sqrt(n * p * (1 - p)) + 1e-9);
  };
  for (const uint64_t seed : {0, 1}) {
    Rng rng(seed);
    const std::vector<double> a = rng.randint({n}, -1, 6).values();
    for (int v = -1; v < 6; ++v) near(count(a, v), 1.0 / 7);
    near(count(rng.bernoulli({n}, 0.2).values(), 1), 0.2);
    const std::vector<double> b =
        rng.choice(Tensor::of<double>({0, 2, 0, 5, 1, 0}), {n / 2, 2}).values();
    const double w[] = {0, 2, 0, 5, 1, 0};
    for (int v = 0; v < 6; ++v) near(count(b, v), w[v] / 8);
    std::vector<double> c = rng.choice(100, 100).values();
    std::sort(c.begin(), c.end());
    CHECK(c == Tensor::arange(100).values());
  }
}

TEST_CASE("randint, bernoulli, choice: edges") {
  Rng rng(1);
  CHECK(rng.randint({3}, 5, 6).values() == std::vector<double>{5, 5, 5});
  const std::vector<int64_t> wide = elements<int64_t>(rng.randint({100}, INT64_MIN, INT64_MAX));
  CHECK(std::count_if(wide.begin(), wide.end(), [](int64_t v) { return v < 0; }) > 25);
  CHECK(rng.bernoulli({1000}, 0).values() == std::vector<double>(1000, 0));
  CHECK(rng.bernoulli({1000}, 1, i64).values() == std::vector<double>(1000, 1));
  CHECK(rng.bernoulli({2}, 1, i64).dtype() == i64);
  CHECK(rng.choice(5, 0).shape() == Shape{0});
  CHECK(rng.choice(0, 0).shape() == Shape{0});
  CHECK(rng.choice(Tensor::of<float>({0, 1e-30f}), {2}).values() == std::vector<double>{1, 1});
  CHECK(rng.randint({0}, 0, 2).shape() == Shape{0});
  // As for the others: the draw's number and the place alone decide.
  CHECK(Rng(3).randint({1000}, 0, 1 << 20).rows(0, 7).values() ==
        Rng(3).randint({7}, 0, 1 << 20).values());
}

TEST_CASE("randint, bernoulli, choice: a user's mistakes") {
  Rng rng(1);
  CHECK_THROWS_WITH_AS(rng.randint({2}, 3, 3), "randint: expected lo < hi; got lo 3 and hi 3.",
                       Error);
  for (const double p : {-0.1, 1.1, double(NAN)}) {
    CHECK_THROWS_WITH_AS(
        rng.bernoulli({2}, p),
        fmt::format("bernoulli: expected a probability p in [0, 1]; got {}.", p).c_str(), Error);
  }
  CHECK_THROWS_WITH_AS(rng.choice(3, 4), "choice: expected 0 <= k <= n; got n 3 and k 4.", Error);
  CHECK_THROWS_AS(rng.choice(3, -1), Error);
  CHECK_THROWS_WITH_AS(rng.choice(Tensor::of<float>({1, -2}), {2}),
                       "choice: expected weights of at least 0 with a finite sum above 0; got "
                       "[1, -2].",
                       Error);
  for (const double bad : {HUGE_VAL, double(NAN)}) {
    CHECK_THROWS_AS(rng.choice(Tensor::of<double>({1, bad}), {2}), Error);
  }
  CHECK_THROWS_WITH_AS(rng.choice(Tensor::zeros({3}), {2}),
                       "choice: expected weights of at least 0 with a finite sum above 0; got "
                       "[0, 0, 0].",
                       Error);
  CHECK_THROWS_WITH_AS(rng.choice(Tensor::ones({3, 1}), {2}),
                       "choice: weights must be [classes]; got [3, 1].", Error);
}
