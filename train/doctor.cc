#include "ramp/train/doctor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/norm.h"
#include "ramp/train/blocks.h"
#include "ramp/train/watch.h"

namespace ramp {
namespace {

// The causes before what follows from them: where several are found, the first one is to be
// mended first.
enum Code {
  kInputsNotFinite,
  kInputsNotNormalized,
  kTargetsNotNormalized,
  kSoftmaxBeforeCrossEntropy,
  kGradientsNotCleared,
  kEvalModeInTraining,
  kTrainModeInValidation,
  kExplodingGradients,
  kLrTooHigh,
  kSaturatedUnits,
  kVanishingGradients,
  kDeadUnits,
  kNoGradient,
  kUpdateRatio,
  kLrTooLow,
  kLabelsShuffled,
  kLossAtChance,
  kNotFinite,
  kCodes
};
constexpr const char* kNames[kCodes] = {"inputs_not_finite",
                                        "inputs_not_normalized",
                                        "targets_not_normalized",
                                        "softmax_before_cross_entropy",
                                        "gradients_not_cleared",
                                        "eval_mode_in_training",
                                        "train_mode_in_validation",
                                        "exploding_gradients",
                                        "lr_too_high",
                                        "saturated_units",
                                        "vanishing_gradients",
                                        "dead_units",
                                        "no_gradient",
                                        "update_ratio",
                                        "lr_too_low",
                                        "labels_shuffled",
                                        "loss_at_chance",
                                        "not_finite"};

// ---- the limits, and where they come from ----

// The curvature of the loss in the first weights goes with the mean square of x: at 30 times the
// size that He's weights expect, or a 30th, it is a thousand times off, and so is the right lr.
constexpr double kLargeInput = 30;
// A mean of m standard deviations makes the loss m^2 times as steep along it as elsewhere.
constexpr double kFarMean = 10;
// A unit that fires for 1 % of the examples is silent for 500 in a row with p = 0.99^500 = 0.7 %.
constexpr int64_t kSilentRows = 500;
// Without a norm, the deep layers of a healthy network may see one sign only: half of the units.
// So more than half, and two standard deviations of that count: sqrt(n / 4) units each.
double dead_limit(double units) { return std::min(1.0, 0.5 + 1 / std::sqrt(units)); }
// A slope below a tenth of the largest is flat; more than half of all are, and there is still
// something to learn.
constexpr double kFlat = 0.1, kFlatShare = 0.5;
// One lr serves all layers: while the last one moves by its own size, this one moves by a
// thousandth of it, or the other way round. Each step of a norm, a pooling or a residual sum is
// worth a factor of 2 or so.
constexpr double kGradientRange = 1e3;
// A plain step at lr = 0.01, SGD's, moves such weights by their own size.
constexpr double kGradientOfWeight = 100;
// A layer that moves a hundred times as fast as the others, or as slowly, does not learn with them;
// between these shares of the weights a step all is well (the usual one is 1e-3).
constexpr double kRatioRange = 100, kSmallRatio = 1e-5, kLargeRatio = 1e-1;
// Such a step throws away half of what was learned.
constexpr double kReplacingRatio = 0.5;
// A loss this much above where it was is not the batches' noise.
constexpr double kRise = 1.2;
// More of the first loss than this: little was learned as yet.
constexpr double kHalf = 0.5;
// Less than this share of the loss was learned, or could be.
constexpr double kNothing = 0.02;
// Below this share of a loss it is another one, whatever the noise.
constexpr double kMostly = 0.9;
// By lot F is 1 with a standard deviation of sqrt(2 / (classes - 1) / independent features).
constexpr double kUnrelated = 2;
// What the steps must have taken off their own batches' losses, as a share of the loss, to blame
// the labels; more where F cannot be told.
constexpr double kLittle = 0.03, kMuch = 0.2;
// For verdicts on the lr and the labels: steps enough to tell a trend from the batches' noise.
constexpr int64_t kEnoughSteps = 50, kEnoughLooks = 8;

// Of a larger tensor about so many elements are looked at, in blocks that are evenly spread: a look
// costs the same whatever the model's size.
constexpr int64_t kLook = 1 << 13;

// Numbers of a finding, by the names that they have in its text.
using Values = std::vector<std::pair<std::string, std::string>>;

std::string text(double x, int digits = 3) { return fmt::format("{:.{}g}", x, digits); }
std::string percent(double share) { return text(100 * share) + " %"; }

// "{n} of {units} units", filled in.
std::string filled(std::string words, const Values& values) {
  for (const auto& [name, value] : values) {
    const std::string mark = "{" + name + "}";
    for (size_t at = 0; (at = words.find(mark, at)) != std::string::npos; at += value.size())
      words.replace(at, mark.size(), value);
  }
  return words;
}

struct Stats {
  double n = 0, sum = 0, squares = 0, nonzero = 0, bad = 0;
  double low = INFINITY, high = -INFINITY;

