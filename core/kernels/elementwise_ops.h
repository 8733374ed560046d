// The elementwise ops that have a kernel.
#pragma once

namespace ramp {

enum class Unary { neg, exp, log, sqrt, abs, relu, sigmoid, tanh };
constexpr int kUnaryOps = 8;

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
  equal,
  not_equal,
  share
};
constexpr int kBinaryOps = 12;

}  // namespace ramp
