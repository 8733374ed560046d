// What is said of ReLU in every tutorial, tried: one function for each claim, which trains the
// networks that the claim is about, makes a table and plots of what came out, and judges.
//
//   08_relu_tour                prints the tables (some minutes)
//   08_relu_tour --docs docs    writes docs/relu.md and its plots in docs/relu/
//   08_relu_tour --quick        the same with less of everything (seconds): does it still run?
//
// Seeds are fixed, and ramp's results do not depend on the number of threads: but for the times in
// "cost", the numbers of docs/relu.md are those of every run on one kind of machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "ramp/ramp.h"
#include "relu_tour.h"

Section vanishing_gradients() {
  constexpr int64_t kHidden = 20, kWidth = 64;
  Section s{
      .name = "vanishing",
      .heading = "Vanishing gradients",
      .claim =
          "Sigmoid and tanh squash the gradient in each layer, so that the first layers of a deep "
          "network do not learn; ReLU, with slope 1, lets it pass.",
      .method = fmt::format(
          "MNIST, {} hidden layers of {} units. Sigmoid and tanh with Xavier's weights, ReLU with "
          "He's: each as it is commonly used. The gradient of the first batch's loss, and the "
          "accuracy after {} epochs of {} images (SGD, rate 0.003, momentum 0.9, batch 64).",
          kHidden, kWidth, few(3, 1), mnist().train.size()),
      .table = {{"activation", "norm of the gradient, layer 2", "layer 20", "ratio",
                 "largest / smallest", "accuracy"}}};
  Plot plot{.title = "Norm of the weights' gradient, before training",
            .x_label = "layer",
            .y_label = "norm",
            .log_y = true};
  struct Case {
    std::string name;
    Activation f;
    bool he;
  };
  std::vector<double> ratios, accuracies;
  for (const auto& [name, f, he] : {Case{"sigmoid", Sigmoid{}, false}, Case{"tanh", Tanh{}, false},
                                    Case{"ReLU", ReLU{}, true}}) {
    Sequential net = mlp(deep(784, kWidth, kHidden, 10), f);
    Rng rng(1);
    if (!he) redraw_xavier(net, rng);
    PlotSeries series{.name = name, .dots = true};
    SGD sgd(net, {.lr = 0.003, .momentum = 0.9});
    fit(net, sgd, mnist().train, few(3, 1), [&](int64_t step) {
      if (step != 0) return;
      for (size_t i = 0; i < net.size(); ++i) {
        series.x.push_back(static_cast<double>(i + 1));
        series.y.push_back(norm(net.get<Dense>(i).weight.grad()));
      }
    });
    const double a = series.y[1], b = series.y[kHidden - 1];
    const auto [low, high] = std::minmax_element(series.y.begin() + 1, series.y.end() - 1);
    ratios.push_back(a / b);
    accuracies.push_back(evaluate(net, mnist().test));
    s.table.rows.push_back({name, fmt::format("{:.2g}", a), fmt::format("{:.2g}", b),
                            fmt::format("{:.2g}", a / b), fmt::format("{:.2g}", *high / *low),
                            percent(accuracies.back())});
    plot.series.push_back(series);
  }
  s.plots = {{"vanishing", plot}};
  s.reading = fmt::format(
      "Sigmoid: from layer 20 to layer 2 the gradient shrinks to {:.1g} of itself (the slope is at "
      "most 1/4 in each layer), and the network stays at chance. ReLU: to {:.2g}, and it learns. "
      "Tanh does not vanish here ({:.2g}): its slope at 0 is 1, and Xavier's weights keep it near "
      "0; what is said of both is true of sigmoid.",
      ratios[0], ratios[2], ratios[1]);
  s.verdict = judge(ratios[0] < 1e-3 && ratios[1] < 0.1 && ratios[2] > 0.1,
                    ratios[0] < 1e-3 && ratios[2] > 0.1);
  return s;
}

