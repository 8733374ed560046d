// Second derivatives of activations and those above: the rules' closed forms against central
// differences, Taylor series, long double and PyTorch; slope(); the gradient of activation_vjp.
#include <cmath>
#include <map>

#include "fixture.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/core/taylor.h"
#include "ramp/glass/gradcheck.h"
#include "threads.h"

using namespace ramp;

namespace {

const double kInf = HUGE_VAL, kNaN = NAN;

// f(rule) for every rule of ramp's own, also with other options.
void for_each_rule(auto f) {
  UnaryRules::for_each([&]<typename A>() { f(A{}); });
  for (const double a : {0.3, -2.0}) f(LeakyReLU{a});
  for (const double a : {0.5, 0.0, -0.7}) f(ELU{a});
  for (const double a : {2.0, -1.5}) f(CELU{a});
  for (const double a : {0.5, -0.5}) f(ThresholdedReLU{a});
  for (const double b : {3.0, -2.0}) f(Softplus{b});
  for (const double b : {2.0, -1.0, 0.0}) f(Swish{b});
  f(SmeLU{0.25});
}
std::vector<Activation> activations() {
  std::vector<Activation> list;
  for_each_rule([&](const auto& rule) { list.push_back(rule); });
  return list;
}
bool is(const Activation& f, const char* name) { return std::string(f.name()) == name; }

// Away from the kinks of the value and of the derivative; log and sqrt have none below 0.
std::vector<double> points(const Activation& f) {
  std::vector<double> x;
  for (double at = -4.87; at < 5; at += 0.31)
    if (at > 0 || (!is(f, "log") && !is(f, "sqrt"))) x.push_back(at);
  return x;
}

// "" if f'' is the central difference of f', else where it is not.
std::string wrong_second(const Activation& f) {
  for (const double x : points(f)) {
    const double h = 1e-5, right = (f.derivative(x + h) - f.derivative(x - h)) / (2 * h);
    const double d = f.second_derivative(x);
    if (!(std::fabs(d - right) <= 1e-8 + 1e-6 * std::fabs(right))) {
      return fmt::format("{}: y'' at {} is {}; expected {}", f.name(), x, d, right);
    }
  }
  return "";
}

struct Cube {
  static constexpr const char *name = "cube", *formula = "y = x^3";
  double six = 6;
  template <typename T>
  T f(T x) const {
    return x * x * x;
  }
  template <typename T>
  T derivative_from_x(T x) const {
    return 3 * x * x;
  }
  template <typename T>
  T second_derivative_from_x(T x) const {
    return static_cast<T>(six * std::abs(x) * (x < 0 ? -1 : 1));  // std::abs takes no Taylor
  }
};
struct NoSecond {
  static constexpr const char *name = "no_second", *formula = "y = x^2";
  template <typename T>
  T f(T x) const {
    return x * x;
  }
  template <typename T>
  T derivative_from_x(T x) const {
    return std::abs(x) * (x < 0 ? -2 : 2);
  }
};
struct FromY {
  static constexpr const char *name = "from_y", *formula = "y = e^x";
  template <typename T>
  T f(T x) const {
    return std::exp(x);
  }
  template <typename T>
  T derivative_from_y(T y) const {
    return y;
  }
  template <typename T>
  T second_derivative_from_x(T x) const {
    return std::exp(x);
  }
};
// Its blocks are what counts.
struct Blocks {
  static constexpr const char *name = "blocks", *formula = "y = 3 x";
  template <typename T>
  T f(T) const {
    return NAN;
  }
  template <typename T>
  T derivative_from_x(T) const {
    return NAN;
  }
  template <typename T>
  void f_block(int64_t n, const T* x, T* y) const {
    for (int64_t i = 0; i < n; ++i) y[i] = 3 * x[i];
  }
  template <typename T>
  void vjp_block(int64_t n, const T*, const T* dy, T* dx) const {
    for (int64_t i = 0; i < n; ++i) dx[i] = 3 * dy[i];
  }
};

// y'' of a tensor as a gradient of a gradient gives it: from x or from y.
Tensor second(const Activation& f, const Tensor& x) {
  const Tensor one = Tensor::ones(x.shape(), x.dtype());
  if (f.is_identity()) return Tensor::zeros(x.shape(), x.dtype());
  const Tensor at = (f.needs_x() ? x.clone() : activate(x, f)).requires_grad_();
  backward(activation_vjp(f, at, one), one);
  return f.needs_x() ? at.grad() : activation_vjp(f, at.detach(), at.grad());
}

// The activation that is the derivative of this order.
Activation slope(Activation f, int order) {
  for (int i = 0; i < order; ++i) f = f.slope();
  return f;
}

}  // namespace