  void add(const Tensor& x, int64_t look = kLook / 2) {
    visit_float("doctor", x.dtype(), [&, data = &x]<typename T>(T) {
      const T* v = data->data<T>();
      const auto block = [&](int64_t i, int64_t end) {
        for (n += static_cast<double>(end - i); i < end; ++i) {
          const double a = v[i];
          if (!std::isfinite(a)) {
            ++bad;
            continue;
          }
          sum += a;
          squares += a * a;
          nonzero += a != 0;
          low = std::min(low, a);
          high = std::max(high, a);
        }
      };
      for_each_block(data->numel(), 1, look, block);
    });
  }
  double mean() const { return sum / std::max(n - bad, 1.); }
  double std() const {
    return std::sqrt(std::max(0., squares / std::max(n - bad, 1.) - mean() * mean()));
  }
  // Zeros say that something is not there (words, ink): the size is that of the others.
  double rms() const { return std::sqrt(squares / std::max(nonzero, 1.)); }
  // (Shares of words may be small.)
  bool is_far() const {
    const bool is_small = rms() < 1 / kLargeInput && nonzero > n / 2;
    return n > bad && (rms() > kLargeInput || is_small || std::abs(mean()) > kFarMean * std());
  }
  Values values() const {
    return {{"mean", text(mean())}, {"std", text(std())}, {"low", text(low)}, {"high", text(high)}};
  }
};

double norm(const Tensor& x) {
  double squares = 0;
  int64_t seen = 0;
  visit_float("doctor", x.dtype(), [&]<typename T>(T) {
    const T* v = x.data<T>();
    for_each_block(x.numel(), 1, kLook, [&](int64_t i, int64_t end) {
      for (seen += end - i; i < end; ++i) squares += static_cast<double>(v[i]) * v[i];
    });
  });
  return std::sqrt(squares * static_cast<double>(x.numel()) /
                   static_cast<double>(std::max<int64_t>(seen, 1)));
}

// f(begin, end, g) for pieces of the elements [i, end) of a parameter: g is where their gradient
// begins, null for a row that has none.
template <typename T, typename F>
void each_piece(const Tensor& parameter, const Tensor& g, int64_t i, int64_t end, F f) {
  const RowGradient* rows = row_gradient(parameter);
  if (!rows) return f(i, end, g.data<T>() + i);
  const int64_t width = parameter.numel() / parameter.dim(0);
  const int64_t *ids = rows->ids.data<int64_t>(), *stop = ids + rows->ids.numel();
  while (i < end) {
    const int64_t row = i / width, next = std::min(end, (row + 1) * width);
    const int64_t* at = std::lower_bound(ids, stop, row);
    const bool has = at != stop && *at == row;
    f(i, next, has ? g.data<T>() + (at - ids) * width + i % width : nullptr);
    i = next;
  }
}

// Another thing in training than in evaluation.
bool depends_on_mode(ModuleBase& module) {
  if (const auto* norm = dynamic_cast<BatchNorm*>(&module))
    return !norm->weight.defined() || norm->weight.requires_grad();
  if (const auto* d = dynamic_cast<Dropout*>(&module)) return d->p > 0;
  if (const auto* d = dynamic_cast<Dropout2d*>(&module)) return d->p > 0;
  return dynamic_cast<RReLU*>(&module) != nullptr;
}

// What the outputs of a layer say in one pass.
struct Outputs {
  std::vector<char> fires;  // by unit: the slope was not 0 for some example
  int64_t rows = 0;         // examples; for images: places
  double flat = -1;  // the share of small slopes; -1: the activation is not flat on both sides
};

Outputs outputs_of(const Activation& f, const Tensor& y) {
  Outputs o;
  if (f.needs_x() || y.rank() < 1 || y.numel() == 0) return o;
  double steepest = 0;
  for (double x = -4; x <= 4; x += 0.125) steepest = std::max(steepest, f.derivative(x));
  const double left = f.derivative(-20), right = f.derivative(20);
  const bool dies = left == 0 || right == 0;
  const double inner = std::min(f.derivative(-0.5), f.derivative(0.5));  // 0 for clipped ReLUs
  const bool saturates =
      std::max(std::abs(left), std::abs(right)) < 1e-3 * steepest && inner > kFlat * steepest;
  if (!dies && !saturates) return o;
  const int64_t units = y.dim(-1);
  o.fires.assign(static_cast<size_t>(units), !dies);
  int64_t flat = 0;
  visit_float("doctor", y.dtype(), [&]<typename T>(T) {
    const T limit = static_cast<T>(kFlat * steepest);
    std::vector<T> ones, slope;
    const auto rows = [&](int64_t i, int64_t end) {
      ones.resize(static_cast<size_t>(end - i), 1);
      slope.resize(ones.size());
      f.vjp_block<T>(end - i, y.data<T>() + i, ones.data(), slope.data());
      for (auto s = slope.begin(); s != slope.end(); ++o.rows) {
        for (char& fires : o.fires) {
          fires |= *s != 0;
          flat += std::abs(*s++) < limit;
        }
      }
    };
    for_each_block(y.numel(), units, kLook, rows);
  });
  if (saturates) o.flat = static_cast<double>(flat) / static_cast<double>(o.rows * units);
  return o;
}

// The same by the gradient of a layer's outputs, where its activation is an op of the model's own:
// a unit fires that some example gives a gradient to. Nothing where there is no gradient at all.
Outputs outputs_by_gradient(const Tensor& dy) {
  Outputs o;
  if (dy.rank() < 1 || dy.numel() == 0) return o;
  o.fires.assign(static_cast<size_t>(dy.dim(-1)), false);
  visit_float("doctor", dy.dtype(), [&]<typename T>(T) {
    const auto rows = [&](int64_t i, int64_t end) {
      for (const T *d = dy.data<T>() + i, *stop = dy.data<T>() + end; d < stop; ++o.rows)
        for (char& fires : o.fires) fires |= *d++ != 0;
    };
    for_each_block(dy.numel(), dy.dim(-1), kLook, rows);
  });
  return std::ranges::count(o.fires, true) > 0 ? o : Outputs();
}

double entropy(double p) { return p > 0 ? -p * std::log(p) : 0; }

// How often each class, or the sum and squares of each column, was seen.
struct Targets {
  static constexpr int64_t kClasses = 1 << 18;
  std::vector<double> counts, sums, squares;
  double rows = 0;

