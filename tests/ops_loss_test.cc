#include "ramp/autograd/ops_loss.h"

#include "fixture.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/gradcheck.h"
#include "ramp/core/random.h"
#include "threads.h"

using namespace ramp;

namespace {

Tensor normal(const Shape& shape, uint64_t seed, DType dtype) {
  return Rng(seed).normal(shape, 0, 1, dtype);
}

double tolerance(DType t) { return t == f32 ? 2e-6 : 1e-13; }

}  // namespace

TEST_CASE("cross_entropy is PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("loss")) {
    if (f.name.rfind("cross_entropy", 0) != 0) continue;
    INFO(f.name);
    ++cases;
    const Tensor x = f.leaf("x");
    const Tensor y = cross_entropy(x, f.tensor("labels"));
    check_close(y, f.tensor("y"), tolerance(x.dtype()));
    backward(y, Tensor::scalar(1.5, x.dtype()));
    check_close(x.grad(), f.tensor("dx"), tolerance(x.dtype()));
  }
  CHECK(cases == 22);
}

TEST_CASE("cross_entropy: the derivative, and no node is left behind") {
  const int64_t before = live_nodes();
  const Tensor labels = Tensor::of<int64_t>({1, 3, 0, 3, 2});
  const auto f = [&](const std::vector<Tensor>& x) { return cross_entropy(x[0], labels); };
  CHECK(gradcheck(f, {normal({5, 4}, 1, f64)}) == "");
  CHECK(gradcheck(f, {normal({5, 40}, 2, f64)}) == "");
  CHECK(live_nodes() == before);
}

TEST_CASE("cross_entropy keeps its value where every probability but one underflows") {
  const Tensor x = Tensor::of<float>({1e4f, -1e4f}, {1, 2}).requires_grad_();
  CHECK(cross_entropy(x, Tensor::of<int64_t>({0})).item() == 0);
  CHECK(cross_entropy(x, Tensor::of<int64_t>({1})).item() == 2e4);
}

TEST_CASE("cross_entropy: equal bits for 1 and 2 threads") {
  for (const int64_t classes : {10, 300}) {
    const Tensor labels = Tensor::full({5000}, 7, i64);
    check_equal_bits([&] {
      const Tensor x = normal({5000, classes}, 3, f32).requires_grad_();
      const Tensor y = cross_entropy(x, labels);
      backward(y);
      return std::vector{y, x.grad()};
    });
  }
}

TEST_CASE("mse_loss is PyTorch's; its derivatives") {
  const int64_t before = live_nodes();
  int cases = 0;
  for (const Fixture& f : read_fixtures("loss")) {
    if (f.name.rfind("mse_loss", 0) != 0) continue;
    INFO(f.name);
    ++cases;
    const Tensor x = f.leaf("x"), target = f.leaf("target"), y = mse_loss(x, target);
    check_close(y, f.tensor("y"), tolerance(x.dtype()));
    backward(y, Tensor::scalar(1.5, x.dtype()));
    check_close(x.grad(), f.tensor("dx"), tolerance(x.dtype()));
    check_close(target.grad(), f.tensor("dtarget"), tolerance(x.dtype()));
  }
  CHECK(cases == 2);
  const auto f = [](const std::vector<Tensor>& x) { return mse_loss(x[0], x[1]); };
  CHECK(gradcheck(f, {normal({3, 4}, 1, f64), normal({3, 4}, 2, f64)}) == "");
  CHECK(live_nodes() == before);
  // Only what is wanted: a target as a rule has no gradient.
  const Tensor x = Tensor::of<float>({3}).requires_grad_(), target = Tensor::of<float>({1});
  backward(mse_loss(x, target));
  CHECK(x.grad().item() == 4);
  CHECK(!target.grad().defined());
}

TEST_CASE("mse_loss: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 1});
  CHECK_THROWS_WITH_AS(
      mse_loss(x, Tensor::zeros({2})),
      "mse_loss: expected y and target of one shape, f32 or f64, with at least one element; got "
      "f32 [2, 1] and f32 [2]. Hint: reshape() one of them, or to(f32).",
      Error);
  CHECK_THROWS_WITH_AS(mse_loss(Tensor::zeros({0}), Tensor::zeros({0})),
                       "mse_loss: expected y and target of one shape, f32 or f64, with at least "
                       "one element; got f32 [0] and f32 [0]. Hint: reshape() one of them, or "
                       "to(f32).",
                       Error);
  CHECK_THROWS_WITH_AS(mse_loss(x, x.to(f64)),
                       "mse_loss: y and target must have one dtype; got f32 [2, 1] and f64 [2, 1]. "
                       "Hint: target.to(f32).",
                       Error);
  CHECK_THROWS_WITH_AS(
      mse_loss(x, {}),
      "mse_loss: target is undefined (moved from, or never set). Hint: give it a value first.",
      Error);
}

TEST_CASE("cross_entropy: a user's mistakes") {
  const Tensor x = Tensor::zeros({4, 10});
  const auto labels = [](std::vector<int64_t> v) { return Tensor::of<int64_t>(v); };
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, labels({1, 2, 3, 12})),
      "cross_entropy: labels must be in 0..9; got 12 at row 3. Hint: logits [4, 10] have 10 "
      "classes.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, labels({1, -1, 3, 0})),
      "cross_entropy: labels must be in 0..9; got -1 at row 1. Hint: logits [4, 10] have 10 "
      "classes.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(Tensor::zeros({0, 10}), labels({})),
      "cross_entropy: expected at least one row and one class; got logits [0, 10]. Hint: leave out "
      "empty batches.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, labels({1, 2, 3})),
      "cross_entropy: expected logits [n, classes] and labels [n]; got [4, 10] and [3]. Hint: "
      "labels are class numbers, one for each row, not one-hot.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, Tensor::zeros({4})),
      "cross_entropy: labels must be class numbers, i64; got f32 [4]. Hint: labels.to(i64).",
      Error);
  CHECK_THROWS_WITH_AS(cross_entropy(Tensor::zeros({4, 10}, i64), labels({1, 2, 3, 0})),
                       "cross_entropy: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).",
                       Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy({}, labels({1})),
      "cross_entropy: logits is undefined (moved from, or never set). Hint: give it a value first.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, {}),
      "cross_entropy: labels is undefined (moved from, or never set). Hint: give it a value first.",
      Error);
}
