#include "ramp/layers/init.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/ops_conv.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/norm.h"
#include "threads.h"

using namespace ramp;

namespace {

struct Huge {
  static constexpr const char *name = "huge", *formula = "y = 1e200";
  auto f(auto) const { return 1e200; }
  auto derivative_from_y(auto) const { return 0.; }
};

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
      normal(init::he_normal(c.shape, rng, ReLU{}, dtype), he);
      uniform(init::he_uniform(c.shape, rng, ReLU{}, dtype), he);
      normal(init::he_normal(c.shape, rng, LeakyReLU{0.5}, dtype), he / std::sqrt(1.25));
      normal(init::xavier_normal(c.shape, rng, dtype), glorot);
      uniform(init::xavier_uniform(c.shape, rng, dtype), glorot);
      normal(init::lecun_normal(c.shape, rng, dtype), std::sqrt(1 / c.fan_in));
      uniform(init::lecun_uniform(c.shape, rng, dtype), std::sqrt(1 / c.fan_in));
    }
  }
}

TEST_CASE("the default of he_normal is ReLU's gain") {
  Rng a(1), b(1);
  CHECK(init::he_normal({20, 30}, a).values() == init::he_normal({20, 30}, b, ReLU{}).values());
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
}

TEST_CASE("each thread has a stream of its own, from the last seed and the order of first use") {
  using Values = std::vector<double>;
  const auto dense = [] { return Dense(30, 20, ReLU{}).weight.values(); };
  const auto in_thread = [&](auto f) {
    Values there;
    std::thread([&] { there = f(); }).join();
    return there;
  };
  const auto all = [&](uint64_t seed) {
    seed_layers(seed);
    std::vector<Values> v{in_thread(dense), dense(), in_thread(dense), in_thread([&] {
                            seed_layers(9);  // what is a thread's own stays its own
                            return dense();
                          })};
    return v;
  };
  const std::vector<Values> first = all(42);
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < i; ++j) CHECK(first[i] != first[j]);
  }
  CHECK(all(42) == first);
  CHECK(all(43)[0] != first[0]);
  seed_layers(42);
  CHECK(dense() == first[1]);
  seed_layers(9);
  CHECK(dense() == first[3]);
  // A thread that goes on to live takes a new stream of each seed.
  std::vector<Values> there;
  std::thread([&] {
    there.push_back(dense());
    std::thread([] { seed_layers(42); }).join();
    there.push_back(dense());
  }).join();
  CHECK(there[1] == first[0]);
  CHECK(there[0] != there[1]);
}

TEST_CASE("gain, and layers whose numbers make no sense") {
  CHECK(message([] { init::gain(Huge{}); }) ==
        "gain: expected an activation that is finite and not zero everywhere; got huge (y = "
        "1e200).");
  CHECK_THROWS_AS(PReLU(1, NAN), Error);
  CHECK_THROWS_AS(PReLU(0), Error);
  CHECK_THROWS_AS(RReLU(-INFINITY, INFINITY), Error);
  CHECK_THROWS_AS(RReLU(NAN, 1), Error);
  CHECK_THROWS_AS(Dropout(NAN), Error);
  CHECK_THROWS_AS(Dense(int64_t{1} << 62, 4), Error);
  CHECK_THROWS_AS(Dense(int64_t{1} << 40, int64_t{1} << 17), Error);
  CHECK_THROWS_AS(BatchNorm(0), Error);
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
      init::he_normal({5}, rng),
      "he_normal: expected a weight shape of rank 2 or more, [.., in, out]; got [5].", Error);
  CHECK_THROWS_AS(init::he_uniform({}, rng), Error);
  CHECK_THROWS_AS(init::xavier_normal({5}, rng), Error);
  CHECK_THROWS_AS(init::xavier_uniform({5}, rng), Error);
  CHECK_THROWS_AS(init::lecun_normal({5}, rng), Error);
  CHECK_THROWS_AS(init::lecun_uniform({5}, rng), Error);
  CHECK_THROWS_AS(init::he_normal({2, 2}, rng, ReLU{}, i64), Error);
  CHECK(init::he_normal({0, 5}, rng).numel() == 0);
  CHECK(init::xavier_uniform({0, 0}, rng).numel() == 0);
}