  void add(const Tensor& y) {
    if (y.dtype() == i64) {
      for (const int64_t *c = y.data<int64_t>(), *end = c + std::min(y.numel(), kLook); c < end;
           ++c) {
        if (*c < 0 || *c >= kClasses) continue;  // ignored
        if (static_cast<size_t>(*c) >= counts.size()) counts.resize(static_cast<size_t>(*c) + 1);
        ++counts[static_cast<size_t>(*c)];
        ++rows;
      }
      return;
    }
    const size_t columns = static_cast<size_t>(y.rank() > 1 ? y.dim(-1) : 1);
    if (sums.size() != columns) sums = squares = std::vector<double>(columns);
    visit_float("doctor", y.dtype(), [&]<typename T>(T) {
      const int64_t n = static_cast<int64_t>(columns);
      for (int64_t i = 0; i + n <= std::min(y.numel(), std::max(kLook, n)); i += n, ++rows) {
        for (size_t j = 0; j < columns; ++j) {
          const double v = y.data<T>()[i + static_cast<int64_t>(j)];
          sums[j] += v;
          squares[j] += v * v;
        }
      }
    });
  }
  double chance(const std::string& kind) const {
    double loss = 0;
    for (const double c : counts) loss += entropy(c / rows);
    for (size_t j = 0; j < sums.size(); ++j) {
      const double m = sums[j] / rows, variance = std::max(0., squares[j] / rows - m * m);
      const double h = m >= 0 && m <= 1 ? entropy(m) + entropy(1 - m) : 0;
      loss += (kind == "mse" ? variance : h) / static_cast<double>(sums.size());
    }
    return loss;
  }
};

// Whether y has to do with x, by the most simple of tests: the variance between the means of x in
// the classes, over that within, 1 where they are drawn by lot (the F of an analysis of variance,
// over all features together). Of numbers y: rows whose sum lies above the mean, and those below.
struct Relation {
  static constexpr int64_t kFeatures = 64, kClasses = 1000;
  // By class: their number, then the sums of the features.
  std::map<int64_t, std::vector<double>> sums;
  double squares = 0;

  void add(const Tensor& x, const Tensor& y) {
    const int64_t n = x.rank() > 0 ? x.dim(0) : 0;
    if (n == 0 || y.rank() == 0 || y.dim(0) != n) return;
    const int64_t columns = y.numel() / n, row = x.numel() / n, step = ceil_div(row, kFeatures);
    if (y.dtype() == i64 && columns != 1) return;
    const std::vector<double> labels = sum(y.detach().to(f64).view({n, columns}), 1).values();
    const double middle =
        std::accumulate(labels.begin(), labels.end(), 0.) / static_cast<double>(n);
    visit_dtype(x.dtype(), [&]<typename T>(T) {
      for (int64_t i = 0; i < n; ++i) {
        const double label = labels[static_cast<size_t>(i)];
        const int64_t c = y.dtype() == i64 ? static_cast<int64_t>(label) : label > middle;
        if (!sums.contains(c) && sums.size() == kClasses) continue;
        std::array<double, kFeatures> features{};
        const T* v = x.data<T>() + i * row;
        if constexpr (std::is_integral_v<T>) {  // words: how often each occurs, some together
          for (int64_t k = 0; k < row; ++k) ++features[static_cast<uint64_t>(v[k]) % kFeatures];
        } else {
          for (int64_t k = 0; k * step < row; ++k) features[static_cast<size_t>(k)] = v[k * step];
        }
        std::vector<double>& sum = sums[c];
        sum.resize(1 + kFeatures);
        ++sum[0];
        for (size_t k = 0; k < kFeatures; ++k) {
          sum[1 + k] += features[k];
          squares += features[k] * features[k];
        }
      }
    });
  }
  // -1: it cannot tell.
  double f() const {
    double n = 0, between = 0, whole = 0;
    std::vector<double> all;
    for (const auto& [c, sum] : sums) {
      all.resize(std::max(all.size(), sum.size()));
      n += sum[0];
      for (size_t k = 1; k < sum.size(); ++k) all[k] += sum[k], between += sum[k] * sum[k] / sum[0];
    }
    for (size_t k = 1; k < all.size(); ++k) whole += all[k] * all[k] / n;
    const double classes = static_cast<double>(sums.size());
    if (classes < 2 || n < 10 * classes || !(squares > between)) return -1;
    return (between - whole) / (classes - 1) / ((squares - between) / (n - classes));
  }
};

// "cross entropy", "mse" or "binary cross entropy", if that of out and y is the loss; else "".
std::string kind_of(double loss, const Tensor& out, const Tensor& y) {
  const auto is = [&](auto f) {
    try {
      const NoGrad no_grad;
      return std::abs(f(out, y).item() - loss) <= 1e-3 * std::abs(loss);
    } catch (const Error&) {
      return false;
    }
  };
  if (!out.defined() || !std::isfinite(loss)) return "";
  if (y.dtype() == i64) {
    return is([](auto& x, auto& y) { return cross_entropy(x, y); }) ? "cross entropy" : "";
  }
  if (is([](auto& x, auto& y) { return mse_loss(x, y); })) return "mse";
  const bool binary = is([](auto& x, auto& y) { return bce_with_logits(x, y); }) ||
                      is([](auto& x, auto& y) { return bce_loss(x, y); });
  return binary ? "binary cross entropy" : "";
}

// True where each row of x is a probability distribution.
bool are_probabilities(const Tensor& x) {
  if (!x.defined() || !is_float(x.dtype()) || x.rank() < 2 || x.dim(-1) < 2) return false;
  const int64_t n = x.dim(-1);
  return visit_float("doctor", x.dtype(), [&]<typename T>(T) {
    const T* v = x.data<T>();
    for (int64_t i = 0; i + n <= std::min(x.numel(), std::max(kLook, n)); i += n) {
      double sum = 0;
      for (int64_t j = 0; j < n; ++j) {
        if (!(v[i + j] >= 0)) return false;
        sum += v[i + j];
      }
      if (std::abs(sum - 1) > 1e-4) return false;
    }
    return true;
  });
}

// ---- what is gathered ----

struct Layer {
  std::string name;  // "2 Dense(64, 32, relu)"
  bool has_weights = false, depends_on_mode = false, is_norm = false;
  std::vector<int64_t> silent;  // by unit: the examples in a row for which its slope was 0
  double flat = 0;              // a running mean of Outputs::flat
  // |gradient| / |gradient of the model's output|: the sum of its logs, and in the first step
  double log_gradient = 0, first_gradient = 0;
  int64_t seen = 0, without = 0;  // how often it was above 0, or 0
};

struct Weight {
  double steps = 0, ratio = 0;  // the sum of |dw| / |w| over the steps
  double first_norm = 0, first_gradient = 0;
};

// A layer's result in a call of the model.
struct Result {
  Layer* layer;
  Outputs outputs;
  double gradient = -1;  // its norm; -1: none came
  const void* address;
  bool by_gradient;  // what its outputs say
};
// A call of the model: from the first result of a layer to that of the model itself.
struct Call {
  std::vector<Result> results;
  Tensor output;
  bool whole = false;  // the model's own result is there
  bool recorded = false, model_trains = false;
  std::string trains, evaluates;  // layers that depend on the mode, in this one
  bool has_gradient() const {
    return std::ranges::any_of(results, [](const Result& r) { return r.gradient >= 0; });
  }
};
// From one step to the next; the tape's hooks hold it too.
struct Pass {
  std::vector<NamedTensor> parameters;
  std::vector<Tensor> before;  // the weights: blocks, in one row
  std::vector<Call> calls;
  bool after_epoch = false;
  bool went_back = false;
  double stale = 0;  // the norm of the gradients that were there before

