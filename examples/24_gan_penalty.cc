// Two networks that learn from each other, and a gradient in the loss that keeps them honest.
//
// A generator turns noise into points; a critic tells how real a point looks, and rises from made
// ones to real ones. The generator follows the critic's slope. If the critic becomes a cliff, there
// is no slope to follow: so its loss has a penalty for a slope other than 1,
//     (|d critic / d point| - 1)^2,
// at points between real and made ones (Gulrajani et al. 2017, eq. 3). The slope is a gradient, and
// it stands in a loss: its own gradient, by the critic's weights, is a second derivative.
//
//     24_gan_penalty [--steps n]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

// n points on two interleaved half circles.
Tensor moons(int64_t n, Rng& rng) {
  const Tensor angle = rng.uniform({n}, 0, std::numbers::pi), noise = rng.normal({n, 2}, 0, 0.05);
  Tensor x = Tensor::empty({n, 2});
  for (int64_t i = 0; i < n; ++i) {
    const float a = angle.data<float>()[i], side = i % 2 == 0 ? 1.f : -1.f;
    float* p = x.mutable_data<float>() + 2 * i;
    p[0] = (side > 0 ? std::cos(a) : 1 - std::cos(a)) + noise.data<float>()[2 * i] - 0.5f;
    p[1] = (side > 0 ? std::sin(a) : 0.5f - std::sin(a)) + noise.data<float>()[2 * i + 1] - 0.25f;
  }
  return x;
}

// The slope of the critic at each point, [n].
Tensor slopes(Module& critic, const Tensor& points) {
  Tensor p = points.detach();
  p.requires_grad_();
  const Tensor d = grad(sum(critic(p)), {p}, {.create_graph = true})[0];
  return sqrt(sum(d * d, -1) + 1e-12);
}

// How far apart two clouds are: the mean distance from each point to the nearest of the other one,
// both ways. It is large too where one moon is missing.
double distance(const Tensor& a, const Tensor& b) {
  const Tensor d = unsqueeze(a, 1) - unsqueeze(b, 0);
  const Tensor r = sqrt(sum(d * d, -1));
  return (mean(min(r, 0)).item() + mean(min(r, 1)).item()) / 2;
}

void draw(const Tensor& points) {
  constexpr int kRows = 18, kColumns = 64;
  std::vector<std::string> picture(kRows, std::string(kColumns, ' '));
  for (int64_t i = 0; i < points.dim(0); ++i) {
    const int c = static_cast<int>((points.at({i, 0}) + 2) / 4 * kColumns);
    const int r = static_cast<int>((1.2 - points.at({i, 1})) / 2.4 * kRows);
    if (r >= 0 && r < kRows && c >= 0 && c < kColumns) picture[r][c] = 'o';
  }
  for (const std::string& line : picture) fmt::print("{}\n", line);
}

int main(int argc, char** argv) {
  int steps = 3000;
  CLI::App app("A GAN with a gradient penalty, on two moons");
  app.add_option("--steps", steps, "of the generator; the critic takes three times as many");
  CLI11_PARSE(app, argc, argv);

  seed_layers(2);
  Rng rng(2);
  Sequential generator{Dense(2, 64, ReLU{}), Dense(64, 64, ReLU{}), Dense(64, 2)};
  Sequential critic{Dense(2, 64, SiLU{}), Dense(64, 64, SiLU{}), Dense(64, 1)};
  Adam learn(generator, {.lr = 1e-3, .beta1 = 0, .beta2 = 0.9});
  Adam judge(critic, {.lr = 1e-3, .beta1 = 0, .beta2 = 0.9});
  const int64_t n = 128;
  const auto made = [&] { return generator(rng.normal({n, 2})); };

  const Tensor test = moons(500, rng);
  const auto report = [&](int step, double slope) {
    const Tensor points = predict(generator, rng.normal({500, 2}));
    fmt::print("step {:4}  distance {:.3f}  slope of the critic {:.2f}\n", step,
               distance(points, test), slope);
  };
  double slope = 0;
  for (int step = 0; step < steps; ++step) {
    for (int i = 0; i < 3; ++i) {
      const Tensor real = moons(n, rng), fake = made().detach();
      const Tensor between = fake + rng.uniform({n, 1}) * (real - fake);
      const Tensor s = slopes(critic, between);
      const Tensor loss = mean(critic(fake)) - mean(critic(real)) + 0.3 * mean(pow(s - 1, 2));
      loss.backward();
      judge.step();
      judge.zero_grad();
      slope = mean(s).item();
    }
    critic.freeze();
    const Tensor loss = -mean(critic(made()));
    loss.backward();
    critic.freeze(false);
    learn.step();
    learn.zero_grad();
    if (step % 500 == 0) report(step, slope);
  }
  report(steps, slope);
  fmt::print("\n");
  draw(predict(generator, rng.normal({500, 2})));
  fmt::print("\ntwo samples of the moons themselves have distance {:.3f}\n",
             distance(moons(500, rng), test));
}
