// Fraud is rare: one payment in thirty. Both classes are drawn equally often, and the model of the
// epoch with the best AUC is kept.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

int main() {
  seed_layers(1);
  const auto [known, test] = read_csv("payments.csv").split(0.8);
  const auto [train, valid] = known.split(0.8);
  const TableEncoder encoder(train, {.target = "fraud"});
  const Dataset data = encoder(train);
  Sequential net{Dense(encoder.width(), 32, ReLU{}), Dense(32, 2)};
  Adam adam(net, {.lr = 3e-3});
  fit(net, adam, data,
      {.epochs = 10,
       .weights = balanced_weights(data.y),
       .metrics = {"precision", "recall", "auc"},
       .valid = encoder(valid),
       .monitor = "valid_auc",
       .keep_best = true});

  const auto [x, y] = encoder(test);
  const Tensor logits = predict(net, x);
  fmt::print("{}\nprecision {:.3f}  recall {:.3f}  AUC {:.3f}\n", confusion_matrix(logits, y),
             precision(logits, y), recall(logits, y), roc_auc(logits, y));
}
