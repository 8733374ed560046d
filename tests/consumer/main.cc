#include <ramp/ramp.h>

#include <cstdio>

int main() {
  using namespace ramp;
  seed_layers(1);
  const Tensor x = Tensor::of<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
  const Tensor xor_of_x = Tensor::of<int64_t>({0, 1, 1, 0});

  Sequential net{Dense(2, 8, ReLU{}), Dense(8, 2)};
  Adam adam(net, {.lr = 0.05});
  for (int step = 0; step < 200; ++step) {
    Tensor loss = cross_entropy(net(x), xor_of_x);
    loss.backward();
    adam.step();
    adam.zero_grad();
  }
  std::printf("%.0f %% right\n", 100 * accuracy(net(x), xor_of_x));
}