TEST_CASE("y'' is the central difference of y', and a wrong one is found") {
  for (const Activation& f : activations()) CHECK(wrong_second(f) == "");
  CHECK(wrong_second(Cube{}) == "");
  CHECK(wrong_second(Cube{6.001}) != "");
  CHECK(wrong_second(Cube{-6}) != "");
}

TEST_CASE("each activation has the text of y''") {
  Activations::for_each([]<typename A>() {
    CHECK(std::string(A::second).starts_with("y'' = "));
    CHECK(std::string(Activation(A{}).second_formula()) == A::second);
  });
  CHECK(std::string(Activation(Cube{}).second_formula()) == "");
}

TEST_CASE("y'' is the Taylor coefficient of y'") {
  for_each_rule([]<typename A>(const A& rule) {
    INFO(std::string(A::name));
    for (const double x : points(rule)) {
      const double right = rule.second_derivative_from_x(x);
      const auto same = [&](double d) {
        CHECK(std::fabs(d - right) <= 1e-13 + 1e-11 * std::fabs(right));
      };
      if constexpr (DerivativeOfX<A>) same(Taylor(rule.derivative_from_x(Taylor(x, 1)))[1]);
      if constexpr (DerivativeOfY<A>) {
        if (needs_x(rule)) continue;
        const Taylor d = rule.derivative_from_y(Taylor(rule.f(x), 1));
        same(math::mul_or_zero(d[1], d[0]));
      }
    }
  });
}

TEST_CASE("y'' has its digits away from its zeros, far out too") {
  for_each_rule([]<typename A>(const A& rule) {
    INFO(std::string(A::name));
    for (double x : {-300., -80., -40., -20., -10., -5., -3.3, -2., -0.5, -1e-9, 1e-9, 0.3, 2.6,
                     10., 20., 40., 100., 300.}) {
      const double d = rule.second_derivative_from_x(x);
      const auto right =
          static_cast<double>(rule.second_derivative_from_x(static_cast<long double>(x)));
      INFO(x);
      CHECK((std::isnan(right) || std::fabs(d - right) <= 1e-300 + 2e-13 * std::fabs(right)));
    }
  });
}

TEST_CASE("y'' at kinks, at NaN and at the ends") {
  struct Ends {
    Activation f;
    double low, high;
    std::vector<double> kinks;
  };
  const std::vector<Ends> cases{{Identity{}, 0, 0, {}},
                                {ReLU{}, 0, 0, {0}},
                                {LeakyReLU{}, 0, 0, {0}},
                                {ELU{}, 0, 0, {0}},
                                {SELU{}, 0, 0, {0}},
                                {CELU{}, 0, 0, {0}},
                                {CELU{-2}, -kInf, 0, {0}},
                                {ClippedReLU{}, 0, 0, {0, 1}},
                                {ReLU6{}, 0, 0, {0, 6}},
                                {SquaredReLU{}, 0, 2, {0}},
                                {ThresholdedReLU{}, 0, 0, {1}},
                                {SmeLU{}, 0, 0, {-1, 1}},
                                {GELU{}, 0, 0, {}},
                                {GELUTanh{}, 0, 0, {}},
                                {Swish{-2}, 0, 0, {}},
                                {SiLU{}, 0, 0, {}},
                                {Mish{}, 0, 0, {}},
                                {HardSwish{}, 0, 0, {-3, 3}},
                                {HardSigmoid{}, 0, 0, {-3, 3}},
                                {HardTanh{}, 0, 0, {-1, 1}},
                                {Softplus{}, 0, 0, {}},
                                {Softsign{}, 0, 0, {0}},
                                {LogSigmoid{}, 0, 0, {}},
                                {Sigmoid{}, 0, 0, {}},
                                {Tanh{}, 0, 0, {}},
                                {Exp{}, 0, kInf, {}},
                                {Log{}, 0, 0, {}},
                                {Sqrt{}, kNaN, 0, {}},
                                {Abs{}, 0, 0, {0}},
                                {Erf{}, 0, 0, {}},
                                {Sin{}, kNaN, kNaN, {}},
                                {Cos{}, kNaN, kNaN, {}}};
  for (const Ends& c : cases) {
    INFO(std::string(c.f.name()));
    const auto check = [&](double x, double right) {
      INFO(x);
      const Tensor in = Tensor::full({3}, x, f64);
      check_close(Tensor::full({1}, c.f.second_derivative(x), f64), Tensor::full({1}, right, f64),
                  0);
      check_close(second(c.f, in), Tensor::full({3}, right, f64), 0);
      check_close(second(c.f, in.to(f32)), Tensor::full({3}, right), 0);
    };
    check(-kInf, c.low);
    check(kInf, c.high);
    for (const double kink : c.kinks) check(kink, 0);
    // Nothing hides a NaN but a y'' that is 0 everywhere.
    bool lines = true;
    for (const double x : points(c.f)) lines = lines && c.f.second_derivative(x) == 0;
    CHECK((c.f.second_derivative(kNaN) == 0) == lines);
    CHECK((second(c.f, Tensor::full({1}, kNaN, f64)).item() == 0) == lines);
    // Higher orders: finite or the limit, 0 at a kink.
    for (const double x : {-1e300, -1e3, -5.2, 1e3, 1e300}) {
      if (x > 0 || (!is(c.f, "log") && !is(c.f, "sqrt") && !is(c.f, "celu"))) {
        for (int order = 1; order <= 4; ++order) {
          INFO(x << " order " << order);
          if (c.f.needs_x() && !std::isnan(c.high)) {
            CHECK(std::isfinite(slope(c.f, order).derivative(x)));
          }
        }
      }
    }
  }
  CHECK(Activation(Sqrt{}).second_derivative(0) == -kInf);
  CHECK(Activation(Log{}).second_derivative(0) == -kInf);
}

