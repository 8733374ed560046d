#include "ramp/autograd/ops_resize.h"

#include <limits>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/gradcheck.h"
#include "ramp/core/random.h"
#include "ramp/layers/upsample.h"
#include "threads.h"

using namespace ramp;

using Values = std::vector<double>;

TEST_CASE("upsampling is PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("pool")) {
    if (f.name != "nearest" && f.name != "bilinear") continue;
    ++cases;
    const Size2d scale(static_cast<int64_t>(f.number("h")), static_cast<int64_t>(f.number("w")));
    const Tensor x = f.leaf("x");
    INFO(f.name << " of " << x.shape().str() << " by " << scale.str());
    const Tensor y =
        f.name == "nearest"
            ? upsample_nearest2d(x, scale)
            : upsample_bilinear2d(x, scale, {.align_corners = f.number("corners") != 0});
    const double tolerance = x.dtype() == f32 ? 1e-6 : 1e-14;
    check_close(y, f.tensor("y"), f.name == "nearest" ? 0 : tolerance);
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), tolerance);
  }
  CHECK(cases == 72);
}

TEST_CASE("upsampling: the derivatives agree with differences") {
  const int64_t before = live_nodes();
  for (const int64_t c : {1, 3, 10}) {
    const std::vector<Tensor> x{Rng(1).normal({2, 3, 4, c}, 0, 1, f64)};
    for (const Size2d scale : {Size2d(2), Size2d(1, 3)}) {
      CHECK(gradcheck([&](const auto& x) { return upsample_nearest2d(x[0], scale); }, x) == "");
      for (const bool corners : {false, true}) {
        CHECK(gradcheck(
                  [&](const auto& x) {
                    return upsample_bilinear2d(x[0], scale, {.align_corners = corners});
                  },
                  x) == "");
      }
    }
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("upsampling: no images, no channels; infinities stay where they count") {
  CHECK(upsample_nearest2d(Tensor::zeros({0, 2, 3, 4}), 2).shape() == Shape{0, 4, 6, 4});
  Tensor x = Tensor::zeros({1, 2, 3, 0}).requires_grad_();
  const Tensor y = upsample_bilinear2d(x, 2);
  CHECK(y.shape() == Shape{1, 4, 6, 0});
  backward(y, Tensor::zeros(y.shape()));
  CHECK(x.grad().shape() == x.shape());
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Tensor z = Tensor::of<double>({1, 2, kInf}, {1, 1, 3, 1});
  CHECK(upsample_nearest2d(z, {1, 2}).values() == Values{1, 1, 2, 2, kInf, kInf});
  CHECK(upsample_bilinear2d(z, {1, 2}).values() == Values{1, 1.25, 1.75, kInf, kInf, kInf});
  CHECK(
      upsample_bilinear2d(Tensor::of<double>({1, 4}, {1, 2, 1, 1}), {2, 1}, {.align_corners = true})
          .values() == Values{1, 2, 3, 4});
}

TEST_CASE("upsampling: equal bits for 1 and 2 threads") {
  for (const bool bilinear : {false, true}) {
    check_equal_bits([&] {
      const Tensor x = Rng(1).normal({3, 20, 30, 6}).requires_grad_();
      const Tensor y = Upsample(2, bilinear)(x);
      backward(y, Rng(2).normal(y.shape()));
      return std::vector{y, x.grad()};
    });
  }
}

TEST_CASE("upsampling: a user's mistakes, and the layer") {
  const Tensor x = Tensor::zeros({2, 4, 5, 3});
  CHECK(message([&] {
          upsample_nearest2d(x, {0, 2});
        }) ==
        "upsample_nearest2d: y must have at least 1 x 1 pixels; got 0x10 from x [2, 4, 5, 3].");
  CHECK(message([&] { upsample_bilinear2d(x, -1); }) ==
        "upsample_bilinear2d: y must have at least 1 x 1 pixels; got -4x-5 from x [2, 4, 5, 3].");
  CHECK(message([&] {
          upsample_bilinear2d(x.view({8, 15}), 2);
        }) ==
        "upsample_bilinear2d: expected images x [n, h, w, c] with pixels; got [8, 15]. Hint: are "
        "they flat already, or pooled away?");
  CHECK(
      message([] { upsample_nearest2d({}, 2); }).starts_with("upsample_nearest2d: x is undefined"));
  CHECK(message([&] { upsample_nearest2d(x.to(i64), 2); }) ==
        "upsample_nearest2d: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).");
  CHECK(Upsample(2).describe() == "Upsample(2, nearest)");
  CHECK(Upsample({1, 3}, true).describe() == "Upsample(1x3, bilinear)");
  CHECK(Upsample({1, 3}, true)(x).shape() == Shape{2, 4, 15, 3});
}
