// A dense network for MNIST with its knobs outside: what docs/lessons train, break and mend.
//
// How deep, which activation, which first weights, which learning rate: with the defaults it
// learns, and with one of them wrong it does not. ReLU with a rate ten times too large, and half
// of its units are dead. Ten layers of sigmoids, and hardly any gradient comes back to the first.
// The file that the run leaves shows which it was:
//
//     ./run example lesson_digits --activation sigmoid --layers 10 --record sigmoid.glass
//     ./run report sigmoid.glass
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "ramp/ramp.h"

using namespace ramp;

struct Options {
  std::string activation = "relu", weights = "he", record = "digits.glass";
  int64_t layers = 2, width = 64, epochs = 4, images = 10000;
  uint64_t seed = 1;
  double lr = 1e-3, bias = 0;
};

const std::map<std::string, Activation> kActivations = {
    {"relu", ReLU{}}, {"leaky_relu", LeakyReLU{}}, {"elu", ELU{}},
    {"tanh", Tanh{}}, {"sigmoid", Sigmoid{}},
};

/// He: std sqrt(2 / fan_in); Xavier: sqrt(2 / (fan_in + fan_out)); small: 0.01, whatever the fans.
Tensor first_weights(const std::string& name, const Shape& shape, Rng& rng) {
  if (name == "xavier") return init::xavier_normal(shape, rng);
  if (name == "small") return rng.normal(shape, 0, 0.01);
  return init::he_normal(shape, rng);
}

Sequential make_network(const Options& o) {
  Rng rng(o.seed);
  Sequential net;
  for (int64_t i = 0; i <= o.layers; ++i) {
    const bool last = i == o.layers;
    Dense dense(i == 0 ? 784 : o.width, last ? 10 : o.width,
                last ? Activation(Identity{}) : kActivations.at(o.activation));
    dense.weight = first_weights(o.weights, dense.weight.shape(), rng);
    if (!last) dense.bias = Tensor::full({o.width}, o.bias);
    net.add(std::move(dense));
  }
  return net;
}

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Trains a dense network on MNIST and records what happens in it.");
  app.add_option("--activation", o.activation, "relu, leaky_relu, elu, tanh or sigmoid (relu)")
      ->check(CLI::IsMember(kActivations));
  app.add_option("--weights", o.weights, "the first ones: he, xavier or small (he)")
      ->check(CLI::IsMember({"he", "xavier", "small"}));
  app.add_option("--bias", o.bias, "where those of the hidden layers start (0)");
  app.add_option("--layers", o.layers, "hidden layers (2)")->check(CLI::Range(1, 100));
  app.add_option("--width", o.width, "units of each (64)")->check(CLI::Range(1, 4096));
  app.add_option("--lr", o.lr, "Adam's lr (0.001)");
  app.add_option("--epochs", o.epochs, "passes over the training images (4)");
  app.add_option("--images", o.images, "train on the first so many; 0: on all (10000)");
  app.add_option("--seed", o.seed, "of weights and order; the same seed, the same bits (1)");
  app.add_option("--record", o.record, "the file of the run (digits.glass)");
  CLI11_PARSE(app, argc, argv);

  try {
    TrainTest data = load_mnist();
    if (o.images > 0) data.train = data.train.rows(0, o.images);
    data = {data.train.flat(), data.test.flat()};
    Sequential net = make_network(o);
    Adam adam(net, {.lr = o.lr});
    Recorder recorder(net, o.record,
                      {.every = 20,
                       .count_every = 1,
                       .valid = data.test,
                       .title = fmt::format("{} layers of {}, {} weights, biases {}, rate {}",
                                            o.layers, o.activation, o.weights, o.bias, o.lr),
                       .seed = o.seed});
    fit(net, adam, data.train,
        {.epochs = o.epochs, .seed = o.seed, .valid = data.test, .callbacks = {recorder}});
    recorder.finish();
    fmt::print("recorded in {0}; its page: ./run report {0}\n", o.record);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
