#include "ramp/layers/pool.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/memory.h"
#include "ramp/core/random.h"
#include "ramp/core/taps.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/sequential.h"
#include "threads.h"

using namespace ramp;

using Values = std::vector<double>;

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

// One axis of windows: `out` of k pixels, `apart` from each other, over n.
struct AxisOfWindows {
  int64_t n, out, k, step, pad, apart = 1;
  // The pixel j of window o, or -1.
  int64_t pixel(int64_t o, int64_t j) const {
    const int64_t p = o * step - pad + j * apart;
    return p < n ? std::max<int64_t>(p, -1) : -1;
  }
  template <typename T>
  TapTable<T> taps(int64_t step_of_places) const {
    return window_taps<T>(n, out, step_of_places, [this](int64_t i) {
      return Window{i * step - pad, k, apart};
    });
  }
};

// The row kernels against loops that say what they do; not a value more than these, for ASan.
template <typename T>
void check_rows(const AxisOfWindows& h, const AxisOfWindows& w, int64_t c, bool special) {
  const Kernels<T>& k = kernels<T>();
  auto x = coarse<T>(h.n * w.n * c, 1, special), dy = coarse<T>(h.out * w.out * c, 2, special);
  const size_t n = dy.size();
  const auto rows = h.taps<Place<T>>(w.k), cols = w.taps<Place<T>>(1);
  std::vector<T> y(n, static_cast<T>(-kInf)), y2(n), dx(x.size()), dx2(x.size(), 7), picked(n);
  std::vector<Place<T>> at(n, -1), at2(n);
  for (int64_t r = 0; r < h.out; ++r) {
    for (int64_t o = 0; o < w.out; ++o) {
      for (int64_t l = 0; l < c; ++l) {
        const size_t p = static_cast<size_t>((r * w.out + o) * c + l);
        size_t best = 0;
        for (int64_t i = 0; i < h.k; ++i) {
          for (int64_t j = 0; j < w.k; ++j) {
            if (h.pixel(r, i) < 0 || w.pixel(o, j) < 0) continue;
            const size_t q = static_cast<size_t>((h.pixel(r, i) * w.n + w.pixel(o, j)) * c + l);
            if (at[p] < 0 || x[q] > y[p] || (std::isnan(x[q]) && !std::isnan(y[p]))) {
              y[p] = x[best = q];
              at[p] = static_cast<Place<T>>(i * w.k + j);
            }
          }
        }
        if (at[p] < 0) continue;  // beside all pixels
        dx[best] += dy[p];
        picked[p] = x[best];
      }
    }
  }
  const int64_t in_row = w.n * c, out_row = w.out * c;
  for (int64_t r = 0; r < h.out; ++r) {
    k.max_pool(w.out, c, rows.at(r), cols.at(0), x.data(), in_row, y2.data() + r * out_row,
               at2.data() + r * out_row);
  }
  CHECK(differs(y2, y) == "");
  for (size_t p = 0; p < n; ++p)
    if (at[p] < 0) at2[p] = -1;
  CHECK(differs(at2, at) == "");
  std::fill(dx2.begin(), dx2.end(), 0);
  for (int64_t r = 0; r < h.out; ++r) {
    k.at_place[kAdd](w.out, c, rows.at(r), cols.at(0), dx2.data(), in_row, at2.data() + r * out_row,
                     dy.data() + r * out_row);
  }
  CHECK(differs(dx2, dx) == "");
  if (h.step == h.k && h.out * h.k == h.n && w.step == w.k && w.out * w.k == w.n) {
    std::fill(dx2.begin(), dx2.end(), 7);
    for (int64_t r = 0; r < h.out; ++r) {
      k.at_place[kSet](w.out, c, rows.at(r), cols.at(0), dx2.data(), in_row,
                       at2.data() + r * out_row, dy.data() + r * out_row);
    }
    CHECK(differs(dx2, dx) == "");
  }
  for (int64_t r = 0; r < h.out; ++r) {
    k.at_place[kPick](w.out, c, rows.at(r), cols.at(0), x.data(), in_row, at2.data() + r * out_row,
                      y2.data() + r * out_row);
  }
  CHECK(differs(y2, picked) == "");

  // A blend whose weights are small integers.
  std::vector<T> sum(static_cast<size_t>(out_row));
  for (int64_t o = 0; o < w.out; ++o) {
    for (int64_t j = 0; j < w.k; ++j) {
      for (int64_t l = 0; l < c && w.pixel(o, j) >= 0; ++l)
        sum.data()[o * c + l] += static_cast<T>(j) * x.data()[w.pixel(o, j) * c + l];
    }
  }
  y2.assign(sum.size(), 7);
  k.blend(w.out, c, w.taps<T>(1).at(0), x.data(), y2.data());
  CHECK(differs(y2, sum) == "");
}

}  // namespace

