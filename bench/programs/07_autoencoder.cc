// A digit in sixteen numbers, and a picture of what is left of it.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const auto [train, test] = load_mnist();
  Sequential net{Flatten{},
                 Dense(784, 128, ReLU{}),
                 Dense(128, 16),
                 Dense(16, 128, ReLU{}),
                 Dense(128, 784, Sigmoid{}),
                 Reshape({28, 28, 1})};
  Adam adam(net, {.lr = 2e-3});
  fit(net, adam, {train.x, train.x}, {.epochs = 3, .batch = 128, .valid = {test.x, test.x}});

  const Tensor before = test.x.rows(0, 16), after = predict(net, before);
  write_png("autoencoder.png", contact_sheet(concat({before, after})));
  fmt::print("squared error {:.4f}\n", mse(predict(net, test.x), test.x));
}
