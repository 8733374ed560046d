#include "ramp/data/prefetch.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <vector>

#include "message.h"
#include "ramp/core/parallel.h"
#include "ramp/data/augment.h"

using namespace ramp;

namespace {

Dataset data() { return {Rng(1).uniform({100, 10, 10, 1}), Tensor::arange(100)}; }

std::vector<double> all(auto&& epoch) {
  std::vector<double> values;
  for (auto [x, y] : epoch) {
    for (const Tensor& t : {x, y}) {
      const std::vector<double> more = t.values();
      values.insert(values.end(), more.begin(), more.end());
    }
  }
  return values;
}

}  // namespace

TEST_CASE("the same batches, whatever the threads and the batches ahead") {
  const int before = num_threads();
  const Augment augment({.seed = 1});
  const Batches batches(data(), {.size = 16});
  for (int64_t e : {0, 1}) {
    const std::vector<double> expected = all(batches.epoch(e, augment));
    for (int threads : {1, 2}) {
      set_num_threads(threads);
      for (int64_t ahead : {1, 2, 100}) {
        CHECK(all(Prefetch(batches.epoch(e, augment), ahead)) == expected);
      }
    }
    CHECK(all(Prefetch(batches.epoch(e))) == all(batches.epoch(e)));
  }
  set_num_threads(before);
}

TEST_CASE("batches are made before they are asked for, but not more than so many") {
  std::atomic<int> made = 0;
  const auto count = [&](const Tensor& x, int64_t, int64_t) {
    ++made;
    return x;
  };
  Prefetch prefetch(Batches(data(), {.size = 10}).epoch(0, count), 2);
  const auto check_made = [&](int n) {
    while (made < n) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK(made == n);
  };
  check_made(3);  // two that are ready, one that waits for room
  CHECK(prefetch.next()->y.numel() == 10);
  check_made(4);
  for (int i = 1; i < 10; ++i) CHECK(prefetch.next().has_value());
  CHECK_FALSE(prefetch.next().has_value());
  CHECK_FALSE(prefetch.next().has_value());
  CHECK(made == 10);
}

TEST_CASE("leaving early, by break, by an exception, or before the first batch") {
  const Batches batches(data(), {.size = 1});
  const Augment augment;
  for (auto [x, y] : Prefetch(batches.epoch(0, augment))) break;
  CHECK_THROWS_AS(for (auto [x, y]
                       : Prefetch(batches.epoch(0, augment))) throw std::runtime_error("mine"),
                  std::runtime_error);
  const Prefetch unused(batches.epoch(0, augment));
}

TEST_CASE("what a transform throws arrives in place of its batch") {
  const auto broken = [](const Tensor& x, int64_t, int64_t first) -> Tensor {
    if (first == 40) fail("mine: no image {}.", first);
    return x;
  };
  int seen = 0;
  CHECK(message([&] {
          for (auto [x, y] : Prefetch(Batches(data(), {.size = 20}).epoch(0, broken))) ++seen;
        }) == "mine: no image 40.");
  CHECK(seen == 2);
  // An error that nobody waits for ends with the thread.
  Prefetch(Batches(data(), {.size = 20}).epoch(0, broken));
  Prefetch again(Batches(data(), {.size = 100}).epoch(0, [](const Tensor&, int64_t, int64_t) {
    return Augment()(Tensor::zeros({3}), 0);
  }));
  CHECK(message([&] { again.next(); }).starts_with("augment: expected images"));
  CHECK_FALSE(again.next().has_value());
}

TEST_CASE("its thread leaves the pool to others") {
  const auto inline_only = [](const Tensor& x, int64_t, int64_t) {
    const std::thread::id mine = std::this_thread::get_id();
    parallel_for(100, 1, [&](int64_t, int64_t) {
      if (std::this_thread::get_id() != mine) fail("mine: another thread.");
    });
    return x;
  };
  const int before = num_threads();
  set_num_threads(2);
  for (auto [x, y] : Prefetch(Batches(data(), {.size = 2}).epoch(0, inline_only))) {
    parallel_for(8, 1, [](int64_t, int64_t) {});
  }
  set_num_threads(before);
}

TEST_CASE("a user's mistakes") {
  CHECK(message([] { Prefetch(Batches(data(), {}).epoch(0), 0); }) ==
        "prefetch: expected at least 1 batch ahead; got 0.");
}
