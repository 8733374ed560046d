// IDX files, the format of MNIST: 0, 0, element type, rank; one 32-bit size for each dimension;
// the elements, row by row. All big-endian, with gzip around it or not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

/// A file as it was read: the elements are big-endian.
struct IdxFile {
  /// The element types, with their codes in the file.
  enum class Type : uint8_t { u8 = 8, i8 = 9, i16 = 11, i32 = 12, f32 = 13, f64 = 14 };

  std::string path;
  Type type = Type::u8;
  Shape shape;
  std::vector<uint8_t> elements;

  /// Reads and checks a file, packed or not. The header alone never makes it take memory: it takes
  /// at most 16 times the file's size before there are elements to fill it.
  /// Errors: no such file; not an IDX file; an unknown type; a rank outside 1..8; fewer or more
  /// elements than the header says; damaged gzip data.
  static IdxFile read(const std::string& path);

  /// y = x / divisor in real numbers, then in the given dtype (i64: without its fraction).
  /// Errors: a divisor of 0, inf or NaN.
  Tensor to(DType dtype, double divisor = 1) const;
};

/// The elements of a file: f32 and f64 as they are, integers as i64. Errors: as IdxFile::read.
Tensor read_idx(const std::string& path);

}  // namespace ramp
