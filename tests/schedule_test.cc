#include "ramp/optim/schedule.h"

#include <cmath>

#include "fixture.h"
#include "message.h"

using namespace ramp;

TEST_CASE("twenty steps are PyTorch's") {
  const std::map<std::string, Schedule> schedules{
      {"step", step_decay(6, 0.3)},
      {"multistep", multistep_decay({2, 5, 5, 11}, 0.5)},
      {"exponential", exponential_decay(0.9)},
      {"polynomial", polynomial_decay(15, 1.7)},
      {"linear", polynomial_decay(12)},
      {"warmup", warmup(8, 0.1)},
      {"cosine", cosine_decay(19, 0.02)},
      {"restarts", cosine_restarts(6, 1, 0.1)},
      {"growing restarts", cosine_restarts(3, 2)},
      {"one cycle", one_cycle(20)},
      {"one cycle, lines",
       one_cycle(20, {.warm = 0.42, .start = 1. / 4, .end = 1. / 400, .linear = true})},
      {"sequence",
       sequence({{4, warmup(4, 0.2)}, {5, exponential_decay(0.8)}, {0, step_decay(3, 0.5)}})},
      {"product", product({warmup(5, 0.2), exponential_decay(0.9)})},
  };
  size_t seen = 0;
  for (const Fixture& f : read_fixtures("schedule")) {
    INFO(f.name);
    const std::vector<double> way = f.tensor("way").values();
    REQUIRE(way.size() == 20);
    if (f.has("measures")) {
      ReduceOnPlateau plateau = f.name == "plateau"
                                    ? ReduceOnPlateau({.factor = 0.5, .patience = 2})
                                    : ReduceOnPlateau({.factor = 0.3,
                                                       .patience = 1,
                                                       .threshold = 0.01,
                                                       .cooldown = 2,
                                                       .least = 0.05,
                                                       .larger_is_better = true});
      const std::vector<double> measures = f.tensor("measures").values();
      for (size_t t = 0; t < 20; ++t) {
        CHECK(plateau(measures[t]) == doctest::Approx(way[t]).epsilon(1e-13));
      }
      CHECK(plateau.factor() < 1);
    } else {
      ++seen;
      // Backwards: a schedule has no memory.
      for (size_t t = 20; t-- > 0;) {
        CHECK(schedules.at(f.name)(static_cast<double>(t)) ==
              doctest::Approx(way[t]).epsilon(1e-12));
      }
    }
  }
  CHECK(seen == schedules.size());
}

TEST_CASE("behind their ends schedules stay; shortest ones") {
  CHECK(warmup(1, 0.5)(0) == 0.5);
  CHECK(warmup(1)(1) == 1);
  CHECK(warmup(10)(1e9) == 1);
  CHECK(cosine_decay(1, 0.25)(1) == 0.25);
  CHECK(cosine_decay(10, 0.25)(1e9) == 0.25);
  CHECK(polynomial_decay(3, 2)(7) == 0);
  CHECK(polynomial_decay(3, 0.5)(0) == 1);
  CHECK(cosine_restarts(4)(4e6) == 1);
  CHECK(one_cycle(1)(0) == doctest::Approx(1 / 25e4));
  CHECK(one_cycle(10)(100) == doctest::Approx(1 / 25e4));
  CHECK(one_cycle(10, {.warm = 0})(9) == doctest::Approx(1 / 25e4));
  CHECK(one_cycle(10, {.warm = 1})(9) == 1);
  CHECK(one_cycle(10, {.warm = 0.1})(0) == 1);
  CHECK(multistep_decay({})(5) == 1);
  CHECK(product({})(5) == 1);
  CHECK(sequence({{0, warmup(2)}, {0, exponential_decay(0.5)}})(1) == 0.5);
}

TEST_CASE("a user's mistakes") {
  const double nan = NAN, inf = HUGE_VAL;
  for (const double wrong : {0., -1., nan, inf}) {
    const auto text = [&](const char* name) {
      return fmt::format("{}: expected a finite number of steps above 0; got {}.", name, wrong);
    };
    CHECK(message([&] { step_decay(wrong); }) == text("step_decay"));
    CHECK(message([&] { polynomial_decay(wrong); }) == text("polynomial_decay"));
    CHECK(message([&] { warmup(wrong); }) == text("warmup"));
    CHECK(message([&] { cosine_decay(wrong); }) == text("cosine_decay"));
    CHECK(message([&] { cosine_restarts(wrong); }) == text("cosine_restarts"));
    CHECK(message([&] { one_cycle(wrong); }) == text("one_cycle"));
  }
  CHECK(message([&] { step_decay(1, nan); }) == "step_decay: gamma must be finite; got nan.");
  CHECK(message([&] { exponential_decay(inf); }) ==
        "exponential_decay: gamma must be finite; got inf.");
  CHECK_THROWS_AS(multistep_decay({1}, nan), Error);
  CHECK_THROWS_AS(polynomial_decay(1, nan), Error);
  CHECK_THROWS_AS(warmup(1, nan), Error);
  CHECK_THROWS_AS(cosine_decay(1, nan), Error);
  CHECK_THROWS_AS(cosine_restarts(1, 1, nan), Error);
  CHECK_THROWS_AS(one_cycle(1, {.start = nan}), Error);
  CHECK_THROWS_AS(one_cycle(1, {.end = nan}), Error);
  CHECK(message([&] { cosine_restarts(1, 0.5); }) ==
        "cosine_restarts: growth must be a finite number of at least 1; got 0.5.");
  CHECK(message([&] { one_cycle(1, {.warm = 1.5}); }) ==
        "one_cycle: the share `warm` must be in [0, 1]; got 1.5.");
  CHECK(message([&] {
          multistep_decay({3, 1});
        }) == "multistep_decay: the milestones must rise; got 1 after 3.");
  CHECK(message([&] { sequence({}); }) == "sequence: expected at least one part; got none.");
  CHECK(message([&] { ReduceOnPlateau({.factor = 1}); }) ==
        "ReduceOnPlateau: the factor must be in [0, 1); got 1.");
  CHECK(message([&] { ReduceOnPlateau({.patience = -1}); }) ==
        "ReduceOnPlateau: patience, cooldown and threshold must be at least 0; got -1, 0 and "
        "0.0001.");
  CHECK_THROWS_AS(ReduceOnPlateau({.threshold = nan}), Error);
  CHECK_THROWS_AS(ReduceOnPlateau({.cooldown = -1}), Error);
}
