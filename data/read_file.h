// A file as a whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ramp {

/// All bytes of a file; what is in it where it is packed with gzip. `op` starts the messages.
/// Errors: no such file; one that cannot be read; damaged or cut gzip data.
std::string read_file(const std::string& path, std::string_view op = "read_file");
/// All bytes of a file, as they are. Errors: no such file; one that cannot be read, or ends before
/// its size.
std::vector<uint8_t> read_bytes(const std::string& path, std::string_view op = "read_bytes");

}  // namespace ramp
