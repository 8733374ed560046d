// Why a model takes one thing for another.
#pragma once

#include <cstdint>
#include <vector>

#include "ramp/core/tensor.h"
#include "ramp/layers/module.h"

namespace ramp {

/// What a classifier says of some examples, and what its last layer is given for them.
struct Answers {
  Tensor logits;    // [n, classes]
  Tensor features;  // [m, d]: of the first m <= n examples, or undefined where none can be told
};
/// predict(), with the result of the layer before the one that makes the logits. Of at most as many
/// examples as fit 2^24 numbers.
Answers answers(Module& net, const Tensor& x);

/// The nearest example of each of two classes among those that the model is right about.
struct Neighbours {
  int64_t said = -1, label = -1;  // their rows; -1: there is none
  double to_said = 0, to_label = 0;
};
/// For each of `wrong` (rows, guesses of all rows), by the Euclidean distance of features. Rows
/// that have no features have no neighbours.
std::vector<Neighbours> neighbours(const Tensor& features, const std::vector<int64_t>& guesses,
                                   const std::vector<int64_t>& labels,
                                   const std::vector<int64_t>& wrong);

/// d(z_said - z_label)/dx (x - lowest): what each input has to do with a row's mistake, for the
/// rows of x. Above 0 it speaks for the guess, below for the label. In eval mode; no `grad` is
/// touched.
Tensor evidence(Module& net, const Tensor& x, const std::vector<int64_t>& guesses,
                const std::vector<int64_t>& labels, double lowest);

}  // namespace ramp
