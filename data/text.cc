#include "ramp/data/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <system_error>
#include <utility>

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

std::string in_quotes(std::string_view text) {
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

namespace {

// Characters [first, last].
struct Range {
  char32_t first, last;
};

bool in(char32_t c, std::initializer_list<Range> ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](Range r) { return r.first <= c && c <= r.last; });
}

bool is_space(char32_t c) {
  if (c < 0x7F) return c <= ' ';
  return in(c, {{0x7F, 0xA0},
                {0x1680, 0x1680},
                {0x2000, 0x200B},
                {0x2028, 0x2029},
                {0x202F, 0x202F},
                {0x205F, 0x2060},
                {0x3000, 0x3000},
                {0xFEFF, 0xFEFF}});
}

// Punctuation, currency, mathematical and other signs, emoji; the rest are letters and digits.
bool is_punctuation(char32_t c) {
  if (c < 0x80) return !in(c, {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}) && c > ' ';
  if (c < 0x100) return c < 0xC0 ? c != 0xAA && c != 0xB5 && c != 0xBA : c == 0xD7 || c == 0xF7;
  return in(
      c, {{0x37E, 0x37E},   {0x387, 0x387},   {0x55A, 0x55F},    {0x589, 0x58A},   {0x5BE, 0x5BE},
          {0x5C0, 0x5C0},   {0x5C3, 0x5C3},   {0x5F3, 0x5F4},    {0x609, 0x60D},   {0x61B, 0x61F},
          {0x66A, 0x66D},   {0x6D4, 0x6D4},   {0x964, 0x965},    {0xE3F, 0xE3F},   {0xE4F, 0xE4F},
          {0x2010, 0x2027}, {0x2030, 0x205E}, {0x20A0, 0x20CF},  {0x2100, 0x2BFF}, {0x2E00, 0x2E7F},
          {0x3001, 0x3004}, {0x3008, 0x3020}, {0x3030, 0x3030},  {0x30FB, 0x30FB}, {0xFE10, 0xFE1F},
          {0xFE30, 0xFE6F}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF20},  {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65},
          {0xFFE0, 0xFFEE}, {0xFFFD, 0xFFFD}, {0x1F000, 0x1FAFF}});
}

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }

// Latin with Extended-A and the Vietnamese of Extended Additional, Greek, Cyrillic, Armenian.
char32_t lower(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 0x20 : c;
  if (in(c, {{0xC0, 0xD6}, {0xD8, 0xDE}, {0x391, 0x3A1}, {0x3A3, 0x3AB}, {0x410, 0x42F}})) {
    return c + 0x20;
  }
  if (in(c, {{0x400, 0x40F}})) return c + 0x50;
  if (in(c, {{0x531, 0x556}})) return c + 0x30;
  if (c == 0x130) return 'i';    // İ
  if (c == 0x178) return 0xFF;   // Ÿ
  if (c == 0x1E9E) return 0xDF;  // capital sharp s
  if (c == 0x386) return 0x3AC;
  if (in(c, {{0x388, 0x38A}})) return c + 0x25;
  if (c == 0x38C) return 0x3CC;
  if (c == 0x38E || c == 0x38F) return c + 0x3F;
  // Pairs, the capital first: at even numbers, or at odd ones.
  if (in(c, {{0x100, 0x137},
             {0x14A, 0x177},
             {0x218, 0x21B},
             {0x3D8, 0x3EF},
             {0x460, 0x481},
             {0x48A, 0x4BF},
             {0x4D0, 0x52F},
             {0x1E00, 0x1E95},
             {0x1EA0, 0x1EFF}})) {
    return c | 1;
  }
  if (in(c, {{0x139, 0x148}, {0x179, 0x17E}, {0x4C1, 0x4CE}})) return c + (c & 1);
  return c;
}

void append(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3F));
    }
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

}  // namespace