  void note(size_t call, size_t result, const Tensor& dy) {
    Result& r = calls[call].results[result];
    const double now = norm(dy);
    r.gradient = r.gradient < 0 ? now : std::hypot(r.gradient, now);
    if (r.by_gradient) r.outputs = outputs_by_gradient(dy);
    if (std::exchange(went_back, true)) return;
    double squares = 0;
    for (const NamedTensor& p : parameters)
      if (const Tensor& old = kept_gradient(p.tensor); old.defined())
        squares += std::pow(norm(old), 2);
    stale = std::sqrt(squares);
  }
};

// Blocks of w, in a row.
Tensor look(const Tensor& w) {
  return visit_float("doctor", w.dtype(), [&]<typename T>(T) {
    std::vector<T> all;
    all.reserve(static_cast<size_t>(std::min(w.numel(), 2 * kLook)));
    for_each_block(w.numel(), 1, kLook, [&](int64_t i, int64_t end) {
      all.insert(all.end(), w.data<T>() + i, w.data<T>() + end);
    });
    return Tensor::of(all);
  });
}

}  // namespace

struct Doctor::State {
  ModuleBase& net;
  const DoctorOptions options;
  std::map<const ModuleBase*, Layer> layers;
  std::vector<const Layer*> order;  // those that have weights
  std::map<std::string, Weight> weights;
  std::shared_ptr<Pass> pass;  // while it looks
  ModuleWatch watch{[this](ModuleBase& module, const std::vector<Tensor>& y) { saw(module, y); }};

  int64_t steps = 0, next = 0, looked_at = -1;
  std::vector<double> losses;  // of this epoch
  double base = 0;             // the mean loss of the first quarter of the first epoch
  double first_loss = 0, last_loss = 0, mean_loss = 0;  // that of the last ten or so
  double least_loss = 0, lowest = 0, peak = 0;          // of mean_loss / of all
  double largest_ratio = 0;
  double descent = 0, drift = 0;  // what the steps take off the loss of their batches, and |dw|/|w|
  double epoch_descent = 0, weight_gradient = 0;
  int64_t looks = 0, stale = 0, probabilities = 0, most_idle = 0;
  double stale_norm = 0, new_norm = 0;
  Stats x, y;
  bool x_matters = false;
  std::string kind;
  Targets targets;
  Relation relation;  // in the first epoch: each example once
  int64_t epochs = 0;
  std::map<Code, Finding> found;

  State(ModuleBase& net, const DoctorOptions& options) : net(net), options(options) {
    if (options.every < 1) fail("Doctor: expected every >= 1; got {}.", options.every);
    arm();
  }

