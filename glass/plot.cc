#include "ramp/glass/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "ramp/core/error.h"

namespace ramp {
namespace {

constexpr double kFont = 13;
constexpr const char *kText = "#24292f", *kGrid = "#e3e6ea", *kAxis = "#6e7781";
// Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
constexpr std::array<const char*, 7> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#e69f00", "#56b4e9", "#000000"};

// The length of the UTF-8 character at the start of s that XML allows; 0: it is none.
size_t character(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(i < s.size() ? s[i] : 0); };
  const size_t n = byte(0) < 0x80 ? 1 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  uint32_t code = n == 1 ? byte(0) : byte(0) & (0x7F >> n);
  for (size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool control = code < 0x20 && code != '\t' && code != '\n' && code != '\r';
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  if (byte(0) >= 0xF8 || (byte(0) & 0xC0) == 0x80 || code < kLeast[n] || code > 0x10FFFF) return 0;
  return control || surrogate || code == 0xFFFE || code == 0xFFFF ? 0 : n;
}

// For XML; each byte that is no text becomes U+FFFD, the replacement character.
std::string escaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const size_t n = character(std::string_view(text).substr(i));
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += n == 0 ? "\uFFFD" : text.substr(i, n);
    i += std::max<size_t>(n, 1);
  }
  return out;
}

// About the width in pixels; UTF-8's continuing bytes take none.
double width_of(const std::string& text) {
  return 0.58 * kFont * static_cast<double>(std::count_if(text.begin(), text.end(), [](char c) {
           return (c & 0xC0) != 0x80;
         }));
}

struct Tick {
  double at;
  std::string label;
};

// Below this, powers of ten and their parts lose digits.
constexpr double kTiny = 1e-290;
constexpr double kMost = std::numeric_limits<double>::max();
constexpr double kLeast = std::numeric_limits<double>::denorm_min();

// lo and hi are one number but for the last digits, so that no ticks fit between them.
bool same(double lo, double hi) {
  const double size = std::max(std::abs(lo), std::abs(hi));
  return hi - lo <= std::max(1e-12 * size, kTiny);
}

// From data to pixels: lo at pixel `from`, hi at pixel `to`.
struct Axis {
  double lo, hi;
  bool log;
  double from = 0, to = 1;

  bool shows(double v) const { return std::isfinite(v) && (!log || v > 0); }
  // (Halves, because a difference can be larger than any double.)
  double half(double v) const { return log ? std::log10(v) : v / 2; }
  // Far outside, one place is as good as another.
  double pixel(double v) const {
    const double t = (half(v) - half(lo)) / (half(hi) - half(lo));
    return from + (to - from) * std::clamp(t, -1e3, 1e3);
  }

  // Wider by `room` of its length, or where it has none so that it gets some.
  void widen(double room, bool from_zero) {
    if (log) {
      const double a = std::log10(lo), b = std::log10(hi);
      const double decades = !same(lo, hi) ? room * (b - a) : hi < 1e3 * kTiny ? 2 : std::log10(3);
      const double low = from_zero ? std::floor(a - decades) : a - decades;
      lo = std::max(std::pow(10, low), kLeast), hi = std::min(std::pow(10, b + decades), kMost);
      return;
    }
    if (same(lo, hi)) {
      room = std::max(1e-3, 0.1 * std::max(std::abs(lo), std::abs(hi)));
    } else {
      room = 2 * room * (hi / 2 - lo / 2);
    }
    if (!from_zero || lo != 0) lo = std::max(lo - room, -kMost);
    hi = std::min(hi + room, kMost);
  }

  // Round values, 1, 2 or 5 times a power of ten apart and no more than `most`. Over many decades
  // that goes for the exponents.
  std::vector<Tick> ticks(int most) const {
    const bool exponents = log && (hi / lo > 30 || lo < kTiny);
    const double a = exponents ? std::log10(lo) : lo, b = exponents ? std::log10(hi) : hi;
    const double power = std::pow(10, std::floor(std::log10(b / most - a / most)));
    const auto first = [&](double step) { return std::ceil(a / step - 1e-9); };
    const auto last = [&](double step) { return std::floor(b / step + 1e-9); };
    double step = 10 * power;
    for (const double m : {5.0, 2.0, 1.0})
      if (last(m * power) - first(m * power) < most) step = m * power;
    if (exponents) step = std::max(1.0, step);
    const double decade = std::floor(std::log10(step) + 1e-9);  // of the last digit that differs
    const int decimals = static_cast<int>(std::max(0.0, -decade));
    const double size = std::max(std::abs(a), std::abs(b));
    const int digits = std::max(4, static_cast<int>(std::floor(std::log10(size)) - decade) + 1);
    std::vector<Tick> result;
    for (int i = 0; i <= last(step) - first(step); ++i) {
      const double n = first(step) + i, v = n == 0 ? 0 : n * step;
      if (exponents) {
        result.push_back({std::pow(10, v), std::abs(v) < 4 ? fmt::format("{:g}", std::pow(10, v))
                                                           : fmt::format("1e{:.0f}", v)});
      } else {
        result.push_back({v, decimals <= 4 && std::abs(v) < 1e6
                                 ? fmt::format("{:.{}f}", v, decimals)
                                 : fmt::format("{:.{}g}", v, digits)});
      }
    }
    return result;
  }
};

