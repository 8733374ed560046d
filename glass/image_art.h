// An image as text.
#pragma once

#include <string>

#include "ramp/core/tensor.h"

namespace ramp {

/// A grayscale image [h, w] or [h, w, 1] with values in [0, 1] as lines of Braille characters: a
/// dot is a pixel of at least `threshold`; a character is 2 pixels wide and 4 high.
/// Errors: another rank; not f32.
std::string image_art(const Tensor& image, float threshold = 0.4f);

/// Blocks of lines set side by side, `gap` spaces apart. Width counts characters, not bytes.
std::string side_by_side(const std::vector<std::string>& blocks, int gap = 2);

}  // namespace ramp
