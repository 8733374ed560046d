// Which language is this? From 38 sentences of each.
//
// A text becomes numbers in three steps: it is cut into tokens, a vocabulary gives each an id, and
// a table gives each id a vector, which is learned. The mean of these vectors stands for the text;
// the order is lost, and for many questions it does not matter. One dense layer then decides.
//
// What a token is matters more than the network. Words are the obvious choice, but there are many
// of them: most words of a new sentence are not among those of 38 others, and an unknown word says
// nothing. Runs of three characters are few, and each language has its own: "the", "sch", "ción".
// So a word that was never seen still tells where it comes from.
//
// The sentences (data/languages) say the same in English, German, Dutch, French, Spanish and
// Italian, so that what they speak of gives nothing away. Every fourth line is kept for the test,
// in all six.
//
//     18_text_classifier [--text "Quelle langue est-ce ?"]
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

const std::vector<std::string> kLanguages = {"english", "german",  "dutch",
                                             "french",  "spanish", "italian"};

struct Sentences {
  std::vector<std::string> texts;
  std::vector<int64_t> languages;
};

struct TrainTestSentences {
  Sentences train, test;
};

TrainTestSentences load_sentences() {
  TrainTestSentences all;
  for (size_t k = 0; k < kLanguages.size(); ++k) {
    std::istringstream lines(read_file(RAMP_DATA_DIR "/languages/" + kLanguages[k] + ".txt"));
    std::string line;
    for (int i = 0; std::getline(lines, line); ++i) {
      Sentences& part = i % 4 == 3 ? all.test : all.train;
      part.texts.push_back(line);
      part.languages.push_back(static_cast<int64_t>(k));
    }
  }
  return all;
}

using Tokenizer = std::function<Tokens(const std::string& text)>;

// What tells languages apart: tokens, their ids, and a network over these.
struct Reader {
  Tokenizer tokenizer;
  Vocabulary vocabulary;
  Sequential net;

  std::vector<Tokens> tokens(const std::vector<std::string>& texts) const {
    std::vector<Tokens> all;
    for (const std::string& text : texts) all.push_back(tokenizer(text));
    return all;
  }
  Tensor x_of(const std::vector<Tokens>& texts) const { return vocabulary.sequences(texts); }
  Tensor logits(const std::vector<std::string>& texts) { return predict(net, x_of(tokens(texts))); }

  Reader(const Sentences& train, Tokenizer f) : tokenizer(std::move(f)) {
    vocabulary = Vocabulary(tokens(train.texts));
    seed_layers(1);
    EmbeddingBag vectors(vocabulary.size(), 16, {.padding = Vocabulary::kPadding});
    {
      // Drawn from N(0, 1), the vectors of rare and unknown tokens, which stay nearly as they were
      // drawn, would drown the others: 72 instead of 90 % for words.
      const NoGrad no_grad;
      vectors.weight.mul_(0.1);
    }
    net = Sequential{vectors, Dense(16, std::ssize(kLanguages))};
    Adam adam(net, {.lr = 1e-2});
    fit(net, adam, {x_of(tokens(train.texts)), Tensor::of(train.languages)},
        {.epochs = 40, .batch = 32, .seed = 1, .out = nullptr});
  }
};

// The first words of each text.
std::vector<std::string> first_words(const std::vector<std::string>& texts, size_t count) {
  std::vector<std::string> starts;
  for (const std::string& text : texts) {
    Tokens words = tokenize(text);
    words.resize(std::min(count, words.size()));
    starts.push_back(fmt::format("{}", fmt::join(words, " ")));
  }
  return starts;
}

int main(int argc, char** argv) {
  std::string text;
  CLI::App app("Which language is this?");
  app.add_option("--text", text, "to be told the language of");
  CLI11_PARSE(app, argc, argv);

  const auto [train, test] = load_sentences();
  Reader words(train, [](const std::string& s) { return tokenize(s); });
  Reader trigrams(train, [](const std::string& s) { return character_ngrams(s, 3); });
  fmt::print("{} sentences to learn from, {} others: right of these, in %\n\n", train.texts.size(),
             test.texts.size());
  fmt::print("tokens       vocabulary   unknown   sentence   3 words   2 words    1 word\n");
  for (Reader* reader : {&words, &trigrams}) {
    double unknown = 0, count = 0;
    for (const Tokens& tokens : reader->tokens(test.texts)) {
      count += static_cast<double>(tokens.size());
      for (const std::string& token : tokens) {
        unknown += reader->vocabulary.id(token) == Vocabulary::kUnknown;
      }
    }
    fmt::print("{:12} {:10} {:7.1f} % ", reader == &words ? "words" : "trigrams",
               reader->vocabulary.size(), 100 * unknown / count);
    for (const size_t n : {100, 3, 2, 1}) {
      fmt::print("{:10.1f}", 100 * accuracy(reader->logits(first_words(test.texts, n)),
                                            Tensor::of(test.languages)));
    }
    fmt::print("\n");
  }

  // What it goes by: the tokens that by themselves say most for a language.
  std::vector<Tokens> alone;
  for (int64_t id = 2; id < trigrams.vocabulary.size(); ++id) {
    if (trigrams.vocabulary.count(id) >= 4) alone.push_back({trigrams.vocabulary.word(id)});
  }
  const Tensor share = log_softmax(predict(trigrams.net, trigrams.x_of(alone)), -1);
  for (int64_t k = 0; k < std::ssize(kLanguages); ++k) {
    std::vector<std::pair<double, std::string>> order;
    for (size_t i = 0; i < alone.size(); ++i) {
      order.emplace_back(-share.at({static_cast<int64_t>(i), k}), alone[i][0]);
    }
    std::sort(order.begin(), order.end());
    fmt::print("{}{:10}", k == 0 ? "\n" : "", kLanguages[static_cast<size_t>(k)]);
    for (size_t i = 0; i < 9; ++i) fmt::print("  [{}]", order[i].second);
    fmt::print("\n");
  }

  fmt::print("\nWhat it gets wrong, of two words each:\n");
  const std::vector<std::string> starts = first_words(test.texts, 2);
  const Tensor guess = argmax(trigrams.logits(starts), -1);
  for (size_t i = 0, shown = 0; i < starts.size() && shown < 8; ++i) {
    const int64_t is = test.languages[i], said = guess.data<int64_t>()[i];
    if (is == said) continue;
    fmt::print("  {:24} is {}, not {}\n", starts[i], kLanguages[static_cast<size_t>(is)],
               kLanguages[static_cast<size_t>(said)]);
    ++shown;
  }
  if (text.empty()) return 0;
  const Tensor p = softmax(trigrams.logits({text}), -1);
  fmt::print("\n{}\n", text);
  for (int64_t k = 0; k < std::ssize(kLanguages); ++k) {
    fmt::print("  {:10} {:5.1f} %\n", kLanguages[static_cast<size_t>(k)], 100 * p.at({0, k}));
  }
}