Section sparse_activations() {
  Section s{
      .name = "sparse",
      .heading = "Sparse activations",
      .claim =
          "ReLU sets about half of its units to exactly 0, so that a network computes with few of "
          "them at a time; smooth functions have no zeros.",
      .method =
          fmt::format("MNIST, 784-256-256-256-10, Adam at 0.001, {} epochs of {} images. The "
                      "share of exact zeros among all outputs of a layer for the test images.",
                      few(5, 1), mnist().train.size()),
      .table = {{"activation", "", "layer 1", "layer 2", "layer 3", "accuracy"}}};
  Plot plot{.title = "Share of zeros by layer", .y_label = "share", .y_range = {0, 1}};
  plot.bars = {"layer 1", "layer 2", "layer 3"};
  std::vector<double> first, last;  // ReLU's shares
  for (const Activation& f : {Activation(ReLU{}), Activation(LeakyReLU{}), Activation(Tanh{})}) {
    Sequential net = mlp({784, 256, 256, 256, 10}, f);
    Adam adam(net, {.lr = 1e-3});
    for (const bool trained : {false, true}) {
      if (trained) fit(net, adam, mnist().train, few(5, 1));
      const std::vector<Tensor> y = outputs(net, mnist().test.x);
      std::vector<std::string> row = {f.name(), trained ? "trained" : "at the start"};
      PlotSeries series{.name = row[0] + ", " + row[1]};
      for (int i = 0; i < 3; ++i) {
        series.y.push_back(share_of_zeros(y[i]));
        row.push_back(percent(series.y.back()));
      }
      row.push_back(trained ? percent(evaluate(net, mnist().test)) : "");
      s.table.rows.push_back(row);
      if (f.name() == std::string("relu")) {
        plot.series.push_back(series);
        (trained ? last : first) = series.y;
      }
    }
  }
  s.plots = {{"sparse", plot}};
  bool half = true, sparser = true;
  for (int i = 0; i < 3; ++i) {
    half = half && std::abs(first[i] - 0.5) < 0.1;
    sparser = sparser && last[i] > first[i];
  }
  s.reading = fmt::format(
      "Half of the units are 0 at the start, as weights that are symmetric around 0 demand. "
      "Training makes the first layer sparser ({} zeros) and hardly the last ({}). Leaky ReLU and "
      "tanh have no zeros and read the digits as well, so sparsity is not what accuracy comes "
      "from; nor does it save time here, where a product with 0 takes as long as any other.",
      percent(last[0]), percent(last[2]));
  s.verdict = judge(half && sparser, half || sparser);
  return s;
}

// For each layer but the last, whether a unit gives nothing above 0 for any x.
std::vector<bool> dead_units(Sequential& net, const Tensor& x) {
  std::vector<bool> dead;
  std::vector<Tensor> all = outputs(net, x);
  all.pop_back();
  for (const Tensor& y : all) {
    for (const double largest : max(y, 0).values()) dead.push_back(largest <= 0);
  }
  return dead;
}

Section dying_relu() {
  const int64_t epochs = few(6, 2), width = 128;
  Section s{
      .name = "dying",
      .heading = "Dying ReLU",
      .claim =
          "With too large a learning rate units are pushed to where they are 0 for all data; their "
          "gradient is 0 too, so that they never come back. Leaky ReLU keeps them alive.",
      .method = fmt::format(
          "MNIST, 784-128-128-10, Adam, batch 64, {} epochs of {} images. A unit is dead "
          "where it gives nothing above 0 for any of them. A death: alive at the end of one "
          "epoch, dead at that of the next; a revival: the other way round.",
          epochs, mnist().train.size()),
      .table = {{"activation", "rate", "layer 1: deaths, revivals, dead at the end",
                 "layer 2: deaths, revivals, dead at the end", "dead of 256", "accuracy"}}};
  Plot plot{.title = "Dead units (of 256)", .x_label = "epoch", .y_label = "units"};
  std::vector<int64_t> dead_at_end, revivals_of_relu = {0, 0};
  std::vector<double> accuracies;
  for (const auto& [f, rate] : {std::pair<Activation, double>{ReLU{}, 0.001},
                                {ReLU{}, 0.01},
                                {ReLU{}, 0.1},
                                {LeakyReLU{0.01}, 0.001},
                                {LeakyReLU{0.01}, 0.01},
                                {LeakyReLU{0.01}, 0.1}}) {
    Sequential net = mlp({784, width, width, 10}, f);
    Adam adam(net, {.lr = rate});
    std::vector<bool> before = dead_units(net, mnist().train.x);
    const auto count = [](const std::vector<bool>& v) {
      return std::count(v.begin(), v.end(), true);
    };
    int64_t deaths[2] = {}, revivals[2] = {}, dead[2] = {};
    PlotSeries series{.name = fmt::format("{}, rate {}", f.name(), rate),
                      .y = {static_cast<double>(count(before))},
                      .dashed = f.name() != std::string("relu"),
                      .dots = true};
    for (int64_t epoch = 0; epoch < epochs; ++epoch) {
      fit(net, adam, mnist().train, 1);
      const std::vector<bool> now = dead_units(net, mnist().train.x);
      for (int64_t i = 0; i < 2 * width; ++i) {
        deaths[i / width] += now[i] && !before[i];
        revivals[i / width] += !now[i] && before[i];
      }
      before = now;
      series.y.push_back(static_cast<double>(count(now)));
    }
    for (int64_t i = 0; i < 2 * width; ++i) dead[i / width] += before[i];
    dead_at_end.push_back(count(before));
    accuracies.push_back(evaluate(net, mnist().test));
    plot.series.push_back(series);
    std::vector<std::string> row = {f.name(), fmt::format("{}", rate)};
    for (int layer = 0; layer < 2; ++layer) {
      row.push_back(fmt::format("{}, {}, {}", deaths[layer], revivals[layer], dead[layer]));
      if (!series.dashed) revivals_of_relu[layer] += revivals[layer];
    }
    row.push_back(percent(static_cast<double>(dead_at_end.back()) / (2.0 * width)));
    row.push_back(percent(accuracies.back()));
    s.table.rows.push_back(row);
  }
  s.plots = {{"dying", plot}};
  const bool dies = dead_at_end[2] > width && dead_at_end[0] < 10;
  const bool leaky_helps = dead_at_end[5] < dead_at_end[2] / 2 && accuracies[5] > accuracies[2];
  s.reading = fmt::format(
      "At ReLU's largest rate {} of 256 units are dead at the end, and the accuracy is {}. In the "
      "first layer {} of them came back: its inputs never change, so a dead unit stays so. In the "
      "second layer {} did: when the layer below moves, so do its inputs. \"Never\" is thus too "
      "strong. Leaky units also go below 0 for all data (then they are only linear), come back, "
      "and at the largest rate keep the network at {}.",
      dead_at_end[2], percent(accuracies[2]),
      revivals_of_relu[0] == 0 ? "none" : fmt::format("{}", revivals_of_relu[0]),
      revivals_of_relu[1], percent(accuracies[5]));
  s.verdict = judge(dies && leaky_helps && revivals_of_relu[0] + revivals_of_relu[1] == 0, dies);
  return s;
}

