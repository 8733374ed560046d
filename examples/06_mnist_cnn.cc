// Handwritten digits again, read by a convolutional network: what ./run mnist runs.
//
// A dense layer has a weight for each pixel and must learn a stroke anew in every place. A
// convolution has one small stencil, 3x3 here, that it slides over the whole image: what it learns
// in one place it knows everywhere. Max-pooling then keeps the strongest answer of each 2x2 square,
// so the next stencil sees twice as far; three rounds, and a unit sees most of the digit. Between
// them batch normalization brings each channel to mean 0 and variance 1 over the batch, which keeps
// gradients alive and allows large steps. Without it, ReLU units that are pushed below 0 for all
// images stay there and die.
//
// The learning rate climbs for a fifth of the training and falls to 0 along a line: large steps
// find a good region, small ones its bottom. --best trains a deeper network for longer on images
// that are shifted, rotated, scaled and bent in each epoch anew, while a thread of its own prepares
// them; it asks for 91 % rather than all of the right digit (label smoothing), and it reads with
// the moving average of its weights, which is steadier than the last ones.
//
// A Recorder looks over fit's shoulder at every hundredth step, and at the end there is a page
// about the run, mnist_cnn.html: which layer learns slowest, whether units are dead, which digits
// are confused, what the convolutions see.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>

#include "mnist_show.h"
#include "ramp/ramp.h"

using namespace ramp;

struct Options {
  std::string data = "mnist", save = "mnist_cnn.safetensors", model, record = "mnist_cnn.glass";
  int64_t epochs = 0, batch = 64, images = 0, show = 10;
  uint64_t seed = 1;
  double lr = 3e-3;
  int threads = 0;
  bool best = false;
};

// Pooling comes before normalization, which then has a quarter of the values to look at; and a
// Sequential computes a convolution and the pooling behind it in one pass.
// [network]
Sequential make_network() {
  return Sequential{Conv2d(1, 32, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(32),
                    ReLU{},
                    Conv2d(32, 64, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(64),
                    ReLU{},
                    Conv2d(64, 64, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(64),
                    ReLU{},
                    Flatten{},
                    Dense(576, 10)};
}
// [network]

Sequential make_best_network() {
  return Sequential{Conv2d(1, 32, 3, {.padding = 1, .bias = false}),
                    BatchNorm2d(32, ReLU{}),
                    Conv2d(32, 32, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(32, ReLU{}),
                    Conv2d(32, 64, 3, {.padding = 1, .bias = false}),
                    BatchNorm2d(64, ReLU{}),
                    Conv2d(64, 64, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(64, ReLU{}),
                    Conv2d(64, 128, 3, {.padding = 1, .bias = false}),
                    BatchNorm2d(128, ReLU{}),
                    Conv2d(128, 128, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(128, ReLU{}),
                    Flatten{},
                    Dropout(0.3),
                    Dense(1152, 10)};
}

void train(Sequential& net, const TrainTest& data, const Options& o) {
  // A pixel of shift and a few degrees are enough for a short training; bending needs a long one.
  const AugmentOptions slight{
      .shift = 1, .rotate = 8, .scale = 0.08, .shear = 0.05, .elastic_alpha = 0, .seed = o.seed};
  // Up to the full lr in a fifth of the steps, then down to 0, along straight lines.
  const Schedule schedule =
      one_cycle(o.epochs * (data.train.size() / o.batch), {.warmup_fraction = 0.2, .linear = true});
  Adam adam(net, {.lr = o.lr, .schedule = schedule});
  const Loss loss([&](const Tensor& y, const Tensor& target) {
    return cross_entropy(y, target, {.label_smoothing = o.best ? 0.1 : 0});
  });
  FitOptions options{
      .epochs = o.epochs,
      .batch = o.batch,
      .seed = o.seed,
      .drop_last = true,
      .transform = Augment(o.best ? AugmentOptions{.elastic_alpha = 20, .seed = o.seed} : slight),
      .loss = loss,
      .metrics = {"accuracy"},
      .valid = data.test};
  if (o.best) options.ema = EmaOptions{.decay = 0.998, .warmup = true};
  std::optional<Recorder> recorder;
  if (!o.record.empty()) {
    recorder.emplace(net, o.record,
                     RecorderOptions{.loss = loss,
                                     .valid = data.test,
                                     .title = o.best ? "MNIST, the best network" : "MNIST",
                                     .seed = o.seed,
                                     .data = {{"training images", data.train.x},
                                              {"training labels", data.train.y},
                                              {"test images", data.test.x},
                                              {"test labels", data.test.y}}});
    options.callbacks.push_back(*recorder);
  }
  const History history = fit(net, adam, data.train, options);
  fmt::print("trained in {:.1f} s; accuracy on the {} test images: {:.2f} %\n",
             history.last().seconds, data.test.size(), 100 * history["valid_accuracy"].back());
  if (recorder) recorder->finish();
}

// Where a browser finds what the recorder wrote.
std::string report_name(const Options& o) {
  return std::filesystem::path(o.record).replace_extension(".html").string();
}

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Trains a convolutional network on MNIST, saves it and shows what it reads.");
  app.add_option("--data", o.data, "mnist, fashion, or a folder with the four IDX files");
  app.add_flag("--best", o.best, "a larger network, trained longer on altered images");
  app.add_option("--epochs", o.epochs, "passes over the training images (5; 36 with --best)");
  app.add_option("--batch", o.batch, "images a step (64)");
  app.add_option("--images", o.images, "train on the first so many only; 0: on all");
  app.add_option("--lr", o.lr, "Adam's largest lr (0.003)");
  app.add_option("--seed", o.seed, "of weights and shuffling; the same seed, the same bits (1)");
  app.add_option("--threads", o.threads, "0: all cores");
  app.add_option("--save", o.save, "where the weights go; \"\" for nowhere");
  app.add_option("--model", o.model, "read weights from this file instead of training");
  app.add_option("--record", o.record, "the run, as a file and as a page beside it; \"\" for none");
  app.add_option("--show", o.show, "test images to show at the end (10)");
  CLI11_PARSE(app, argc, argv);
  if (o.epochs == 0) o.epochs = o.best ? 36 : 5;

  try {
    if (o.threads > 0) set_num_threads(o.threads);
    fmt::print("{}\n", environment());
    fmt::print(stderr, "{}", environment_warning());
    TrainTest data = load_mnist(o.data);
    if (o.images > 0) data.train = data.train.rows(0, o.images);

    seed_layers(o.seed);
    Sequential net = o.best ? make_best_network() : make_network();
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
    if (o.model.empty() && !o.record.empty()) {
      save_report(report_name(o), {o.record});
      fmt::print("what happened in the network: open {} in a browser\n", report_name(o));
    }
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