TEST_CASE("slope() and the slopes of slopes are the closed forms") {
  const auto phi = [](double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); };
  using F = std::function<double(double)>;
  // As a function of y where the rule's derivative is one.
  const std::vector<std::pair<Activation, std::vector<F>>> forms{
      {Tanh{},
       {[](double y) { return 1 - y * y; }, [](double y) { return -2 * y; },
        [](double) { return -2; }, [](double) { return 0; }, [](double) { return 0; }}},
      {Sigmoid{},
       {[](double y) { return y - y * y; }, [](double y) { return 1 - 2 * y; },
        [](double) { return -2; }, [](double) { return 0; }, [](double) { return 0; }}},
      {Exp{},
       {[](double y) { return y; }, [](double) { return 1; }, [](double) { return 0; },
        [](double) { return 0; }, [](double) { return 0; }}},
      {LogSigmoid{},
       {[](double y) { return 1 - std::exp(y); }, [](double y) { return -std::exp(y); },
        [](double y) { return -std::exp(y); }, [](double y) { return -std::exp(y); },
        [](double y) { return -std::exp(y); }}},
      {Sin{},
       {[](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); },
        [](double x) { return -std::cos(x); }, [](double x) { return std::sin(x); },
        [](double x) { return std::cos(x); }}},
      {GELU{},
       {[=](double x) { return std::erfc(-x / std::sqrt(2)) / 2 + x * phi(x); },
        [=](double x) { return phi(x) * (2 - x * x); },
        [=](double x) { return phi(x) * (x * x * x - 4 * x); },
        [=](double x) { return phi(x) * (-x * x * x * x + 7 * x * x - 4); },
        [=](double x) { return phi(x) * x * (x * x * x * x - 11 * x * x + 18); }}}};
  for (const auto& entry : forms) {
    const Activation& f = entry.first;
    const std::vector<F>& form = entry.second;
    INFO(std::string(f.name()));
    for (int order = 1; order <= 4; ++order) {
      const Activation g = slope(f, order);
      CHECK(std::string(g.name()) == f.name());
      CHECK(g.needs_x());
      CHECK_FALSE(g.is_identity());
      for (const double at : {-2.3, -0.7, 0.0, 0.4, 1.9}) {
        INFO(order << " at " << at);
        CHECK(std::fabs(g.value(at) - form[order - 1](at)) <= 1e-13);
        CHECK(std::fabs(g.derivative(at) - form[order](at)) <= 1e-13);
        const auto in = static_cast<float>(at);
        const Tensor x = Tensor::full({3}, in).requires_grad_(), y = activate(x, g);
        backward(y, Tensor::ones({3}));
        check_close(y, Tensor::full({3}, g.value(in)), 1e-7);
        check_close(x.grad(), Tensor::full({3}, g.derivative(in)), 1e-7);
      }
    }
  }
  CHECK(std::string(Activation(Tanh{}).slope().formula()) == "y' = 1 - y^2");
  CHECK(std::string(Activation(Tanh{}).slope().derivative_formula()) == "y'' = -2 y y'");
  CHECK(Activation(Identity{}).slope().value(3) == 1);
  CHECK(Activation(Identity{}).slope().derivative(3) == 0);
}

