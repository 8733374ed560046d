// Photos of shapes, a folder for each class, told apart by a small convolutional network.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const ImageFolder photos = image_folder("shapes/train", {.height = 32, .width = 32});
  const Dataset train = photos.load();
  const Dataset test = image_folder("shapes/test", {.height = 32, .width = 32}).load();
  Sequential net{Conv2d(3, 16, 3, {.padding = 1}),
                 BatchNorm2d(16),
                 ReLU{},
                 MaxPool2d(2),
                 Conv2d(16, 32, 3, {.padding = 1}),
                 BatchNorm2d(32),
                 ReLU{},
                 MaxPool2d(2),
                 Conv2d(32, 64, 3, {.padding = 1}),
                 BatchNorm2d(64),
                 ReLU{},
                 MaxPool2d(2),
                 Flatten{},
                 Dense(4 * 4 * 64, std::ssize(photos.classes))};
  Adam adam(net, {.lr = 3e-3});
  fit(net, adam, train, {.epochs = 15, .batch = 32, .transform = AugmentPhoto(), .valid = test});
  fmt::print("test accuracy {:.1f} %\n", 100 * evaluate(net, test));

  const Tensor photo = resize_image(read_image("shapes/test/circle/000.png"), {32, 32});
  const Tensor guess = argmax(predict(net, unsqueeze(photo, 0)), -1);
  fmt::print("shapes/test/circle/000.png shows a {}\n", photos.classes[guess.item()]);
}
