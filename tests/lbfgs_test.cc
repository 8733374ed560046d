#include "ramp/train/lbfgs.h"

#include <cmath>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/random.h"
#include "ramp/io/safetensors.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"
#include "scratch.h"

using namespace ramp;

namespace {

Tensor quadratic(const Tensor& a, const Tensor& w) {
  return 0.5 * sum(w * squeeze(matmul(a, unsqueeze(w, 1)), 1)) - sum(w);
}

Tensor rosenbrock(const Tensor& w) {
  const int64_t n = w.numel();
  const Tensor x = slice(w, 0, 0, n - 1), y = slice(w, 0, 1, n);
  return sum(100 * pow(y - x * x, 2) + pow(1 - x, 2));
}

}  // namespace

TEST_CASE("L-BFGS goes PyTorch's way") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("lbfgs")) {
    if (!f.name.starts_with("lbfgs")) continue;
    INFO(f.name);
    ++cases;
    Tensor w = f.leaf("start");
    const Tensor a = f.tensor("A"), path = f.tensor("path"), losses = f.tensor("losses");
    LbfgsOptions o;
    o.max_iterations = static_cast<int>(f.number("max_iter"));
    o.max_evaluations = o.max_iterations * 5 / 4;
    if (f.has("history_size")) o.history = static_cast<int>(f.number("history_size"));
    if (f.has("lr")) o.lr = f.number("lr");
    LBFGS lbfgs({{"w", w}}, o);
    const bool is_quadratic = f.name == "lbfgs quadratic";
    for (int64_t t = 0; t < 10; ++t) {
      const double loss =
          lbfgs.step([&] { return is_quadratic ? quadratic(a, w) : rosenbrock(w); });
      // A search divides differences: its digits are fewer than those of the losses.
      CHECK(loss == doctest::Approx(losses.values()[static_cast<size_t>(t)]).epsilon(1e-6));
      check_close(w.detach(), path.rows(t, t + 1).view({w.numel()}), 1e-6);
    }
  }
  CHECK(cases == 6);
}

TEST_CASE("L-BFGS fits a small network in f32, where loss falls with each call") {
  seed_layers(1);
  Rng rng(2);
  const Tensor x = rng.uniform({64, 1}, -1, 1), y = x * x;
  Sequential net{Dense(1, 8, Tanh{}), Dense(8, 1)};
  LBFGS lbfgs(net);
  double last = HUGE_VAL, loss = 0;
  for (int i = 0; i < 8; ++i) {
    loss = lbfgs.step([&] { return mse_loss(net(x), y); });
    CHECK(loss <= last);
    last = loss;
  }
  CHECK(loss < 1e-4);
}

TEST_CASE("L-BFGS: the state, saved and loaded, goes on with the same bits") {
  const Scratch folder;
  const auto run = [](LBFGS& lbfgs, const Tensor& w, int calls) {
    for (int i = 0; i < calls; ++i) lbfgs.step([&] { return rosenbrock(w); });
  };
  const LbfgsOptions o{.max_iterations = 2, .history = 3};
  const auto start = [] { return Tensor::of<double>({-1.2, 1, 0.5}).requires_grad_(); };
  Tensor whole = start(), half = start();
  LBFGS a({{"w", whole}}, o), b({{"w", half}}, o);
  run(a, whole, 10);
  run(b, half, 5);
  save_safetensors(folder.path("s.safetensors"), b.state());
  Tensor rest = half.detach().clone().requires_grad_();
  LBFGS c({{"w", rest}}, o);
  c.load_state(load_safetensors(folder.path("s.safetensors")));
  run(c, rest, 5);
  CHECK(rest.values() == whole.values());
}

TEST_CASE("L-BFGS: at a minimum, at NaN, a parameter without a gradient") {
  Tensor w = Tensor::of<double>({1, 1}).requires_grad_(),
         idle = w.detach().clone().requires_grad_();
  LBFGS lbfgs({{"w", w}, {"idle", idle}}, {.allow_unused = true});
  CHECK(lbfgs.step([&] { return rosenbrock(w); }) == 0);
  CHECK(w.values() == std::vector<double>{1, 1});
  CHECK(idle.values() == std::vector<double>{1, 1});
  CHECK_THROWS_WITH_AS(lbfgs.step([&] { return sum(w) * NAN; }),
                       "LBFGS: the loss and its gradient must be finite where step() starts; got "
                       "NaN or inf.",
                       Error);
  CHECK(w.values() == std::vector<double>{1, 1});
}

