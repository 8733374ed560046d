// How much: a linear output, as a number to predict has no bounds; and what an outlier does to it.
//
// y = sin(3 x) with a little noise, but one measurement in ten is wrong by a lot, always upwards.
// The mean of squares is least at the mean of what was measured, so mse_loss is drawn towards the
// wrong ones: its gradient grows with the distance. huber_loss is a square near 0 and a line
// beyond delta: there an outlier pulls with the same force as anyone else, and the many win.
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

float truth(float x) { return std::sin(3 * x); }

Dataset measurements(int64_t n, Rng& rng) {
  const Tensor x = rng.uniform({n, 1}, -1, 1), noise = rng.normal({n, 1}, 0, 0.1);
  const Tensor broken = rng.uniform({n, 1}) < 0.1;
  Tensor y = Tensor::empty({n, 1});
  for (int64_t i = 0; i < n; ++i) y.mutable_data<float>()[i] = truth(x.data<float>()[i]);
  return {x, y + noise + broken * 4};
}

// The root of the mean squared distance from the truth, after training with this loss.
double error_of(const std::string& name, const Dataset& train,
                const std::function<Tensor(const Tensor& y, const Tensor& target)>& loss_of) {
  seed_layers(1);
  Sequential net{Dense(1, 32, Tanh{}), Dense(32, 1)};  // no activation at the end
  Adam adam(net, {.lr = 1e-2});
  for (int step = 0; step < 600; ++step) {
    Tensor loss = loss_of(net(train.x), train.y);
    loss.backward();
    adam.step();
    adam.zero_grad();
  }

  Tensor x = Tensor::empty({201, 1}), target = Tensor::empty({201, 1});
  for (int64_t i = 0; i < 201; ++i) {
    x.mutable_data<float>()[i] = static_cast<float>(i) / 100 - 1;
    target.mutable_data<float>()[i] = truth(x.data<float>()[i]);
  }
  const Tensor y = predict(net, x);
  const double error = std::sqrt(mse_loss(y, target).item());
  fmt::print("{:18}", name);
  for (const int64_t i : {0, 50, 100, 150, 200}) fmt::print(" {:7.3f}", y.data<float>()[i]);
  fmt::print("   {:10.3f}   {:+.3f}\n", error, mean(y - target).item());
  return error;
}

int main() {
  Rng rng(1);
  const Dataset train = measurements(1000, rng);
  fmt::print("x                   -1.000  -0.500   0.000   0.500   1.000   rms error   bias\n");
  fmt::print("{:18}", "sin(3 x)");
  for (const float x : {-1.f, -0.5f, 0.f, 0.5f, 1.f}) fmt::print(" {:7.3f}", truth(x));
  fmt::print("\n");

  const auto mse = [](const Tensor& y, const Tensor& t) { return mse_loss(y, t); };
  const auto huber = [](const Tensor& y, const Tensor& t) { return huber_loss(y, t, 0.2); };
  const auto l1 = [](const Tensor& y, const Tensor& t) { return l1_loss(y, t); };
  const double squares = error_of("mse_loss", train, mse);
  const double robust = error_of("huber_loss, 0.2", train, huber);
  error_of("l1_loss", train, l1);
  fmt::print("\none in ten is off by 4, so the mean is off by 0.4; huber is {:.1f} times closer\n",
             squares / robust);
}
