#include "ramp/core/shape.h"

#include <doctest/doctest.h>

using namespace ramp;

TEST_CASE("a shape knows its dimensions, elements and strides") {
  const Shape s{2, 3, 4};
  CHECK(s.rank() == 3);
  CHECK(s.numel() == 24);
  CHECK(s.last() == 4);
  CHECK(s.str() == "[2, 3, 4]");
  CHECK(fmt::format("{}", s) == "[2, 3, 4]");
  const auto strides = s.strides();
  CHECK(strides[0] == 12);
  CHECK(strides[1] == 4);
  CHECK(strides[2] == 1);
  CHECK(std::vector<int64_t>(s.begin(), s.end()) == std::vector<int64_t>{2, 3, 4});
}

TEST_CASE("a scalar and empty shapes") {
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{}.last() == 1);
  CHECK(Shape{}.str() == "[]");
  CHECK(Shape{3, 0, 2}.numel() == 0);
  CHECK(Shape{0}.last() == 0);
}

TEST_CASE("equality looks at rank and dimensions") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK_FALSE(Shape{} == Shape{1});
}

TEST_CASE("without and with an axis") {
  CHECK(Shape{2, 3, 4}.without(0) == Shape{3, 4});
  CHECK(Shape{2, 3, 4}.without(2) == Shape{2, 3});
  CHECK(Shape{2, 3}.with(0, 7) == Shape{7, 2, 3});
  CHECK(Shape{2, 3}.with(2, 7) == Shape{2, 3, 7});
  CHECK(Shape{}.with(0, 7) == Shape{7});
  CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1}.with(0, 1)),
                       "shape: at most 8 dimensions; got 9.", Error);
  CHECK_THROWS_AS(Shape{int64_t{1} << 58}.with(0, 2), Error);
}

TEST_CASE("limits") {
  CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), "shape: at most 8 dimensions; got 9.",
                       Error);
  CHECK_THROWS_WITH_AS((Shape{2, -1}),
                       "shape: a dimension is at least 0; got -1 at axis 1. Hint: reshape() takes "
                       "one -1.",
                       Error);
  const int64_t big = int64_t{1} << 29;
  CHECK(Shape{big, big}.numel() == int64_t{1} << 58);
  CHECK_THROWS_WITH_AS((Shape{big, big, 2}),
                       "shape: at most 2^58 elements; got [536870912, 536870912, 2].", Error);
  CHECK_THROWS_AS((Shape{INT64_MAX, INT64_MAX, INT64_MAX}), Error);
  // 2^64 elements: the product is 0 in 64 bits.
  CHECK_THROWS_AS((Shape{int64_t{1} << 32, int64_t{1} << 32}), Error);
  CHECK_THROWS_AS((Shape{int64_t{1} << 40, 0, int64_t{1} << 40}), Error);
  CHECK_THROWS_AS(Shape{INT64_MAX}, Error);
}

TEST_CASE("normalize_axis counts from the end") {
  CHECK(normalize_axis("sum", 0, 3) == 0);
  CHECK(normalize_axis("sum", 2, 3) == 2);
  CHECK(normalize_axis("sum", -1, 3) == 2);
  CHECK(normalize_axis("sum", -3, 3) == 0);
  CHECK_THROWS_WITH_AS(normalize_axis("sum", 3, 3),
                       "sum: axis must be in -3..2 for a tensor of rank 3; got 3.", Error);
  CHECK_THROWS_WITH_AS(normalize_axis("sum", -4, 3),
                       "sum: axis must be in -3..2 for a tensor of rank 3; got -4.", Error);
  CHECK_THROWS_WITH_AS(normalize_axis("sum", 0, 0), "sum: a scalar has no axes; got axis 0.",
                       Error);
}

TEST_CASE("broadcasting is NumPy's") {
  struct Case {
    Shape a, b, y;
  };
  for (const Case& c : std::vector<Case>{
           {{2, 3}, {2, 3}, {2, 3}},
           {{2, 3}, {}, {2, 3}},
           {{}, {}, {}},
           {{2, 3}, {3}, {2, 3}},
           {{2, 3}, {1}, {2, 3}},
           {{2, 1}, {1, 3}, {2, 3}},
           {{4, 1, 3}, {2, 1}, {4, 2, 3}},
           {{1, 1}, {5, 1, 1}, {5, 1, 1}},
           {{0, 3}, {1, 3}, {0, 3}},
           {{1}, {0}, {0}},
           {{8, 1, 6, 1}, {7, 1, 5}, {8, 7, 6, 5}},
       }) {
    INFO(c.a.str() << " with " << c.b.str());
    CHECK(broadcast("add", c.a, c.b) == c.y);
    CHECK(broadcast("add", c.b, c.a) == c.y);
  }
}

TEST_CASE("shapes that do not broadcast") {
  CHECK_THROWS_WITH_AS(
      broadcast("add", {2, 3}, {4, 3}),
      "add: a [2, 3] and b [4, 3] do not broadcast: at axis -2 they have 2 and 4, which "
      "must be equal or one of them 1. Hint: reshape one of them.",
      Error);
  // The caller's order, whichever is the longer one.
  CHECK_THROWS_WITH_AS(
      broadcast("add", {3}, {5, 4}),
      "add: a [3] and b [5, 4] do not broadcast: at axis -1 they have 3 and 4, which "
      "must be equal or one of them 1. Hint: reshape one of them.",
      Error);
  CHECK_THROWS_AS(broadcast("add", {0}, {2}), Error);
  const int64_t big = int64_t{1} << 30;
  CHECK_THROWS_AS(broadcast("add", {big, 1}, {1, big}), Error);
}

TEST_CASE("sizes that an op computes: checked at each step") {
  const int64_t most = int64_t{1} << 58;
  CHECK((CheckedSize("pad", 5) + 2 * 3 - 1).value() == 10);
  CHECK((CheckedSize("pad", -7) * 3).value() == -21);
  CHECK((CheckedSize("pad", most - 1) + 1).value() == most);
  CHECK_THROWS_WITH_AS(CheckedSize("pad", most) + 1,
                       "pad: a size is at most 2^58, the most elements of a tensor; got "
                       "288230376151711745.",
                       Error);
  for (const int64_t large : {most + 1, -most - 1, INT64_MAX, INT64_MIN}) {
    CHECK_THROWS_AS(CheckedSize("pad", large), Error);
    CHECK_THROWS_AS(CheckedSize("pad", 1) + large, Error);
    CHECK_THROWS_AS(CheckedSize("pad", 1) - large, Error);
    CHECK_THROWS_AS(CheckedSize("pad", 3) * large, Error);
  }
  CHECK_THROWS_AS(CheckedSize("pad", int64_t{1} << 32) * (int64_t{1} << 32), Error);
}

TEST_CASE("a shape that was changed is checked when memory is taken for it") {
  Shape s{2, 3};
  s[0] = -1;
  CHECK_THROWS_AS(s.check(), Error);
  s[0] = int64_t{1} << 57;
  CHECK_THROWS_AS(s.check(), Error);
  s[0] = 4;
  CHECK_NOTHROW(s.check());
}
