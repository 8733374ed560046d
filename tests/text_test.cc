#include "ramp/data/text.h"

#include <doctest/doctest.h>

#include "message.h"
#include "ramp/io/safetensors.h"
#include "scratch.h"

using namespace ramp;

namespace {

using Doubles = std::vector<double>;

}  // namespace

TEST_CASE("UTF-8: one character after the other") {
  std::string_view text = "aé€😀";
  CHECK(take_character(text) == U'a');
  CHECK(take_character(text) == U'é');
  CHECK(take_character(text) == U'€');
  CHECK(take_character(text) == U'😀');
  CHECK(text.empty());
  for (const std::string_view bad :
       {"\x80", "\xC3", "\xC3(", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
        "\xF0\x80\x80\x80", "\xFF", "\xE2\x82"}) {
    std::string_view rest = bad;
    CHECK(take_character(rest) == kNoCharacter);
    CHECK(rest == bad);
    CHECK(!is_utf8(bad));
  }
  CHECK(is_utf8(""));
  CHECK(is_utf8("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF"));
  CHECK(in_quotes("a\nb\xFF"
                  "é") == "\"a\\x0ab\\xffé\"");
  CHECK(in_quotes(std::string(60, 'x')) == "\"" + std::string(40, 'x') + "..\"");
}

TEST_CASE("tokenize: words, in many scripts") {
  const std::pair<std::string, Tokens> cases[] = {
      {"", {}},
      {" \t\n ", {}},
      {"The cat, the DOG!", {"the", "cat", "the", "dog"}},
      {"don't 'quote' l’eau rock'n'roll it' '5",
       {"don't", "quote", "l’eau", "rock'n'roll", "it", "5"}},
      {"3.14 1,000 v2.0. 5.", {"3.14", "1,000", "v2.0", "5"}},
      {"well-known e-mail_x@y.org", {"well", "known", "e", "mail", "x", "y", "org"}},
      {"Größe ÜBER ÇA ÉTÉ ŁÓDŹ ŠKODA Ÿ ẞ",
       {"größe", "über", "ça", "été", "łódź", "škoda", "ÿ", "ß"}},
      {"ΑΘΗΝΑ Έλλη ΏΡΑ", {"αθηνα", "έλλη", "ώρα"}},
      {"МОСКВА Ёлка ЇЖАК Ґава", {"москва", "ёлка", "їжак", "ґава"}},
      {"İstanbul ĐẶNG ƠN", {"istanbul", "đặng", "Ơn"}},  // (Extended-B stays)
      {"¿Qué? «oui» “yes” — no…", {"qué", "oui", "yes", "no"}},
      {"a\xC2\xA0"
       "b\xE2\x80\x83"
       "c\xE3\x80\x80"
       "d",
       {"a", "b", "c", "d"}},
      {"東京は、大きい。", {"東京は", "大きい"}},
      {"नमस्ते।", {"नमस्ते"}},
      {"x² 5€ ×", {"x", "5"}},
      {"cafe\xCC\x81", {"cafe\xCC\x81"}},  // a combining accent
      {"Donau\xC2\xAD"
       "dampf",
       {"donaudampf"}},  // a soft hyphen
      {"good 😀day", {"good", "day"}},
      {"\xEF\xBB\xBFstart", {"start"}},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    CHECK(tokenize(one.first) == one.second);
  }
  CHECK(tokenize("Hi, you... 3.5!", {.lower = false, .punctuation = true}) ==
        Tokens{"Hi", ",", "you", ".", ".", ".", "3.5", "!"});
  CHECK(tokenize("« oui »", {.punctuation = true}) == Tokens{"«", "oui", "»"});
  CHECK(message([] { tokenize("ab M\xFCnchen"); }) ==
        "tokenize: expected UTF-8; got \"\\xfcnchen\" at byte 4. Hint: iconv -f LATIN1 -t UTF-8.");
  CHECK_THROWS_AS(tokenize("ab\xE2\x82"), Error);
}

TEST_CASE("character_ngrams") {
  CHECK(character_ngrams("The sea", 3) == Tokens{" th", "the", "he ", " se", "sea", "ea "});
  CHECK(character_ngrams("à é", 3) == Tokens{" à ", " é "});
  CHECK(character_ngrams("a été", 4) == Tokens{" a ", " été", "été "});
  CHECK(character_ngrams("ab", 1) == Tokens{" ", "a", "b", " "});
  CHECK(character_ngrams("", 3).empty());
  CHECK_THROWS_AS(character_ngrams("a", 0), Error);
}

TEST_CASE("tokens of many texts") {
  const std::vector<std::string> texts = {"The sea", "", "It's 3.14!"};
  CHECK(tokenize(texts) == std::vector<Tokens>{{"the", "sea"}, {}, {"it's", "3.14"}});
  CHECK(tokenize(texts, {.lower = false})[0] == Tokens{"The", "sea"});
  CHECK(character_ngrams(texts, 4) ==
        std::vector<Tokens>{character_ngrams(texts[0], 4), {}, character_ngrams(texts[2], 4)});
}

