#include "ramp/glass/dashboard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "ramp/autograd/node.h"
#include "ramp/train/watch.h"

namespace ramp::glass {
namespace {

constexpr size_t kPoints = 1000, kLooks = 10, kNorms = 12;
constexpr int64_t kRows = 5;
constexpr double kLow = -8, kHigh = 2;  // powers of ten of a norm

bool is_terminal(std::FILE* out) {
  const char* name = std::getenv("TERM");
  return out && isatty(fileno(out)) && name && std::string_view(name) != "dumb";
}

// As wide as the column: cut, or filled with spaces.
std::string column(std::string name, size_t width) {
  if (name.size() > width) name = name.substr(0, width - 2) + "..";
  return name + std::string(width - name.size(), ' ');
}

std::string braille(unsigned dots) {
  const unsigned code = 0x2800 + dots;
  return {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
          static_cast<char>(0x80 | (code & 0x3F))};
}

// The curve in `columns` x kRows characters; what is not finite leaves a gap.
std::vector<std::string> curve(const std::vector<double>& y, int64_t columns, bool ascii, double lo,
                               double hi) {
  const int64_t across = ascii ? 1 : 2, up = ascii ? 1 : 4;  // dots of a character
  const int64_t w = columns * across, h = kRows * up, n = static_cast<int64_t>(y.size());
  std::vector<unsigned> cells(static_cast<size_t>(columns * kRows), 0);
  constexpr unsigned kDots[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
  const int64_t used = std::min(w, n);
  for (int64_t x = 0; x < used; ++x) {
    double sum = 0;
    const int64_t begin = x * n / used, end = (x + 1) * n / used;
    for (int64_t i = begin; i < end; ++i) sum += y[static_cast<size_t>(i)];
    const double share = (sum / static_cast<double>(end - begin) - lo) / (hi - lo);
    if (!std::isfinite(share)) continue;
    const int64_t row =
        std::clamp<int64_t>(std::lround((1 - share) * static_cast<double>(h - 1)), 0, h - 1);
    cells[static_cast<size_t>(row / up * columns + x / across)] |=
        ascii ? 1 : kDots[row % 4][x % 2];
  }
  std::vector<std::string> lines(kRows);
  for (size_t i = 0; i < cells.size(); ++i)
    lines[i / static_cast<size_t>(columns)] += cells[i] == 0 ? " "
                                               : ascii       ? "*"
                                                             : braille(cells[i]);
  return lines;
}

}  // namespace

Dashboard::Dashboard(ModuleBase& net, DashboardOptions options)
    : net_(net),
      options_(options),
      terminal_(is_terminal(options.out)),
      watch_([this](ModuleBase& module, const std::vector<Tensor>& y) {
        const auto at = std::ranges::find(layers_, &module, &Layer::module);
        if (at == layers_.end() || y.empty() || !y[0].defined() || !is_float(y[0].dtype()) ||
            !grad_enabled())
          return;
        const std::vector<double> values = y[0].values();
        at->rectified = std::ranges::none_of(values, [](double v) { return v < 0; });
        at->looks.emplace_back().add(y[0]);
        if (at->looks.size() > kLooks) at->looks.pop_front();
      }) {
  fail_if(options.every < 1 || options.width < 1,
          "Dashboard: expected every >= 1 and width >= 1; got {} and {}.", options.every,
          options.width);
  for (const Field& f : Fields(net)) {
    if (!f.module) continue;
    // (What is inside another comes after it.)
    if (!layers_.empty() && f.path.starts_with(layers_.back().path + ".")) layers_.pop_back();
    layers_.push_back({f.module, f.path, f.path + " " + f.module->describe()});
  }
  arm();
}

// The next step is looked at, or is not.
void Dashboard::arm() {
  if ((steps_ + 1) % options_.every == 0 || steps_ == 0) {
    watch_.on();
  } else {
    watch_.off();
  }
}

void Dashboard::after_step(double loss) {
  ++steps_;
  last_loss_ = loss;
  if (in_bucket_ == 0) losses_.push_back(0);
  losses_.back() += (loss - losses_.back()) / static_cast<double>(++in_bucket_);
  if (in_bucket_ == bucket_) in_bucket_ = 0;
  if (losses_.size() == kPoints && in_bucket_ == 0) {
    for (size_t i = 0; i < kPoints / 2; ++i) losses_[i] = (losses_[2 * i] + losses_[2 * i + 1]) / 2;
    losses_.resize(kPoints / 2);
    bucket_ *= 2;
  }
  if (steps_ % options_.every == 0 || steps_ == 1) {
    norms_.clear();
    for (const NamedTensor& p : net_.named_parameters()) {
      if (!has_grad(p.tensor)) continue;
      double squares = 0;
      for (const double g : kept_gradient(p.tensor).values()) squares += g * g;
      norms_.emplace_back(p.name, std::sqrt(squares));
    }
    if (terminal_) draw();
  }
  arm();
}

std::string Dashboard::text() const {
  const auto width = static_cast<size_t>(std::max<int64_t>(options_.width, 40));
  std::string all = fmt::format("step {}   loss {:.4g}\n", steps_, last_loss_);
  double lo = INFINITY, hi = -INFINITY;
  for (const double v : losses_)
    if (std::isfinite(v)) lo = std::min(lo, v), hi = std::max(hi, v);
  if (lo <= hi) {
    const auto lines =
        curve(losses_, static_cast<int64_t>(width) - 12, options_.ascii, lo, hi > lo ? hi : lo + 1);
    for (size_t i = 0; i < lines.size(); ++i) {
      std::string label = i == 0                  ? fmt::format("{:.3g}", hi)
                          : i + 1 == lines.size() ? fmt::format("{:.3g}", lo)
                                                  : "";
      std::string line = fmt::format("{:>9} {}{}", label, options_.ascii ? "|" : "│", lines[i]);
      all += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  }
  if (!norms_.empty()) all += "gradient norms, 1e-8 to 100\n";
  for (size_t i = 0; i < std::min(norms_.size(), kNorms); ++i) {
    // The first and the last ones, if there are many.
    const auto& [name, norm] = norms_[i * norms_.size() / std::min(norms_.size(), kNorms)];
    const size_t room = width - 36;
    const double share = (std::log10(norm) - kLow) / (kHigh - kLow);
    const size_t length = std::isfinite(share)
                              ? static_cast<size_t>(std::lround(std::clamp(share, 0., 1.) *
                                                                static_cast<double>(room)))
                              : 0;
    std::string bar;
    for (size_t k = 0; k < length; ++k) bar += options_.ascii ? "#" : "█";
    all += fmt::format("{} {:>9.3g}{}{}\n", column(name, 24), norm, bar.empty() ? "" : " ", bar);
  }
  bool first = true;
  for (const Layer& layer : layers_) {
    if (!layer.rectified || layer.looks.empty()) continue;
    Firing sum = layer.looks.front();
    for (size_t i = 1; i < layer.looks.size(); ++i) sum.add(layer.looks[i]);
    const auto dead = std::ranges::count(sum.fired, 0);
    if (dead == 0) continue;
    if (std::exchange(first, false))
      all += fmt::format("units that never fire, in the last {} looks\n", layer.looks.size());
    all += fmt::format("{} {:>4} of {}\n", column(layer.name, 24), dead, sum.fired.size());
  }
  return all;
}

void Dashboard::draw() {
  if (!options_.out) return;
  const std::string picture = text();
  // Over the one before: up, and clear to the end.
  if (terminal_ && drawn_ > 0) fmt::print(options_.out, "\x1b[{}A\x1b[J", drawn_);
  fmt::print(options_.out, "{}", picture);
  std::fflush(options_.out);
  drawn_ = std::ranges::count(picture, '\n');
}

Dashboard::operator Callback() {
  return {.before_step = [this](TrainState& s) { after_step(s.loss); },
          .after_epoch =
              [this](TrainState&) {
                watch_.off();  // (an evaluation is no look)
                draw();
                arm();
              }};
}

}  // namespace ramp::glass