TEST_CASE("the row kernels are what plain loops are, to the bit") {
  for (const int64_t c : {1, 2, 3, 5, 6, 7, 8, 10, 15, 16, 17, 20, 24, 32, 33, 40, 64, 72, 100}) {
    for (const AxisOfWindows& w : std::initializer_list<AxisOfWindows>{{1, 1, 1, 1, 0},
                                                                       {28, 14, 2, 2, 0},
                                                                       {7, 3, 2, 2, 0},
                                                                       {5, 5, 3, 1, 1},
                                                                       {9, 5, 3, 2, 1},
                                                                       {11, 4, 2, 3, 0},
                                                                       {8, 3, 3, 2, 1, 2},
                                                                       {1, 1, 2, 1, 1, 2},
                                                                       {20, 2, 16, 4, 0}}) {
      const AxisOfWindows two{4, 2, 2, 2, 0}, three{3, 3, 3, 1, 1};
      for (const AxisOfWindows& h : {two, three, w}) {
        INFO(w.out << " windows of " << h.k << "x" << w.k << ", step " << w.step << ", padding "
                   << w.pad << ", " << c << " channels");
        for (const bool special : {false, true}) {
          check_rows<float>(h, w, c, special);
          check_rows<double>(h, w, c, special);
        }
      }
    }
  }
}

namespace {

Size2d pair(const Fixture& f, const std::string& a, const std::string& b) {
  return {static_cast<int64_t>(f.number(a)), static_cast<int64_t>(f.number(b))};
}

int64_t whole(const Fixture& f, const char* key) { return static_cast<int64_t>(f.number(key)); }

MaxPool2dOptions max_options(const Fixture& f) {
  return {.stride = pair(f, "sh", "sw"),
          .padding = pair(f, "ph", "pw"),
          .dilation = f.has("dh") ? pair(f, "dh", "dw") : Size2d(1),
          .ceil_mode = f.number("ceil") != 0};
}
AvgPool2dOptions avg_options(const Fixture& f) {
  return {.stride = pair(f, "sh", "sw"),
          .padding = pair(f, "ph", "pw"),
          .ceil_mode = f.has("ceil") && f.number("ceil") != 0,
          .count_include_pad = !f.has("include") || f.number("include") != 0,
          .divisor_override = f.has("divisor") ? whole(f, "divisor") : 0};
}

Tensor image(const std::vector<double>& values, int64_t h, int64_t w) {
  return Tensor::of<double>(values, {1, h, w, 1});
}

}  // namespace

