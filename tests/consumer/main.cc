// A user's program: one include, one tensor, one line of output.
#include <cstdio>

#include "ramp/ramp.h"

int main() {
  const ramp::Tensor x = ramp::Tensor::of<float>({1, 2, 3, 4}, {2, 2});
  std::printf("%lld elements, the last is %g\n", static_cast<long long>(x.numel()), x.values().back());
}
