// The error of a function in units in the last place, over the whole range of a type.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace ramp {

// |y - right| in units of the last place of T(right); infinite if only one of them is NaN or inf.
template <typename T>
inline double ulps(T y, long double right) {
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
inline std::vector<T> sweep() {
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

}  // namespace ramp