  // It looks at the next step.
  void arm() {
    order.clear();
    const auto add = [&](ModuleBase& m, const std::string& path) {
      Layer& layer = layers[&m];
      if (layer.name.empty()) layer.name = path.empty() ? m.describe() : path + " " + m.describe();
      layer.depends_on_mode = depends_on_mode(m);
      layer.is_norm = dynamic_cast<Norm*>(&m) != nullptr;
    };
    add(net, "");
    std::map<std::string, const ModuleBase*> by_path{{"", &net}};
    const Fields fields(net);
    for (const Field& f : fields) {
      if (f.module) {
        add(*f.module, f.path);
        by_path[f.path] = f.module;
      } else if (f.trained) {
        const size_t dot = f.path.rfind('.');
        Layer& layer = layers[by_path[dot == std::string::npos ? "" : f.path.substr(0, dot)]];
        layer.has_weights = true;
        if (order.empty() || order.back() != &layer) order.push_back(&layer);
      }
    }
    x_matters = order.empty() || !order[0]->is_norm;
    pass = std::make_shared<Pass>();
    pass->parameters = net.named_parameters();
    for (const NamedTensor& p : pass->parameters)
      pass->before.push_back(p.tensor.requires_grad() && p.tensor.rank() > 1 ? look(p.tensor)
                                                                             : Tensor());
    watch.on();
  }

  void saw(ModuleBase& module, const std::vector<Tensor>& y) {
    const auto found = layers.find(&module);
    if (found == layers.end() || !pass || y.empty()) return;
    std::vector<Call>& calls = pass->calls;
    if (calls.empty() || calls.back().whole) calls.emplace_back();
    Call& call = calls.back();
    Layer& layer = found->second;
    if (layer.depends_on_mode) {
      std::string& of_mode = module.training() ? call.trains : call.evaluates;
      if (of_mode.empty()) of_mode = layer.name;
    }
    const Tensor& out = y[0];
    call.recorded |= grad_enabled();
    call.output = out.detach();
    if (&module == &net) {
      call.whole = true;
      call.model_trains = net.training();
      // A flat end is what a probability is for.
      for (Result& r : call.results)
        if (r.address == out.address()) r.outputs.flat = -1, r.by_gradient = false;
    }
    // After an epoch the validation is asked for its mode and no more.
    if (!grad_enabled() && call.whole && steps > 0) watch.off();
    if (!out.requires_grad() || calls.size() > 8) return;
    const Activation* f = activation_of(module);
    if (!f && !layer.has_weights && !call.whole) return;
    call.results.push_back({&layer, f ? outputs_of(*f, out) : Outputs(), -1, out.address(),
                            !f && !call.whole && layer.has_weights});
    if (node_of(out)->is_leaf) return;
    Tensor(out).hook(
        [pass = pass, c = calls.size() - 1, r = call.results.size() - 1](const Tensor& dy) {
          pass->note(c, r, dy);
          return Tensor();
        });
  }

  // `key` is that of the words, where one code has several: what stands behind its name.
  void set(Code code, const char* key, const std::string& layer, const char* evidence,
           const Values& values, const char* remedy) {
    const std::string name = kNames[code];
    found.insert_or_assign(code, Finding{name, layer, filled(evidence, values), remedy,
                                         *key ? name + "_" + key : name, values});
  }
  // The first one stays.
  void add(Code code, const char* key, const std::string& layer, const char* evidence,
           const Values& values, const char* remedy) {
    if (!found.contains(code)) set(code, key, layer, evidence, values, remedy);
  }

  // ---- a step ----

  void after_step(const Dataset& batch, double l) {
    if (steps == 0) first_loss = mean_loss = least_loss = l;
    if (!std::isfinite(l)) {
      not_finite(batch, l);
    } else {
      last_loss = l;
      mean_loss += 0.1 * (l - mean_loss);
      least_loss = std::min(least_loss, mean_loss);
      lowest = std::min(lowest, l);
      peak = std::max(peak, l);
      losses.push_back(l);
    }
    if (pass) look_at(batch, l);
    ++steps;
    // All of the first 8 steps, then each one that is a quarter later than the one before.
    if (looked_at == steps - 1) next = steps - 1 + std::clamp<int64_t>(steps / 4, 1, options.every);
    pass = nullptr;
    if (steps >= next) {
      arm();
    } else {
      watch.off();
    }
  }

  void not_finite(const Dataset& batch, double l) {
    if (found.contains(kNotFinite)) return;
    const std::string step = std::to_string(steps + 1), loss = fmt::format("{}", l);
    if (Stats all; is_float(batch.x.dtype())) {
      all.add(batch.x, batch.x.numel());
      if (all.bad > 0) {
        add(kInputsNotFinite, "", "", "{n} of {of} numbers of x are NaN or inf in step {step}",
            {{"n", text(all.bad, 15)}, {"of", text(all.n, 15)}, {"step", step}},
            "find them in the data: where they are made, or drop those examples");
      }
    }
    if (steps > 0 && (largest_ratio > kReplacingRatio || last_loss > kRise * first_loss)) {
      add(kLrTooHigh, "not_finite", "",
          "the loss is {loss} in step {step}; before it was {before}, and {first} at the start; a "
          "step moved the weights by up to {share} of their size",
          {{"loss", loss},
           {"step", step},
           {"before", text(last_loss)},
           {"first", text(first_loss)},
           {"share", percent(largest_ratio)}},
          kLowerRate);
    }
    add(kNotFinite, "", "", "the loss is {loss} in step {step}", {{"loss", loss}, {"step", step}},
        "look for the op that made it: Anomaly, autopsy()");
  }

  void look_at(const Dataset& batch, double l) {
    const double span = static_cast<double>(steps - looked_at);  // the steps that this one is for
    looked_at = steps;
    ++looks;
    if (is_float(batch.x.dtype())) x.add(batch.x);
    if (batch.y.defined()) {
      if (is_float(batch.y.dtype())) y.add(batch.y);
      targets.add(batch.y);
      if (epochs == 0) relation.add(batch.x, batch.y);
    }
    look_at_calls(batch, l);
    look_at_weights(span, l);
    if (pass->stale > 0) ++stale, stale_norm = pass->stale;
  }