// The share of n networks of this width whose output does not depend on x: with biases of 0 and one
// input, those that give 0 for x = -1 and for x = 1.
double share_born_dead(int64_t layers, int64_t width, int64_t n, uint64_t seed) {
  const Tensor x = Tensor::of<float>({-1, 1}, {2, 1});
  Sequential net = mlp(deep(1, width, layers - 1, 1), ReLU{});
  Rng rng(seed);
  int64_t dead = 0;
  for (int64_t i = 0; i < n; ++i) {
    redraw(net, std::sqrt(2.0), rng);  // He's weights
    const Tensor y = outputs(net, x).back();
    dead += y.data<float>()[0] == 0 && y.data<float>()[1] == 0;
  }
  return static_cast<double>(dead) / static_cast<double>(n);
}

Section born_dead() {
  const int64_t n = 1000, many = few(50000, 2000);
  Section s{
      .name = "born_dead",
      .heading = "Networks that are born dead",
      .claim =
          "A narrow, deep ReLU network with He's weights is dead before training, the more surely "
          "the deeper: for width 2 with a probability of 0.161, 0.485, 0.880, 0.994 for 3, 5, 10, "
          "20 layers (Lu, Shin, Su and Karniadakis 2019).",
      .method =
          fmt::format("One input, L - 1 hidden layers of 2 units and a linear output, biases 0. "
                      "Dead: the output is the same for all x. z: how many standard errors of the "
                      "binomial distribution lie between the share and that of the claim.",
                      n),
      .table = {{"layers", "claimed", fmt::format("of {} networks", n), "z",
                 fmt::format("of {}", many), "+- (2 standard errors)"}}};
  bool all_within = true;
  for (const auto& [layers, p] : {std::pair{3, 0.161}, {5, 0.485}, {10, 0.880}, {20, 0.994}}) {
    const double share = share_born_dead(layers, 2, n, 1);
    const double z = (share - p) / std::sqrt(p * (1 - p) / static_cast<double>(n));
    const double large = share_born_dead(layers, 2, many, 1000000);
    const double error = 2 * std::sqrt(large * (1 - large) / static_cast<double>(many));
    all_within = all_within && std::abs(z) < 2;
    s.table.rows.push_back({fmt::format("{}", layers), fmt::format("{}", p),
                            fmt::format("{:.3f}", share), fmt::format("{:+.1f}", z),
                            fmt::format("{:.4f}", large), fmt::format("{:.4f}", error)});
  }
  Plot plot{.title = "Share of networks that are born dead",
            .x_label = "layers",
            .y_label = "share",
            .y_range = {0, 1}};
  for (const int64_t width : {2, 3, 4, 6}) {
    PlotSeries series{.name = fmt::format("width {}", width), .dots = true};
    for (int64_t layers = 2; layers <= 20; layers += 2) {
      series.x.push_back(static_cast<double>(layers));
      series.y.push_back(share_born_dead(layers, width, few(1000, 100), 1));
    }
    plot.series.push_back(series);
  }
  s.plots = {{"born_dead", plot}};
  s.reading = fmt::format(
      "Each share lies within {} standard errors of the claim. The large sample tells more: for 3 "
      "layers it agrees with 5/32 = 0.15625, which counting the signs of the weights gives (both "
      "units of the first layer face the same side: 1/2, then both of the second are off: 1/4; or "
      "they face both sides: 1/2, and the two columns are off independently: 1/16), and for 5 "
      "layers with 0.497 rather than 0.485. Width is the cure: 6 units are seldom born dead.",
      all_within ? "two" : "more than two");
  s.verdict = judge(all_within, false);
  return s;
}

// What training a narrow network on |x| came to.
enum class End { constant, half_constant, learned };

