#include "ramp/train/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"

namespace ramp {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Rows of logits, f64, with their labels; one logit z of two classes is {0, z}.
struct Rows {
  std::vector<double> logits;
  std::vector<int64_t> labels;
  int64_t classes;

  int64_t size() const { return std::ssize(labels); }
  const double* row(int64_t i) const { return logits.data() + i * classes; }
  // The class of the largest logit, -1 where one is NaN.
  int64_t guess(int64_t i) const {
    const double* z = row(i);
    if (std::any_of(z, z + classes, [](double v) { return std::isnan(v); })) return -1;
    return std::max_element(z, z + classes) - z;
  }
};

Rows rows_of(const char* op, const Tensor& logits, const Tensor& labels) {
  check_defined(op, "logits", logits);
  check_defined(op, "labels", labels);
  const int last = logits.rank() - 1;
  const bool has_classes = last >= 1 && labels.shape() == logits.shape().without(last);
  const bool one_logit =
      logits.rank() > 0 && (has_classes ? logits.dim(last) == 1 : labels.shape() == logits.shape());
  if (logits.numel() == 0 || !(has_classes || one_logit)) {
    fail("{}: expected logits [n, .., classes] and labels [n, ..], n > 0; got {} and {}.", op,
         logits.shape(), labels.shape());
  }
  if (labels.dtype() != i64 && !one_logit) {
    fail("{}: labels must be class numbers, i64; got {}. Hint: labels.to(i64).", op,
         labels.dtype());
  }
  check_float(op, logits, "logits");
  const std::vector<double> z = logits.values(), y = labels.values();
  Rows rows{{}, {}, one_logit ? 2 : logits.dim(last)};
  if (one_logit) {
    for (const double v : z) rows.logits.insert(rows.logits.end(), {0, v});
  } else {
    rows.logits = z;
  }
  for (size_t i = 0; i < y.size(); ++i) {
    const auto label = static_cast<int64_t>(y[i]);
    if (!(y[i] >= 0 && y[i] < static_cast<double>(rows.classes)) ||
        static_cast<double>(label) != y[i]) {
      fail(
          "{}: labels must be in 0..{}; got {} at row {}. Hint: leave out the rows that do not "
          "count.",
          op, rows.classes - 1, y[i], i);
    }
    rows.labels.push_back(label);
  }
  return rows;
}

double share(int64_t right, int64_t n) {
  return static_cast<double>(right) / static_cast<double>(n);
}

int64_t right_guesses(const Rows& rows) {
  int64_t right = 0;
  for (int64_t i = 0; i < rows.size(); ++i) {
    right += rows.guess(i) == rows.labels[static_cast<size_t>(i)];
  }
  return right;
}

// The score of each class from its counts of right ones, guesses and labels; that of class 1 or
// the mean.
template <typename Score>
double by_class(const char* op, const Tensor& logits, const Tensor& labels, Score score) {
  const Rows rows = rows_of(op, logits, labels);
  std::vector<double> right(static_cast<size_t>(rows.classes)), guessed = right, there = right;
  for (int64_t i = 0; i < rows.size(); ++i) {
    const auto label = static_cast<size_t>(rows.labels[static_cast<size_t>(i)]);
    const int64_t guess = rows.guess(i);
    ++there[label];
    if (guess < 0) continue;
    ++guessed[static_cast<size_t>(guess)];
    right[label] += static_cast<size_t>(guess) == label;
  }
  if (rows.classes == 2) return score(right[1], guessed[1], there[1]);
  double sum = 0, classes = 0;
  for (size_t c = 0; c < right.size(); ++c) {
    if (there[c] == 0) continue;
    sum += score(right[c], guessed[c], there[c]);
    ++classes;
  }
  return sum / classes;
}

double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

// f(y_i - target_i) for all i.
template <typename F>
std::vector<double> of_differences(const char* op, const Tensor& y, const Tensor& target, F f) {
  check_defined(op, "y", y);
  check_defined(op, "target", target);
  if (y.shape() != target.shape() || y.numel() == 0) {
    fail("{}: y and target must have the same shape, with elements; got {} and {}.", op, y.shape(),
         target.shape());
  }
  check_float(op, y, "y");
  check_float(op, target, "target");
  std::vector<double> d = y.values();
  const std::vector<double> t = target.values();
  for (size_t i = 0; i < d.size(); ++i) d[i] = f(d[i] - t[i]);
  return d;
}

double square(double v) { return v * v; }
double mean_of(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

constexpr double kSigmas = 1.96;  // 95 % of a normal distribution

// The mean with its error.
Estimate estimate(const std::vector<double>& v) {
  const double m = mean_of(v), n = static_cast<double>(v.size());
  double squares = 0;
  for (const double x : v) squares += square(x - m);
  return {m, n < 2 ? kNaN : kSigmas * std::sqrt(squares / (n - 1) / n)};
}

// A share of n, with two right and two wrong ones more.
Estimate estimate_share(double p, int64_t rows) {
  const double n = static_cast<double>(rows), q = (p * n + 2) / (n + 4);
  return {p, kSigmas * std::sqrt(q * (1 - q) / (n + 4))};
}

}  // namespace

double accuracy(const Tensor& logits, const Tensor& labels) {
  const Rows rows = rows_of("accuracy", logits, labels);
  return share(right_guesses(rows), rows.size());
}

double top_k_accuracy(const Tensor& logits, const Tensor& labels, int64_t k) {
  const Rows rows = rows_of("top_k_accuracy", logits, labels);
  if (k < 1 || k > rows.classes) {
    fail("top_k_accuracy: k must be in 1..{}, the classes; got {}.", rows.classes, k);
  }
  int64_t right = 0;
  for (int64_t i = 0; i < rows.size(); ++i) {
    const double *z = rows.row(i), of_label = z[rows.labels[static_cast<size_t>(i)]];
    const auto above = std::count_if(z, z + rows.classes, [&](double v) { return v > of_label; });
    right += above < k && rows.guess(i) >= 0;
  }
  return share(right, rows.size());
}

Tensor confusion_matrix(const Tensor& logits, const Tensor& labels) {
  const Rows rows = rows_of("confusion_matrix", logits, labels);
  Tensor matrix = Tensor::zeros({rows.classes, rows.classes}, i64);
  int64_t* m = matrix.mutable_data<int64_t>();
  for (int64_t i = 0; i < rows.size(); ++i) {
    const int64_t guess = rows.guess(i);
    if (guess >= 0) ++m[rows.labels[static_cast<size_t>(i)] * rows.classes + guess];
  }
  return matrix;
}

double precision(const Tensor& logits, const Tensor& labels) {
  return by_class("precision", logits, labels,
                  [](double right, double guessed, double) { return ratio(right, guessed); });
}

double recall(const Tensor& logits, const Tensor& labels) {
  return by_class("recall", logits, labels,
                  [](double right, double, double there) { return ratio(right, there); });
}

double f1_score(const Tensor& logits, const Tensor& labels) {
  return by_class("f1_score", logits, labels, [](double right, double guessed, double there) {
    return ratio(2 * right, guessed + there);
  });
}

double roc_auc(const Tensor& logits, const Tensor& labels) {
  const Rows rows = rows_of("roc_auc", logits, labels);
  if (rows.classes != 2) {
    fail("roc_auc: expected one or two logits a row; got {}.", logits.shape());
  }
  std::vector<std::pair<double, int64_t>> scores;
  for (int64_t i = 0; i < rows.size(); ++i) {
    scores.emplace_back(rows.row(i)[1] - rows.row(i)[0], rows.labels[static_cast<size_t>(i)]);
    if (std::isnan(scores.back().first)) return kNaN;
  }
  std::sort(scores.begin(), scores.end());
  // Each example of class 1 counts those of class 0 below it, and half of the equal ones.
  double zeros = 0, ones = 0, sum = 0;
  for (size_t begin = 0, end; begin < scores.size(); begin = end) {
    double equal_zeros = 0, equal_ones = 0;
    for (end = begin; end < scores.size() && scores[end].first == scores[begin].first; ++end) {
      (scores[end].second == 0 ? equal_zeros : equal_ones) += 1;
    }
    sum += equal_ones * (zeros + equal_zeros / 2);
    zeros += equal_zeros;
    ones += equal_ones;
  }
  return sum / (zeros * ones);
}

double mae(const Tensor& y, const Tensor& target) {
  return mean_of(of_differences("mae", y, target, [](double d) { return std::abs(d); }));
}

double mse(const Tensor& y, const Tensor& target) {
  return mean_of(of_differences("mse", y, target, square));
}

double rmse(const Tensor& y, const Tensor& target) {
  return std::sqrt(mean_of(of_differences("rmse", y, target, square)));
}

double r2_score(const Tensor& y, const Tensor& target) {
  const double errors = mean_of(of_differences("r2_score", y, target, square));
  const std::vector<double> t = target.values();
  const double m = mean_of(t);
  double squares = 0;
  for (const double v : t) squares += square(v - m);
  return squares == 0 ? kNaN : 1 - errors / (squares / static_cast<double>(t.size()));
}

Tensor detail::predict(const std::function<Tensor(const Dataset&)>& outputs, const Dataset& data,
                       int64_t batch) {
  if (batch < 1) fail("predict: expected a batch of at least 1; got {}.", batch);
  const NoGrad no_grad;
  const EvalMode eval;
  std::vector<Tensor> parts;
  for (int64_t i = 0; i == 0 || i < data.size(); i += batch) {  // no rows have a shape, too
    const int64_t end = std::min(i + batch, data.size());
    Dataset part{data.x.rows(i, end), {}};
    for (const Tensor& x : data.more) part.more.push_back(x.rows(i, end));
    parts.push_back(outputs(part));
  }
  return concat(parts, 0);
}

Tensor predict(Module& model, const Tensor& x, int64_t batch) {
  return detail::predict([&](const Dataset& b) { return model(b.x); }, {x, {}}, batch);
}

double evaluate(Module& model, const Dataset& data) {
  return accuracy(predict(model, data.x), data.y);
}

Metric::Metric(const std::string& name) : name(name) {
  using Function = double (*)(const Tensor&, const Tensor&);
  constexpr std::pair<const char*, Function> kPlain[] = {{"precision", precision},
                                                         {"recall", recall},
                                                         {"f1", f1_score},
                                                         {"auc", roc_auc},
                                                         {"r2", r2_score}};
  for (const auto& [known, f] : kPlain) {
    if (name != known) continue;
    of = [f = f](const Tensor& y, const Tensor& target) -> Estimate { return {f(y, target)}; };
    return;
  }
  averages = name != "rmse";
  if (name == "accuracy" || name == "top5") {
    percent = true;
    of = [k = name == "top5" ? 5 : 1](const Tensor& y, const Tensor& target) {
      const double p = k == 1 ? accuracy(y, target) : top_k_accuracy(y, target, k);
      return estimate_share(p, target.numel());
    };
    return;
  }
  higher_is_better = false;
  if (name == "mae") {
    of = [](const Tensor& y, const Tensor& target) {
      return estimate(of_differences("mae", y, target, [](double d) { return std::abs(d); }));
    };
  } else if (name == "mse") {
    of = [](const Tensor& y, const Tensor& target) {
      return estimate(of_differences("mse", y, target, square));
    };
  } else if (name == "rmse") {
    of = [](const Tensor& y, const Tensor& target) -> Estimate {
      const auto [m, error] = estimate(of_differences("rmse", y, target, square));
      return {std::sqrt(m), error / (2 * std::sqrt(m))};  // d sqrt(m) = dm / (2 sqrt(m))
    };
  } else {
    fail(
        "metric: expected accuracy, top5, precision, recall, f1, auc, mae, mse, rmse or r2; got "
        "\"{}\". Hint: Metric(name, function) is one of your own.",
        name);
  }
}

std::string Metric::str(const Estimate& e) const {
  const double factor = percent ? 100 : 1;
  const std::string unit = percent ? " %" : "";
  if (!std::isfinite(e.error)) {
    return percent ? fmt::format("{:.2f} %", 100 * e.value) : fmt::format("{:.4g}", e.value);
  }
  // As many digits as the error has: one, or two where the first is a 1.
  const double error = factor * e.error;
  const int digits =
      error > 0 ? std::clamp(-static_cast<int>(std::floor(std::log10(error / 2))), 0, 9) : 4;
  return fmt::format("{:.{}f} +- {:.{}f}{}", factor * e.value, digits, error, digits, unit);
}

}  // namespace ramp
