// Writes down what a model does while it trains.
#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ramp/data/dataset.h"
#include "ramp/layers/module.h"
#include "ramp/train/doctor.h"
#include "ramp/train/fit.h"

namespace ramp {

struct RecorderOptions {
  int64_t every = 100;  // steps; and steps 1, 2, 4, 8, .. below that
  /// Units are counted at each such step and at those that are recorded (1: at all; 0: at the
  /// latter alone). At the others a ReLU's units are known by the gradient of their bias or,
  /// without one, their weights: it is 0 where a unit fires for no example.
  int64_t count_every = 20;
  /// At most 64 examples, of which the whole tape is kept: op by op, with the gradients. Without
  /// one: the first of the first batch.
  Dataset probe = {};
  /// Of the probe, as in FitOptions.
  Loss loss = {};
  /// For the mistakes at the end. Labels i64; nothing: none are looked for.
  Dataset valid = {};
  std::vector<std::string> classes = {};  // their names; "0", "1", ..
  std::string title = {};                 // the program's name
  std::optional<uint64_t> seed = {};
  std::vector<std::pair<std::string, Tensor>> data = {};  // "train images": gets a checksum
};

/// Looks at every hundredth step and writes a line for it into a `.glass` file, from which
/// `ramp-report run.glass -o run.html` makes a page: see docs/glass.md.
///
///     Recorder recorder(net, "run.glass", {.every = 100, .valid = test});
///     fit(net, adam, train, {.epochs = 5, .valid = test, .callbacks = {recorder}});
///     recorder.finish();
///
/// `fit(net, adam, train, {.valid = test, .record = "run.glass"})` does that.
///
/// In a loop of one's own as Doctor, one line behind each step, while the gradients are there, and
/// one behind each epoch:
///
///     adam.step();
///     recorder.after_step({x, y}, loss, adam.lr());
///     adam.zero_grad();
///
/// It keeps sketches of activations, gradients and weights, counts how often each unit fires, and
/// never whole tensors but those of the probe. It only looks: training ends with the bits that it
/// had without. Steps that are not looked at run as if it were not there. What Doctor finds is in
/// the file as well. The file is written line by line, and read without the end after a crash.
class Recorder : private NoCopy {
 public:
  /// `net` outlives it. A file of that name is replaced at the first step, or continued where the
  /// optimizer's steps say that training goes on from a checkpoint. Errors: a file that cannot be
  /// written; every < 1; count_every < 0; a probe of more than 64 examples; a model that is no
  /// Module, without a loss of the batch.
  Recorder(ModuleBase& net, const std::string& path, RecorderOptions options = {});
  /// The file is run.glass.
  explicit Recorder(ModuleBase& net, RecorderOptions options = {})
      : Recorder(net, "run.glass", std::move(options)) {}
  /// finish(), but for its errors.
  ~Recorder();

  /// Errors: a full disk; also those of the probe's loss.
  void after_step(const Dataset& batch, double loss, double lr = NAN);
  /// Errors: also a loss that is not one number.
  void after_step(const Dataset& batch, const Tensor& loss, double lr = NAN) {
    after_step(batch, loss.item(), lr);
  }
  /// `values` are those of the epoch: {{"valid_accuracy", {0.97}}}.
  void epoch_end(const std::vector<std::pair<std::string, Estimate>>& values = {});
  /// Both, for fit().
  operator Callback();  // NOLINT: implicit

  /// The last probe, pictures, mistakes and findings: of the model as it is now. Once.
  void finish(const std::string& reason = "done");
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ramp
