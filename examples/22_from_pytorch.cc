// Trained in Python, used in C++, and back.
//
// 22_from_pytorch.py trains a small network on MNIST with PyTorch and saves its state dict as a
// safetensors file. Here the same network is written down again, the weights are loaded, and the
// two must agree: not only how many test images they read right, but which digit they see in each
// one of the 10,000, mistakes included.
//
// Three things lie differently in the file. A dense layer's weights are [out, in] there and [in,
// out] here; a convolution's [out, in, h, w] there, [h, w, in, out] here. Both are transposed, and
// what is square shows no error if one forgets it: so the kind of the layer decides, not the shape.
// The third is easily missed. PyTorch's images are [channels, h, w], ramp's [h, w, channels].
// Flattened, the 784 numbers that the first dense layer gets are the same, in another order, and
// its rows must follow. load_pytorch runs the model once, on an empty image of the shape .input, to
// see what is flattened. What comes of leaving that out is shown below.
//
// The names differ, too: the layers of a Sequential have numbers, those in Python "conv1", "bn1".
// Layers are found by their shapes, and among equal ones by their order; .names would say it by
// regular expressions.
//
// Then training goes on here, on digits that are shifted, turned and bent, which the network reads
// badly at first, and the weights are written under PyTorch's names and in its order:
// load_state_dict() takes them.
//
//     22_from_pytorch [--epochs n] [--images n] [--save FILE]
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <string>

#include "ramp/ramp.h"

using namespace ramp;

// [network]
// Python's `Digits`, layer by layer.
Sequential make_digits() {
  return Sequential{Conv2d(1, 8, 3, {.padding = 1, .bias = false}),
                    BatchNorm2d(8, ReLU{}),
                    MaxPool2d(2),
                    Conv2d(8, 16, 3, {.padding = 1, .bias = false}),
                    BatchNorm2d(16, ReLU{}),
                    MaxPool2d(2),
                    Flatten{},
                    Dense(7 * 7 * 16, 28),
                    PReLU{},
                    Dense(28, 10)};
}
// [network]

// In how many rows the largest output is that of `digit`.
int64_t count_equal(const Tensor& y, const Tensor& digit) {
  const Tensor read = argmax(y, -1);
  int64_t n = 0;
  for (int64_t i = 0; i < read.numel(); ++i)
    n += read.data<int64_t>()[i] == digit.data<int64_t>()[i];
  return n;
}

int main(int argc, char** argv) {
  int64_t epochs = 2, images = 0;
  std::string save = "digits.safetensors";
  CLI::App app("Loads a network that was trained with PyTorch, goes on training, writes it back.");
  app.add_option("--epochs", epochs, "passes over the training images (2)");
  app.add_option("--images", images, "train on the first so many only; 0: on all");
  app.add_option("--save", save, "where the weights go");
  CLI11_PARSE(app, argc, argv);

  try {
    const std::string folder = RAMP_DATA_DIR "/pytorch/", weights = folder + "digits.safetensors";
    const TensorFileInfo file = inspect_safetensors(weights);
    fmt::print("{}, made by {}:\n", "digits.safetensors", file.metadata.at("made_by"));
    for (const TensorInfo& t : file.tensors)
      fmt::print("  {:<24}{} {}\n", t.name, t.dtype, t.shape);

    TrainTest data = load_mnist();
    if (images > 0) data.train = data.train.rows(0, images);
    seed_layers(1);
    Sequential net = make_digits();
    // [load]
    load_pytorch(net, weights, {.input = {1, 28, 28, 1}});
    // [load]
    const Tensor y = predict(net, data.test.x);
    const Tensor theirs = load_npy(folder + "digits_predictions.npy");
    fmt::print(
        "\nof {} test images PyTorch reads {} right, ramp {}; both see the same digit in {}\n",
        data.test.size(), file.metadata.at("right_of_10000"), count_equal(y, data.test.y),
        count_equal(y, theirs));

    // "7" is the first Dense. To say that nothing was flattened in front of it is wrong.
    Sequential wrong = make_digits();
    load_pytorch(wrong, weights, {.input = {1, 28, 28, 1}, .flattened = {{"7", 0}}});
    fmt::print("with the rows of the first dense layer as they lie in the file: {} right\n",
               count_equal(predict(wrong, data.test.x), data.test.y));

    // Digits as they were never seen there: shifted, turned, bent.
    const Augment bend;
    const Dataset bent{bend(data.test.x, 0), data.test.y};
    const int64_t before = count_equal(predict(net, bent.x), bent.y);
    Adam adam(net, {.lr = 2e-3, .schedule = one_cycle(epochs * ceil_div(data.train.size(), 64))});
    fit(net, adam, data.train, {.epochs = epochs, .seed = 1, .transform = bend});
    fmt::print("of the test images, bent: {} right before, {} after training here\n", before,
               count_equal(predict(net, bent.x), bent.y));
    // [save]
    save_pytorch(net, save, {.input = {1, 28, 28, 1}, .like = weights});
    // [save]
    fmt::print("net.load_state_dict(load_file(\"{}\")) takes it back\n", save);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
