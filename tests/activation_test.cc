// Activations, a user's and ramp's own: the vectors that run against the numbers of
// core/rules_unary.h, PyTorch and central differences; fused in layers.
#include "ramp/core/activation.h"

#include <cmath>
#include <map>

#include "fixture.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_conv.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_norm.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/init.h"
#include "ramp/layers/sequential.h"
#include "threads.h"
#include "ulps.h"

using namespace ramp;

namespace {

const double kInf = HUGE_VAL, kNaN = NAN;

// The largest errors of a rule's value, in units in the last place, against the same rule in long
// double: of all values, and of those that are far from underflow.
template <typename T, typename A>
std::array<double, 2> worst(const A& rule) {
  const Tensor x = Tensor::of<T>(sweep<T>()), y = activate(x, rule);
  std::array<double, 2> most{};
  for (int64_t i = 0; i < x.numel(); i += 7) {  // long double is slow
    const long double right = rule.f(static_cast<long double>(x.data<T>()[i]));
    const double e = ulps<T>(y.data<T>()[i], right);
    most[0] = std::max(most[0], e);
    if (!(std::fabs(right) < std::numeric_limits<T>::min() * 1e8)) most[1] = std::max(most[1], e);
  }
  return most;
}

struct OwnTanh {
  static constexpr const char* name = "tanh";
  static constexpr const char* formula = "y = tanh(x)";
  template <typename T>
  T f(T x) const {
    return std::tanh(x);
  }
  template <typename T>
  T derivative_from_y(T y) const {
    return 1 - y * y;
  }
};

// From x, with two kinks, and a parameter.
struct HardShrink {
  static constexpr const char* name = "hard_shrink";
  static constexpr const char* formula = "y = |x| > width ? x : 0";
  double width = 0.5;
  std::vector<double> kinks() const { return {-width, width}; }
  template <typename T>
  T f(T x) const {
    return std::fabs(x) > width ? x : T(0);
  }
  template <typename T>
  T derivative_from_x(T x) const {
    return std::fabs(x) > width ? T(1) : T(0);
  }
};

// Brings blocks of its own: they are what runs.
struct Blocks {
  static constexpr const char* name = "blocks";
  static constexpr const char* formula = "y = 3 x";
  template <typename T>
  T f(T) const {
    return NAN;
  }
  template <typename T>
  T derivative_from_y(T) const {
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

struct Zero {
  static constexpr const char* name = "zero";
  static constexpr const char* formula = "y = 0";
  template <typename T>
  T f(T) const {
    return 0;
  }
  template <typename T>
  T derivative_from_y(T) const {
    return 0;
  }
};

struct NoName {
  float f(float x) const { return x; }
  float derivative_from_y(float) const { return 1; }
};
struct NoDerivative {
  static constexpr const char *name = "n", *formula = "f";
  template <typename T>
  T f(T x) const {
    return x;
  }
};

static_assert(ActivationRule<Identity> && ActivationRule<ReLU> && ActivationRule<LeakyReLU>);
static_assert(ActivationRule<OwnTanh> && ActivationRule<HardShrink> && ActivationRule<Blocks>);
static_assert(!ActivationRule<NoName> && !ActivationRule<NoDerivative> && !ActivationRule<int>);

using Op = std::function<Tensor(const Tensor&)>;

// Every rule of ramp's own, also with numbers that turn its derivative round.
std::vector<Activation> rules() {
  std::vector<Activation> list;
  Activations::for_each([&]<typename A>() { list.push_back(A{}); });
  for (const double a : {0.3, 0.0, -2.0}) list.push_back(LeakyReLU{a});
  for (const double a : {0.5, 0.0, -0.7}) list.push_back(ELU{a});
  for (const double a : {2.0, -1.5}) list.push_back(CELU{a});
  for (const double a : {0.4, 0.0, -0.5}) list.push_back(ThresholdedReLU{a});
  for (const double b : {3.0, -2.0}) list.push_back(Softplus{b});
  for (const double b : {2.0, -1.0, 0.0}) list.push_back(Swish{b});
  list.push_back(ClippedReLU{2});
  list.push_back(HardTanh{-0.25, 2});
  list.push_back(SmeLU{0.25});
  return list;
}

// Values without the neighbourhood of kinks.
Tensor away_from(const std::vector<double>& kinks, const Shape& shape, uint64_t seed) {
  Tensor x = Rng(seed).normal(shape, 0, 2, f64);
  double* p = x.mutable_data<double>();
  for (int64_t i = 0; i < x.numel(); ++i)
    for (const double k : kinks)
      if (std::fabs(p[i] - k) < 1e-2) p[i] = k + 0.05;
  return x;
}

}  // namespace

TEST_CASE("what an erased activation says of itself") {
  const Activation relu = ReLU{}, shrink = HardShrink{2}, tanh = OwnTanh{}, none = Identity{};
  CHECK(std::string(relu.name()) == "relu");
  CHECK(std::string(relu.formula()) == "y = max(0, x)");
  CHECK(relu.kinks() == std::vector<double>{0});
  CHECK_FALSE(relu.needs_x());
  CHECK_FALSE(relu.is_identity());
  CHECK(shrink.kinks() == std::vector<double>{-2, 2});
  CHECK(shrink.needs_x());
  CHECK(shrink.value(3) == 3);
  CHECK(shrink.value(1) == 0);
  CHECK(tanh.kinks().empty());
  CHECK(none.is_identity());
  CHECK(Activation(LeakyReLU{-0.5}).value(-2) == 1);
}

TEST_CASE("values and derivatives at the kink, at NaN and inf") {
  const double inf = HUGE_VAL;
  struct Case {
    Activation f;
    double x, y, dx;
  };
  for (const Case& c : std::vector<Case>{
           {ReLU{}, -1, 0, 0},
           {ReLU{}, 0, 0, 0},
           {ReLU{}, 2, 2, 1},
           {ReLU{}, inf, inf, 1},
           {ReLU{}, -inf, 0, 0},
           {ReLU{}, NAN, NAN, 1},
           {ReLU{}, -0.0, 0, 0},
           {LeakyReLU{0.1}, -2, -0.2, 0.1},
           {LeakyReLU{0.1}, 0, 0, 0.1},
           {LeakyReLU{0.1}, 2, 2, 1},
           {LeakyReLU{0.1}, NAN, NAN, 1},
           {LeakyReLU{-1}, -3, 3, -1},
           {Identity{}, NAN, NAN, 1},
           {Identity{}, -7, -7, 1},
           {OwnTanh{}, 0, 0, 1},
           {OwnTanh{}, inf, 1, 0},
       }) {
    INFO(std::string(c.f.name()) << " at " << c.x);
    // 19 of them: the vector part and the rest.
    for (const DType dtype : {f32, f64}) {
      const Tensor x = Tensor::full({19}, c.x, dtype).requires_grad_();
      const Tensor y = activate(x, c.f);
      check_close(y, Tensor::full({19}, c.y, dtype), 1e-7);
      backward(y, Tensor::ones({19}, dtype));
      check_close(x.grad(), Tensor::full({19}, c.dx, dtype), 1e-7);
    }
  }
}

TEST_CASE("the derivatives of a user's own, and no node is left behind") {
  const int64_t before = live_nodes();
  Rng rng(1);
  for (const Activation& f : {Activation(Identity{}), Activation(ReLU{}), Activation(OwnTanh{}),
                              Activation(LeakyReLU{0.3}), Activation(LeakyReLU{-2}),
                              Activation(HardShrink{}), Activation(Blocks{})}) {
    INFO(std::string(f.name()));
    CHECK(gradcheck([&](const auto& in) { return activate(in[0], f); },
                    {rng.normal({5, 7}, 0, 1, f64)}) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("blocks of one's own run in place of the scalar rules") {
  const Tensor x = Tensor::of<float>({1, 2}).requires_grad_();
  const Tensor y = activate(x, Blocks{});
  CHECK(y.values() == std::vector<double>{3, 6});
  backward(y, Tensor::ones({2}));
  CHECK(x.grad().values() == std::vector<double>{3, 3});
}

TEST_CASE("the gain is 1 / sqrt(E f(z)^2)") {
  CHECK(init::gain(Identity{}) == doctest::Approx(1).epsilon(1e-12));
  CHECK(init::gain(ReLU{}) == doctest::Approx(std::sqrt(2)).epsilon(1e-12));
  for (const double a : {0.01, 0.2, 1.0, -1.0, -3.0}) {
    CHECK(init::gain(LeakyReLU{a}) == doctest::Approx(std::sqrt(2 / (1 + a * a))).epsilon(1e-12));
  }
  // E tanh(z)^2 = 0.394294415...; PyTorch's 5/3 is a rule of thumb.
  CHECK(init::gain(OwnTanh{}) == doctest::Approx(1.5925374197228312).epsilon(1e-9));
  CHECK(init::gain(Blocks{}) == doctest::Approx(1. / 3).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(
      init::gain(Zero{}),
      "gain: expected an activation that is finite and not zero everywhere; got zero (y = 0).",
      Error);
}

TEST_CASE("activate: a user's mistakes") {
  CHECK_THROWS_WITH_AS(
      activate({}, ReLU{}),
      "relu: x is undefined (moved from, or never set). Hint: give it a value first.", Error);
  CHECK_THROWS_AS(activate(Tensor::arange(3), ReLU{}), Error);
}

TEST_CASE_TEMPLATE("the errors of the values are as docs/activations.md states", T, float, double) {
  // Far from underflow. Near it swish and its kin multiply a denormal: a digit or more is lost.
  const std::map<std::string, double> stated{
      {"leaky_relu", 0.9},   {"elu", 1.1},      {"selu", 1.8},     {"celu", 1.1},
      {"squared_relu", 0.6}, {"smelu", 2},      {"gelu", 7.5},     {"gelu_tanh", 1100},
      {"swish", 3},          {"silu", 3},       {"mish", 4},       {"hard_swish", 2},
      {"hard_sigmoid", 1.1}, {"softplus", 2.6}, {"softsign", 1.5}, {"log_sigmoid", 2.6},
      {"sigmoid", 2.5},      {"tanh", 2.6}};
  Activations::for_each([&]<typename A>() {
    const auto [all, most] = worst<T>(A{});
    const auto limit = stated.find(A::name);
    INFO(std::string(A::name));
    CHECK(most <= (limit == stated.end() ? 0 : limit->second));
    CHECK(all < 2000);
  });
}

TEST_CASE("activations are PyTorch's") {
  const std::map<std::string, Op> ops{
      {"relu", relu},
      {"leaky_relu", [](const Tensor& x) { return leaky_relu(x); }},
      {"leaky_relu 0.3", [](const Tensor& x) { return leaky_relu(x, 0.3); }},
      {"leaky_relu -2", [](const Tensor& x) { return leaky_relu(x, -2); }},
      {"leaky_relu 0", [](const Tensor& x) { return leaky_relu(x, 0); }},
      {"elu", [](const Tensor& x) { return elu(x); }},
      {"elu 0.5", [](const Tensor& x) { return elu(x, 0.5); }},
      {"elu -0.7", [](const Tensor& x) { return elu(x, -0.7); }},
      {"elu 0", [](const Tensor& x) { return elu(x, 0); }},
      {"selu", selu},
      {"celu", [](const Tensor& x) { return celu(x); }},
      {"celu 2", [](const Tensor& x) { return celu(x, 2); }},
      {"celu -1.5", [](const Tensor& x) { return celu(x, -1.5); }},
      {"relu6", relu6},
      {"clipped_relu 1.25", [](const Tensor& x) { return clipped_relu(x, 1.25); }},
      {"squared_relu", squared_relu},
      {"thresholded_relu 1", [](const Tensor& x) { return thresholded_relu(x); }},
      {"thresholded_relu -0.5", [](const Tensor& x) { return thresholded_relu(x, -0.5); }},
      {"smelu 1", [](const Tensor& x) { return smelu(x); }},
      {"smelu 0.25", [](const Tensor& x) { return smelu(x, 0.25); }},
      {"gelu", gelu},
      {"gelu_tanh", gelu_tanh},
      {"silu", silu},
      {"swish 2", [](const Tensor& x) { return swish(x, 2); }},
      {"swish -1", [](const Tensor& x) { return swish(x, -1); }},
      {"mish", mish},
      {"hard_swish", hard_swish},
      {"hard_sigmoid", hard_sigmoid},
      {"hard_tanh", [](const Tensor& x) { return hard_tanh(x); }},
      {"hard_tanh -0.5 2", [](const Tensor& x) { return hard_tanh(x, -0.5, 2); }},
      {"softplus", [](const Tensor& x) { return softplus(x); }},
      {"softplus 3", [](const Tensor& x) { return softplus(x, 3); }},
      {"softplus -2", [](const Tensor& x) { return softplus(x, -2); }},
      {"softsign", softsign},
      {"log_sigmoid", log_sigmoid},
      {"sigmoid", sigmoid},
      {"tanh", [](const Tensor& x) { return tanh(x); }},
      {"crelu", crelu},
      {"glu", glu},
      {"erf", [](const Tensor& x) { return erf(x); }},
  };
  std::map<std::string, int> seen;
  for (const Fixture& f : read_fixtures("activation")) {
    INFO(f.name);
    const std::string op = f.name.substr(0, f.name.find(" |"));
    ++seen[op];
    const Tensor x = f.leaf("x");
    const double tolerance = x.dtype() == f32 ? 3e-6 : 1e-13;
    const Tensor slope = op == "prelu" ? f.leaf("slope") : Tensor{};
    const Tensor y = op == "prelu" ? prelu(x, slope) : ops.at(op)(x);
    check_close(y, f.tensor("y"), tolerance);
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), tolerance);
    if (op == "prelu") check_close(slope.grad(), f.tensor("dslope"), tolerance);
  }
  CHECK(seen.size() == ops.size() + 1);
  for (const auto& [op, cases] : seen) CHECK(cases == 4);
}

TEST_CASE("the derivatives agree with central differences, and no node is left behind") {
  const int64_t before = live_nodes();
  for (const Activation& f : rules()) {
    INFO(std::string(f.name()));
    const Tensor x = away_from(f.kinks(), {5, 7}, 1);
    CHECK(gradcheck([&](const auto& in) { return activate(in[0], f); }, {x}) == "");
    // From x and from y they are the same number.
    for (const double at : {-3.5, -1.2, -0.3, 0.2, 0.9, 4.0}) {
      const double h = 1e-5, slope = (f.value(at + h) - f.value(at - h)) / (2 * h);
      CHECK(f.derivative(at) == doctest::Approx(slope).epsilon(1e-5));
    }
  }
  const Tensor x = away_from({0}, {6, 4}, 2), s = Tensor::of<double>({0.25, -1, 0.5, 2});
  CHECK(gradcheck([](const auto& in) { return prelu(in[0], in[1]); }, {x, s}) == "");
  CHECK(gradcheck([](const auto& in) { return prelu(in[0], in[1]); },
                  {x, Tensor::of<double>({-0.5})}) == "");
  CHECK(gradcheck(
            [](const auto& in) {
              Rng rng(3);
              return rrelu(in[0], rng);
            },
            {x}) == "");
  CHECK(gradcheck([](const auto& in) { return crelu(in[0]); }, {x}) == "");
  CHECK(gradcheck([](const auto& in) { return glu(in[0]); }, {x}) == "");
  CHECK(gradcheck([](const auto& in) { return erf(in[0]); }, {x}) == "");
  CHECK(live_nodes() == before);
}

TEST_CASE("a rule in vectors and the same rule in numbers agree") {
  UnaryRules::for_each([]<typename A>() {
    INFO(std::string(A::name));
    const A rule{};
    const Activation f = rule;
    const auto same = [](double a, double b) {
      CHECK((std::isnan(a) ? std::isnan(b) : a == doctest::Approx(b).epsilon(1e-11)));
    };
    for (double x = -6; x <= 6; x += 0.37) {
      same(f.value(x), rule.f(x));
      same(f.derivative(x), derivative(rule, needs_x(rule) ? x : rule.f(x)));
    }
    CHECK(std::string(f.formula()).starts_with("y = "));
  });
  Activations::for_each([]<typename A>() {
    CHECK(std::string(A::derivative).starts_with("y' = "));
    CHECK(UnaryRules::index<A>() == Activations::index<A>());
  });
}

TEST_CASE("at NaN NaN, at the ends the limits, of the value and of the derivative") {
  struct Ends {
    Activation f;
    double y_low, y_high, d_low, d_high;
  };
  const std::vector<Ends> cases{{Identity{}, -kInf, kInf, 1, 1},
                                {ReLU{}, 0, kInf, 0, 1},
                                {LeakyReLU{0.5}, -kInf, kInf, 0.5, 1},
                                {LeakyReLU{-1}, kInf, kInf, -1, 1},
                                {LeakyReLU{0}, 0, kInf, 0, 1},
                                {ELU{2}, -2, kInf, 0, 1},
                                {ELU{-2}, 2, kInf, 0, 1},
                                {CELU{2}, -2, kInf, 0, 1},
                                {ClippedReLU{3}, 0, 3, 0, 0},
                                {ReLU6{}, 0, 6, 0, 0},
                                {SquaredReLU{}, 0, kInf, 0, kInf},
                                {ThresholdedReLU{}, 0, kInf, 0, 1},
                                {SmeLU{}, 0, kInf, 0, 1},
                                {GELU{}, 0, kInf, 0, 1},
                                {GELUTanh{}, 0, kInf, 0, 1},
                                {SiLU{}, 0, kInf, 0, 1},
                                {Swish{-2}, -kInf, 0, 1, 0},
                                {Mish{}, 0, kInf, 0, 1},
                                {HardSwish{}, 0, kInf, 0, 1},
                                {HardSigmoid{}, 0, 1, 0, 0},
                                {HardTanh{}, -1, 1, 0, 0},
                                {Softplus{}, 0, kInf, 0, 1},
                                {Softsign{}, -1, 1, 0, 0},
                                {LogSigmoid{}, -kInf, 0, 1, 0},
                                {Sigmoid{}, 0, 1, 0, 0},
                                {Tanh{}, -1, 1, 0, 0}};
  for (const Ends& c : cases) {
    INFO(std::string(c.f.name()));
    for (const DType dtype : {f32, f64}) {
      // 19 of each: whole vectors and the rest.
      const auto check = [&](double x, double y, double d) {
        const Tensor in = Tensor::full({19}, x, dtype).requires_grad_();
        const Tensor out = activate(in, c.f);
        check_close(out, Tensor::full({19}, y, dtype), 1e-6);
        backward(out, Tensor::ones({19}, dtype));
        check_close(in.grad(), Tensor::full({19}, d, dtype), 1e-6);
      };
      check(-kInf, c.y_low, c.d_low);
      check(kInf, c.y_high, c.d_high);
      CHECK(std::isnan(activate(Tensor::full({1}, kNaN, dtype), c.f).item()));
      // The largest finite numbers.
      const double large = dtype == f32 ? 3e38 : 1.7e308;
      CHECK(!std::isnan(activate(Tensor::full({1}, large, dtype), c.f).item()));
      CHECK(!std::isnan(activate(Tensor::full({1}, -large, dtype), c.f).item()));
    }
  }
}

TEST_CASE("at kinks and at NaN the derivative follows one rule") {
  struct Kinky {
    std::string name;
    Op f;
    std::vector<double> kinks;
  };
  std::vector<Kinky> list{
      {"abs", [](const Tensor& x) { return abs(x); }, {0}},
      {"clamp", [](const Tensor& x) { return clamp(x, -0.5, 1.5); }, {-0.5, 1.5}},
      {"clamp below", [](const Tensor& x) { return clamp(x, 0, kInf); }, {0}},
      {"prelu", [](const Tensor& x) { return prelu(x, Tensor::of<double>({0.3})); }, {0}},
      {"prelu -2", [](const Tensor& x) { return prelu(x, Tensor::of<double>({-2})); }, {0}},
      {"rrelu",
       [](const Tensor& x) {
         Rng rng(1);
         return rrelu(x, rng);
       },
       {0}}};
  for (const Activation& f : rules()) {
    list.push_back({f.name(), [f](const Tensor& x) { return activate(x, f); }, f.kinks()});
  }
  int kinks = 0;
  for (const Kinky& k : list) {
    const auto derivative = [&](double at) {
      const Tensor x = Tensor::full({19}, at, f64).requires_grad_();  // whole vectors and the rest
      backward(k.f(x), Tensor::ones({19}, f64));
      const bool same = x.grad().values()[0] == x.grad().values()[18];
      CHECK((same || std::isnan(x.grad().values()[0]) || k.name == "rrelu"));
      return x.grad().values()[0];
    };
    for (const double at : k.kinks) {
      INFO(k.name << " at " << at);
      const double h = 1e-4;
      const auto slope = [&](double a, double b) {
        return (k.f(Tensor::full({19}, b, f64)).values()[0] -
                k.f(Tensor::full({19}, a, f64)).values()[0]) /
               (b - a);
      };
      const double left = slope(at - 2 * h, at - h), right = slope(at + h, at + 2 * h);
      const bool flat_or_turns = left * right < 1e-6;
      CHECK(derivative(at) == doctest::Approx(flat_or_turns ? 0 : left).epsilon(1e-3));
      ++kinks;
    }
    INFO(k.name << " at NaN");
    CHECK(std::isnan(k.f(Tensor::full({1}, kNaN, f64)).item()));
    CHECK(derivative(kNaN) != 0);
  }
  CHECK(kinks >= 28);
}

TEST_CASE("a derivative that is nearly 0 has its digits") {
  for (const Activation& f : rules()) {
    // These two are a function of y and good to the last place of 1; u of gelu_tanh is rounded.
    const std::string name = f.name();
    const double absolute = name == "sigmoid" || name == "tanh" ? 1.2e-7 : 1e-37;
    const double relative = name == "gelu_tanh" ? 2e-3 : 1e-5;
    for (const double at : {-80., -40., -20., -10., -5., -3.3, -2., -0.5, 0.3, 2.5, 10., 40.}) {
      INFO(name << " at " << at);
      const auto x32 = static_cast<float>(at);
      const double right = f.derivative(x32);
      const Tensor x = Tensor::full({1}, x32).requires_grad_();
      backward(activate(x, f), Tensor::ones({1}));
      CHECK(std::fabs(x.grad().item() - right) <= absolute + relative * std::fabs(right));
    }
  }
  for (Tensor (*f)(const Tensor&) :
       {+[](const Tensor& x) { return elu(x); }, +[](const Tensor& x) { return celu(x); }}) {
    const Tensor x = Tensor::of<float>({-10, -20, -80}).requires_grad_();
    backward(f(x), Tensor::ones({3}));
    for (int i = 0; i < 3; ++i) {
      CHECK(x.grad().values()[i] == doctest::Approx(std::exp(x.values()[i])).epsilon(1e-6));
    }
  }
}

TEST_CASE("no number on the way overflows where the value does not") {
  CHECK(softplus(Tensor::scalar(1e308, f64), 2.5).item() == 1e308);
  CHECK(softplus(Tensor::scalar(-1e308, f64), -2.5).item() == -1e308);
  CHECK(softplus(Tensor::scalar(3e38), 2).item() == 3e38f);
  CHECK(smelu(Tensor::scalar(1e20), 4e20).item() == doctest::Approx(25e40 / 16e20));
  CHECK(swish(Tensor::scalar(kInf), 0).item() == kInf);
  CHECK(celu(Tensor::scalar(-3e38), 1e-3).item() == -1e-3f);
}

TEST_CASE("options that a rule forbids are errors at the call") {
  const Tensor x = Tensor::ones({2});
  struct Bad {
    std::function<void(double)> call;
    std::vector<double> options;
    std::string expected;
  };
  const std::vector<Bad> list{
      {[&](double a) { leaky_relu(x, a); }, {kNaN, kInf}, "leaky_relu: expected a finite slope"},
      {[&](double a) { elu(x, a); }, {kNaN, -kInf}, "elu: expected a finite alpha"},
      {[&](double a) { celu(x, a); },
       {0, -0.0, kNaN, kInf, 1e-50},
       "celu: expected a finite alpha, not 0"},
      {[&](double a) { clipped_relu(x, a); }, {-1, kNaN}, "clipped_relu: expected limit >= 0"},
      {[&](double a) { thresholded_relu(x, a); },
       {kNaN, kInf},
       "thresholded_relu: expected a finite theta"},
      {[&](double a) { smelu(x, a); }, {0, -1, kNaN, kInf}, "smelu: expected a finite beta > 0"},
      {[&](double a) { swish(x, a); }, {kNaN, kInf}, "swish: expected a finite beta"},
      {[&](double a) { hard_tanh(x, a, 0.5); }, {1, kNaN}, "hard_tanh: expected low <= high"},
      {[&](double a) { hard_tanh(x, 0.5, a); }, {0, kNaN}, "hard_tanh: expected low <= high"},
      {[&](double a) { softplus(x, a); },
       {0, kNaN, kInf},
       "softplus: expected a finite beta, not 0"},
      {[&](double a) {
         Rng rng(1);
         rrelu(x, rng, a, 0.5);
       },
       {1, kNaN, -kInf},
       "rrelu: expected finite lower <= upper"},
  };
  for (const Bad& bad : list) {
    for (const double a : bad.options) {
      INFO(bad.expected << " at " << a);
      CHECK_THROWS_WITH_AS(bad.call(a), doctest::Contains((bad.expected + "; got ").c_str()),
                           Error);
    }
  }
  CHECK_THROWS_WITH_AS(hard_tanh(x, 2, 1), "hard_tanh: expected low <= high; got 2 and 1.", Error);
  CHECK_THROWS_AS(Dense(2, 2, CELU{0}), Error);
  CHECK(hard_tanh(x, 0, kInf).values() == std::vector<double>{1, 1});
  CHECK(clipped_relu(x, kInf).values() == std::vector<double>{1, 1});
  CHECK(hard_tanh(x, 0.5, 0.5).values() == std::vector<double>{0.5, 0.5});
}

TEST_CASE("nothing passes where the derivative is 0, not even inf or NaN") {
  for (const double g : {kInf, kNaN}) {
    const Tensor x = Tensor::of<float>({-1, 2}).requires_grad_();
    backward(relu(x), Tensor::full({2}, g));
    CHECK(x.grad().values()[0] == 0);
    CHECK(!(std::fabs(x.grad().values()[1]) < kInf));
  }
}

TEST_CASE("fused in linear, conv2d and batch norm they are what they are behind them") {
  Rng rng(4);
  for (const Activation& f : rules()) {
    INFO(std::string(f.name()));
    const auto same = [&](auto fused, auto apart, const std::vector<Tensor>& leaves) {
      std::vector<Tensor> gradients;
      Tensor y[2];
      for (int i = 0; i < 2; ++i) {
        for (const Tensor& t : leaves) Tensor(t).zero_grad();
        y[i] = i == 0 ? fused() : apart();
        backward(sum(y[i] * y[i]));
        for (const Tensor& t : leaves) gradients.push_back(t.grad());
      }
      check_close(y[0], y[1], 1e-12);
      for (size_t k = 0; k < leaves.size(); ++k) {
        check_close(gradients[k], gradients[k + leaves.size()], 1e-11);
      }
    };
    const auto leaf = [&](const Shape& shape) {
      return rng.normal(shape, 0, 1, f64).requires_grad_();
    };
    const Tensor x = leaf({9, 5}), w = leaf({5, 11}), b = leaf({11});
    same([&] { return linear(x, w, b, f); }, [&] { return activate(linear(x, w, b), f); },
         {x, w, b});
    const Tensor image = leaf({2, 6, 6, 3}), k = leaf({3, 3, 3, 8}), c = leaf({8});
    same([&] { return conv2d(image, k, c, {.padding = 1}, f); },
         [&] { return activate(conv2d(image, k, c, {.padding = 1}), f); }, {image, k, c});
  }
}

TEST_CASE("prelu in linear, conv2d and batch norm: the gradients, that of the slope among them") {
  const int64_t before = live_nodes();
  const auto by = [](const Tensor& slope) { return Activation(LeakyReLU{slope.item()}, slope); };
  Rng rng(8);
  const auto normal = [&](const Shape& shape) { return rng.normal(shape, 0, 1, f64); };
  for (const double s : {0.25, 1.5}) {
    const Tensor slope = Tensor::of<double>({s});
    CHECK(gradcheck([&](const auto& in) { return linear(in[0], in[1], in[2], by(in[3])); },
                    {normal({5, 3}), normal({3, 4}), normal({4}), slope}) == "");
    CHECK(
        gradcheck(
            [&](const auto& in) { return conv2d(in[0], in[1], in[2], {.padding = 1}, by(in[3])); },
            {normal({2, 4, 4, 2}), normal({3, 3, 2, 3}), normal({3}), slope}) == "");
    CHECK(gradcheck(
              [&](const auto& in) {
                return conv_transpose2d(in[0], in[1], in[2], {.stride = 2}, by(in[3]));
              },
              {normal({1, 3, 3, 2}), normal({2, 2, 3, 2}), normal({3}), slope}) == "");
    for (const bool training : {true, false}) {
      CHECK(gradcheck(
                [&](const auto& in) {
                  Tensor mean = Tensor::zeros({4}, f64), var = Tensor::ones({4}, f64);
                  return batch_norm(in[0], in[1], in[2], mean, var, {.training = training},
                                    by(in[3]));
                },
                {normal({7, 4}), normal({4}), normal({4}), slope}) == "");
    }
  }
  CHECK(std::string(by(Tensor::of<float>({0.5})).name()) == "prelu");
  CHECK(live_nodes() == before);
}

TEST_CASE("prelu, rrelu, crelu, glu: by hand") {
  const Tensor x = Tensor::of<float>({-2, 3, 0, -1}, {2, 2});
  CHECK(prelu(x, Tensor::of<float>({0.5, -1})).values() == std::vector<double>{-1, 3, 0, 1});
  CHECK(prelu(x, Tensor::of<float>({0.5})).values() == std::vector<double>{-1, 3, 0, -0.5});
  CHECK(crelu(x).values() == std::vector<double>{0, 3, 2, 0, 0, 0, 0, 1});
  CHECK(glu(x).shape() == Shape{2, 1});
  CHECK(glu(x).values()[0] == doctest::Approx(-2 / (1 + std::exp(-3))));
  CHECK(prelu(Tensor::zeros({0, 3}), Tensor::ones({3})).shape() == Shape{0, 3});
  CHECK(crelu(Tensor::zeros({0, 3})).shape() == Shape{0, 6});
  CHECK(std::isnan(prelu(Tensor::full({1}, kNaN), Tensor::ones({1})).item()));
  CHECK(prelu(Tensor::full({1}, -kInf), Tensor::ones({1})).item() == -kInf);

  // Slopes are drawn anew, and lie in their range; positive values pass.
  Rng rng(5);
  const Tensor ones = Tensor::full({10000}, -1), y = rrelu(ones, rng, 0.1, 0.3);
  CHECK(min(y).item() >= -0.3);
  CHECK(max(y).item() <= -0.1);
  CHECK(mean(y).item() == doctest::Approx(-0.2).epsilon(0.01));
  CHECK(rrelu(x, rng, 0.3, 0.3).values() == leaky_relu(x, 0.3).values());
  CHECK(rrelu(Tensor::full({3}, 7), rng).values() == std::vector<double>{7, 7, 7});
}

TEST_CASE("activations as layers") {
  seed_layers(1);
  PReLU one, many(3, 0.1);
  CHECK(one.slope.values() == std::vector<double>{0.25});
  CHECK(many.parameter_count() == 3);
  CHECK(many.named_parameters()[0].name == "slope");
  CHECK(many(Tensor::full({2, 3}, -1)).values() == std::vector<double>(6, -0.1f));
  RReLU random(0.1, 0.3);
  const Tensor x = Tensor::full({100}, -1);
  CHECK(random(x).values() != random(x).values());
  random.eval();
  check_close(random(x), Tensor::full({100}, -0.2), 1e-6);
  Sequential net{Dense(4, 6), PReLU(6), Dense(6, 4), CReLU{}, GLU{}, Activate(Mish{}), Softmax{}};
  const Tensor y = net(Tensor::ones({2, 4}));
  CHECK(y.shape() == Shape{2, 4});
  check_close(sum(y, 1), Tensor::ones({2}), 1e-6);
  CHECK(LogSoftmax{}(Tensor::zeros({1, 2})).values()[0] == doctest::Approx(-std::log(2)));
  CHECK(many.describe() == "PReLU(3)");
  CHECK(RReLU(0.1, 0.3).describe() == "RReLU(0.1, 0.3)");
}

TEST_CASE("activations: equal bits for 1 and 2 threads") {
  const Tensor x = Rng(6).normal({500, 100}), slope = Rng(7).normal({100});
  for (const Activation& f : rules()) check_equal_bits([&] { return activate(x, f); });
  check_equal_bits([&] { return prelu(x, slope); });
  check_equal_bits([&] { return prelu(x, slope.rows(0, 1)); });
}

TEST_CASE("activations: a user's mistakes") {
  CHECK_THROWS_WITH_AS(
      elu({}), "elu: x is undefined (moved from, or never set). Hint: give it a value first.",
      Error);
  CHECK_THROWS_WITH_AS(gelu(Tensor::arange(3)),
                       "gelu: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).", Error);
  CHECK_THROWS_WITH_AS(
      prelu(Tensor::ones({2, 3}), Tensor::ones({2})),
      "prelu: slope [2] does not fit x [2, 3]: it is [1], or [c] for the last axis of x.", Error);
  CHECK_THROWS_AS(prelu(Tensor::ones({2, 3}), Tensor::ones({3}, f64)), Error);
  CHECK_THROWS_AS(prelu(Tensor::scalar(1), Tensor::ones({3})), Error);
  CHECK_THROWS_AS(prelu(Tensor::ones({2, 0}), Tensor::ones({0})), Error);
  CHECK_THROWS_WITH_AS(glu(Tensor::ones({2, 3})),
                       "glu: expected x [.., 2 c], whose halves are taken apart; got [2, 3].",
                       Error);
  CHECK_THROWS_WITH_AS(PReLU(0), "PReLU: expected at least 1 channel; got 0.", Error);
  CHECK_THROWS_WITH_AS(RReLU(0.5, 0.1), "RReLU: expected finite lower <= upper; got 0.5 and 0.1.",
                       Error);
  Rng rng(1);
  CHECK_THROWS_AS(rrelu(Tensor::ones({2}), rng, 0.5, 0.1), Error);
  const Tensor x = Tensor::ones({2}).requires_grad_();
  const Tensor y = gelu(x);
  x.detach().fill_(0);
  CHECK_THROWS_WITH_AS(backward(y, Tensor::ones({2})),
                       "backward through gelu: x [2] was changed in place after the op saved it "
                       "(version 0, now 1). Hint: change a clone().",
                       Error);
}
