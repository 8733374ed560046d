#include "ramp/glass/plot_history.h"

#include <fmt/format.h>

#include <cmath>

#include "ramp/data/new_file.h"

namespace ramp {

Plot plot(const History& history, std::vector<std::string> columns) {
  history.last();  // there must be an epoch
  if (columns.empty()) {
    for (const std::string& name : history.columns()) {
      if (name == "loss" || name == "valid_loss") columns.push_back(name);
    }
  }
  Plot plot{.title = fmt::format("{} epochs", history.last().epoch), .x_label = "epoch"};
  if (history.best_epoch > 0) plot.title += fmt::format(", best {}", history.best_epoch);
  if (columns.size() == 1) plot.y_label = columns[0];
  for (const std::string& name : columns) {
    PlotSeries series{.name = columns.size() == 1 ? "" : name, .y = history[name]};
    for (const History::Row& row : history.rows) series.x.push_back(static_cast<double>(row.epoch));
    series.dashed = name.starts_with("valid_");
    series.dots = history.rows.size() == 1;
    plot.series.push_back(std::move(series));
  }
  return plot;
}

Plot plot(const LrCurve& curve) {
  if (curve.lr.empty()) fail("plot: the curve has no steps.");
  PlotSeries loss{.y = curve.loss}, dot{.dots = true, .line = false};
  for (size_t i = 0; i < curve.lr.size(); ++i) {
    loss.x.push_back(std::log10(curve.lr[i]));
    if (dot.x.empty() && curve.lr[i] >= curve.suggestion) {
      dot.x.push_back(loss.x[i]);
      dot.y.push_back(curve.loss[i]);
    }
  }
  return {.title = curve.str(), .x_label = "log10(lr)", .y_label = "loss", .series = {loss, dot}};
}

void save_svg(const std::string& path, const Plot& plot) {
  const std::string text = svg(plot);
  NewFile file("save_svg", path);
  file.write(text.data(), text.size());
  file.finish();
}

}  // namespace ramp