  void look_at_calls(const Dataset& batch, double l) {
    int64_t idle = 0;  // calls that no gradient came back to
    for (const Call& call : pass->calls) {
      if (call.has_gradient()) {
        if (!call.model_trains && call.whole && !call.evaluates.empty() && call.trains.empty()) {
          add(kEvalModeInTraining, "", call.evaluates, "step {step} was taken in eval mode",
              {{"step", std::to_string(steps + 1)}},
              "net.train() before the epoch, or EvalMode around the validation alone");
        }
        look_at_results(call);
        if (looks <= kEnoughLooks && kind.empty() && batch.y.defined())
          kind = kind_of(l, call.output, batch.y);
        if (batch.y.defined() && batch.y.dtype() == i64 && are_probabilities(call.output) &&
            kind == "cross entropy")
          ++probabilities;
      } else {
        ++idle;
        if (pass->after_epoch && idle > most_idle && !call.trains.empty()) {
          add(kTrainModeInValidation, "", call.trains,
              "between two epochs it was called in train mode, and no backward() followed", {},
              "evaluate() or predict(), or `const EvalMode eval; const NoGrad no_grad;` around it");
        }
      }
    }
    if (!pass->after_epoch) most_idle = std::max(most_idle, idle);
  }

  void look_at_results(const Call& call) {
    const double at_output = call.whole ? call.results.back().gradient : -1;
    for (const Result& r : call.results) {
      if (r.gradient < 0) continue;
      Layer& layer = *r.layer;
      const auto& [fires, rows, flat] = r.outputs;
      if (layer.silent.size() < fires.size()) layer.silent.resize(fires.size());
      for (size_t j = 0; j < fires.size(); ++j)
        layer.silent[j] = fires[j] ? 0 : layer.silent[j] + rows;
      if (flat >= 0) layer.flat = looks == 1 ? flat : 0.8 * layer.flat + 0.2 * flat;
      const double ratio = r.gradient / at_output;
      if (!layer.has_weights || !(at_output > 0) || !std::isfinite(ratio)) continue;
      if (looks == 1) layer.first_gradient = ratio;
      if (ratio > 0) {
        layer.log_gradient += std::log(ratio);
        ++layer.seen;
      } else {
        ++layer.without;
      }
    }
  }

  void look_at_weights(double span, double l) {
    double all_moved = 0, all_size = 0, slope = 0, gradient_squares = 0;
    for (size_t i = 0; i < pass->parameters.size(); ++i) {
      const std::string& name = pass->parameters[i].name;
      const Tensor &w = pass->parameters[i].tensor, &before = pass->before[i],
                   &g = kept_gradient(w);
      if (!before.defined() || !g.defined()) continue;
      double moved = 0, size = 0, gradient = 0, along = 0;
      double its_moved = 0, its_size = 0;  // of what has a gradient: of some rows, those
      visit_float("doctor", w.dtype(), [&]<typename T>(T) {
        const T *a = before.data<T>(), *b = w.data<T>();
        for_each_block(w.numel(), 1, kLook, [&](int64_t block, int64_t block_end) {
          each_piece<T>(w, g, block, block_end, [&](int64_t k, int64_t end, const T* d) {
            double m = 0, s = 0;
            for (; k < end; ++k, ++a) {
              const double step = static_cast<double>(b[k]) - *a, slope = d ? *d++ : 0;
              m += step * step;
              s += static_cast<double>(*a) * *a;
              gradient += slope * slope;
              along -= slope * step;
            }
            moved += m, size += s;
            if (d) its_moved += m, its_size += s;
          });
        });
      });
      const double scale = static_cast<double>(w.numel()) / static_cast<double>(before.numel());
      gradient_squares += scale * gradient;
      if (!std::isfinite(moved + size + gradient)) continue;
      slope += scale * along;
      all_moved += scale * moved;
      all_size += scale * size;
      Weight& weight = weights[name];
      if (looks == 1) {
        weight.first_norm = std::sqrt(scale * size);
        weight.first_gradient = std::sqrt(scale * gradient);
      }
      if (its_size > 0)
        weight.ratio += span * std::sqrt(its_moved / its_size), weight.steps += span;
    }
    new_norm = std::sqrt(gradient_squares);
    weight_gradient =
        std::max(weight_gradient, std::sqrt(gradient_squares * all_size) / std::abs(l));
    if (!(all_size > 0)) return;
    largest_ratio = std::max(largest_ratio, std::sqrt(all_moved / all_size));
    drift += span * std::sqrt(all_moved / all_size);
    descent += span * std::max(slope, 0.);
    epoch_descent += span * std::max(slope, 0.);
  }

  // ---- what it means ----

  static constexpr const char* kLowerRate = "divide lr by 10, or ask find_lr()";

