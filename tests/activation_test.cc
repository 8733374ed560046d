#include "ramp/autograd/activation.h"

#include <cmath>

#include "fixture.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/gradcheck.h"
#include "ramp/core/random.h"
#include "ramp/layers/init.h"

using namespace ramp;

namespace {

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

}  // namespace

TEST_CASE("what an erased activation says of itself") {
  const Activation relu = ReLU{}, shrink = HardShrink{2}, tanh = OwnTanh{}, none = Identity{};
  CHECK(std::string(relu.name()) == "relu");
  CHECK(std::string(relu.formula()) == "y = max(0, x)");
  CHECK(relu.kinks() == std::vector<double>{0});
  CHECK_FALSE(relu.derives_from_x());
  CHECK_FALSE(relu.is_identity());
  CHECK(shrink.kinks() == std::vector<double>{-2, 2});
  CHECK(shrink.derives_from_x());
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

TEST_CASE("the derivatives, and no node is left behind") {
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

TEST_CASE("a user's mistakes") {
  CHECK_THROWS_WITH_AS(
      activate({}, ReLU{}),
      "relu: x is undefined (moved from, or never set). Hint: give it a value first.", Error);
  CHECK_THROWS_AS(activate(Tensor::arange(3), ReLU{}), Error);
}
