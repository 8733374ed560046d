#include "ramp/autograd/ops_reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fixture.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "threads.h"

using namespace ramp;

namespace {

Tensor normal(const Shape& shape, uint64_t seed, DType dtype = f32) {
  return Rng(seed).normal(shape, 0, 1, dtype);
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Tensor reduce(const std::string& op, const Tensor& x, const Axes& axes, bool keepdims) {
  if (op == "sum") return sum(x, axes, {.keepdims = keepdims});
  if (op == "mean") return mean(x, axes, {.keepdims = keepdims});
  if (op == "var") return var(x, axes, {.keepdims = keepdims});
  if (op == "var0") return var(x, axes, {.correction = 0, .keepdims = keepdims});
  if (op == "stddev") return stddev(x, axes, {.keepdims = keepdims});
  if (op == "prod") return prod(x, axes, {.keepdims = keepdims});
  if (op == "logsumexp") return logsumexp(x, axes, {.keepdims = keepdims});
  if (op == "cumsum") return cumsum(x, axes.list.at(0));
  if (op == "normalize") return normalize(x, axes.list.at(0));
  if (op == "cosine_similarity") return cosine_similarity(x, x * x, axes.list.at(0));
  if (op == "max") return max(x, axes, {.keepdims = keepdims});
  if (op == "min") return min(x, axes, {.keepdims = keepdims});
  if (op == "argmax") return argmax(x, axes, {.keepdims = keepdims});
  if (op == "argmin") return argmin(x, axes, {.keepdims = keepdims});
  fail("no reduction {}", op);
}
const std::vector<std::string> kOps{"sum", "mean", "var", "var0", "max", "min", "argmax", "argmin"};
const std::vector<std::string> kMore{"stddev",    "prod",   "logsumexp",
                                     "normalize", "cumsum", "cosine_similarity"};

// Different values without order, some of them equal in pairs.
Tensor scrambled(const Shape& shape, DType dtype) {
  Tensor x = Tensor::empty(shape, f64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<double>()[i] = std::sin(static_cast<double>(i / 2 * 2 % 7919));
  }
  return x.to(dtype);
}

// A reduction over the middle of [outer, n, inner], one value after another.
std::vector<double> naive(const std::string& op, const std::vector<double>& x, int64_t outer,
                          int64_t n, int64_t inner) {
  std::vector<double> y;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t j = 0; j < inner; ++j) {
      const auto at = [&](int64_t i) { return x[static_cast<size_t>((o * n + i) * inner + j)]; };
      double total = 0, squares = 0;
      int64_t high = 0, low = 0;
      for (int64_t i = 0; i < n; ++i) {
        total += at(i);
        if (at(i) > at(high)) high = i;
        if (at(i) < at(low)) low = i;
      }
      const double count = static_cast<double>(n), mean = total / count;
      for (int64_t i = 0; i < n; ++i) squares += (at(i) - mean) * (at(i) - mean);
      y.push_back(op == "sum"      ? total
                  : op == "mean"   ? mean
                  : op == "var"    ? squares / (count - 1)
                  : op == "var0"   ? squares / count
                  : op == "max"    ? at(high)
                  : op == "min"    ? at(low)
                  : op == "argmax" ? static_cast<double>(high)
                                   : static_cast<double>(low));
    }
  }
  return y;
}

}  // namespace

TEST_CASE("reductions are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("reduce")) {
    INFO(f.name);
    ++cases;
    const Tensor x = f.leaf("x");
    const double tolerance = x.dtype() == f32 ? 2e-6 : 1e-14;
    Axes axes;
    for (int i = 0; f.has("axis" + std::to_string(i)); ++i) {
      axes.list.push_back(static_cast<int>(f.number("axis" + std::to_string(i))));
    }
    const Tensor y = reduce(f.name.substr(0, f.name.find(' ')), x, axes, f.number("keepdims") != 0);
    check_close(y, f.tensor("y"), tolerance);
    if (!f.has("dy")) {
      CHECK(y.dtype() == i64);
      CHECK(!y.requires_grad());
      continue;
    }
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), tolerance);
  }
  CHECK(cases == 282);
}

