#include "ramp/core/gemm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <random>
#include <vector>

#include "ramp/core/kernels/kernels.h"
#include "ramp/glass/environment.h"

using namespace ramp;

namespace {

struct Size {
  int64_t m, n, k;
};

template <typename T>
std::vector<T> random(int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<T> x(static_cast<size_t>(n));
  for (T& v : x) v = static_cast<T>(uniform(bits));
  return x;
}

// The product by definition in double, and for each element sum |a b|, which its error scales with.
template <typename T>
struct Reference {
  std::vector<double> c, scale;

  Reference(Trans trans, Size s, const std::vector<T>& a, const std::vector<T>& b)
      : c(static_cast<size_t>(s.m * s.n)), scale(c.size()) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t p = 0; p < s.k; ++p) {
        const double x = a[transposes_a(trans) ? p * s.m + i : i * s.k + p];
        for (int64_t j = 0; j < s.n; ++j) {
          const double xy = x * b[transposes_b(trans) ? j * s.k + p : p * s.n + j];
          c[i * s.n + j] += xy;
          scale[i * s.n + j] += std::fabs(xy);
        }
      }
    }
  }
};

// |error| <= sqrt(k) u sum |a b| with some room: far below k u sum |a b|, the bound that always
// holds, and far above what rounding does to random numbers.
template <typename T>
double bound(int64_t k, double scale) {
  return 2 * std::sqrt(static_cast<double>(k) + 8) * std::numeric_limits<T>::epsilon() * scale;
}

template <typename T>
void check_product(Trans trans, Size s, bool accumulate) {
  // The exact sizes, so that AddressSanitizer sees a read or write past an end.
  const std::vector<T> a = random<T>(s.m * s.k, 1), b = random<T>(s.k * s.n, 2);
  const std::vector<T> start = random<T>(s.m * s.n, 3);
  std::vector<T> c = start;
  if (!accumulate) std::fill(c.begin(), c.end(), std::numeric_limits<T>::quiet_NaN());
  std::vector<std::atomic<int>> seen(c.size());
  std::atomic<int> outside{0};
  std::vector<T> at_epilogue(c.size());
  const auto f = [&](int64_t row, int64_t rows, int64_t col, int64_t cols) {
    if (row < 0 || rows < 1 || row + rows > s.m || col < 0 || cols < 1 || col + cols > s.n) {
      ++outside;
      return;
    }
    for (int64_t i = row; i < row + rows; ++i) {
      for (int64_t j = col; j < col + cols; ++j) {
        ++seen[i * s.n + j];
        at_epilogue[i * s.n + j] = c[i * s.n + j];
      }
    }
  };
  const Epilogue epilogue = f;
  gemm(trans, s.m, s.n, s.k, a.data(), b.data(), c.data(), accumulate, &epilogue);

  const Reference<T> expected(trans, s, a, b);
  int wrong = 0, not_once = 0, not_final = 0;
  double worst = 0;
  for (size_t i = 0; i < c.size(); ++i) {
    const double y = expected.c[i] + (accumulate ? start[i] : 0);
    const double error = std::fabs(c[i] - y);
    const double limit = bound<T>(s.k, expected.scale[i] + (accumulate ? std::fabs(start[i]) : 0));
    if (!(error <= limit)) ++wrong;
    worst = std::max(worst, error);
    not_once += seen[i] != 1;
    not_final += at_epilogue[i] != c[i];
  }
  INFO("m " << s.m << ", n " << s.n << ", k " << s.k << ", trans " << static_cast<int>(trans)
            << ", accumulate " << accumulate << ", bytes " << sizeof(T) << ", worst error "
            << worst);
  CHECK(wrong == 0);
  CHECK(outside == 0);
  CHECK(not_once == 0);
  CHECK(not_final == 0);

  // Without an epilogue: the same bits.
  std::vector<T> plain = start;
  gemm(trans, s.m, s.n, s.k, a.data(), b.data(), plain.data(), accumulate);
  CHECK(plain == c);
}

