// Trial runs: they train for some steps, look at the loss, and put everything back.
#pragma once

#include <string>
#include <vector>

#include "ramp/data/dataset.h"
#include "ramp/layers/module.h"
#include "ramp/optim/optimizer.h"
#include "ramp/train/fit.h"

namespace ramp {

struct FindLrOptions {
  double from = 1e-6, to = 10;
  int64_t steps = 120;  // from one to the other, each by the same factor
  int64_t batch = 64;
  uint64_t seed = 0;           // of the batches
  Loss::OfBatch outputs = {};  // what a model that is no Module gives, for a loss of outputs
};

struct LrCurve {
  std::vector<double> lr, loss;  // of each step; the loss is smoothed
  double suggestion = 0;         // where the loss falls fastest
  double least = 0;              // where it is least: more is too much
  /// "lr 0.0021: the loss falls fastest there; it is least at 0.03".
  std::string str() const;
};

/// The lr range test: trains with an lr that grows from step to step, until the loss is four times
/// the least one, or not finite. Weights, buffers, generators and the optimizer are as before
/// afterwards. Take an optimizer without a schedule, and fit with `suggestion` as its lr, or as the
/// top of a one_cycle().
///
///     Adam adam(net);
///     adam.set_lr(find_lr(net, adam, train).suggestion);
///
/// Errors: no examples; 0 < from < to, steps >= 10 or batch >= 1 do not hold; those of the loss; a
/// loss that is not finite in the first step.
/// Source: Smith (2017), "Cyclical learning rates for training neural networks", section 3.3.
LrCurve find_lr(ModuleBase& net, Optimizer& optimizer, const Dataset& data, const Loss& loss = {},
                const FindLrOptions& options = {});

struct OverfitOptions {
  int64_t steps = 300;         // at most
  double share = 0.05;         // of the first loss: below it the batch is known by heart
  Loss::OfBatch outputs = {};  // as in FindLrOptions
};

struct Overfit {
  bool fits = false;
  double first = 0, least = 0;  // loss
  int64_t steps = 0;
  /// "fits: the loss fell from 2.31 to 0.113 in 34 steps".
  std::string str() const;
};

/// Whether the model learns one batch by heart, as any model that is put together well does, be its
/// labels right or wrong: the first thing to try where nothing is learned. The loss must be one
/// that can be 0. All is put back as by find_lr(). Errors: steps < 1; a share outside (0, 1); those
/// of the loss.
Overfit overfit_one_batch(ModuleBase& net, Optimizer& optimizer, const Dataset& batch,
                          const Loss& loss = {}, const OverfitOptions& options = {});

/// The same with a model of several inputs: its output is net(x, more[0], ..).
template <ModelOfTensors Net>
LrCurve find_lr(Net& net, Optimizer& optimizer, const Dataset& data, const Loss& loss = {},
                FindLrOptions options = {}) {
  options.outputs = [&](const Dataset& b) {
    return detail::call_by_dataset("find_lr", net, b, b.x);
  };
  return find_lr(static_cast<ModuleBase&>(net), optimizer, data, loss, options);
}
template <ModelOfTensors Net>
Overfit overfit_one_batch(Net& net, Optimizer& optimizer, const Dataset& batch,
                          const Loss& loss = {}, OverfitOptions options = {}) {
  options.outputs = [&](const Dataset& b) {
    return detail::call_by_dataset("overfit_one_batch", net, b, b.x);
  };
  return overfit_one_batch(static_cast<ModuleBase&>(net), optimizer, batch, loss, options);
}

}  // namespace ramp