TEST_CASE("every slope's derivative is that of its value, to order 4, and leaves no node behind") {
  const int64_t before = live_nodes();
  for (const Activation& f : activations()) {
    const Tensor x = Tensor::of<double>(points(f));
    for (int order = 0; order <= 3; ++order) {
      INFO(std::string(f.name()) << " order " << order);
      const Activation g = slope(f, order);
      const Tensor at = order > 0 && !f.needs_x() ? activate(x, f) : x;
      // All zero: nothing to check by differences.
      Tensor d = at.clone().requires_grad_();
      backward(activate(d, g), Tensor::ones(d.shape(), f64));
      double most = 0;
      for (const double v : d.grad().values()) most = std::max(most, std::fabs(v));
      if (most < 1e-12) continue;
      if (at.values() == x.values()) {
        CHECK(gradcheck([&](const auto& in) { return activate(in[0], g); }, {at}) == "");
      }
      for (const double a : at.values()) {
        const double h = 1e-5 * std::max(1e-3, std::min(1., std::fabs(a)));
        const double right = (g.value(a + h) - g.value(a - h)) / (2 * h);
        CHECK(g.derivative(a) == doctest::Approx(right).epsilon(1e-5));
      }
    }
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("activation_vjp is an op of `at` and dy") {
  const int64_t before = live_nodes();
  for (const Activation& f : activations()) {
    INFO(std::string(f.name()));
    if (f.is_identity()) continue;
    const Tensor x = Tensor::of<double>(points(f)), dy = Rng(1).normal(x.shape(), 0, 1, f64);
    const Tensor at = f.needs_x() ? x : activate(x, f);
    bool zero = true;  // of a step: no gradient at all
    for (const double a : x.values()) zero = zero && f.derivative(a) == 0;
    if (zero) continue;
    const Tensor u = at.clone().requires_grad_(), v = dy.clone().requires_grad_();
    const Tensor dx = activation_vjp(f, u, v), g = Rng(2).normal(x.shape(), 0, 1, f64);
    backward(dx, g);
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double d1 = f.derivative(x.values()[i]), d2 = f.second_derivative(x.values()[i]);
      const double by_y = f.needs_x() ? 1 : d1;  // u is y: du = dy / dx
      const double gi = g.values()[i];
      CHECK(v.grad().values()[i] == doctest::Approx(gi * d1).epsilon(1e-9));
      const double right = gi * dy.values()[i] * d2;
      CHECK(std::fabs(u.grad().values()[i] * by_y - right) <= 1e-9 * (1e-3 + std::fabs(right)));
    }
  }
  for (const Activation& f : {Activation(Tanh{}), Activation(GELU{}), Activation(Cube{})}) {
    const Tensor at = Tensor::of<double>({-0.8, -0.3, 0.2, 0.9}),
                 dy = Tensor::of<double>({1, 2, -1, 3});
    CHECK(gradcheck([&](const auto& in) { return activation_vjp(f, in[0], in[1]); }, {at, dy}) ==
          "");
  }
  CHECK(live_nodes() == before);
  // Where f'' is 0 nothing passes, not even inf; without a tape nothing is recorded.
  const Tensor y = Tensor::of<double>({0, 2}).requires_grad_();
  backward(activation_vjp(ReLU{}, y, Tensor::full({2}, kInf, f64)), Tensor::ones({2}, f64));
  CHECK(y.grad().values() == std::vector<double>{0, 0});
  const NoGrad no_grad;
  CHECK_FALSE(activation_vjp(Tanh{}, y, y).requires_grad());
}

TEST_CASE("a user's rules") {
  CHECK(Activation(Cube{}).second_derivative(2) == 12);
  CHECK(Activation(Cube{}).slope().value(2) == 12);
  CHECK(Activation(Cube{}).slope().derivative(2) == 12);
  CHECK(Activation(FromY{}).second_derivative(0) == 1);
  CHECK(Activation(FromY{}).slope().value(2) == 2);
  CHECK(Activation(NoSecond{}).slope().value(-2) == -4);
  CHECK(Activation(Blocks{}).slope().value(-2) == 3);
  const auto message = [](const char* name) {
    return fmt::format(
        "{}: has no second derivative. Hint: give the rule derivative_from_x(x) (not from y) and "
        "second_derivative_from_x(x).",
        name);
  };
  CHECK_THROWS_WITH_AS(Activation(NoSecond{}).slope().derivative(1), message("no_second").c_str(),
                       Error);
  CHECK_THROWS_WITH_AS(Activation(NoSecond{}).second_derivative(1), message("no_second").c_str(),
                       Error);
  CHECK_THROWS_WITH_AS(Activation(FromY{}).slope().derivative(1), message("from_y").c_str(), Error);
  CHECK_THROWS_WITH_AS(Activation(Blocks{}).slope().derivative(1), message("blocks").c_str(),
                       Error);
  CHECK_THROWS_WITH_AS(Activation(Cube{}).slope().slope().derivative(1),
                       "cube: has no derivative of order 3.", Error);
  // Over threads too.
  const Tensor x = Tensor::ones({100000}).requires_grad_();
  CHECK_THROWS_AS(
      backward(activation_vjp(NoSecond{}, x, Tensor::ones({100000})), Tensor::ones({100000})),
      Error);
}

TEST_CASE("orders end where Taylor's end") {
  CHECK(slope(Sin{}, 9).derivative(1) == doctest::Approx(-std::sin(1)).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(slope(Sin{}, 10).derivative(1), "sin: has no derivative of order 11.",
                       Error);
  CHECK(slope(LogSigmoid{}, 8).derivative(-1) == doctest::Approx(-std::exp(-1)).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(slope(LogSigmoid{}, 9).derivative(-1),
                       "log_sigmoid: has no derivative of order 10.", Error);
}

TEST_CASE("y'' is PyTorch's") {
  std::map<std::string, Activation> list;
  UnaryRules::for_each([&]<typename A>() { list.insert({A::name, A{}}); });
  const std::map<std::string, Activation> others{{"leaky_relu 0.3", LeakyReLU{0.3}},
                                                 {"leaky_relu -2", LeakyReLU{-2}},
                                                 {"leaky_relu 0", LeakyReLU{0}},
                                                 {"elu 0.5", ELU{0.5}},
                                                 {"celu 2", CELU{2}},
                                                 {"clipped_relu 1.25", ClippedReLU{1.25}},
                                                 {"thresholded_relu 1", ThresholdedReLU{}},
                                                 {"thresholded_relu -0.5", ThresholdedReLU{-0.5}},
                                                 {"smelu 1", SmeLU{}},
                                                 {"smelu 0.25", SmeLU{0.25}},
                                                 {"swish 2", Swish{2}},
                                                 {"swish -1", Swish{-1}},
                                                 {"hard_tanh -0.5 2", HardTanh{-0.5, 2}},
                                                 {"softplus 3", Softplus{3}},
                                                 {"softplus -2", Softplus{-2}}};
  list.insert(others.begin(), others.end());
  int cases = 0;
  for (const Fixture& f : read_fixtures("activation_second")) {
    INFO(f.name);
    const Tensor x = f.tensor("x"), right = f.tensor("second");
    const Activation& rule = list.at(f.name);
    check_close(second(rule, x), right, 1e-12);
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double d = rule.second_derivative(x.values()[i]), e = right.values()[i];
      CHECK(std::fabs(d - e) <= 1e-12 * (1 + std::fabs(e)));
    }
    ++cases;
  }
  CHECK(cases == 43);
}

TEST_CASE("slopes: equal bits for 1 and 2 threads") {
  const Tensor x = Rng(6).uniform({500, 100}, 0.1, 0.9), dy = Rng(7).normal({500, 100});
  for (const Activation& f : activations()) {
    check_equal_bits([&] { return activation_vjp(f.slope(), x, dy); });
  }
  check_equal_bits([&] { return activate(x, slope(Mish{}, 3)); });
}
