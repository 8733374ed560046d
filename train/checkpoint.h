// A run in a file, to go on from.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ramp/io/safetensors.h"

namespace ramp {

/// Whatever has state() and load_state(): a model, an optimizer, an average, a plateau. fit() keeps
/// one by itself; in a loop of your own:
/// ```
/// Checkpoint checkpoint("run.ckpt");
/// checkpoint.add("model", net).add("optimizer", adam);
/// int64_t epoch = checkpoint.load() ? std::stoll(checkpoint.notes["epoch"]) : 0;
/// for (; epoch < 10; ++epoch) {
///   for (auto [x, y] : batches.epoch(epoch)) { .. }
///   checkpoint.notes["epoch"] = std::to_string(epoch + 1);
///   checkpoint.save();
/// }
/// ```
/// The file is safetensors, "model.0.weight" and so on, with the notes as its metadata.
class Checkpoint {
 public:
  explicit Checkpoint(std::string path) : path_(std::move(path)) {}

  /// The part must live as long as this.
  template <typename T>
  Checkpoint& add(const std::string& name, T& part) {
    parts_.push_back({name + ".", [&part] { return part.state(); },
                      [&part](const std::vector<NamedTensor>& state) { part.load_state(state); }});
    return *this;
  }

  Metadata notes;  // what else is to be remembered

  /// Writes all parts and notes; the old file stays until the new one is whole.
  /// Errors: a file that cannot be written.
  void save() const;
  /// True: all parts and the notes are those of the file; false: there is none. `accept` sees the
  /// notes before anything is changed. What a process that was killed while it wrote has left
  /// beside the file is removed.
  /// Errors: a file that cannot be read, or is no checkpoint; parts that are missing, extra or of
  /// other shapes. Then nothing has changed.
  bool load(const std::function<void(const Metadata& notes)>& accept = nullptr);

  const std::string& path() const { return path_; }

 private:
  struct Part {
    std::string prefix;
    std::function<std::vector<NamedTensor>()> state;
    std::function<void(const std::vector<NamedTensor>&)> load;
  };
  std::vector<NamedTensor> state() const;

  std::string path_;
  std::vector<Part> parts_;
};

}  // namespace ramp
