// A line or bar chart as SVG.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace ramp {

/// NaN: as the data says.
struct PlotRange {
  double lo = std::numeric_limits<double>::quiet_NaN();
  double hi = std::numeric_limits<double>::quiet_NaN();
};

struct PlotSeries {
  std::string name = {};               // in the legend; "" for none
  std::vector<double> x = {}, y = {};  // point i; x may stay empty: 0, 1, 2, ...
  bool dashed = false;
  bool dots = false;  // marks each point
  bool line = true;   // joins them
};

struct Plot {
  std::string title = {}, x_label = {}, y_label = {};
  std::vector<PlotSeries> series = {};
  bool log_y = false;
  PlotRange x_range = {}, y_range = {};
  /// Bars in place of lines: group i has this name, and in it stands y[i] of each series.
  std::vector<std::string> bars = {};
  int width = 640, height = 360;  // pixels, all included
};

/// The chart, on a light ground of its own. Points that are not finite (and with log_y those not
/// above 0) leave a gap. The text depends on the plot alone, and names no element by id, so pages
/// can hold many.
/// Errors: series whose x and y differ in length, or y and bars; a range that is empty, or not
/// above 0 with log_y; fewer than 160 x 120 pixels.
std::string svg(const Plot& plot);

}  // namespace ramp