TEST_CASE("fans, standard deviations and gains are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("init")) {
    INFO(f.name);
    if (!f.has("std")) continue;
    ++cases;
    const Tensor dims = f.tensor("shape");
    const Shape shape(dims.data<int64_t>(), static_cast<int>(dims.numel()));
    const double std = f.number("std"), limit = std::sqrt(3) * std;
    // The same draws, scaled by PyTorch's number.
    Rng a(1), b(1);
    const Tensor normal = b.normal(shape, 0, std, f64),
                 uniform = b.uniform(shape, -limit, limit, f64);
    if (f.has("slope")) {
      const LeakyReLU leaky{f.number("slope")};
      const init::Fan fan = f.number("fan_out") == 1 ? init::Fan::out : init::Fan::in;
      check_close(init::he_normal(shape, a, leaky, f64, fan), normal, 1e-9);
      check_close(init::he_uniform(shape, a, leaky, f64, fan), uniform, 1e-9);
    } else {
      check_close(init::xavier_normal(shape, a, f64), normal, 1e-9);
      check_close(init::xavier_uniform(shape, a, f64), uniform, 1e-9);
    }
  }
  CHECK(cases == 28);
  for (const Fixture& f : read_fixtures("init")) {
    if (f.name == "gain linear") CHECK(init::gain(Identity{}) == doctest::Approx(f.number("gain")));
    if (f.name == "gain relu") CHECK(init::gain(ReLU{}) == doctest::Approx(f.number("gain")));
    // PyTorch's 5/3 is a rule of thumb, the other one the integral: 1.5925.
    if (f.name == "gain tanh")
      CHECK(init::gain(Tanh{}) == doctest::Approx(f.number("gain")).epsilon(0.05));
  }
}

TEST_CASE("truncated_normal: support, moments, and a cut on one side") {
  Rng rng(7);
  const int64_t n = 200000;
  const auto moments = [&](double mean, double std, double low, double high) {
    const Tensor x = init::truncated_normal({n}, rng, mean, std, low, high, f64);
    CHECK(min(x).item() >= low);
    CHECK(max(x).item() <= high);
    // The theory, with a and b in units of std.
    const double a = (low - mean) / std, b = (high - mean) / std;
    const auto density = [](double z) { return std::exp(-z * z / 2) / std::sqrt(2 * M_PI); };
    const double mass = (std::erfc(-b / M_SQRT2) - std::erfc(-a / M_SQRT2)) / 2;
    const double shift = (density(a) - density(b)) / mass;
    const double spread = std::sqrt(1 + (a * density(a) - b * density(b)) / mass - shift * shift);
    const Moments m(x);
    CHECK(std::fabs(m.mean - (mean + std * shift)) < 5 * std * spread / std::sqrt(n));
    CHECK(std::fabs(m.std / (std * spread) - 1) < 5 / std::sqrt(2. * n));
    return spread;
  };
  CHECK(moments(0, 1, -2, 2) == doctest::Approx(0.8796).epsilon(1e-4));
  moments(1, 0.5, 0, 2);
  moments(0, 1, 1, 3);
  moments(-3, 2, -10, -2);
  Rng a(4), b(4);
  CHECK(init::truncated_normal({3, 5}, a).values() == init::truncated_normal({3, 5}, b).values());
  CHECK(init::truncated_normal({3, 5}, a).values() == init::truncated_normal({3, 5}, b).values());
  CHECK(init::truncated_normal({0, 5}, a).numel() == 0);
  CHECK(init::truncated_normal({2}, a, 0, 0).values() == std::vector<double>{0, 0});
  CHECK(message([&] { init::truncated_normal({2}, a, 0, 0.1, 1, 2); }) ==
        "truncated_normal: expected an interval with at least 1 % of N(0, 0.1^2); got 1 to 2. "
        "Hint: low and high are limits of the value, not multiples of std.");
  CHECK(message([&] { init::truncated_normal({2}, a, 0, 1, 2, -2); }).find("got 2 to -2") !=
        std::string::npos);
  CHECK(message([&] { init::truncated_normal({2}, a, 0, -1); }) ==
        "normal: expected a finite mean and std >= 0; got mean 0 and std -1.");
  CHECK_THROWS_AS(init::truncated_normal({2}, a, 0, 1, -2, 2, i64), Error);
}

TEST_CASE("orthogonal: w'w or ww' is 1, for any shape") {
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : {Shape{30, 20}, Shape{20, 30}, Shape{64, 64}, Shape{3, 3, 4, 50},
                               Shape{3, 3, 16, 5}, Shape{1, 7}, Shape{1, 1}, Shape{301, 299}}) {
      INFO(shape.str());
      Rng rng(2);
      const Tensor w = init::orthogonal(shape, rng, 2, dtype);
      CHECK(w.shape() == shape);
      CHECK(w.dtype() == dtype);
      CHECK_FALSE(w.requires_grad());
      const int64_t cols = shape.last(), rows = shape.numel() / cols;
      const Tensor m = w.to(f64).view({rows, cols});
      const Tensor product = rows < cols ? matmul(m, transpose(m)) : matmul(transpose(m), m);
      const Tensor one = init::identity({std::min(rows, cols), std::min(rows, cols)}, f64);
      CHECK(max(abs(product - 4 * one)).item() < (dtype == f32 ? 1e-6 : 1e-12));
    }
  }
  check_equal_bits([] {
    Rng rng(3);
    return init::orthogonal({200, 300}, rng);
  });
  // Uniform: no entry of Q has a sign that it prefers, and their squares are 1/3 in the mean.
  Rng rng(5);
  Tensor first = Tensor::zeros({3, 3}, f64), second = first.clone();
  const int n = 4000;
  for (int i = 0; i < n; ++i) {
    const Tensor q = init::orthogonal({3, 3}, rng, 1, f64);
    first.add_(q);
    second.add_(q * q);
  }
  CHECK(max(abs(first / n)).item() < 5 * std::sqrt(1. / 3 / n));
  CHECK(max(abs(second / n - 1. / 3)).item() < 5 * std::sqrt(4. / 45 / n));
  CHECK(init::orthogonal({0, 3}, rng).numel() == 0);
  CHECK(init::orthogonal({3, 0}, rng).numel() == 0);
  CHECK_THROWS_AS(init::orthogonal({3}, rng), Error);
  CHECK_THROWS_WITH_AS(init::orthogonal({3, 3}, rng, 1, i64),
                       "orthogonal: expected f32 or f64; got i64.", Error);
}

