// An activation of your own: a struct with a value and a derivative.
//
// ramp runs it fused into the dense layer, over whole blocks, exactly as it runs its own. Nothing
// has to be registered. A derivative that can be told from y (as for relu or tanh) is called
// derivative_from_y, and then the layer keeps nothing but y; else it is derivative_from_x.
#include <fmt/format.h>

#include <cmath>

#include "ramp/ramp.h"

using namespace ramp;

/// A ramp with a soft knee: y = x / (1 + e^(-x)), also known as SiLU or Swish.
/// Source: Elfwing, Uchibe and Doya (2018), eq. 5.
struct SoftRamp {
  static constexpr const char* name = "soft_ramp";
  static constexpr const char* formula = "y = x / (1 + exp(-x))";
  template <typename T>
  T f(T x) const {
    return x / (1 + std::exp(-x));
  }
  template <typename T>
  T derivative_from_x(T x) const {
    const T s = 1 / (1 + std::exp(-x));
    return s + x * s * (1 - s);
  }
};

int main() {
  // Is the derivative right? Compare it with central differences, in double precision.
  const Tensor x = Tensor::of<double>({-3, -1, -0.1, 0.2, 1, 4});
  const std::string difference =
      gradcheck([](const std::vector<Tensor>& in) { return activate(in[0], SoftRamp{}); }, {x});
  fmt::print("derivative: {}\n",
             difference.empty() ? "agrees with central differences" : difference);

  // He's factor for it: what keeps the size of a signal from layer to layer.
  fmt::print("gain: {:.4f} (relu: {:.4f})\n", gain(SoftRamp{}), gain(ReLU{}));

  // It learns y = sin(3x), inside a layer as any other.
  seed_layers(1);
  Rng rng(2);
  const Tensor in = rng.uniform({256, 1}, -1, 1);
  Tensor target = Tensor::empty({256, 1});
  for (int64_t i = 0; i < 256; ++i) {
    target.mutable_data<float>()[i] = std::sin(3 * in.data<float>()[i]);
  }
  Sequential net{Dense(1, 32, SoftRamp{}), Dense(32, 1)};
  Adam adam(net, {.lr = 1e-2});
  for (int step = 0; step <= 400; ++step) {
    Tensor loss = mse_loss(net(in), target);
    if (step % 100 == 0) fmt::print("step {:3}  loss {:.5f}\n", step, loss.item());
    loss.backward();
    adam.step();
    adam.zero_grad();
  }
}
