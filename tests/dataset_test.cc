#include "ramp/data/dataset.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "message.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/data/batches.h"
#include "ramp/data/prefetch.h"

using namespace ramp;

namespace {

// Row i of x is {i, -i}, y_i = i % labels, more[0]_i = 10 i.
Dataset numbered(int64_t n, int64_t labels) {
  Dataset d{Tensor::empty({n, 2}), Tensor::empty({n}, i64), {Tensor::empty({n}, f64)}};
  for (int64_t i = 0; i < n; ++i) {
    d.x.mutable_data<float>()[2 * i] = static_cast<float>(i);
    d.x.mutable_data<float>()[2 * i + 1] = static_cast<float>(-i);
    d.y.mutable_data<int64_t>()[i] = i % labels;
    d.more[0].mutable_data<double>()[i] = 10.0 * static_cast<double>(i);
  }
  return d;
}

// The numbers of the examples; that all tensors agree on them is checked.
std::vector<int64_t> numbers(const Dataset& d, int64_t labels) {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < d.size(); ++i) {
    const int64_t number = static_cast<int64_t>(d.x.data<float>()[2 * i]);
    CHECK(d.x.data<float>()[2 * i + 1] == -static_cast<float>(number));
    CHECK(d.y.data<int64_t>()[i] == number % labels);
    CHECK(d.more[0].data<double>()[i] == 10.0 * static_cast<double>(number));
    result.push_back(number);
  }
  return result;
}

std::vector<int64_t> sorted(std::vector<int64_t> v) {
  std::sort(v.begin(), v.end());
  return v;
}

std::map<int64_t, int64_t> counts(const Tensor& y) {
  std::map<int64_t, int64_t> count;
  for (int64_t i = 0; i < y.numel(); ++i) ++count[y.data<int64_t>()[i]];
  return count;
}

std::vector<int64_t> all_of_30() { return numbers(numbered(30, 3), 3); }

}  // namespace

TEST_CASE("structured bindings give x and y, with more inputs too") {
  Dataset d = numbered(4, 2);
  auto& [x, y] = d;
  x = Tensor::zeros({4, 1});
  CHECK(d.x.shape() == Shape{4, 1});
  const auto [a, b] = numbered(3, 2).rows(0, 2);
  CHECK(a.shape() == Shape{2, 2});
  CHECK(b.dtype() == i64);
}

TEST_CASE("take, where, rows, shuffled and concat keep what belongs together") {
  const Dataset d = numbered(30, 3);
  CHECK(numbers(d.take({5, 2, 5}), 3) == std::vector<int64_t>{5, 2, 5});
  CHECK(numbers(d.take(Tensor::of<int64_t>({29})), 3) == std::vector<int64_t>{29});
  CHECK(numbers(d.where([](int64_t i) { return i % 10 == 0; }), 3) ==
        std::vector<int64_t>{0, 10, 20});
  CHECK(numbers(d.take({-1}), 3) == std::vector<int64_t>{29});  // counts from the end
  CHECK(d.where([](int64_t) { return false; }).size() == 0);
  CHECK(numbers(d.rows(3, 5), 3) == std::vector<int64_t>{3, 4});
  const std::vector<int64_t> order = numbers(d.shuffled(1), 3);
  CHECK(order != all_of_30());
  CHECK(sorted(order) == all_of_30());
  CHECK(order == numbers(d.shuffled(1), 3));
  CHECK(order != numbers(d.shuffled(2), 3));
  CHECK(numbers(concat({d.rows(28, 30), d.rows(0, 1)}), 3) == std::vector<int64_t>{28, 29, 0});
  CHECK(d.flat().more.size() == 1);
}

TEST_CASE("split: two shuffled parts with all examples") {
  const Dataset d = numbered(30, 3);
  const auto [train, valid] = d.split(0.8, {.seed = 4});
  CHECK(train.size() == 24);
  std::vector<int64_t> all = numbers(train, 3);
  CHECK_FALSE(std::is_sorted(all.begin(), all.end()));
  CHECK(numbers(d.split(0.8, {.seed = 4}).first, 3) == all);
  CHECK(numbers(d.split(0.8, {.seed = 5}).first, 3) != all);
  for (const int64_t i : numbers(valid, 3)) all.push_back(i);
  CHECK(sorted(all) == all_of_30());
}

TEST_CASE("a stratified split: the same share of each label") {
  Dataset d = numbered(100, 2);
  // 90 of label 0, 10 of label 1.
  d = d.where([](int64_t i) { return i % 2 == 0 || i < 11; });
  const std::map<int64_t, int64_t> all = counts(d.y);
  REQUIRE(all.at(0) == 50);
  REQUIRE(all.at(1) == 5);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const auto [train, valid] = d.split(0.6, {.seed = seed, .stratified = true});
    CHECK(counts(train.y).at(0) == 30);
    CHECK(counts(train.y).at(1) == 3);
    CHECK(counts(valid.y).at(1) == 2);
    // Labels are mixed, not one after the other.
    CHECK_FALSE(std::is_sorted(train.y.data<int64_t>(), train.y.data<int64_t>() + 33));
  }
}

