// Training as a call: batches, steps, evaluation, progress, checkpoints.
//
//     auto [train, test] = load_mnist();
//     Sequential net{Flatten{}, Dense(784, 128, ReLU{}), Dense(128, 10)};
//     Adam adam(net, {.lr = 1e-3});
//     History h = fit(net, adam, train, {.epochs = 5, .valid = test, .checkpoint = "mnist.ckpt"});
//
// The plain loop (batches, loss.backward(), step()) does the same in the open.
#pragma once

#include <concepts>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ramp/data/batches.h"
#include "ramp/optim/optimizer.h"
#include "ramp/train/average.h"
#include "ramp/train/history.h"
#include "ramp/train/metrics.h"
#include "ramp/train/plateau.h"

namespace ramp {

/// The loss of a batch, one number. A name ("cross_entropy", "nll", "bce", "bce_with_logits",
/// "mse", "l1", "smooth_l1", "huber", "hinge"), one of ramp's losses with its usual options
/// (`huber_loss`), a function of (what the model gives, the target), or of the batch, which calls
/// the model itself: for several inputs or outputs.
///
///     .loss = [](const Tensor& y, const Tensor& target) { return mse_loss(y, target) * 0.5; }
///     .loss = [&](const Dataset& b) { return cross_entropy(towers(b.x, b.more[0]), b.y); }
///
/// Nothing said: cross_entropy where y is i64, mse where it is of floats.
class Loss {
 public:
  using OfOutputs = std::function<Tensor(const Tensor& y, const Tensor& target)>;
  using OfBatch = std::function<Tensor(const Dataset& batch)>;

  Loss() = default;
  /// Errors: another name (those there are get listed).
  Loss(const std::string& name);                       // NOLINT: implicit
  Loss(const char* name) : Loss(std::string(name)) {}  // NOLINT
  template <typename Options>
  Loss(Tensor (*f)(const Tensor& y, const Tensor& target, Options))  // NOLINT
      : of_outputs([f](const Tensor& y, const Tensor& target) {
          return f(y, target, std::remove_cvref_t<Options>{});
        }) {}
  template <std::invocable<const Tensor&, const Tensor&> F>
  Loss(F f) : of_outputs(std::move(f)) {}  // NOLINT
  template <std::invocable<const Dataset&> F>
  Loss(F f) : of_batch(std::move(f)) {}  // NOLINT

  /// Of what a model gave: by of_outputs, or where nothing was said as above.
  Tensor of(const Tensor& y, const Tensor& target) const;

  OfOutputs of_outputs;
  OfBatch of_batch;
};

/// Seconds of all steps so far, by what was done.
struct Phases {
  double data = 0, forward = 0, backward = 0, step = 0;
};

/// Where training is: what callbacks get.
struct TrainState {
  ModuleBase& net;
  Optimizer& optimizer;
  int64_t epoch = 0, batch = 0, step = 0;  // from 0; of the batch at hand and the next step
  const Dataset* data = nullptr;           // the batch at hand; null between epochs
  double loss = 0, lr = 0;                 // of that batch; of its step
  const History& history;                  // of the epochs done

  Phases seconds = {};

  /// Training ends after this step or epoch, as if it were the last one; History has the reason.
  void stop(const std::string& reason) { stopped = reason.empty() ? "a callback" : reason; }
  std::string stopped = {};
};

/// What else is to be done: `.callbacks = {{.after_epoch = [&](TrainState& s) { .. }}}`. An empty
/// function is left out. Checkpoints do not hold what a callback remembers.
struct Callback {
  std::function<void(TrainState&)> before_step = {};  // the gradients are there, and clipped
  std::function<void(TrainState&)> after_step = {};   // before they are cleared
  std::function<void(TrainState&)> after_epoch = {};
};

struct FitOptions {
  int64_t epochs = 1;
  int64_t batch = 64;  // examples a batch
  uint64_t seed = 0;   // of their order
  bool shuffle = true;
  bool drop_last = false;            // as in BatchOptions
  std::vector<double> weights = {};  // as in BatchOptions
  Transform transform = nullptr;     // of the training batches, in a thread of its own

