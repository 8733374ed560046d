// What the experiments of 08_relu_tour share: networks, training, and the page they end up on.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

struct Rows {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows = {};
};

// A section of the page.
struct Section {
  std::string name, heading, claim, method;
  Rows table = {};
  std::vector<std::pair<std::string, Plot>> plots = {};  // file name, plot
  std::string verdict = {};                              // "holds", "holds in part", ...
  std::string reading = {};                              // and why
};

// The verdict follows from what was measured, or it would be an opinion.
inline std::string judge(bool all, bool some) {
  return all ? "holds" : some ? "holds in part" : "does not hold here";
}

inline bool quick = false;
inline int64_t few(int64_t full, int64_t less) { return quick ? less : full; }

inline const TrainTest& mnist() {
  static const TrainTest data = [] {
    const TrainTest all = load_mnist("mnist");
    return TrainTest{all.train.flat().rows(0, few(20000, 1000)),
                     all.test.flat().rows(0, few(10000, 500))};
  }();
  return data;
}

// Dense layers of these sizes, f after each but the last; He's weights for f, biases 0.
inline Sequential mlp(const std::vector<int64_t>& sizes, const Activation& f, uint64_t seed = 1) {
  seed_layers(seed);
  Sequential net;
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    net.add(Dense(sizes[i], sizes[i + 1], i + 2 < sizes.size() ? f : Activation(Identity{})));
  }
  return net;
}

inline std::vector<int64_t> deep(int64_t in, int64_t width, int64_t hidden, int64_t out) {
  std::vector<int64_t> sizes(hidden + 2, width);
  sizes.front() = in, sizes.back() = out;
  return sizes;
}

// Draws all weights anew, by std = gain / sqrt(fan_in) / Xavier's rule.
inline void redraw(Sequential& net, double gain, Rng& rng) {
  for (size_t i = 0; i < net.size(); ++i) {
    Tensor w = net.get<Dense>(i).weight.detach();
    w.copy_(rng.normal(w.shape(), 0, gain / std::sqrt(static_cast<double>(w.dim(0)))));
  }
}
inline void redraw_xavier(Sequential& net, Rng& rng) {
  for (size_t i = 0; i < net.size(); ++i) {
    Tensor w = net.get<Dense>(i).weight.detach();
    w.copy_(init::xavier_normal(w.shape(), rng));
  }
}

// The same sizes with batch norm between each hidden layer's product and its ReLU.
inline Sequential with_batch_norm(const std::vector<int64_t>& sizes, uint64_t seed = 1) {
  seed_layers(seed);
  Sequential net;
  for (size_t i = 0; i + 2 < sizes.size(); ++i) {
    Dense dense(sizes[i], sizes[i + 1], ReLU{}, {.bias = false});
    dense.activation = Identity{};
    net.add(dense).add(BatchNorm(sizes[i + 1], ReLU{}));
  }
  return net.add(Dense(sizes[sizes.size() - 2], sizes.back()));
}

// What comes out of each layer.
inline std::vector<Tensor> outputs(Sequential& net, const Tensor& x) {
  NoGrad no_grad;
  std::vector<Tensor> all;
  Tensor y = x;
  for (size_t i = 0; i < net.size(); ++i) all.push_back(y = net[i](y));
  return all;
}

inline double norm(const Tensor& x) { return std::sqrt(sum(x * x).item()); }
inline double std_of(const Tensor& x) { return std::sqrt(var(x).item()); }
inline double share_of_zeros(const Tensor& x) {
  const std::vector<double> values = x.values();
  return static_cast<double>(std::count(values.begin(), values.end(), 0.0)) /
         static_cast<double>(values.size());
}

// Epochs of cross entropy; `before_step` sees the gradients. Returns the loss of each step.
inline std::vector<double> fit(Module& net, Optimizer& optimizer, const Dataset& data,
                               int64_t epochs,
                               const std::function<void(int64_t step)>& before_step = nullptr) {
  std::vector<double> losses;
  Batches batches(data, {.size = 64, .seed = 1});
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (const auto& [x, y] : batches.epoch(epoch)) {
      Tensor loss = cross_entropy(net(x), y);
      loss.backward();
      if (before_step) before_step(static_cast<int64_t>(losses.size()));
      optimizer.step();
      optimizer.zero_grad();
      losses.push_back(loss.item());
    }
  }
  return losses;
}

// A curve of losses: means of `span` steps.
inline PlotSeries smooth(const std::string& name, const std::vector<double>& losses) {
  const size_t span = few(20, 5);
  PlotSeries series{.name = name};
  for (size_t i = 0; i + span <= losses.size(); i += span) {
    double total = 0;
    for (size_t k = i; k < i + span; ++k) total += losses[k];
    series.x.push_back(static_cast<double>(i + span / 2));
    series.y.push_back(total / static_cast<double>(span));
  }
  return series;
}

inline std::string percent(double share, int digits = 1) {
  return fmt::format("{:.{}f} %", 100 * share, digits);
}

// ---- the page ----

inline std::string markdown(const Rows& t) {
  const auto row = [](const std::vector<std::string>& cells) {
    std::string line = "|";
    for (const std::string& c : cells) line += " " + c + " |";
    return line + "\n";
  };
  std::string text = row(t.head) + row(std::vector<std::string>(t.head.size(), "---"));
  for (const auto& r : t.rows) text += row(r);
  return text;
}

/// As a terminal shows it.
inline std::string text_of(const Section& s) {
  return fmt::format("{}\n{}\n\n{}\n{}: {}\n", s.heading, s.claim, markdown(s.table), s.verdict,
                     s.reading);
}

inline std::string summary(const std::vector<Section>& sections) {
  Rows table{{"", "claim", "verdict"}};
  for (const Section& s : sections) {
    std::string anchor;  // as GitHub makes it of the heading
    for (const char c : s.heading) {
      if (std::isalnum(static_cast<unsigned char>(c))) anchor += static_cast<char>(std::tolower(c));
      if (c == ' ' || c == '-') anchor += '-';
    }
    table.rows.push_back({fmt::format("[{}](#{})", s.heading, anchor), s.claim, s.verdict});
  }
  return markdown(table);
}

/// relu.md, and the plots in relu/.
inline void write_page(const std::string& folder, const std::vector<Section>& sections) {
  std::filesystem::create_directories(folder + "/relu");
  std::string page = fmt::format(
      "# ReLU, measured\nWhat is said of the rectified linear unit, `y = max(0, x)`, in tutorials, "
      "claim by claim: an experiment, its numbers, a verdict. examples/08_relu_tour.cc makes this "
      "page and its plots (`08_relu_tour --docs docs`); the verdicts follow from the numbers by "
      "the rules that stand there. MNIST means its first {} training and {} test images, pixels "
      "from 0 to 1. Seeds are fixed.\n\n{}",
      mnist().train.size(), mnist().test.size(), summary(sections));
  for (const Section& s : sections) {
    page += fmt::format("\n## {}\n**Claim.** {}\n\n**Experiment.** {}\n\n{}\n", s.heading, s.claim,
                        s.method, markdown(s.table));
    for (const auto& [file, plot] : s.plots) {
      std::ofstream(fmt::format("{}/relu/{}.svg", folder, file)) << svg(plot);
      page += fmt::format("![{}](relu/{}.svg)\n", plot.title, file);
    }
    page += fmt::format("\n**{}{}.** {}\n", static_cast<char>(s.verdict[0] - 'a' + 'A'),
                        s.verdict.substr(1), s.reading);
  }
  std::ofstream(folder + "/relu.md") << page;
}
