// New images from those there are, so that a model never meets one twice: digits shifted, rotated,
// scaled, sheared and bent a little; photos mirrored, cut and coloured anew.
#pragma once

#include <cstdint>

#include "ramp/core/tensor.h"

namespace ramp {

/// An affine change about the image's centre: scaled, then sheared, rotated and shifted.
struct Affine {
  double right = 0, down = 0;       // pixels
  double rotate = 0;                // degrees, counterclockwise
  double scale_x = 1, scale_y = 1;  // above 1: larger
  double shear = 0;                 // pixels to the right for each pixel upwards
};

/// y(p) = x(c + A^-1 (p - c - t)) with c the centre, t the shift, A the rotation times the shear
/// times the scale; bilinear between pixels, 0 outside.
/// x: images f32 [n, h, w, c], y the same. It records no gradient.
/// Errors: another rank or dtype; a scale of 0; a number that is not finite.
Tensor warp(const Tensor& x, const Affine& affine);

/// How far an image may be changed: each number is drawn evenly from [-option, option].
struct AugmentOptions {
  double shift = 2;           // pixels, each axis
  double rotate = 12;         // degrees
  double scale = 0.1;         // factors in [1 - scale, 1 + scale], each axis
  double shear = 0.1;         // pixels sideways for each pixel upwards
  double elastic_alpha = 34;  // the factor of the displacements, in pixels; 0: none
  double elastic_sigma = 4;   // the Gaussian that smooths them, in pixels
  uint64_t seed = 0;
};

/// ```
/// const Augment augment({.rotate = 10, .seed = 1});
/// for (auto [x, y] : Prefetch(batches.epoch(e, augment))) step(x, y);
/// ```
/// One warp of each image, and with it an elastic deformation: each pixel is displaced by
/// alpha (G * u), with u ~ U[-1, 1) and G a Gaussian of the given sigma and of sum 1. The field is
/// drawn and smoothed on a grid of sigma / 2 pixels (at least 1), u scaled to give the same
/// variance, and is bilinear in between. 13 us for an image of MNIST, 5 us without the field.
/// Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to visual
/// document analysis" (2003).
class Augment {
 public:
  /// Errors: a negative option or one that is not a number; shift or elastic_alpha > 1e6,
  /// rotate > 180, scale > 0.99, shear > 10, elastic_sigma > 1000 or 0.
  explicit Augment(const AugmentOptions& options = {});

  /// y_i = x_i, changed by what was drawn for image first + i of the epoch: the seed and these two
  /// numbers decide it, not the batch size, the order or the threads. Values stay between 0 and
  /// the largest of x (for x >= 0).
  /// x: images f32 [n, h, w, c], y the same. It records no gradient.
  /// Errors: another rank or dtype; a negative epoch or first.
  Tensor operator()(const Tensor& x, int64_t epoch, int64_t first = 0) const;

  /// What was drawn for an image, but for the elastic field.
  Affine affine(int64_t epoch, int64_t image) const;

  const AugmentOptions& options() const { return options_; }

 private:
  AugmentOptions options_;
  uint64_t key_;
};

/// How far a photo may be changed.
struct AugmentPhotoOptions {
  bool flip = true;     // left becomes right, one time in two
  int64_t padding = 4;  // pixels of 0 around; a part of the old size is cut out of that
  // Factors in [1 - option, 1 + option].
  double brightness = 0.2;  // of each value
  double contrast = 0.2;    // of the distance from the image's mean grey
  double saturation = 0.2;  // of the distance from the pixel's grey
  uint64_t seed = 0;
};

/// What one photo becomes.
struct PhotoChange {
  bool flip = false;
  int64_t right = 0, down = 0;  // pixels
  double brightness = 1, contrast = 1, saturation = 1;
};

/// y = x mirrored, then shifted, 0 coming in; then b y, then k y + (1 - k) mean(grey(y)), then
/// s y + (1 - s) grey(y), with grey = 0.299 r + 0.587 g + 0.114 b, each cut to [0, 1]. Factors of 1
/// leave values as they are, whatever they are.
/// x: images f32 [n, h, w, c], y the same. It records no gradient.
/// Errors: another rank or dtype; a factor that is negative or not finite; with another factor than
/// 1: channels other than 1 and 3, values outside [0, 1] (by more than 0.01).
Tensor change_photo(const Tensor& x, const PhotoChange& change);

/// ```
/// const AugmentPhoto augment({.seed = 1});
/// for (auto [x, y] : Prefetch(batches.epoch(e, augment))) step(x, y);
/// ```
/// The usual changes of small photos: the mirror image, another part, another light; 6 us for one
/// of 32 x 32 pixels. For images whose left and right mean something, as text, {.flip = false}.
class AugmentPhoto {
 public:
  /// Errors: padding outside 0..10,000; another option outside [0, 1].
  explicit AugmentPhoto(const AugmentPhotoOptions& options = {});

  /// y_i = change_photo(x_i, change(epoch, first + i)): the seed and these two numbers decide it.
  /// Errors: those of change_photo(); a negative epoch or first.
  Tensor operator()(const Tensor& x, int64_t epoch, int64_t first = 0) const;

  /// What was drawn for an image.
  PhotoChange change(int64_t epoch, int64_t image) const;

  const AugmentPhotoOptions& options() const { return options_; }

 private:
  AugmentPhotoOptions options_;
  uint64_t key_;
};

}  // namespace ramp
