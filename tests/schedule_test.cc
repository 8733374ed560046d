#include "ramp/optim/schedule.h"

#include <cmath>

#include "fixture.h"
#include "message.h"
#include "ramp/train/plateau.h"

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
       one_cycle(20, {.warmup_fraction = 0.42, .start = 1. / 4, .end = 1. / 400, .linear = true})},
      {"sequence", warmup(4, 0.2).then(4, exponential_decay(0.8)).then(9, step_decay(3, 0.5))},
      {"product", warmup(5, 0.2) * exponential_decay(0.9)},
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
                                                       .min_factor = 0.05,
                                                       .maximize = true});
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
  CHECK(one_cycle(10, {.warmup_fraction = 0})(9) == doctest::Approx(1 / 25e4));
  CHECK(one_cycle(10, {.warmup_fraction = 1})(9) == 1);
  CHECK(one_cycle(10, {.warmup_fraction = 1})(10) == doctest::Approx(1 / 25e4));
  CHECK(multistep_decay({})(5) == 1);
  CHECK(multistep_decay({0})(0) == doctest::Approx(0.1));
}

TEST_CASE("an empty schedule is 1") {
  const Schedule empty;
  CHECK(empty(3) == 1);
  CHECK(empty.then(2, warmup(10))(7) == 0.5);
  CHECK(warmup(10).then(5, empty)(5) == 1);
  CHECK((empty * warmup(10))(5) == 0.5);
  CHECK((warmup(10) * empty)(5) == 0.5);
}

TEST_CASE("a rounding of the lengths does not move a step") {
  // As on machines that contract 0.1 * 10 - 1 to a multiply-add, or for lengths one digit off.
  const double up = std::nextafter(1., 2.), down = std::nextafter(1., 0.);
  for (const double e : {down, 1., up}) {
    INFO((e - 1));
    CHECK(one_cycle(10, {.warmup_fraction = 0.1 * e})(0) == 1);
    CHECK(one_cycle(10 * e, {.warmup_fraction = 0.3})(2) == 1);
    CHECK(one_cycle(10 * e, {.warmup_fraction = std::min(e, 1.)})(9) == 1);
    CHECK(step_decay(3 * e)(3) == doctest::Approx(0.1));
    CHECK(step_decay(3 * e)(2) == 1);
    CHECK(step_decay(0.1 * e)(3e5) == doctest::Approx(0));
    CHECK(multistep_decay({3 * e, 7e8 * e})(3) == doctest::Approx(0.1));
    CHECK(multistep_decay({3 * e, 7e8 * e})(7e8) == doctest::Approx(0.01));
    CHECK(cosine_restarts(3 * e)(3) == doctest::Approx(1));
    CHECK(cosine_restarts(3 * e)(3e6) == doctest::Approx(1));
    CHECK(cosine_restarts(3 * e, 2)(9) == doctest::Approx(1));
    CHECK(warmup(3 * e).then(3 * e, step_decay(2 * e))(3) == doctest::Approx(1));
    CHECK(warmup(3 * e).then(3 * e, step_decay(2 * e))(5) == doctest::Approx(0.1));
  }
}

TEST_CASE("a user's own schedule, alone and with others") {
  const Schedule own = [](double t) { return 1 / (1 + t); };
  CHECK(own(3) == 0.25);
  CHECK((own * warmup(4))(3) == 0.1875);
  CHECK(warmup(4).then(4, own)(7) == 0.25);
  Schedule copy = own, again = copy;
  CHECK(again(1) == 0.5);
}

TEST_CASE("on a plateau the factor falls, with a margin of |best|") {
  const auto factors = [](PlateauOptions o, const std::vector<double>& measures) {
    ReduceOnPlateau plateau(o);
    std::vector<double> all;
    for (const double m : measures) all.push_back(std::round(plateau(m) * 1e6) / 1e6);
    return all;
  };
  using Factors = std::vector<double>;
  const std::vector<double> same(8, -1);
  const Factors cut{1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01};
  CHECK(factors({.patience = 2}, same) == cut);
  CHECK(factors({.patience = 2, .maximize = true}, same) == cut);
  // -1 and 1 must be beaten by 0.1; 0 by anything.
  CHECK(factors({.patience = 0, .threshold = 0.1}, {-1, -1.05, -1.11}) == Factors{1, 0.1, 0.1});
  CHECK(factors({.patience = 0, .threshold = 0.1}, {1, 0.95, 0.89}) == Factors{1, 0.1, 0.1});
  CHECK(factors({.patience = 0, .threshold = 0.1, .maximize = true}, {-1, -0.95, -0.89}) ==
        Factors{1, 0.1, 0.1});
  CHECK(factors({.patience = 0, .threshold = 0.1, .maximize = true}, {0, 1e-9, 1e-9}) ==
        Factors{1, 1, 0.1});
  // NaN, and inf where it is the worst, are no improvement, as the first measure too.
  const double nan = NAN, inf = HUGE_VAL;
  CHECK(factors({.patience = 1}, {nan, nan, 1, nan, 0.5}) == Factors{1, 0.1, 0.1, 0.1, 0.1});
  CHECK(factors({.patience = 1}, {1, nan, nan, nan, nan}) == Factors{1, 1, 0.1, 0.1, 0.01});
  CHECK(factors({.patience = 0}, {inf, 5, 4}) == Factors{0.1, 0.1, 0.1});
  CHECK(factors({.patience = 0}, {-inf, -inf}) == Factors{1, 0.1});
}

