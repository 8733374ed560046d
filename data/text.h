// Text, UTF-8: tokens, a vocabulary of them, and what a model computes with.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ramp/core/tensor.h"
#include "ramp/layers/module.h"

namespace ramp {

using Tokens = std::vector<std::string>;

struct TokenizeOptions {
  bool lower = true;         // capital letters become small: Latin, Greek, Cyrillic
  bool punctuation = false;  // punctuation is kept, each mark a token of its own
};

/// The words of a text: what stands between white space and punctuation. Letters of all scripts,
/// digits and marks (combining accents) make words; so do an apostrophe between letters (don't,
/// l'eau) and a point or comma between digits (3.14). Scripts without spaces between words, as
/// Chinese, Japanese and Thai, are not parted: take character_ngrams().
/// Errors: bytes that are not UTF-8.
Tokens tokenize(std::string_view text, const TokenizeOptions& options = {});
/// The same of each text.
std::vector<Tokens> tokenize(const std::vector<std::string>& texts,
                             const TokenizeOptions& options = {});

/// All runs of n characters in the words of tokenize(), with a blank before and behind each word:
/// n = 3: "The sea" -> " th", "the", "he ", " se", "sea", "ea ". A word with its blanks that is
/// shorter than n is one run. Errors: n < 1; bytes that are not UTF-8.
Tokens character_ngrams(std::string_view text, int64_t n);
/// The same of each text.
std::vector<Tokens> character_ngrams(const std::vector<std::string>& texts, int64_t n);

struct VocabularyOptions {
  int64_t min_count = 1;  // words that are rarer are unknown
  int64_t max_size = 0;   // at most that many ids, padding and unknown among them; 0: no limit
};

struct BagOptions {
  bool shares = false;  // each row is divided by its sum: the shares of a text's words
};

/// The words of some texts, and an id for each.
/// ```
/// const std::vector<Tokens> texts = tokenize(table["review"].texts());
/// const Vocabulary words(texts, {.min_count = 2});
/// Dataset data{words.sequences(texts), labels};
/// ```
/// Ids: 0 is padding, 1 every word that is not known, then words from the most frequent on (of
/// equal counts in order of their bytes).
class Vocabulary {
 public:
  static constexpr int64_t kPadding = 0, kUnknown = 1;

  /// Of no words.
  Vocabulary() : Vocabulary(std::vector<Tokens>{}) {}
  /// Errors: min_count < 1; max_size that is not 0 and < 2.
  explicit Vocabulary(const std::vector<Tokens>& texts, const VocabularyOptions& options = {});

  /// The number of ids: `Embedding(words.size(), 64)`.
  int64_t size() const { return static_cast<int64_t>(words_.size()); }
  /// kUnknown for a word that is not there.
  int64_t id(std::string_view word) const;
  /// "<padding>" and "<unknown>" for 0 and 1. Errors: an id outside 0..size()-1.
  const std::string& word(int64_t id) const;
  /// How often it stood in the texts; of kUnknown: all words that were left out.
  int64_t count(int64_t id) const;

  /// How often each word stands in each text: f32 [n, size()].
  Tensor bags(const std::vector<Tokens>& texts, const BagOptions& options = {}) const;
  /// The ids of each text in order: i64 [n, length]. Shorter ones have kPadding behind, longer ones
  /// lose their end. length 0: that of the longest, at least 1. Errors: a negative length.
  Tensor sequences(const std::vector<Tokens>& texts, int64_t length = 0) const;

  /// "vocabulary.words", bytes as i64, and "vocabulary.counts", i64 [size()].
  std::vector<NamedTensor> state() const;
  /// Tensors of other names are ignored. Errors: one of the two is missing, or they do not fit.
  void load_state(const std::vector<NamedTensor>& state);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  std::vector<std::string> words_;
  std::vector<int64_t> counts_;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> ids_;
};

/// Texts as a tensor, for state(): the bytes of each and a 0 behind it, i64 [bytes].
/// Errors: a text with a byte of 0.
Tensor text_tensor(const std::vector<std::string>& texts);
/// The texts in a tensor that text_tensor() made. Errors: another tensor.
std::vector<std::string> texts_of(const Tensor& bytes);

/// The character at the start of a text, whose bytes are taken off it; or, with nothing taken,
/// kNoCharacter where the bytes are not UTF-8 (RFC 3629: the shortest form, no surrogates).
/// The text must not be empty.
constexpr char32_t kNoCharacter = 0xFFFFFFFF;
char32_t take_character(std::string_view& text);
/// Whether a text is UTF-8.
bool is_utf8(std::string_view text);

/// A text as a message shows it: in quotes, control characters and what is not UTF-8 as \x0a, and
/// cut after about 40 bytes.
std::string in_quotes(std::string_view text);

/// A number that fills the text: [+-] digits with or without point and exponent, "inf" or "nan";
/// of the locale it takes no notice.
bool parse_number(std::string_view text, double& value, char decimal = '.');

}  // namespace ramp