End train_on_abs(const Activation& f, uint64_t seed, int64_t epochs, bool& born_dead) {
  const double root3 = std::sqrt(3.0);
  Rng rng(seed);
  const Tensor x = rng.uniform({1024, 1}, -root3, root3), y = relu(x) + relu(-x);
  const Tensor grid = Tensor::of<float>({-1.7f, -0.9f, -0.1f, 0.1f, 0.9f, 1.7f}, {6, 1});
  Sequential net = mlp(deep(1, 2, 9, 1), f);
  redraw(net, std::sqrt(2.0), rng);
  const auto spread = [&](int64_t from, int64_t to) {
    const Tensor out = outputs(net, grid).back().rows(from, to);
    return max(out).item() - min(out).item();
  };
  born_dead = spread(0, 6) == 0;
  // Then no weight ever has a gradient, and the last bias only makes another constant of it.
  if (born_dead) return End::constant;
  Adam adam(net, {.lr = 1e-3});
  Batches batches({x, y}, {.size = 32, .seed = seed});
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    double mean_loss = 0;
    for (const auto& [bx, by] : batches.epoch(epoch)) {
      Tensor loss = mse_loss(net(bx), by);
      loss.backward();
      adam.step();
      adam.zero_grad();
      mean_loss += loss.item() / static_cast<double>(batches.count());
    }
    if (mean_loss < 1e-3) return End::learned;
  }
  if (spread(0, 6) < 0.05) return End::constant;
  return std::min(spread(0, 3), spread(3, 6)) < 0.05 ? End::half_constant : End::learned;
}

Section collapse() {
  const int64_t runs = few(300, 10), epochs = few(250, 10);
  Section s{
      .name = "collapse",
      .heading = "Deep, narrow networks collapse",
      .claim =
          "Trained on abs(x), 10 layers of width 2 end as a constant in about 93 % of runs with "
          "ReLU, in 8 % with Leaky ReLU (0.01), in none with ELU (Lu, Su and Karniadakis 2018).",
      .method = fmt::format(
          "{} runs each: 9 hidden layers of 2 units and a linear output, He's weights, "
          "biases 0; 1024 points x ~ U(-sqrt 3, sqrt 3), squared error, Adam at 0.001, "
          "batches of 32, {} epochs, or fewer where the error falls below 0.001. Constant: "
          "outputs that differ by less than 0.05; half: on one side of 0.",
          runs, epochs),
      .table = {{"activation", "claimed", "ends constant", "95 % interval", "born dead",
                 "half constant", "neither"}}};
  std::vector<double> shares;
  bool all_within = true;
  for (const auto& [f, claimed] :
       {std::pair<Activation, double>{ReLU{}, 0.93}, {LeakyReLU{0.01}, 0.08}, {ELU{}, 0.0}}) {
    std::vector<End> ends(runs);
    std::vector<char> born(runs);
    parallel_for(runs, 1, [&, &f = f](int64_t begin, int64_t end) {
      for (int64_t run = begin; run < end; ++run) {
        bool born_dead;
        ends[run] = train_on_abs(f, 1 + static_cast<uint64_t>(run), epochs, born_dead);
        born[run] = born_dead;
      }
    });
    const double n = static_cast<double>(runs);
    const auto share = [&](End e) {
      return static_cast<double>(std::count(ends.begin(), ends.end(), e)) / n;
    };
    const double p = share(End::constant);
    // Wilson (1927): an interval that is right near 0 and 1 too.
    const double z = 1.96, centre = (p + z * z / (2 * n)) / (1 + z * z / n);
    const double reach = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    const double low = std::max(0.0, centre - reach), high = std::min(1.0, centre + reach);
    shares.push_back(p);
    all_within = all_within && low - 1e-9 <= claimed && claimed <= high;
    s.table.rows.push_back(
        {f.name(), percent(claimed, 0), percent(p), percent(low) + " to " + percent(high),
         percent(static_cast<double>(std::count(born.begin(), born.end(), 1)) / n),
         percent(share(End::half_constant)), percent(share(End::learned))});
  }
  s.reading =
      "Most ReLU runs that collapse were dead before the first step; some die on the way. Leaky "
      "ReLU and ELU are never born dead. Leaky ReLU often learns one side of abs(x) only (half "
      "constant), which the claim does not count.";
  s.verdict = judge(all_within, shares[0] > 0.85 && shares[1] < 0.2 && shares[2] < 0.05);
  return s;
}

