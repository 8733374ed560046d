// One line that says how training goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace ramp {

/// On a terminal one line that is written over, and no longer than the terminal is wide; elsewhere
/// a plain line an epoch.
///
///     epoch 3/10  42 % [========>           ]  181,000 samples/s  loss 0.0512  12 s left
///     epoch 3/10  181,000 samples/s  loss 0.0498  accuracy 98.4 %  9 s left
///
/// From the first loss that is NaN or infinite on, it says where that was:
///
///     epoch 4/10  180,000 samples/s  loss nan (first nan: epoch 3, batch 17)  accuracy 9.8 %
class Progress {
 public:
  /// Writes to `out`, or nothing where it is null. total: the samples of an epoch.
  Progress(int64_t epochs, int64_t total, std::FILE* out = stdout);

  /// After each batch.
  void batch(int64_t samples, double loss);
  /// At the end of an epoch: `accuracy` in [0, 1] on held-out data, or below 0 for none.
  void epoch(double accuracy);
  /// The same with any results, "accuracy 98.4 %"; empty for none.
  void epoch(const std::string& results);
  /// Training goes on within an epoch (from 0), of which so many samples are seen.
  void go_on(int64_t epoch, int64_t seen, double loss_sum);
  /// A line of its own.
  void say(const std::string& text);
  /// Seconds spent in training, evaluation between epochs left out.
  double seconds() const { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  std::string line() const;
  void show() const;

  int64_t epochs_, total_;
  std::FILE* out_;
  bool terminal_;
  int64_t epoch_ = 1, batch_ = 0, seen_ = 0, all_seen_ = 0;
  double loss_sum_ = 0, seconds_ = 0;
  std::string results_;
  std::string not_finite_;  // " (first nan: ..)"
  Clock::time_point last_ = Clock::now(), shown_ = last_;
};

}  // namespace ramp
