#include "ramp/glass/image_art.h"

#include <algorithm>
#include <vector>

namespace ramp {
namespace {

// U+2800 + dots, as UTF-8.
std::string braille(unsigned dots) {
  const unsigned code = 0x2800 + dots;
  return {static_cast<char>(0xE0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 0x3F)),
          static_cast<char>(0x80 | (code & 0x3F))};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  for (const char c : text) {
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += c;
  }
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

// Characters of a UTF-8 text: all bytes but the continuing ones.
int64_t width_of(const std::string& line) {
  return std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace

std::string image_art(const Tensor& image, float threshold) {
  check_defined("image_art", "image", image);
  if (image.rank() < 2 || image.rank() > 3 || (image.rank() == 3 && image.shape()[2] != 1)) {
    fail("image_art: expected an image [h, w] or [h, w, 1]; got {}.", image.shape());
  }
  const int64_t h = image.shape()[0], w = image.shape()[1];
  const float* x = image.data<float>();
  // The bit of each dot, by row and column of the 4 x 2 block.
  constexpr unsigned kBit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
  std::string text;
  for (int64_t i = 0; i < h; i += 4) {
    for (int64_t j = 0; j < w; j += 2) {
      unsigned dots = 0;
      for (int64_t r = 0; r < std::min<int64_t>(4, h - i); ++r)
        for (int64_t c = 0; c < std::min<int64_t>(2, w - j); ++c)
          if (x[(i + r) * w + j + c] >= threshold) dots |= kBit[r][c];
      text += braille(dots);
    }
    text += '\n';
  }
  return text;
}

std::string side_by_side(const std::vector<std::string>& blocks, int gap) {
  std::vector<std::vector<std::string>> all;
  size_t height = 0;
  for (const std::string& block : blocks) {
    all.push_back(lines_of(block));
    height = std::max(height, all.back().size());
  }
  std::string text;
  for (size_t i = 0; i < height; ++i) {
    std::string line;
    for (size_t b = 0; b < all.size(); ++b) {
      int64_t width = 0;
      for (const std::string& l : all[b]) width = std::max(width, width_of(l));
      const std::string part = i < all[b].size() ? all[b][i] : "";
      line += part;
      if (b + 1 < all.size()) line.append(static_cast<size_t>(width - width_of(part) + gap), ' ');
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  }
  return text;
}

}  // namespace ramp
