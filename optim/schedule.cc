#include "ramp/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ramp/core/error.h"

namespace ramp {
namespace {

void check_steps(const char* name, double steps) {
  if (!(steps > 0) || !std::isfinite(steps)) {
    fail("{}: expected a finite number of steps above 0; got {}.", name, steps);
  }
}
void check_finite(const char* name, const char* what, double value) {
  if (!std::isfinite(value)) fail("{}: {} must be finite; got {}.", name, what, value);
}

// From a at t = 0 to b at t = 1, and that behind it.
double line(double a, double b, double t) { return t >= 1 ? b : a + (b - a) * t; }
double half_cosine(double a, double b, double t) {
  return t >= 1 ? b : b + (a - b) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

}  // namespace

Schedule step_decay(double every, double gamma) {
  check_steps("step_decay", every);
  check_finite("step_decay", "gamma", gamma);
  return [=](double t) { return std::pow(gamma, std::floor(t / every)); };
}

Schedule multistep_decay(std::vector<double> milestones, double gamma) {
  check_finite("multistep_decay", "gamma", gamma);
  const auto falls = std::is_sorted_until(milestones.begin(), milestones.end());
  if (falls != milestones.end()) {
    fail("multistep_decay: the milestones must rise; got {} after {}.", *falls, *(falls - 1));
  }
  return [=](double t) {
    const auto passed = std::upper_bound(milestones.begin(), milestones.end(), t);
    return std::pow(gamma, passed - milestones.begin());
  };
}

Schedule exponential_decay(double gamma) {
  check_finite("exponential_decay", "gamma", gamma);
  return [=](double t) { return std::pow(gamma, t); };
}

Schedule polynomial_decay(double steps, double power) {
  check_steps("polynomial_decay", steps);
  check_finite("polynomial_decay", "the power", power);
  return [=](double t) { return std::pow(line(1, 0, t / steps), power); };
}

Schedule warmup(double steps, double start) {
  check_steps("warmup", steps);
  check_finite("warmup", "the start", start);
  return [=](double t) { return line(start, 1, t / steps); };
}

Schedule cosine_decay(double steps, double end) {
  check_steps("cosine_decay", steps);
  check_finite("cosine_decay", "the end", end);
  return [=](double t) { return half_cosine(1, end, t / steps); };
}

Schedule cosine_restarts(double steps, double growth, double end) {
  check_steps("cosine_restarts", steps);
  check_finite("cosine_restarts", "the end", end);
  if (!(growth >= 1) || !std::isfinite(growth)) {
    fail("cosine_restarts: growth must be a finite number of at least 1; got {}.", growth);
  }
  return [=](double t) {
    double length = steps;
    for (; growth > 1 && t >= length; length *= growth) t -= length;
    return half_cosine(1, end, std::fmod(t, length) / length);
  };
}

Schedule one_cycle(double steps, OneCycleOptions o) {
  check_steps("one_cycle", steps);
  check_finite("one_cycle", "the start", o.start);
  check_finite("one_cycle", "the end", o.end);
  if (!(o.warm >= 0 && o.warm <= 1)) {
    fail("one_cycle: the share `warm` must be in [0, 1]; got {}.", o.warm);
  }
  return [=](double t) {
    const auto way = o.linear ? line : half_cosine;
    const double top = o.warm * steps - 1, last = steps - 1;
    if (t == top) return 1.0;
    return t < top ? way(o.start, 1, t / top) : way(1, o.end, (t - top) / (last - top));
  };
}

Schedule sequence(std::vector<std::pair<double, Schedule>> parts) {
  if (parts.empty()) fail("sequence: expected at least one part; got none.");
  return [parts = std::move(parts)](double t) {
    size_t i = 0;
    for (; i + 1 < parts.size() && t >= parts[i].first; ++i) t -= parts[i].first;
    return parts[i].second(t);
  };
}

Schedule product(std::vector<Schedule> parts) {
  return [parts = std::move(parts)](double t) {
    double all = 1;
    for (const Schedule& part : parts) all *= part(t);
    return all;
  };
}

ReduceOnPlateau::ReduceOnPlateau(PlateauOptions options)
    : options_(options), best_(options.larger_is_better ? -HUGE_VAL : HUGE_VAL) {
  if (!(options.factor >= 0 && options.factor < 1)) {
    fail("ReduceOnPlateau: the factor must be in [0, 1); got {}.", options.factor);
  }
  if (options.patience < 0 || options.cooldown < 0 || !(options.threshold >= 0)) {
    fail("ReduceOnPlateau: patience, cooldown and threshold must be at least 0; got {}, {} and {}.",
         options.patience, options.cooldown, options.threshold);
  }
}

double ReduceOnPlateau::operator()(double measure) {
  const PlateauOptions& o = options_;
  const bool better = o.larger_is_better ? measure > best_ * (1 + o.threshold)
                                         : measure < best_ * (1 - o.threshold);
  if (better) best_ = measure;
  bad_ = better ? 0 : bad_ + 1;
  if (cooling_ > 0) {
    --cooling_;
    bad_ = 0;
  }
  if (bad_ > o.patience) {
    factor_ = std::max(factor_ * o.factor, o.least);
    cooling_ = o.cooldown;
    bad_ = 0;
  }
  return factor_;
}

}  // namespace ramp
