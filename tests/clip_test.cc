#include "ramp/optim/clip.h"

#include <cmath>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/random.h"
#include "ramp/layers/dense.h"
#include "threads.h"

using namespace ramp;
using Values = std::vector<double>;

namespace {

// A parameter with this gradient.
NamedTensor param(const std::string& name, const Tensor& w, const Tensor& g) {
  Tensor leaf = w.clone().requires_grad_();
  if (g.defined()) leaf.set_grad(g.clone());
  return {name, leaf};
}

}  // namespace

TEST_CASE("PyTorch's values, and eq. 3 of Brock et al.") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("clip")) {
    INFO(f.name);
    ++cases;
    std::vector<NamedTensor> p;
    for (int i = 0; i < 4; ++i) {
      const std::string at = std::to_string(i);
      p.push_back(param(at, f.tensor("w" + at), f.tensor("g" + at)));
    }
    p.push_back(p[0]);                                     // tied: counts and is clipped once
    p.push_back(param("none", Tensor::ones({1, 2}), {}));  // without a gradient
    const bool weights = f.name.starts_with("weights");
    const double tolerance = f.tensor("w0").dtype() == f32 ? 2e-6 : 1e-14;
    if (f.name.starts_with("value")) {
      clip_grad_value(p, f.number("limit"));
    } else if (f.name.starts_with("norm")) {
      const double norm = clip_grad_norm(p, f.number("limit"));
      CHECK(norm == doctest::Approx(f.number("norm")).epsilon(tolerance));
    } else if (weights) {
      max_norm(std::vector<NamedTensor>(p.begin(), p.end() - 1), f.number("limit"));
    } else {
      adaptive_clip_grad(p, f.number("factor"), f.number("eps"));
    }
    for (int i = 0; i < 4; ++i) {
      const std::string at = std::to_string(i);
      const Tensor w = p[static_cast<size_t>(i)].tensor;
      check_close(weights ? w.detach() : w.grad(), f.tensor("y" + at), tolerance);
      CHECK((weights || w.values() == f.tensor("w" + at).values()));
    }
    CHECK(!p[5].tensor.grad().defined());
  }
  CHECK(cases == 16);
}

TEST_CASE("a module's gradients; those that share memory are clipped once") {
  Dense layer(2, 2);
  backward(sum(layer(Tensor::full({1, 2}, 3))));
  CHECK(clip_grad_norm(layer, 1e9) == doctest::Approx(std::sqrt(4 * 9 + 2)));
  clip_grad_value(layer, 2);
  CHECK(layer.weight.grad().values() == Values{2, 2, 2, 2});
  CHECK(layer.bias.grad().values() == Values{1, 1});
  layer.weight.detach().fill_(1);
  layer.bias.detach().fill_(1);
  adaptive_clip_grad(layer, 0.5);
  for (const double g : layer.weight.grad().values()) CHECK(g == doctest::Approx(0.5));
  max_norm(layer, 0.1);
  for (const double w : layer.weight.values()) CHECK(w == doctest::Approx(0.1 / std::sqrt(2)));
  CHECK(layer.bias.values() == Values{1, 1});

  Tensor a = Tensor::ones({2}).requires_grad_(), b = Tensor::ones({2}).requires_grad_();
  const Tensor dy = Tensor::full({2}, 4);
  a.set_grad(dy);
  b.set_grad(dy);
  const std::vector<NamedTensor> both{{"a", a}, {"b", b}};
  CHECK(clip_grad_norm(both, 4) == 8);
  CHECK(a.grad().values()[0] == doctest::Approx(2));
  CHECK(b.grad().values()[0] == doctest::Approx(2));
  CHECK(dy.values() == Values{4, 4});
}

TEST_CASE("frozen parameters stay, replaced ones are an error") {
  const NamedTensor a = param("a", Tensor::ones({2, 1}), Tensor::full({2, 1}, 3)),
                    b = param("b", Tensor::ones({2, 1}), Tensor::full({2, 1}, 4));
  Tensor(b.tensor).requires_grad_(false);
  const Parameters p{a, b};
  CHECK(clip_grad_norm(p, 100) == doctest::Approx(std::sqrt(18)));
  max_norm(p, 1);
  CHECK(a.tensor.values()[0] == doctest::Approx(std::sqrt(0.5)));
  CHECK(b.tensor.values() == Values{1, 1});
  mark_replaced(a.tensor);
  CHECK(message([&] { clip_grad_value(p, 1); }) ==
        "clip_grad_value: other tensors stand in the place of \"a\" [2, 1] now. Hint: take the "
        "parameters after to().");
  CHECK_THROWS_AS(clip_grad_norm(p, 1), Error);
  CHECK_THROWS_AS(adaptive_clip_grad(p, 1), Error);
  CHECK_THROWS_AS(max_norm(p, 1), Error);
}