TEST_CASE("reductions of all forms agree with one value after another") {
  for (const auto& dims : std::vector<std::array<int64_t, 3>>{{1, 1000, 1},
                                                              {3, 257, 1},
                                                              {1, 70000, 1},
                                                              {2, 40000, 1},
                                                              {1, 700, 7},
                                                              {1, 129, 8},
                                                              {1, 64, 10},
                                                              {2, 3, 33},
                                                              {1, 2000, 40},
                                                              {1, 4, 2500},
                                                              {1, 70, 2100},
                                                              {700, 5, 3},
                                                              {1, 1, 100},
                                                              {1, 5000, 9},
                                                              {1, 513, 31},
                                                              {64, 2, 1},
                                                              {130, 19, 1},
                                                              {70, 128, 1},
                                                              {65, 129, 1}}) {
    const int64_t outer = dims[0], n = dims[1], inner = dims[2];
    for (const DType dtype : {f32, f64}) {
      const Tensor x = scrambled({outer, n, inner}, dtype);
      const std::vector<double> values = x.values();
      for (const std::string& op : kOps) {
        if (n == 1 && op == "var") continue;
        INFO(op << " [" << outer << ", " << n << ", " << inner << "] " << name_of(dtype));
        const std::vector<double> y = naive(op, values, outer, n, inner);
        const Tensor expected =
            Tensor::of<double>(y, {outer, inner}).to(op[0] == 'a' ? i64 : dtype);
        // A sum of many values near 0 is small beside what was added.
        check_close(reduce(op, x, 1, false), expected,
                    (dtype == f32 ? 2e-7 : 1e-15) * (op == "sum" ? std::sqrt(double(n)) + 10 : 10));
      }
    }
  }
}

TEST_CASE("sums and extremes of columns and of rows: every width, many rows") {
  for (const DType t : {f32, f64}) {
    for (int64_t n = 1; n <= 130; n += n == 70 ? 57 : 1) {
      // Integers below 100, whose sums are exact; the largest of a column is in row 99 j mod 301.
      const int64_t rows = 301;
      std::vector<double> x, sums(static_cast<size_t>(n), 0);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          const double v = i == 99 * j % rows ? 100 : static_cast<double>((i * 7 + j * 13) % 100);
          x.push_back(v);
          sums[static_cast<size_t>(j)] += v;
        }
      }
      const Tensor cols = Tensor::of<double>(x, {rows, n}).to(t);
      const Tensor lines = transpose(cols, 0, 1);  // rows as long as the columns were
      CHECK(sum(cols, 0).values() == sums);
      CHECK(sum(lines, 1).values() == sums);
      for (int64_t j = 0; j < n; ++j) {
        const auto at = static_cast<size_t>(j);
        CHECK(argmax(cols, 0).values()[at] == static_cast<double>(99 * j % rows));
      }
      CHECK(argmax(lines, 1).values() == argmax(cols, 0).values());
      // Rows of n values.
      CHECK(argmax(cols, 1).values() == argmax(lines, 0).values());
      CHECK(sum(cols, 1).values() == sum(lines, 0).values());
    }
  }
}

TEST_CASE("reductions: the derivatives, and no node is left behind") {
  const int64_t before = live_nodes();
  for (const std::string op : {"sum", "mean", "var", "var0", "max", "min"}) {
    for (const Axes& axes : {Axes{}, Axes{0}, Axes{1}, Axes{-1}, Axes{0, 2}, Axes{1, 2}}) {
      INFO(op);
      const auto f = [&](const std::vector<Tensor>& x) { return reduce(op, x[0], axes, false); };
      CHECK(gradcheck(f, {normal({3, 4, 2}, 1, f64)}) == "");
    }
  }
  for (const std::string& op : kMore) {
    for (const Axes& axes : {Axes{0}, Axes{1}, Axes{-1}}) {
      INFO(op);
      const auto f = [&](const std::vector<Tensor>& x) { return reduce(op, x[0], axes, false); };
      CHECK(gradcheck(f, {normal({3, 4, 2}, 1, f64)}) == "");
    }
  }
  const auto cosine = [](const std::vector<Tensor>& x) { return cosine_similarity(x[0], x[1], 1); };
  CHECK(gradcheck(cosine, {normal({3, 4, 2}, 1, f64), normal({4, 1}, 2, f64)}) == "");
  CHECK(live_nodes() == before);
}

