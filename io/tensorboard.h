// Event files, which TensorBoard draws: `tensorboard --logdir runs`.
//
//     EventWriter log("runs/first");
//     log.scalar("loss", step, loss.item());
//     log.histogram("weights/0", step, net.parameters()[0]);
//     log.image("filters", step, contact_sheet(filters));
//
// fit() is told to write them by TensorBoard (train/tensorboard.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ramp/core/ref.h"
#include "ramp/core/tensor.h"

namespace ramp {

/// The value of a hyperparameter.
using HParam = std::variant<double, bool, std::string>;
using HParams = std::vector<std::pair<std::string, HParam>>;  // names and values

struct EventWriterOptions {
  double flush_seconds = 2;  // what is not yet in the file is not older
};

/// Writes one file of its own, with a name that no other has; runs are told apart by folders. Steps
/// may come in any order. TensorBoard groups tags by what is in front of the first slash.
/// Errors, of each call: an empty tag; text that is not UTF-8; a step below 0; a folder or file
/// that cannot be made or written. Source: tensorboard/compat/proto/event.proto, summary.proto; the
/// records are TensorFlow's TFRecord, https://www.tensorflow.org/tutorials/load_data/tfrecord.
class EventWriter : private NoCopy {
 public:
  /// Makes the folder if it is not there.
  explicit EventWriter(const std::string& folder, const EventWriterOptions& options = {});
  /// Writes what is left; an error is not heard of any more: call flush().
  ~EventWriter();

  /// A point of a curve; TensorBoard keeps it as a float.
  void scalar(const std::string& tag, int64_t step, double value);
  /// How values are distributed: between the smallest and the largest one, in so many buckets of
  /// the same width. NaN and inf are left out, and counted in a scalar "<tag>/not finite".
  /// Errors: buckets < 1.
  void histogram(const std::string& tag, int64_t step, const Tensor& x, int64_t buckets = 64);
  /// An image [h, w, 1], [h, w] or [h, w, 3] in [0, 1], as PNG. Errors: those of encode_png().
  void image(const std::string& tag, int64_t step, const Tensor& image);
  /// Markdown.
  void text(const std::string& tag, int64_t step, const std::string& markdown);
  /// The run's hyperparameters, once, and the tags of the scalars by which runs are compared.
  void hparams(const HParams& values, const std::vector<std::string>& metrics);

  /// All that was given so far is in the file. Errors: it cannot be written.
  void flush();
  const std::string& path() const { return path_; }

 private:
  void event(int64_t step, const std::string& field);
  void record(const std::string& data);

  std::string path_, buffer_;
  double flush_seconds_;
  std::chrono::steady_clock::time_point flushed_;
  int fd_ = -1;
};

}  // namespace ramp
