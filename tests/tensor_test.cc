#include "ramp/core/tensor.h"

#include <doctest/doctest.h>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/record.h"

using namespace ramp;

TEST_CASE("a tape of one op") {
  Tensor x = Tensor::of<double>({1, 2, 3}).requires_grad_();
  Tensor y = record("twice", x.clone().mul_(2), {x}, [](const Tensor& dy, Wants) {
    Tensor dx = dy.clone();
    return dx.mul_(2);
  });
  backward(y, Tensor::ones({3}, f64));
  CHECK(x.grad().values() == std::vector<double>{2, 2, 2});
}
