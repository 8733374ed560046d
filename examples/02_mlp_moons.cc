// Two half moons that no straight line can part, and a network that bends one around them.
//
// The hidden units are ramps: each is 0 on one side of a line and rises on the other. Their sum is
// a surface made of flat pieces, and where it crosses 0 is the border between the classes. The
// picture shows it: each point's class as a letter, the network's opinion as the ground. With
// --record moons.glass the report has a film of how the border got there.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

// n points on two interleaved half circles, with noise.
Dataset moons(int64_t n, Rng& rng) {
  const Tensor angle = rng.uniform({n}, 0, std::numbers::pi), noise = rng.normal({n, 2}, 0, 0.12);
  Tensor x = Tensor::empty({n, 2}), y = Tensor::empty({n}, i64);
  for (int64_t i = 0; i < n; ++i) {
    const bool lower = i % 2 == 1;
    const float a = angle.data<float>()[i], *e = noise.data<float>() + 2 * i;
    x.mutable_data<float>()[2 * i] = (lower ? 1 - std::cos(a) : std::cos(a)) + e[0];
    x.mutable_data<float>()[2 * i + 1] = (lower ? 0.5f - std::sin(a) : std::sin(a)) + e[1];
    y.mutable_data<int64_t>()[i] = lower;
  }
  return {x, y};
}

void draw(Module& net, const Dataset& data) {
  constexpr int kRows = 22, kColumns = 72;
  constexpr float kLeft = -1.5f, kRight = 2.5f, kTop = 1.5f, kBottom = -1.1f;
  Tensor grid = Tensor::empty({kRows * kColumns, 2});
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      float* p = grid.mutable_data<float>() + 2 * (r * kColumns + c);
      p[0] = kLeft + (kRight - kLeft) * (static_cast<float>(c) + 0.5f) / kColumns;
      p[1] = kTop + (kBottom - kTop) * (static_cast<float>(r) + 0.5f) / kRows;
    }
  }
  const Tensor guess = argmax(predict(net, grid), -1);
  std::vector<std::string> picture(kRows, std::string(kColumns, ' '));
  for (int64_t i = 0; i < guess.numel(); ++i) {
    if (guess.data<int64_t>()[i] == 1) picture[i / kColumns][i % kColumns] = '.';
  }
  for (int64_t i = 0; i < data.size(); ++i) {
    const float* p = data.x.data<float>() + 2 * i;
    const int c = static_cast<int>((p[0] - kLeft) / (kRight - kLeft) * kColumns);
    const int r = static_cast<int>((p[1] - kTop) / (kBottom - kTop) * kRows);
    if (r < 0 || r >= kRows || c < 0 || c >= kColumns) continue;
    picture[r][c] = data.y.data<int64_t>()[i] == 1 ? 'x' : 'o';
  }
  for (const std::string& line : picture) fmt::print("{}\n", line);
}

int main(int argc, char** argv) {
  std::string record;
  CLI::App app("Trains a small network on two moons and draws the border that it finds.");
  app.add_option("--record", record, "a file for ramp-report, such as moons.glass");
  CLI11_PARSE(app, argc, argv);

  Rng rng(3);
  const Dataset train = moons(400, rng), test = moons(400, rng);
  seed_layers(3);
  Sequential net{Dense(2, 16, ReLU{}), Dense(16, 16, ReLU{}), Dense(16, 2)};
  fmt::print("{}\n", net.summary({1, 2}));

  SGD sgd(net, {.lr = 0.1, .momentum = 0.9});
  Batches batches(train, {.size = 40, .seed = 3});
  std::optional<Recorder> recorder;
  if (!record.empty()) {
    recorder.emplace(
        net, record,
        RecorderOptions{.every = 10, .count_every = 1, .title = "Two moons", .seed = 3});
  }
  for (int64_t epoch = 0; epoch < 60; ++epoch) {
    double loss_sum = 0;
    for (const auto& [x, y] : batches.epoch(epoch)) {
      Tensor loss = cross_entropy(net(x), y);
      loss.backward();
      sgd.step();
      if (recorder) recorder->after_step({x, y}, loss, sgd.lr());
      sgd.zero_grad();
      loss_sum += loss.item() * static_cast<double>(x.dim(0));
    }
    if (recorder) recorder->epoch_end({{"valid_accuracy", {evaluate(net, test)}}});
    if (epoch % 20 == 0 || epoch == 59) {
      fmt::print("epoch {:2}  loss {:.4f}  test accuracy {:.1f} %\n", epoch,
                 loss_sum / static_cast<double>(train.size()), 100 * evaluate(net, test));
    }
  }
  fmt::print("\n");
  draw(net, train);
  if (recorder) {
    recorder->finish();
    fmt::print("\nrecorded in {0}; its page: ./run report {0}\n", record);
  }
}
