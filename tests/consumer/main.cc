// A user's program: a layer, a loss, a gradient. It links the BLAS and the kernels, not only the headers.
#include <cstdio>

#include "ramp/ramp.h"

int main() {
  ramp::Dense dense(3, 2, ramp::ReLU{});
  const ramp::Tensor x = ramp::Tensor::ones({4, 3});
  const ramp::Tensor loss = ramp::cross_entropy(dense(x), ramp::Tensor::zeros({4}, ramp::i64));
  loss.backward();
  std::printf("the gradient has %lld elements\n", static_cast<long long>(dense.weight.grad().numel()));
}
