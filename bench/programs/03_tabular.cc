// What a flat costs, from a CSV file in which years and districts are missing.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const auto [known, test] = read_csv("flats.csv").split(0.8);
  const auto [train, valid] = known.split(0.8);
  const TableEncoder encoder(train, {.target = "price"});
  Sequential net{Dense(encoder.width(), 64, ReLU{}), Dense(64, 64, ReLU{}), Dense(64, 1)};
  Adam adam(net, {.lr = 3e-3});
  fit(net, adam, encoder(train),
      {.epochs = 100, .valid = encoder(valid), .keep_best = true, .patience = 10});

  const auto [x, y] = encoder(test);
  const Tensor price = encoder.inverse(y), guess = encoder.inverse(predict(net, x));
  fmt::print("RMSE {:.2f}  R2 {:.3f}\n", rmse(guess, price), r2_score(guess, price));
}