TEST_CASE("pooling is PyTorch's") {
  std::map<std::string, int> cases;
  for (const Fixture& f : read_fixtures("pool")) {
    if (f.name.ends_with("nearest") || f.name.ends_with("bilinear")) continue;  // resize_test.cc
    const Tensor x = f.leaf("x"), dy = f.tensor("dy");
    INFO(f.name << " of " << x.shape().str() << " to " << dy.shape().str());
    ++cases[f.name];
    Tensor y;
    if (f.name == "max" || f.name == "dilated")
      y = max_pool2d(x, pair(f, "kh", "kw"), max_options(f));
    if (f.name == "avg" || f.name == "divisor")
      y = avg_pool2d(x, pair(f, "kh", "kw"), avg_options(f));
    if (f.name == "max1d") {
      y = max_pool1d(x, whole(f, "k"),
                     {whole(f, "s"), whole(f, "p"), whole(f, "d"), f.number("ceil") != 0});
    }
    if (f.name == "avg1d") {
      y = avg_pool1d(
          x, whole(f, "k"),
          {whole(f, "s"), whole(f, "p"), f.number("ceil") != 0, f.number("include") != 0});
    }
    if (f.name == "adaptive") y = adaptive_avg_pool2d(x, pair(f, "h", "w"));
    if (f.name == "adaptive_max") y = adaptive_max_pool2d(x, pair(f, "h", "w"));
    if (f.name == "global_avg") y = global_avg_pool(x);
    if (f.name == "global_max") y = global_max_pool(x);
    const bool is_max = f.name.find("max") != std::string::npos || f.name == "dilated";
    const double tolerance = is_max ? 0 : x.dtype() == f32 ? 3e-7 : 1e-15;
    const bool global = f.name.starts_with("global");
    check_close(y, global ? f.tensor("y").view({2, 3}) : f.tensor("y"), tolerance);
    backward(y, global ? dy.view({2, 3}) : dy);
    check_close(x.grad(), f.tensor("dx"), is_max && !global ? tolerance + 3e-7 : tolerance);
  }
  const std::map<std::string, int> expected{
      {"max", 48},    {"avg", 54},  {"adaptive", 8}, {"global_avg", 2}, {"global_max", 2},
      {"dilated", 8}, {"max1d", 6}, {"avg1d", 12},   {"divisor", 4},    {"adaptive_max", 8}};
  CHECK(cases == expected);
}

TEST_CASE("pooling: the derivatives agree with differences") {
  const int64_t before = live_nodes();
  const auto distinct = [](const Shape& shape) {
    // Different everywhere, so that no step changes which value is the largest.
    return Rng(1).permutation(shape.numel()).to(f64).view(shape);
  };
  for (const int64_t c : {1, 6, 17}) {
    const Shape shape{2, 6, 7, c};
    const auto check = [&](Size2d kernel, const MaxPool2dOptions& o) {
      INFO(kernel.str() << " of " << c << " channels");
      const auto max = [&](const auto& x) { return max_pool2d(x[0], kernel, o); };
      const auto avg = [&](const auto& x) {
        return avg_pool2d(x[0], kernel,
                          {o.stride, o.padding, o.ceil_mode, c == 6, c == 17 ? 3 : 0});
      };
      CHECK(gradcheck(max, {distinct(shape)}) == "");
      CHECK(gradcheck(avg, {Rng(2).normal(shape, 0, 1, f64)}) == "");
    };
    check(2, {});
    check(3, {});
    check({2, 3}, {.stride = 1});
    check(2, {.stride = 3});
    check(3, {.stride = 2, .padding = 1});
    check(3, {.stride = 2, .padding = 1, .dilation = 2});
    check({3, 2}, {.stride = 2, .padding = {1, 0}, .ceil_mode = true});
  }
  // Windows of more than 256 pixels.
  const auto large = [](const auto& x) { return max_pool2d(x[0], 17, {.stride = 1}); };
  CHECK(gradcheck(large, {distinct({1, 19, 18, 2})}) == "");
  const auto max_1d = [](const auto& x) {
    return max_pool1d(x[0], 3, {.stride = 1, .padding = 1, .dilation = 2});
  };
  CHECK(gradcheck(max_1d, {distinct({2, 7, 3})}) == "");
  const auto avg_1d = [](const auto& x) {
    return avg_pool1d(x[0], 3, {.stride = 2, .padding = 1});
  };
  CHECK(gradcheck(avg_1d, {distinct({2, 7, 3})}) == "");
  const auto adaptive = [](const auto& x) { return adaptive_max_pool2d(x[0], {3, 9}); };
  CHECK(gradcheck(adaptive, {distinct({2, 5, 7, 3})}) == "");
  const Tensor x = Rng(2).normal({2, 5, 7, 3}, 0, 1, f64);
  CHECK(gradcheck([](const auto& x) { return adaptive_avg_pool2d(x[0], {3, 9}); }, {x}) == "");
  CHECK(gradcheck([](const auto& x) { return global_avg_pool(x[0]); }, {x}) == "");
  CHECK(gradcheck([](const auto& x) { return global_max_pool(x[0]); }, {x}) == "");
  CHECK(live_nodes() == before);
}

