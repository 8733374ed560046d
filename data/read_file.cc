#include "ramp/data/read_file.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

#include "ramp/core/error.h"

namespace ramp {
namespace {

struct Close {
  void operator()(gzFile f) const { gzclose(f); }
};

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

std::string read_file(const std::string& path, std::string_view op) {
  // (zlib reads a plain file as it is.)
  errno = 0;
  const std::unique_ptr<std::remove_pointer_t<gzFile>, Close> file(gzopen(path.c_str(), "rb"));
  if (!file) fail("{}: cannot open \"{}\": {}.", op, path, reason());
  std::error_code unknown;
  const uintmax_t size = std::filesystem::file_size(path, unknown);
  std::string bytes;
  size_t n = 0;
  for (size_t room = unknown ? 1 << 16 : size + 1;; room = 2 * n) {
    bytes.resize(std::max<size_t>(room, 1 << 12));
    while (n < bytes.size()) {
      const size_t step = std::min(bytes.size() - n, size_t{1} << 30);
      errno = 0;
      const int got = gzread(file.get(), bytes.data() + n, static_cast<unsigned>(step));
      int code = Z_OK;
      const std::string message = gzerror(file.get(), &code);
      if (code == Z_ERRNO) fail("{}: cannot read \"{}\": {}.", op, path, reason());
      if (got < 0 || code == Z_BUF_ERROR) {
        fail("{}: \"{}\" is damaged or cut: {}. Hint: fetch it again.", op, path, message);
      }
      if (got == 0) {
        bytes.resize(n);
        return bytes;
      }
      n += static_cast<size_t>(got);
    }
  }
}

std::vector<uint8_t> read_bytes(const std::string& path, std::string_view op) {
  std::error_code error;
  std::vector<uint8_t> bytes(std::filesystem::file_size(path, error) * !error);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (error || !file) {
    fail("{}: cannot read {}: {}. Hint: is the path right?", op, path,
         error ? error.message() : reason());
  }
  if (!file.read(reinterpret_cast<char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()))) {
    fail("{}: {} ended while it was read.", op, path);
  }
  return bytes;
}

}  // namespace ramp
