// A file as a whole.
#pragma once

#include <string>
#include <string_view>

namespace ramp {

/// All bytes of a file; what is in it where it is packed with gzip. `op` starts the messages.
/// Errors: no such file; one that cannot be read; damaged or cut gzip data.
std::string read_file(const std::string& path, std::string_view op = "read_file");

}  // namespace ramp
