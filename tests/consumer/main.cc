#include <ramp/ramp.h>

using namespace ramp;

int main() {
  seed_layers(1);
  auto [train, test] = load_mnist();
  Sequential net{Flatten{}, Dense(784, 128, ReLU{}), Dense(128, 10)};
  Adam adam(net, {.lr = 3e-3, .schedule = one_cycle(3 * 938)});  // 3 epochs of 938 batches
  History h = fit(net, adam, train, {.epochs = 3, .valid = test, .checkpoint = "mnist.ckpt"});
  save_model("mnist.safetensors", net);
  return h.last()["valid_accuracy"].value > 0.97 ? 0 : 1;
}
