// Learning from a handful of examples, with what was learned before.
//
// A network that reads 0 to 4 knows nothing about a 7. But most of it is no knowledge of digits:
// its convolutions answer to strokes, bends and ends, and a 7 is made of those. So its body is
// taken over and frozen, a new last layer is put on, and that alone is trained, with few examples
// of 5 to 9. Beside it the same network is trained from nothing on the same few.
//
// Frozen means two things. freeze(): no gradients for the weights of the body, so no optimizer
// moves them, and the backward pass ends at the new layer. eval(): its batch normalization keeps
// the means and variances of the digits it was trained on, instead of those of each small batch.
//
// Only 5 x 64 + 5 numbers are left to be learned, and they cannot know a few examples by heart as
// the whole network can. With many examples the advantage fades, and in the end turns: what the
// body does not see, the head cannot learn.
//
//     21_transfer [--quick]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

Sequential make_body() {
  return Sequential{Conv2d(1, 16, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(16),
                    ReLU{},
                    Conv2d(16, 32, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(32),
                    ReLU{},
                    Conv2d(32, 64, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(64),
                    ReLU{},
                    Flatten{}};
}

// The images of five digits, with labels 0 to 4.
Dataset five_digits(const Dataset& data, int64_t first) {
  const int64_t* y = data.y.data<int64_t>();
  Dataset part = data.where([&](int64_t i) { return y[i] >= first && y[i] < first + 5; });
  return {part.x, part.y - first};
}

// k examples of each label, drawn at random.
Dataset few_of_each(const Dataset& data, int64_t k, uint64_t seed) {
  const Tensor order = Rng(seed).permutation(data.size());
  std::vector<int64_t> rows, count(5);
  for (int64_t i = 0; i < data.size(); ++i) {
    const int64_t row = order.data<int64_t>()[i];
    if (count[static_cast<size_t>(data.y.data<int64_t>()[row])]++ < k) rows.push_back(row);
  }
  return data.take(rows);
}

// So many steps, or a few more.
void train(Sequential& net, const Dataset& data, int64_t steps) {
  const int64_t batch = std::min<int64_t>(64, data.size()),
                epochs = ceil_div(steps, data.size() / batch);
  Adam adam(net, {.lr = 3e-3, .schedule = one_cycle(epochs * (data.size() / batch))});
  fit(net, adam, data,
      {.epochs = epochs, .batch = batch, .seed = 1, .drop_last = true, .out = nullptr});
}

int main(int argc, char** argv) {
  bool quick = false;
  CLI::App app("A network that reads 0 to 4 learns 5 to 9 from few examples.");
  app.add_flag("--quick", quick, "a shorter training, and ten examples of each digit only");
  CLI11_PARSE(app, argc, argv);

  try {
    const TrainTest mnist = load_mnist();
    const Dataset low = five_digits(mnist.train, 0), high = five_digits(mnist.train, 5);
    const Dataset low_test = five_digits(mnist.test, 0), high_test = five_digits(mnist.test, 5);
    seed_layers(1);
    Sequential teacher{make_body(), Dense(576, 5)};
    train(teacher, low, quick ? 400 : 900);
    fmt::print(
        "trained on {} images of 0 to 4; of the test images of these, {:.2f} % are right\n\n",
        low.size(), 100 * evaluate(teacher, low_test));

    fmt::print("of each of 5 to 9   from nothing   new layer on the body that knows 0 to 4\n");
    const int64_t repeats = quick ? 1 : 3, steps = quick ? 60 : 150;
    for (const int64_t k :
         quick ? std::vector<int64_t>{10} : std::vector<int64_t>{1, 3, 10, 30, 100, 1000}) {
      double scratch = 0, transfer = 0;
      for (int64_t r = 0; r < repeats; ++r) {
        const uint64_t seed = static_cast<uint64_t>(100 + r);
        const Dataset few = few_of_each(high, k, seed);
        seed_layers(seed);
        Sequential fresh{make_body(), Dense(576, 5)};
        train(fresh, few, steps);
        scratch += evaluate(fresh, high_test);

        Sequential net{teacher.first(1), Dense(576, 5)};
        net[0].freeze().eval();
        train(net, few, steps);
        transfer += evaluate(net, high_test);
      }
      const double percent = 100 / static_cast<double>(repeats);
      fmt::print("{:17} {:12.1f} % {:12.1f} %\n", k, percent * scratch, percent * transfer);
    }
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
