#include "ramp/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

#include "ramp/core/parallel.h"
#include "ramp/core/random.h"

namespace ramp {
namespace {

void check_images(const char* op, const Tensor& x) {
  check_defined(op, "x", x);
  if (x.rank() == 4 && x.dtype() == f32) return;
  fail(
      "{}: expected images x [n, h, w, c] in f32; got x {} in {}. Hint: augment before flattening, "
      "and give gray images a last axis of 1.",
      op, x.shape(), x.dtype());
}

void check_option(const char* op, const char* name, double value, double most) {
  if (value >= 0 && value <= most) return;
  fail("{}: expected {} between 0 and {}; got {}.", op, name, most, value);
}

// The numbers that belong to one image: blocks of four, u ~ U[-1, 1).
struct Draws {
  uint64_t key, image;
  uint32_t epoch;

  std::array<float, 4> operator()(uint32_t block) const {
    const auto bits =
        philox({block, static_cast<uint32_t>(image), static_cast<uint32_t>(image >> 32), epoch},
               {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
    std::array<float, 4> u;
    for (int k = 0; k < 4; ++k) u[k] = static_cast<float>(bits[k] >> 8) * 0x1p-23f - 1;
    return u;
  }
};
Draws draws_of(const char* op, uint64_t key, int64_t epoch, int64_t image) {
  if (epoch < 0 || image < 0) {
    fail("{}: expected an epoch and an image counted from 0; got {} and {}.", op, epoch, image);
  }
  return {key, static_cast<uint64_t>(image), static_cast<uint32_t>(epoch)};
}
constexpr uint32_t kFieldBlock = 2;  // the affine change takes the two blocks before

// A displacement for each pixel: a coarse grid of smoothed noise, bilinear in between.
class ElasticField {
 public:
  ElasticField(const AugmentOptions& options, int64_t h, int64_t w)
      : step_(std::max<int64_t>(1, static_cast<int64_t>(options.elastic_sigma / 2))),
        rows_((h - 1) / step_ + 2),
        columns_((w - 1) / step_ + 2) {
    const double sigma = options.elastic_sigma / static_cast<double>(step_);
    const int64_t radius = static_cast<int64_t>(std::ceil(3 * sigma));
    double sum = 0;
    for (int64_t i = -radius; i <= radius; ++i) {
      const double z = static_cast<double>(i) / sigma;
      kernel_.push_back(static_cast<float>(std::exp(-z * z / 2)));
      sum += kernel_.back();
    }
    // Twice, in both directions. A grid point stands for step^2 pixels, whose mean varies less.
    const double factor = std::sqrt(options.elastic_alpha / static_cast<double>(step_)) / sum;
    for (float& g : kernel_) g *= static_cast<float>(factor);
    noise_.resize((rows_ + 2 * radius) * row_size(2 * radius) + 3);
    across_.resize((rows_ + 2 * radius) * row_size());
    grid_.resize(rows_ * row_size());
  }

  void draw(const Draws& draws) {
    for (size_t i = 0; i + 3 < noise_.size(); i += 4) {
      const auto u = draws(kFieldBlock + static_cast<uint32_t>(i / 4));
      std::copy_n(u.data(), 4, &noise_[i]);
    }
    const int64_t taps = static_cast<int64_t>(kernel_.size()), n = row_size();
    std::fill(across_.begin(), across_.end(), 0.0f);
    for (int64_t r = 0; r < rows_ + taps - 1; ++r) {
      for (int64_t k = 0; k < taps; ++k) {
        add_row(&across_[r * n], kernel_[k], &noise_[r * row_size(taps - 1) + 2 * k]);
      }
    }
    std::fill(grid_.begin(), grid_.end(), 0.0f);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t k = 0; k < taps; ++k) add_row(&grid_[r * n], kernel_[k], &across_[(r + k) * n]);
    }
  }

