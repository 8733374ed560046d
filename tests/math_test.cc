// The largest errors of exp, log, tanh, sigmoid and erf, which core/kernels/math.h states.
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include <doctest/doctest.h>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ulps.h"

using namespace ramp;

namespace {

template <typename T>
double worst(Tensor (*op)(const Tensor&), long double (*right)(long double)) {
  const Tensor x = Tensor::of<T>(sweep<T>()), y = op(x);
  double most = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    most = std::max(most, ulps<T>(y.data<T>()[i], right(x.data<T>()[i])));
  }
  return most;
}

long double sigmoid_of(long double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

}  // namespace

TEST_CASE_TEMPLATE("the largest errors are as stated", T, float, double) {
  CHECK(worst<T>([](const Tensor& x) { return exp(x); }, std::exp) < 1);
  CHECK(worst<T>([](const Tensor& x) { return log(x); }, std::log) < 0.9);
  CHECK(worst<T>([](const Tensor& x) { return tanh(x); }, std::tanh) < 2.6);
  CHECK(worst<T>(sigmoid, sigmoid_of) < 2.5);
  CHECK(worst<T>([](const Tensor& x) { return erf(x); }, std::erf) < 3);
}

TEST_CASE("the sign of zero and the ends") {
  const float inf = std::numeric_limits<float>::infinity();
  const auto at = [](Tensor (*op)(const Tensor&), double x) {
    return op(Tensor::scalar(x)).item();
  };
  CHECK(std::signbit(at(tanh, -0.0)));
  CHECK(!std::signbit(at(tanh, 0.0)));
  CHECK(at(exp, -inf) == 0);
  CHECK(at(log, 0) == -inf);
  CHECK(std::isnan(at(log, -1)));
  CHECK(at(tanh, 9.2) == 1);
  CHECK(at(tanh, -inf) == -1);
  CHECK(at(sigmoid, -inf) == 0);
  CHECK(at(sigmoid, inf) == 1);
  CHECK(at(sigmoid, -100) > 0);
}
