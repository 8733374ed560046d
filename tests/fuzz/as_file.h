// The bytes that a fuzzer makes, as a file for readers that take a path.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

/// In memory alone; gone with the object.
class AsFile {
 public:
  AsFile(const uint8_t* bytes, size_t n) : fd_(memfd_create("fuzz", 0)) {
    for (size_t at = 0; at < n;) {
      const ssize_t written = write(fd_, bytes + at, n - at);
      if (written <= 0) std::abort();
      at += static_cast<size_t>(written);
    }
  }
  ~AsFile() { close(fd_); }
  AsFile(const AsFile&) = delete;
  AsFile& operator=(const AsFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};
