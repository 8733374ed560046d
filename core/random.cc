// Compiled with -ffp-contract=off: every operation rounds as written, on every machine.
#include "ramp/core/random.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "ramp/core/parallel.h"

namespace ramp {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "f64 operations must round to f64");

constexpr int kBlocks = 32;  // Philox blocks at a time; each gives two elements
constexpr int64_t kGrain = 256 * 2 * kBlocks;

struct Blocks {
  uint64_t a[kBlocks], b[kBlocks];
};

// The random bits of blocks first, first + 1, ...: a for even elements, b for odd ones.
void fill(Blocks& bits, uint64_t seed, uint64_t draw, uint64_t first) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  for (uint64_t j = 0; j < kBlocks; ++j) {
    const uint64_t i = first + j;
    const auto r =
        philox({low(i), low(i >> 32), low(draw), low(draw >> 32)}, {low(seed), low(seed >> 32)});
    bits.a[j] = r[0] | static_cast<uint64_t>(r[1]) << 32;
    bits.b[j] = r[2] | static_cast<uint64_t>(r[3]) << 32;
  }
}

// In [1, 2), from the upper 52 bits.
double one_to_two(uint64_t bits) { return std::bit_cast<double>(0x3FF0000000000000 | bits >> 12); }

// In 0..n-1: the upper half of the product, even to n / 2^64.
uint64_t below(uint64_t n, uint64_t bits) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{bits} * n >> 64);
}

// The coefficients start with that of the highest power.
double polynomial(double z, double p, auto... c) { return ((p = p * z + c), ...); }

// log(x) for 2^-52 <= x <= 1. x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s) with
// s = (m - 1) / (m + 1). Coefficients: fdlibm, e_log.c.
double log(double x) {
  constexpr uint64_t kOne = 0x3FF0000000000000, kSqrtHalf = 0x3FE6A09E667F3BCD;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const uint64_t biased = (bits + (kOne - kSqrtHalf)) >> 52;  // e + 1023
  const double m = std::bit_cast<double>(bits - ((biased - 1023) << 52));
  const double e = std::bit_cast<double>(0x4330000000000000 | biased) - (0x1p52 + 1023);
  const double s = (m - 1) / (m + 1), z = s * s;
  const double p =
      polynomial(z, 1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
                 2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
                 6.666666666666735130e-01);
  return e * 0.693147180559945309417 + (2 * s + s * (z * p));
}

// sin and cos of 2 pi u for 0 <= u < 1. 4u = q + t with |t| <= 1/2, exactly; the polynomials are
// good on |pi t / 2| <= pi / 4. Coefficients: fdlibm, k_sin.c and k_cos.c.
std::pair<double, double> sin_cos_turn(double u) {
  const double shifted = 4 * u + 0x1.8p52;  // rounds to an integer, in the low bits
  const uint64_t q = std::bit_cast<uint64_t>(shifted);
  const double t = 4 * u - (shifted - 0x1.8p52);
  const double x = t * 1.57079632679489661923, z = x * x;
  const double p = polynomial(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08,
                              2.75573137070700676789e-06, -1.98412698298579493134e-04,
                              8.33333333332248946124e-03, -1.66666666666666324348e-01);
  const double r = polynomial(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09,
                              -2.75573143513906633035e-07, 2.48015872894767294178e-05,
                              -1.38888888888741095749e-03, 4.16666666666666019037e-02);
  const double s = x + x * (z * p), c = 1 - z / 2 + z * z * r;
  // A quarter turn: (s, c) -> (c, -s). The sign bits are those of q's second bit.
  const uint64_t swap = 0 - (q & 1);
  const uint64_t s_bits = std::bit_cast<uint64_t>(s), c_bits = std::bit_cast<uint64_t>(c);
  const uint64_t change = (s_bits ^ c_bits) & swap;
  return {std::bit_cast<double>((s_bits ^ change) ^ (q & 2) << 62),
          std::bit_cast<double>((c_bits ^ change) ^ ((q + 1) & 2) << 62)};
}

// y_2j, y_2j+1 = pair(a_j, b_j), with the random bits of block j; f32 is the rounded f64.
template <typename T>
void fill_pairs(Tensor& y, uint64_t seed, uint64_t draw, auto pair) {
  T* out = y.mutable_data<T>();
  parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end) {
    Blocks bits;
    T block[2 * kBlocks];
    for (int64_t i = begin; i < end; i += 2 * kBlocks) {
      fill(bits, seed, draw, static_cast<uint64_t>(i) / 2);
      for (int j = 0; j < kBlocks; ++j) {
        const auto [first, second] = pair(bits.a[j], bits.b[j]);
        block[2 * j] = static_cast<T>(first);
        block[2 * j + 1] = static_cast<T>(second);
      }
      std::copy_n(block, std::min<int64_t>(2 * kBlocks, end - i), out + i);
    }
  });
}