Tokens tokenize(std::string_view text, const TokenizeOptions& options) {
  Tokens tokens;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) tokens.push_back(std::exchange(word, {}));
  };
  const std::string_view whole = text;
  char32_t before = ' ';
  while (!text.empty()) {
    const size_t place = whole.size() - text.size();
    const char32_t c = take_character(text);
    if (c == kNoCharacter) {
      fail("tokenize: expected UTF-8; got {} at byte {}. Hint: iconv -f LATIN1 -t UTF-8.",
           in_quotes(text.substr(0, 8)), place);
    }
    if (c == 0xAD || c == 0x200E || c == 0x200F) continue;  // soft hyphen, marks of direction
    const auto letter = [](char32_t x) {
      return !is_space(x) && !is_punctuation(x) && !is_digit(x);
    };
    const auto next = [&] {
      std::string_view rest = text;
      return rest.empty() ? U' ' : take_character(rest);
    };
    // An apostrophe, or the point of a number.
    const bool within = ((c == '\'' || c == 0x2019) && letter(before) && letter(next())) ||
                        ((c == '.' || c == ',') && is_digit(before) && is_digit(next()));
    if (is_space(c)) {
      end_word();
    } else if (is_punctuation(c) && !within) {
      end_word();
      if (options.punctuation) append(tokens.emplace_back(), c);
    } else {
      append(word, options.lower ? lower(c) : c);
    }
    before = c;
  }
  end_word();
  return tokens;
}

std::vector<Tokens> tokenize(const std::vector<std::string>& texts,
                             const TokenizeOptions& options) {
  std::vector<Tokens> all;
  for (const std::string& text : texts) all.push_back(tokenize(text, options));
  return all;
}

Tokens character_ngrams(std::string_view text, int64_t n) {
  if (n < 1) fail("character_ngrams: expected n of at least 1; got {}.", n);
  Tokens runs;
  for (const std::string& word : tokenize(text)) {
    const std::string padded = " " + word + " ";
    std::vector<size_t> starts;  // of characters, and the end
    for (size_t i = 0; i < padded.size(); ++i) {
      if ((padded[i] & 0xC0) != 0x80) starts.push_back(i);
    }
    const size_t characters = starts.size(), length = std::min(characters, static_cast<size_t>(n));
    starts.push_back(padded.size());
    for (size_t i = 0; i + length <= characters; ++i) {
      runs.push_back(padded.substr(starts[i], starts[i + length] - starts[i]));
    }
  }
  return runs;
}

std::vector<Tokens> character_ngrams(const std::vector<std::string>& texts, int64_t n) {
  std::vector<Tokens> all;
  for (const std::string& text : texts) all.push_back(character_ngrams(text, n));
  return all;
}

Vocabulary::Vocabulary(const std::vector<Tokens>& texts, const VocabularyOptions& options)
    : words_{"<padding>", "<unknown>"}, counts_{0, 0} {
  if (options.min_count < 1)
    fail("Vocabulary: expected min_count of at least 1; got {}.", options.min_count);
  if (options.max_size != 0 && options.max_size < 2) {
    fail("Vocabulary: expected max_size of 0 (no limit) or at least 2; got {}.", options.max_size);
  }
  std::unordered_map<std::string_view, int64_t> found;
  for (const Tokens& text : texts) {
    for (const std::string& word : text) ++found[word];
  }
  std::vector<std::pair<int64_t, std::string_view>> order;  // negative counts: the most first
  for (const auto& [word, count] : found) order.emplace_back(-count, word);
  std::sort(order.begin(), order.end());
  for (const auto& [negative, word] : order) {
    if (-negative < options.min_count || size() == options.max_size) {
      counts_[kUnknown] -= negative;
      continue;
    }
    ids_.emplace(word, size());
    words_.emplace_back(word);
    counts_.push_back(-negative);
  }
}

int64_t Vocabulary::id(std::string_view word) const {
  const auto at = ids_.find(word);
  return at == ids_.end() ? kUnknown : at->second;
}

