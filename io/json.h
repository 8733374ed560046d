// JSON of files that may say anything.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace ramp::detail {

/// An object's entries in their order, two of one name too. (The library's own ordered map looks
/// through all of them for each new one: time that grows with the square of their number.)
template <typename Key, typename T, typename Less, typename Allocator>
struct Entries : nlohmann::ordered_map<Key, T, Less, Allocator> {
  using nlohmann::ordered_map<Key, T, Less, Allocator>::ordered_map;
  T& operator[](const Key& key) {
    this->emplace_back(key, T{});
    return this->back().second;
  }
};
using Json = nlohmann::basic_json<Entries>;

/// Discarded where the text is not JSON, or is nested deeper: what goes through a tree would take
/// all of the stack.
inline Json parse_json(const std::string& text, int most_depth) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') quoted = !quoted;
    if (quoted && c == '\\') ++i;
    if (quoted) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > most_depth) return Json(Json::value_t::discarded);
  }
  return Json::parse(text, nullptr, false);
}

/// Errors: Json::exception for what is no integer. (get() would cast 1e300, which is undefined.)
inline int64_t integer(const Json& j) { return j.get_ref<const int64_t&>(); }

}  // namespace ramp::detail
