#include "ramp/data/augment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <vector>

#include "message.h"
#include "ramp/core/parallel.h"
#include "ramp/core/random.h"
#include "ramp/data/batches.h"

using namespace ramp;

namespace {

Tensor images(int64_t n, int64_t h, int64_t w, int64_t c) { return Rng(5).uniform({n, h, w, c}); }

// An image of one channel.
Tensor image(int64_t h, int64_t w, const std::vector<float>& values) {
  return Tensor::of(values, {1, h, w, 1});
}

constexpr AugmentOptions kNone = {
    .shift = 0, .rotate = 0, .scale = 0, .shear = 0, .elastic_alpha = 0};

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const std::vector<double> x = a.values(), y = b.values();
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

// The definition, step by step in f64: each place is shifted, rotated, sheared and scaled back.
Tensor warp_slowly(const Tensor& x, const Affine& a) {
  const int64_t h = x.dim(1), w = x.dim(2), c = x.dim(3);
  std::vector<double> y;
  const std::vector<double> in = x.values();
  const double turn = a.rotate * std::numbers::pi / 180;
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t i = 0; i < h; ++i) {
      for (int64_t j = 0; j < w; ++j) {
        // From here on v counts upwards.
        double u = static_cast<double>(j) - (w - 1) / 2.0 - a.right;
        double v = -(static_cast<double>(i) - (h - 1) / 2.0 - a.down);
        const double radius = std::hypot(u, v), angle = std::atan2(v, u) - turn;
        u = radius * std::cos(angle);
        v = radius * std::sin(angle);
        u = (u - a.shear * v) / a.scale_x;
        v = v / a.scale_y;
        const double column = u + (w - 1) / 2.0, row = -v + (h - 1) / 2.0;
        for (int64_t k = 0; k < c; ++k) {
          double sum = 0;
          for (int64_t r = 0; r < h; ++r) {
            for (int64_t q = 0; q < w; ++q) {
              const double weight = std::max(0.0, 1 - std::abs(row - static_cast<double>(r))) *
                                    std::max(0.0, 1 - std::abs(column - static_cast<double>(q)));
              sum += weight * in[((n * h + r) * w + q) * c + k];
            }
          }
          y.push_back(sum);
        }
      }
    }
  }
  return Tensor::of(y, x.shape()).to(f32);
}

}  // namespace

TEST_CASE("nothing to change: the same image") {
  for (const Tensor& x : {images(3, 28, 28, 1), images(2, 5, 8, 3), images(2, 1, 1, 1)}) {
    CHECK(warp(x, {}).values() == x.values());
    CHECK(Augment(kNone)(x, 0).values() == x.values());
  }
}