TEST_CASE("max_pool2d: ties, NaN, infinities") {
  struct Case {
    Values x, y, dx;  // 2 x 4 to 1 x 2, with dy = {1, 2}
  };
  for (const Case& k : std::initializer_list<Case>{
           {{1, 1, 2, 2, 1, 1, 2, 2}, {1, 2}, {1, 0, 2, 0, 0, 0, 0, 0}},
           {{0, 3, 1, 1, 3, 3, 1, 4}, {3, 4}, {0, 1, 0, 0, 0, 0, 0, 2}},
           {{kNaN, 1, 5, kNaN, 2, kNaN, kNaN, 9}, {kNaN, kNaN}, {1, 0, 0, 2, 0, 0, 0, 0}},
           {{-kInf, -kInf, 1, kInf, -kInf, -kInf, kInf, kNaN},
            {-kInf, kNaN},
            {1, 0, 0, 0, 0, 0, 0, 2}},
           {{-kInf, -kInf, kInf, 1, -kInf, -9, kInf, kInf}, {-9, kInf}, {0, 0, 2, 0, 0, 1, 0, 0}},
           {{-0.0, 0, -1, -2, 0, -0.0, -3, -1}, {-0.0, -1}, {1, 0, 2, 0, 0, 0, 0, 0}}}) {
    for (const DType dtype : {f32, f64}) {
      const Tensor x = image(k.x, 2, 4).to(dtype).requires_grad_();
      const Tensor y = max_pool2d(x);
      check_close(y, image(k.y, 1, 2).to(dtype), 0);
      backward(y, image({1, 2}, 1, 2).to(dtype));
      check_close(x.grad(), image(k.dx, 2, 4).to(dtype), 0);
    }
  }
}

TEST_CASE("adaptive_max_pool2d and large windows: the first NaN, and ties row by row") {
  for (const bool adaptive : {false, true}) {
    const auto dx = [&](const Values& values) {
      Values all(17 * 16, -1);
      std::copy(values.begin(), values.end(), all.begin() + 20);
      const Tensor x = image(all, 17, 16).requires_grad_();
      const Tensor y = adaptive ? adaptive_max_pool2d(x, 1) : max_pool2d(x, {17, 16});
      backward(y);
      const Values g = x.grad().values();
      return std::find(g.begin(), g.end(), 1) - g.begin() - 20;
    };
    CHECK(dx({1, 2, 3, 3}) == 2);
    CHECK(dx({0, kInf, kNaN, 5, kNaN}) == 2);
    CHECK(dx({-1}) == -20);
  }
}

TEST_CASE("avg_pool2d: NaN and inf stay in their window") {
  const Tensor x = image({1, kNaN, 3, 5, 2, 3, 1, 1, 0, 0, kInf, 8}, 2, 6);
  check_close(avg_pool2d(x), image({kNaN, 2, kInf}, 1, 3), 0);
}

