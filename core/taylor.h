// Truncated Taylor series. The rules of core/rules_unary.h are written for any number: on one of
// these they give their derivatives of every order. Scalar, in double; core/activation.cc runs it.
// Source: Griewank and Walther (2008), section 13.2.
#pragma once

#include <algorithm>
#include <cmath>
#include <compare>

#include "ramp/core/rules.h"

namespace ramp {

/// x[0] + x[1] t + .. + x[order] t^order. A number is a constant; x[0] is what is compared.
struct Taylor {
  static constexpr int kMaxOrder = 8;
  double c[kMaxOrder + 1] = {};
  int order = 0;  // the coefficients above are 0

  Taylor(double x = 0) : c{x} {}  // NOLINT: implicit, for 1 - x
  /// x + t, of which f has f^(k)(x) / k! at k.
  Taylor(double x, int order) : c{x, order > 0 ? 1. : 0.}, order(order) {}
  double operator[](int k) const { return c[k]; }
  double& operator[](int k) { return c[k]; }

  /// The sum of x[j] y[k - j] over j >= first, where 0 inf is 0: e^-x outruns the powers of x.
  static double product(const Taylor& x, int first, const Taylor& y, int k) {
    double sum = 0;
    for (int j = first; j <= k; ++j)
      if (x[j] != 0 && y[k - j] != 0) sum += x[j] * y[k - j];
    return sum;
  }
  friend Taylor operator+(Taylor x, const Taylor& y) {
    x.order = std::max(x.order, y.order);
    for (int k = 0; k <= y.order; ++k) x[k] += y[k];
    return x;
  }
  friend Taylor operator-(const Taylor& x, const Taylor& y) { return x + -1 * y; }
  friend Taylor operator-(const Taylor& x) { return -1 * x; }
  friend Taylor operator*(const Taylor& x, const Taylor& y) {
    Taylor z(0, std::max(x.order, y.order));
    for (int k = 0; k <= z.order; ++k) z[k] = product(x, 0, y, k);
    return z;
  }
  friend Taylor operator/(const Taylor& x, const Taylor& y) {  // x = y z
    Taylor z(x[0] / y[0], std::max(x.order, y.order));
    for (int k = 1; k <= z.order; ++k) z[k] = (x[k] - product(y, 1, z, k)) / y[0];
    return z;
  }
  friend bool operator==(const Taylor& x, const Taylor& y) { return x[0] == y[0]; }
  friend auto operator<=>(const Taylor& x, const Taylor& y) { return x[0] <=> y[0]; }
};

namespace math {
/// z with z[0] = z0 and z' = g(z) x': k z[k] is a sum over g[0] .. g[k - 1].
inline Taylor solve(double z0, Taylor x, auto g) {
  Taylor z = z0;
  z.order = x.order;
  for (int k = 1; k <= x.order; ++k) x[k] *= k;
  for (int k = 1; k <= x.order; ++k) z[k] = Taylor::product(x, 1, g(z), k) / k;
  return z;
}
/// z(x) with z'' = -z: z0 and dz are its value and derivative at x[0].
inline Taylor wave(double z0, double dz, Taylor x) {
  const double d[] = {z0, dz, -z0, -dz};
  Taylor z;
  x[0] = 0;
  for (int k = x.order; k >= 0; --k) z = d[k % 4] + x * z / (k + 1);
  return z;
}

// Those that first derivatives use, and second ones from x.
// clang-format off
template <> inline Taylor constant_like(Taylor, double a) { return a; }
template <> inline Taylor abs(Taylor x) { return x < 0 ? -x : x == 0 ? 0 : x; }
template <> inline Taylor sin(Taylor x) { return wave(std::sin(x[0]), std::cos(x[0]), x); }
template <> inline Taylor cos(Taylor x) { return wave(std::cos(x[0]), -std::sin(x[0]), x); }
template <> inline Taylor exp(Taylor x) {
  return solve(std::exp(x[0]), x, [](Taylor z) { return z; });
}
template <> inline Taylor pow(Taylor x, Taylor p) {
  if (p[0] > 0 && p[0] == std::floor(p[0])) return p == 1 ? x : x * pow(x, p - 1);
  return solve(std::pow(x[0], p[0]), x, [=](Taylor z) { return p * z / x; });
}
template <> inline Taylor sigmoid(Taylor x) {
  return solve(sigmoid(x[0]), x, [](Taylor z) { return z * (1 - z); });
}
template <> inline Taylor expm1(Taylor x) {
  return solve(std::expm1(x[0]), x, [e = exp(x)](Taylor) { return e; });
}
template <> inline Taylor normal_density(Taylor x) { return exp(-x * x / 2) * 0.3989422804014327; }
template <> inline Taylor normal_distribution(Taylor x) {
  return solve(normal_distribution(x[0]), x, [d = normal_density(x)](Taylor) { return d; });
}
template <> inline Taylor mul_or_zero(Taylor x, Taylor factor) { return x * factor; }
// clang-format on
}  // namespace math

}  // namespace ramp