TEST_CASE("a known shift: zeros come in") {
  const Tensor x = image(3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(warp(x, {.right = 1}).values() == image(3, 3, {0, 1, 2, 0, 4, 5, 0, 7, 8}).values());
  CHECK(warp(x, {.down = 1}).values() == image(3, 3, {0, 0, 0, 1, 2, 3, 4, 5, 6}).values());
  CHECK(warp(x, {.right = -2, .down = -1}).values() ==
        image(3, 3, {6, 0, 0, 9, 0, 0, 0, 0, 0}).values());
  CHECK(warp(x, {.right = 0.5}).values() ==
        image(3, 3, {0.5, 1.5, 2.5, 2, 4.5, 5.5, 3.5, 7.5, 8.5}).values());
  CHECK(warp(x, {.right = 1e9}).values() == image(3, 3, std::vector<float>(9)).values());
}

TEST_CASE("a quarter turn counterclockwise, with an even and an odd side") {
  const Tensor odd = image(3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(largest_difference(warp(odd, {.rotate = 90}), image(3, 3, {3, 6, 9, 2, 5, 8, 1, 4, 7})) <
        1e-5);
  const Tensor even = image(2, 2, {1, 2, 3, 4});
  CHECK(largest_difference(warp(even, {.rotate = 90}), image(2, 2, {2, 4, 1, 3})) < 1e-5);
  CHECK(largest_difference(warp(even, {.rotate = -90}), image(2, 2, {3, 1, 4, 2})) < 1e-5);
  CHECK(largest_difference(warp(even, {.rotate = 180}), image(2, 2, {4, 3, 2, 1})) < 1e-5);
}

TEST_CASE("each change and all together, against the definition") {
  const Tensor x = images(2, 9, 6, 2);
  for (const Affine& a :
       {Affine{.rotate = 25}, Affine{.scale_x = 1.5}, Affine{.scale_y = 0.6}, Affine{.shear = 0.5},
        Affine{.scale_x = -1}, Affine{1.25, -0.75, -40, 1.3, 0.8, 0.3},
        Affine{-2.5, 3, 200, 0.5, 2, -1}}) {
    CHECK(largest_difference(warp(x, a), warp_slowly(x, a)) < 2e-6);
  }
}

TEST_CASE("what is drawn: within the options, over their whole range, for each image anew") {
  const Augment augment({.shift = 3, .rotate = 20, .scale = 0.2, .shear = 0.5, .seed = 7});
  const auto check = [&](double most, const std::function<double(const Affine&)>& get) {
    double low = 0, high = 0, sum = 0;
    for (int64_t i = 0; i < 1000; ++i) {
      const double value = get(augment.affine(2, i));
      low = std::min(low, value);
      high = std::max(high, value);
      sum += value;
    }
    CHECK(low >= -most);
    CHECK(low < -0.97 * most);
    CHECK(high <= most);
    CHECK(high > 0.97 * most);
    CHECK(std::abs(sum / 1000) < 0.08 * most);
  };
  check(3, [](const Affine& a) { return a.right; });
  check(3, [](const Affine& a) { return a.down; });
  check(20, [](const Affine& a) { return a.rotate; });
  check(0.2, [](const Affine& a) { return a.scale_x - 1; });
  check(0.2, [](const Affine& a) { return a.scale_y - 1; });
  check(0.5, [](const Affine& a) { return a.shear; });
  check(4, [](const Affine& a) { return a.right + (a.down < 0 ? -1 : 1); });  // not one number
}

TEST_CASE("without an elastic field, each image is the warp that was drawn for it") {
  const Tensor x = images(40, 12, 10, 1);
  AugmentOptions options;
  options.elastic_alpha = 0;
  const Augment augment(options);
  const Tensor y = augment(x, 3, 100);
  for (int64_t i : {0, 17, 39}) {
    const Tensor expected = warp(x.rows(i, i + 1), augment.affine(3, 100 + i));
    CHECK(y.rows(i, i + 1).values() == expected.values());
  }
}

TEST_CASE("the elastic field: its spread and its smoothness are those of the formula") {
  // An image of coordinates shows where each pixel comes from.
  constexpr int64_t kSize = 64, kBorder = 12, kImages = 300;
  Tensor x = Tensor::empty({kImages, kSize, kSize, 2});
  for (int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<float>()[i] =
        static_cast<float>(i % 2 == 0 ? i / 2 % kSize : i / 2 / kSize % kSize);
  }
  for (double sigma : {1.5, 4.0, 7.0}) {
    AugmentOptions options = kNone;
    options.elastic_alpha = 4 * sigma;
    options.elastic_sigma = sigma;
    const Tensor y = Augment(options)(x, 0);
    const auto moved = [&](int64_t n, int64_t i, int64_t j, int64_t axis) {
      const int64_t at = ((n * kSize + i) * kSize + j) * 2 + axis;
      return static_cast<double>(y.data<float>()[at] - x.data<float>()[at]);
    };
    double square = 0, across = 0, down = 0, both = 0, count = 0;
    const int64_t lag = static_cast<int64_t>(std::lround(1.5 * sigma));
    for (int64_t n = 0; n < kImages; ++n) {
      for (int64_t i = kBorder; i < kSize - kBorder - lag; ++i) {
        for (int64_t j = kBorder; j < kSize - kBorder - lag; ++j) {
          const double dx = moved(n, i, j, 0), dy = moved(n, i, j, 1);
          square += dx * dx;
          across += dx * moved(n, i, j + lag, 0);
          down += dx * moved(n, i + lag, j, 0);
          both += dx * dy;
          count += 1;
        }
      }
    }
    // White noise of variance 1/3 smoothed by a Gaussian g: 1/3 sum g^2 = 1 / (12 pi sigma^2).
    const double variance =
        options.elastic_alpha * options.elastic_alpha / (12 * std::numbers::pi * sigma * sigma);
    const double correlation = std::exp(-static_cast<double>(lag * lag) / (4 * sigma * sigma));
    CHECK(square / count == doctest::Approx(variance).epsilon(0.06));
    CHECK(across / square == doctest::Approx(correlation).epsilon(0.06));
    CHECK(down / square == doctest::Approx(correlation).epsilon(0.06));
    CHECK(std::abs(both / square) < 0.06);
  }
}

TEST_CASE("the seed, the epoch and the position decide: no threads, no batch size") {
  const Tensor x = images(70, 28, 28, 1);
  const Augment augment({.seed = 3});
  const int before = num_threads();
  set_num_threads(1);
  const Tensor y = augment(x, 1);
  set_num_threads(2);
  CHECK(augment(x, 1).values() == y.values());
  set_num_threads(before);
  for (int64_t begin : {0, 1, 33}) {
    CHECK(augment(x.rows(begin, 70), 1, begin).values() == y.rows(begin, 70).values());
  }
  CHECK(Augment({.seed = 3})(x, 1).values() == y.values());
  CHECK(augment(x, 0).values() != y.values());
  CHECK(augment(x, 1, 1).values() != y.values());
  CHECK(Augment({.seed = 4})(x, 1).values() != y.values());
  // The elastic field too.
  AugmentOptions bend = kNone;
  bend.elastic_alpha = 34;
  const Tensor pair = Tensor::empty({2, 28, 28, 1});
  pair.rows(0, 1).copy_(x.rows(0, 1));
  pair.rows(1, 2).copy_(x.rows(0, 1));
  const Tensor bent = Augment(bend)(pair, 0);
  CHECK(bent.rows(0, 1).values() != bent.rows(1, 2).values());
  CHECK(bent.rows(0, 1).values() != Augment(bend)(pair, 1).rows(0, 1).values());
}

TEST_CASE("values stay in [0, 1], however wild the options") {
  for (const Tensor& in : {Tensor::ones({50, 20, 20, 1}), images(50, 20, 20, 1)}) {
    for (const AugmentOptions& options :
         {AugmentOptions{}, AugmentOptions{.shift = 1e6, .scale = 0.99, .shear = 10},
          AugmentOptions{.rotate = 180, .elastic_alpha = 1e6, .elastic_sigma = 0.01},
          AugmentOptions{.elastic_sigma = 1000}}) {
      const std::vector<double> values = Augment(options)(in, 0).values();
      CHECK(*std::min_element(values.begin(), values.end()) >= 0);
      CHECK(*std::max_element(values.begin(), values.end()) <= 1);
    }
  }
}

TEST_CASE("no images, and images of no pixels") {
  for (const Shape& shape : {Shape{0, 28, 28, 1}, Shape{3, 0, 5, 1}, Shape{3, 5, 5, 0}}) {
    CHECK(Augment()(Tensor::zeros(shape), 0).shape() == shape);
    CHECK(warp(Tensor::zeros(shape), {}).shape() == shape);
  }
}

TEST_CASE(
    "an epoch of augmented batches: labels beside their images, the batch size of no matter") {
  const Dataset data{images(50, 8, 8, 1), Tensor::arange(50)};
  const Augment augment({.seed = 2});
  const auto all = [&](int64_t size, int64_t epoch, const Transform& transform) {
    std::vector<double> values;
    for (auto [x, y] : Batches(data, {.size = size}).epoch(epoch, transform)) {
      CHECK(x.dim(0) == y.dim(0));
      const std::vector<double> more = x.values();
      values.insert(values.end(), more.begin(), more.end());
    }
    return values;
  };
  CHECK(all(7, 4, augment) == all(50, 4, augment));
  CHECK(all(7, 4, augment) != all(7, 4, nullptr));
  CHECK(all(7, 4, Augment(kNone)) == all(7, 4, nullptr));
  CHECK(all(7, 4, augment) != all(7, 5, augment));
  // A function of the user's own is told the epoch and the position.
  std::vector<int64_t> told;
  all(20, 9, [&](const Tensor& x, int64_t epoch, int64_t first) {
    told.insert(told.end(), {epoch, first, x.dim(0)});
    return x;
  });
  CHECK(told == std::vector<int64_t>{9, 0, 20, 9, 20, 20, 9, 40, 10});
}

TEST_CASE("a user's mistakes") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(message([] { Augment({.shift = -1}); }) ==
        "augment: expected shift between 0 and 1000000; got -1.");
  CHECK(message([] { Augment({.rotate = 360}); }) ==
        "augment: expected rotate between 0 and 180; got 360.");
  CHECK(message([] { Augment({.scale = 1}); }) ==
        "augment: expected scale between 0 and 0.99; got 1.");
  CHECK(message([&] { Augment({.shear = nan}); }) ==
        "augment: expected shear between 0 and 10; got nan.");
  CHECK(message([] { Augment({.elastic_alpha = 1e300}); }) ==
        "augment: expected elastic_alpha between 0 and 1000000; got 1e+300.");
  CHECK(message([] { Augment({.elastic_sigma = -4}); }) ==
        "augment: expected elastic_sigma between 0 and 1000; got -4.");
  CHECK(message([] { Augment({.elastic_sigma = 0}); }) ==
        "augment: expected elastic_sigma > 0; got 0. Hint: no deformation is elastic_alpha = 0.");
  CHECK(message([] {
          Augment()(Tensor::zeros({5, 784}), 0);
        }) ==
        "augment: expected images x [n, h, w, c] in f32; got x [5, 784] in f32. Hint: augment "
        "before flattening, and give gray images a last axis of 1.");
  CHECK(message([] {
          Augment()(Tensor::zeros({5, 2, 2, 1}, f64), 0);
        }) ==
        "augment: expected images x [n, h, w, c] in f32; got x [5, 2, 2, 1] in f64. Hint: augment "
        "before flattening, and give gray images a last axis of 1.");
  CHECK(message([] { Augment()({}, 0); }) ==
        "augment: x is undefined (moved from, or never set). Hint: give it a value first.");
  CHECK(message([] {
          Augment()(Tensor::zeros({1, 2, 2, 1}), -1);
        }) == "augment: expected an epoch and an image counted from 0; got -1 and 0.");
  CHECK(message([] {
          Augment()(Tensor::zeros({1, 2, 2, 1}), 2, -3);
        }) == "augment: expected an epoch and an image counted from 0; got 2 and -3.");
  CHECK(message([] {
          warp(Tensor::zeros({1, 2, 2, 1}), {.scale_x = 0});
        }) ==
        "warp: expected finite numbers, and scales other than 0; got right 0, down 0, rotate 0, "
        "scale 0 and 1, shear 0.");
  CHECK(message([&] {
          warp(Tensor::zeros({1, 2, 2, 1}), {.down = nan});
        }) ==
        "warp: expected finite numbers, and scales other than 0; got right 0, down nan, rotate 0, "
        "scale 1 and 1, shear 0.");
}

namespace {

constexpr AugmentPhotoOptions kSamePhoto = {
    .flip = false, .padding = 0, .brightness = 0, .contrast = 0, .saturation = 0};

// The definition, pixel by pixel in f64.
Tensor change_slowly(const Tensor& x, const PhotoChange& change) {
  const int64_t h = x.dim(1), w = x.dim(2), c = x.dim(3);
  std::vector<double> all;
  for (int64_t n = 0; n < x.dim(0); ++n) {
    std::vector<double> y;
    for (int64_t i = 0; i < h; ++i) {
      for (int64_t j = 0; j < w; ++j) {
        const int64_t row = i - change.down, at = j - change.right;
        const int64_t column = change.flip ? w - 1 - at : at;
        for (int64_t k = 0; k < c; ++k) {
          const bool inside = row >= 0 && row < h && column >= 0 && column < w;
          y.push_back(inside ? x.at({n, row, column, k}) : 0);
        }
      }
    }
    const auto cut = [](double v) { return std::min(1.0, std::max(0.0, v)); };
    const auto grey = [&](size_t p) {
      return c == 1 ? y[p] : 0.299 * y[p] + 0.587 * y[p + 1] + 0.114 * y[p + 2];
    };
    for (double& v : y) v = cut(change.brightness * v);
    double mean = 0;
    for (size_t p = 0; p < y.size(); p += c) mean += grey(p) / static_cast<double>(h * w);
    for (double& v : y) v = cut(change.contrast * v + (1 - change.contrast) * mean);
    for (size_t p = 0; p < y.size(); p += c) {
      const double g = grey(p);
      for (int64_t k = 0; k < c; ++k) {
        y[p + k] = cut(change.saturation * y[p + k] + (1 - change.saturation) * g);
      }
    }
    all.insert(all.end(), y.begin(), y.end());
  }
  return Tensor::of(all, x.shape()).to(f32);
}

}  // namespace

TEST_CASE("photos: mirrored, shifted, lighter, of more contrast and colour") {
  const Tensor x = image(2, 3, {1, 2, 3, 4, 5, 6});
  CHECK(change_photo(x, {}).values() == x.values());
  CHECK(change_photo(x, {.flip = true}).values() == image(2, 3, {3, 2, 1, 6, 5, 4}).values());
  CHECK(change_photo(x, {.right = 1, .down = -1}).values() ==
        image(2, 3, {0, 4, 5, 0, 0, 0}).values());
  CHECK(change_photo(x, {.flip = true, .right = 2}).values() ==
        image(2, 3, {0, 0, 3, 0, 0, 6}).values());
  CHECK(change_photo(x, {.right = 7, .down = -900}).values() == std::vector<double>(6));
  for (const int64_t c : {1, 3}) {
    const Tensor photos = images(3, 6, 5, c);
    for (const PhotoChange& change :
         {PhotoChange{.brightness = 1.3}, PhotoChange{.contrast = 0.5}, PhotoChange{.contrast = 2},
          PhotoChange{.saturation = 0}, PhotoChange{.saturation = 1.7},
          PhotoChange{true, 2, -1, 0.8, 1.2, 1.4}, PhotoChange{true, -4, 5, 0, 3, 0.5}}) {
      CHECK(largest_difference(change_photo(photos, change), change_slowly(photos, change)) < 2e-6);
    }
  }
  CHECK(change_photo(images(2, 3, 4, 5), {.flip = true}).shape() == Shape{2, 3, 4, 5});
  for (const Shape& shape : {Shape{0, 8, 8, 3}, Shape{2, 0, 8, 3}, Shape{2, 3, 3, 0}}) {
    CHECK(AugmentPhoto()(Tensor::zeros(shape), 0).shape() == shape);
  }
}

TEST_CASE("photos: what is drawn, over its whole range, for each image anew") {
  const AugmentPhoto augment(
      {.padding = 2, .brightness = 0.1, .contrast = 0.2, .saturation = 0.3, .seed = 3});
  double flips = 0, low[3] = {9, 9, 9}, high[3] = {};
  int64_t places[5][5] = {};
  for (int64_t i = 0; i < 5000; ++i) {
    const PhotoChange change = augment.change(1, i);
    flips += change.flip;
    REQUIRE(std::max(std::abs(change.right), std::abs(change.down)) <= 2);
    ++places[change.right + 2][change.down + 2];
    const double factors[] = {change.brightness, change.contrast, change.saturation};
    for (int k = 0; k < 3; ++k) {
      low[k] = std::min(low[k], factors[k]);
      high[k] = std::max(high[k], factors[k]);
    }
  }
  CHECK(std::abs(flips / 5000 - 0.5) < 0.03);
  for (const auto& column : places) {
    for (const int64_t n : column) CHECK(std::abs(n - 200) < 60);
  }
  for (int k = 0; k < 3; ++k) {
    const double most = 0.1 * (k + 1);
    CHECK(low[k] >= 1 - most);
    CHECK(low[k] < 1 - 0.97 * most);
    CHECK(high[k] <= 1 + most);
    CHECK(high[k] > 1 + 0.97 * most);
  }
  const Tensor x = images(40, 9, 7, 3);
  CHECK(AugmentPhoto(kSamePhoto)(x, 5).values() == x.values());
  const Tensor y = augment(x, 2, 10);
  for (const int64_t i : {0, 39}) {
    CHECK(y.rows(i, i + 1).values() ==
          change_photo(x.rows(i, i + 1), augment.change(2, 10 + i)).values());
  }
  const int before = num_threads();
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    CHECK(augment(x, 2, 10).values() == y.values());
    CHECK(augment(x.rows(7, 40), 2, 17).values() == y.rows(7, 40).values());
  }
  set_num_threads(before);
  CHECK(augment(x, 3, 10).values() != y.values());
  CHECK(augment(x, 2, 11).values() != y.values());
  CHECK(AugmentPhoto({.seed = 4})(x, 0).values() != AugmentPhoto()(x, 0).values());
  // It is a Transform.
  const Batches batches({x, Tensor::arange(40)}, {.size = 8});
  CHECK(batches.epoch(1, augment).batch(2).x.shape() == Shape{8, 9, 7, 3});
}

