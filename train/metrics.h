// How well a model does.
#pragma once

#include <concepts>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ramp/data/dataset.h"
#include "ramp/layers/module.h"

namespace ramp {

// ---- of classes ----
//
// logits [n, .., classes] with labels i64 [n, ..]: the largest logit is the guess, the first one of
// equals. Or one logit for each of two classes 0 and 1, [n, ..] or [n, .., 1], with labels [n, ..]
// of the same count, i64 or floats that are 0 or 1: above 0 is class 1. A row that holds a NaN is
// wrong, whatever its label. Errors, for all: shapes that do not fit; no rows; a label outside
// 0..classes-1 (it is named).

/// The share of rows whose guess is the label.
double accuracy(const Tensor& logits, const Tensor& labels);
/// The share of rows where fewer than k logits are above the label's. Errors: also k outside
/// 1..classes.
double top_k_accuracy(const Tensor& logits, const Tensor& labels, int64_t k = 5);
/// i64 [classes, classes]: how often a label (row) was guessed as a class (column). Rows with a NaN
/// are left out.
Tensor confusion_matrix(const Tensor& logits, const Tensor& labels);
/// The share of right ones among those guessed as a class / among those of the class: of class 1
/// where there are two, else the mean over the classes that occur as a label. 0 of 0 counts as 0.
double precision(const Tensor& logits, const Tensor& labels);
double recall(const Tensor& logits, const Tensor& labels);
/// 2 precision recall / (precision + recall), by class as these.
double f1_score(const Tensor& logits, const Tensor& labels);
/// The probability that an example of class 1 has a larger score than one of class 0, equal ones
/// counted half: the area under the receiver operating characteristic. Two logits count as their
/// difference. NaN where a class is missing or a score is NaN. Errors: also three or more classes.
/// Source: Hanley and McNeil (1982).
double roc_auc(const Tensor& logits, const Tensor& labels);

// ---- of numbers: y and target f32 or f64, of the same shape. Errors: other shapes; no elements.
// ----

/// mean |y - target|, the mean of its square / the root of that.
double mae(const Tensor& y, const Tensor& target);
double mse(const Tensor& y, const Tensor& target);
double rmse(const Tensor& y, const Tensor& target);
/// 1 - sum (y - target)^2 / sum (target - mean(target))^2: 1 is perfect, 0 no better than the mean.
/// NaN where all targets are equal.
double r2_score(const Tensor& y, const Tensor& target);

// ---- of a model ----

/// What the model says of all of x, in eval mode, without recording, `batch` rows at a time.
Tensor predict(Module& model, const Tensor& x, int64_t batch = 1000);

/// accuracy() of the model on a dataset.
double evaluate(Module& model, const Dataset& data);

namespace detail {
template <typename Net, typename... X>
constexpr bool takes_tensors() {
  if constexpr (requires(Net & net, const X&... x) {
                  { net.forward(x...) } -> std::convertible_to<Tensor>;
                }) {
    return true;
  } else if constexpr (sizeof...(X) < 8) {
    return takes_tensors<Net, X..., Tensor>();
  } else {
    return false;
  }
}

// model(x, more[0], ..)
template <typename Net, typename... X>
Tensor call_by_dataset(const char* op, Net& model, const Dataset& data, const X&... x) {
  if constexpr (requires {
                  { model.forward(x...) } -> std::convertible_to<Tensor>;
                }) {
    if (sizeof...(X) == data.more.size() + 1) return model(x...);
  }
  if constexpr (sizeof...(X) < 8) {
    if (sizeof...(X) <= data.more.size()) {
      return call_by_dataset(op, model, data, x..., data.more[sizeof...(X) - 1]);
    }
  }
  fail("{}: the model's forward() must take as many tensors as the data have inputs; they have {}.",
       op, data.more.size() + 1);
}

Tensor predict(const std::function<Tensor(const Dataset&)>& outputs, const Dataset& data,
               int64_t batch);
}  // namespace detail

/// A ModuleOf that takes tensors, up to 8, and gives one. With a dataset it is called with x,
/// more[0], more[1], ..
template <typename Net>
concept ModelOfTensors = std::derived_from<Net, ModuleBase> && !std::derived_from<Net, Module> &&
                         detail::takes_tensors<Net, Tensor>();

/// The same of a model of several inputs. Errors: it takes another number of them than data has.
template <ModelOfTensors Net>
Tensor predict(Net& model, const Dataset& data, int64_t batch = 1000) {
  return detail::predict(
      [&](const Dataset& b) { return detail::call_by_dataset("predict", model, b, b.x); }, data,
      batch);
}
template <ModelOfTensors Net>
double evaluate(Net& model, const Dataset& data) {
  return accuracy(predict(model, data), data.y);
}

/// A measure and how sure it is: in 95 % of samples the truth is within `error` of it. An error of
/// NaN is not known.
struct Estimate {
  double value = std::numeric_limits<double>::quiet_NaN();
  double error = std::numeric_limits<double>::quiet_NaN();
};

/// A measure with its name: "accuracy", "top5", "precision", "recall", "f1", "auc", "mae", "mse",
/// "rmse", "r2", or the user's own: Metric("bias", [](const Tensor& y, const Tensor& target) { ..
/// }). The error is 1.96 standard errors; for shares of n those of Agresti and Coull (1998), above
/// 0 also where all are right.
struct Metric {
  std::string name;
  std::function<Estimate(const Tensor& y, const Tensor& target)> of;
  bool higher_is_better = true;
  bool percent = false;   // is shown as 98.0 %
  bool averages = false;  // of a whole it is the mean of that of its parts

  /// Errors: another name (those there are get listed).
  Metric(const std::string& name);                         // NOLINT: implicit
  Metric(const char* name) : Metric(std::string(name)) {}  // NOLINT
  template <typename F>
  requires std::invocable<F, const Tensor&, const Tensor&> Metric(std::string name, F f,
                                                                  bool higher_is_better = true)
      : name(std::move(name)),
        of([f = std::move(f)](const Tensor& y, const Tensor& target) mutable -> Estimate {
          if constexpr (std::convertible_to<decltype(f(y, target)), double>) {
            return {static_cast<double>(f(y, target))};
          } else {
            return f(y, target);
          }
        }),
        higher_is_better(higher_is_better) {}
  /// "98.0 +- 0.3 %", "0.512 +- 0.01".
  std::string str(const Estimate& e) const;
};

}  // namespace ramp
