#include "ramp/train/checkpoint.h"

#include <signal.h>

#include <cerrno>
#include <charconv>
#include <filesystem>

namespace ramp {
namespace {

constexpr const char* kVersion = "1";  // of the notes that fit() writes, and of the prefixes

// NewFile writes "<path>.new-<process>-<number>"; one of a process that is no more is garbage.
void remove_leftovers(const std::filesystem::path& path) {
  const std::string start = path.filename().string() + ".new-";
  std::error_code error;
  std::filesystem::directory_iterator files(path.has_parent_path() ? path.parent_path() : ".",
                                            error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    const std::string name = files->path().filename().string();
    if (!name.starts_with(start)) continue;
    int process = 0;
    const char* digits = name.data() + start.size();
    const char* end = std::from_chars(digits, name.data() + name.size(), process).ptr;
    std::error_code ignored;
    if (end != digits && *end == '-' && kill(process, 0) != 0 && errno == ESRCH) {
      std::filesystem::remove(files->path(), ignored);
    }
  }
}

}  // namespace

std::vector<NamedTensor> Checkpoint::state() const {
  std::vector<NamedTensor> all;
  for (const Part& part : parts_) {
    for (NamedTensor& t : part.state()) {
      t.name = part.prefix + t.name;
      all.push_back(std::move(t));
    }
  }
  return all;
}

void Checkpoint::save() const {
  Metadata metadata = notes;
  metadata["checkpoint"] = kVersion;
  save_safetensors(path_, state(), metadata);
}

bool Checkpoint::load(const std::function<void(const Metadata& notes)>& accept) {
  remove_leftovers(path_);
  std::error_code error;
  if (!std::filesystem::exists(path_, error) && !error) return false;
  const TensorFile file = load_safetensors(path_);
  const auto version = file.metadata().find("checkpoint");
  if (version == file.metadata().end()) {
    fail("checkpoint: {} is a file of tensors, but no checkpoint. Hint: give it another name.",
         path_);
  }
  if (version->second != kVersion) {
    fail("checkpoint: {} is of version {}; this ramp reads version {}.", path_, version->second,
         kVersion);
  }
  if (accept) accept(file.metadata());
  load_tensors(("checkpoint " + path_).c_str(), state(), file);
  // Generators and single numbers are copies in state(); each part takes its own.
  for (const Part& part : parts_) {
    std::vector<NamedTensor> own;
    for (const NamedTensor& t : file) {
      if (t.name.starts_with(part.prefix)) {
        own.push_back({t.name.substr(part.prefix.size()), t.tensor});
      }
    }
    part.load(own);
  }
  notes = file.metadata();
  notes.erase("checkpoint");
  notes.erase("format");
  return true;
}

}  // namespace ramp
