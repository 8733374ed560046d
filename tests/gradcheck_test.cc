#include "ramp/glass/gradcheck.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/record.h"

using namespace ramp;

namespace {

// x^2 with the derivative factor * x.
auto square_with(double factor) {
  return [factor](const std::vector<Tensor>& in) {
    const Tensor& x = in[0];
    return record(
        "square", x.detach() * x.detach(), {x},
        [x = Saved(x, "x"), factor](const Tensor& dy, Wants) { return x.get() * dy * factor; });
  };
}

const Tensor x = Tensor::of<double>({1, 2, -3}, {3, 1});

}  // namespace

TEST_CASE("a right derivative passes, and nothing is left behind") {
  const int64_t before = live_nodes();
  CHECK(gradcheck(square_with(2), {x}) == "");
  const auto f = [](const std::vector<Tensor>& in) { return in[0] * exp(in[1]) + in[1]; };
  CHECK(gradcheck(f, {x, Tensor::scalar(0.5, f64)}) == "");
  CHECK(live_nodes() == before);
  CHECK(x.values() == std::vector<double>{1, 2, -3});
  CHECK_FALSE(x.requires_grad());
}

TEST_CASE("a wrong derivative is caught: input, index and both values") {
  const std::string text = gradcheck(square_with(2.001), {x});
  CHECK(text.rfind("input 0 [3, 1] at flat index 0: the derivative gives ", 0) == 0);
  CHECK(text.find(", central differences ") != std::string::npos);
  CHECK(gradcheck(square_with(-2), {x}) != "");
  CHECK(gradcheck(square_with(NAN), {x}) != "");
  // In one place only, of the second input.
  const auto f = [](const std::vector<Tensor>& in) {
    return record("add", in[0].detach() + in[1].detach(), {in[0], in[1]},
                  [](const Tensor& dy, Wants) {
                    Tensor wrong = dy.clone();
                    wrong.mutable_data<double>()[2] *= 1.01;
                    return std::array{dy, wrong};
                  });
  };
  CHECK(gradcheck(f, {x, x}).rfind("input 1 [3, 1] at flat index 2: ", 0) == 0);
}

TEST_CASE("a constant factor that depends on dy only is caught by its random values") {
  // Right for dy = 1: what a check with sum() alone would not see.
  const auto f = [](const std::vector<Tensor>& in) {
    return record("pass", in[0].detach().clone(), {in[0]},
                  [](const Tensor& dy, Wants) { return Tensor::ones(dy.shape(), f64); });
  };
  CHECK(gradcheck(f, {x}) != "");
}

TEST_CASE("a gradient that is zero everywhere") {
  const auto f = [](const std::vector<Tensor>& in) { return in[0] + in[1] * 0; };
  CHECK(gradcheck(f, {x, x}) == "input 1 [3, 1]: the gradient is zero everywhere");
  CHECK(gradcheck(f, {x, x}, {.allow_zero = true}) == "");
  // Not connected, but it should be.
  const auto g = [](const std::vector<Tensor>& in) { return in[0] + in[1].detach(); };
  CHECK(gradcheck(g, {x, x}).rfind("input 1 [3, 1] at flat index 0: the derivative gives 0, ", 0) ==
        0);
  // Not wanted at all.
  const auto h = [](const std::vector<Tensor>& in) { return in[0] * 1; };
  CHECK(gradcheck(h, {x, x}) == "input 1 [3, 1]: the gradient is zero everywhere");
}

TEST_CASE("a graph without connection") {
  const auto f = [](const std::vector<Tensor>& in) { return in[0].detach() * 2; };
  CHECK(gradcheck(f, {x}) == "the result does not depend on the inputs through the tape");
}

TEST_CASE("i64 inputs are passed through; no f64 input is an error") {
  const Tensor pick = Tensor::of<int64_t>({1, 0, 1}, {3, 1});
  const auto f = [](const std::vector<Tensor>& in) { return in[0] * in[1].to(f64); };
  CHECK(gradcheck(f, {x, pick}) == "");
  CHECK_THROWS_WITH_AS(gradcheck(f, {x.to(f32), pick}),
                       "gradcheck: expected at least one f64 input. Hint: x.to(f64).", Error);
}

TEST_CASE("large and small values: the step follows the size of x") {
  for (const double v : {1e6, 1e-6, -1e4}) {
    CHECK(gradcheck(square_with(2), {Tensor::of<double>({v, -2 * v})}) == "");
  }
}
