#include "ramp/layers/pool.h"

#include <cmath>
#include <limits>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/gradcheck.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/memory.h"
#include "ramp/core/random.h"
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

struct Geometry {
  int64_t out, c, kh, kw, step, row;  // step in pixels; row: its stride in pixels
  int64_t in() const { return (out - 1) * step + kw; }
  int64_t size() const { return ((kh - 1) * row + in()) * c; }  // not a value more, for ASan
  int64_t at(int64_t o, int64_t i, int64_t j, int64_t k) const {
    return (i * row + o * step + j) * c + k;
  }
};

// Both row kernels against loops that say what they do.
template <typename T>
void check_rows(const Geometry& g, bool special) {
  const Kernels<T>& k = kernels<T>();
  const auto x = coarse<T>(g.size(), 1, special), dy = coarse<T>(g.out * g.c, 2, special);
  const size_t n = dy.size();
  std::vector<T> y(n), y2(n);
  std::vector<uint8_t> at(n), at2(n);
  // Where nothing is to be written, this stays.
  std::vector<T> max_dx(x.size(), 7), max_sum = max_dx;
  for (int64_t o = 0; o < g.out; ++o) {
    for (int64_t c = 0; c < g.c; ++c) {
      const size_t p = static_cast<size_t>(o * g.c + c);
      y[p] = x[static_cast<size_t>(g.at(o, 0, 0, c))];
      for (int64_t i = 0; i < g.kh; ++i) {
        for (int64_t j = 0; j < g.kw; ++j) {
          const T v = x[static_cast<size_t>(g.at(o, i, j, c))];
          if (v > y[p] || (std::isnan(v) && !std::isnan(y[p]))) {
            y[p] = v;
            at[p] = static_cast<uint8_t>(i * g.kw + j);
          }
        }
      }
      for (int64_t i = 0; i < g.kh; ++i) {
        for (int64_t j = 0; j < g.kw; ++j) {
          const size_t q = static_cast<size_t>(g.at(o, i, j, c));
          const T one = at[p] == i * g.kw + j ? dy[p] : 0;
          max_dx[q] = one;
          max_sum[q] += one;
        }
      }
    }
  }
  const int64_t rows = g.row * g.c, step = g.step * g.c;
  k.max_pool_row(g.out, g.c, g.kh, g.kw, x.data(), rows, step, y2.data(), at2.data());
  CHECK(differs(y2, y) == "");
  CHECK(differs(at2, at) == "");
  for (const bool add : {false, true}) {
    if (!add && g.step != g.kw) continue;
    std::vector<T> dx(x.size(), 7);
    k.max_unpool_row(g.out, g.c, g.kh, g.kw, dy.data(), at.data(), dx.data(), rows, step, add);
    CHECK(differs(dx, add ? max_sum : max_dx) == "");
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

namespace {

Size2d pair(const Fixture& f, const std::string& a, const std::string& b) {
  return {static_cast<int64_t>(f.number(a)), static_cast<int64_t>(f.number(b))};
}

Pool2dOptions options_of(const Fixture& f) {
  return {.kernel = pair(f, "kh", "kw"),
          .stride = pair(f, "sh", "sw"),
          .padding = pair(f, "ph", "pw"),
          .ceil_mode = f.number("ceil") != 0,
          .count_include_pad = f.number("include") != 0};
}

Tensor image(const std::vector<double>& values, int64_t h, int64_t w) {
  return Tensor::of<double>(values, {1, h, w, 1});
}

}  // namespace

TEST_CASE("pooling is PyTorch's") {
  std::map<std::string, int> cases;
  for (const Fixture& f : read_fixtures("pool")) {
    if (f.name == "nearest" || f.name == "bilinear") continue;  // in resize_test.cc
    const Tensor x = f.leaf("x"), dy = f.tensor("dy");
    INFO(f.name << " of " << x.shape().str() << " to " << dy.shape().str());
    ++cases[f.name];
    Tensor y;
    if (f.name == "max") y = max_pool2d(x, options_of(f));
    if (f.name == "avg") y = avg_pool2d(x, options_of(f));
    if (f.name == "adaptive") y = adaptive_avg_pool2d(x, pair(f, "h", "w"));
    if (f.name == "global_avg") y = global_avg_pool(x);
    if (f.name == "global_max") y = global_max_pool(x);
    const double tolerance = f.name.ends_with("max") ? 0 : x.dtype() == f32 ? 3e-7 : 1e-15;
    const bool global = f.name.starts_with("global");
    check_close(y, global ? f.tensor("y").view({2, 3}) : f.tensor("y"), tolerance);
    backward(y, global ? dy.view({2, 3}) : dy);
    check_close(x.grad(), f.tensor("dx"), f.name == "max" ? tolerance + 3e-7 : tolerance);
  }
  const std::map<std::string, int> expected{
      {"max", 48}, {"avg", 54}, {"adaptive", 8}, {"global_avg", 2}, {"global_max", 2}};
  CHECK(cases == expected);
}

TEST_CASE("pooling: the derivatives agree with differences") {
  const int64_t before = live_nodes();
  for (const Pool2dOptions& o : std::initializer_list<Pool2dOptions>{
           {},
           {.kernel = 3},
           {.kernel = {2, 3}, .stride = 1},
           {.kernel = 2, .stride = 3},
           {.kernel = 3, .stride = 2, .padding = 1},
           {.kernel = {3, 2}, .stride = 2, .padding = {1, 0}, .ceil_mode = true},
           {.kernel = 3, .stride = 2, .padding = 1, .count_include_pad = false}}) {
    for (const int64_t c : {1, 6, 17}) {
      // Different everywhere, so that no step changes which value is the largest.
      const Tensor x = Rng(1).permutation(2 * 6 * 7 * c).to(f64).view({2, 6, 7, c});
      CHECK(gradcheck([&](const auto& x) { return max_pool2d(x[0], o); }, {x}) == "");
      const Tensor small = Rng(2).normal({2, 6, 7, c}, 0, 1, f64);
      CHECK(gradcheck([&](const auto& x) { return avg_pool2d(x[0], o); }, {small}) == "");
    }
  }
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

TEST_CASE("avg_pool2d: NaN and inf stay in their window") {
  const Tensor x = image({1, kNaN, 3, 5, 2, 3, 1, 1, 0, 0, kInf, 8}, 2, 6);
  check_close(avg_pool2d(x), image({kNaN, 2, kInf}, 1, 3), 0);
}

TEST_CASE("pooling: no images, no channels, one pixel, values no window sees") {
  for (const auto pool : {max_pool2d, avg_pool2d}) {
    for (const Shape& shape : {Shape{0, 4, 6, 3}, Shape{2, 4, 6, 0}}) {
      Tensor x = Tensor::zeros(shape).requires_grad_();
      const Tensor y = pool(x, {});
      CHECK(y.shape() == Shape{shape[0], 2, 3, shape[3]});
      backward(y, y.clone());
      CHECK(x.grad().shape() == shape);
    }
    Tensor x = Tensor::full({1, 1, 1, 1}, 5).requires_grad_();
    const Tensor y = pool(x, {.kernel = 1});
    CHECK(y.values() == Values{5});
    backward(y, Tensor::full({1, 1, 1, 1}, 3));
    CHECK(x.grad().values() == Values{3});
    // 3 x 3 with windows of 2: the last row and column are not seen. With stride 2 and windows of 1
    // neither are the odd ones.
    x = Tensor::ones({1, 3, 3, 1}).requires_grad_();
    backward(pool(x, {}), Tensor::full({1, 1, 1, 1}, 4));
    CHECK(x.grad().values() == (pool == max_pool2d ? Values{4, 0, 0, 0, 0, 0, 0, 0, 0}
                                                   : Values{1, 1, 0, 1, 1, 0, 0, 0, 0}));
    x.zero_grad();
    backward(pool(x, {.kernel = 1, .stride = 2}), image({1, 2, 3, 4}, 2, 2).to(f32));
    CHECK(x.grad().values() == Values{1, 0, 2, 0, 0, 0, 3, 0, 4});
  }
  CHECK(global_avg_pool(Tensor::ones({2, 7, 3})).shape() == Shape{2, 3});
  CHECK(global_max_pool(Tensor::arange(6, f32).view({1, 3, 2})).values() == Values{4, 5});
}

TEST_CASE("pooling: equal bits for 1 and 2 threads, every channel count") {
  for (const int64_t c : {1, 3, 6, 10, 16, 33}) {
    for (const Pool2dOptions& o : std::initializer_list<Pool2dOptions>{
             {}, {.kernel = 3}, {.kernel = 3, .stride = 2, .padding = 1}}) {
      for (const auto pool : {max_pool2d, avg_pool2d}) {
        check_equal_bits([&] {
          const Tensor x = Rng(1).normal({5, 40, 30, c}).requires_grad_();
          const Tensor y = pool(x, o);
          backward(y, Rng(2).normal(y.shape()));
          return std::vector{y, x.grad()};
        });
      }
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
  const auto max_of = [](const Tensor& x, Pool2dOptions o) {
    return message([&] { max_pool2d(x, o); });
  };
  CHECK(max_of({}, {}) ==
        "max_pool2d: x is undefined (moved from, or never set). Hint: give it a value first.");
  CHECK(max_of(Tensor::zeros({2, 48}), {}) ==
        "max_pool2d: expected images x [n, h, w, c] with pixels; got [2, 48]. Hint: are they flat "
        "already, or pooled away?");
  CHECK(max_of(Tensor::zeros({4, 4, 3}), {}) ==
        "max_pool2d: expected images x [n, h, w, c] with pixels; got [4, 4, 3]. Hint: one image is "
        "unsqueeze(x, 0), gray ones are unsqueeze(x, -1).");
  CHECK(max_of(Tensor::zeros({2, 0, 4, 3}), {.padding = 1}) ==
        "max_pool2d: expected images x [n, h, w, c] with pixels; got [2, 0, 4, 3]. Hint: are they "
        "flat already, or pooled away?");
  CHECK(max_of(Tensor::zeros({2, 4, 4, 3}, i64), {}) ==
        "max_pool2d: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).");
  CHECK(max_of(Tensor::zeros({1, 20, 20, 1}), {.kernel = 17}) ==
        "max_pool2d: a window has at most 256 places; got kernel 17. Hint: pool twice.");
  for (const Pool2dOptions& o :
       std::initializer_list<Pool2dOptions>{{.kernel = 0, .stride = 1},
                                            {.kernel = {2, -1}},
                                            {.stride = {0, 1}},
                                            {.stride = -1},
                                            {.padding = 2},
                                            {.kernel = 3, .padding = {0, 2}},
                                            {.padding = {-1, 0}},
                                            {.kernel = {5, 2}},
                                            {.kernel = {2, 8}, .padding = {0, 1}}}) {
    const std::string stride = (o.stride.h || o.stride.w ? o.stride : o.kernel).str();
    for (const std::string op : {"max_pool2d", "avg_pool2d"}) {
      CHECK(message([&] { op[0] == 'm' ? max_pool2d(x, o) : avg_pool2d(x, o); }) ==
            op + ": no kernel " + o.kernel.str() + " with stride " + stride + " and padding " +
                o.padding.str() + " (at most half the kernel) fits x [2, 4, 4, 3]. Hint: has the " +
                "image been pooled too often?");
    }
  }
  CHECK(message([] {
          avg_pool2d(Tensor::zeros({2, 4, 4, 3}, i64));
        }) == "avg_pool2d: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).");
  CHECK(message([&] {
          adaptive_avg_pool2d(x, {0, 2});
        }) ==
        "adaptive_avg_pool2d: y must have at least 1 x 1 pixels; got 0x2 from x [2, 4, 4, 3].");
  CHECK(message([] {
          global_avg_pool(Tensor::zeros({2, 3}));
        }) == "global_avg_pool: expected x [n, h, w, c] or [n, l, c]; got [2, 3].");
  CHECK(message([] { global_max_pool({}); }) ==
        "global_max_pool: x is undefined (moved from, or never set). Hint: give it a value first.");
  CHECK(message([] { global_max_pool(Tensor::zeros({2, 0, 3})); }).starts_with("max: "));
}

TEST_CASE("pooling layers") {
  const Tensor x = Rng(1).normal({2, 6, 6, 3});
  Sequential net{MaxPool2d(2), AvgPool2d(3, {.stride = 2, .padding = 1}), GlobalAvgPool{}};
  check_close(net(x),
              global_avg_pool(avg_pool2d(max_pool2d(x), {.kernel = 3, .stride = 2, .padding = 1})),
              0);
  CHECK(net.get<MaxPool2d>(0).options.kernel.w == 2);
  CHECK(net[0].describe() == "MaxPool2d(2)");
  CHECK((MaxPool2d(2).is_halving() && MaxPool2d({2, 2}, {.stride = 2}).is_halving()));
  for (const MaxPool2d& other :
       {MaxPool2d(3), MaxPool2d({2, 3}), MaxPool2d(2, {.stride = 1}), MaxPool2d(2, {.padding = 1}),
        MaxPool2d(2, {.stride = {2, 1}}), MaxPool2d(2, {.ceil_mode = true})}) {
    CHECK(!other.is_halving());
  }
  CHECK(net[1].describe() == "AvgPool2d(3, stride 2, padding 1)");
  CHECK(MaxPool2d({2, 3}, {.stride = {1, 2}, .ceil_mode = true}).describe() ==
        "MaxPool2d(2x3, stride 1x2, ceil)");
  check_close(AdaptiveAvgPool2d({2, 1})(x), adaptive_avg_pool2d(x, {2, 1}), 0);
  CHECK(AdaptiveAvgPool2d(7).describe() == "AdaptiveAvgPool2d(7)");
  check_close(GlobalMaxPool{}(x), global_max_pool(x), 0);
  CHECK(GlobalAvgPool{}.describe() == "GlobalAvgPool");
  CHECK(GlobalMaxPool{}.describe() == "GlobalMaxPool");
  CHECK(net.parameters().empty());
  Sequential deep{MaxPool2d(2), Sequential{MaxPool2d(4)}};
  CHECK(message([&] { deep(x); }).starts_with("1.0: max_pool2d: no kernel 4 with"));
}
