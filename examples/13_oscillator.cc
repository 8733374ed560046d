// A network that solves an equation nobody gave it a solution of.
//
// A weight on a spring with friction moves so that
//     u'' + 2 d u' + w^2 u = 0,    u(0) = 1,  u'(0) = 0.
// Here a network is u(t). There are no examples to learn from: the loss is how badly the equation
// is violated, the mean of (u'' + 2 d u' + w^2 u)^2 over some times t. Its u' is the gradient of
// u by its input, and u'' the gradient of u': grad(.., {.create_graph = true}) puts them on the
// tape, so that the loss, which is made of them, has a gradient by the weights: a third derivative.
// u = 1 + tanh(t)^2 net(t) starts right whatever the weights are.
//
//     13_oscillator [--steps n] [--svg FILE]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

constexpr double kFriction = 0.25, kFrequency = 2, kEnd = 6;

// u, u' and u'' at the times t, all on the tape.
struct Motion {
  Tensor u, du, ddu;
};
Motion motion(Module& net, const Tensor& times) {
  Tensor t = times.detach();
  t.requires_grad_();
  const Tensor rise = tanh(t);  // t near 0
  const Tensor u = 1 + rise * rise * net(2 / kEnd * t - 1);
  // The times do not know of each other, so the gradient of the sum is u' at each time.
  const Tensor du = grad(sum(u), {t}, {.create_graph = true})[0];
  return {u, du, grad(sum(du), {t}, {.create_graph = true})[0]};
}

// The closed form, e^(-d t) (cos(f t) + d / f sin(f t)) with f^2 = w^2 - d^2, and its derivatives.
std::vector<double> truth(double t) {
  const double d = kFriction, w = kFrequency, f = std::sqrt(w * w - d * d);
  const double u = std::exp(-d * t) * (std::cos(f * t) + d / f * std::sin(f * t));
  const double du = -w * w / f * std::exp(-d * t) * std::sin(f * t);
  return {u, du, -2 * d * du - w * w * u};
}

int main(int argc, char** argv) {
  int steps = 40;
  std::string file = "oscillator.svg";
  CLI::App app("A network that solves u'' + 2 d u' + w^2 u = 0");
  app.add_option("--steps", steps, "of L-BFGS, 20 iterations each");
  app.add_option("--svg", file, "where the picture goes");
  CLI11_PARSE(app, argc, argv);

  seed_layers(1);
  Sequential net{Dense(1, 24, Tanh{}), Dense(24, 24, Tanh{}), Dense(24, 1)};
  net.to(f64);
  Tensor times = Tensor::empty({120, 1}, f64);
  for (int64_t i = 0; i < 120; ++i) {
    times.mutable_data<double>()[i] = kEnd * static_cast<double>(i) / 119;
  }

  LBFGS lbfgs(net);
  for (int step = 1; step <= steps; ++step) {
    const double loss = lbfgs.step([&] {
      const auto [u, du, ddu] = motion(net, times);
      return mean(pow(ddu + 2 * kFriction * du + kFrequency * kFrequency * u, 2));
    });
    if (step == 1 || step % 10 == 0) fmt::print("step {:3}  violation {:.3g}\n", step, loss);
  }

  const Motion m = motion(net, times);
  Plot plot{.title = "u'' + 0.5 u' + 4 u = 0: the network (lines) and the closed form (dots)",
            .x_label = "t"};
  const Tensor* curves[] = {&m.u, &m.du, &m.ddu};
  const char* names[] = {"u", "u'", "u''"};
  double error[3] = {};
  for (size_t k = 0; k < 3; ++k) {
    PlotSeries found{.name = names[k], .x = times.values(), .y = curves[k]->values()};
    PlotSeries closed{.dots = true, .line = false};
    for (size_t i = 0; i < found.x.size(); ++i) {
      const double right = truth(found.x[i])[k];
      error[k] = std::max(error[k], std::abs(found.y[i] - right));
      if (i % 4 != 0) continue;
      closed.x.push_back(found.x[i]);
      closed.y.push_back(right);
    }
    plot.series.push_back(found);
    plot.series.push_back(closed);
  }
  std::ofstream(file) << svg(plot);
  fmt::print("\n     t        u   closed form       u'   closed form\n");
  for (const size_t i : {0, 20, 40, 60, 80, 100, 119}) {
    const double t = times.values()[i];
    fmt::print("{:6.2f} {:8.4f}   {:11.4f} {:8.4f}   {:11.4f}\n", t, m.u.values()[i], truth(t)[0],
               m.du.values()[i], truth(t)[1]);
  }
  fmt::print("\nlargest error: u {:.2g}, u' {:.2g}, u'' {:.2g}; drawn in {}\n", error[0], error[1],
             error[2], file);
}
