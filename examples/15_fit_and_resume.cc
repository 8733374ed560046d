// Training as one call, and a run that survives the power cut.
//
// The loop of 03_mnist_mlp is always the same: batches, loss, backward, step, and after each epoch
// a look at images that were not trained on. fit() is that loop. What is yours stays yours: the
// model, the optimizer, the data.
//
// Training takes minutes or days, and something always happens: a full disk, a closed lid, Ctrl-C.
// With .checkpoint = FILE all that training depends on is written to a file each minute: weights,
// Adam's moments and steps, the state of dropout's generator, the place in the epoch, the best
// weights so far. Start the same program again and it goes on where the file ends. Not nearly
// there: to the same bits, as if nothing had happened. This program tries it, by throwing an
// exception in the middle of an epoch, and compares all weights at the end.
//
// The history shows when to stop. The training loss falls for ever; the validation loss turns once
// the network learns its images by heart. patience ends training some epochs after the turn, and
// keep_best gives back the weights from before it.
//
// Stop it with Ctrl-C, too, and start it again.
//
//     15_fit_and_resume [--epochs n] [--images n] [--folder FOLDER]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

struct PowerCut : std::runtime_error {
  using runtime_error::runtime_error;
};

struct Options {
  int64_t epochs = 12, images = 6000;
  std::string folder = ".";
};

// Trains from the start, or from where the checkpoint ends; a power cut comes before step `cut`.
std::pair<Sequential, History> train(const TrainTest& data, const Options& o,
                                     const std::string& checkpoint, int64_t cut = -1) {
  seed_layers(1);
  Sequential net{Flatten{}, Dense(784, 256, ReLU{}), Dropout(0.2), Dense(256, 10)};
  Adam adam(net, {.lr = 2e-3});
  // [fit]
  History h = fit(net, adam, data.train,
                  {.epochs = o.epochs,
                   .batch = 64,
                   .valid = data.test,
                   .keep_best = true,
                   .patience = 3,
                   .checkpoint = checkpoint,
                   .checkpoint_steps = 40,  // (each minute, usually)
                   .callbacks = {{.before_step = [&](TrainState& s) {
                     if (s.step == cut) throw PowerCut("the power is gone");
                   }}}});
  // [fit]
  return {net, h};
}

std::vector<double> weights(ModuleBase& net) {
  std::vector<double> all;
  for (const Tensor& w : net.parameters()) {
    const std::vector<double> values = w.values();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Trains on MNIST with fit(), is stopped half-way and goes on.");
  app.add_option("--epochs", o.epochs, "at most (12)");
  app.add_option("--images", o.images, "train on the first so many (6000)");
  app.add_option("--folder", o.folder, "where the checkpoint, the history and its plot go (.)");
  CLI11_PARSE(app, argc, argv);

  try {
    TrainTest data = load_mnist();
    data.train = data.train.rows(0, o.images);
    std::filesystem::create_directories(o.folder);
    const std::string checkpoint = o.folder + "/resume.ckpt";

    fmt::print("without a stop:\n");
    auto [at_once, h] = train(data, o, "");

    fmt::print("\nwith a power cut in the second epoch:\n");
    std::filesystem::remove(checkpoint);
    const int64_t steps = (o.images + 63) / 64;
    try {
      train(data, o, checkpoint, steps + steps / 2);
    } catch (const PowerCut& cut) {
      fmt::print("{}, and what was not in the file with it\n", cut.what());
    }
    auto [resumed, again] = train(data, o, checkpoint);

    const bool equal = weights(at_once) == weights(resumed);
    fmt::print("\nall {} weights are {}\n", at_once.parameter_count(),
               equal ? "equal to the bit" : "NOT equal");
    fmt::print("{}: the best weights, of epoch {}, read {:.2f} % of the test images\n",
               h.stopped.empty() ? "all epochs are done" : h.stopped, h.best_epoch,
               100 * evaluate(at_once, data.test));
    h.save(o.folder + "/history.csv");
    save_svg(o.folder + "/history.svg", plot(h));
    fmt::print("history.csv and history.svg are in {}\n", o.folder);
    return equal ? 0 : 1;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
