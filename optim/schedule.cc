#include "ramp/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ramp/core/error.h"
#include "ramp/core/rules.h"

namespace ramp {
namespace {

constexpr double kSlack = 1e-9;

bool reached(double t, double end) { return t >= end - kSlack * std::max(1., end); }

void check_steps(const char* name, double steps) {
  check_options(name, steps > 0 && std::isfinite(steps), "a finite number of steps above 0",
                {steps});
}

// From a at t = 0 to b at t = 1, and that behind it.
double line(double a, double b, double t) { return t >= 1 ? b : a + (b - a) * t; }
double half_cosine(double a, double b, double t) {
  return t >= 1 ? b : b + (a - b) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

}  // namespace

Schedule Schedule::then(double steps, Schedule next) const {
  check_steps("then", steps);
  return [first = *this, steps, next = std::move(next)](double t) {
    return reached(t, steps) ? next(std::max(t - steps, 0.)) : first(t);
  };
}

Schedule operator*(Schedule a, Schedule b) {
  return [a = std::move(a), b = std::move(b)](double t) { return a(t) * b(t); };
}

Schedule step_decay(double every, double gamma) {
  check_steps("step_decay", every);
  check_options("step_decay", is_at_least(gamma), "gamma >= 0, finite", {gamma});
  return [=](double t) { return std::pow(gamma, std::floor(t / every + kSlack)); };
}

Schedule multistep_decay(std::vector<double> milestones, double gamma) {
  check_options("multistep_decay", is_at_least(gamma), "gamma >= 0, finite", {gamma});
  for (const double m : milestones)
    check_options("multistep_decay", is_at_least(m), "milestones >= 0, finite", {m});
  const auto at = std::ranges::is_sorted_until(milestones);
  if (at != milestones.end()) {
    fail("multistep_decay: the milestones must rise; got {} after {}.", at[0], at[-1]);
  }
  return [=](double t) {
    return std::pow(gamma,
                    std::ranges::count_if(milestones, [t](double m) { return reached(t, m); }));
  };
}

Schedule exponential_decay(double gamma) {
  check_options("exponential_decay", is_at_least(gamma), "gamma >= 0, finite", {gamma});
  return [=](double t) { return std::pow(gamma, t); };
}

Schedule polynomial_decay(double steps, double power) {
  check_steps("polynomial_decay", steps);
  check_options("polynomial_decay", is_at_least(power), "the power >= 0, finite", {power});
  return [=](double t) { return std::pow(line(1, 0, t / steps), power); };
}

Schedule warmup(double steps, double start) {
  check_steps("warmup", steps);
  check_options("warmup", is_at_least(start), "the start >= 0, finite", {start});
  return [=](double t) { return line(start, 1, t / steps); };
}

Schedule cosine_decay(double steps, double end) {
  check_steps("cosine_decay", steps);
  check_options("cosine_decay", is_at_least(end), "the end >= 0, finite", {end});
  return [=](double t) { return half_cosine(1, end, t / steps); };
}

Schedule cosine_restarts(double steps, double growth, double end) {
  check_steps("cosine_restarts", steps);
  check_options("cosine_restarts", is_at_least(growth, 1), "growth >= 1, finite", {growth});
  check_options("cosine_restarts", is_at_least(end), "the end >= 0, finite", {end});
  return [=](double t) {
    double length = steps;
    for (; growth > 1 && reached(t, length); length *= growth) t -= length;
    const double cycles = t / length;
    return half_cosine(1, end, std::max(cycles - std::floor(cycles + kSlack), 0.));
  };
}

Schedule one_cycle(double steps, OneCycleOptions o) {
  check_steps("one_cycle", steps);
  check_options("one_cycle", is_at_least(o.start), "the start >= 0, finite", {o.start});
  check_options("one_cycle", is_at_least(o.end), "the end >= 0, finite", {o.end});
  check_options("one_cycle", o.warmup_fraction >= 0 && o.warmup_fraction <= 1,
                "warmup_fraction in [0, 1]", {o.warmup_fraction});
  return [=](double t) {
    const auto way = o.linear ? line : half_cosine;
    const double top = o.warmup_fraction * steps - 1, last = steps - 1;
    if (!reached(t, top)) return way(o.start, 1, t / top);
    if (reached(top, t)) return 1.;
    return way(1, o.end, (t - top) / std::max(last - top, 0.));
  };
}

}  // namespace ramp
