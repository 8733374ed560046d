#include "ramp/glass/sketch.h"

#include <algorithm>
#include <bit>
#include <type_traits>
#include <utility>

#include "ramp/glass/glass_file.h"
#include "ramp/train/blocks.h"

namespace ramp {
namespace {

// One block; four histograms, so that equal bins in a row do not wait for each other.
template <typename T>
void add_block(const T* v, int64_t n, Sketch& s, std::array<std::array<int32_t, 64>, 4>& hist) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr int kMantissa = sizeof(T) == 4 ? 23 : 52, kBias = sizeof(T) == 4 ? 127 : 1023;
  double sum = 0, squares = 0, low = s.min, high = s.max;
  for (int64_t i = 0; i < n; ++i) {
    const Bits bits = std::bit_cast<Bits>(v[i]), size = bits & (~Bits{0} >> 1);
    const int exponent = static_cast<int>(size >> kMantissa);
    if (exponent == 2 * kBias + 1) {
      ++s.bad;
      continue;
    }
    const double a = v[i];
    sum += a;
    squares += a * a;
    low = std::min(low, a);
    high = std::max(high, a);
    const int k = std::clamp(exponent - kBias + 24, 0, 30);
    const int bin = size == 0 ? 31 : size == bits ? 32 + k : 30 - k;
    ++hist[static_cast<size_t>(i & 3)][static_cast<size_t>(bin)];
  }
  s.n += n;
  s.sum += sum;
  s.squares += squares;
  s.min = low;
  s.max = high;
}

}  // namespace

void Sketch::add(const Tensor& x, int64_t look) {
  check_float("Sketch", x);
  std::array<std::array<int32_t, 64>, 4> counts{};
  visit_float("Sketch", x.dtype(), [&]<typename T>(T) {
    const T* v = x.data<T>();
    for_each_block(x.numel(), 1, look,
                   [&](int64_t i, int64_t end) { add_block(v + i, end - i, *this, counts); });
  });
  for (size_t i = 0; i < hist.size(); ++i)
    hist[i] += counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
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