template <typename T>
void check_all(Size s) {
  for (const Trans trans : {Trans::none, Trans::a, Trans::b, Trans::both}) {
    for (const bool accumulate : {false, true}) check_product<T>(trans, s, accumulate);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("all transpositions, with tails of rows, columns and depth", T, float, double) {
  for (const int64_t m : {1, 2, 5, 6, 7, 13, 25, 97}) {
    for (const int64_t n : {1, 2, 3, 7, 8, 10, 15, 16, 17, 31, 33, 64, 65}) {
      for (const int64_t k : {1, 3, 8, 31}) check_all<T>({m, n, k});
    }
  }
}

TEST_CASE_TEMPLATE("depths beyond one cut, more tiles than one", T, float, double) {
  for (const Size& s :
       {Size{3, 5, 255}, Size{3, 5, 256}, Size{3, 5, 257}, Size{14, 20, 700}, Size{200, 300, 40},
        Size{64, 128, 784}, Size{300, 10, 128}, Size{10, 300, 128}, Size{193, 259, 61}}) {
    check_all<T>(s);
  }
}

TEST_CASE_TEMPLATE("strides that are bad for the cache", T, float, double) {
  for (const int64_t n : {512, 1024, 2048}) {
    check_all<T>({20, n, 40});
    check_all<T>({n, 20, 40});
    check_all<T>({20, 24, n});
  }
}

TEST_CASE_TEMPLATE("matrices with a side of 0", T, float, double) {
  for (const Size& s : {Size{0, 5, 5}, Size{5, 0, 5}, Size{0, 0, 0}, Size{5, 7, 0}, Size{1, 1, 0},
                        Size{40, 70, 0}}) {
    check_all<T>(s);
  }
}

TEST_CASE_TEMPLATE("a dot product, a matrix times a vector, an outer product", T, float, double) {
  for (const Size& s : {Size{1, 1, 1}, Size{1, 1, 5000}, Size{1, 3000, 7}, Size{3000, 1, 7},
                        Size{1, 784, 128}, Size{500, 400, 1}}) {
    check_all<T>(s);
  }
}

TEST_CASE_TEMPLATE("equal bits for 1, 2 and 3 threads", T, float, double) {
  const int before = num_threads();
  for (const Size& s : {Size{64, 128, 784}, Size{300, 300, 300}, Size{128, 512, 784},
                        Size{1000, 10, 64}, Size{7, 1000, 50}}) {
    for (const Trans trans : {Trans::none, Trans::a, Trans::b, Trans::both}) {
      const std::vector<T> a = random<T>(s.m * s.k, 4), b = random<T>(s.k * s.n, 5);
      std::vector<T> first;
      for (const int threads : {1, 2, 3}) {
        set_num_threads(threads);
        std::vector<T> c(static_cast<size_t>(s.m * s.n));
        gemm(trans, s.m, s.n, s.k, a.data(), b.data(), c.data());
        if (threads == 1) first = c;
        CHECK(c == first);
      }
    }
  }
  set_num_threads(before);
}

TEST_CASE_TEMPLATE("NaN and inf go where they belong, and nowhere else", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  for (const Size& s : {Size{9, 21, 33}, Size{100, 70, 300}}) {
    std::vector<T> a = random<T>(s.m * s.k, 6), b = random<T>(s.k * s.n, 7);
    std::vector<T> c(static_cast<size_t>(s.m * s.n));
    a[2 * s.k + 5] = nan;                // row 2
    b[(s.k - 1) * s.n + s.n - 1] = inf;  // the last column, last in depth
    gemm(Trans::none, s.m, s.n, s.k, a.data(), b.data(), c.data());
    int wrong = 0;
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        const T v = c[i * s.n + j];
        const bool expected = i == 2         ? std::isnan(v)
                              : j == s.n - 1 ? std::isinf(v)
                                             : std::isfinite(v);
        wrong += !expected;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("OpenBLAS has matmul, ramp's kernel the layers, RAMP_GEMM one of them all") {
  const char* way = std::getenv("RAMP_GEMM");
  const std::string said = way ? way : "auto";
  const bool base = std::string(isa_level()) == "base", matmul = said != "own",
             layer = said == "blas" || (said == "auto" && base);
  CHECK(gemm_uses_blas(GemmFor::matmul) == matmul);
  CHECK(gemm_uses_blas(GemmFor::layer) == layer);
  const std::string line = environment();
  CHECK((line.find(", OpenBLAS ") != std::string::npos) == matmul);
  CHECK((line.find(" for matmul") != std::string::npos) == (matmul && !layer));
}

TEST_CASE("small integers are exact") {
  const int64_t m = 37, n = 53, k = 129;
  std::vector<float> a(m * k), b(k * n), c(m * n);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(static_cast<int>(i % 9) - 4);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(static_cast<int>(i % 11) - 5);
  gemm(Trans::none, m, n, k, a.data(), b.data(), c.data());
  int wrong = 0;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
      wrong += c[i * n + j] != sum;
    }
  }
  CHECK(wrong == 0);
}
