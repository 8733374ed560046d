// Training, drawn by TensorBoard.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ramp/io/tensorboard.h"
#include "ramp/train/fit.h"

namespace ramp {

struct TensorBoardOptions {
  int64_t every = 10;      // steps between two points of "step/..": the first one, the 10th, ..
  int64_t histograms = 1;  // epochs between two histograms of each weight; 0: none
  HParams hparams = {};    // what tells this run from others: {{"lr", 1e-3}, {"layers", "2"}}
};

/// A callback of fit() that writes event files:
///
///     fit(net, adam, train, {.epochs = 10, .valid = test, .callbacks = {TensorBoard("runs/a")}});
///
/// By steps "step/loss" and "step/lr" (with the schedule); by epochs (from 1) "epoch/loss",
/// "epoch/accuracy", "epoch/valid_loss" and all that History has, and histograms
/// "weights/0.weight"; once the model's summary() as text, and the hyperparameters, which are
/// compared by the columns of History. Errors: those of EventWriter; every < 1; histograms < 0.
class TensorBoard {
 public:
  explicit TensorBoard(const std::string& folder, const TensorBoardOptions& options = {});
  /// For what else is to be seen, while this object lives: `board.events().image(..)`.
  EventWriter& events();
  operator Callback() const;  // NOLINT: implicit; it may outlive this object

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ramp
