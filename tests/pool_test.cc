#include <cmath>
#include <limits>

#include "fixture.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/random.h"

using namespace ramp;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Few different values, so that windows hold ties; with NaN and both infinities among them.
template <typename T>
std::vector<T> coarse(int64_t n, uint64_t seed, bool special) {
  Rng rng(seed);
  std::vector<T> x;
  for (const double v : rng.normal({n}, 0, 2, f64).values()) {
    const uint64_t die = special ? rng.next() % 16 : 16;
    x.push_back(static_cast<T>(die == 0 ? kNaN : die == 1 ? kInf : die < 5 ? -kInf : std::rint(v)));
  }
  return x;
}

// Equal bit by bit, but for the bits of NaN.
template <typename T>
std::string differs(const std::vector<T>& a, const std::vector<T>& b) {
  for (size_t i = 0; i < b.size(); ++i) {
    if (!(a[i] == b[i] || (a[i] != a[i] && b[i] != b[i]))) {
      return fmt::format("at {}: {}; expected {}", i, a[i], b[i]);
    }
  }
  return a.size() == b.size() ? "" : "sizes";
}

struct Geometry {
  int64_t out, c, kh, kw, step, row;  // step in pixels; row: its stride in pixels
  int64_t in() const { return (out - 1) * step + kw; }
  int64_t size() const { return ((kh - 1) * row + in()) * c; }  // not a value more, for ASan
  int64_t at(int64_t o, int64_t i, int64_t j, int64_t k) const {
    return (i * row + o * step + j) * c + k;
  }
};

// All four row kernels against loops that say what they do.
template <typename T>
void check_rows(const Geometry& g, bool special) {
  const Kernels<T>& k = kernels<T>();
  const auto x = coarse<T>(g.size(), 1, special), dy = coarse<T>(g.out * g.c, 2, special);
  const size_t n = dy.size();
  std::vector<T> y(n), mean(n), y2(n), mean2(n);
  std::vector<uint8_t> at(n), at2(n);
  // Where nothing is to be written, this stays.
  std::vector<T> max_dx(x.size(), 7), avg_dx = max_dx, max_sum = max_dx, avg_sum = max_dx;
  const T divisor = 3;
  for (int64_t o = 0; o < g.out; ++o) {
    for (int64_t c = 0; c < g.c; ++c) {
      const size_t p = static_cast<size_t>(o * g.c + c);
      y[p] = x[static_cast<size_t>(g.at(o, 0, 0, c))];
      T total = 0;
      for (int64_t i = 0; i < g.kh; ++i) {
        T row = 0;
        for (int64_t j = 0; j < g.kw; ++j) {
          const T v = x[static_cast<size_t>(g.at(o, i, j, c))];
          row += v;
          if (v > y[p] || (std::isnan(v) && !std::isnan(y[p]))) {
            y[p] = v;
            at[p] = static_cast<uint8_t>(i * g.kw + j);
          }
        }
        total += row;
      }
      mean[p] = total / divisor;
      for (int64_t i = 0; i < g.kh; ++i) {
        for (int64_t j = 0; j < g.kw; ++j) {
          const size_t q = static_cast<size_t>(g.at(o, i, j, c));
          const T one = at[p] == i * g.kw + j ? dy[p] : 0;
          max_dx[q] = one;
          max_sum[q] += one;
          avg_dx[q] = dy[p] / divisor;
          avg_sum[q] += dy[p] / divisor;
        }
      }
    }
  }
  const int64_t rows = g.row * g.c, step = g.step * g.c;
  k.max_pool_row(g.out, g.c, g.kh, g.kw, x.data(), rows, step, y2.data(), at2.data());
  CHECK(differs(y2, y) == "");
  CHECK(differs(at2, at) == "");
  k.avg_pool_row(g.out, g.c, g.kh, g.kw, divisor, x.data(), rows, step, mean2.data());
  CHECK(differs(mean2, mean) == "");
  for (const bool add : {false, true}) {
    if (!add && g.step != g.kw) continue;
    std::vector<T> dx(x.size(), 7);
    k.max_unpool_row(g.out, g.c, g.kh, g.kw, dy.data(), at.data(), dx.data(), rows, step, add);
    CHECK(differs(dx, add ? max_sum : max_dx) == "");
    dx.assign(x.size(), 7);
    k.avg_unpool_row(g.out, g.c, g.kh, g.kw, divisor, dy.data(), dx.data(), rows, step, add);
    CHECK(differs(dx, add ? avg_sum : avg_dx) == "");
  }
}

}  // namespace

TEST_CASE("the row kernels are what plain loops are, to the bit") {
  for (const int64_t c : {1, 2, 3, 6, 7, 8, 10, 16, 17, 32, 33, 64}) {
    for (const int64_t out : {0, 1, 3, 14}) {
      for (const Geometry& k : std::initializer_list<Geometry>{{0, 0, 1, 1, 1, 0},
                                                               {0, 0, 2, 2, 2, 0},
                                                               {0, 0, 2, 2, 1, 0},
                                                               {0, 0, 2, 2, 3, 0},
                                                               {0, 0, 3, 3, 3, 0},
                                                               {0, 0, 3, 2, 1, 0},
                                                               {0, 0, 1, 4, 4, 0},
                                                               {0, 0, 16, 16, 5, 0}}) {
        if (out == 0 && k.kw > 2) continue;
        for (const int64_t rest : {0, 1}) {
          Geometry g{out, c, k.kh, k.kw, k.step, 0};
          g.row = std::max<int64_t>(g.in(), 0) + rest;
          INFO(out << " windows of " << g.kh << "x" << g.kw << ", step " << g.step << ", " << c
                   << " channels, rows of " << g.row);
          if (out == 0) {
            kernels<float>().max_pool_row(0, c, 2, 2, nullptr, 0, 0, nullptr, nullptr);
            continue;
          }
          for (const bool special : {false, true}) {
            check_rows<float>(g, special);
            check_rows<double>(g, special);
          }
        }
      }
    }
  }
}
