// Two dense layers read handwritten digits; a tenth of the images is for validation.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const auto [images, test] = load_mnist();
  const auto [train, valid] = images.split(0.9);
  Sequential net{Flatten{}, Dense(784, 128, ReLU{}), Dense(128, 10)};
  Adam adam(net, {.lr = 1e-3});
  fit(net, adam, train, {.epochs = 3, .valid = valid});
  fmt::print("test accuracy {:.1f} %\n", 100 * evaluate(net, test));
}
