// The functions of two numbers, each written once; see rules.h. They run on i64 too, where sums and
// products wrap and a quotient is truncated. Comparisons give 1 and 0. Their derivatives stand at
// the ops (autograd/ops_elementwise.cc).
#pragma once

#include <cstdint>
#include <functional>

#include "ramp/core/rules.h"

namespace ramp {

template <LiteralName kName, typename Operation>
struct Wrapping {
  static constexpr const char* name = kName.text;
  static auto f(auto a, auto b) { return Operation{}(a, b); }
  static int64_t f(int64_t a, int64_t b) {
    return static_cast<int64_t>(Operation{}(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
  }
};
using Add = Wrapping<"add", std::plus<>>;
using Sub = Wrapping<"sub", std::minus<>>;
using Mul = Wrapping<"mul", std::multiplies<>>;
/// Errors: i64 and b = 0.
struct Div {
  static constexpr const char* name = "div";
  static auto f(auto a, auto b) { return a / b; }
  static int64_t f(int64_t a, int64_t b);
};
/// As the C function: NaN for a < 0 unless b is an integer. Errors: i64.
struct Pow {
  static constexpr const char* name = "pow";
  static auto f(auto a, auto b) { return math::pow(a, b); }
  static int64_t f(int64_t a, int64_t b);
};

/// NaN if either is NaN.
struct Maximum {
  static constexpr const char* name = "maximum";
  static auto f(auto a, auto b) { return a > b ? a : a != a ? a : b; }
};
struct Minimum {
  static constexpr const char* name = "minimum";
  static auto f(auto a, auto b) { return a < b ? a : a != a ? a : b; }
};
/// The derivative of max(a, b) for a: 1 where it is the greater one, 1/2 at a tie, else 0.
struct MaxGradient {
  static constexpr const char* name = "maximum";
  static auto f(auto a, auto b) {
    return a < b ? 0 : a == b ? math::constant_like(a, 0.5) : math::constant_like(a, 1);
  }
};

template <LiteralName kName, typename Relation>
struct Comparison {
  static constexpr const char* name = kName.text;
  static auto f(auto a, auto b) { return Relation{}(a, b) ? math::constant_like(a, 1) : 0; }
};
using Less = Comparison<"less", std::less<>>;
using LessEqual = Comparison<"less_equal", std::less_equal<>>;
using Greater = Comparison<"greater", std::greater<>>;
using GreaterEqual = Comparison<"greater_equal", std::greater_equal<>>;
using Equal = Comparison<"equal", std::equal_to<>>;
using NotEqual = Comparison<"not_equal", std::not_equal_to<>>;
struct LogicalAnd {
  static constexpr const char* name = "logical_and";
  static auto f(auto a, auto b) { return a == 0 ? 0 : b == 0 ? 0 : math::constant_like(a, 1); }
};
struct LogicalOr {
  static constexpr const char* name = "logical_or";
  static auto f(auto a, auto b) {
    const auto one = math::constant_like(a, 1);
    return a != 0 ? one : b != 0 ? one : 0;
  }
};

/// Those that have a kernel.
using BinaryRules =
    RuleList<Add, Sub, Mul, Div, Pow, Maximum, Minimum, MaxGradient, Less, LessEqual, Greater,
             GreaterEqual, Equal, NotEqual, LogicalAnd, LogicalOr>;

}  // namespace ramp
