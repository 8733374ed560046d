// The elementwise ops that have a kernel.
#pragma once

namespace ramp {

// The last one takes numbers and has a kernel apart.
enum class Unary { exp, log, sqrt, abs, erf, clamp };
constexpr int kUnaryOps = 5;
constexpr const char* kUnaryNames[] = {"exp", "log", "sqrt", "abs", "erf", "clamp"};

// Comparisons give 1 and 0. share(a, b) is the part of a in the derivative of max(a, b): 1 where it
// is the greater one, 1/2 at a tie, else 0.
enum class Binary {
  add,
  sub,
  mul,
  div,
  pow,
  maximum,
  minimum,
  less,
  less_equal,
  greater,
  greater_equal,
  equal,
  not_equal,
  share
};
constexpr int kBinaryOps = 14;

}  // namespace ramp
