// Looks over training's shoulder and says what is wrong with it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ramp/data/dataset.h"
#include "ramp/layers/module.h"
#include "ramp/train/fit.h"

namespace ramp {

/// One thing that is wrong.
struct Finding {
  std::string code;      // "dead_units": docs/diagnosis.md has them all
  std::string layer;     // "2 Dense(64, 32, relu)", or "" where it is no layer's
  std::string evidence;  // the numbers
  std::string remedy;    // what to try first
  /// Which texts these are and the numbers in evidence, by name: for other languages.
  std::string key = {};  // "lr_too_high_rose"
  std::vector<std::pair<std::string, std::string>> values = {};
};

struct DoctorOptions {
  int64_t every = 64;  // looks at each such step; at more of the first ones
};

/// Tells what goes wrong while a model trains.
///
///     Doctor doctor(net);
///     fit(net, adam, train, {.epochs = 10, .callbacks = {doctor}});
///     fmt::print("{}", doctor.str());
///
/// In a loop of one's own, one line behind each step, while the gradients are there, and one behind
/// each epoch, before the validation:
///
///     for (int64_t epoch = 0; epoch < 10; ++epoch) {
///       for (auto [x, y] : batches.epoch(epoch)) {
///         const Tensor loss = cross_entropy(net(x), y);
///         loss.backward();
///         adam.step();
///         doctor.after_step({x, y}, loss);
///         adam.zero_grad();
///       }
///       doctor.epoch_end();
///       evaluate(net, valid);
///     }
///
/// It only looks, from the thread that trains: outputs and their gradients on the way, weights and
/// gradients after the step; training ends with the bits that it had without. A step that it does
/// not look at costs it nothing but to read the loss.
class Doctor : private NoCopy {
 public:
  /// `net` outlives it. Errors: every < 1.
  explicit Doctor(ModuleBase& net, const DoctorOptions& options = {});
  ~Doctor();

  void after_step(const Dataset& batch, double loss);
  /// Errors: a loss that is not one number.
  void after_step(const Dataset& batch, const Tensor& loss) { after_step(batch, loss.item()); }
  void epoch_end();
  /// Both, for fit().
  operator Callback();  // NOLINT: implicit

  /// What was found so far, the likeliest cause first.
  std::vector<Finding> findings() const;
  /// The same as a text: a line for the finding, one for its evidence, one for the remedy.
  std::string str() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ramp