TEST_CASE("pooling: no images, no channels, one pixel, values no window sees") {
  const auto max = [](const Tensor& x, Size2d k, Size2d s) {
    return max_pool2d(x, k, {.stride = s});
  };
  const auto avg = [](const Tensor& x, Size2d k, Size2d s) {
    return avg_pool2d(x, k, {.stride = s});
  };
  using Pool = Tensor (*)(const Tensor&, Size2d kernel, Size2d stride);
  for (const Pool pool : {Pool(max), Pool(avg)}) {
    for (const Shape& shape : {Shape{0, 4, 6, 3}, Shape{2, 4, 6, 0}}) {
      Tensor x = Tensor::zeros(shape).requires_grad_();
      const Tensor y = pool(x, 2, 0);
      CHECK(y.shape() == Shape{shape[0], 2, 3, shape[3]});
      backward(y, y.clone());
      CHECK(x.grad().shape() == shape);
    }
    Tensor x = Tensor::full({1, 1, 1, 1}, 5).requires_grad_();
    const Tensor y = pool(x, 1, 0);
    CHECK(y.values() == Values{5});
    backward(y, Tensor::full({1, 1, 1, 1}, 3));
    CHECK(x.grad().values() == Values{3});
    // 3 x 3 with windows of 2: the last row and column are not seen. With stride 2 and windows of 1
    // neither are the odd ones.
    x = Tensor::ones({1, 3, 3, 1}).requires_grad_();
    backward(pool(x, 2, 0), Tensor::full({1, 1, 1, 1}, 4));
    CHECK(x.grad().values() == (pool == Pool(max) ? Values{4, 0, 0, 0, 0, 0, 0, 0, 0}
                                                  : Values{1, 1, 0, 1, 1, 0, 0, 0, 0}));
    x.zero_grad();
    backward(pool(x, 1, 2), image({1, 2, 3, 4}, 2, 2).to(f32));
    CHECK(x.grad().values() == Values{1, 0, 2, 0, 0, 0, 3, 0, 4});
  }
  for (const Shape& shape : {Shape{0, 4, 6, 3}, Shape{2, 4, 6, 0}}) {
    Tensor x = Tensor::zeros(shape).requires_grad_();
    const Tensor y = adaptive_max_pool2d(x, {2, 9});
    CHECK(y.shape() == Shape{shape[0], 2, 9, shape[3]});
    backward(y, y.clone());
    CHECK(x.grad().shape() == shape);
  }
  CHECK(max_pool1d(Tensor::zeros({0, 4, 3})).shape() == Shape{0, 2, 3});
  CHECK(avg_pool1d(Tensor::zeros({2, 4, 0})).shape() == Shape{2, 2, 0});
  CHECK(global_avg_pool(Tensor::ones({2, 7, 3})).shape() == Shape{2, 3});
  CHECK(global_max_pool(Tensor::arange(6, f32).view({1, 3, 2})).values() == Values{4, 5});
}

TEST_CASE("pooling: equal bits for 1 and 2 threads, every channel count") {
  for (const int64_t c : {1, 3, 6, 10, 16, 33}) {
    for (const auto& pool : std::initializer_list<std::function<Tensor(const Tensor&)>>{
             [](const Tensor& x) { return max_pool2d(x); },
             [](const Tensor& x) { return max_pool2d(x, 3); },
             [](const Tensor& x) { return max_pool2d(x, 3, {.stride = 2, .padding = 1}); },
             [](const Tensor& x) { return max_pool2d(x, 17, {.stride = 2}); },
             [](const Tensor& x) { return avg_pool2d(x, 3, {.stride = 2, .padding = 1}); },
             [](const Tensor& x) {
               return adaptive_max_pool2d(x, {3, 7});
             }}) {
      check_equal_bits([&] {
        const Tensor x = Rng(1).normal({5, 40, 30, c}).requires_grad_();
        const Tensor y = pool(x);
        backward(y, Rng(2).normal(y.shape()));
        return std::vector{y, x.grad()};
      });
    }
  }
}

TEST_CASE("pooling: a step takes nothing from the system after the first") {
  const auto step = [] {
    const Tensor x = Rng(1).normal({8, 28, 28, 6}).requires_grad_();
    const Tensor y = max_pool2d(x), z = avg_pool2d(y);
    backward(z, Tensor::ones(z.shape()));
  };
  step();
  const int64_t taken = memory_stats().system_allocations;
  step();
  CHECK(memory_stats().system_allocations == taken);
}

