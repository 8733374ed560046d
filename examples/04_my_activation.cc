// An activation of your own: a struct with a value and a derivative.
//
// ramp runs it fused into the dense layer, over whole blocks, exactly as it runs its own. Nothing
// has to be registered. A derivative that can be told from y (as for relu or tanh) is called
// derivative_from_y, and then the layer keeps nothing but y; else it is derivative_from_x.
#include <fmt/format.h>

#include <cmath>

#include "ramp/ramp.h"

using namespace ramp;

/// A straight line that waves: y = x + sin(x)^2. It suits periodic targets.
/// Source: Ziyin, Hartwig and Ueda (2020), eq. 3 with a = 1.
struct Snake {
  static constexpr const char* name = "snake";
  static constexpr const char* formula = "y = x + sin(x)^2";
  template <typename T>
  T f(T x) const {
    return x + std::sin(x) * std::sin(x);
  }
  template <typename T>
  T derivative_from_x(T x) const {
    return 1 + std::sin(2 * x);
  }
};

int main() {
  // Is the derivative right? Compare it with central differences, in double precision.
  const Tensor x = Tensor::of<double>({-3, -1, -0.1, 0.2, 1, 4});
  const std::string difference =
      gradcheck([](const std::vector<Tensor>& in) { return activate(in[0], Snake{}); }, {x});
  fmt::print("derivative: {}\n",
             difference.empty() ? "agrees with central differences" : difference);

  // He's factor for it: what keeps the size of a signal from layer to layer.
  fmt::print("gain: {:.4f} (relu: {:.4f})\n", init::gain(Snake{}), init::gain(ReLU{}));

  // It learns y = sin(3x), inside a layer as any other.
  seed_layers(1);
  Rng rng(2);
  const Tensor in = rng.uniform({256, 1}, -1, 1);
  Tensor target = Tensor::empty({256, 1});
  for (int64_t i = 0; i < 256; ++i) {
    target.mutable_data<float>()[i] = std::sin(3 * in.data<float>()[i]);
  }
  Sequential net{Dense(1, 32, Snake{}), Dense(32, 1)};
  Adam adam(net, {.lr = 1e-2});
  for (int step = 0; step <= 400; ++step) {
    Tensor loss = mse_loss(net(in), target);
    if (step % 100 == 0) fmt::print("step {:3}  loss {:.5f}\n", step, loss.item());
    loss.backward();
    adam.step();
    adam.zero_grad();
  }
}