  // Adds the displacements of row i of the image.
  void add_to(float* x, float* y, int64_t i, int64_t w) const {
    const float* top = &grid_[i / step_ * row_size()];
    const float* bottom = top + row_size();
    const float inverse = 1 / static_cast<float>(step_);
    const float down = static_cast<float>(i % step_) * inverse;
    for (int64_t j0 = 0; j0 < w; j0 += step_, top += 2, bottom += 2) {
      const float left_x = top[0] + down * (bottom[0] - top[0]);
      const float left_y = top[1] + down * (bottom[1] - top[1]);
      const float slope_x = (top[2] + down * (bottom[2] - top[2]) - left_x) * inverse;
      const float slope_y = (top[3] + down * (bottom[3] - top[3]) - left_y) * inverse;
      for (int64_t j = j0; j < std::min(w, j0 + step_); ++j) {
        x[j] += left_x + static_cast<float>(j - j0) * slope_x;
        y[j] += left_y + static_cast<float>(j - j0) * slope_y;
      }
    }
  }

 private:
  // The floats of a row of the grid, with so many points more: x and y of each.
  int64_t row_size(int64_t more = 0) const { return 2 * (columns_ + more); }
  void add_row(float* sum, float factor, const float* row) const {
    for (int64_t j = 0; j < row_size(); ++j) sum[j] += factor * row[j];
  }

  int64_t step_, rows_, columns_;
  std::vector<float> kernel_, noise_, across_, grid_;
};

// One image at a time is read at displaced places.
class Resampler {
 public:
  Resampler(int64_t h, int64_t w, int64_t c)
      : h_(h), w_(w), c_(c), padded_((h + 3) * (w + 3) * c), x_(w), y_(w) {}

  // out(p) = in(centre + A^-1 (p - centre - t) + field(p)).
  void operator()(float* out, const float* in, const Affine& a, const ElasticField* field) {
    // A^-1 (u, v): rotated back, sheared back, scaled back; v counts downwards.
    const double angle = a.rotate * std::numbers::pi / 180;
    const double cosine = std::cos(angle), sine = std::sin(angle);
    const float xu = static_cast<float>((cosine + a.shear * sine) / a.scale_x);
    const float xv = static_cast<float>((a.shear * cosine - sine) / a.scale_x);
    const float yu = static_cast<float>(sine / a.scale_y);
    const float yv = static_cast<float>(cosine / a.scale_y);
    const float centre_x = static_cast<float>(w_ - 1) / 2;
    const float centre_y = static_cast<float>(h_ - 1) / 2;
    const float right = static_cast<float>(a.right), down = static_cast<float>(a.down);
    // With a border of zeros, no pixel asks whether its neighbours are inside.
    for (int64_t i = 0; i < h_; ++i) {
      std::copy_n(in + i * w_ * c_, w_ * c_, &padded_[((i + 1) * (w_ + 3) + 1) * c_]);
    }
    for (int64_t i = 0; i < h_; ++i, out += w_ * c_) {
      const float v = static_cast<float>(i) - centre_y - down;
      for (int64_t j = 0; j < w_; ++j) {
        const float u = static_cast<float>(j) - centre_x - right;
        x_[j] = centre_x + (xu * u + xv * v);
        y_[j] = centre_y + (yu * u + yv * v);
      }
      if (field) field->add_to(x_.data(), y_.data(), i, w_);
      sample_row(out);
    }
  }

 private:
  void sample_row(float* out) const {
    const int64_t row = (w_ + 3) * c_;
    for (int64_t j = 0; j < w_; ++j) {
      // (In this order a NaN becomes w or h: outside.)
      const float x = std::max(-1.0f, std::min(static_cast<float>(w_), x_[j])) + 1;
      const float y = std::max(-1.0f, std::min(static_cast<float>(h_), y_[j])) + 1;
      const int64_t left = static_cast<int64_t>(x), top = static_cast<int64_t>(y);
      const float fx = x - static_cast<float>(left), fy = y - static_cast<float>(top);
      const float* p = &padded_[top * row + left * c_];
      for (int64_t k = 0; k < c_; ++k, ++p) {
        const float upper = p[0] + fx * (p[c_] - p[0]);
        const float lower = p[row] + fx * (p[row + c_] - p[row]);
        out[j * c_ + k] = upper + fy * (lower - upper);
      }
    }
  }