TEST_CASE("no gradients, empty and of size 1, NaN, inf, huge") {
  CHECK(clip_grad_norm(std::vector<NamedTensor>{}, 1) == 0);
  for (const DType dtype : {f32, f64}) {
    const NamedTensor empty =
        param("e", Tensor::zeros({0, 3}, dtype), Tensor::zeros({0, 3}, dtype));
    const NamedTensor one =
        param("one", Tensor::full({1, 1}, 2, dtype), Tensor::full({1, 1}, -8, dtype));
    const NamedTensor zero =
        param("zero", Tensor::zeros({2, 2}, dtype), Tensor::zeros({2, 2}, dtype));
    const std::vector<NamedTensor> p{empty, one, zero};
    CHECK(clip_grad_norm(p, 4) == 8);
    CHECK(one.tensor.grad().item() == doctest::Approx(-4));
    adaptive_clip_grad(p, 0.5);
    CHECK(one.tensor.grad().item() == doctest::Approx(-1));
    clip_grad_value(p, 0.5);
    CHECK(one.tensor.grad().item() == -0.5);
    max_norm(p, 1);
    CHECK(one.tensor.item() == 1);
    const NamedTensor scalar = param("s", Tensor::scalar(2, dtype), Tensor::scalar(-8, dtype));
    adaptive_clip_grad({scalar}, 0.5);
    CHECK(scalar.tensor.grad().item() == doctest::Approx(-1));
    CHECK(zero.tensor.grad().values() == Values{0, 0, 0, 0});

    const double nan = NAN, inf = HUGE_VAL;
    for (const double bad : {nan, inf, -inf}) {
      Tensor g = Tensor::ones({3}, dtype);
      g.rows(1, 2).fill_(bad);
      const double before = one.tensor.grad().item();
      const std::vector<NamedTensor> q{one, param("bad", Tensor::ones({3}, dtype), g)};
      CHECK(message([&] { clip_grad_norm(q, 1e-3); }) ==
            fmt::format("clip_grad_norm: the norm must be finite; got {} for the gradient of "
                        "\"bad\" [3]. Hint: a lower rate, or allow_non_finite and no step where "
                        "the norm returned is not finite.",
                        std::fabs(bad)));
      CHECK(!std::isfinite(clip_grad_norm(q, 1e-3, true)));
      CHECK(one.tensor.grad().item() == before);
      CHECK(q[1].tensor.grad().values()[0] == 1);
      clip_grad_value(q, 0.25);
      const double y = q[1].tensor.grad().values()[1];
      CHECK((std::isnan(bad) ? std::isnan(y) : y == std::copysign(0.25, bad)));
    }
  }
  // The squares are no f32 numbers; the norm is one.
  const std::vector<NamedTensor> huge{param("h", Tensor::ones({2}), Tensor::full({2}, 1e30))};
  CHECK(clip_grad_norm(huge, 1) == doctest::Approx(std::sqrt(2) * 1e30));
  CHECK(huge[0].tensor.grad().values()[0] == doctest::Approx(std::sqrt(0.5)));
}

TEST_CASE("equal bits for 1 and 2 threads") {
  check_equal_bits([] {
    Rng rng(3);
    std::vector<NamedTensor> p;
    for (const int64_t n : {1, 300, 50000}) {
      p.push_back(param("w", rng.normal({n}), rng.normal({n})));
    }
    const double norm = clip_grad_norm(p, 1);
    clip_grad_value(p, 1e-3);
    for (const NamedTensor& w : p)
      for (const double g : w.tensor.grad().values()) REQUIRE(std::fabs(g) <= double{1e-3f});
    return std::vector<Tensor>{Tensor::scalar(norm, f64), p[0].tensor.grad(), p[2].tensor.grad()};
  });
}

TEST_CASE("a user's mistakes") {
  const std::vector<NamedTensor> p;
  for (const double wrong : {-0.5, static_cast<double>(NAN)}) {
    const auto text = [&](const char* op) {
      return fmt::format("{}: expected limit >= 0; got {}.", op, wrong);
    };
    CHECK(message([&] { clip_grad_value(p, wrong); }) == text("clip_grad_value"));
    CHECK(message([&] { clip_grad_norm(p, wrong); }) == text("clip_grad_norm"));
    CHECK(message([&] { max_norm(p, wrong); }) == text("max_norm"));
    CHECK(message([&] { adaptive_clip_grad(p, wrong, 1); }) ==
          fmt::format("adaptive_clip_grad: expected factor, eps >= 0; got {} and 1.", wrong));
    CHECK(message([&] { adaptive_clip_grad(p, 1, wrong); }) ==
          fmt::format("adaptive_clip_grad: expected factor, eps >= 0; got 1 and {}.", wrong));
  }
}
