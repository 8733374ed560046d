// The largest errors of exp, log, tanh, sigmoid, erf, sin, cos and pow, which core/kernels/math.h
// states.
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
  CHECK(worst<T>([](const Tensor& x) { return sin(x); }, std::sin) < 2.3);
  CHECK(worst<T>([](const Tensor& x) { return cos(x); }, std::cos) < 2.3);
}

TEST_CASE_TEMPLATE("pow is off by less than 1 ulp", T, float, double) {
  const Tensor x = Tensor::of<T>(sweep<T>());
  for (const double p : {-3.5, -1., -0.3, 0.1, 0.5, 1.7, 2.5, 4., 31.}) {
    const Tensor y = pow(x, Tensor::scalar(p, x.dtype()));
    for (int64_t i = 0; i < x.numel(); ++i) {
      const T a = x.data<T>()[i];
      const long double right = std::pow((long double)a, (long double)static_cast<T>(p));
      CAPTURE(a);
      CAPTURE(p);
      CHECK_MESSAGE(ulps<T>(y.data<T>()[i], right) < 1, y.data<T>()[i]);
    }
  }
}

TEST_CASE_TEMPLATE("the ends of pow, floor and ceil are those of the C library", T, float, double) {
  const double inf = std::numeric_limits<double>::infinity();
  const double ends[] = {-inf, -3, -2.5, -2, -1, -0.5,      -0.,  0.,  1e-40,        0.3,
                         0.5,  1,  1.5,  2,  3,  16777217., 1e30, inf, std::nan(""), -1e-40};
  const auto same = [](T y, T right) {
    return std::isnan(right) ? std::isnan(y) : y == right && std::signbit(y) == std::signbit(right);
  };
  for (const double a : ends) {
    const Tensor x = Tensor::of<T>(std::vector<T>(5, static_cast<T>(a)));
    CAPTURE(a);
    CHECK(same(floor(x).data<T>()[4], std::floor(static_cast<T>(a))));
    CHECK(same(ceil(x).data<T>()[4], std::ceil(static_cast<T>(a))));
    for (const double p : ends) {
      CAPTURE(p);
      const T right = std::pow(static_cast<T>(a), static_cast<T>(p));
      const Tensor y = pow(x, Tensor::of<T>(std::vector<T>(5, static_cast<T>(p))));
      CHECK_MESSAGE(ulps<T>(y.data<T>()[4], right) <= 1, y.data<T>()[4]);
      CHECK_MESSAGE(same(y.data<T>()[4], right) == (right == y.data<T>()[4] || std::isnan(right)),
                    y.data<T>()[4]);
    }
  }
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