TEST_CASE("L-BFGS: where the loss or its gradient is NaN or inf is too far") {
  struct Case {
    double start, minimum;
    std::function<Tensor(const Tensor&)> loss;
  };
  const std::vector<Case> cases{
      {5, 1, [](const Tensor& x) { return x - log(x); }},
      {0.5, 0.1, [](const Tensor& x) { return 10 * x - log(x); }},
      {2, 0.25, [](const Tensor& x) { return x - sqrt(x); }},
      {0.01, 1, [](const Tensor& x) { return x - log(x); }},
      {1e-3, 100, [](const Tensor& x) { return 0.01 * x - log(x); }},
      {3, 1,
       [](const Tensor& x) {
         return where(x < 0.5, Tensor::full({}, -HUGE_VAL, x.dtype()), x * x - 2 * x);
       }},
  };
  for (const DType dtype : {f32, f64}) {
    for (const Case& c : cases) {
      INFO(c.start);
      Tensor x = Tensor::full({}, c.start, dtype).requires_grad_();
      LBFGS lbfgs({{"x", x}});
      for (int i = 0; i < 5; ++i) {
        lbfgs.step([&] { return c.loss(x); });
        REQUIRE(std::isfinite(x.item()));
      }
      CHECK(x.item() == doctest::Approx(c.minimum).epsilon(dtype == f32 ? 1e-3 : 1e-4));
    }
  }
}

TEST_CASE("L-BFGS: an error in the loss leaves the weights as they were") {
  Tensor w = Tensor::of<double>({3}).requires_grad_();
  LBFGS lbfgs({{"w", w}});
  int calls = 0;
  CHECK_THROWS_AS(lbfgs.step([&] {
    if (++calls == 2) fail("no more");
    return sum(w * w);
  }),
                  Error);
  CHECK(w.item() == 3);
}

TEST_CASE("L-BFGS: a user's mistakes") {
  const Tensor w = Tensor::of<double>({1}).requires_grad_();
  const Parameters p(std::vector<NamedTensor>{{"w", w}});
  CHECK_THROWS_WITH_AS(LBFGS(p, {.lr = 0}),
                       "LBFGS: expected lr, max_iterations, max_evaluations and history above 0, "
                       "tolerances of at least 0; got 0, 20, 25, 100, 1e-07 and 1e-09.",
                       Error);
  CHECK_THROWS_AS(LBFGS(p, {.lr = NAN}), Error);
  CHECK_THROWS_AS(LBFGS(p, {.max_iterations = 0}), Error);
  CHECK_THROWS_AS(LBFGS(p, {.history = 0}), Error);
  CHECK_THROWS_AS(LBFGS(p, {.gradient_tolerance = NAN}), Error);
  CHECK_THROWS_AS(LBFGS(std::vector<NamedTensor>{{"w", w.detach()}}), Error);
  LBFGS a(p, {.history = 3}), b(p, {.history = 4});
  CHECK_THROWS_AS(a.load_state(b.state()), Error);
  const auto with = [&](size_t i, const Tensor& value) {
    std::vector<NamedTensor> state = a.state();
    state[i].tensor = value;
    return message([&] { a.load_state(state); });
  };
  CHECK(with(4, Tensor::of<int64_t>({4, 0, 0, 0})) ==
        "LBFGS: the saved counts must be in [0, 3], [0, 3) and at least 0; got 4, 0 and 0.");
  CHECK(with(4, Tensor::of<int64_t>({3, 3, 0, 0})) != "");
  CHECK(with(4, Tensor::of<int64_t>({3, 2, -1, 0})) != "");
  CHECK(with(5, Tensor::of<double>({1, NAN})) == "LBFGS: the saved \"scales\" must be finite.");
}

TEST_CASE("L-BFGS skips what is frozen, and trains it when it thaws") {
  Tensor a = Tensor::of<double>({3}).requires_grad_(), b = Tensor::of<double>({4}).requires_grad_();
  LBFGS lbfgs({{"a", a}, {"b", b}});
  const auto loss = [&] {
    return sum((a - 1) * (a - 1) + (b - 2) * (b - 2) + a * a * b * b * 0.01);
  };
  lbfgs.step(loss);
  const double a1 = a.item();
  b.detach().fill_(7);
  b.requires_grad_(false);
  lbfgs.step(loss);
  CHECK(b.item() == 7);
  CHECK(a.item() == doctest::Approx(1 / 1.49).epsilon(1e-6));
  CHECK(a.item() != a1);
  b.requires_grad_();
  for (int i = 0; i < 3; ++i) lbfgs.step(loss);
  CHECK(a.item() == doctest::Approx(a1).epsilon(1e-5));
  CHECK(b.item() == doctest::Approx(2).epsilon(0.05));
}

TEST_CASE("L-BFGS names parameters without a gradient, and clears the others") {
  Tensor a = Tensor::of<double>({3}).requires_grad_(), b = Tensor::of<double>({4}).requires_grad_();
  LBFGS lbfgs({{"a", a}, {"b", b}});
  CHECK(
      message([&] { lbfgs.step([&] { return sum(a * a); }); }) ==
      "LBFGS: step() found no gradient for \"b\" [1]. Hint: freeze() what forward() does not use, "
      "or .allow_unused = true.");
  CHECK(a.item() == 3);
  CHECK_FALSE(a.grad().defined());
  mark_replaced(a);
  CHECK_THROWS_AS(lbfgs.step([&] { return sum(a * b); }), Error);
}
