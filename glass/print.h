// The tape as a small picture in text, for a terminal or a log.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "ramp/glass/step.h"

namespace ramp::glass {

struct PrintOptions {
  std::vector<NamedTensor> names = {};  // net.named_parameters()
  const TapeWatch* watch = nullptr;     // knows names and the values in between too
  bool ascii = false;                   // no lines but | ` -
  size_t nodes = 60;                    // at most
};

/// The loss first, below it what it was made of:
///
///     op                      shape    value   dL/d.
///     L = mean                []       0.25    1
///     `- relu                 [4, 3]   -       |0.5|
///        `- linear            [4, 3]   -       |0.25|
///           |- 0.weight       [2, 3]   |1.7|   |0.61|
///           `- 0.bias         [3]      |0|     |0.75|
///
/// |..| is a norm, of what is more than one number. The gradients are those of this loss, computed
/// here if backward() has not freed the tape; nothing is changed. An activation that a layer fused
/// into its op stands behind it, "linear + relu". What is used twice is drawn once: "(above)".
std::string text(const Tensor& loss, const PrintOptions& options = {});

/// The same to standard output, or to a file.
void print(const Tensor& loss, const PrintOptions& options = {}, std::FILE* out = stdout);
/// With the names of the net's parameters.
void print(const Tensor& loss, ModuleBase& net, std::FILE* out = stdout);

}  // namespace ramp::glass