TEST_CASE("Vocabulary: ids by count") {
  const std::vector<Tokens> texts = {{"b", "a", "c"}, {"b", "d", "b"}, {}, {"a"}};
  const Vocabulary all(texts);
  CHECK(all.size() == 6);
  CHECK(all.id("b") == 2);
  CHECK(all.id("a") == 3);
  CHECK(all.id("c") == 4);  // of equal counts in order
  CHECK(all.id("d") == 5);
  CHECK(all.id("x") == Vocabulary::kUnknown);
  CHECK(all.id("<padding>") == Vocabulary::kUnknown);
  CHECK(all.word(2) == "b");
  CHECK(all.word(0) == "<padding>");
  CHECK(all.count(2) == 3);
  CHECK(all.count(Vocabulary::kUnknown) == 0);

  const Vocabulary some(texts, {.min_count = 2});
  CHECK(some.size() == 4);
  CHECK(some.count(Vocabulary::kUnknown) == 2);
  const Vocabulary few(texts, {.max_size = 3});
  CHECK(few.size() == 3);
  CHECK(few.word(2) == "b");
  CHECK(few.count(Vocabulary::kUnknown) == 4);
  CHECK(Vocabulary(texts, {.max_size = 2}).size() == 2);
  CHECK(Vocabulary().size() == 2);

  CHECK_THROWS_AS(Vocabulary(texts, {.min_count = 0}), Error);
  CHECK_THROWS_AS(Vocabulary(texts, {.max_size = 1}), Error);
  CHECK(message([&] { all.word(6); }) == "Vocabulary: expected an id in 0..5; got 6.");
  CHECK_THROWS_AS(all.count(-1), Error);
}

TEST_CASE("Vocabulary: bags and sequences") {
  const std::vector<Tokens> texts = {{"b", "a", "b", "x"}, {}, {"a"}};
  const Vocabulary words(std::vector<Tokens>{{"b", "b", "a"}});
  const Tensor bags = words.bags(texts);
  CHECK(bags.dtype() == f32);
  CHECK(bags.shape() == Shape{3, 4});
  CHECK(bags.values() == Doubles{0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1});
  CHECK(words.bags(texts, {.shares = true}).values() ==
        Doubles{0, 0.25, 0.5, 0.25, 0, 0, 0, 0, 0, 0, 0, 1});

  const Tensor ids = words.sequences(texts);
  CHECK(ids.dtype() == i64);
  CHECK(ids.shape() == Shape{3, 4});
  CHECK(ids.values() == Doubles{2, 3, 2, 1, 0, 0, 0, 0, 3, 0, 0, 0});
  CHECK(words.sequences(texts, 2).values() == Doubles{2, 3, 0, 0, 3, 0});
  CHECK(words.sequences(texts, 5).shape() == Shape{3, 5});
  CHECK(words.sequences({}).shape() == Shape{0, 1});
  CHECK(words.sequences({{}, {}}).values() == Doubles{0, 0});
  CHECK(words.bags({}).shape() == Shape{0, 4});
  CHECK_THROWS_AS(words.sequences(texts, -1), Error);
}

TEST_CASE("Vocabulary: saved and loaded") {
  const std::vector<Tokens> texts = {{"ü", "a\nb", "c"}, {"ü"}};
  const Vocabulary words(texts, {.max_size = 4});
  const Scratch scratch;
  const std::string path = scratch.path("words.safetensors");
  save_safetensors(path, words.state());
  Vocabulary loaded;
  loaded.load_state(load_safetensors(path));
  CHECK(loaded.size() == 4);
  CHECK(loaded.id("a\nb") == 3);
  CHECK(loaded.count(2) == 2);
  CHECK(loaded.count(1) == 1);
  CHECK(loaded.sequences(texts).values() == words.sequences(texts).values());

  std::vector<NamedTensor> state = words.state();
  CHECK_THROWS_AS(loaded.load_state({state[0]}), Error);
  CHECK_THROWS_AS(loaded.load_state({state[0], {state[1].name, Tensor::zeros({3}, i64)}}), Error);
  CHECK_THROWS_AS(loaded.load_state({state[0], {state[1].name, Tensor::zeros({4})}}), Error);
  CHECK(message([&] {
          loaded.load_state({{state[0].name, text_tensor({"a", "a"})}, state[1]});
        }) == "Vocabulary: \"a\" is there twice.");
  CHECK(loaded.size() == 4);
}

TEST_CASE("texts as tensors") {
  const std::vector<std::string> texts = {"a", "", "é\n\xFF"};
  CHECK(texts_of(text_tensor(texts)) == texts);
  CHECK(text_tensor({"a"}).values() == Doubles{97, 0});
  CHECK(texts_of(text_tensor({})).empty());
  CHECK_THROWS_AS(text_tensor({std::string("a\0b", 3)}), Error);
  CHECK_THROWS_AS(texts_of(Tensor::of<int64_t>({97})), Error);
  CHECK_THROWS_AS(texts_of(Tensor::of<int64_t>({256, 0})), Error);
  CHECK_THROWS_AS(texts_of(Tensor::zeros({2})), Error);
}
