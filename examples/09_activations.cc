// The whole family side by side: formula, derivatives, a picture, He's gain, error and cost.
//
// It shows in a terminal what each activation does to -2..2; `--docs docs` writes
// docs/activations.md and its pictures instead. Everything on that page is read from the rules
// themselves or measured.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "ramp/ramp.h"

using namespace ramp;

/// One row of the page.
struct Row {
  std::string name, formula, derivative, second, gain, error, file;
  std::function<Tensor(const Tensor&)> op;     // what is timed, of f32 [rows, 64]
  std::function<Tensor(const Tensor&)> curve;  // what is drawn, of f64 [n] -> [n]
  Activation one;                              // the curve as a function of one number
};

/// The largest error over f32 in units in the last place, against the rule in long double: every
/// 997th of all numbers, but for results that are nearly 0 (below 1e-30), where f32 has few digits.
template <typename A>
double largest_error(const A& rule) {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 997) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  const Tensor y = activate(Tensor::of<float>(x), rule);
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const long double right = rule.f(static_cast<long double>(x[i]));
    const float rounded = std::fabs(static_cast<float>(right));
    if (!(rounded > 1e-30f) || std::isinf(rounded)) continue;
    const long double ulp = std::nextafter(rounded, HUGE_VALF) - static_cast<long double>(rounded);
    most = std::max(most, static_cast<double>(std::fabs((y.data<float>()[i] - right) / ulp)));
  }
  return most;
}

/// ns an element, forward and backward: the least of many runs over 64 kB, which stay in the cache.
std::pair<double, double> cost(const std::function<Tensor(const Tensor&)>& op) {
  const Tensor x = Rng(1).normal({256, 64}).requires_grad_();
  const Tensor dy = Rng(2).normal(op(x).shape());
  double forward = HUGE_VAL, back = HUGE_VAL;
  for (int i = 0; i < 400; ++i) {
    const auto a = std::chrono::steady_clock::now();
    const Tensor y = op(x);
    const auto b = std::chrono::steady_clock::now();
    backward(y, dy);
    const auto c = std::chrono::steady_clock::now();
    forward = std::min(forward, std::chrono::duration<double, std::nano>(b - a).count());
    back = std::min(back, std::chrono::duration<double, std::nano>(c - b).count());
    Tensor(x).zero_grad();
  }
  const auto n = static_cast<double>(x.numel());
  return {forward / n, back / n};
}

std::vector<Row> family(bool measure) {
  std::vector<Row> rows;
  Activations::for_each([&]<typename A>() {
    const Activation f = A{};
    const auto op = [f](const Tensor& x) { return activate(x, f); };
    rows.push_back({f.name(), f.formula(), f.derivative_formula(), f.second_formula(),
                    fmt::format("{:.4f}", init::gain(f)),
                    measure ? fmt::format("{:.1f}", largest_error(A{})) : "", f.name(), op, op, f});
  });
  // Those that are not a function of one number. They are drawn along one of their inputs.
  const auto beside = [](double a, bool first) {
    return [=](const Tensor& x) {
      const Tensor other = Tensor::full(x.shape(), a, x.dtype());
      return stack(first ? std::vector{x, other} : std::vector{other, x}, -1);
    };
  };
  const auto head = [](const Tensor& y) { return squeeze(slice(y, -1, 0, 1), -1); };
  rows.push_back({"prelu", "y = x > 0 ? x : slope x, slope learned",
                  "y' = x > 0 ? 1 : slope; dy/dslope = min(0, x)", "y'' = 0",
                  fmt::format("{:.4f}", init::gain(LeakyReLU{0.25})), "", "prelu",
                  [](const Tensor& x) { return prelu(x, Tensor::full({x.dim(-1)}, 0.25)); },
                  [](const Tensor& x) { return prelu(x, Tensor::full({1}, 0.25, x.dtype())); },
                  LeakyReLU{0.25}});
  rows.push_back({"rrelu", "y = x > 0 ? x : r x, r ~ U[1/8, 1/3)", "y' = x > 0 ? 1 : r", "y'' = 0",
                  "", "", "rrelu",
                  [](const Tensor& x) {
                    Rng rng(1);
                    return rrelu(x, rng);
                  },
                  [](const Tensor& x) {
                    Rng rng(1);
                    return rrelu(x, rng);
                  },
                  LeakyReLU{0.25}});
  rows.push_back({"crelu", "y = [max(0, x), max(0, -x)]", "y' = [x > 0, -(x < 0)]", "y'' = 0", "",
                  "", "crelu", crelu,
                  [=](const Tensor& x) { return head(crelu(unsqueeze(x, -1))); }, ReLU{}});
  rows.push_back({"glu", "y = a s(b), [a, b] = x, s = sigmoid",
                  "dy/da = s(b), dy/db = y (1 - s(b))", "d2y/db2 = y (1 - s(b)) (1 - 2 s(b))", "",
                  "", "glu", glu, [=](const Tensor& x) { return head(glu(beside(1, false)(x))); },
                  Sigmoid{}});
  const auto of_two = beside(0, true);
  rows.push_back({"softmax", "y_i = e^x_i / sum_j e^x_j", "dy_i/dx_j = y_i ((i = j) - y_j)",
                  "d2y_i/dx_i2 = y_i (1 - y_i) (1 - 2 y_i)", "", "", "softmax",
                  [](const Tensor& x) { return softmax(x); },
                  [=](const Tensor& x) { return head(softmax(of_two(x))); }, Sigmoid{}});
  rows.push_back({"log_softmax", "y_i = x_i - log(sum_j e^x_j)", "dy_i/dx_j = (i = j) - e^y_j",
                  "d2y_i/dx_j2 = -e^y_j (1 - e^y_j)", "", "", "log_softmax",
                  [](const Tensor& x) { return log_softmax(x); },
                  [=](const Tensor& x) { return head(log_softmax(of_two(x))); }, LogSigmoid{}});
  return rows;
}