TEST_CASE("identity is PyTorch's eye_ and dirac_, and hands its input on") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("init")) {
    if (!f.has("w")) continue;
    INFO(f.name);
    ++cases;
    check_close(init::identity(f.tensor("w").shape()), f.tensor("w"), 0);
  }
  CHECK(cases == 5);
  Rng rng(1);
  const Tensor x = rng.normal({2, 5, 6, 3}), signal = rng.normal({2, 7, 3});
  const ConvOptions same{.padding = kSame};
  for (const Size2d kernel : {Size2d(3), Size2d(5, 1), Size2d(2, 4)}) {
    CHECK(conv2d(x, init::identity({kernel.h, kernel.w, 3, 3}), {}, same).values() == x.values());
  }
  CHECK(conv1d(signal, init::identity({3, 3, 3}), {}, same).values() == signal.values());
  CHECK(matmul(signal, init::identity({3, 3})).values() == signal.values());
  CHECK(init::identity({0, 3, 2, 2}).numel() == 0);
  CHECK(init::identity({2, 2}, i64).values() == std::vector<double>{1, 0, 0, 1});
  CHECK(message([] { init::identity({3}); }) ==
        "identity: expected a weight shape of rank 2 or more, [.., in, out]; got [3].");
}

TEST_CASE("delta_orthogonal keeps the norm of an image") {
  Rng rng(1);
  const Tensor x = rng.normal({2, 6, 5, 3}, 0, 1, f64);
  for (const Size2d kernel : {Size2d(3), Size2d(1), Size2d(4, 5)}) {
    const Tensor w = init::delta_orthogonal({kernel.h, kernel.w, 3, 8}, rng, 1, f64);
    const Tensor y = conv2d(x, w, {}, {.padding = kSame});
    CHECK(sum(y * y).item() == doctest::Approx(sum(x * x).item()).epsilon(1e-12));
    const Tensor used = not_equal(w, Tensor::scalar(0, f64));
    CHECK(sum(used).item() == 3 * 8);
  }
  CHECK(message([&] {
          init::delta_orthogonal({3, 3, 8, 3}, rng);
        }) ==
        "delta_orthogonal: expected a shape [.., in, out] with in <= out; got [3, 3, 8, 3]. Hint: "
        "take orthogonal().");
  CHECK_THROWS_AS(init::delta_orthogonal({3}, rng), Error);
}

TEST_CASE("sparse: the number of inputs, their places and values") {
  Rng rng(1);
  const int64_t in = 2 * 50, out = 400, k = 15;
  const Tensor w = init::sparse({2, 50, out}, rng, k, 0.5, f64).view({in, out});
  const Tensor used = not_equal(w, Tensor::scalar(0, f64));
  CHECK(sum(used, 0).values() == std::vector<double>(out, double(k)));
  // Each input is used by 60 outputs, within 5 standard deviations.
  const double p = double(k) / in, spread = 5 * std::sqrt(out * p * (1 - p));
  CHECK(max(abs(sum(used, 1) - p * out)).item() < spread);
  const double count = double(k * out);
  CHECK(sum(w).item() / count == doctest::Approx(0).epsilon(5 * 0.5 / std::sqrt(count)));
  CHECK(std::sqrt(sum(w * w).item() / count) ==
        doctest::Approx(0.5).epsilon(5 / std::sqrt(2 * count)));
  Rng a(9), b(9);
  CHECK(init::sparse({20, 4}, a).values() == init::sparse({20, 4}, b).values());
  CHECK(init::sparse({20, 4}, a).values() != w.values());
  CHECK(max(abs(init::sparse({20, 4}, a, 0))).item() == 0);
  CHECK(min(abs(init::sparse({20, 4}, a, 20))).item() > 0);
  CHECK(init::sparse({20, 0}, a).numel() == 0);
  CHECK(message([&] {
          init::sparse({3, 4}, rng);
        }) == "sparse: expected nonzero in 0..3, the fan-in of [3, 4]; got 15.");
  CHECK_THROWS_AS(init::sparse({30, 4}, rng, -1), Error);
  CHECK_THROWS_AS(init::sparse({4}, rng), Error);
  CHECK_THROWS_AS(init::sparse({30, 4}, rng, 3, 1, i64), Error);
}
