// Averages of a model's weights along its training: often better than the last weights.
#pragma once

#include "ramp/optim/parameters.h"

namespace ramp {

/// Keeps a second set of weights, a <- a + f (w - a) at each update(), the first of which copies.
/// Buffers (running statistics) are copied each time. swap() puts it in the model's place. Frozen
/// weights are averaged too; they only do not change. Errors: Parameters::check_current().
class WeightAverage {
 public:
  virtual ~WeightAverage() = default;

  void update();
  /// Exchanges the model's weights and buffers with these; again, and all is as before.
  void swap();
  /// The averages by the model's names, and "updates".
  std::vector<NamedTensor> state();
  void load_state(const std::vector<NamedTensor>& state);

 protected:
  explicit WeightAverage(ModuleBase& module);
  /// f for the n-th update after the first, from 1.
  virtual double weight(double n) const = 0;

 private:
  Parameters own_;  // and after them the buffers
  size_t parameters_;
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

 protected:
  double weight(double n) const override;

 private:
  EmaOptions options_;
};

/// The mean of all weights that update() saw: f = 1 / (n + 1). Call it once an epoch, late, at a
/// rate that stays high. Batch norm's statistics are those of the last weights: after swap(), run
/// the training data through the model in training mode once.
/// Source: Izmailov et al. (2018), algorithm 1.
class SWA final : public WeightAverage {
 public:
  explicit SWA(ModuleBase& module) : WeightAverage(module) {}

 protected:
  double weight(double n) const override { return 1 / (n + 1); }
};

}  // namespace ramp