TEST_CASE("pooling: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 4, 4, 3});
  const auto max_of = [](const Tensor& x, const MaxPool2dOptions& o = {}) {
    return message([&] { max_pool2d(x, 2, o); });
  };
  CHECK(max_of({}) ==
        "max_pool2d: x is undefined (moved from, or never set). Hint: give it a value first.");
  CHECK(max_of(Tensor::zeros({2, 48})) ==
        "max_pool2d: expected images x [n, h, w, c] with pixels; got [2, 48]. Hint: are they flat "
        "already, or pooled away?");
  CHECK(max_of(Tensor::zeros({4, 4, 3})) ==
        "max_pool2d: expected images x [n, h, w, c] with pixels; got [4, 4, 3]. Hint: one image is "
        "unsqueeze(x, 0), gray ones are unsqueeze(x, -1).");
  CHECK(max_of(Tensor::zeros({2, 0, 4, 3}), {.padding = 1}) ==
        "max_pool2d: expected images x [n, h, w, c] with pixels; got [2, 0, 4, 3]. Hint: are they "
        "flat already, or pooled away?");
  CHECK(max_of(Tensor::zeros({2, 4, 4, 3}, i64)) ==
        "max_pool2d: expected an f32 or f64 tensor; got i64 [2, 4, 4, 3]. Hint: x.to(f32).");
  struct Case {
    Size2d kernel, stride, padding;
  };
  for (const Case& k : {Case{0, 1, 0},
                        {{2, -1}, 0, 0},
                        {2, {0, 1}, 0},
                        {2, -1, 0},
                        {2, 0, 2},
                        {3, 0, {0, 2}},
                        {2, 0, {-1, 0}},
                        {{5, 2}, 0, 0},
                        {{2, 8}, 0, {0, 1}}}) {
    const std::string stride = (k.stride.h || k.stride.w ? k.stride : k.kernel).str();
    for (const std::string op : {"max_pool2d", "avg_pool2d"}) {
      CHECK(message([&] {
              op[0] == 'm' ? max_pool2d(x, k.kernel, {k.stride, k.padding})
                           : avg_pool2d(x, k.kernel, {k.stride, k.padding});
            }) == op + ": no kernel " + k.kernel.str() + " with stride " + stride + ", padding " +
                      k.padding.str() + " (at most half the kernel) fits x " +
                      "[2, 4, 4, 3]. Hint: has the image been pooled too often?");
    }
  }
  CHECK(max_of(x, {.dilation = {4, 1}}) ==
        "max_pool2d: no kernel 2 with stride 2, padding 0 (at most half the kernel) and dilation "
        "4x1 fits x [2, 4, 4, 3]. Hint: has the image been pooled too often?");
  CHECK(max_of(x, {.dilation = 0}).starts_with("max_pool2d: no kernel 2"));
  CHECK(message([&] { avg_pool2d(x, 2, {.divisor_override = -1}); }) ==
        "avg_pool2d: expected a divisor_override of at least 1, or 0 for a window's pixels; got "
        "-1.");
  const Tensor signals = Tensor::zeros({2, 4, 3});
  CHECK(message([&] { max_pool1d(signals, 5, {.padding = 0}); }) ==
        "max_pool1d: no kernel 5 with stride 5, padding 0 (at most half the kernel) fits x "
        "[2, 4, 3]. Hint: has the image been pooled too often?");
  CHECK(message([&] { avg_pool1d(x); }) ==
        "avg_pool1d: expected signals x [n, w, c] with values; got [2, 4, 4, 3].");
  CHECK(message([&] {
          max_pool1d(signals.view({2, 12}));
        }) ==
        "max_pool1d: expected signals x [n, w, c] with values; got [2, 12]. Hint: signals of one "
        "channel are unsqueeze(x, -1).");
  // Sizes that overflow, or that no machine holds: refused before memory is taken.
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (const int64_t n : {kHuge, kHuge - 1, int64_t{1} << 62, int64_t{1} << 40}) {
    CHECK(message([&] { max_pool2d(x, n, {.stride = 1, .padding = n / 2}); }) != "no error");
    CHECK(message([&] {
            max_pool2d(x, {2, n}, {.stride = 1, .padding = {0, n / 2}});
          }) != "no error");
    CHECK(message([&] { max_pool2d(x, 2, {.dilation = n}); }) != "no error");
    CHECK(message([&] { max_pool1d(signals, 3, {.stride = n, .dilation = n}); }) != "no error");
    CHECK(message([&] { adaptive_max_pool2d(x, n); }) != "no error");
    CHECK(message([&] { adaptive_avg_pool2d(x, {1, n}); }) != "no error");
  }
  for (const int64_t n : {kHuge, int64_t{1} << 59}) {
    CHECK(message([&] { avg_pool2d(x, n, {.stride = 1, .padding = n / 2}); }) ==
          fmt::format("avg_pool2d: a size is at most 2^58, the most elements of a tensor; got {}.",
                      n));
    CHECK(message([&] { avg_pool1d(signals, 2, {.stride = n, .ceil_mode = true}); }) != "no error");
  }
  CHECK(avg_pool2d(x, int64_t{1} << 40, {.stride = 1, .padding = int64_t{1} << 39}).shape() ==
        Shape{2, 5, 5, 3});
  CHECK(message([] {
          avg_pool2d(Tensor::zeros({2, 4, 4, 3}, i64));
        }) == "avg_pool2d: expected an f32 or f64 tensor; got i64 [2, 4, 4, 3]. Hint: x.to(f32).");
  CHECK(message([&] {
          adaptive_avg_pool2d(x, {0, 2});
        }) ==
        "adaptive_avg_pool2d: y must have at least 1 x 1 pixels; got 0x2 from x [2, 4, 4, 3].");
  CHECK(message([] {
          global_avg_pool(Tensor::zeros({2, 3}));
        }) == "global_avg_pool: expected x [n, h, w, c] or [n, w, c]; got [2, 3].");
  CHECK(message([] { global_max_pool({}); }) ==
        "global_max_pool: x is undefined (moved from, or never set). Hint: give it a value first.");
  CHECK(message([] { global_max_pool(Tensor::zeros({2, 0, 3})); }).starts_with("max: "));
}