Section exploding_gradients() {
  constexpr int64_t kHidden = 20, kWidth = 64;
  constexpr double kFactor = 1.3;
  Section s{
      .name = "exploding",
      .heading = "Exploding gradients",
      .claim =
          "Weights that are too large let the gradient grow from layer to layer until "
          "training diverges; clipping the gradient or batch normalization cures it.",
      .method = fmt::format("MNIST, {} hidden layers of {} units, ReLU, He's weights times {}; "
                            "SGD, rate 0.01, momentum 0.9, batch 64, {} epochs of {} images. "
                            "Clipping: the norm of all gradients together to at most 1, or 5.",
                            kHidden, kWidth, kFactor, few(3, 1), mnist().train.size()),
      .table = {{"network", "norm of the gradient, first step", "largest loss", "last loss",
                 "accuracy"}}};
  Plot plot{.title = "Training with weights that are too large",
            .x_label = "step",
            .y_label = "loss (mean of 20 steps)",
            .log_y = true};
  std::vector<double> accuracies, first;
  for (const std::string name :
       {"no cure", "clipping at 1", "clipping at 5", "batch norm", "He's weights"}) {
    const std::vector<int64_t> sizes = deep(784, kWidth, kHidden, 10);
    Sequential net = name == "batch norm" ? with_batch_norm(sizes) : mlp(sizes, ReLU{});
    if (name != "He's weights") {
      for (const NamedTensor& p : net.named_parameters()) {
        if (p.tensor.rank() == 2) Tensor(p.tensor.detach()).mul_(kFactor);
      }
    }
    SGD sgd(net, {.lr = 0.01, .momentum = 0.9});
    const std::vector<double> losses = fit(net, sgd, mnist().train, few(3, 1), [&](int64_t step) {
      const double limit = name == "clipping at 1" ? 1 : name == "clipping at 5" ? 5 : INFINITY;
      const double size = clip_grad_norm(net, limit, true);
      if (step == 0) first.push_back(size);
    });
    const PlotSeries curve = smooth(name, losses);
    plot.series.push_back(curve);
    accuracies.push_back(evaluate(net, mnist().test));
    s.table.rows.push_back({name, fmt::format("{:.2g}", first.back()),
                            fmt::format("{:.2g}", *std::max_element(losses.begin(), losses.end())),
                            fmt::format("{:.3g}", curve.y.back()), percent(accuracies.back())});
  }
  s.plots = {{"exploding", plot}};
  const auto cured = [&](int i) { return accuracies[i] > 0.8; };
  s.reading = fmt::format(
      "The first gradient is {:.0f} times that of He's weights. Without a cure the loss is not a "
      "number soon after. Clipping lets it learn, how well depends on the limit; the weights are "
      "still too large, and the loss is high for long. Batch norm undoes the factor in each layer "
      "at once. Weights of the right size are the simplest cure.",
      first[0] / first.back());
  s.verdict = judge(accuracies[0] < 0.3 && cured(1) && cured(2) && cured(3),
                    accuracies[0] < 0.3 && (cured(2) || cured(3)));
  return s;
}

Section he_against_xavier() {
  constexpr int64_t kHidden = 30, kWidth = 64;
  Section s{
      .name = "he",
      .heading = "He's initialization against Xavier's",
      .claim =
          "Xavier's weights halve the variance in each ReLU layer, so that a network of 30 "
          "layers does not learn; with He's it does.",
      .method = fmt::format("MNIST, {} hidden layers of {} units, ReLU; SGD, rate 0.001, momentum "
                            "0.9, batch 64, {} epochs of {} images.",
                            kHidden, kWidth, few(4, 1), mnist().train.size()),
      .table = {{"weights", "std of layer 1", "of layer 30", "a layer's factor", "last loss",
                 "accuracy"}}};
  Plot stds{.title = "Standard deviation of the activations, before training",
            .x_label = "layer",
            .y_label = "std",
            .log_y = true};
  Plot losses{.title = "Training", .x_label = "step", .y_label = "loss (mean of 20 steps)"};
  std::vector<double> factors, accuracies;
  for (const bool he : {true, false}) {
    const std::string name = he ? "He" : "Xavier";
    Sequential net = mlp(deep(784, kWidth, kHidden, 10), ReLU{});
    Rng rng(1);
    if (!he) redraw_xavier(net, rng);
    PlotSeries series{.name = name, .dots = true};
    std::vector<Tensor> y = outputs(net, mnist().test.x);
    for (int64_t i = 0; i < kHidden; ++i) {
      series.x.push_back(static_cast<double>(i + 1));
      series.y.push_back(std_of(y[i]));
    }
    stds.series.push_back(series);
    factors.push_back(std::pow(series.y.back() / series.y.front(), 1.0 / (kHidden - 1)));
    SGD sgd(net, {.lr = 0.001, .momentum = 0.9});
    const PlotSeries curve = smooth(name, fit(net, sgd, mnist().train, few(4, 1)));
    losses.series.push_back(curve);
    accuracies.push_back(evaluate(net, mnist().test));
    s.table.rows.push_back({name, fmt::format("{:.2g}", series.y.front()),
                            fmt::format("{:.2g}", series.y.back()),
                            fmt::format("{:.3f}", factors.back()),
                            fmt::format("{:.3f}", curve.y.back()), percent(accuracies.back())});
  }
  s.plots = {{"he_std", stds}, {"he_loss", losses}};
  s.reading = fmt::format(
      "With Xavier's weights a layer multiplies the signal by {:.3f} (1/sqrt 2 = 0.707 is the "
      "rule), with He's by {:.3f}. In layer 30 {:.0e} of layer 1's is left, and the network stays "
      "at chance.",
      factors[1], factors[0], std::pow(factors[1], kHidden - 1));
  s.verdict = judge(
      accuracies[0] > 0.8 && accuracies[1] < 0.2 && std::abs(factors[1] - std::sqrt(0.5)) < 0.05,
      accuracies[0] > accuracies[1] + 0.1);
  return s;
}

// The time of n calls, in ns for each.
double time_ns(int n, const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < n; ++i) call();
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
  return time.count() / n;
}

