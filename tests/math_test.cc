// The largest errors of exp, log, tanh and sigmoid, which core/kernels/math.h states.
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include <doctest/doctest.h>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"

using namespace ramp;

namespace {

// |y - right| in units of the last place of T(right); infinite if only one of them is NaN or inf.
template <typename T>
double ulps(T y, long double right) {
  const T rounded = static_cast<T>(right);
  if (std::isnan(rounded) || std::isinf(rounded) || !std::isfinite(y)) {
    return (std::isnan(rounded) && std::isnan(y)) || rounded == y
               ? 0
               : std::numeric_limits<double>::infinity();
  }
  const T above = std::nextafter(std::fabs(rounded), std::numeric_limits<T>::infinity());
  const long double ulp = std::isinf(above) ? std::fabs(rounded) * std::numeric_limits<T>::epsilon()
                                            : above - std::fabs(rounded);
  return static_cast<double>(std::fabs(y - right) / ulp);
}

// All binades and signs, denormals, inf and NaN: every 4,099th of the f32 (also as f64, moved to
// the middle of its neighbours); and finely where the functions do something.
template <typename T>
std::vector<T> sweep() {
  std::vector<T> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 4099) {
    const T v = std::bit_cast<float>(static_cast<uint32_t>(bits));
    x.push_back(v * (1 + std::numeric_limits<T>::epsilon() * static_cast<T>(bits % 1021)));
  }
  const double low = sizeof(T) == 4 ? -104.5 : -746, high = sizeof(T) == 4 ? 90 : 711;
  for (int i = 0; i <= 200000; ++i) x.push_back(static_cast<T>(low + (high - low) * i / 200000));
  for (int i = 0; i <= 200000; ++i) x.push_back(static_cast<T>(-2.5 + 5.0 * i / 200000));
  for (int i = 0; i <= 50000; ++i) x.push_back(static_cast<T>(0.99 + 0.02 * i / 50000));
  for (T v : {T(0), T(-0.0), std::numeric_limits<T>::infinity(),
              -std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN(),
              std::numeric_limits<T>::min(), std::numeric_limits<T>::denorm_min(),
              std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()}) {
    x.push_back(v);
  }
  return x;
}

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
