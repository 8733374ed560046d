#include "ramp/train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace ramp {
namespace {

// 181234.5 -> "181,234"
std::string with_commas(double value) {
  std::string s = fmt::format("{:.0f}", value);
  for (int i = static_cast<int>(s.size()) - 3; i > 0; i -= 3) s.insert(static_cast<size_t>(i), ",");
  return s;
}

constexpr size_t kBar = 20;  // columns

double since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

}  // namespace

Progress::Progress(int64_t epochs, int64_t total, std::FILE* out)
    : epochs_(epochs), total_(total), out_(out), terminal_(out && isatty(fileno(out)) != 0) {}

std::string Progress::line() const {
  const double rate = static_cast<double>(all_seen_) / std::max(seconds_, 1e-9);
  const int64_t rest = (epochs_ - epoch_ + 1) * total_ - seen_;
  std::string text = fmt::format("epoch {}/{}", epoch_, epochs_);
  if (seen_ < total_) {
    const double done = static_cast<double>(seen_) / static_cast<double>(total_);
    text += fmt::format("  {:>2.0f} %", 100 * done);
    if (terminal_) {
      const auto bar = static_cast<size_t>(done * kBar);
      text += fmt::format(" [{}>{}]", std::string(bar, '='), std::string(kBar - 1 - bar, ' '));
    }
  }
  text += fmt::format("  {} samples/s  loss {:.4f}{}", with_commas(rate),
                      loss_sum_ / std::max<int64_t>(seen_, 1), not_finite_);
  if (!results_.empty()) text += "  " + results_;
  if (rest > 0)
    text += fmt::format("  {:.0f} s left", static_cast<double>(rest) / std::max(rate, 1.0));
  return text;
}

void Progress::batch(int64_t samples, double loss) {
  const auto now = Clock::now();
  seconds_ += std::chrono::duration<double>(now - last_).count();
  last_ = now;
  seen_ += samples;
  all_seen_ += samples;
  loss_sum_ += loss * static_cast<double>(samples);
  ++batch_;
  if (not_finite_.empty() && !std::isfinite(loss)) {
    not_finite_ = fmt::format(" (first {}: epoch {}, batch {})", loss, epoch_, batch_);
  }
  if (terminal_ && since(shown_) > 0.1) {
    shown_ = now;
    show();
  }
}

// The line as it is, cut to the terminal's width: a longer one could not be written over.
void Progress::show() const {
  winsize size{};
  const bool known = ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  fmt::print(out_, "\r{}\033[K", line().substr(0, known ? size.ws_col - 1 : std::string::npos));
  std::fflush(out_);
}

void Progress::epoch(double accuracy) {
  epoch(accuracy < 0 ? "" : fmt::format("accuracy {:.2f} %", 100 * accuracy));
}

void Progress::epoch(const std::string& results) {
  results_ = results;
  say(line());
  results_.clear();
  ++epoch_;
  batch_ = 0;
  seen_ = 0;
  loss_sum_ = 0;
  last_ = Clock::now();
}

void Progress::go_on(int64_t epoch, int64_t seen, double loss_sum) {
  epoch_ = epoch + 1;
  seen_ = seen;
  loss_sum_ = loss_sum;
}

void Progress::say(const std::string& text) {
  if (!out_) return;
  fmt::print(out_, "{}{}{}\n", terminal_ ? "\r" : "", text, terminal_ ? "\033[K" : "");
  std::fflush(out_);
}

}  // namespace ramp