  int64_t h_, w_, c_;
  std::vector<float> padded_, x_, y_;
};

constexpr int64_t kGrain = 16;  // images

// y [n, ..] of x's shape, made by make(begin, end, size, in, out) for chunks of the images: image i
// lies at in + i size, and goes to out + i size.
template <typename F>
Tensor each_chunk(const Tensor& x, F make) {
  Tensor y = Tensor::empty(x.shape());
  if (x.numel() == 0) return y;
  const int64_t size = x.shape().without(0).numel();
  const float* in = x.data<float>();
  float* out = y.mutable_data<float>();
  parallel_for(x.dim(0), kGrain,
               [&](int64_t begin, int64_t end) { make(begin, end, size, in, out); });
  return y;
}

// y_i = x_i resampled as piece(begin, end, resample) asks by resample(i, affine, field).
template <typename F>
Tensor resampled(const Tensor& x, F piece) {
  const auto make = [&](int64_t begin, int64_t end, int64_t size, const float* in, float* out) {
    Resampler resampler(x.dim(1), x.dim(2), x.dim(3));
    piece(begin, end, [&](int64_t i, const Affine& a, const ElasticField* field) {
      resampler(out + i * size, in + i * size, a, field);
    });
  };
  return each_chunk(x, make);
}

// One photo of h x w pixels of c channels.
void change_one(float* out, const float* in, int64_t h, int64_t w, int64_t c,
                const PhotoChange& change) {
  const int64_t right = std::clamp(change.right, -w, w), down = std::clamp(change.down, -h, h);
  std::fill_n(out, h * w * c, 0.0f);
  for (int64_t i = std::max<int64_t>(0, down); i < std::min(h, h + down); ++i) {
    for (int64_t j = std::max<int64_t>(0, right); j < std::min(w, w + right); ++j) {
      const int64_t from = change.flip ? w - 1 - (j - right) : j - right;
      std::copy_n(in + ((i - down) * w + from) * c, c, out + (i * w + j) * c);
    }
  }
  if (change.brightness == 1 && change.contrast == 1 && change.saturation == 1) return;
  float* const end = out + h * w * c;
  int64_t outside = 0;
  for (const float* p = out; p < end; ++p) outside += !(*p >= -0.01f && *p <= 1.01f);
  if ((c != 1 && c != 3) || outside > 0) {
    fail(
        "change_photo: light and colour need 1 or 3 channels in [0, 1]; got {} channels, and {} of "
        "{} values outside. Hint: augment before normalizing; brightness, contrast and saturation "
        "of 0 leave values alone.",
        c, outside, h * w * c);
  }
  const auto blend = [](float& v, float factor, float towards) {
    v = std::clamp(factor * v + (1 - factor) * towards, 0.0f, 1.0f);
  };
  const auto grey = [&](const float* p) {
    return c == 1 ? p[0] : 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
  };
  const float brightness = static_cast<float>(change.brightness);
  for (float* p = out; p < end; ++p) blend(*p, brightness, 0);
  double sum = 0;
  for (const float* p = out; p < end; p += c) sum += grey(p);
  const float contrast = static_cast<float>(change.contrast);
  const float mean = static_cast<float>(sum / static_cast<double>(h * w));
  for (float* p = out; p < end; ++p) blend(*p, contrast, mean);
  if (c == 1) return;
  const float saturation = static_cast<float>(change.saturation);
  for (float* p = out; p < end; p += 3) {
    const float g = grey(p);
    for (int k = 0; k < 3; ++k) blend(p[k], saturation, g);
  }
}

// y_i = x_i changed as change(i) says.
template <typename F>
Tensor changed(const Tensor& x, F change) {
  const auto make = [&](int64_t begin, int64_t end, int64_t size, const float* in, float* out) {
    for (int64_t i = begin; i < end; ++i) {
      change_one(out + i * size, in + i * size, x.dim(1), x.dim(2), x.dim(3), change(i));
    }
  };
  return each_chunk(x, make);
}

}  // namespace

Tensor warp(const Tensor& x, const Affine& a) {
  check_images("warp", x);
  const double sum = a.right + a.down + a.rotate + a.shear + 1 / a.scale_x + 1 / a.scale_y;
  if (!std::isfinite(sum) || !std::isfinite(a.scale_x) || !std::isfinite(a.scale_y)) {
    fail(
        "warp: expected finite numbers, and scales other than 0; got right {}, down {}, rotate {}, "
        "scale {} and {}, shear {}.",
        a.right, a.down, a.rotate, a.scale_x, a.scale_y, a.shear);
  }
  return resampled(x, [&](int64_t begin, int64_t end, auto resample) {
    for (int64_t i = begin; i < end; ++i) resample(i, a, nullptr);
  });
}

Augment::Augment(const AugmentOptions& options) : options_(options) {
  const auto check = [](const char* name, double value, double most) {
    check_option("augment", name, value, most);
  };
  check("shift", options.shift, 1e6);
  check("rotate", options.rotate, 180);
  check("scale", options.scale, 0.99);
  check("shear", options.shear, 10);
  check("elastic_alpha", options.elastic_alpha, 1e6);
  check("elastic_sigma", options.elastic_sigma, 1000);
  if (options.elastic_sigma == 0) {
    fail("augment: expected elastic_sigma > 0; got 0. Hint: no deformation is elastic_alpha = 0.");
  }
  // A key of its own: the same seed elsewhere must not give the same numbers.
  key_ = Rng(options.seed).split().split().next();
}

Affine Augment::affine(int64_t epoch, int64_t image) const {
  const Draws draws = draws_of("augment", key_, epoch, image);
  const auto a = draws(0), b = draws(1);
  return {.right = options_.shift * a[0],
          .down = options_.shift * a[1],
          .rotate = options_.rotate * a[2],
          .scale_x = 1 + options_.scale * a[3],
          .scale_y = 1 + options_.scale * b[0],
          .shear = options_.shear * b[1]};
}

Tensor Augment::operator()(const Tensor& x, int64_t epoch, int64_t first) const {
  check_images("augment", x);
  affine(epoch, first);
  return resampled(x, [&](int64_t begin, int64_t end, auto resample) {
    std::optional<ElasticField> field;
    if (options_.elastic_alpha > 0) field.emplace(options_, x.dim(1), x.dim(2));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = first + i;
      if (field) field->draw({key_, static_cast<uint64_t>(image), static_cast<uint32_t>(epoch)});
      resample(i, affine(epoch, image), field ? &*field : nullptr);
    }
  });
}