TEST_CASE("max and min: the gradient goes to the first of equal values, and to the first NaN") {
  const auto gradient = [](Tensor (*op)(const Tensor&, Axes, ReduceOptions),
                           std::vector<double> values) {
    const Tensor x = Tensor::of<double>(values).requires_grad_();
    backward(op(x, {}, {}));
    return x.grad().values();
  };
  CHECK(gradient(max, {1, 3, 3, 2}) == std::vector<double>{0, 1, 0, 0});
  CHECK(gradient(min, {2, 1, 3, 1}) == std::vector<double>{0, 1, 0, 0});
  CHECK(gradient(max, {1, kNaN, 3, kNaN}) == std::vector<double>{0, 1, 0, 0});
}

TEST_CASE("extremes: NaN and inf, wherever they are in long rows and columns") {
  for (const DType dtype : {f32, f64}) {
    for (const int64_t at : {0, 5, 63, 700, 1029}) {
      for (const int64_t inner : {1, 3, 40}) {
        Tensor x64 = scrambled({1030, inner}, f64);
        for (const int64_t i : {at, int64_t{1029}}) x64.mutable_data<double>()[i * inner] = kNaN;
        const Tensor x = x64.to(dtype);
        CHECK(argmax(x, 0).values()[0] == at);
        CHECK(argmin(x, 0).values()[0] == at);
        CHECK(std::isnan(max(x, 0).values()[0]));
        CHECK(std::isnan(min(x).item()));
        x64.mutable_data<double>()[at * inner] = HUGE_VAL;
        x64.mutable_data<double>()[1029 * inner] = at == 1029 ? HUGE_VAL : 0;
        CHECK(argmax(x64.to(dtype), 0).values()[0] == at);
        CHECK(max(x64.to(dtype)).item() == HUGE_VAL);
      }
    }
  }
}

TEST_CASE("extremes of many short rows: the first one, or the first NaN") {
  for (const DType dtype : {f32, f64}) {
    for (const int64_t n : {2, 31, 128}) {
      Tensor x = Rng(8).randint({131, n}, 0, 5).to(dtype).to(f64);
      for (int64_t r = 0; r < 131; r += 3) {
        x.mutable_data<double>()[r * n + r % n] = kNaN;
        x.mutable_data<double>()[r * n + n - 1] = kNaN;
      }
      const std::vector<double> v = x.values(), most = argmax(x.to(dtype), 1).values(),
                                least = argmin(x.to(dtype), 1).values();
      for (int64_t r = 0; r < 131; ++r) {
        const auto row = v.begin() + r * n;
        const auto nan = std::find_if(row, row + n, [](double a) { return a != a; });
        const auto largest = nan < row + n ? nan : std::max_element(row, row + n);
        const auto smallest = nan < row + n ? nan : std::min_element(row, row + n);
        CHECK(most[static_cast<size_t>(r)] == static_cast<double>(largest - row));
        CHECK(least[static_cast<size_t>(r)] == static_cast<double>(smallest - row));
      }
    }
  }
}

TEST_CASE("reductions of nothing, and of one value") {
  const Tensor none = Tensor::zeros({0, 3}, f64), one = Tensor::full({1, 1}, 7, f64);
  CHECK(sum(none, 0).values() == std::vector<double>{0, 0, 0});
  CHECK(sum(none).item() == 0);
  CHECK(sum(none, 1).shape() == Shape{0});
  CHECK(sum(none, 0, {.keepdims = true}).shape() == Shape{1, 3});
  CHECK(std::isnan(mean(none).item()));
  CHECK(std::isnan(mean(none, 0).values()[2]));
  CHECK(std::isnan(var(none).item()));
  CHECK(max(none, 1).shape() == Shape{0});
  CHECK_THROWS_WITH_AS(max(none, 0),
                       "max: expected at least one value to choose from; got x [0, 3].", Error);
  CHECK_THROWS_WITH_AS(argmin(none),
                       "argmin: expected at least one value to choose from; got x [0, 3].", Error);
  for (const std::string op : {"sum", "mean", "max", "min"}) {
    CHECK(reduce(op, one, {}, false).item() == 7);
    CHECK(reduce(op, Tensor::scalar(7), {}, true).shape() == Shape{});
  }
  CHECK(std::isnan(var(one).item()));
  CHECK(var(one, {}, {.correction = 0}).item() == 0);
  CHECK(argmax(one).item() == 0);
  // Gradients of empty tensors are empty.
  Tensor x = none.clone().requires_grad_();
  backward(sum(x));
  CHECK(x.grad().shape() == Shape{0, 3});
}

