#include "ramp/autograd/ops_softmax.h"

#include <cmath>

#include "fixture.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "threads.h"

using namespace ramp;

TEST_CASE("softmax and log_softmax are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("softmax")) {
    INFO(f.name);
    ++cases;
    const Tensor x = f.leaf("x");
    const double tolerance = x.dtype() == f32 ? 2e-6 : 1e-13;
    const int axis = static_cast<int>(f.number("axis"));
    const Tensor y = f.name[0] == 's' ? softmax(x, axis) : log_softmax(x, axis);
    check_close(y, f.tensor("y"), tolerance);
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), tolerance);
  }
  CHECK(cases == 44);
}

TEST_CASE("softmax: rows of every width, and the derivatives") {
  const int64_t before = live_nodes();
  for (const DType dtype : {f32, f64}) {
    for (int64_t n = 1; n < 70; n += n < 34 ? 1 : 5) {
      const Tensor x = Rng(1).normal({9, n}, 0, 3, dtype);
      const Tensor y = softmax(x), total = sum(y, 1), z = log_softmax(x);
      INFO("rows of " << n << " " << name_of(dtype));
      check_close(total, Tensor::ones({9}, dtype), dtype == f32 ? 1e-6 : 1e-14);
      for (int64_t i = 0; i < x.numel(); ++i) {
        CHECK(std::exp(z.values()[i]) == doctest::Approx(y.values()[i]).epsilon(1e-5));
      }
    }
  }
  for (const Shape& shape : {Shape{5, 4}, Shape{2, 37}, Shape{2, 3, 4}}) {
    for (int axis = -1; axis < shape.rank() - 1; ++axis) {
      const std::vector<Tensor> x{Rng(2).normal(shape, 0, 1, f64)};
      CHECK(gradcheck([&](const auto& x) { return softmax(x[0], axis); }, x) == "");
      CHECK(gradcheck([&](const auto& x) { return log_softmax(x[0], axis); }, x) == "");
    }
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("softmax of nothing, and of one value") {
  for (const auto op : {softmax, log_softmax}) {
    CHECK(op(Tensor::zeros({0, 4}), -1).shape() == Shape{0, 4});
    CHECK(op(Tensor::zeros({4, 0}), -1).shape() == Shape{4, 0});
    Tensor x = Tensor::full({2, 1}, 500).requires_grad_();
    const Tensor y = op(x, -1);
    CHECK(y.values() == std::vector<double>(2, op == softmax ? 1 : 0));
    backward(y, Tensor::ones({2, 1}));
    CHECK(x.grad().values() == std::vector<double>{0, 0});
  }
}

TEST_CASE("softmax: equal bits for 1 and 2 threads") {
  for (const int64_t n : {10, 100}) {
    const Tensor x = Rng(3).normal({6000, n});
    for (const auto op : {softmax, log_softmax}) check_equal_bits([&] { return op(x, -1); });
  }
}

TEST_CASE("softmax: a user's mistakes") {
  CHECK_THROWS_WITH_AS(softmax(Tensor::scalar(1)),
                       "softmax: expected a tensor of at least one axis; got a scalar.", Error);
  CHECK_THROWS_WITH_AS(log_softmax(Tensor::zeros({2, 3}), 2),
                       "log_softmax: axis must be in -2..1 for a tensor of rank 2; got 2.", Error);
  CHECK_THROWS_WITH_AS(softmax(Tensor::zeros({2}, i64)),
                       "softmax: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).", Error);
  CHECK_THROWS_WITH_AS(
      softmax({}),
      "softmax: x is undefined (moved from, or never set). Hint: give it a value first.", Error);
  Tensor x = Tensor::ones({4}).requires_grad_();
  Tensor y = softmax(x);
  y.detach().fill_(0);
  CHECK_THROWS_WITH_AS(backward(y, Tensor::ones({4})),
                       "backward through softmax: its result [4] was changed in place after the op "
                       "saved it (version 1, now 2). Hint: change a clone().",
                       Error);
}
