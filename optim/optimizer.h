// What all optimizers share: the parameters and their groups, the state, and one pass over all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ramp/core/parallel.h"
#include "ramp/layers/module.h"

namespace ramp {

struct Update;

/// Options of the parameters whose names match: "*.bias", "0.*"; * stands for any text, ? for one
/// character. Where groups overlap, the last one wins.
struct ParameterGroup {
  std::string pattern;
  std::optional<double> lr = {};            // set_rate() scales it as the others
  std::optional<double> weight_decay = {};  // also of parameters that do not decay by themselves
};

/// Updates parameters in place from their gradients. Those without a gradient are left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One update. Errors: no parameter has a gradient.
  void step();
  void zero_grad();

  double rate() const { return rate_; }
  /// Errors: negative or not finite.
  void set_rate(double rate);
  int64_t steps() const { return steps_; }

  /// All that the next steps depend on besides parameters and options: "0.weight.m" and so on,
  /// "steps" (all steps, then those of each parameter) and "rate". The tensors share memory.
  std::vector<NamedTensor> state();
  /// load_tensors() into those of state(): training goes on with the same bits.
  void load_state(const std::vector<NamedTensor>& state);

 protected:
  /// One that requires no gradient is left out, and one with two names is updated once.
  /// Errors: none is left; a rate or decay that is negative or not finite; a group that matches no
  /// parameter.
  Optimizer(const char* name, Parameters parameters, double rate, double weight_decay,
            const std::vector<ParameterGroup>& groups);

  /// The rule and its constants for a parameter's step t, from 1.
  virtual Update update(size_t parameter, double t) = 0;
  /// One more state tensor for each parameter, in the order of the kernel.
  void add_state(const char* name, double start = 0);
  double rate(size_t parameter) const { return rate_ * settings_[parameter].rate_factor; }
  double decay(size_t parameter) const { return settings_[parameter].decay; }
  void check_at_least(const char* what, double value, double least) const;
  void check_below(const char* what, double value, double least, double limit) const;

 private:
  struct Setting {
    double rate_factor, decay;
  };
  struct State {
    const char* name;
    std::vector<Tensor> tensors;  // one for each parameter
  };
  void apply(const ParameterGroup& group);

  const char* name_;
  std::vector<NamedTensor> parameters_;
  std::vector<Setting> settings_;
  std::vector<int64_t> updates_;  // how often each parameter was updated
  std::vector<State> states_;
  double rate_;
  int64_t steps_ = 0;
};

}  // namespace ramp