/// The value and both derivatives over -4..4. Where neighbouring values jump, the line has a gap.
std::string picture(const Row& row) {
  constexpr int kPoints = 401;
  Tensor x = Tensor::empty({kPoints}, f64);
  for (int i = 0; i < kPoints; ++i) x.mutable_data<double>()[i] = -4 + 8. * i / (kPoints - 1);
  x.requires_grad_();
  const Tensor y = row.curve(x);
  backward(y, Tensor::ones({kPoints}, f64));
  std::vector<double> second;
  for (const double at : x.values()) second.push_back(row.one.second_derivative(at));
  const auto line = [&](const char* name, const std::vector<double>& v, bool dashed) {
    PlotSeries s{.name = name, .dashed = dashed};
    for (size_t i = 0; i < v.size(); ++i) {
      if (i > 0 && std::fabs(v[i] - v[i - 1]) > 0.25) {
        s.x.push_back(x.values()[i]);
        s.y.push_back(NAN);
      }
      s.x.push_back(x.values()[i]);
      s.y.push_back(v[i]);
    }
    return s;
  };
  return svg({.title = row.name,
              .series = {line("y", y.values(), false), line("y'", x.grad().values(), true),
                         line("y''", second, true)},
              .y_range = {-2.2, 4.2},
              .width = 320,
              .height = 240});
}

/// For a cell of a Markdown table.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? "\\|" : std::string(1, c);
  return out;
}

void write_page(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder / "activations");
  std::ofstream page(folder / "activations.md");
  page << fmt::format(R"(# Activations

What ramp brings, one row each. Every rule stands once in [core/rules_unary.h](../core/rules_unary.h): its value,
its derivatives, its kinks and its source. The same lines run on numbers and on vectors, and any of them fuses into
Dense, Conv2d and BatchNorm: `Dense(784, 128, GELU{{}})`. As ops they are called by the names below, `gelu(x)`. Your
own struct does the same: [examples/04_my_activation.cc](../examples/04_my_activation.cc). (prelu learns its slope and
rrelu draws it, crelu, glu, softmax and log_softmax look at more than one number: they are layers of their own.)

This page and its pictures are written by `09_activations --docs docs`. Pictures: value, and dashed its derivatives,
with the numbers the struct starts with; the first half of crelu, glu along b for a = 1, softmax along x_1 for x_2 = 0.

- **gain**: 1 / sqrt(E f(z)^2) for z ~ N(0, 1), by quadrature: He's factor, which layers use for their first weights.
- **error**: the largest of the value over f32, in units in the last place, against long double, where |y| > 1e-30.
  Below, y = x s(x) is a product with a denormal number and has few digits: up to 52 units for swish, silu and mish.
  gelu_tanh has its error from rounding u, of which the tail is the exponential.
- **cost**: ns an element, forward + backward, f32, one thread, 64 kB, the least of 400 runs as an op by itself
  ({}; {}). Fused, the pass over memory falls away.
- exp, log, tanh, sigmoid and erf, of which these are made, are ramp's own: off by at most 0.99, 0.84, 2.42, 2.41 and
  2.92 units over all 2^32 floats, denormals included ([core/kernels/math.h](../core/kernels/math.h)).
- NaN stays NaN. At +-inf value and derivative are their limits. Where the derivative is 0, nothing passes back, not
  even inf or NaN. What it is at a kink stands at the struct.
- The second derivative is there when a gradient is differentiated again, and in any order: `Activation::slope()` is
  the derivative as an activation, `slope().slope()` the next one. At a kink or a jump of y' it is 0.

| name | value and derivatives | picture | gain | error | cost |
|---|---|---|---|---|---|
)",
                      cpu_model(), environment());
  for (const Row& row : family(true)) {
    std::ofstream(folder / "activations" / (row.file + ".svg")) << picture(row);
    const auto [forward, backward] = cost(row.op);
    page << fmt::format(
        "| **{0}** | `{1}`<br>`{2}`<br>`{8}` | <img src=\"activations/{3}.svg\" width=\"320\" "
        "alt=\"{0}\"> | {4} | {5} | {6:.2f} + {7:.2f} |\n",
        row.name, cell(row.formula), cell(row.derivative), row.file, row.gain, row.error, forward,
        backward, cell(row.second));
  }
}

int main(int argc, char** argv) {
  std::string folder;
  CLI::App app("Shows the activations; --docs writes the page about them.");
  app.add_option("--docs", folder, "the folder for activations.md and its pictures");
  CLI11_PARSE(app, argc, argv);
  set_num_threads(1);
  if (!folder.empty()) {
    write_page(folder);
    return 0;
  }
  fmt::print("{:16} {:>8} {:>8} {:>8} {:>8} {:>8}   gain\n", "x =", -2, -1, 0, 1, 2);
  for (const Row& row : family(false)) {
    fmt::print("{:16}", row.name);
    for (const double y : row.curve(Tensor::of<double>({-2, -1, 0, 1, 2})).values())
      fmt::print(" {:8.4f}", y);
    fmt::print("   {}\n", row.gain);
  }
}
