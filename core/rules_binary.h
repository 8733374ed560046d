// The functions of two numbers, each written once; see rules.h. They run on i64 too, where sums and
// products wrap and a quotient is truncated. Comparisons give 1 and 0. Their derivatives stand at
// the ops (autograd/ops_elementwise.cc).
#pragma once

#include <cstdint>

#include "ramp/core/rules.h"

namespace ramp {

struct Add {
  static constexpr const char* name = "add";
  static auto f(auto a, auto b) { return a + b; }
  static int64_t f(int64_t a, int64_t b) { return static_cast<int64_t>(uint64_t(a) + uint64_t(b)); }
};
struct Sub {
  static constexpr const char* name = "sub";
  static auto f(auto a, auto b) { return a - b; }
  static int64_t f(int64_t a, int64_t b) { return static_cast<int64_t>(uint64_t(a) - uint64_t(b)); }
};
struct Mul {
  static constexpr const char* name = "mul";
  static auto f(auto a, auto b) { return a * b; }
  static int64_t f(int64_t a, int64_t b) { return static_cast<int64_t>(uint64_t(a) * uint64_t(b)); }
};
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

struct Less {
  static constexpr const char* name = "less";
  static auto f(auto a, auto b) { return a < b ? math::constant_like(a, 1) : 0; }
};
struct LessEqual {
  static constexpr const char* name = "less_equal";
  static auto f(auto a, auto b) { return a <= b ? math::constant_like(a, 1) : 0; }
};
struct Greater {
  static constexpr const char* name = "greater";
  static auto f(auto a, auto b) { return a > b ? math::constant_like(a, 1) : 0; }
};
struct GreaterEqual {
  static constexpr const char* name = "greater_equal";
  static auto f(auto a, auto b) { return a >= b ? math::constant_like(a, 1) : 0; }
};
struct Equal {
  static constexpr const char* name = "equal";
  static auto f(auto a, auto b) { return a == b ? math::constant_like(a, 1) : 0; }
};
struct NotEqual {
  static constexpr const char* name = "not_equal";
  static auto f(auto a, auto b) { return a != b ? math::constant_like(a, 1) : 0; }
};
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
