// The one exception type of ramp, and how it is thrown.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace ramp {

/// Every error of the library. Its text reads
/// `<op>: <expectation, names>; got <the caller's own shapes>. Hint: <one action>.`
/// Inside a model the text starts with the layer's path: `2.conv1: matmul: ...`.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}

  /// The module whose forward threw first and has not been given a name yet (see Module).
  const void* module = nullptr;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace ramp