TEST_CASE("an f32 sum of ten million values keeps its digits") {
  // In plain f32, one after another, the sum stops growing at 2^24 * 0.1 = 1677721.6.
  const Tensor x = Tensor::full({10'000'000}, 0.1f);
  const double exact = 1e7 * static_cast<double>(0.1f);
  CHECK(std::fabs(sum(x).item() / exact - 1) < 3e-7);
  CHECK(std::fabs(sum(x.view({5'000'000, 2}), 0).values()[1] / exact - 0.5) < 3e-7);
  CHECK(std::fabs(mean(x).item() - 0.1f) < 3e-8);
  // The variance is of two passes: the mean may be large.
  Tensor y = Tensor::full({1000}, 1e4f);
  for (int i = 0; i < 1000; ++i) y.mutable_data<float>()[i] += i % 2 == 0 ? 1.0f : -1.0f;
  CHECK(var(y, {}, {.correction = 0}).item() == 1);
}

TEST_CASE("reductions: equal bits for 1 and 2 threads") {
  for (const Shape& shape : {Shape{300, 1000}, Shape{40, 5000}, Shape{1'000'000}}) {
    const Tensor x = normal(shape, 3);
    for (const std::string& op : kOps) {
      for (int axis = 0; axis < shape.rank(); ++axis) {
        INFO(op << " over " << axis << " of " << shape.str());
        check_equal_bits([&] { return reduce(op, x, axis, false); });
      }
    }
    for (const std::string& op : kMore) {
      INFO(op);
      check_equal_bits([&] { return reduce(op, x, shape.rank() - 1, false); });
    }
  }
}

TEST_CASE("reductions: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK_THROWS_WITH_AS(sum(x, 2), "sum: axis must be in -2..1 for a tensor of rank 2; got 2.",
                       Error);
  CHECK_THROWS_WITH_AS(mean(x, {1, -1}), "mean: axis 1 is named twice.", Error);
  CHECK_THROWS_WITH_AS(max(x.to(i64)),
                       "max: expected an f32 or f64 tensor; got i64 [2, 3]. Hint: x.to(f32).",
                       Error);
  CHECK_THROWS_WITH_AS(
      var({}), "var: x is undefined (moved from, or never set). Hint: give it a value first.",
      Error);
  Tensor z = Tensor::ones({4}).requires_grad_();
  const Tensor square = var(z);
  {
    const NoGrad no_grad;
    z.mul_(2);
  }
  CHECK_THROWS_WITH_AS(backward(square),
                       "backward through var: x [4] was changed in place after the op saved it "
                       "(version 0, now 1). Hint: change a clone().",
                       Error);
}

