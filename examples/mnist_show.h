// Test images as text, with what a model says about them; shared by the MNIST programs.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "ramp/ramp.h"

namespace ramp {

/// Prints n test images: first the most confident mistakes (half of them at most), then images it
/// reads right, spread over the classes.
inline void show_predictions(Module& net, const Dataset& test, int64_t n) {
  if (n <= 0) return;
  const Tensor p = softmax(predict(net, test.x));
  const Tensor guess = argmax(p, -1);
  const int64_t classes = p.dim(-1);
  const auto said = [&](int64_t i) { return guess.data<int64_t>()[i]; };
  const auto truth = [&](int64_t i) { return test.y.data<int64_t>()[i]; };
  const auto sure = [&](int64_t i) { return p.data<float>()[i * classes + said(i)]; };

  std::vector<int64_t> wrong, shown;
  for (int64_t i = 0; i < test.size(); ++i)
    if (said(i) != truth(i)) wrong.push_back(i);
  std::stable_sort(wrong.begin(), wrong.end(),
                   [&](int64_t a, int64_t b) { return sure(a) > sure(b); });
  wrong.resize(std::min<size_t>(wrong.size(), static_cast<size_t>(n / 2)));
  shown = wrong;
  for (int64_t i = 0; i < test.size() && static_cast<int64_t>(shown.size()) < n; ++i) {
    const int64_t wanted = static_cast<int64_t>(shown.size() - wrong.size()) % classes;
    if (said(i) == truth(i) && truth(i) == wanted) shown.push_back(i);
  }

  fmt::print("\nthe {} most confident mistakes, and {} images it reads right:\n\n", wrong.size(),
             shown.size() - wrong.size());
  for (size_t row = 0; row < shown.size(); row += 5) {
    std::vector<std::string> blocks;
    for (size_t k = row; k < std::min(row + 5, shown.size()); ++k) {
      const int64_t i = shown[k];
      std::vector<int64_t> order(static_cast<size_t>(classes));
      std::iota(order.begin(), order.end(), 0);
      const float* q = p.data<float>() + i * classes;
      std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return q[a] > q[b]; });
      std::string block = image_art(test.x.rows(i, i + 1).view({28, 28}));
      block += fmt::format("{} is {}\n", said(i) == truth(i) ? "it" : "NO: it", truth(i));
      for (int c = 0; c < 2; ++c) {
        block += fmt::format("says {} {:5.1f} %\n", order[c], 100 * q[order[c]]);
      }
      blocks.push_back(block);
    }
    fmt::print("{}\n", side_by_side(blocks));
  }
}

}  // namespace ramp
