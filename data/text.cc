#include "ramp/data/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

namespace ramp {

char32_t take_character(std::string_view& text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC0 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                                       : 4;
  if (length == 0 || length > text.size()) return kNoCharacter;
  char32_t c = length == 1 ? first : first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return kNoCharacter;
    c = c << 6 | (byte(i) & 0x3Fu);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};  // else: not the shortest form
  if (c < kLeast[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return kNoCharacter;
  text.remove_prefix(length);
  return c;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    if (take_character(text) == kNoCharacter) return false;
  }
  return true;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty() && out.size() < 41) {
    const std::string_view before = text;
    const char32_t c = take_character(text);
    if (c == kNoCharacter) text.remove_prefix(1);
    if (c == kNoCharacter || c < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(before[0]));
    } else {
      out.append(before.substr(0, before.size() - text.size()));
    }
  }
  return out + (text.empty() ? "\"" : "..\"");
}

bool parse_number(std::string_view text, double& value, char decimal) {
  char copy[64];
  if (decimal != '.') {
    if (text.size() > sizeof copy || text.find('.') != text.npos) return false;
    std::replace_copy(text.begin(), text.end(), copy, decimal, '.');
    text = {copy, text.size()};
  }
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range && stop == end) {
    // Too small is 0; too large is no number.
    value = 0;
    return text.find("e-") != text.npos || text.find("E-") != text.npos;
  }
  return error == std::errc() && stop == end;
}

}  // namespace ramp
