// One of several: a logit for each class, and a softmax that makes them probabilities.
//
// Three spiral arms wind around each other, a class each. The network says three logits for a
// point. softmax turns them into positive numbers whose sum is 1; cross_entropy is minus the
// logarithm of the right one. Only differences between logits matter: adding 1000 to all of them
// changes nothing but the last digits. And the loss takes the logits themselves, as the logarithm
// of a probability that has rounded to 0 is lost.
#include <fmt/format.h>

#include <cmath>

#include "ramp/ramp.h"

using namespace ramp;

constexpr int64_t kClasses = 3;

// Arm k starts at the angle 2 pi k / 3 and turns by 4 radians on its way out.
Dataset spirals(int64_t n, Rng& rng) {
  const Tensor radius = rng.uniform({n}, 0.1, 1), noise = rng.normal({n}, 0, 0.45);
  Tensor x = Tensor::empty({n, 2}), label = Tensor::empty({n}, i64);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t k = i % kClasses;
    const float r = radius.data<float>()[i];
    const float angle = 2.0944f * static_cast<float>(k) + 4 * r + noise.data<float>()[i];
    x.mutable_data<float>()[2 * i] = r * std::cos(angle);
    x.mutable_data<float>()[2 * i + 1] = r * std::sin(angle);
    label.mutable_data<int64_t>()[i] = k;
  }
  return {x, label};
}

int main() {
  Rng rng(1);
  const Dataset train = spirals(1500, rng), test = spirals(1500, rng);
  seed_layers(1);
  Sequential net{Dense(2, 32, ReLU{}), Dense(32, 32, ReLU{}), Dense(32, kClasses)};
  fmt::print("untrained: loss {:.4f}; a guess has log 3 = {:.4f}\n",
             cross_entropy(predict(net, train.x), train.y).item(), std::log(3));
  Adam adam(net, {.lr = 5e-3});
  Batches batches(train, {.size = 50, .seed = 1});
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    double loss_sum = 0;
    for (const auto& [x, label] : batches.epoch(epoch)) {
      Tensor loss = cross_entropy(net(x), label);
      loss.backward();
      adam.step();
      adam.zero_grad();
      loss_sum += loss.item();
    }
    if (epoch % 13 == 0) {
      fmt::print("epoch {:2}  loss {:.4f}  test accuracy {:.1f} %\n", epoch,
                 loss_sum / static_cast<double>(batches.count()), 100 * evaluate(net, test));
    }
  }

  const Tensor z = predict(net, test.x), p = softmax(z), top = argmax(p, -1);
  fmt::print("\n       logits               probabilities            sum    says   is\n");
  for (int64_t i = 0; i < 6; ++i) {
    const float *logit = z.data<float>() + kClasses * i, *q = p.data<float>() + kClasses * i;
    fmt::print("{:6.2f} {:6.2f} {:6.2f}   {:.4f}  {:.4f}  {:.4f}   {:.4f}   {:3}   {:3}\n",
               logit[0], logit[1], logit[2], q[0], q[1], q[2], sum(p.rows(i, i + 1)).item(),
               top.data<int64_t>()[i], test.y.data<int64_t>()[i]);
  }
  fmt::print("probabilities of all points: sums within {:.1e} of 1\n",
             max(abs(sum(p, -1) - 1)).item());
  fmt::print("logits + 1000: probabilities change by {:.1e}\n",
             max(abs(softmax(z + 1000) - p)).item());

  // A point the network is sure about, and wrong.
  const Tensor sure = Tensor::of<float>({150, 0, -20}, {1, 3}), label = Tensor::of<int64_t>({1});
  fmt::print("logits (150, 0, -20), label 1: cross_entropy {:.0f}, -log(softmax) {:.0f}\n",
             cross_entropy(sure, label).item(), -log(softmax(sure)).values()[1]);
}