  Loss loss = {};
  std::vector<Metric> metrics = {};  // {"accuracy"} where nothing is said and y is i64
  /// What loss and metrics look at, where it is not the one tensor that the model gives.
  Loss::OfBatch outputs = {};
  Dataset valid = {};  // is evaluated after each epoch
  /// What is best: a column of History; the validation loss, or without one the loss.
  std::string monitor = {};
  bool keep_best = false;  // at the end the model has the weights of the best epoch
  int64_t patience = 0;    // ends after so many epochs without a better one; 0: never
  std::optional<PlateauOptions> reduce_on_plateau = {};  // cuts lr by the monitored measure

  int64_t accumulate = 1;  // batches a step; their loss is the mean over all examples
  double clip_norm = 0;    // clip_grad_norm() / clip_grad_value() before each step; 0: not
  double clip_value = 0;
  std::optional<EmaOptions> ema = {};  // is evaluated, and is what the model has at the end

  std::string checkpoint = {};     // a file: written as training goes, and continued from
  double checkpoint_seconds = 60;  // between two of them
  int64_t checkpoint_steps = 0;    // after so many steps, too; 0: by time alone

  std::string record = {};  // a file "run.glass": see Recorder, which makes it every 100 steps
  std::FILE* out = stdout;  // progress; null: quiet
  std::vector<Callback> callbacks = {};
};

namespace detail {
/// What `record` asks for: what is done after steps and epochs, and at the end. (Made in
/// glass/recorder.cc: glass sees fit, not the other way round.)
struct FitRecord {
  Callback callback;
  std::function<void(const std::string& reason)> finish;
};
FitRecord record_fit(ModuleBase& net, const FitOptions& options, const Loss& loss);
}  // namespace detail

/// Trains for `epochs` epochs, each by the batches of (seed, epoch number); returns what happened.
/// The model must be in training mode, and is so afterwards.
///
/// With a checkpoint, training continues where the file ends, to the same bits as if it had never
/// stopped, with any number of threads: the file holds model, optimizer, schedule, averages, every
/// generator in the model's fields(), best weights, plateau, History and the place in the epoch.
/// (A Transform is called with epoch and place, which must be all it goes by.) It is written under
/// another name and renamed: after a crash, the old one or the new one is there, whole. Ctrl-C (or
/// SIGTERM) finishes the step, writes it, and is an Error that says how to go on; the second one
/// ends the program. More epochs than before continue a finished run.
///
/// Errors: no examples; valid of other shapes; a loss that is not finite (with what is known of the
/// cause; the checkpoint on disk is older); options out of range; a checkpoint that cannot be
/// written (at once, not after a minute), of another model, or of other data or options.
History fit(ModuleBase& net, Optimizer& optimizer, const Dataset& train,
            const FitOptions& options = {});
History fit(ModuleBase& net, Optimizer& optimizer, const LazyDataset& train,
            const FitOptions& options = {});

/// The same with a model of several inputs: its output is net(x, more[0], ..).
template <ModelOfTensors Net>
History fit(Net& net, Optimizer& optimizer, const Dataset& train, FitOptions options = {}) {
  if (!options.outputs) {
    options.outputs = [&](const Dataset& b) { return detail::call_by_dataset("fit", net, b, b.x); };
  }
  return fit(static_cast<ModuleBase&>(net), optimizer, train, options);
}
template <ModelOfTensors Net>
History fit(Net& net, Optimizer& optimizer, const LazyDataset& train, FitOptions options = {}) {
  if (!options.outputs) {
    options.outputs = [&](const Dataset& b) { return detail::call_by_dataset("fit", net, b, b.x); };
  }
  return fit(static_cast<ModuleBase&>(net), optimizer, train, options);
}

}  // namespace ramp
