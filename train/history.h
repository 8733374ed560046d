// What happened in training, an epoch a row.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ramp/train/metrics.h"

namespace ramp {

/// What fit() returns. Columns are named as in Keras: "loss", "accuracy", "valid_loss",
/// "valid_accuracy", ..
struct History {
  struct Row {
    int64_t epoch = 0, steps = 0;  // epochs and steps done
    double seconds = 0;            // of training, from the start; evaluation left out
    double lr = 0;                 // of the epoch's last step
    std::vector<std::pair<std::string, Estimate>> values;

    /// Errors: no column of that name (those there are get listed).
    const Estimate& operator[](const std::string& name) const;
  };
  std::vector<Row> rows;
  int64_t best_epoch = 0;       // of the monitored measure; 0: there was none
  std::string stopped;          // why training ended before its last epoch; else empty
  std::string checkpoint = {};  // "epoch 3, step 812": where it continued from; else empty

  const Row& last() const;
  /// A column's values. Errors: as for Row.
  std::vector<double> operator[](const std::string& name) const;
  std::vector<std::string> columns() const;

  /// Text with a header, a line an epoch: "epoch,steps,seconds,lr,loss,valid_loss,..". A column
  /// x with an error has x_error behind it. Numbers have all their digits.
  std::string csv() const;
  /// {"epochs": [{"epoch": 1, "steps": 938, .., "loss": 0.31, ..}, ..], "best_epoch": 1, ..}.
  /// A number that is not finite is null.
  std::string json() const;
  /// The reverse of json(). Errors: other text.
  static History from_json(const std::string& text);
  /// Writes csv() or json(), by the ending of the name; whole or not at all.
  /// Errors: another ending; a file that cannot be written.
  void save(const std::string& path) const;
};

}  // namespace ramp
