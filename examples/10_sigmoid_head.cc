// Yes or no: one logit, a sigmoid behind it, and a threshold that is yours to choose.
//
// A blood test gives two numbers; one patient in five is ill, and the two groups overlap. The
// network says one number z for each patient. It is trained by bce_with_logits, which is the
// negative log-likelihood of "ill with probability sigmoid(z)". So sigmoid(z) becomes an honest
// probability: here we know the true one, and can compare. What to do about 30 % is not the
// network's question: whoever pays for missed patients and false alarms sets the threshold.
#include <fmt/format.h>

#include <cmath>

#include "ramp/ramp.h"

using namespace ramp;

constexpr double kIll = 0.2;  // of all patients

// The healthy lie around (0, 0) with variance 1, the ill around (2, 1.5) with variance 1/2.
Dataset patients(int64_t n, Rng& rng) {
  const Tensor ill = rng.uniform({n, 1}) < kIll, noise = rng.normal({n, 2});
  const Tensor center = Tensor::of<float>({2, 1.5f}), one = Tensor::ones({1});
  return {where(ill, center, one * 0) + noise * where(ill, one * std::sqrt(0.5), one), ill};
}

// What can be known at best: P(ill | x), by Bayes.
Tensor true_probability(const Tensor& x) {
  const Tensor to_ill = x - Tensor::of<float>({2, 1.5f});
  const Tensor ill = kIll * 2 * exp(-sum(to_ill * to_ill, -1, {.keepdims = true}));
  const Tensor healthy = (1 - kIll) * exp(sum(x * x, -1, {.keepdims = true}) * -0.5);
  return ill / (ill + healthy);
}

int main() {
  Rng rng(1);
  const Dataset train = patients(8000, rng), test = patients(4000, rng);
  seed_layers(1);
  Sequential net{Dense(2, 16, ReLU{}), Dense(16, 1)};  // no activation: the loss takes logits
  Adam adam(net, {.lr = 3e-3});
  Batches batches(train, {.size = 100, .seed = 1});
  for (int64_t epoch = 0; epoch < 15; ++epoch) {
    double loss_sum = 0;
    for (const auto& [x, ill] : batches.epoch(epoch)) {
      Tensor loss = bce_with_logits(net(x), ill);
      loss.backward();
      adam.step();
      adam.zero_grad();
      loss_sum += loss.item();
    }
    if (epoch % 7 == 0) {
      fmt::print("epoch {:2}  loss {:.4f}\n", epoch,
                 loss_sum / static_cast<double>(batches.count()));
    }
  }

  const Tensor z = predict(net, test.x), p = sigmoid(z), truth = true_probability(test.x);
  fmt::print("\nthe first patients:\n  logit   sigmoid   true probability   ill\n");
  for (int64_t i = 0; i < 5; ++i) {
    fmt::print("  {:5.2f}   {:7.3f}   {:16.3f}   {:>3}\n", z.data<float>()[i], p.data<float>()[i],
               truth.data<float>()[i], test.y.data<float>()[i] == 1 ? "yes" : "no");
  }
  fmt::print("mean distance from the true probability: {:.3f}\n", mean(abs(p - truth)).item());

  // Where a missed patient costs ten times a false alarm, 1/11 is the threshold to take.
  fmt::print(
      "\nthreshold   accuracy   patients found   false alarms   cost of a miss = 10 alarms\n");
  const double n = static_cast<double>(test.size()), ill = sum(test.y).item();
  for (const double threshold : {0.5, 0.25, 1. / 11, 0.02}) {
    const Tensor said = greater(p, Tensor::full({}, threshold));
    const double found = sum(said * test.y).item(), alarms = sum(said).item() - found;
    const double right = found + (n - ill - alarms);
    fmt::print("{:9.2f}   {:6.1f} %   {:12.1f} %   {:12.0f}   {:10.0f}\n", threshold,
               100 * right / n, 100 * found / ill, alarms, 10 * (ill - found) + alarms);
  }
}
