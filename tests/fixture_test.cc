#include "fixture.h"

#include <limits>

using namespace ramp;

TEST_CASE("a fixture gives PyTorch's values back to the bit") {
  const std::vector<Fixture> all = read_fixtures("fixture");
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "all values, exact");
  const Tensor x = all[0].tensor("x"), y = all[0].tensor("y");
  CHECK(x.dtype() == f32);
  CHECK(x.shape() == Shape{2, 3});
  const float* p = x.data<float>();
  CHECK(p[0] == 1.0f / 3);
  CHECK((p[1] == 0 && std::signbit(p[1])));
  CHECK(std::isnan(p[2]));
  CHECK(p[3] == std::numeric_limits<float>::infinity());
  CHECK(p[4] == -std::numeric_limits<float>::infinity());
  CHECK(p[5] == std::numeric_limits<float>::denorm_min());
  CHECK(y.data<double>()[0] == 1.0 / 3);
  CHECK(y.data<double>()[3] == std::numeric_limits<double>::denorm_min());
  CHECK(all[0].tensor("labels").data<int64_t>()[0] == (int64_t{1} << 53) + 1);
  CHECK(all[0].number("slope") == 0.1);
  CHECK(all[1].tensor("scalar").shape() == Shape{});
  CHECK(all[1].tensor("scalar").item() == 2.5);
  CHECK(all[1].tensor("empty").shape() == Shape{2, 0, 3});
  CHECK(all[1].tensor("one").shape() == Shape{1, 1});
  CHECK_THROWS_WITH_AS(all[0].tensor("z"), "fixture all values, exact: it has no tensor \"z\".",
                       Error);
}

TEST_CASE("difference sees values, shapes, dtypes and NaN") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = HUGE_VAL;
  const Tensor x = Tensor::of<double>({1, nan, inf});
  CHECK(difference(x, Tensor::of<double>({1 + 1e-9, nan, inf}), 1e-8) == "");
  CHECK(difference(x, Tensor::of<double>({1 + 1e-7, nan, inf}), 1e-8) ==
        "at flat index 0 of [3]: 1; expected 1.0000001");
  CHECK(difference(x, Tensor::of<double>({1, 0, inf}), 1e-8) != "");
  CHECK(difference(x, Tensor::of<double>({1, nan, -inf}), 1e-8) != "");
  CHECK(difference(Tensor::ones({2}), Tensor::ones({2, 1}), 1) == "f32 [2]; expected f32 [2, 1]");
  CHECK(difference(Tensor::ones({2}), Tensor::ones({2}, f64), 1) == "f32 [2]; expected f64 [2]");
}
