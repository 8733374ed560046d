#include "ramp/train/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"

namespace ramp {
namespace {

// The loss where it or its gradient is no finite number.
constexpr double kTooFar = HUGE_VAL;

// In order, so that the digits depend on nothing else.
double dot(const Tensor& a, const Tensor& b) {
  const double* x = a.data<double>();
  return std::inner_product(x, x + a.numel(), b.data<double>(), 0.);
}

double largest(const Tensor& x) { return x.numel() == 0 ? 0 : max(abs(x)).item(); }
bool is_finite(const Tensor& x) { return std::isfinite(largest(x)); }

// What `of` gives for each parameter, all in one row, f64.
Tensor joined(const Parameters& parameters, Tensor (*of)(const Tensor& w)) {
  std::vector<Tensor> rows;
  for (const NamedTensor& p : parameters)
    rows.push_back(of(p.tensor).to(f64).view({p.tensor.numel()}));
  return concat(rows);
}

// Where the cubic through two places, with their slopes, is least; within [lo, hi]. The middle,
// where there is no such place.
template <typename Place>
double cubic_minimum(const Place& p, const Place& q, double lo, double hi) {
  if (p.t > q.t) return cubic_minimum(q, p, lo, hi);
  const double a = p.slope + q.slope - 3 * (p.loss - q.loss) / (p.t - q.t),
               root = std::sqrt(a * a - p.slope * q.slope),
               share = (q.slope + root - a) / (q.slope - p.slope + 2 * root),
               t = q.t - (q.t - p.t) * share;
  return std::isnan(t) ? (lo + hi) / 2 : std::clamp(t, lo, hi);
}

}  // namespace

LBFGS::LBFGS(Parameters parameters, LbfgsOptions o)
    : options_(o), parameters_(std::move(parameters)) {
  fail_if(
      !(o.lr > 0 && std::isfinite(o.lr)) || o.max_iterations < 1 || o.max_evaluations < 1 ||
          !(o.gradient_tolerance >= 0) || !(o.change_tolerance >= 0) || o.history < 1,
      "LBFGS: expected lr, max_iterations, max_evaluations and history above 0, tolerances of at "
      "least 0; got {}, {}, {}, {}, {} and {}.",
      o.lr, o.max_iterations, o.max_evaluations, o.history, o.gradient_tolerance,
      o.change_tolerance);
  parameters_.check_leaves("LBFGS");
  int64_t n = 0;
  for (const NamedTensor& p : parameters_) n += p.tensor.numel();
  y_ = Tensor::zeros({o.history, n}, f64);
  s_ = Tensor::zeros({o.history, n}, f64);
  gradient_ = Tensor::zeros({n}, f64);
  direction_ = Tensor::zeros({n}, f64);
}

void LBFGS::put(const Tensor& w) {
  int64_t begin = 0;
  for (const NamedTensor& p : parameters_) {
    Tensor to = p.tensor.detach();
    const Tensor from = w.rows(begin, begin + to.numel());
    if (p.tensor.requires_grad()) to.copy_(from.to(to.dtype()).view(to.shape()));
    begin += to.numel();
  }
}

LBFGS::Place LBFGS::evaluate(const std::function<Tensor()>& loss, const Tensor& w, double t) {
  ++count_[3];
  put(t == 0 ? w : w + t * direction_);
  parameters_.zero_grad();
  const Tensor l = loss();
  backward(l);
  Place place{t, l.item(), 0, joined(parameters_, [](const Tensor& w) {
                return w.grad().defined() ? w.grad().detach() : Tensor::zeros(w.shape());
              })};
  place.slope = dot(place.gradient, direction_);
  if (!std::isfinite(place.loss) || !is_finite(place.gradient)) place.loss = kTooFar;
  return place;
}

// Algorithm 3.5 until a minimum is bracketed, then 3.6.
LBFGS::Place LBFGS::search(const std::function<Tensor()>& loss, const Tensor& w, const Place& start,
                           double t) {
  constexpr double kDecrease = 1e-4, kCurvature = 0.9;
  const auto most = static_cast<int>(options_.max_evaluations - count_[3]);
  const auto too_high = [&](const Place& p) {
    return p.loss > start.loss + kDecrease * p.t * start.slope;
  };
  const auto flat = [&](const Place& p) { return std::fabs(p.slope) <= -kCurvature * start.slope; };

  Place low = start, high = evaluate(loss, w, t);
  double wall = HUGE_VAL;  // from here on it is too far
  int tries = 0;
  for (; tries < most; ++tries) {
    if (high.loss == kTooFar) {
      wall = high.t;
      high = evaluate(loss, w, (low.t + wall) / 2);
      continue;
    }
    if (too_high(high) || (tries > 1 && high.loss >= low.loss)) break;
    if (flat(high)) return high;
    if (high.slope >= 0) break;
    const double most_t = std::min(high.t * 10, (high.t + wall) / 2),
                 least_t = std::min(high.t + 0.01 * (high.t - low.t), most_t);
    const double next = cubic_minimum(low, high, least_t, most_t);
    low = std::exchange(high, evaluate(loss, w, next));
  }

  if (tries >= most) low = start;
  const double size = largest(direction_);
  bool near_end = false;
  for (;; ++tries) {
    if (high.loss < low.loss) std::swap(low, high);
    const auto [left, right] = std::minmax({low.t, high.t});
    if (tries >= most || (right - left) * size < options_.change_tolerance) return low;
    double next = cubic_minimum(low, high, left, right);
    // Twice near an end of the bracket, or at it, is no progress: then a tenth of the way inside.
    const double margin = 0.1 * (right - left);
    const bool is_near = std::min(right - next, next - left) < margin,
               stuck = is_near && (near_end || next >= right || next <= left);
    if (stuck) next = right - next < next - left ? right - margin : left + margin;
    near_end = is_near && !stuck;
    const Place place = evaluate(loss, w, next);
    const bool lower = !too_high(place) && place.loss < low.loss;
    if (lower && flat(place)) return place;
    if (lower && place.slope * (high.t - low.t) >= 0) high = low;
    (lower ? low : high) = place;
  }
}

// One more pair, in place of the oldest if need be.
void LBFGS::remember(const Tensor& gradient) {
  const Tensor y = gradient - gradient_, s = scale_[0] * direction_;
  const double ys = dot(y, s);
  if (!(ys > 1e-10)) return;  // no curvature to learn from
  y_[count_[1]].copy_(y);
  s_[count_[1]].copy_(s);
  scale_[1] = ys / dot(y, y);
  count_[0] = std::min<int64_t>(count_[0] + 1, options_.history);
  count_[1] = (count_[1] + 1) % options_.history;
}

// d = -H g by algorithm 7.4.
void LBFGS::choose_direction(const Tensor& gradient) {
  const auto pair = [&](int64_t age) {  // 0: the last one
    const int64_t at = (count_[1] - 1 - age + 2 * options_.history) % options_.history;
    return std::pair{y_[at], s_[at]};
  };
  Tensor d = -gradient;
  std::vector<double> alpha;
  for (int64_t age = 0; age < count_[0]; ++age) {
    const auto [y, s] = pair(age);
    alpha.push_back(dot(s, d) / dot(y, s));
    d = d - alpha.back() * y;
  }
  d = scale_[1] * d;
  for (int64_t age = count_[0] - 1; age >= 0; --age) {
    const auto [y, s] = pair(age);
    d = d + (alpha.back() - dot(y, d) / dot(y, s)) * s;
    alpha.pop_back();
  }
  direction_.copy_(d);
}

double LBFGS::step(const std::function<Tensor()>& loss) {
  count_[3] = 0;
  Tensor w = joined(parameters_, [](const Tensor& w) { return w.detach(); });
  std::vector<bool> frozen;
  for (const NamedTensor& p : parameters_) frozen.push_back(!p.tensor.requires_grad());
  if (!frozen_.empty() && frozen != frozen_) {
    count_[0] = count_[2] = 0;
    scale_[1] = 1;
  }
  frozen_ = std::move(frozen);
  // Also after an exception out of loss() the weights are the best ones so far.
  struct Put {
    LBFGS& lbfgs;
    const Tensor& w;
    ~Put() {
      lbfgs.put(w);
      lbfgs.parameters_.zero_grad();
    }
  } const put_back{*this, w};
  Place place = evaluate(loss, w, 0);
  parameters_.check_gradients("LBFGS", options_.allow_unused);
  const double before = place.loss;
  fail_if(before == kTooFar,
          "LBFGS: the loss and its gradient must be finite where step() starts; got NaN or inf.");
  for (int k = 1; largest(place.gradient) > options_.gradient_tolerance; ++k) {
    const bool first = count_[2]++ == 0;
    if (!first) remember(place.gradient);
    choose_direction(place.gradient);
    gradient_.copy_(place.gradient);
    const Place start{0, place.loss, dot(place.gradient, direction_), place.gradient};
    scale_[0] = options_.lr * (first ? std::min(1., 1 / sum(abs(place.gradient)).item()) : 1);
    if (!std::isfinite(start.slope) || start.slope > -options_.change_tolerance) break;
    place = search(loss, w, start, scale_[0]);
    scale_[0] = place.t;
    const Tensor change = place.t * direction_;
    w = w + change;
    if (k == options_.max_iterations || count_[3] >= options_.max_evaluations ||
        largest(change) <= options_.change_tolerance ||
        std::fabs(place.loss - start.loss) < options_.change_tolerance) {
      break;
    }
  }
  return before;
}

std::vector<NamedTensor> LBFGS::state() {
  return {
      {"y", y_},           {"s", s_},          {"gradient", gradient_}, {"direction", direction_},
      {"counts", counts_}, {"scales", scales_}};
}

void LBFGS::load_state(const std::vector<NamedTensor>& state) {
  const auto h = static_cast<double>(options_.history);
  for (const NamedTensor& t : state) {
    const std::vector<double> v = t.tensor.values();
    const bool counts = t.name == "counts" && v.size() == 4;
    if (counts && (v[0] < 0 || v[0] > h || v[1] < 0 || v[1] >= h || v[2] < 0)) {
      fail(
          "LBFGS: the saved counts must be in [0, {0}], [0, {0}) and at least 0; got {1}, {2} and "
          "{3}.",
          h, v[0], v[1], v[2]);
    }
    if (!is_finite(t.tensor.to(f64))) fail("LBFGS: the saved \"{}\" must be finite.", t.name);
  }
  load_tensors("LBFGS", this->state(), state);
  frozen_.clear();
}

}  // namespace ramp
