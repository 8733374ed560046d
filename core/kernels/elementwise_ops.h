// The elementwise ops that have a kernel.
#pragma once

namespace ramp {

enum class Unary { neg, exp, log, sqrt, abs, relu, sigmoid, tanh };
constexpr int kUnaryOps = 8;

enum class Binary { add, sub, mul, div, maximum, minimum, less, less_equal, equal };
constexpr int kBinaryOps = 9;

}  // namespace ramp