TEST_CASE("pooling layers") {
  const Tensor x = Rng(1).normal({2, 6, 6, 3});
  Sequential net{MaxPool2d(2), AvgPool2d(3, {.stride = 2, .padding = 1}), GlobalAvgPool{}};
  check_close(net(x), global_avg_pool(avg_pool2d(max_pool2d(x), 3, {.stride = 2, .padding = 1})),
              0);
  CHECK(net.get<MaxPool2d>(0).kernel == 2);
  CHECK(net[0].describe() == "MaxPool2d(2)");
  CHECK((MaxPool2d(2).is_halving() && MaxPool2d({2, 2}, {.stride = 2}).is_halving()));
  for (const MaxPool2d& other :
       {MaxPool2d(3), MaxPool2d({2, 3}), MaxPool2d(2, {.stride = 1}), MaxPool2d(2, {.padding = 1}),
        MaxPool2d(2, {.stride = {2, 1}}), MaxPool2d(2, {.ceil_mode = true}),
        MaxPool2d(2, {.dilation = 2})}) {
    CHECK(!other.is_halving());
  }
  CHECK(net[1].describe() == "AvgPool2d(3, stride 2, padding 1)");
  CHECK(MaxPool2d({2, 3}, {.stride = {1, 2}, .ceil_mode = true}).describe() ==
        "MaxPool2d(2x3, stride 1x2, ceil)");
  check_close(AdaptiveAvgPool2d({2, 1})(x), adaptive_avg_pool2d(x, {2, 1}), 0);
  check_close(AdaptiveMaxPool2d({2, 1})(x), adaptive_max_pool2d(x, {2, 1}), 0);
  CHECK(AdaptiveMaxPool2d({2, 1}).describe() == "AdaptiveMaxPool2d(2x1)");
  const Tensor signals = Rng(2).normal({2, 9, 3});
  check_close(MaxPool1d(3, {.stride = 2, .dilation = 2})(signals),
              max_pool1d(signals, 3, {.stride = 2, .dilation = 2}), 0);
  CHECK(MaxPool1d(3, {.stride = 2, .dilation = 2}).describe() ==
        "MaxPool1d(3, stride 2, dilation 2)");
  check_close(AvgPool1d(2)(signals), avg_pool1d(signals), 0);
  CHECK(AvgPool1d(2, {.count_include_pad = false}).describe() == "AvgPool1d(2, without padding)");
  CHECK(AvgPool2d(2, {.divisor_override = 3}).describe() == "AvgPool2d(2, divisor 3)");
  CHECK(AdaptiveAvgPool2d(7).describe() == "AdaptiveAvgPool2d(7)");
  check_close(GlobalMaxPool{}(x), global_max_pool(x), 0);
  CHECK(GlobalAvgPool{}.describe() == "GlobalAvgPool");
  CHECK(GlobalMaxPool{}.describe() == "GlobalMaxPool");
  CHECK(net.parameters().empty());
  Sequential deep{MaxPool2d(2), Sequential{MaxPool2d(4)}};
  CHECK(message([&] { deep(x); }).starts_with("1.0: max_pool2d: no kernel 4 with"));
}
