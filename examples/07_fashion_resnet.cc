// Ten kinds of clothing, read by a residual network that is plain C++.
//
// A layer that is added to a deep network should not make it worse: it could pass its input on. But
// "pass on" is hard to learn for a stack of convolutions and max(0, x). A residual block makes it
// the starting point: y = max(0, x + body(x)), where body has only to learn what is missing. The
// sum also carries the gradient past the body, undamped, however deep the network is.
//
// The block below is an ordinary struct: its layers are members, fields() names them, forward()
// says what happens. Where nothing but the sum is wanted, `Residual{layers...}` does the same.
// Source: He et al. (2015), "Deep residual learning for image recognition".
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "ramp/ramp.h"

using namespace ramp;

// [block]
struct Block final : Module {
  Conv2d conv1, conv2;
  BatchNorm2d norm1, norm2;

  explicit Block(int64_t channels)
      : conv1(channels, channels, 3, {.padding = 1, .bias = false}),
        conv2(channels, channels, 3, {.padding = 1, .bias = false}),
        norm1(channels, ReLU{}),
        norm2(channels) {}
  Tensor forward(const Tensor& x) override { return relu(x + norm2(conv2(norm1(conv1(x))))); }
  void fields(Fields& f) override {
    f.child("conv1", conv1).child("norm1", norm1).child("conv2", conv2).child("norm2", norm2);
  }
  std::string describe() const override { return "Block"; }
};
// [block]

Sequential make_network() {
  return Sequential{Conv2d(1, 32, 3, {.padding = 1, .bias = false}),
                    BatchNorm2d(32, ReLU{}),
                    MaxPool2d(2),
                    Block(32),
                    Conv2d(32, 64, 3, {.padding = 1, .bias = false}),
                    BatchNorm2d(64, ReLU{}),
                    MaxPool2d(2),
                    Block(64),
                    Flatten{},
                    Dropout(0.3),
                    Dense(7 * 7 * 64, 10)};
}

int main(int argc, char** argv) {
  std::string data_set = "fashion";
  int64_t epochs = 10, batch = 64, images = 0;
  uint64_t seed = 1;
  double lr = 3e-3;
  int threads = 0;
  CLI::App app("Trains a residual network on Fashion-MNIST.");
  app.add_option("--data", data_set, "fashion, mnist, or a folder with the four IDX files");
  app.add_option("--epochs", epochs, "passes over the training images (10)");
  app.add_option("--batch", batch, "images a step (64)");
  app.add_option("--images", images, "train on the first so many only; 0: on all");
  app.add_option("--lr", lr, "Adam's largest lr (0.003)");
  app.add_option("--seed", seed, "of weights and shuffling (1)");
  app.add_option("--threads", threads, "0: all cores");
  CLI11_PARSE(app, argc, argv);

  try {
    if (threads > 0) set_num_threads(threads);
    TrainTest data = load_mnist(data_set);
    if (images > 0) data.train = data.train.rows(0, images);
    seed_layers(seed);
    Sequential net = make_network();
    fmt::print("{}\n", net.summary({1, 28, 28, 1}));

    const Batches batches(data.train, {.size = batch, .seed = seed, .drop_last = true});
    const Augment shift({.shift = 2, .rotate = 0, .scale = 0, .shear = 0, .elastic_alpha = 0});
    Progress progress(epochs, batches.count() * batch);
    // Up to the full lr in a fifth of the steps, then down to 0, along straight lines.
    const int64_t steps = epochs * batches.count();
    Adam adam(net,
              {.lr = lr, .schedule = one_cycle(steps, {.warmup_fraction = 0.2, .linear = true})});
    double test_accuracy = 0;
    for (int64_t epoch = 0; epoch < epochs; ++epoch) {
      for (const auto& [x, y] : Prefetch(batches.epoch(epoch, shift))) {
        const Tensor loss = cross_entropy(net(x), y);
        loss.backward();
        adam.step();
        adam.zero_grad();
        progress.batch(x.dim(0), loss.item());
      }
      progress.epoch(test_accuracy = evaluate(net, data.test));
    }
    fmt::print("trained in {:.1f} s; accuracy on the {} test images: {:.2f} %\n",
               progress.seconds(), data.test.size(), 100 * test_accuracy);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