  void examine() {
    if (looks == 0) return;
    if (x_matters && x.is_far()) {
      add(kInputsNotNormalized, "", "",
          "x: mean {mean}, standard deviation {std}, from {low} to {high}", x.values(),
          "(x - mean) / std of the training data; pixels / 255");
    }
    if (y.is_far()) {
      add(kTargetsNotNormalized, "", "",
          "y: mean {mean}, standard deviation {std}, from {low} to {high}", y.values(),
          "(y - mean) / std for training, undone for predictions");
    }
    if (probabilities > looks / 2) {
      add(kSoftmaxBeforeCrossEntropy, "", "",
          "in {n} of {of} steps each row of the output was at least 0 with the sum 1, and the loss "
          "is its cross_entropy(), which takes a softmax itself",
          {{"n", std::to_string(probabilities)}, {"of", std::to_string(looks)}},
          "leave the softmax out: cross_entropy() takes logits");
    }
    if (stale > 1) {
      add(kGradientsNotCleared, "", "",
          "in {n} of {of} steps backward() found the gradients of before, of norm {before}, and "
          "added to them: {after}",
          {{"n", std::to_string(stale)},
           {"of", std::to_string(looks)},
           {"before", text(stale_norm)},
           {"after", text(new_norm)}},
          "zero_grad() after each step");
    }
    // Training may have ended here, by an exception; else examine_epoch() thinks again.
    if (largest_ratio > kReplacingRatio && last_loss > 2 * first_loss && lowest >= 0) {
      add(kLrTooHigh, "rose", "",
          "the loss rose from {first} to {last} in {steps} steps; a step moved the weights by up "
          "to {share} of their size",
          {{"first", text(first_loss)},
           {"last", text(last_loss)},
           {"steps", std::to_string(steps)},
           {"share", percent(largest_ratio)}},
          kLowerRate);
    }
    examine_units();
    examine_gradients();
    examine_ratios();
  }

  void examine_units() {
    double worst = 0, flattest = kFlatShare;
    for (const auto& [module, layer] : layers) {
      const double units = static_cast<double>(layer.silent.size());
      const double dead = static_cast<double>(
          std::ranges::count_if(layer.silent, [](int64_t rows) { return rows >= kSilentRows; }));
      if (units > 0 && dead / units >= dead_limit(units) && dead / units > worst) {
        worst = dead / units;
        set(kDeadUnits, "", layer.name,
            "{n} of {of} units ({share}) let no gradient through for the last {examples} examples "
            "and more",
            {{"n", text(dead, 6)},
             {"of", text(units, 6)},
             {"share", percent(worst)},
             {"examples", std::to_string(kSilentRows)}},
            "LeakyReLU, PReLU or ELU instead; a lower lr; biases that start at 0, He's weights");
      }
      if (layer.flat > flattest && least_loss > kHalf * first_loss) {
        flattest = layer.flat;
        set(kSaturatedUnits, "", layer.name,
            "{share} of its outputs lie where the slope is below {limit} of the largest",
            {{"share", percent(layer.flat)}, {"limit", percent(kFlat)}},
            "smaller weights at the start (Glorot, He), BatchNorm before it, or ReLU");
      }
    }
  }

  void examine_gradients() {
    const Layer *least = nullptr, *most = nullptr, *none = nullptr;
    double low = 1 / kGradientRange, high = kGradientRange;
    for (const Layer* layer : order) {
      if (layer->seen == 0 && layer->without >= kEnoughLooks && !none) none = layer;
      if (layer->seen == 0) continue;
      const double ratio = std::exp(layer->log_gradient / static_cast<double>(layer->seen));
      if (ratio < low) low = ratio, least = layer;
      // Later the lr may be what is too high.
      if (layer->first_gradient > high) high = layer->first_gradient, most = layer;
    }
    constexpr const char* kTimes =
        "the gradient of its output is {ratio} times that of the model's output";
    if (most) {
      add(kExplodingGradients, "", most->name, kTimes, {{"ratio", text(high, 2)}},
          "He's weights and BatchNorm between the layers; clip_grad_norm(net, 1)");
    }
    for (const auto& [name, w] : weights) {
      if (w.first_norm > 0 && w.first_gradient > kGradientOfWeight * w.first_norm) {
        add(kExplodingGradients, "weight", name,
            "its gradient has the norm {gradient}, and the weights {weights}",
            {{"gradient", text(w.first_gradient)}, {"weights", text(w.first_norm)}},
            "clip_grad_norm(net, 1); a loss that is a mean, targets of standard deviation 1");
      }
    }
    // What was so from the start is no consequence of units that died.
    const bool explained =
        found.contains(kLrTooHigh) || found.contains(kDeadUnits) || found.contains(kSaturatedUnits);
    if (least &&
        (!explained || (least->first_gradient > 0 && least->first_gradient < 1 / kGradientRange))) {
      add(kVanishingGradients, "", least->name, kTimes, {{"ratio", text(low, 2)}},
          "ReLU with He's weights, BatchNorm or Residual between the layers");
    }
    if (none && !explained) {
      add(kNoGradient, "", none->name, "the gradient of its output was 0 in all of {steps} steps",
          {{"steps", std::to_string(none->without)}},
          "look behind it for what stops the gradient: Dropout(1), weights that are all 0, a "
          "product with 0, an output that is clipped");
    }
  }

  void examine_ratios() {
    std::vector<std::pair<double, std::string>> ratios;
    for (const auto& [name, w] : weights)
      if (w.steps >= kEnoughSteps) ratios.emplace_back(w.ratio / w.steps, name);
    if (ratios.size() < 2) return;
    std::ranges::sort(ratios);
    // Of two, the one inside the limits is the measure.
    const auto inside = [](double r) { return r > kSmallRatio && r < kLargeRatio; };
    double middle = ratios[ratios.size() / 2].first;
    if (!inside(middle)) middle = ratios[(ratios.size() - 1) / 2].first;
    if (!inside(middle)) return;
    for (const auto& [ratio, name] : {ratios.front(), ratios.back()}) {
      if (inside(ratio) || (ratio * kRatioRange > middle && ratio < middle * kRatioRange)) continue;
      add(kUpdateRatio, "", name,
          "a step moves it by {ratio} of its size, and the middle one of the weights by {middle}",
          {{"ratio", text(ratio, 2)}, {"middle", text(middle, 2)}},
          "the same lr for its parameter group; else a norm before it, or Adam");
    }
  }