TEST_CASE("a plateau's state, saved and loaded, goes on") {
  const PlateauOptions o{.patience = 1, .cooldown = 1};
  ReduceOnPlateau whole(o);
  for (int i = 0; i < 4; ++i) whole(1);
  ReduceOnPlateau rest(o);
  rest.load_state(whole.state());
  CHECK(rest.factor() == whole.factor());
  for (int i = 0; i < 6; ++i) CHECK(rest(1) == whole(1));
  CHECK(whole.factor() < 0.05);
  ReduceOnPlateau fresh(o);
  rest.load_state(fresh.state());
  CHECK(rest(1) == 1);

  const auto text = [&](std::vector<double> v) {
    return message([&] { fresh.load_state({{"plateau", Tensor::of(v)}}); });
  };
  CHECK(text({1, NAN, 0, 0}) ==
        "ReduceOnPlateau: the state must be a number, a factor in [0, 1], and counts in [0, 1] and "
        "[0, 1]; got 1, nan, 0 and 0.");
  CHECK(text({NAN, 1, 0, 0}) != "");
  CHECK(text({1, 1.5, 0, 0}) != "");
  CHECK(text({1, 1, -1, 0}) != "");
  CHECK(text({1, 1, 0, 2}) != "");
  CHECK(fresh.state()[0].tensor.values() == std::vector<double>{HUGE_VAL, 1, 0, 0});
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
  CHECK(message([&] { step_decay(1, nan); }) ==
        "step_decay: expected gamma >= 0, finite; got nan.");
  for (const double wrong : {-0.5, nan, inf}) {
    CHECK_THROWS_AS(step_decay(1, wrong), Error);
    CHECK_THROWS_AS(exponential_decay(wrong), Error);
    CHECK_THROWS_AS(multistep_decay({1}, wrong), Error);
    CHECK_THROWS_AS(multistep_decay({wrong}), Error);
    CHECK_THROWS_AS(polynomial_decay(1, wrong), Error);
    CHECK_THROWS_AS(warmup(1, wrong), Error);
    CHECK_THROWS_AS(warmup(1).then(wrong, warmup(1)), Error);
    CHECK_THROWS_AS(cosine_decay(1, wrong), Error);
    CHECK_THROWS_AS(cosine_restarts(1, 1, wrong), Error);
    CHECK_THROWS_AS(cosine_restarts(1, wrong), Error);
    CHECK_THROWS_AS(one_cycle(1, {.start = wrong}), Error);
    CHECK_THROWS_AS(one_cycle(1, {.end = wrong}), Error);
    CHECK_THROWS_AS(one_cycle(1, {.warmup_fraction = wrong}), Error);
    CHECK_THROWS_AS(ReduceOnPlateau({.factor = wrong}), Error);
    CHECK_THROWS_AS(ReduceOnPlateau({.threshold = wrong}), Error);
    CHECK_THROWS_AS(ReduceOnPlateau({.min_factor = wrong}), Error);
  }
  CHECK(message([&] { cosine_restarts(1, 0.5); }) ==
        "cosine_restarts: expected growth >= 1, finite; got 0.5.");
  CHECK(message([&] { one_cycle(1, {.warmup_fraction = 1.5}); }) ==
        "one_cycle: expected warmup_fraction in [0, 1]; got 1.5.");
  CHECK(message([&] {
          multistep_decay({3, 1});
        }) == "multistep_decay: the milestones must rise; got 1 after 3.");
  CHECK(message([&] { ReduceOnPlateau({.factor = 1}); }) ==
        "ReduceOnPlateau: expected factor in [0, 1) and min_factor in [0, 1]; got 1 and 0.");
  CHECK(message([&] { ReduceOnPlateau({.patience = -1}); }) ==
        "ReduceOnPlateau: expected patience, cooldown >= 0; got -1 and 0.");
  CHECK_THROWS_AS(ReduceOnPlateau({.cooldown = -1}), Error);
}
