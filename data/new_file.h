// A file that is whole or not there, whatever happens while it is written.
#pragma once

#include <cstddef>
#include <string>

#include "ramp/core/ref.h"

namespace ramp {

/// ```
/// NewFile file("save_scores", "scores.csv");
/// file.write(text.data(), text.size());
/// file.finish();
/// ```
/// It is written under another name in the same folder, flushed to the disk, then renamed over the
/// old one, whose permissions it keeps; without finish() nothing has happened. A symbolic link
/// stays: its target is written.
/// Errors, which begin with `op`, and leave the old file: the name of a folder or of a device; a
/// folder that is not there or read-only; a full disk.
class NewFile : private NoCopy {
 public:
  NewFile(std::string op, const std::string& path);
  ~NewFile();

  void write(const void* data, size_t n);
  void finish();

 private:
  [[noreturn]] void fail_system(const char* what, const std::string& path) const;
  std::string target_of(const std::string& path) const;

  std::string op_, path_, temporary_;
  int fd_ = -1;
  bool done_ = false;
};

}  // namespace ramp
