// Averages of a model's weights along its training: often better than the last weights.
#pragma once

#include <functional>

#include "ramp/optim/parameters.h"

namespace ramp {

/// Keeps a second set of weights, a <- a + f (w - a) at each update(), the first of which copies.
/// Buffers (running statistics) are copied each time. swap() puts it in the model's place. Frozen
/// weights are averaged too; they only do not change. Errors: Parameters::check_current().
class WeightAverage {
 public:
  void update();
  /// Exchanges the model's weights and buffers with these; again, and all is as before.
  void swap();
  /// The averages by the model's names, and "updates".
  std::vector<NamedTensor> state();
  void load_state(const std::vector<NamedTensor>& state);

 protected:
  /// weight(n) is f for the n-th update after the first, from 1.
  WeightAverage(ModuleBase& module, std::function<double(double n)> weight);

 private:
  Parameters own_;  // and after them the buffers
  size_t parameters_;
  std::function<double(double n)> weight_;
  std::vector<NamedTensor> average_;
  Tensor updates_ = Tensor::zeros({1}, i64);
};

struct EmaOptions {
  double decay = 0.999;
  bool warmup = false;  // decay is at most (1 + n) / (10 + n): early weights are forgotten sooner
};

/// The exponential moving average: f = 1 - decay. Errors: a decay outside [0, 1).
/// Source: Polyak and Juditsky (1992) in the form of Tarvainen and Valpola (2017), eq. 3.
class EMA final : public WeightAverage {
 public:
  explicit EMA(ModuleBase& module, EmaOptions options = {});
};

/// The mean of all weights that update() saw: f = 1 / (n + 1). Call it once an epoch, late, at a
/// rate that stays high. Batch norm's statistics are those of the last weights: after swap(), run
/// the training data through the model in training mode once.
/// Source: Izmailov et al. (2018), algorithm 1.
class SWA final : public WeightAverage {
 public:
  explicit SWA(ModuleBase& module) : WeightAverage(module, [](double n) { return 1 / (n + 1); }) {}
};

}  // namespace ramp
