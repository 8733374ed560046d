// By which data are known again.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace ramp {

/// FNV-1a over words of 8 bytes: not for secrets.
class Checksum {
 public:
  void add(uint64_t word) { hash_ = (hash_ ^ word) * 0x100000001b3; }
  /// 16 hexadecimal digits.
  std::string str() const { return fmt::format("{:016x}", hash_); }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace ramp
