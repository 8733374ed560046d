// Where the first NaN comes from.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ramp/data/dataset.h"
#include "ramp/layers/module.h"

namespace ramp {

struct AnomalyOptions {
  bool allow_inf = false;  // only NaN counts: where masks are -inf, say
};

/// While it lives, the first op on this thread's tape that makes a NaN or an infinity, forward or
/// backward, is an Error, thrown from where it happens. It names the layer, the op and the step,
/// has the ranges of what the op was given and the last gradients' norms, and says what the cause
/// is likely to be:
///
///     Anomaly anomaly(net);
///     train(net);  // Error: "2 Dense(64, 10): anomaly: in step 31 log made -inf of ..."
///
/// Each number is looked at, so steps take about twice as long. Without recording (NoGrad) it sees
/// nothing.
class Anomaly : private NoCopy {
 public:
  /// `net` outlives it.
  explicit Anomaly(ModuleBase& net, const AnomalyOptions& options = {});
  ~Anomaly();

  /// The passes through the tape (backward()) that it saw.
  int64_t steps() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// The same at the end of a run that diverged without it: looks at the weights and at the batch,
/// and repeats the step on it, forward and backward. Weights, buffers, generators and gradients are
/// as before afterwards. Returns what it found, some sentences.
std::string autopsy(ModuleBase& net, const Dataset& batch,
                    const std::function<Tensor(const Dataset& batch)>& loss);

}  // namespace ramp