Section cost() {
  constexpr int64_t kN = 2048;  // x, y, dy and dx, 8 KB each, stay in the first cache
  const int64_t rounds = few(30, 2);
  Section s{
      .name = "cost",
      .heading = "Cost",
      .claim =
          "ReLU is a comparison and costs next to nothing; functions made of exponentials "
          "are many times dearer.",
      .method = fmt::format("{} floats in the first-level cache, one thread. The step: "
                            "784-256-256-10, batch 64, forward, backward and Adam, one thread. "
                            "All in turn, {} rounds, the least time of each. {}.",
                            kN, rounds, cpu_model() + ", " + environment()),
      .table = {{"activation", "forward, ns per element", "backward", "both, times ReLU's",
                 "a training step, ms"}}};
  const int threads = num_threads();
  set_num_threads(1);
  Rng rng(1);
  const Tensor x = rng.normal({kN}), dy = rng.normal({kN});
  Tensor y = Tensor::empty({kN}), dx = Tensor::empty({kN});
  float *py = y.mutable_data<float>(), *pdx = dx.mutable_data<float>();
  const Dataset batch = mnist().train.rows(0, 64);
  const std::vector<Activation> all = {ReLU{},    LeakyReLU{}, ELU{},  SiLU{},
                                       Sigmoid{}, Tanh{},      GELU{}, Mish{}};
  struct Times {
    double forward = INFINITY, backward = INFINITY, step = INFINITY;
  };
  std::vector<Times> least(all.size());
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t k = 0; k < all.size(); ++k) {
      const Activation& f = all[k];
      const auto keep = [](double& time, double t) { time = std::min(time, t); };
      const float* at = f.needs_x() ? x.data<float>() : py;
      Sequential net = mlp({784, 256, 256, 10}, f);
      Adam adam(net, {.lr = 1e-3});
      for (int repeat = 0; repeat < 10; ++repeat) {
        keep(least[k].forward, time_ns(100, [&] { f.f_block(kN, x.data<float>(), py); }) / kN);
        keep(least[k].backward,
             time_ns(100, [&] { f.vjp_block(kN, at, dy.data<float>(), pdx); }) / kN);
        keep(least[k].step, 1e-6 * time_ns(2, [&] {
                              cross_entropy(net(batch.x), batch.y).backward();
                              adam.step();
                              adam.zero_grad();
                            }));
      }
    }
  }
  set_num_threads(threads);
  Plot plot{.title = "Cost of an element", .y_label = "ns"};
  PlotSeries forward{.name = "forward"}, backward{.name = "backward"};
  double most = 0, most_step = 0;
  for (size_t k = 0; k < all.size(); ++k) {
    const Times &t = least[k], &relu = least[0];
    const double ratio = (t.forward + t.backward) / (relu.forward + relu.backward);
    most = std::max(most, ratio), most_step = std::max(most_step, t.step / relu.step);
    plot.bars.push_back(all[k].name());
    forward.y.push_back(t.forward);
    backward.y.push_back(t.backward);
    s.table.rows.push_back({all[k].name(), fmt::format("{:.2f}", t.forward),
                            fmt::format("{:.2f}", t.backward), fmt::format("{:.1f}", ratio),
                            fmt::format("{:.2f}", t.step)});
  }
  plot.series = {forward, backward};
  s.plots = {{"cost", plot}};
  s.reading = fmt::format(
      "By itself the dearest of these costs {:.0f} times ReLU; those whose derivative comes from y "
      "(sigmoid, tanh, ELU) about 3 times. In a training step the products take nearly all the "
      "time: at most {:.0f} % more than with ReLU. Cost is a reason for ReLU where products are "
      "small, and a weak one elsewhere.",
      most, 100 * (most_step - 1));
  s.verdict = judge(most > 5 && most_step > 1.2, most > 3);
  return s;
}

// The straight pieces of y(x) on [-1, 1]: between two points of a fine grid a new one begins where
// any unit of the network goes on or off.
int64_t pieces(Sequential& net) {
  const int64_t n = few(200000, 2000);
  Tensor x = Tensor::empty({n, 1});
  for (int64_t i = 0; i < n; ++i) {
    x.mutable_data<float>()[i] =
        static_cast<float>((2.0 * static_cast<double>(i) + 1) / static_cast<double>(n) - 1);
  }
  std::vector<Tensor> all = outputs(net, x);
  all.pop_back();
  std::vector<char> begins(n, 0);
  for (const Tensor& y : all) {
    const int64_t width = y.dim(1);
    const float* p = y.data<float>();
    for (int64_t i = width; i < y.numel(); ++i) {
      if ((p[i] > 0) != (p[i - width] > 0)) begins[i / width] = 1;
    }
  }
  return 1 + std::count(begins.begin(), begins.end(), 1);
}