TEST_CASE("photos: a user's mistakes") {
  CHECK(message([] { AugmentPhoto({.padding = -1}); }) ==
        "augment_photo: expected padding between 0 and 10000; got -1.");
  CHECK(message([] { AugmentPhoto({.contrast = 1.5}); }) ==
        "augment_photo: expected contrast between 0 and 1; got 1.5.");
  CHECK(message([] {
          AugmentPhoto()(Tensor::zeros({2, 3, 3}), 0);
        }) ==
        "augment_photo: expected images x [n, h, w, c] in f32; got x [2, 3, 3] in f32. Hint: "
        "augment before flattening, and give gray images a last axis of 1.");
  CHECK(message([] { AugmentPhoto().change(-1, 0); }) ==
        "augment_photo: expected an epoch and an image counted from 0; got -1 and 0.");
  CHECK(message([] {
          change_photo(Tensor::zeros({1, 2, 2, 3}), {.contrast = -1});
        }) == "change_photo: expected factors of at least 0, finite; got 1, -1 and 1.");
  const std::string normalized = message([] {
    AugmentPhoto({.padding = 0})(Tensor::full({1, 2, 2, 3}, 2), 0);
  });
  CHECK(normalized ==
        "change_photo: light and colour need 1 or 3 channels in [0, 1]; got 3 channels, and 12 of "
        "12 values outside. Hint: augment before normalizing; brightness, contrast and saturation "
        "of 0 leave values alone.");
  CHECK(message([] { AugmentPhoto()(Tensor::zeros({1, 2, 2, 4}), 0); }) != "no error");
  CHECK(AugmentPhoto({.brightness = 0, .contrast = 0, .saturation = 0})(
            Tensor::full({1, 2, 2, 4}, 5), 0)
            .shape() == Shape{1, 2, 2, 4});
}
