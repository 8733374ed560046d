// How training goes, in a terminal: the loss, how much gradient each layer gets, dead units.
#pragma once

#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "ramp/glass/sketch.h"
#include "ramp/train/fit.h"
#include "ramp/train/watch.h"

namespace ramp::glass {

struct DashboardOptions {
  int64_t every = 100;  // steps
  int64_t width = 60;   // characters
  bool ascii = false;   // else Braille and blocks
  std::FILE* out = stdout;
};

/// On a terminal it is drawn over itself at each hundredth step, elsewhere once an epoch:
///
///     glass::Dashboard dashboard(net);
///     fit(net, adam, train, {.out = nullptr, .callbacks = {dashboard}});
///
/// In a loop of one's own: `dashboard.after_step(loss.item())` behind each step, while the
/// gradients are there, and `dashboard.draw()` where it is wanted. It only looks: no bit changes;
/// the steps that it does not draw cost nothing. No colours.
///
///     step 1200   loss 0.0512
///          2.31 |*
///               | **
///         0.051 |   *********
///     gradient norms, 1e-8 to 100
///     0.weight                    0.0123 ############
///     units that never fire, in the last 10 looks
///     1 Activate(relu)            3 of 32
class Dashboard : private NoCopy {
 public:
  /// `net` outlives it. Errors: every or width below 1.
  explicit Dashboard(ModuleBase& net, DashboardOptions options = {});

  void after_step(double loss);
  void draw();
  std::string text() const;
  /// For fit(). It outlives the training.
  operator Callback();  // NOLINT: implicit

 private:
  struct Layer {
    const ModuleBase* module;
    std::string path, name;
    bool rectified = false;  // no value below 0, at the last look
    std::deque<Firing> looks = {};
  };
  void arm();

  ModuleBase& net_;
  DashboardOptions options_;
  bool terminal_;
  int64_t steps_ = 0, drawn_ = 0;  // lines on the terminal
  std::vector<double> losses_;     // of `bucket_` steps each, their mean
  int64_t bucket_ = 1, in_bucket_ = 0;
  double last_loss_ = 0;
  std::vector<std::pair<std::string, double>> norms_;
  std::vector<Layer> layers_;
  ModuleWatch watch_;
};

}  // namespace ramp::glass
