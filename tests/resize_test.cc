#include "ramp/autograd/ops_resize.h"

#include <limits>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/resize.h"
#include "threads.h"

using namespace ramp;

using Values = std::vector<double>;

TEST_CASE("upsampling and resizing are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("pool")) {
    const bool nearest = f.name.ends_with("nearest");
    if (!nearest && !f.name.ends_with("bilinear")) continue;
    ++cases;
    const Size2d size(static_cast<int64_t>(f.number("h")), static_cast<int64_t>(f.number("w")));
    const Tensor x = f.leaf("x");
    INFO(f.name << " of " << x.shape().str() << " and " << size.str());
    const BilinearOptions o{.align_corners = f.has("corners") && f.number("corners") != 0};
    Tensor y;
    if (f.name == "nearest") y = upsample_nearest2d(x, size);
    if (f.name == "bilinear") y = upsample_bilinear2d(x, size, o);
    if (f.name == "resize_nearest") y = resize_nearest2d(x, size);
    if (f.name == "resize_bilinear") y = resize_bilinear2d(x, size, o);
    const double tolerance = x.dtype() == f32 ? 1e-6 : 1e-14;
    check_close(y, f.tensor("y"), nearest ? 0 : tolerance);
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), tolerance);
  }
  CHECK(cases == 96);
}

TEST_CASE("upsampling: the derivatives agree with differences") {
  const int64_t before = live_nodes();
  for (const int64_t c : {1, 3, 10}) {
    const std::vector<Tensor> x{Rng(1).normal({2, 3, 4, c}, 0, 1, f64)};
    for (const Size2d scale : {Size2d(2), Size2d(1, 3)}) {
      CHECK(gradcheck([&](const auto& x) { return upsample_nearest2d(x[0], scale); }, x) == "");
      CHECK(gradcheck([&](const auto& x) { return resize_nearest2d(x[0], {2, 5}); }, x) == "");
      CHECK(gradcheck([&](const auto& x) { return resize_bilinear2d(x[0], {2, 5}); }, x) == "");
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
      const Tensor y = Upsample(2, {.bilinear = bilinear})(x);
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
  CHECK(
      message([&] { upsample_nearest2d(x.to(i64), 2); }) ==
      fmt::format("upsample_nearest2d: expected an f32 or f64 tensor; got i64 {}. Hint: x.to(f32).",
                  x.shape()));
  CHECK(message([&] {
          resize_nearest2d(x, {3, 0});
        }) == "resize_nearest2d: y must have at least 1 x 1 pixels; got 3x0 from x [2, 4, 5, 3].");
  // Sizes that overflow, or that no machine holds: refused before memory is taken.
  for (const int64_t n :
       {std::numeric_limits<int64_t>::max(), int64_t{1} << 62, int64_t{1} << 40}) {
    for (const Tensor& images : {x, Tensor::zeros({0, 4, 5, 3}), Tensor::zeros({2, 4, 5, 0})}) {
      CHECK(message([&] {
              upsample_nearest2d(images, n);
            }).starts_with("upsample_nearest2d: a size"));
      CHECK(message([&] {
              upsample_bilinear2d(images, {n, n});
            }).starts_with("upsample_bilinear2d: a size"));
      CHECK(message([&] { resize_nearest2d(images, n); }).starts_with("resize_nearest2d: a size"));
    }
    CHECK(message([&] { resize_bilinear2d(x, {1, n}); }) != "no error");
  }
  CHECK(Upsample(2).describe() == "Upsample(2, nearest)");
  CHECK(Upsample({1, 3}, {.bilinear = true}).describe() == "Upsample(1x3, bilinear)");
  CHECK(Upsample({1, 3}, {.bilinear = true})(x).shape() == Shape{2, 4, 15, 3});
  const Resize corners(7, {.bilinear = true, .align_corners = true});
  CHECK(corners.describe() == "Resize(7, bilinear, align_corners)");
  CHECK(Resize({3, 2})(x).shape() == Shape{2, 3, 2, 3});
  CHECK(message([] { Upsample(2, {.align_corners = true}); }) ==
        "Upsample: align_corners is of blended pixels. Hint: .bilinear = true.");
}