// The range asked for; where nothing was, that of the values with a little room.
Axis axis_of(const char* name, PlotRange range, const std::vector<double>& values, bool log,
             bool from_zero) {
  Axis axis{INFINITY, -INFINITY, log};
  for (const double v : values) {
    if (!axis.shows(v)) continue;
    axis.lo = std::min(axis.lo, v);
    axis.hi = std::max(axis.hi, v);
  }
  if (axis.lo > axis.hi) axis = {log ? 1.0 : 0.0, log ? 10.0 : 1.0, log};
  if (from_zero && !log) axis.lo = std::min(axis.lo, 0.0), axis.hi = std::max(axis.hi, 0.0);
  axis.widen(0.03, from_zero);
  if (!std::isnan(range.lo)) axis.lo = range.lo;
  if (!std::isnan(range.hi)) axis.hi = range.hi;
  if (!axis.shows(axis.lo) || !axis.shows(axis.hi) || !(axis.lo < axis.hi)) {
    fail("svg: expected {} with lo < hi{}; got {} to {}.", name, log ? ", both above 0" : "",
         axis.lo, axis.hi);
  }
  if (same(axis.lo, axis.hi)) axis.widen(0, false);
  return axis;
}

std::string text(double x, double y, const char* anchor, const std::string& s,
                 const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                     anchor, more, escaped(s));
}

std::string line(double x0, double y0, double x1, double y1, const char* colour,
                 const char* more = "") {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"{}/>\n", x0, y0,
      x1, y1, colour, more);
}

std::string dot(double x, double y, const char* colour) {
  return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x, y, colour);
}

const char* stroke_of(const PlotSeries& series) {
  return series.dashed ? " stroke-width=\"2\" stroke-dasharray=\"6 4\"" : " stroke-width=\"2\"";
}

// The line, in pieces where points are missing, and its dots.
std::string curve(const PlotSeries& series, const Axis& x_axis, const Axis& y_axis,
                  const char* colour) {
  std::string path, dots;
  int joined = 0;  // points of the piece so far
  for (size_t i = 0; i <= series.y.size(); ++i) {
    const bool shown =
        i < series.y.size() && x_axis.shows(series.x[i]) && y_axis.shows(series.y[i]);
    if (!shown) {
      // A piece of one point has no length: a dot stands for it.
      if (joined == 1 && !series.dots) {
        dots += dot(x_axis.pixel(series.x[i - 1]), y_axis.pixel(series.y[i - 1]), colour);
      }
      joined = 0;
      continue;
    }
    const double x = x_axis.pixel(series.x[i]), y = y_axis.pixel(series.y[i]);
    if (series.line) path += fmt::format("{}{:.1f} {:.1f}", joined == 0 ? 'M' : 'L', x, y);
    if (series.dots) dots += dot(x, y, colour);
    ++joined;
  }
  if (!path.empty()) {
    path = fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-linejoin=\"round\"{}/>\n",
                       path, colour, stroke_of(series));
  }
  return path + dots;
}

}  // namespace