TEST_CASE("stddev, prod, logsumexp, normalize: at their edges") {
  using V = std::vector<double>;
  const double inf = HUGE_VAL;
  const auto gradient = [](const Tensor& at, Tensor (*op)(const Tensor&)) {
    const Tensor x = at.clone().requires_grad_();
    const Tensor y = op(x);
    backward(y, Tensor::ones(y.shape(), y.dtype()));
    return x.grad().values();
  };
  // Equal values: the derivative of sqrt at 0 is inf, that of stddev 0.
  CHECK(gradient(Tensor::full({3}, 2), [](const Tensor& x) { return stddev(x); }) == V{0, 0, 0});
  CHECK(std::isnan(stddev(Tensor::ones({1})).item()));
  CHECK(std::isnan(stddev(Tensor::of<float>({1, NAN})).item()));
  // Zeros in a product: each gradient is the product of the others.
  const auto product = [](const Tensor& x) { return prod(x); };
  CHECK(gradient(Tensor::of<float>({2, 0, 3}), product) == V{0, 6, 0});
  CHECK(gradient(Tensor::of<float>({2, 0, 0}), product) == V{0, 0, 0});
  CHECK(gradient(Tensor::of<float>({1e30f, 1e30f, 1e-30f}), product)[2] == inf);
  CHECK(gradient(Tensor::of<float>({1e30f, 1e30f, 1e-30f}), product)[0] == doctest::Approx(1));
  CHECK(prod(Tensor::of<float>({1e30f, 1e30f, 1e-30f})).item() == doctest::Approx(1e30));
  // Sums of large and of no exponentials.
  CHECK(logsumexp(Tensor::of<float>({1000, 1000})).item() == doctest::Approx(1000.693147));
  CHECK(logsumexp(Tensor::of<double>({-inf, -inf})).item() == -inf);
  CHECK(logsumexp(Tensor::of<double>({-inf, 3})).item() == 3);
  CHECK(logsumexp(Tensor::of<double>({inf, 3})).item() == inf);
  CHECK(std::isnan(logsumexp(Tensor::of<double>({NAN, 3})).item()));
  CHECK(gradient(Tensor::of<double>({-inf, 3}), [](const Tensor& x) { return logsumexp(x); }) ==
        V{0, 1});
  // Norms whose squares leave f32.
  for (const float size : {1e30f, 1e-11f}) {
    const Tensor y = normalize(Tensor::of<float>({3 * size, 4 * size}));
    CHECK(y.values()[0] == doctest::Approx(0.6));
    CHECK(y.values()[1] == doctest::Approx(0.8));
  }
  const Tensor both = Tensor::of<float>({3, 4, 3e30f, 4e30f}, {2, 2});
  CHECK(normalize(both, 1).values()[1] == doctest::Approx(0.8));
  CHECK(normalize(both, 1).values()[3] == doctest::Approx(0.8));
  CHECK(normalize(Tensor::zeros({2})).values() == V{0, 0});
  CHECK(normalize(Tensor::of<double>({3e-13, 4e-13})).values()[1] == doctest::Approx(0.4));
  CHECK(gradient(Tensor::zeros({2}, f64), [](const Tensor& x) { return normalize(x); })[0] ==
        doctest::Approx(1e12));
  CHECK(cosine_similarity(Tensor::zeros({2}), Tensor::ones({2})).item() == 0);
  CHECK(cosine_similarity(Tensor::of<float>({3e30f, 0}), Tensor::of<float>({1e-7f, 0})).item() ==
        doctest::Approx(1));
}

TEST_CASE("sums, products and orders of nothing") {
  const Tensor none = Tensor::zeros({0, 3}, f64);
  const double inf = HUGE_VAL;
  struct Row {
    const char* op;
    double of_nothing;  // of three columns without a value
  };
  for (const Row& row : {Row{"sum", 0}, Row{"mean", NAN}, Row{"var", NAN}, Row{"stddev", NAN},
                         Row{"prod", 1}, Row{"logsumexp", -inf}}) {
    INFO(row.op);
    for (const Tensor& y : {reduce(row.op, none, 0, false), reduce(row.op, none, 0, true)}) {
      CHECK(y.numel() == 3);
      for (const double v : y.values()) {
        CHECK((v == row.of_nothing || (std::isnan(v) && std::isnan(row.of_nothing))));
      }
    }
    CHECK(reduce(row.op, none, {}, false).rank() == 0);
    CHECK(reduce(row.op, none, 1, false).shape() == Shape{0});
    const Tensor x = none.clone().requires_grad_();
    backward(sum(reduce(row.op, x, 0, false)));
    CHECK(x.grad().shape() == Shape{0, 3});
  }
  for (const char* op : {"max", "min", "argmax", "argmin"}) {
    CHECK_THROWS_WITH_AS(reduce(op, none, 0, false),
                         doctest::Contains("expected at least one value to choose from"), Error);
  }
  CHECK(cumsum(none, 0).shape() == Shape{0, 3});
  CHECK(normalize(none).shape() == Shape{0, 3});
  CHECK(normalize(none, 0).shape() == Shape{0, 3});
  CHECK(cosine_similarity(none, none, 0).values() == std::vector<double>{0, 0, 0});
  CHECK(cosine_similarity(none, none).shape() == Shape{0});
}