TEST_CASE("bad datasets and requests are errors") {
  const Dataset d = numbered(5, 2);
  const Dataset misfit{Tensor::zeros({5, 2}), Tensor::zeros({4})};
  CHECK(message([&] { misfit.take({0}); }) ==
        "take: expected x [n, ..] and y [n, ..] of the same length; got x [5, 2] and y [4].");
  Dataset odd = d;
  odd.more[0] = Tensor::zeros({4});
  CHECK(message([&] { odd.split(0.5); }) ==
        "split: expected more[0] [n, ..] of x's length; got [4] beside x [5, 2].");
  CHECK(message([&] { d.take({5}); }).find("take") == 0);
  for (const double fraction : {0.0, 1.0, -1.0, 2.0, double(NAN)}) {
    CHECK(message([&] { d.split(fraction); }).find("split: expected a fraction") == 0);
  }
  CHECK(message([&] { d.split(0.01); }) == "split: 0.01 of 5 examples leaves an empty part.");
  CHECK(message([&] {
          Dataset{d.x, d.x}.split(0.5, {.stratified = true});
        }) == "split: y must be class numbers, i64 [n]; got f32 [5, 2].");
  CHECK(message([] { concat(std::vector<Dataset>{}); }) ==
        "concat: expected at least one dataset; got none.");
  CHECK(message([&] {
          concat({d, Dataset{d.x, d.y}});
        }) == "concat: expected the same inputs in all datasets; got 1 and 0 besides x.");
  CHECK(message([&] { balanced_weights(d.x); }).find("balanced_weights: y must be") == 0);
}

TEST_CASE("weights: labels are drawn equally often, the same in each run") {
  Dataset d = numbered(2000, 2);
  d = d.where([](int64_t i) { return i % 2 == 0 || i % 20 == 1; });
  REQUIRE(counts(d.y).at(1) == 100);
  const std::vector<double> weights = balanced_weights(d.y);
  const Batches batches(d, {.size = 100, .seed = 1, .weights = weights});
  const auto ones = [&](const Batches& from, int64_t epoch) {
    int64_t n = 0;
    for (auto [x, y] : from.epoch(epoch)) n += counts(y)[1];
    return n;
  };
  CHECK(batches.count() == 11);
  // 550 expected; the standard deviation is 17.
  CHECK(std::abs(static_cast<double>(ones(batches, 0)) - 550) < 85);
  CHECK(ones(batches, 0) == ones(batches, 0));
  std::vector<double> only_last(weights.size(), 0.0);
  only_last[3] = 1e-300;
  for (auto [x, y] : Batches(d, {.weights = only_last}).epoch(0)) {
    for (int64_t i = 0; i < x.dim(0); ++i) CHECK(x.data<float>()[2 * i] == d.x.data<float>()[6]);
  }
  const auto with = [&](std::vector<double> w) {
    return message([&] { Batches(d, {.weights = w}); });
  };
  CHECK(with({1}) ==
        "batches: expected a weight for each example, and shuffle; got 1 weights for 1100.");
  std::vector<double> bad = weights;
  for (const double w : {-1., double(NAN), double(INFINITY)}) {
    bad[7] = w;
    CHECK(with(bad).find("choice: expected weights of at least 0 with a finite sum above 0") == 0);
  }
  CHECK(with(std::vector<double>(weights.size(), 0.0)).find("choice: expected weights") == 0);
}

TEST_CASE("a lazy dataset gives the batches of the one in memory") {
  const Dataset d = numbered(30, 3);
  const LazyDataset lazy{30, [&](const std::vector<int64_t>& rows) { return d.take(rows); }};
  const BatchOptions options{.size = 8, .seed = 2};
  const Batches of_memory(d, options), of_calls(lazy, options);
  std::vector<int64_t> a, b;
  for (const Dataset& batch : of_memory.epoch(1)) {
    for (const int64_t i : numbers(batch, 3)) a.push_back(i);
  }
  for (const Dataset& batch : Prefetch(of_calls.epoch(1))) {
    for (const int64_t i : numbers(batch, 3)) b.push_back(i);
  }
  CHECK(a == b);
  const LazyDataset too_few{30, [&](const std::vector<int64_t>&) { return d.rows(0, 1); }};
  CHECK(message([&] { Batches(too_few, options).epoch(0).batch(0); }) ==
        "batches: gather() must give the rows asked for, 8; got x [1, 2].");
  CHECK(message([&] {
          Batches(LazyDataset{30, nullptr});
        }) == "batches: the dataset is empty; got 30 examples and no gather().");
}

TEST_CASE("an epoch from a batch on is its rest, prefetched too") {
  const Batches batches(numbered(30, 3), {.size = 4, .seed = 2});
  const Batches::Epoch epoch = batches.epoch(3);
  std::vector<int64_t> rest, prefetched, expected;
  for (int64_t i = 5; i < epoch.count(); ++i) {
    for (const int64_t n : numbers(epoch.batch(i), 3)) expected.push_back(n);
  }
  for (const Dataset& b : epoch.from(5)) {
    for (const int64_t n : numbers(b, 3)) rest.push_back(n);
  }
  for (const Dataset& b : Prefetch(epoch.from(5))) {
    for (const int64_t n : numbers(b, 3)) prefetched.push_back(n);
  }
  CHECK(expected.size() == 10);
  CHECK(rest == expected);
  CHECK(prefetched == expected);
  CHECK_FALSE(Prefetch(epoch.from(8)).next().has_value());
  CHECK(message([&] { epoch.from(9); }) ==
        "batches: an epoch has batches 0..7; got 9 as the first.");
}

TEST_CASE("a transform of the whole batch sees y") {
  const Batches batches(numbered(10, 2), {.size = 5, .shuffle = false});
  const Transform swap = [](Dataset batch, int64_t epoch, int64_t first) {
    CHECK(epoch == 2);
    batch.y = batch.y + Tensor::scalar(static_cast<double>(first), i64);
    return batch;
  };
  CHECK(batches.epoch(2, swap).batch(1).y.values() == std::vector<double>{6, 5, 6, 5, 6});
  const Transform of_x = [](const Tensor& x, int64_t, int64_t) { return x * 2; };
  const Dataset batch = batches.epoch(0, of_x).batch(0);
  CHECK(batch.x.values()[2] == 2);
  CHECK(batch.more.size() == 1);
  CHECK_FALSE(Transform());
}