std::string svg(const Plot& plot) {
  if (plot.width < 160 || plot.height < 120) {
    fail("svg: expected at least 160 x 120 pixels; got {} x {}.", plot.width, plot.height);
  }
  const bool bars = !plot.bars.empty();
  std::vector<PlotSeries> all = plot.series;
  std::vector<double> xs, ys;
  for (PlotSeries& s : all) {
    if (s.x.empty() || bars) {
      s.x.resize(s.y.size());
      for (size_t i = 0; i < s.x.size(); ++i) s.x[i] = static_cast<double>(i);
    }
    if (s.x.size() != s.y.size() || (bars && s.y.size() != plot.bars.size())) {
      fail("svg: expected as many y as {} in series \"{}\"; got {} and {}.", bars ? "bars" : "x",
           s.name, s.y.size(), bars ? plot.bars.size() : s.x.size());
    }
    for (size_t i = 0; i < s.y.size(); ++i) {
      if (!std::isfinite(s.x[i]) || !std::isfinite(s.y[i])) continue;
      xs.push_back(s.x[i]);
      ys.push_back(s.y[i]);
    }
  }
  Axis x_axis = axis_of("x_range", plot.x_range, xs, false, false);
  Axis y_axis = axis_of("y_range", plot.y_range, ys, plot.log_y, bars);
  if (bars) x_axis = {-0.5, static_cast<double>(plot.bars.size()) - 0.5, false};

  // The legend's places, in rows under the title.
  constexpr double kRow = 1.5 * kFont, kKey = 24, kGap = 16;
  const double w = plot.width, h = plot.height, right = w - 16;
  std::vector<std::array<double, 2>> places;
  double legend_x = 16, top = 12 + (plot.title.empty() ? 0 : kRow);
  bool any_name = false;
  for (const PlotSeries& s : all) {
    const double needed = kKey + 6 + width_of(s.name);
    if (!s.name.empty() && any_name && legend_x + needed > right) legend_x = 16, top += kRow;
    places.push_back({legend_x, top + kFont});
    if (s.name.empty()) continue;
    any_name = true;
    legend_x += needed + kGap;
  }
  if (any_name) top += kRow;
  top += 8;

  const double bottom = h - 10 - kRow - (plot.x_label.empty() ? 0 : kRow);
  y_axis.from = bottom, y_axis.to = top;
  const std::vector<Tick> y_ticks =
      y_axis.ticks(std::clamp(static_cast<int>((bottom - top) / 26), 2, 9));
  double label_width = 0;
  for (const Tick& t : y_ticks) label_width = std::max(label_width, width_of(t.label));
  const double left = 14 + label_width + 8 + (plot.y_label.empty() ? 0 : kRow);
  x_axis.from = left, x_axis.to = right;

  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"system-ui, sans-serif\" font-size=\"{2}\" fill=\"{3}\">\n"
      "<rect x=\"0.5\" y=\"0.5\" width=\"{4}\" height=\"{5}\" rx=\"6\" fill=\"#ffffff\" "
      "stroke=\"{6}\"/>\n",
      plot.width, plot.height, kFont, kText, plot.width - 1, plot.height - 1, kGrid);
  if (!plot.title.empty()) {
    out += text(w / 2, 8 + kFont, "middle", plot.title, " font-weight=\"bold\"");
  }
  for (const Tick& t : y_ticks) {
    const double y = y_axis.pixel(t.at);
    out += line(left, y, right, y, kGrid) + text(left - 8, y + 0.35 * kFont, "end", t.label);
  }
  const double x_label_y = bottom + 6 + kFont;
  if (bars) {
    for (size_t i = 0; i < plot.bars.size(); ++i) {
      out += text(x_axis.pixel(static_cast<double>(i)), x_label_y, "middle", plot.bars[i]);
    }
  } else {
    // As many as have room for their labels.
    const auto crowded = [&](const std::vector<Tick>& ticks) {
      double width = 0;
      for (const Tick& t : ticks) width = std::max(width, width_of(t.label) + 6);
      return width * static_cast<double>(ticks.size()) > right - left;
    };
    int most = std::clamp(static_cast<int>((right - left) / 50), 2, 10);
    while (most > 2 && crowded(x_axis.ticks(most))) --most;
    for (const Tick& t : x_axis.ticks(most)) {
      const double x = x_axis.pixel(t.at);
      out += line(x, top, x, bottom, kGrid) + text(x, x_label_y, "middle", t.label);
    }
  }
  if (!plot.x_label.empty()) {
    out += text((left + right) / 2, x_label_y + kRow, "middle", plot.x_label);
  }
  if (!plot.y_label.empty()) {
    const double y = (top + bottom) / 2, x = 8 + kFont;
    out += text(x, y, "middle", plot.y_label,
                fmt::format(" transform=\"rotate(-90 {:.1f} {:.1f})\"", x, y).c_str());
  }

  // An <svg> within cuts off what leaves the area.
  out += fmt::format(
      "<svg x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
      "viewBox=\"{:.1f} {:.1f} {:.1f} {:.1f}\">\n",
      left, top, right - left, bottom - top, left, top, right - left, bottom - top);
  std::string legend;
  for (size_t k = 0; k < all.size(); ++k) {
    const char* colour = kColours[k % kColours.size()];
    const auto [kx, ky] = places[k];
    const double middle = ky - 0.35 * kFont;
    if (bars) {
      const double each = 0.8 / static_cast<double>(all.size());
      const double base = y_axis.log ? bottom : std::clamp(y_axis.pixel(0), top, bottom);
      for (size_t i = 0; i < plot.bars.size(); ++i) {
        if (!y_axis.shows(all[k].y[i])) continue;
        const double x0 = x_axis.pixel(all[k].x[i] - 0.4 + each * static_cast<double>(k));
        const double x1 = x_axis.pixel(all[k].x[i] - 0.4 + each * static_cast<double>(k + 1));
        const double y = y_axis.pixel(all[k].y[i]);
        out += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
            x0, std::min(y, base), x1 - x0, std::abs(y - base), colour);
      }
      legend += all[k].name.empty()
                    ? ""
                    : fmt::format(
                          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" "
                          "fill=\"{}\"/>\n",
                          kx, middle - 5, kKey, 10, colour);
    } else {
      out += curve(all[k], x_axis, y_axis, colour);
      if (!all[k].name.empty()) {
        if (all[k].line) legend += line(kx, middle, kx + kKey, middle, colour, stroke_of(all[k]));
        if (all[k].dots) legend += dot(kx + kKey / 2, middle, colour);
      }
    }
    if (!all[k].name.empty()) legend += text(kx + kKey + 6, ky, "start", all[k].name);
  }
  out += "</svg>\n" + legend;
  out += line(left, top, left, bottom, kAxis) + line(left, bottom, right, bottom, kAxis);
  return out + "</svg>\n";
}

}  // namespace ramp