const std::string& Vocabulary::word(int64_t id) const {
  if (id < 0 || id >= size()) fail("Vocabulary: expected an id in 0..{}; got {}.", size() - 1, id);
  return words_[static_cast<size_t>(id)];
}

int64_t Vocabulary::count(int64_t id) const {
  word(id);  // or says what is wrong
  return counts_[static_cast<size_t>(id)];
}

Tensor Vocabulary::bags(const std::vector<Tokens>& texts, const BagOptions& options) const {
  Tensor y = Tensor::zeros({std::ssize(texts), size()});
  float* row = y.mutable_data<float>();
  for (const Tokens& text : texts) {
    for (const std::string& word : text) row[id(word)] += 1;
    if (options.shares && !text.empty()) {
      for (int64_t i = 0; i < size(); ++i) row[i] /= static_cast<float>(text.size());
    }
    row += size();
  }
  return y;
}

Tensor Vocabulary::sequences(const std::vector<Tokens>& texts, int64_t length) const {
  if (length < 0) fail("sequences: expected a length of at least 0; got {}.", length);
  if (length == 0) {
    length = 1;
    for (const Tokens& text : texts) length = std::max(length, std::ssize(text));
  }
  Tensor y = Tensor::full({std::ssize(texts), length}, kPadding, i64);
  int64_t* row = y.mutable_data<int64_t>();
  for (const Tokens& text : texts) {
    const size_t n = std::min(text.size(), static_cast<size_t>(length));
    for (size_t i = 0; i < n; ++i) row[i] = id(text[i]);
    row += length;
  }
  return y;
}

std::vector<NamedTensor> Vocabulary::state() const {
  return {{"vocabulary.words", text_tensor({words_.begin() + 2, words_.end()})},
          {"vocabulary.counts", Tensor::of(counts_)}};
}

void Vocabulary::load_state(const std::vector<NamedTensor>& state) {
  Tensor words, counts;
  for (const NamedTensor& t : state) {
    if (t.name == "vocabulary.words") words = t.tensor;
    if (t.name == "vocabulary.counts") counts = t.tensor;
  }
  if (!words.defined() || !counts.defined()) {
    fail(
        "Vocabulary: expected \"vocabulary.words\" and \"vocabulary.counts\"; got {} tensors "
        "without them.",
        state.size());
  }
  Vocabulary loaded;
  for (std::string& word : texts_of(words)) {
    if (!loaded.ids_.emplace(word, loaded.size()).second) {
      fail("Vocabulary: {} is there twice.", in_quotes(word));
    }
    loaded.words_.push_back(std::move(word));
  }
  if (counts.dtype() != i64 || counts.shape() != Shape{loaded.size()}) {
    fail("Vocabulary: expected counts, i64 [{}]; got {} {}.", loaded.size(), counts.dtype(),
         counts.shape());
  }
  const int64_t* c = counts.data<int64_t>();
  loaded.counts_.assign(c, c + counts.numel());
  *this = std::move(loaded);
}

Tensor text_tensor(const std::vector<std::string>& texts) {
  std::vector<int64_t> bytes;
  for (const std::string& text : texts) {
    if (text.find('\0') != text.npos) fail("text_tensor: a byte of 0 in {}.", in_quotes(text));
    for (const char c : text) bytes.push_back(static_cast<uint8_t>(c));
    bytes.push_back(0);
  }
  return Tensor::of(bytes);
}

std::vector<std::string> texts_of(const Tensor& bytes) {
  const int64_t* b = bytes.data<int64_t>();
  std::vector<std::string> texts;
  std::string text;
  for (int64_t i = 0; i < bytes.numel(); ++i) {
    if (b[i] < 0 || b[i] > 255) fail("texts_of: expected bytes, 0 to 255; got {}.", b[i]);
    if (b[i] == 0) {
      texts.push_back(std::exchange(text, {}));
    } else {
      text += static_cast<char>(b[i]);
    }
  }
  if (!text.empty())
    fail("texts_of: expected a 0 behind each text; got none behind {}.", in_quotes(text));
  return texts;
}

}  // namespace ramp
