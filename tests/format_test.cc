#include "ramp/glass/format.h"

#include <doctest/doctest.h>

#include "fixture.h"

using namespace ramp;

TEST_CASE("tensors print as NumPy's arrays do") {
  const std::vector<Fixture> cases = read_fixtures("format");
  CHECK(cases.size() > 150);
  for (const Fixture& f : cases) {
    std::string expected = f.name;
    for (size_t i; (i = expected.find("\\n")) != std::string::npos;) expected.replace(i, 2, "\n");
    CHECK(to_string(f.tensor("x")) == expected);
  }
}

TEST_CASE("a matrix, as it looks") {
  const Tensor x = Tensor::of<float>({1, 2.5, -3, 0.1f}, {2, 2});
  CHECK(fmt::format("x = {}", x) == "x = [[ 1.   2.5]\n [-3.   0.1]]");
  CHECK(fmt::format("{:.3f}", x) == "[[ 1.000  2.500]\n [-3.000  0.100]]");
  CHECK(fmt::format("{:+.1e}", x) == "[[+1.0e+00 +2.5e+00]\n [-3.0e+00 +1.0e-01]]");
  CHECK(fmt::format("{:8.2f}|", Tensor::scalar(1.5)) == "    1.50|");
  CHECK(fmt::format("{}", x.rows(1, 2)) == "[[-3.   0.1]]");
}

TEST_CASE("formats of integers") {
  const Tensor y = Tensor::of<int64_t>({5, -12, 300});
  CHECK(fmt::format("{}", y) == "[  5 -12 300]");
  CHECK(fmt::format("{:x}", y) == "[  5  -c 12c]");
  CHECK(fmt::format("{:.1f}", y) == "[  5.0 -12.0 300.0]");
}

TEST_CASE("a moved-from tensor prints; a format that suits no number is an error") {
  CHECK(fmt::format("{}", Tensor()) == "undefined");
  CHECK_THROWS_WITH_AS((void)fmt::format("{:s}", Tensor::ones({2})),
                       doctest::Contains("format: \"{:s}\" does not suit an element: "), Error);
  CHECK_THROWS_AS((void)fmt::format("{:x}", Tensor::ones({2})), Error);
}
