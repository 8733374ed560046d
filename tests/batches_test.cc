#include "ramp/data/batches.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <type_traits>

#include "ramp/core/parallel.h"

using namespace ramp;

namespace {

// Row i of x is {i, -i}, y_i = i.
Dataset numbered(int64_t n, DType dtype = f32) {
  std::vector<double> x;
  for (int64_t i = 0; i < n; ++i) {
    x.push_back(static_cast<double>(i));
    x.push_back(static_cast<double>(-i));
  }
  return {Tensor::of(x, {n, 2}).to(dtype), Tensor::arange(n)};
}

std::vector<double> order_of(const Batches& batches, int64_t epoch) {
  std::vector<double> order;
  for (auto [x, y] : batches.epoch(epoch)) {
    const std::vector<double> labels = y.values();
    order.insert(order.end(), labels.begin(), labels.end());
  }
  return order;
}

}  // namespace

TEST_CASE("an epoch shows each example once, x beside its y") {
  for (DType dtype : {f32, f64, i64}) {
    const Batches batches(numbered(10, dtype), {.size = 4, .seed = 3});
    CHECK(batches.count() == 3);
    std::vector<int64_t> sizes;
    std::vector<double> seen;
    for (auto [x, y] : batches.epoch(0)) {
      sizes.push_back(y.numel());
      CHECK(x.shape() == Shape{y.numel(), 2});
      CHECK(x.dtype() == dtype);
      for (int64_t i = 0; i < y.numel(); ++i) {
        CHECK(x.values()[2 * i] == y.values()[i]);
        CHECK(x.values()[2 * i + 1] == -y.values()[i]);
        seen.push_back(y.values()[i]);
      }
    }
    CHECK(sizes == std::vector<int64_t>{4, 4, 2});
    std::sort(seen.begin(), seen.end());
    CHECK(seen == numbered(10).y.values());
  }
}

TEST_CASE("the last batch, dropped or not there") {
  CHECK(order_of(Batches(numbered(10), {.size = 4, .drop_last = true}), 0).size() == 8);
  CHECK(Batches(numbered(8), {.size = 4, .drop_last = true}).count() == 2);
  CHECK(Batches(numbered(8), {.size = 4}).count() == 2);
  CHECK(Batches(numbered(3), {.size = 64}).count() == 1);
}

TEST_CASE("the order: new in each epoch, by seed and number alone") {
  const Dataset data = numbered(100);
  const Batches batches(data, {.size = 7, .seed = 1});
  const std::vector<double> first = order_of(batches, 0), second = order_of(batches, 1);
  CHECK(first != data.y.values());
  CHECK(first != second);
  CHECK(first == order_of(batches, 0));
  CHECK(first == order_of(Batches(data, {.size = 32, .seed = 1}), 0));
  CHECK(second == order_of(Batches(data, {.size = 7, .seed = 1}), 1));
  CHECK(first != order_of(Batches(data, {.size = 7, .seed = 2}), 0));
  CHECK(order_of(Batches(data, {.size = 7, .shuffle = false}), 5) == data.y.values());
}

TEST_CASE("a loop over the batches is the next epoch") {
  Batches batches(numbered(200));  // of 64, shuffled
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<double> order;
    for (auto [x, y] : batches) {
      const std::vector<double> labels = y.values();
      order.insert(order.end(), labels.begin(), labels.end());
    }
    CHECK(order == order_of(batches, epoch));
  }
  static_assert(!std::is_convertible_v<Dataset, Batches>);
}

TEST_CASE("an epoch outlives its batches object, and a batch may be written to") {
  const Dataset data = numbered(6);
  for (auto [x, y] : Batches(data, {.size = 2, .shuffle = false}).epoch(0)) x.fill_(9);
  CHECK(data.x.values() == numbered(6).x.values());
}

TEST_CASE("rows wide and narrow, y of any rank: one thread and two give the same") {
  const int before = num_threads();
  std::vector<double> drawn[2];
  const Dataset data{Rng(1).normal({300, 500}), Rng(2).normal({300, 2, 3}, 0, 1, f64)};
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    for (auto [x, y] : Batches(data, {.size = 200}).epoch(0)) {
      CHECK(y.shape() == Shape{x.dim(0), 2, 3});
      for (const Tensor& t : {x, y}) {
        const std::vector<double> values = t.values();
        drawn[threads - 1].insert(drawn[threads - 1].end(), values.begin(), values.end());
      }
    }
  }
  set_num_threads(before);
  CHECK(drawn[0] == drawn[1]);
  CHECK(Batches({Tensor::zeros({3, 0}), Tensor::arange(3)}, {.size = 2}).count() == 2);
}

TEST_CASE("an epoch takes nothing from the system after its first batch") {
  const Batches batches({Tensor::zeros({640, 784}), Tensor::arange(640)}, {.drop_last = true});
  int64_t before = 0;
  for (auto [x, y] : batches.epoch(0)) {
    if (before == 0) before = memory_stats().system_allocations;
    CHECK(memory_stats().system_allocations == before);
  }
}

TEST_CASE("a user's mistakes") {
  const Dataset data = numbered(10);
  CHECK_THROWS_WITH_AS(Batches(data).epoch(-1),
                       "batches: expected an epoch counted from 0; got -1.", Error);
  CHECK_THROWS_WITH_AS(Batches(data, {.size = 0}),
                       "batches: expected a batch size of at least 1; got 0.", Error);
  CHECK_THROWS_WITH_AS(
      Batches({data.x, Tensor::arange(9)}, {}),
      "batches: expected x [n, ..] and y [n, ..] of the same length; got x [10, 2] and "
      "y [9].",
      Error);
  CHECK_THROWS_WITH_AS(
      Batches({data.x, Tensor::scalar(1)}, {}),
      "batches: expected x [n, ..] and y [n, ..] of the same length; got x [10, 2] and "
      "y [].",
      Error);
  CHECK_THROWS_WITH_AS(Batches({Tensor::zeros({0, 2}), Tensor::arange(0)}, {}),
                       "batches: the dataset is empty; got 0 examples.", Error);
  CHECK_THROWS_WITH_AS(Batches({data.x, {}}, {}),
                       "batches: y is undefined (moved from, or never set). Hint: give it a value "
                       "first.",
                       Error);
  CHECK_THROWS_WITH_AS(
      Batches(data, {.size = 64, .drop_last = true}),
      "batches: drop_last leaves no batch: batch size 64; got 10 examples. Hint: a "
      "smaller size.",
      Error);
}
