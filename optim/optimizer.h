// What all optimizers share: the parameters and their groups, the schedule, the state, and one pass
// over all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ramp/core/rules_update.h"
#include "ramp/optim/parameters.h"
#include "ramp/optim/schedule.h"

namespace ramp {

/// Options of the parameters whose names match, as fnmatch() of POSIX has it: "*.bias", "[01].*"; *
/// stands for any text, ? for one character. Where groups overlap, the last one wins.
struct ParameterGroup {
  std::string pattern;
  std::optional<double> lr = {};            // set_lr() and the schedule scale it as the others
  std::optional<double> weight_decay = {};  // also of parameters that do not decay by themselves
};

/// Updates parameters in place from their gradients; those that are frozen stay.
///
/// By a gradient of rows (an embedding's, row_gradient()) it updates these rows alone, of the
/// parameter and of its states: all others rest with their momentum, means and decay as they are
/// until they are in use again. The step t, as in Adam's 1 - b1^t, is that of the parameter. So a
/// step costs what the rows cost.
///
/// The options of all optimizers end with
///     schedule      a factor on lr, a function of steps(): 0 at the first step
///     groups        other options for some parameters
///     allow_unused  parameters without a gradient stay; else they are an error
class Optimizer : private NoCopy {
 public:
  virtual ~Optimizer() = default;

  /// One update. Errors: Parameters::check_gradients(); a schedule that gives no finite number of
  /// at least 0.
  void step();
  void zero_grad() { parameters_.zero_grad(); }

  /// The learning rate before the schedule: step() goes by lr() schedule(steps()).
  double lr() const { return lr_; }
  /// The one that the next step goes by: lr() schedule(steps()).
  double next_lr() const { return lr_ * schedule_(static_cast<double>(steps())); }
  /// Errors: negative or not finite.
  void set_lr(double lr);
  int64_t steps() const { return steps_.data<int64_t>()[0]; }

  /// All that the next steps depend on besides parameters and options: "0.weight.m" and so on,
  /// "steps" (all steps, then those of each parameter) and "lr". The tensors share memory.
  std::vector<NamedTensor> state();
  /// load_tensors() into those of state(): training goes on with the same bits. Errors: steps or an
  /// lr that are negative or not finite.
  void load_state(const std::vector<NamedTensor>& state);

 protected:
  /// Errors: Parameters::check_leaves(); an lr or decay that is negative or not finite; a group
  /// that matches no parameter.
  template <typename Options>
  Optimizer(const char* name, Parameters parameters, double lr, double weight_decay,
            const Options& o)
      : name_(name),
        parameters_(std::move(parameters)),
        schedule_(o.schedule),
        allow_unused_(o.allow_unused) {
    start(lr, weight_decay, o.groups);
  }

  /// One more state tensor for each parameter, in the order of the kernel.
  void add_state(const char* name, double start = 0);

  /// One parameter's step t, from 1; the schedule and the group are in lr and decay.
  struct Step {
    double t, lr, decay;
  };
  /// What makes it an optimizer: the rule of a step, with its constants.
  std::function<Update(const Step& s)> rule_;

 private:
  struct OfParameter {
    double lr_factor, decay;
    std::vector<NamedTensor> states = {};
  };
  void start(double lr, double weight_decay, const std::vector<ParameterGroup>& groups);

  const char* name_;
  Parameters parameters_;
  Schedule schedule_;
  bool allow_unused_;
  std::vector<OfParameter> own_;  // what each parameter has
  double lr_;
  Tensor steps_;  // how many there were, and then how often each parameter was updated
};

}  // namespace ramp
