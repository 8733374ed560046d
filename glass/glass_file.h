// The file of a recorded run: one JSON object a line, each with its "kind".
//
// docs/glass_format.md lists the kinds. A line is written whole and at once, so after a crash all
// lines but the last one are there.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ramp/core/ref.h"

namespace ramp {

/// Writes the lines.
class GlassWriter : private NoCopy {
 public:
  /// Replaces a file of that name; with `after_step`, keeps what it says of the steps up to there
  /// and goes on behind that. Errors: a file that cannot be written; one to go on with that is no
  /// recorded run.
  explicit GlassWriter(const std::string& path, std::optional<int64_t> after_step = {});
  ~GlassWriter();

  /// One JSON object, without a line feed; it is in the file when this returns. Errors: a full
  /// disk.
  void write(std::string_view object);
  /// Errors: the file, which need not be there, cannot be written.
  static void check(const std::string& path);

 private:
  std::string path_;
  std::FILE* file_;
};

/// One line.
struct GlassRecord {
  std::string kind;  // "step"
  std::string json;
};

struct GlassFile {
  static constexpr int64_t kVersion = 1;

  std::string path;
  std::vector<GlassRecord> records;  // the first one is the run
  bool cut = false;                  // the last line was cut short, and is left out
};

/// Reads a file and checks it. Errors: no such file; no recorded run; one of a later version; a
/// line that is no JSON object with a "kind", unless it is the last one and has no line feed.
GlassFile read_glass(const std::string& path);

/// A number as JSON, with five digits; "nan", "inf" and "-inf" as strings.
std::string glass_number(double x);
/// A text as JSON, quoted; what is no UTF-8 becomes U+FFFD.
std::string glass_text(std::string_view text);
/// [3, 3, 1, 32].
std::string glass_list(const std::vector<int64_t>& list);
/// base64, quoted.
std::string glass_bytes(const std::vector<uint8_t>& bytes);
/// text(item) of all items, with commas.
template <typename List, typename F>
std::string glass_join(List&& list, F text) {
  std::string all;
  for (auto& item : list) {
    if (!all.empty()) all += ',';
    all += text(item);
  }
  return all;
}

}  // namespace ramp
