// What is kept of a tensor that is not kept.
#pragma once

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

/// Count, mean, spread, range, zeros and a histogram by powers of two.
///
/// Bin 31 has the zeros. A positive value v lies in bin 32 + k and a negative one in bin 30 - k,
/// where k = floor(log2 |v|) + 24, held within 0..30: from 2^-24 or less to 2^6 or more. Bin 63
/// stays empty. Of a tensor with more than kLook elements, blocks are looked at that are evenly
/// spread, about kLook elements in all: a sketch costs the same whatever the size.
struct Sketch {
  static constexpr int64_t kLook = 1 << 14;

  int64_t n = 0;  // elements looked at
  int64_t zeros = 0;
  int64_t bad = 0;  // NaN and infinite ones, which are in no other number here
  double sum = 0, squares = 0;
  double min = INFINITY, max = -INFINITY;
  std::array<int64_t, 64> hist{};

  /// Errors: i64.
  void add(const Tensor& x, int64_t look = kLook);

  double mean() const;
  double std() const;
  double rms() const;
  /// {"n":..,"mean":..,"std":..,"min":..,"max":..,"zeros": share,"bad":..,"hist":[..]}; numbers
  /// that are not finite are the strings "nan", "inf" and "-inf".
  std::string json() const;
};

/// How often each unit (the last axis) was above 0, of all elements.
struct Firing {
  std::vector<int64_t> fired;  // by unit
  int64_t seen = 0;            // values that each unit had

  /// Errors: i64; another number of units than before.
  void add(const Tensor& y);
  /// The sum of both. Errors: another number of units.
  void add(const Firing& other);
};

}  // namespace ramp