Section piecewise_linear() {
  Section s{.name = "pieces",
            .heading = "Straight pieces",
            .claim =
                "A ReLU network is made of straight pieces; their number grows with the units, and "
                "with depth exponentially, which is why depth pays.",
            .method = fmt::format(
                "One input in [-1, 1], one output, He's weights, biases ~ N(0, 0.3^2); pieces are "
                "counted on {} points, mean of {} networks. The bound of Montufar, Pascanu, Cho "
                "and Bengio (2014) for one input: (width + 1)^hidden layers.",
                few(200000, 2000), few(10, 2)),
            .table = {{"hidden layers x width", "units", "pieces", "pieces per unit", "bound"}}};
  Plot plot{.title = "Pieces of random networks with 48 units",
            .x_label = "hidden layers",
            .y_label = "pieces"};
  PlotSeries series{.name = "", .dots = true};
  double shallow = 0, deepest = 0;
  for (const auto& [layers, width] : {std::pair{1, 48}, {2, 24}, {3, 16}, {4, 12}, {6, 8}}) {
    double mean_pieces = 0;
    const int64_t nets = few(10, 2);
    for (int64_t k = 0; k < nets; ++k) {
      Sequential net = mlp(deep(1, width, layers, 1), ReLU{}, 1 + k);
      Rng rng(100 + k);
      for (const NamedTensor& p : net.named_parameters()) {
        if (p.tensor.rank() == 1) p.tensor.detach().copy_(rng.normal(p.tensor.shape(), 0, 0.3));
      }
      mean_pieces += static_cast<double>(pieces(net)) / static_cast<double>(nets);
    }
    if (layers == 1) shallow = mean_pieces;
    deepest = mean_pieces;
    series.x.push_back(layers);
    series.y.push_back(mean_pieces);
    s.table.rows.push_back({fmt::format("{} x {}", layers, width),
                            fmt::format("{}", layers * width), fmt::format("{:.1f}", mean_pieces),
                            fmt::format("{:.2f}", mean_pieces / (layers * width)),
                            fmt::format("{:.2g}", std::pow(width + 1.0, layers))});
  }
  // Telgarsky's tent, 2x on [0, 1/2] and 2 - 2x on [1/2, 1], put into itself.
  constexpr int kTents = 6;
  Sequential tents = mlp(deep(1, 2, kTents, 1), ReLU{});
  for (int k = 0; k <= kTents; ++k) {
    // t(x) = 2 relu(x) - 4 relu(x - 1/2): the units of each layer are relu(t), relu(t - 1/2).
    Dense& layer = tents.get<Dense>(k);
    layer.weight.detach().copy_(k == 0        ? Tensor::of<float>({1, 1}, {1, 2})
                                : k == kTents ? Tensor::of<float>({2, -4}, {2, 1})
                                              : Tensor::of<float>({2, 2, -4, -4}, {2, 2}));
    if (k < kTents) layer.bias.detach().copy_(Tensor::of<float>({0, -0.5}));
  }
  const int64_t of_tents = pieces(tents);
  s.table.rows.push_back({fmt::format("tent, {} x 2", kTents), fmt::format("{}", 2 * kTents),
                          fmt::format("{}", of_tents),
                          fmt::format("{:.2f}", static_cast<double>(of_tents) / (2 * kTents)),
                          fmt::format("{:.2g}", std::pow(3.0, kTents))});
  plot.series = {series};
  s.plots = {{"pieces", plot}};
  s.reading = fmt::format(
      "Depth allows it: 12 units in 6 layers, set by hand as Telgarsky (2016) does, make {} "
      "pieces. But random networks of 48 units have about as many pieces as units however they are "
      "stacked, as Hanin and Rolnick (2019) prove: the exponential is possible, not usual.",
      of_tents);
  s.verdict = judge(deepest > 4 * shallow, of_tents > 60);
  return s;
}

Section zero_centred() {
  const std::vector<int64_t> sizes = deep(784, 64, 10, 10);
  Section s{.name = "centred",
            .heading = "Outputs that are not centred on 0",
            .claim =
                "ReLU's outputs are never negative: their mean is above 0, which slows training. "
                "Batch normalization helps, and so do functions with negative values.",
            .method = fmt::format(
                "MNIST, 10 hidden layers of 64 units, SGD, batch 64, {} epochs of {} images, at "
                "the rate among 0.003, 0.01, 0.03, 0.1, 0.3 that ends with the least loss. Mean / "
                "std: of a hidden layer's outputs for the test images, averaged over the layers.",
                few(2, 1), mnist().train.size()),
            .table = {{"network", "mean / std", "best rate", "last loss", "accuracy"}}};
  Plot plot{.title = "Training, each at its best rate",
            .x_label = "step",
            .y_label = "loss (mean of 20 steps)",
            .y_range = {0, 2.4}};
  std::vector<double> offsets, losses;
  for (const std::string name : {"relu", "relu, batch norm", "elu", "tanh"}) {
    const Activation f = name == "elu"    ? Activation(ELU{})
                         : name == "tanh" ? Activation(Tanh{})
                                          : Activation(ReLU{});
    const auto make = [&] {
      return name == "relu, batch norm" ? with_batch_norm(sizes) : mlp(sizes, f);
    };
    Sequential fresh = make();
    std::vector<Tensor> hidden = outputs(fresh, mnist().test.x);
    if (name == "relu, batch norm") {  // every other one is a product before its norm
      for (size_t i = 0; i < 10; ++i) hidden[i] = hidden[2 * i + 1];
    }
    double offset = 0;
    for (size_t i = 0; i < 10; ++i) offset += mean(hidden[i]).item() / std_of(hidden[i]) / 10;

    PlotSeries best;
    double best_rate = 0, accuracy = 0;
    for (const double rate : {0.003, 0.01, 0.03, 0.1, 0.3}) {
      Sequential net = make();
      SGD sgd(net, {.lr = rate});
      const PlotSeries curve = smooth(name, fit(net, sgd, mnist().train, few(2, 1)));
      if (!best.y.empty() && !(curve.y.back() < best.y.back()) && !std::isnan(best.y.back()))
        continue;
      best = curve, best_rate = rate, accuracy = evaluate(net, mnist().test);
    }
    plot.series.push_back(best);
    offsets.push_back(offset);
    losses.push_back(best.y.back());
    s.table.rows.push_back({name, fmt::format("{:.2f}", offset), fmt::format("{}", best_rate),
                            fmt::format("{:.3f}", losses.back()), percent(accuracy)});
  }
  s.plots = {{"centred", plot}};
  s.reading = fmt::format(
      "The mean of ReLU's outputs lies {:.2f} standard deviations above 0. At its best rate it "
      "ends at a loss of {:.3f}, ELU at {:.3f}, tanh at {:.3f}. Batch norm before each ReLU does "
      "not centre its outputs, but centres and scales what comes in: it bears a rate ten times as "
      "large and ends at {:.3f}.",
      offsets[0], losses[0], losses[2], losses[3], losses[1]);
  const bool off_centre = offsets[0] > 0.3;
  const bool norm_helps = losses[1] < losses[0], elu_helps = losses[2] < losses[0],
             tanh_helps = losses[3] < losses[0];
  s.verdict = judge(off_centre && norm_helps && elu_helps && tanh_helps,
                    off_centre && (norm_helps || elu_helps));
  return s;
}

