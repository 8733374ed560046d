// Text: UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace ramp {

/// The character at the start of a text, whose bytes are taken off it; or, with nothing taken,
/// kNoCharacter where the bytes are not UTF-8 (RFC 3629: the shortest form, no surrogates).
/// The text must not be empty.
constexpr char32_t kNoCharacter = 0xFFFFFFFF;
char32_t take_character(std::string_view& text);
bool is_utf8(std::string_view text);

/// A text as a message shows it: in quotes, control characters and what is not UTF-8 as \x0a, and
/// cut after about 40 bytes.
std::string quoted(std::string_view text);

/// A number that fills the text: [+-] digits with or without point and exponent, "inf" or "nan";
/// of the locale it takes no notice.
bool parse_number(std::string_view text, double& value, char decimal = '.');

}  // namespace ramp
