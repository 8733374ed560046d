// Seeded random numbers that depend on the seed alone: the same on every platform, compiler,
// optimisation level and thread count.
#pragma once

#include <array>
#include <cstdint>

#include "ramp/core/tensor.h"

namespace ramp {

/// Philox4x32-10: 128 random bits that are a pure function of a counter and a key.
/// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter,
                                         std::array<uint32_t, 2> key) {
  // 64-bit words that hold 32 bits each: so several counters at once fit a vector.
  uint64_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (uint32_t round = 0; round < 10; ++round) {
    const uint64_t p = 0xD2511F53u * c0, q = 0xCD9E8D57u * c2;
    c0 = (q >> 32) ^ c1 ^ (key[0] + round * 0x9E3779B9u);
    c2 = (p >> 32) ^ c3 ^ (key[1] + round * 0xBB67AE85u);
    c1 = q & 0xFFFFFFFF;
    c3 = p & 0xFFFFFFFF;
  }
  return {static_cast<uint32_t>(c0), static_cast<uint32_t>(c1), static_cast<uint32_t>(c2),
          static_cast<uint32_t>(c3)};
}

/// A sequence of draws. Element i of a draw depends on the seed, the number of the draw and i only.
class Rng {
 public:
  /// `draw` is the number of the first draw: Rng(seed, rng.draw()) goes on where rng stands.
  explicit Rng(uint64_t seed, uint64_t draw = 0) : seed_(seed), draw_(draw) {}

  /// y_i ~ U[lo, hi), f32 or f64; hi itself is never drawn (lo == hi gives lo).
  /// Errors: lo > hi, or either is not finite; i64.
  Tensor uniform(const Shape& shape, double lo = 0, double hi = 1, DType dtype = f32);
  /// y_i ~ N(mean, std^2), f32 or f64. Errors: std < 0, or either is not finite; i64.
  /// Box, Muller, "A note on the generation of random normal deviates" (1958).
  Tensor normal(const Shape& shape, double mean = 0, double std = 1, DType dtype = f32);
  /// y_i = one of lo, lo + 1, .. hi - 1, each as likely as the others (to 2^-64 of their number);
  /// i64. Errors: lo >= hi.
  Tensor randint(const Shape& shape, int64_t lo, int64_t hi);
  /// y_i = 1 with probability p, else 0; any dtype. Errors: p outside [0, 1].
  Tensor bernoulli(const Shape& shape, double p, DType dtype = f32);
  /// k different ones of the numbers 0..n-1 in random order, i64 [k]. Errors: k outside 0..n.
  Tensor choice(int64_t n, int64_t k);
  /// y_i = c with probability weights[c] / sum(weights), each drawn by itself; weights [classes],
  /// f32 or f64; y i64. Errors: a weight that is negative or not finite; none above 0.
  Tensor choice(const Tensor& weights, const Shape& shape);
  /// The numbers 0..n-1 in random order, i64 [n]. Errors: n < 0.
  Tensor permutation(int64_t n);
  /// 64 random bits.
  uint64_t next();
  /// A generator of its own, independent of what this one draws from here on.
  Rng split() { return Rng(next()); }

  uint64_t seed() const { return seed_; }
  uint64_t draw() const { return draw_; }

 private:
  uint64_t seed_, draw_;
};

}  // namespace ramp
