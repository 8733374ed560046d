#include "ramp/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ramp/autograd/ops_shape.h"
#include "ramp/core/random.h"

namespace ramp {
namespace {

// f of x, y and each further input.
template <typename F>
Dataset each(const Dataset& d, F f) {
  Dataset result{f(d.x), f(d.y)};
  for (const Tensor& t : d.more) result.more.push_back(f(t));
  return result;
}

void check_labels(const char* op, const Tensor& y) {
  check_defined(op, "y", y);
  if (y.dtype() != i64 || y.rank() != 1) {
    fail("{}: y must be class numbers, i64 [n]; got {} {}.", op, y.dtype(), y.shape());
  }
}

// The rows of each label.
std::map<int64_t, std::vector<int64_t>> rows_of_labels(const Tensor& y) {
  std::map<int64_t, std::vector<int64_t>> rows;
  for (int64_t i = 0; i < y.numel(); ++i) rows[y.data<int64_t>()[i]].push_back(i);
  return rows;
}

std::vector<int64_t> permuted(const std::vector<int64_t>& rows, Rng& rng) {
  const Tensor order = rng.permutation(std::ssize(rows));
  std::vector<int64_t> result;
  for (int64_t i = 0; i < order.numel(); ++i) {
    result.push_back(rows[static_cast<size_t>(order.data<int64_t>()[i])]);
  }
  return result;
}

// A key of its own: the same seed elsewhere must not give the same numbers.
Rng rng_of(uint64_t seed) { return Rng(seed).split(); }

std::vector<int64_t> all_rows(int64_t n) {
  std::vector<int64_t> rows(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) rows[static_cast<size_t>(i)] = i;
  return rows;
}

}  // namespace

void Dataset::check(const char* op) const {
  check_defined(op, "x", x);
  check_defined(op, "y", y);
  const auto fits = [&](const Tensor& t) {
    return t.defined() && t.rank() > 0 && t.dim(0) == x.dim(0);
  };
  if (x.rank() < 1 || !fits(y)) {
    fail("{}: expected x [n, ..] and y [n, ..] of the same length; got x {} and y {}.", op,
         x.shape(), y.shape());
  }
  for (size_t i = 0; i < more.size(); ++i) {
    check_defined(op, fmt::format("more[{}]", i), more[i]);
    if (!fits(more[i])) {
      fail("{}: expected more[{}] [n, ..] of x's length; got {} beside x {}.", op, i,
           more[i].shape(), x.shape());
    }
  }
}

Dataset Dataset::flat() const {
  check_defined("flat", "x", x);
  return {x.view({x.dim(0), x.shape().without(0).numel()}), y, more};
}

Dataset Dataset::rows(int64_t begin, int64_t end) const {
  return each(*this, [&](const Tensor& t) { return t.rows(begin, end); });
}

Dataset Dataset::take(const Tensor& rows) const {
  check("take");
  return each(*this, [&](const Tensor& t) { return ramp::take(t.detach(), rows); });
}

Dataset Dataset::take(const std::vector<int64_t>& rows) const {
  return take(Tensor::of(rows, {std::ssize(rows)}));
}

Dataset Dataset::where(const std::function<bool(int64_t i)>& is_wanted) const {
  check("where");
  std::vector<int64_t> rows = all_rows(size());
  std::erase_if(rows, [&](int64_t i) { return !is_wanted(i); });
  return take(rows);
}

Dataset Dataset::shuffled(uint64_t seed) const {
  check("shuffled");
  return take(rng_of(seed).permutation(size()));
}

std::pair<Dataset, Dataset> Dataset::split(double fraction, const SplitOptions& options) const {
  check("split");
  if (!(fraction > 0 && fraction < 1)) {
    fail("split: expected a fraction between 0 and 1; got {}.", fraction);
  }
  if (options.stratified) check_labels("split", y);
  Rng rng = rng_of(options.seed);
  std::vector<int64_t> first, second;
  const auto deal = [&](const std::vector<int64_t>& rows) {
    const std::vector<int64_t> order = permuted(rows, rng);
    const auto middle = order.begin() + std::lround(fraction * static_cast<double>(rows.size()));
    first.insert(first.end(), order.begin(), middle);
    second.insert(second.end(), middle, order.end());
  };
  if (options.stratified) {
    for (const auto& [label, rows] : rows_of_labels(y)) deal(rows);
    first = permuted(first, rng);
    second = permuted(second, rng);
  } else {
    deal(all_rows(size()));
  }
  if (first.empty() || second.empty()) {
    fail("split: {} of {} examples leaves an empty part.", fraction, size());
  }
  return {take(first), take(second)};
}

Dataset concat(const std::vector<Dataset>& parts) {
  fail_if(parts.empty(), "concat: expected at least one dataset; got none.");
  for (const Dataset& part : parts) {
    part.check("concat");
    if (part.more.size() != parts[0].more.size()) {
      fail("concat: expected the same inputs in all datasets; got {} and {} besides x.",
           parts[0].more.size(), part.more.size());
    }
  }
  const auto joined = [&](auto member) {
    std::vector<Tensor> tensors;
    for (const Dataset& part : parts) tensors.push_back(member(part).detach());
    return concat(tensors, 0);
  };
  Dataset all{joined([](const Dataset& d) { return d.x; }),
              joined([](const Dataset& d) { return d.y; })};
  for (size_t i = 0; i < parts[0].more.size(); ++i) {
    all.more.push_back(joined([i](const Dataset& d) { return d.more[i]; }));
  }
  return all;
}

std::vector<double> balanced_weights(const Tensor& y) {
  check_labels("balanced_weights", y);
  std::vector<double> weights(static_cast<size_t>(y.numel()));
  for (const auto& [label, rows] : rows_of_labels(y)) {
    for (const int64_t i : rows) {
      weights[static_cast<size_t>(i)] =
          static_cast<double>(y.numel()) / static_cast<double>(rows.size());
    }
  }
  return weights;
}

}  // namespace ramp
