// A convolutional network reads digits that are bent a little in each epoch; a run that was stopped
// goes on from its checkpoint. 10,000 images, so that it takes seconds.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const auto [images, test] = load_mnist();
  const Dataset train = images.rows(0, 10000);
  Sequential net{Conv2d(1, 16, 3, ReLU{}, {.padding = 1}),
                 MaxPool2d(2),
                 Conv2d(16, 32, 3, ReLU{}, {.padding = 1}),
                 MaxPool2d(2),
                 Flatten{},
                 Dropout(0.2),
                 Dense(7 * 7 * 32, 10)};
  const int64_t epochs = 3;
  Adam adam(net, {.lr = 5e-3, .schedule = one_cycle(epochs * Batches(train).count())});
  fit(net, adam, train,
      {.epochs = epochs,
       .transform = Augment({.elastic_alpha = 0}),
       .valid = test,
       .checkpoint = "mnist_cnn.ckpt"});
  save_model("mnist_cnn.safetensors", net);
  fmt::print("test accuracy {:.1f} %\n", 100 * evaluate(net, test));
}
