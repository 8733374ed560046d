// What must not depend on the number of threads.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "ramp/core/parallel.h"
#include "ramp/core/tensor.h"

namespace ramp {

/// f() gives tensors, or one: with 1 and with 2 threads the same bits.
template <typename F>
void check_equal_bits(F f) {
  const int before = num_threads();
  std::vector<std::vector<double>> first;
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    std::vector<std::vector<double>> all;
    for (const Tensor& t : std::vector<Tensor>{f()}) all.push_back(t.values());
    if (threads == 1) first = all;
    CHECK(all == first);
  }
  set_num_threads(before);
}

}  // namespace ramp
