// The curves of a training run.
#pragma once

#include <string>
#include <vector>

#include "ramp/glass/plot.h"
#include "ramp/train/find_lr.h"
#include "ramp/train/history.h"

namespace ramp {

/// Columns of the history over the epochs; nothing said: those of the loss. The best epoch is in
/// the title. `save_svg("loss.svg", plot(h))`.
/// Errors: no epoch; no such column.
Plot plot(const History& history, std::vector<std::string> columns = {});

/// The loss over the decimal logarithm of lr; a dot marks the suggestion. Errors: no step.
Plot plot(const LrCurve& curve);

/// Writes svg(plot), whole or not at all. Errors: those of svg(); a file that cannot be written.
void save_svg(const std::string& path, const Plot& plot);

}  // namespace ramp