TEST_CASE("prod and cumsum: rows and columns of every number agree with one after another") {
  for (const auto& dims : std::vector<std::array<int64_t, 3>>{
           {1, 5, 1}, {8, 3, 1}, {19, 40, 1}, {2, 7, 3}, {3, 4, 64}, {2, 5, 65}, {1, 3, 200}}) {
    const int64_t outer = dims[0], n = dims[1], inner = dims[2];
    const Shape shape{outer, n, inner};
    const Tensor x = (Rng(1).uniform(shape, 0.5, 1.5, f64)).requires_grad_();
    const Tensor dy = Rng(2).normal({outer, inner}, 0, 1, f64);
    const Tensor y = prod(x, 1);
    backward(y, dy);
    const Tensor before = cumsum(x.detach(), 1), behind = [&] {
      const Tensor v = x.detach().requires_grad_();
      backward(cumsum(v, 1), x.detach());
      return v.grad();
    }();
    const std::vector<double> v = x.values(), g = dy.values(), dx = x.grad().values(),
                              up = before.values(), down = behind.values();
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t j = 0; j < inner; ++j) {
        const auto at = [&](int64_t i) { return static_cast<size_t>((o * n + i) * inner + j); };
        const size_t r = static_cast<size_t>(o * inner + j);
        double all = 1, first = 0, last = 0;
        for (int64_t i = 0; i < n; ++i) all *= v[at(i)];
        CHECK(y.values()[r] == doctest::Approx(all).epsilon(1e-12));
        for (int64_t i = 0; i < n; ++i) {
          CHECK(dx[at(i)] == doctest::Approx(g[r] * all / v[at(i)]).epsilon(1e-12));
          CHECK(up[at(i)] == doctest::Approx(first += v[at(i)]).epsilon(1e-12));
          CHECK(down[at(n - 1 - i)] == doctest::Approx(last += v[at(n - 1 - i)]).epsilon(1e-12));
        }
      }
    }
  }
}

TEST_CASE("cumsum: integers, NaN, long rows") {
  CHECK(cumsum(Tensor::of<int64_t>({3, -1, 2}), 0).values() == std::vector<double>{3, 2, 4});
  CHECK(cumsum(Tensor::of<int64_t>({3, -1, 2}), 0).dtype() == i64);
  const std::vector<double> y = cumsum(Tensor::of<float>({1, NAN, 2}), 0).values();
  CHECK(y[0] == 1);
  CHECK(std::isnan(y[1]));
  CHECK(std::isnan(y[2]));
  const Tensor x = Tensor::full({1'000'000}, 0.1f);
  CHECK(std::fabs(cumsum(x, 0).values().back() / 1e5 - 1) < 1e-7);
}

TEST_CASE("more reductions: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 3}), i = x.to(i64);
  const std::string floats = ": expected an f32 or f64 tensor; got i64 [2, 3]. Hint: x.to(f32).";
  for (const char* op : {"prod", "logsumexp", "normalize"}) {
    CHECK_THROWS_WITH_AS(reduce(op, i, 1, false), (op + floats).c_str(), Error);
    CHECK_THROWS_WITH_AS(reduce(op, x, 2, false), doctest::Contains("axis must be in -2..1"),
                         Error);
  }
  CHECK_THROWS_WITH_AS(normalize(x, 1, 0), "normalize: expected eps > 0; got 0.", Error);
  CHECK_THROWS_WITH_AS(cosine_similarity(x, Tensor::zeros({2, 2})),
                       doctest::Contains("cosine_similarity: a [2, 3] and b [2, 2] do not"), Error);
  CHECK_THROWS_WITH_AS(cumsum(x, 2), "cumsum: axis must be in -2..1 for a tensor of rank 2; got 2.",
                       Error);
}