Tensor change_photo(const Tensor& x, const PhotoChange& change) {
  check_images("change_photo", x);
  const double factors[] = {change.brightness, change.contrast, change.saturation};
  for (const double f : factors) {
    if (!(f >= 0 && std::isfinite(f))) {
      fail("change_photo: expected factors of at least 0, finite; got {}, {} and {}.", factors[0],
           factors[1], factors[2]);
    }
  }
  return changed(x, [&](int64_t) { return change; });
}

AugmentPhoto::AugmentPhoto(const AugmentPhotoOptions& options) : options_(options) {
  check_option("augment_photo", "padding", static_cast<double>(options.padding), 10'000);
  check_option("augment_photo", "brightness", options.brightness, 1);
  check_option("augment_photo", "contrast", options.contrast, 1);
  check_option("augment_photo", "saturation", options.saturation, 1);
  key_ = Rng(options.seed).split().split().split().next();  // another one than Augment's
}

PhotoChange AugmentPhoto::change(int64_t epoch, int64_t image) const {
  const Draws draws = draws_of("augment_photo", key_, epoch, image);
  const auto a = draws(0), b = draws(1);
  const double places = static_cast<double>(2 * options_.padding + 1);
  const auto place = [&](double u) {
    return static_cast<int64_t>((u + 1) / 2 * places) - options_.padding;
  };
  return {.flip = options_.flip && a[0] < 0,
          .right = place(a[1]),
          .down = place(a[2]),
          .brightness = 1 + options_.brightness * a[3],
          .contrast = 1 + options_.contrast * b[0],
          .saturation = 1 + options_.saturation * b[1]};
}

Tensor AugmentPhoto::operator()(const Tensor& x, int64_t epoch, int64_t first) const {
  check_images("augment_photo", x);
  change(epoch, first);
  return changed(x, [&](int64_t i) { return change(epoch, first + i); });
}

}  // namespace ramp