Section default_choice() {
  const int64_t seeds = few(5, 1), epochs = few(4, 1);
  Section s{.name = "default",
            .heading = "The default choice",
            .claim = "ReLU is the right first choice for hidden layers; others rarely gain much.",
            .method = fmt::format("MNIST, 784-128-128-10, Adam at 0.001, batch 64, {} epochs of {} "
                                  "images: the same budget for each; {} seeds.",
                                  epochs, mnist().train.size(), seeds),
            .table = {{"activation", "accuracy, mean", "least", "largest"}}};
  double relu_mean = 0, relu_spread = 0, best = 0;
  for (const Activation& f :
       {Activation(ReLU{}), Activation(LeakyReLU{}), Activation(ELU{}), Activation(SiLU{}),
        Activation(GELU{}), Activation(Tanh{}), Activation(Sigmoid{})}) {
    std::vector<double> found(seeds);
    parallel_for(seeds, 1, [&, &f = f](int64_t begin, int64_t end) {
      for (int64_t seed = begin; seed < end; ++seed) {
        Sequential net = mlp({784, 128, 128, 10}, f, seed);
        Adam adam(net, {.lr = 1e-3});
        fit(net, adam, mnist().train, epochs);
        found[seed] = evaluate(net, mnist().test);
      }
    });
    double mean_found = 0;
    for (const double a : found) mean_found += a / static_cast<double>(seeds);
    const auto [low, high] = std::minmax_element(found.begin(), found.end());
    if (relu_mean == 0) relu_mean = mean_found, relu_spread = *high - *low;
    best = std::max(best, mean_found);
    s.table.rows.push_back({f.name(), percent(mean_found, 2), percent(*low, 2), percent(*high, 2)});
  }
  s.reading = fmt::format(
      "The best mean lies {:.2f} points above ReLU's {}, whose seeds differ by {:.2f} points. GELU "
      "and SiLU are a little better here and cost more, Leaky ReLU is equal, the saturating "
      "functions are worse.",
      100 * (best - relu_mean), percent(relu_mean, 2), 100 * relu_spread);
  s.verdict = judge(best - relu_mean < relu_spread, best - relu_mean < 0.01);
  return s;
}

int main(int argc, char** argv) {
  std::string docs;
  std::vector<std::string> only;
  CLI::App app("Tries what is said of ReLU.");
  app.add_option("--docs", docs, "write relu.md and relu/*.svg into this folder");
  app.add_option("--only", only, "experiments to run, by name");
  app.add_flag("--quick", quick, "less of everything");
  CLI11_PARSE(app, argc, argv);

  const std::vector<std::pair<std::string, Section (*)()>> tour = {
      {"vanishing", vanishing_gradients},
      {"sparse", sparse_activations},
      {"dying", dying_relu},
      {"born_dead", born_dead},
      {"collapse", collapse},
      {"exploding", exploding_gradients},
      {"he", he_against_xavier},
      {"cost", cost},
      {"pieces", piecewise_linear},
      {"centred", zero_centred},
      {"default", default_choice},
  };
  std::vector<Section> sections;
  for (const auto& [name, run] : tour) {
    if (!only.empty() && std::find(only.begin(), only.end(), name) == only.end()) continue;
    sections.push_back(run());
    fmt::print("{}\n", text_of(sections.back()));
    std::fflush(stdout);
  }
  if (!docs.empty()) write_page(docs, sections);
  fmt::print("{}", summary(sections));
}
