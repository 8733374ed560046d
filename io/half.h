// 16-bit floats as files have them.
#pragma once

#include <bit>
#include <cstdint>

namespace ramp {

/// IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction. As a float it is exact.
struct Half {
  uint16_t bits;
  explicit operator float() const {
    const uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, rest = bits & 0x3FFu;
    if (exponent == 0) {
      const float size = static_cast<float>(rest) * 0x1p-24f;
      return sign ? -size : size;
    }
    return std::bit_cast<float>(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | rest << 13);
  }
};

/// bfloat16: the upper half of a float.
struct BFloat {
  uint16_t bits;
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

}  // namespace ramp
