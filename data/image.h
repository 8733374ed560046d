// Images in files: PNG, JPEG and PGM/PPM read, PNG written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

struct ReadImageOptions {
  /// 1: grey; 3: red, green, blue; 0: as in the file, with alpha: 1, 2, 3 or 4.
  int64_t channels = 0;
  /// An image of more is an error: a PNG of 50 kB can stand for 400 million, which take 6 GB.
  int64_t max_pixels = 100'000'000;
};

/// x = what the file says / the largest number it can say, in [0, 1]; f32 [h, w, c].
/// The bytes say what it is, not the name. PNG of each kind: palettes become colours, 16 bits stay
/// exact, gamma is left alone. JPEG with 8 bits: CMYK becomes RGB, and a photo that was taken with
/// the camera turned stands upright (Exif orientation). PGM and PPM, as text (P2, P3) or not (P5,
/// P6). Where .channels leaves alpha out, the image lies on white; grey = 0.299 r + 0.587 g +
/// 0.114 b (ITU-R BT.601).
/// Errors: no such file; another format; a damaged file, or one cut short; one that is said to be
/// larger than its bytes can be or than .max_pixels, before memory is taken; a PNG or JPEG where
/// ramp was built without libpng or libjpeg.
Tensor read_image(const std::string& path, const ReadImageOptions& options = {});
/// The same from memory.
Tensor decode_image(std::span<const uint8_t> bytes, const ReadImageOptions& options = {});

/// byte = round(255 x), x outside [0, 1] as the nearest; f32 or f64 [h, w, 1] or [h, w] (grey), or
/// [h, w, 3]. The file is whole or not there (see NewFile).
/// Errors: another shape or dtype; a number outside [-1, 2], or NaN (an image in 0..255 wants
/// x / 255); a file that cannot be written.
void write_png(const std::string& path, const Tensor& image);
/// The bytes of that file.
std::vector<uint8_t> encode_png(const Tensor& image);

/// y = x [h, w, c] in another size, f32: bilinear between pixels where it grows; where it shrinks,
/// the mean of all pixels below the triangle that is as much wider, so that nothing is left out and
/// no pattern appears. As PyTorch's interpolate(mode="bilinear", antialias=True).
/// Errors: another rank or dtype; no pixels; a size below 1.
Tensor resize_image(const Tensor& image, Size2d size);

struct ContactSheetOptions {
  int64_t columns = 16;
  int64_t gap = 2;      // pixels between images and around
  double ground = 0.5;  // what is there
};
/// Images x [n, h, w, c], f32, row by row on one sheet [H, W, c]; with fewer images than columns
/// the sheet is as wide as they are.
/// Errors: another rank or dtype; no images; columns < 1; a negative gap.
Tensor contact_sheet(const Tensor& images, const ContactSheetOptions& options = {});

}  // namespace ramp