  // What the losses of an epoch say.
  void examine_epoch() {
    const size_t n = losses.size(), late = std::max<size_t>(1, n / 4);
    if (n == 0 || steps < kEnoughSteps) return;
    // These may pass.
    for (const Code code : {kLrTooLow, kLabelsShuffled, kLossAtChance}) found.erase(code);
    if (!found.contains(kNotFinite)) found.erase(kLrTooHigh);
    double end = 0, start = 0, squares = 0;
    for (size_t i = 0; i < late; ++i) {
      end += losses[n - 1 - i] / static_cast<double>(late);
      start += losses[i] / static_cast<double>(late);
    }
    for (size_t i = 0; i < late; ++i) squares += std::pow(losses[n - 1 - i] - end, 2);
    const double error = std::sqrt(squares) / static_cast<double>(late);  // of `end`
    if (base == 0) base = start;
    const double chance = kind.empty() ? 0 : targets.chance(kind);
    const auto is_still = [&](double loss) {
      return end + 2 * error > (1 - kNothing) * loss && end > kMostly * loss;
    };
    const bool at_chance = chance > 0 && is_still(chance);
    const bool nothing = at_chance || is_still(std::abs(first_loss));
    // (A loss that goes below 0, as a critic's, may rise from there.)
    if ((end > kRise * std::max(first_loss, chance) && drift > kLargeRatio && lowest >= 0) ||
        (largest_ratio > kReplacingRatio &&
         (nothing || (peak > 2 * first_loss && end > kHalf * first_loss)))) {
      add(kLrTooHigh, "", "",
          "the loss was {first} at first and is {last}; a step moved the weights by up to {share} "
          "of "
          "their size",
          {{"first", text(first_loss)}, {"last", text(end)}, {"share", percent(largest_ratio)}},
          kLowerRate);
    }
    if (is_still(std::abs(base)) && descent < kNothing * std::abs(base) && weight_gradient > 1e-3) {
      add(kLrTooLow, "", "",
          "the loss was {first} at first and is {last}; by their gradients {steps} steps can take "
          "{descent} off it, and moved the weights by {share} at most",
          {{"first", text(base, 4)},
           {"last", text(end, 4)},
           {"steps", std::to_string(steps)},
           {"descent", text(descent, 2)},
           {"share", percent(drift)}},
          "multiply lr by 10 until the loss falls, or ask find_lr()");
    }
    const bool explained =
        std::ranges::any_of(found, [](const auto& f) { return f.first != kTrainModeInValidation; });
    if (!at_chance || explained) return;
    Values values{{"kind", kind},
                  {"last", text(end, 4)},
                  {"chance", text(chance, 4)},
                  {"descent", text(epoch_descent, 2)}};
    // The steps do lower the loss of their own batches; the next batch knows nothing of it.
    const double f = relation.f();
    const double enough = (f < 0 ? kMuch : kLittle) * chance;
    if (f < kUnrelated && epoch_descent > std::max({0., start - end, losses[0] - end}) + enough) {
      constexpr const char* kRemedy =
          "look at some x beside their y: both must be shuffled by one permutation; if they agree, "
          "the model cannot tell them apart: overfit_one_batch()";
      if (f < 0) {
        add(kLabelsShuffled, "", "",
            "the {kind} is {last} at the end of the epoch, and that of the best constant answer "
            "{chance}; yet by their gradients the steps took {descent} off the losses of their own "
            "batches",
            values, kRemedy);
      } else {
        values.emplace_back("f", fmt::format("{:.2f}", f));
        add(kLabelsShuffled, "means", "",
            "the {kind} is {last} at the end of the epoch, and that of the best constant answer "
            "{chance}; yet by their gradients the steps took {descent} off the losses of their own "
            "batches; the mean x of the classes differ as by lot (F = {f})",
            values, kRemedy);
      }
    } else {
      add(kLossAtChance, "", "",
          "the {kind} is {last} at the end of the epoch, and that of the best constant answer "
          "{chance}; by their gradients the steps could take {descent} off it",
          values,
          "overfit_one_batch(): where that fails, the model cannot learn (too small, frozen or cut "
          "off); where it fits, look at some x beside their y");
    }
  }

  void epoch_end() {
    examine();
    examine_epoch();
    losses.clear();
    epoch_descent = 0;
    ++epochs;
    arm();
    pass->after_epoch = true;
  }
};

Doctor::Doctor(ModuleBase& net, const DoctorOptions& options)
    : state_(std::make_unique<State>(net, options)) {}
Doctor::~Doctor() = default;

void Doctor::after_step(const Dataset& batch, double loss) { state_->after_step(batch, loss); }
void Doctor::epoch_end() { state_->epoch_end(); }

Doctor::operator Callback() {
  return {.after_step = [this](TrainState& s) { after_step(*s.data, s.loss); },
          .after_epoch = [this](TrainState&) { epoch_end(); }};
}

std::vector<Finding> Doctor::findings() const {
  state_->examine();
  std::vector<Finding> list;
  for (const auto& [code, finding] : state_->found) list.push_back(finding);
  return list;
}

std::string Doctor::str() const {
  const std::vector<Finding> list = findings();
  if (list.empty()) return fmt::format("doctor: nothing found in {} steps\n", state_->steps);
  std::string text;
  for (const Finding& f : list) {
    text += fmt::format("{}{}\n  {}\n  try: {}\n", f.code, f.layer.empty() ? "" : ": " + f.layer,
                        f.evidence, f.remedy);
  }
  return text;
}

}  // namespace ramp
