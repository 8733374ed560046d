// Which language a sentence is in, by the runs of three characters in it.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const auto [train, test] = read_csv("languages.csv").split(0.8);
  const Vocabulary vocabulary(character_ngrams(train["text"].texts(), 3));
  const auto encode = [&](const Table& table) {
    const std::vector<Tokens> runs = character_ngrams(table["text"].texts(), 3);
    return Dataset{vocabulary.sequences(runs), table["language"].tensor()};
  };
  Sequential net{EmbeddingBag(vocabulary.size(), 32, {.padding = 0}), Dense(32, 6)};
  Adam adam(net, {.lr = 1e-2});
  fit(net, adam, encode(train), {.epochs = 20, .batch = 16, .valid = encode(test)});
  fmt::print("test accuracy {:.1f} %\n", 100 * evaluate(net, encode(test)));

  const Tensor x = vocabulary.sequences({character_ngrams("Where is the cat?", 3)});
  const Tensor guess = argmax(predict(net, x), -1);
  fmt::print("\"Where is the cat?\" is {}\n", train["language"].levels[guess.item()]);
}
