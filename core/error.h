// The one exception type of ramp, and how it is thrown.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace ramp {

/// Every error of the library. Its text reads
/// `<op>: <expectation, names>; got <the caller's own shapes>. Hint: <one action>.`
/// Inside a model the layer's path stands in front: `2.conv1: conv2d: ...`.
class Error : public std::exception {
 public:
  explicit Error(std::string message) : text_(std::move(message)) {}
  const char* what() const noexcept override { return text_.c_str(); }

  /// Puts the name of an enclosing layer in front of the path ("conv1" -> "2.conv1").
  void prepend_path(const std::string& name) {
    text_.insert(0, name + (has_path_ ? "." : ": "));
    has_path_ = true;
  }

  /// Puts text in front: "backward through mul: ".
  void prepend(const std::string& text) { text_.insert(0, text); }

  /// The innermost module that the error passed through and that has no name yet (see Module).
  const void* module = nullptr;

 private:
  std::string text_;
  bool has_path_ = false;
};

/// How fmt prints what has a text, the result of `text`: `{}`, without options.
template <auto text>
struct TextFormatter {
  constexpr auto parse(auto& context) { return context.begin(); }
  auto format(const auto& x, auto& context) const {
    const auto s = std::invoke(text, x);
    return std::copy(s.begin(), s.end(), context.out());
  }
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}
/// Which of the values the environment variable has, the first one where it is not set. Errors:
/// another value.
inline size_t environment_choice(const char* name, std::initializer_list<std::string_view> values) {
  const char* text = std::getenv(name);
  const auto at = std::find(values.begin(), values.end(), text ? text : "");
  if (at != values.end()) return static_cast<size_t>(at - values.begin());
  if (!text || !*text) return 0;
  std::string all;
  for (const std::string_view v : values) all.append(all.empty() ? "" : ", ").append(v);
  fail("{}: expected {}; got \"{}\".", name, all, text);
}
/// The arguments are computed in any case: they are names and shapes.
template <typename... Args>
void fail_if(bool wrong, fmt::format_string<Args...> format, Args&&... args) {
  if (wrong) [[unlikely]]
    fail(format, std::forward<Args>(args)...);
}

}  // namespace ramp
