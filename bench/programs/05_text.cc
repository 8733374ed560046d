// Which language a sentence is in, by the runs of three characters in it.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

std::vector<Tokens> trigrams(const Table& table) {
  std::vector<Tokens> texts;
  for (int64_t i = 0; i < table.size(); ++i) {
    texts.push_back(character_ngrams(table["text"].text(i), 3));
  }
  return texts;
}

int main() {
  seed_layers(1);
  const auto [train, test] = read_csv("languages.csv").split(0.8);
  const Vocabulary vocabulary(trigrams(train));
  const auto encode = [&](const Table& table) {
    return Dataset{vocabulary.sequences(trigrams(table)), table["language"].tensor()};
  };
  Sequential net{EmbeddingBag(vocabulary.size(), 32, {.padding = 0}), Dense(32, 6)};
  Adam adam(net, {.lr = 1e-2});
  fit(net, adam, encode(train), {.epochs = 20, .batch = 16, .valid = encode(test)});
  fmt::print("test accuracy {:.1f} %\n", 100 * evaluate(net, encode(test)));

  const Tensor x = vocabulary.sequences({character_ngrams("Where is the cat?", 3)});
  const Tensor guess = argmax(predict(net, x), -1);
  fmt::print("\"Where is the cat?\" is {}\n", train["language"].levels[guess.item()]);
}