// y_2j, y_2j+1 = f(a_j), f(b_j)
template <typename T>
void fill_each(Tensor& y, uint64_t seed, uint64_t draw, auto f) {
  fill_pairs<T>(y, seed, draw, [&](uint64_t a, uint64_t b) { return std::pair(f(a), f(b)); });
}

}  // namespace

Tensor Rng::uniform(const Shape& shape, double lo, double hi, DType dtype) {
  fail_if(!(lo <= hi) || !std::isfinite(hi - lo),
          "uniform: expected finite bounds lo <= hi; got lo {} and hi {}.", lo, hi);
  Tensor y = Tensor::empty(shape, dtype);
  visit_float("uniform", dtype, [&]<typename T>(T) {
    // Rounding must not leave [lo, hi): the first and the last T in it.
    constexpr T kInf = std::numeric_limits<T>::infinity();
    T least = static_cast<T>(lo), most = static_cast<T>(hi);
    if (least < lo) least = std::nextafter(least, kInf);
    if (most >= hi) most = std::nextafter(most, -kInf);
    fill_each<T>(y, seed_, draw_++, [=](uint64_t bits) {
      const T v = static_cast<T>(lo + (hi - lo) * (one_to_two(bits) - 1));
      const T below = v < most ? v : most;
      return below > least ? below : least;
    });
  });
  return y;
}

Tensor Rng::normal(const Shape& shape, double mean, double std, DType dtype) {
  fail_if(!(std >= 0) || !std::isfinite(std) || !std::isfinite(mean),
          "normal: expected a finite mean and std >= 0; got mean {} and std {}.", mean, std);
  Tensor y = Tensor::empty(shape, dtype);
  visit_float("normal", dtype, [&]<typename T>(T) {
    fill_pairs<T>(y, seed_, draw_++, [=](uint64_t a, uint64_t b) {
      const double r = std::sqrt(-2 * log(2 - one_to_two(a)));
      const auto [sine, cosine] = sin_cos_turn(one_to_two(b) - 1);
      return std::pair(mean + std * (r * cosine), mean + std * (r * sine));
    });
  });
  return y;
}

Tensor Rng::randint(const Shape& shape, int64_t lo, int64_t hi) {
  if (lo >= hi) fail("randint: expected lo < hi; got lo {} and hi {}.", lo, hi);
  Tensor y = Tensor::empty(shape, i64);
  const uint64_t first = static_cast<uint64_t>(lo), n = static_cast<uint64_t>(hi) - first;
  fill_each<int64_t>(y, seed_, draw_++, [=](uint64_t bits) { return first + below(n, bits); });
  return y;
}

Tensor Rng::bernoulli(const Shape& shape, double p, DType dtype) {
  if (!(p >= 0 && p <= 1)) fail("bernoulli: expected a probability p in [0, 1]; got {}.", p);
  Tensor y = Tensor::empty(shape, dtype);
  visit_dtype(dtype, [&]<typename T>(T) {
    fill_each<T>(y, seed_, draw_++, [=](uint64_t bits) { return one_to_two(bits) - 1 < p; });
  });
  return y;
}

Tensor Rng::choice(int64_t n, int64_t k) {
  if (k < 0 || k > n) fail("choice: expected 0 <= k <= n; got n {} and k {}.", n, k);
  return permutation(n).rows(0, k).clone();  // without the memory of the others
}

Tensor Rng::choice(const Tensor& weights, const Shape& shape) {
  check_defined("choice", "weights", weights);
  if (weights.rank() != 1) fail("choice: weights must be [classes]; got {}.", weights.shape());
  std::vector<double> up_to = weights.values();
  const bool negative = std::ranges::any_of(up_to, [](double w) { return w < 0; });
  std::partial_sum(up_to.begin(), up_to.end(), up_to.begin());
  const double total = up_to.empty() ? 0 : up_to.back();
  if (negative || !(total > 0) || !std::isfinite(total)) {
    fail("choice: expected weights of at least 0 with a finite sum above 0; got [{}].",
         fmt::join(weights.values(), ", "));
  }
  Tensor y = Tensor::empty(shape, i64);
  fill_each<int64_t>(y, seed_, draw_++, [&](uint64_t bits) {
    const double at = (one_to_two(bits) - 1) * total;
    return std::upper_bound(up_to.begin(), up_to.end(), at) - up_to.begin();
  });
  return y;
}

Tensor Rng::permutation(int64_t n) {
  if (n < 0) fail("permutation: expected a length n >= 0; got {}.", n);
  Tensor y = Tensor::arange(n);
  int64_t* p = y.mutable_data<int64_t>();
  Tensor random = Tensor::empty({n}, i64);
  fill_each<int64_t>(random, seed_, draw_++, [](uint64_t bits) { return bits; });
  const int64_t* bits = random.data<int64_t>();
  // Fisher, Yates: place i takes one of places 0..i.
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(p[i], p[below(static_cast<uint64_t>(i + 1), static_cast<uint64_t>(bits[n - 1 - i]))]);
  return y;
}

uint64_t Rng::next() {
  Blocks bits;
  fill(bits, seed_, draw_++, 0);
  return bits.a[0];
}

}  // namespace ramp
