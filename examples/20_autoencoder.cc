// A digit in sixteen numbers.
//
// An auto-encoder is asked for nothing but its own input. The catch is the narrow place in its
// middle: an encoder makes 16 numbers of 784 pixels, a decoder makes 784 pixels of them again, and
// what is lost on the way is the loss. No labels are needed. To get through, the network must find
// out what digits are like: where there can be ink and where not, how strokes run.
//
// The encoder is made of convolutions that skip every other pixel (stride 2): 28 x 28, 14 x 14,
// 7 x 7. The decoder goes the same way back with transposed convolutions, of which each makes an
// image twice as large. Their kernel of 4 is a multiple of the stride: with 3, pixels would get
// one or two contributions in turn, and the image the pattern of a chess board.
//
// A network without activations stands beside it, with the same 16 numbers in the middle. It can
// find no better code than a flat one: the mean image and 16 others, mixed (that is what principal
// components are). Digits do not lie in a plane, and so the bent code is much closer.
//
// The sheet shows 16 test images, what the flat and what the bent code make of them, and last what
// lies between two digits: the decoder draws the codes on the line from one to the other.
//
//     20_autoencoder [--epochs n] [--images n] [--sheet FILE]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "ramp/ramp.h"

using namespace ramp;

constexpr int64_t kCode = 16;

Sequential make_encoder() {
  return Sequential{Conv2d(1, 16, 3, ReLU{}, {.stride = 2, .padding = 1}),
                    Conv2d(16, 32, 3, ReLU{}, {.stride = 2, .padding = 1}), Flatten{},
                    Dense(7 * 7 * 32, kCode)};
}
Sequential make_decoder() {
  return Sequential{Dense(kCode, 7 * 7 * 32, ReLU{}), Reshape({7, 7, 32}),
                    ConvTranspose2d(32, 16, 4, ReLU{}, {.stride = 2, .padding = 1}),
                    ConvTranspose2d(16, 1, 4, Sigmoid{}, {.stride = 2, .padding = 1})};
}

void train(Sequential& net, const Tensor& images, int64_t epochs, std::FILE* progress) {
  Adam adam(net, {.lr = 2e-3, .schedule = one_cycle(epochs * ceil_div(images.dim(0), 64))});
  fit(net, adam, Dataset{images, images}, {.epochs = epochs, .seed = 1, .out = progress});
}

int main(int argc, char** argv) {
  int64_t epochs = 4, count = 60'000;
  std::string sheet = "autoencoder.png";
  CLI::App app("Trains an auto-encoder on MNIST and draws what gets through.");
  app.add_option("--epochs", epochs, "passes over the training images (4)");
  app.add_option("--images", count, "train on the first so many only");
  app.add_option("--sheet", sheet, "where the picture goes");
  CLI11_PARSE(app, argc, argv);

  try {
    const TrainTest data = load_mnist();
    const Tensor images = data.train.x.rows(0, count), test = data.test.x;
    seed_layers(1);
    Sequential flat{Flatten{}, Dense(784, kCode), Dense(kCode, 784), Reshape({28, 28, 1})};
    Sequential net{make_encoder(), make_decoder()};
    fmt::print("{}\n", net.summary({1, 28, 28, 1}));
    train(flat, images, 4 * epochs, nullptr);  // it is quick
    train(net, images, epochs, stdout);

    // What is lost, beside what is lost if each image is taken for the mean one.
    const Tensor from_flat = predict(flat, test), from_net = predict(net, test);
    const double all = mse_loss(mean(images, 0, {.keepdims = true}) + test * 0, test).item();
    const double lost_flat = mse_loss(from_flat, test).item() / all;
    const double lost = mse_loss(from_net, test).item() / all;
    fmt::print(
        "\n{} numbers instead of 784 pixels. Of what tells the test images apart is lost:\n"
        "by the flat code {:.1f} %, by the bent one {:.1f} %\n",
        kCode, 100 * lost_flat, 100 * lost);

    const Tensor codes = predict(net[0], test.rows(0, 16));
    const Tensor step = Tensor::arange(16, f32).view({16, 1}) / 15;
    const Tensor between = codes.rows(0, 1) * (1 - step) + codes.rows(1, 2) * step;
    write_png(sheet, contact_sheet(concat({test.rows(0, 16), from_flat.rows(0, 16),
                                           from_net.rows(0, 16), predict(net[1], between)},
                                          0)));
    fmt::print("before, after (flat, bent), and from the first digit to the second: {}\n", sheet);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
