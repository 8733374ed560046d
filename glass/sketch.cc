#include "ramp/glass/sketch.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <utility>

#include "ramp/glass/glass_file.h"
#include "ramp/train/blocks.h"

namespace ramp {
namespace {

template <typename T>
struct Float {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  static constexpr int kMantissa = sizeof(T) == 4 ? 23 : 52, kBias = sizeof(T) == 4 ? 127 : 1023;
  static constexpr size_t kTops = size_t{4} * static_cast<size_t>(kBias + 1);  // sign and exponent
};

// One block. `tops` counts signs and exponents, in four parts, so that equal ones in a row do not
// wait for each other; zeros are also counted by their sign.
template <typename T>
void add_block(const T* v, int64_t n, Sketch& s, std::vector<int32_t>& tops, int64_t (&zeros)[2]) {
  using Bits = typename Float<T>::Bits;
  constexpr Bits kSize = ~Bits{0} >> 1, kInf = Bits{2 * Float<T>::kBias + 1} << Float<T>::kMantissa;
  for (int64_t i = 0; i < n; ++i)
    ++tops[static_cast<size_t>(i & 3) * Float<T>::kTops +
           static_cast<size_t>(std::bit_cast<Bits>(v[i]) >> Float<T>::kMantissa)];
  Bits bad = 0, plus = 0, minus = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Bits bits = std::bit_cast<Bits>(v[i]);
    bad += (bits & kSize) >= kInf;
    plus += bits == 0;
    minus += bits == kSize + 1;
  }
  zeros[0] += static_cast<int64_t>(plus);
  zeros[1] += static_cast<int64_t>(minus);
  // Side by side, as vectors; what is not finite counts as 0.
  constexpr int64_t kLanes = 16 / sizeof(T) * 2;
  double sum[kLanes] = {}, squares[kLanes] = {};
  T low[kLanes], high[kLanes];
  std::ranges::fill(low, std::numeric_limits<T>::infinity());
  std::ranges::fill(high, -std::numeric_limits<T>::infinity());
  const auto add = [&](const T* from, int64_t lanes) {
    for (int64_t k = 0; k < lanes; ++k) {
      const double a = from[k];
      sum[k] += a;
      squares[k] += a * a;
      low[k] = std::min(low[k], from[k]);
      high[k] = std::max(high[k], from[k]);
    }
  };
  if (bad == 0) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) add(v + i, kLanes);
    add(v + i, n - i);
  } else {
    for (int64_t i = 0; i < n; ++i)
      if ((std::bit_cast<Bits>(v[i]) & kSize) < kInf) add(v + i, 1);
  }
  s.n += n;
  s.bad += static_cast<int64_t>(bad);
  for (int64_t k = 0; k < kLanes; ++k) {
    s.sum += sum[k];
    s.squares += squares[k];
    s.min = std::min<double>(s.min, low[k]);
    s.max = std::max<double>(s.max, high[k]);
  }
}

}  // namespace

void Sketch::add(const Tensor& x, int64_t look) {
  check_float("Sketch", x);
  visit_float("Sketch", x.dtype(), [&]<typename T>(T) {
    using F = Float<T>;
    const T* v = x.data<T>();
    std::vector<int32_t> tops(4 * F::kTops);
    int64_t none[2] = {};
    for_each_block(x.numel(), 1, look,
                   [&](int64_t i, int64_t end) { add_block(v + i, end - i, *this, tops, none); });
    for (size_t top = 0; top < F::kTops; ++top) {
      const int64_t n =
          tops[top] + tops[F::kTops + top] + tops[2 * F::kTops + top] + tops[3 * F::kTops + top];
      const bool minus = top >= F::kTops / 2;
      const int exponent = static_cast<int>(top % (F::kTops / 2));
      if (n == 0 || exponent == 2 * F::kBias + 1) continue;  // none, or not finite
      const auto k = static_cast<size_t>(std::clamp(exponent - F::kBias + 24, 0, 30));
      hist[minus ? 30 - k : 32 + k] += n - (exponent == 0 ? none[minus] : 0);
    }
    hist[31] += none[0] + none[1];
  });
  zeros = hist[31];
}

double Sketch::mean() const { return n > bad ? sum / static_cast<double>(n - bad) : 0; }
double Sketch::rms() const {
  return n > bad ? std::sqrt(squares / static_cast<double>(n - bad)) : 0;
}
double Sketch::std() const {
  return n > bad ? std::sqrt(std::max(0., squares / static_cast<double>(n - bad) - mean() * mean()))
                 : 0;
}

std::string Sketch::json() const {
  std::string text = fmt::format(
      R"({{"n":{},"mean":{},"std":{},"min":{},"max":{},"zeros":{},"bad":{},"hist":[)", n,
      glass_number(mean()), glass_number(std()), glass_number(n > bad ? min : 0),
      glass_number(n > bad ? max : 0),
      glass_number(static_cast<double>(zeros) / static_cast<double>(std::max<int64_t>(n, 1))), bad);
  for (size_t i = 0; i < hist.size(); ++i) {
    if (i > 0) text += ',';
    text += std::to_string(hist[i]);
  }
  return text + "]}";
}

void Firing::add(const Tensor& y) {
  check_float("Firing", y, "y");
  const int64_t units = y.rank() > 0 ? y.dim(-1) : 1;
  if (seen == 0) fired.assign(static_cast<size_t>(units), 0);
  fail_if(static_cast<int64_t>(fired.size()) != units, "Firing: expected {} units; got {} in y {}.",
          fired.size(), units, y.shape());
  if (y.numel() == 0) return;
  const int64_t rows = y.numel() / units;
  visit_float("Firing", y.dtype(), [&]<typename T>(T) {
    // Rows of narrow tensors side by side, so that the inner loop is long enough to be vectors.
    const int64_t wide = std::clamp<int64_t>(256 / units, 1, rows);
    std::vector<int32_t> counts(static_cast<size_t>(units * wide));
    const T* v = y.data<T>();
    const auto flush = [&] {
      for (size_t i = 0; i < counts.size(); ++i)
        fired[i % static_cast<size_t>(units)] += std::exchange(counts[i], 0);
    };
    int64_t row = 0;
    for (int64_t blocks = 0; row + wide <= rows; row += wide) {
      int32_t* c = counts.data();
      const T* from = v + row * units;
      for (int64_t j = 0, n = units * wide; j < n; ++j) c[j] += from[j] > 0;
      if (++blocks == 1 << 30) flush(), blocks = 0;
    }
    for (; row < rows; ++row)
      for (int64_t j = 0; j < units; ++j) counts[static_cast<size_t>(j)] += v[row * units + j] > 0;
    flush();
  });
  seen += rows;
}

void Firing::add(const Firing& other) {
  if (other.seen == 0) return;
  if (seen == 0) fired.assign(other.fired.size(), 0);
  fail_if(fired.size() != other.fired.size(), "Firing: expected {} units; got {}.", fired.size(),
          other.fired.size());
  for (size_t i = 0; i < fired.size(); ++i) fired[i] += other.fired[i];
  seen += other.seen;
}

}  // namespace ramp
