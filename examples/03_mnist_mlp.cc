// Handwritten digits, read by a small network: the main job of ramp, from data to a trained,
// saved and questioned classifier.
//
// The network is a multilayer perceptron, 784-128-10. Each of the 784 pixels is an input; 128 units
// with max(0, x) look for strokes; 10 outputs say how much each digit speaks for itself (its
// "logit"). Softmax turns logits into probabilities, and cross entropy is the surprise at the true
// label: -log p. Backward gives its derivative by every weight, and Adam takes a step downhill.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "mnist_show.h"
#include "ramp/ramp.h"

using namespace ramp;

struct Options {
  std::string data = "mnist", save = "mnist_mlp.safetensors", model;
  int64_t epochs = 10, batch = 64, show = 10;
  uint64_t seed = 1;
  double lr = 1e-3;
  int threads = 0;
};

Sequential make_network() { return Sequential{Dense(784, 128, ReLU{}), Dense(128, 10)}; }

// [loop]
double train(Sequential& net, const TrainTest& data, const Options& o) {
  Batches batches(data.train, {.size = o.batch, .seed = o.seed});
  const int64_t steps = o.epochs * batches.count();
  Adam adam(net, {.lr = o.lr, .schedule = polynomial_decay(steps)});
  Progress progress(o.epochs, data.train.size());
  double test_accuracy = 0;
  for (int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    for (const auto& [x, y] : batches.epoch(epoch)) {
      Tensor loss = cross_entropy(net(x), y);
      loss.backward();
      adam.step();
      adam.zero_grad();
      progress.batch(x.dim(0), loss.item());
    }
    progress.epoch(test_accuracy = evaluate(net, data.test));
  }
  fmt::print("trained in {:.1f} s; accuracy on the {} test images: {:.2f} %\n", progress.seconds(),
             data.test.size(), 100 * test_accuracy);
  return test_accuracy;
}
// [loop]

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Trains a small network on MNIST, saves it and shows what it reads.");
  app.add_option("--data", o.data, "mnist, fashion, or a folder with the four IDX files");
  app.add_option("--epochs", o.epochs, "passes over the training images (10)");
  app.add_option("--batch", o.batch, "images a step (64)");
  app.add_option("--lr", o.lr, "Adam's first lr; it falls to 0 along a line (0.001)");
  app.add_option("--seed", o.seed, "of weights and shuffling; the same seed, the same bits (1)");
  app.add_option("--threads", o.threads, "0: all cores");
  app.add_option("--save", o.save, "where the weights go; \"\" for nowhere");
  app.add_option("--model", o.model, "read weights from this file instead of training");
  app.add_option("--show", o.show, "test images to show at the end (10)");
  CLI11_PARSE(app, argc, argv);

  try {
    if (o.threads > 0) set_num_threads(o.threads);
    fmt::print("{}\n", environment());
    fmt::print(stderr, "{}", environment_warning());
    TrainTest data = load_mnist(o.data);
    data = {data.train.flat(), data.test.flat()};

    seed_layers(o.seed);
    Sequential net = make_network();
    if (o.model.empty()) {
      train(net, data, o);
      if (!o.save.empty()) {
        save_model(o.save, net);
        fmt::print("saved {} ({} parameters)\n", o.save, net.parameter_count());
      }
    } else {
      load_model(o.model, net);
      fmt::print("read {}; accuracy on the {} test images: {:.2f} %\n", o.model, data.test.size(),
                 100 * evaluate(net, data.test));
    }
    show_predictions(net, data.test, o.show);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
