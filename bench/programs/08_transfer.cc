// What the network of 02 has learned of digits serves to tell shapes apart: a new last layer on
// frozen weights, and few photos.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const ImageFolderOptions grey{.height = 28, .width = 28, .channels = 1};
  const Dataset train = image_folder("shapes/train", grey).load();
  const Dataset test = image_folder("shapes/test", grey).load();
  Sequential net{Conv2d(1, 16, 3, ReLU{}, {.padding = 1}),
                 MaxPool2d(2),
                 Conv2d(16, 32, 3, ReLU{}, {.padding = 1}),
                 MaxPool2d(2),
                 Flatten{},
                 Dropout(0.2),
                 Dense(7 * 7 * 32, 10)};
  load_model("mnist_cnn.safetensors", net);
  net.freeze();
  net.replace(6, Dense(7 * 7 * 32, 3));
  Adam adam(net, {.lr = 1e-3});
  fit(net, adam, train, {.epochs = 30, .batch = 32, .valid = test});
  fmt::print("test accuracy {:.1f} %\n", 100 * evaluate(net, test));
}
