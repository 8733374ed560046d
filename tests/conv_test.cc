#include <cmath>
#include <cstdlib>
#include <limits>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_conv.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_pool.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/conv.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/init.h"
#include "ramp/layers/pool.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/sequential.h"
#include "threads.h"

using namespace ramp;

namespace {

Tensor random(const Shape& shape, uint64_t seed, DType dtype = f64) {
  return Rng(seed).normal(shape, 0, 1, dtype);
}

// The formula of core/conv.h, one multiplication after the other.
struct Reference {
  std::vector<double> y, dx, dw, db;
};
Reference reference(const ConvSizes& s, const std::vector<double>& x, const std::vector<double>& w,
                    const std::vector<double>& dy) {
  Reference r{.y = std::vector<double>(static_cast<size_t>(s.n * s.oh * s.ow * s.k)),
              .dx = std::vector<double>(x.size()),
              .dw = std::vector<double>(w.size()),
              .db = std::vector<double>(static_cast<size_t>(s.k))};
  const int64_t cg = s.c / s.groups, kg = s.k / s.groups;
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t i = 0; i < s.oh; ++i)
      for (int64_t j = 0; j < s.ow; ++j)
        for (int64_t k = 0; k < s.k; ++k) {
          const auto at = static_cast<size_t>(((n * s.oh + i) * s.ow + j) * s.k + k);
          r.db[static_cast<size_t>(k)] += dy[at];
          for (int64_t p = 0; p < s.kh; ++p)
            for (int64_t q = 0; q < s.kw; ++q) {
              const int64_t row = i * s.stride[0] + p * s.dilation[0] - s.pad_before[0];
              const int64_t col = j * s.stride[1] + q * s.dilation[1] - s.pad_before[1];
              if (row < 0 || row >= s.h || col < 0 || col >= s.w) continue;
              for (int64_t c = 0; c < cg; ++c) {
                const auto a =
                    static_cast<size_t>(((n * s.h + row) * s.w + col) * s.c + k / kg * cg + c);
                const auto b = static_cast<size_t>(((p * s.kw + q) * cg + c) * s.k + k);
                r.y[at] += x[a] * w[b];
                r.dx[a] += dy[at] * w[b];
                r.dw[b] += dy[at] * x[a];
              }
            }
        }
  return r;
}

// The largest difference over the root mean square of what is right.
double error(const Tensor& a, const std::vector<double>& right) {
  const std::vector<double> v = a.values();
  REQUIRE(v.size() == right.size());
  double most = 0, square = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    most = std::max(most, std::abs(v[i] - right[i]));
    square += right[i] * right[i];
  }
  return most / std::sqrt(square / static_cast<double>(v.size()) + 1e-300);
}

}  // namespace

TEST_CASE("every method against the formula, in f32 and f64") {
  struct Case {
    int64_t n, h, w, c, kernel, k;
    ConvOptions o;
    double f32_error;
  };
  const Case cases[] = {
      // Winograd: whole tiles, tiles over the edge, padding, many channels
      {3, 26, 26, 32, 3, 64, {}, 4e-5},
      {2, 9, 11, 16, 3, 16, {.padding = 1}, 4e-5},
      {2, 14, 14, 48, 3, 32, {.padding = 1}, 4e-5},
      {2, 8, 12, 16, 3, 80, {.padding = 2}, 4e-5},
      {1, 13, 13, 256, 3, 256, {.padding = 1}, 2e-4},
      {9, 6, 6, 16, 3, 32, {}, 4e-5},
      {2, 12, 13, 32, 3, 64, {.padding = 1, .groups = 2}, 4e-5},
      {2, 10, 10, 160, 3, 160, {.padding = 1, .groups = 2}, 1e-4},
      // direct
      {3, 28, 28, 1, 3, 32, {}, 1e-5},
      {2, 28, 28, 1, 5, 6, {.padding = 2}, 1e-5},
      {2, 14, 14, 6, 5, 16, {}, 1e-5},
      {2, 15, 12, 10, 3, 6, {.stride = 2, .padding = 1}, 1e-5},
      {2, 15, 13, 3, 4, 10, {.stride = {2, 3}, .padding = {2, 1}}, 1e-5},
      {2, 17, 15, 5, 3, 7, {.padding = 2, .dilation = {2, 3}}, 1e-5},
      {2, 16, 16, 4, 3, 4, {.stride = 2, .padding = 3, .dilation = 2}, 1e-5},
      {2, 7, 9, 16, 1, 24, {}, 1e-5},
      {2, 9, 9, 8, 1, 8, {.stride = 2}, 1e-5},
      {2, 5, 5, 2, 2, 3, {.stride = 4, .padding = 1}, 1e-5},
      {2, 8, 8, 12, 3, 6, {.padding = 1, .groups = 3}, 1e-5},
      {2, 8, 8, 4, 3, 8, {.padding = 1, .groups = 4}, 1e-5},
      {2, 9, 7, 16, 3, 16, {.padding = 1, .groups = 16}, 1e-5},
      {2, 9, 10, 11, 3, 11, {.stride = 2, .padding = 1, .groups = 11}, 1e-5},
      {1, 12, 11, 6, 3, 6, {.padding = 2, .dilation = 2, .groups = 6}, 1e-5},
      {2, 9, 12, 5, 4, 9, {.padding = kSame}, 1e-5},
      {2, 9, 12, 5, 3, 9, {.stride = 2, .padding = kSame}, 1e-5},
      {1, 1, 1, 1, 1, 1, {}, 1e-5},
      {1, 1, 1, 1, 1, 1, {.stride = 9, .padding = 4}, 1e-5},
      {1, 13, 13, 256, 3, 20, {}, 1e-5},
      // few channels: two to eight results side by side in a row of a product
      {2, 12, 12, 2, 7, 24, {.padding = 3}, 1e-5},
      {2, 9, 24, 3, 4, 1, {.stride = 2, .padding = 1}, 1e-5},
      {2, 9, 20, 4, 3, 3, {.padding = 2, .dilation = {1, 2}}, 1e-5},
      {1, 5, 16, 2, 3, 2, {.padding = 1}, 1e-5},
      // dx where a row of dy is longer, or an edge wider, than what is added at once
      {1, 3, 70, 20, 5, 50, {.padding = 2}, 1e-5},
      {1, 2, 2, 6, 5, 5, {.padding = 4}, 1e-5},
      {1, 24, 9, 12, 5, 6, {.padding = {2, 1}, .dilation = {2, 1}, .groups = 2}, 1e-5},
      // depthwise: blocks of pixels and of taps, and what is left of them
      {2, 30, 31, 40, 3, 40, {.padding = 1, .groups = 40}, 1e-5},
      {1, 12, 23, 20, 5, 20, {.stride = 3, .padding = 6, .groups = 20}, 1e-5},
  };
  for (const Case& t : cases) {
    for (const DType dtype : {f32, f64}) {
      const ConvOptions& o = t.o;
      INFO(t.n << " " << t.h << "x" << t.w << "x" << t.c << " kernel " << t.kernel << " k " << t.k
               << " groups " << o.groups << " stride " << o.stride.h << " " << name_of(dtype));
      Tensor x = random({t.n, t.h, t.w, t.c}, 1, dtype).requires_grad_();
      Tensor w = random({t.kernel, t.kernel, t.c / o.groups, t.k}, 2, dtype).requires_grad_();
      Tensor b = Tensor::zeros({t.k}, dtype).requires_grad_();
      const Tensor y = conv2d(x, w, b, o);
      const Tensor dy = random(y.shape(), 3, dtype);
      backward(y, dy);
      ConvSizes s{.n = t.n,
                  .h = t.h,
                  .w = t.w,
                  .c = t.c,
                  .kh = t.kernel,
                  .kw = t.kernel,
                  .k = t.k,
                  .oh = y.dim(1),
                  .ow = y.dim(2),
                  .stride = {o.stride.h, o.stride.w},
                  .dilation = {o.dilation.h, o.dilation.w},
                  .pad_before = {o.padding.size.h, o.padding.size.w},
                  .groups = o.groups};
      if (o.padding.same) {
        const auto before = [&](int64_t in, int64_t out, int64_t stride) {
          return std::max<int64_t>(0, (out - 1) * stride + t.kernel - in) / 2;
        };
        s.pad_before = {before(t.h, s.oh, o.stride.h), before(t.w, s.ow, o.stride.w)};
        CHECK(s.oh == (t.h + o.stride.h - 1) / o.stride.h);
      }
      const Reference r = reference(s, x.values(), w.values(), dy.values());
      const double most = dtype == f32 ? t.f32_error : 1e-12;
      CHECK(error(y, r.y) < most);
      CHECK(error(x.grad(), r.dx) < most);
      CHECK(error(w.grad(), r.dw) < most);
      CHECK(error(b.grad(), r.db) < most);
    }
  }
}

TEST_CASE("conv2d, conv1d and their transposes are PyTorch's") {
  int cases = 0;
  const std::map<std::string, Activation> activations = {
      {"identity", Identity{}}, {"relu", ReLU{}}, {"leaky_relu", LeakyReLU{0.1}}};
  for (const Fixture& f : read_fixtures("conv")) {
    INFO(f.name);
    ++cases;
    const Tensor x = f.leaf("x"), w = f.leaf("w"), b = f.has("b") ? f.leaf("b") : Tensor();
    const auto pair = [&](const std::string& name) {
      return Size2d(static_cast<int64_t>(f.number(name + "_h")),
                    static_cast<int64_t>(f.number(name + "_w")));
    };
    const auto number = [&](const char* key) { return static_cast<int64_t>(f.number(key)); };
    const auto groups = number("groups");
    Tensor y;
    if (f.name.rfind("conv2d", 0) == 0) {
      const std::string name = f.name.substr(7, f.name.find(' ', 7) - 7);
      y = conv2d(x, w, b, {pair("stride"), pair("padding"), pair("dilation"), groups},
                 activations.at(name));
    } else if (f.name.rfind("conv1d", 0) == 0) {
      y = conv1d(x, w, b, {number("stride"), number("padding"), number("dilation"), groups});
    } else if (f.name.rfind("conv_transpose1d", 0) == 0) {
      y = conv_transpose1d(
          x, w, b,
          {number("stride"), number("padding"), number("extra"), number("dilation"), groups});
    } else {
      y = conv_transpose2d(
          x, w, b, {pair("stride"), pair("padding"), pair("extra"), pair("dilation"), groups});
    }
    // Winograd's method (16 channels) rounds more.
    const double tolerance = x.dtype() == f64 ? 1e-12 : x.dim(-1) == 16 ? 2e-4 : 2e-5;
    check_close(y, f.tensor("y"), tolerance);
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), tolerance);
    check_close(w.grad(), f.tensor("dw"), tolerance);
    if (b.defined()) check_close(b.grad(), f.tensor("db"), tolerance);
  }
  CHECK(cases == 30);
}

TEST_CASE("the derivatives, and no node is left behind") {
  const int64_t before = live_nodes();
  for (const Activation& f :
       {Activation(Identity{}), Activation(ReLU{}), Activation(LeakyReLU{-0.2})}) {
    INFO(std::string(f.name()));
    for (const ConvOptions& o : {ConvOptions{}, ConvOptions{.stride = 2, .padding = kSame}}) {
      CHECK(gradcheck([&](const auto& in) { return conv2d(in[0], in[1], in[2], o, f); },
                      {random({2, 5, 6, 2}, 1), random({3, 3, 2, 3}, 2), random({3}, 3)}) == "");
    }
    CHECK(gradcheck([&](const auto& in) { return conv1d(in[0], in[1], in[2], {.stride = 2}, f); },
                    {random({2, 7, 2}, 1), random({3, 2, 3}, 2), random({3}, 3)}) == "");
    CHECK(gradcheck(
              [&](const auto& in) {
                return conv_transpose1d(in[0], in[1], in[2], {.stride = 2, .groups = 2}, f);
              },
              {random({2, 4, 2}, 1), random({3, 3, 2}, 2), random({6}, 3)}) == "");
    CHECK(gradcheck(
              [&](const auto& in) {
                return conv_transpose2d(in[0], in[1], in[2],
                                        {.stride = 2, .padding = 1, .output_padding = 1}, f);
              },
              {random({1, 3, 4, 2}, 1), random({3, 3, 3, 2}, 2), random({3}, 3)}) == "");
  }
  for (const bool pools : {false, true}) {
    const auto direct = [&](const auto& in) {
      return (pools ? conv2d_max_pool : conv2d)(in[0], in[1], in[2], {.padding = 1}, ReLU{});
    };
    CHECK(gradcheck(direct, {random({1, 8, 4, 2}, 7), random({3, 3, 2, 16}, 8), random({16}, 9)}) ==
          "");
    // Winograd's: 16 tiles
    CHECK(gradcheck(direct,
                    {random({4, 8, 6, 16}, 4), random({3, 3, 16, 16}, 5), random({16}, 6)}) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("with max-pooling in the same pass: the same bits as one by one") {
  struct Case {
    Shape x, w;
    ConvOptions o;
  };
  for (const Case& t :
       {Case{{3, 26, 26, 32}, {3, 3, 32, 64}, {}},
        Case{{3, 10, 6, 16}, {3, 3, 16, 16}, {.padding = 1}},
        Case{{9, 28, 28, 1}, {5, 5, 1, 6}, {.padding = 2}}, Case{{2, 14, 14, 6}, {5, 5, 6, 10}, {}},
        Case{{4, 7, 8, 16}, {3, 3, 16, 16}, {.padding = 1}}}) {
    for (const Activation& f :
         {Activation(Identity{}), Activation(ReLU{}), Activation(LeakyReLU{})}) {
      INFO(t.x.str() << " " << f.name());
      std::vector<std::vector<double>> first;
      for (const bool fused : {false, true}) {
        const Tensor x = random(t.x, 1, f32).requires_grad_(),
                     w = random(t.w, 2, f32).requires_grad_();
        const Tensor b = random({t.w.last()}, 3, f32).requires_grad_();
        const Tensor y =
            fused ? conv2d_max_pool(x, w, b, t.o, f) : max_pool2d(conv2d(x, w, b, t.o, f));
        backward(y, random(y.shape(), 4, f32));
        const std::vector<std::vector<double>> all = {y.values(), x.grad().values(),
                                                      w.grad().values(), b.grad().values()};
        if (!fused) first = all;
        CHECK(all == first);
      }
    }
  }
}

TEST_CASE("a Sequential fuses what follows a convolution, and nothing else changes") {
  seed_layers(1);
  Sequential net{Conv2d(1, 16, 3),
                 ReLU{},
                 Conv2d(16, 16, 3, ReLU{}, {.padding = 1}),
                 MaxPool2d(2),
                 Conv2d(16, 8, 3),
                 ReLU{},
                 MaxPool2d({2, 2}),
                 MaxPool2d(2),
                 Flatten{},
                 Dense(8, 4),
                 ReLU{}};
  const Tensor x = random({3, 16, 16, 1}, 1, f32);
  const Tensor dy = random({3, 4}, 2, f32);
  const Tensor y = net(x);
  backward(y, dy);
  std::vector<std::vector<double>> fused;
  for (const Tensor& p : net.parameters()) fused.push_back(p.grad().values());
  net.zero_grad();
  Tensor z = x;
  for (size_t i = 0; i < net.size(); ++i) z = net[i](z);
  CHECK(z.values() == y.values());
  backward(z, dy);
  size_t i = 0;
  for (const Tensor& p : net.parameters()) CHECK(p.grad().values() == fused[i++]);
  CHECK(net.summary({1, 16, 16, 1}).find("[1, 7, 7, 16]") != std::string::npos);
}

TEST_CASE("only the gradients that are wanted are computed") {
  for (const int64_t c : {3, 16}) {
    const Tensor x = random({4, 6, 6, c}, 1), w = random({3, 3, c, 16}, 2), b = random({16}, 3);
    const auto gradients = [&](bool on_x, bool on_w, bool on_b) {
      Tensor p = x.clone(), q = w.clone(), r = b.clone();
      p.requires_grad_(on_x);
      q.requires_grad_(on_w);
      r.requires_grad_(on_b);
      backward(conv2d(p, q, r, {.padding = 1}, ReLU{}), Tensor::ones({4, 6, 6, 16}, f64));
      CHECK(p.grad().defined() == on_x);
      CHECK(q.grad().defined() == on_w);
      CHECK(r.grad().defined() == on_b);
      return std::array{p.grad(), q.grad(), r.grad()};
    };
    const auto all = gradients(true, true, true);
    check_close(gradients(true, false, false)[0], all[0], 0);
    check_close(gradients(false, true, false)[1], all[1], 0);
    check_close(gradients(false, false, true)[2], all[2], 0);
  }
}

TEST_CASE("equal bits for 1 and 2 threads") {
  struct Case {
    Shape x, w;
    ConvOptions o;
  };
  for (const Case& t : {Case{{17, 26, 26, 32}, {3, 3, 32, 64}, {}},
                        Case{{1, 40, 40, 16}, {3, 3, 16, 16}, {.padding = 1}},
                        Case{{17, 28, 28, 1}, {5, 5, 1, 6}, {.padding = 2}},
                        Case{{1, 60, 60, 3}, {5, 5, 3, 20}, {.stride = 2}},
                        Case{{2, 70, 70, 16}, {3, 3, 16, 16}, {.padding = 1}},
                        Case{{2, 40, 40, 24}, {5, 5, 24, 10}, {.padding = 1}},
                        Case{{1, 24, 24, 64}, {3, 3, 32, 64}, {.padding = 1, .groups = 2}},
                        Case{{1, 90, 90, 64}, {5, 5, 1, 64}, {.stride = 2, .groups = 64}},
                        Case{{20, 20, 20, 16}, {3, 3, 1, 16}, {.groups = 16}}}) {
    INFO(t.x.str());
    check_equal_bits([&] {
      const Tensor x = random(t.x, 1, f32).requires_grad_(),
                   w = random(t.w, 2, f32).requires_grad_();
      const Tensor b = random({t.w.last()}, 3, f32).requires_grad_();
      const Tensor y = conv2d(x, w, b, t.o, ReLU{});
      backward(y, random(y.shape(), 4, f32));
      return std::vector{y, x.grad(), w.grad(), b.grad()};
    });
  }
}

TEST_CASE("a step takes memory from the system only once") {
  // On one thread: with two, how many pieces hold their scratch at a time is chance.
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor x = random({8, 12, 12, 16}, 1, f32).requires_grad_();
  const Tensor w = random({3, 3, 16, 16}, 2, f32).requires_grad_();
  const auto step = [&] {
    const Tensor y = conv2d_max_pool(x, w, {}, {.padding = 1}, ReLU{});
    backward(y, Tensor::ones(y.shape()));
  };
  step();
  step();
  const int64_t taken = memory_stats().system_allocations;
  step();
  CHECK(memory_stats().system_allocations == taken);
  set_num_threads(threads);
}

TEST_CASE("no images, and NaN where it is met") {
  for (const int64_t c : {3, 16}) {
    const Tensor x = Tensor::ones({0, 6, 6, c}).requires_grad_();
    const Tensor w = Tensor::ones({3, 3, c, 16}).requires_grad_();
    const Tensor b = Tensor::ones({16}).requires_grad_();
    const Tensor y = conv2d(x, w, b, {}, ReLU{});
    CHECK(y.shape() == Shape{0, 4, 4, 16});
    CHECK(conv2d_max_pool(x, w, b, {}, ReLU{}).shape() == Shape{0, 2, 2, 16});
    backward(y, Tensor::ones(y.shape()));
    CHECK(w.grad().values() == std::vector<double>(static_cast<size_t>(9 * c * 16), 0));
    CHECK(b.grad().values() == std::vector<double>(16, 0));

    Tensor bad = Tensor::ones({1, 16, 16, c});
    bad.mutable_data<float>()[0] = NAN;
    const std::vector<double> z = conv2d(bad, w, b, {}, ReLU{}).values();
    CHECK(std::isnan(z[0]));
    CHECK(z[z.size() - 1] == doctest::Approx(9. * static_cast<double>(c) + 1));
  }
}

TEST_CASE("few channels: a pixel that is no number reaches as far as the results of one product") {
  const Tensor w = Tensor::ones({5, 5, 1, 6});
  Tensor x = Tensor::zeros({1, 28, 28, 1});
  x.mutable_data<float>()[13 * 28 + 13] = INFINITY;
  const std::vector<double> y = conv2d(x, w, {}, {.padding = 2}).values();
  for (int64_t i = 0; i < 28 * 28; ++i) {
    const int64_t down = std::abs(i / 28 - 13), across = std::abs(i % 28 - 13);
    const double value = y[static_cast<size_t>(i * 6)];
    if (down <= 2 && across <= 2) CHECK(!std::isfinite(value));
    if (down > 2 || across > 2 + 7) CHECK(value == 0);
  }
}

TEST_CASE("how far one pixel that is no number reaches: docs/convolution.md") {
  const char* method = std::getenv("RAMP_CONV");
  const bool only_direct = method && std::string(method) == "direct";
  const Tensor w = random({3, 3, 16, 16}, 2, f32);
  const auto lost = [&](int64_t side, int64_t at) {
    Tensor x = random({1, side, side, 16}, 1, f32);
    x.mutable_data<float>()[(at * side + at) * 16] = INFINITY;
    const std::vector<double> y = conv2d(x, w, {}, {.padding = 1}).values();
    int64_t pixels = 0;
    for (size_t i = 0; i < y.size(); i += 16) pixels += !std::isfinite(y[i]);
    return pixels;
  };
  // A tile is 6x6 pixels of x and 4x4 of y: a pixel lies in one, two or four of them.
  CHECK(lost(28, 13) == (only_direct ? 9 : 16));
  CHECK(lost(28, 15) == (only_direct ? 9 : 25));
  CHECK(lost(8, 3) == 9);  // few tiles: direct
}

TEST_CASE("a user's mistakes") {
  const Tensor x = Tensor::ones({2, 6, 6, 3}), w = Tensor::ones({3, 3, 3, 8});
  CHECK_THROWS_WITH_AS(
      conv2d(x, Tensor::ones({3, 3, 4, 8})),
      "conv2d: x [2, 6, 6, 3] and w [3, 3, 4, 8] do not fit: x has 3 channels and w "
      "takes 4. Hint: w is [kh, kw, c / groups, k]; groups divide c and k.",
      Error);
  CHECK_THROWS_WITH_AS(
      conv2d(Tensor::ones({2, 3, 6, 6}), w),
      "conv2d: x [2, 3, 6, 6] and w [3, 3, 3, 8] do not fit: x has 6 channels and w "
      "takes 3. Hint: channels are the last axis: permute(x, {0, 2, 3, 1}).",
      Error);
  CHECK_THROWS_WITH_AS(
      conv2d(x, Tensor::ones({3, 3, 1, 8}), {}, {.groups = 3}),
      "conv2d: x [2, 6, 6, 3] and w [3, 3, 1, 8] do not fit: x has 3 channels and w "
      "takes 3 in 3 groups. Hint: w is [kh, kw, c / groups, k]; groups divide c and "
      "k.",
      Error);
  CHECK_THROWS_WITH_AS(
      conv2d(Tensor::ones({6, 6, 3}), w),
      "conv2d: expected x [n, h, w, c] and w [kh, kw, c / groups, k]; got [6, 6, 3] "
      "and [3, 3, 3, 8]. Hint: one image [h, w, c] is unsqueeze(image, 0).",
      Error);
  CHECK_THROWS_WITH_AS(
      conv2d(Tensor::ones({2, 2, 6, 3}), w),
      "conv2d: the kernel reaches over 3 pixels of the 2 there are with padding; got "
      "x [2, 2, 6, 3] and w [3, 3, 3, 8]. Hint: padding, or fewer layers that shrink "
      "the image.",
      Error);
  CHECK_THROWS_WITH_AS(
      conv2d(x, w, {}, {.stride = 0}),
      "conv2d: expected stride, dilation and groups of at least 1 and padding of at "
      "least 0; got stride 0, dilation 1, padding 0, groups 1.",
      Error);
  CHECK_THROWS_AS(conv2d(x, w, {}, {.padding = -1}), Error);
  CHECK_THROWS_AS(conv2d(x, w, {}, {.groups = 0}), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, w, Tensor::ones({3})),
                       "conv2d: b must be [8] for w [3, 3, 3, 8]; got [3].", Error);
  CHECK_THROWS_AS(conv2d(x, w.to(f64)), Error);
  CHECK_THROWS_AS(conv2d(x.to(i64), w.to(i64)), Error);
  CHECK_THROWS_AS(conv2d({}, w), Error);
  CHECK_THROWS_AS(conv1d(x, w), Error);
  CHECK_THROWS_AS(conv_transpose2d(x, w), Error);
  const Tensor v = Tensor::ones({3, 3, 8, 3});
  CHECK_THROWS_WITH_AS(conv_transpose2d(x, v, {}, {.output_padding = 1}),
                       "conv_transpose2d: expected an output_padding of at least 0 and below the "
                       "stride or the dilation; got 1.",
                       Error);
  CHECK_THROWS_AS(conv_transpose2d(x, v, {}, {.padding = 5}), Error);
  CHECK_THROWS_AS(Conv2d(0, 4, 3), Error);
  CHECK_THROWS_WITH_AS(
      Conv2d(3, 4, 3, {.groups = 2}),
      "Conv2d: expected groups that divide the channels; got 2 groups for 3 and 4 channels.",
      Error);
  Sequential net{Conv2d(1, 8, 3), MaxPool2d(2), Conv2d(4, 8, 3)};
  try {
    net(Tensor::ones({1, 12, 12, 1}));
    CHECK(false);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).rfind("2: conv2d: x [1, 5, 5, 8] and w", 0) == 0);
  }
  Sequential resized{Conv2d(1, 64, 3), MaxPool2d(2), Flatten{}, Dense(9216, 128)};
  CHECK_THROWS_WITH_AS(resized(Tensor::ones({2, 28, 28, 1})),
                       "3: linear: Dense(9216, 128) expects 9216 = 12x12x64 features; got 10816 "
                       "from the flattened [2, 13, 13, 64]. Hint: did the image size change?",
                       Error);
}

// Sizes, kernel, activation, options; the last two may be left out, the kernel may not.
static_assert(std::constructible_from<Conv2d, int, int, int, ReLU, ConvLayerOptions>);
static_assert(std::constructible_from<Conv2d, int, int, Size2d, ConvLayerOptions>);
static_assert(!std::constructible_from<Conv2d, int, int>);
static_assert(!std::constructible_from<Conv2d, int, int, ReLU>);
static_assert(!std::constructible_from<Conv1d, int, int, ReLU>);
static_assert(!std::constructible_from<ConvTranspose2d, int, int, ReLU>);
static_assert(!std::constructible_from<Conv2d, int, int, int, const char*>);
static_assert(!std::constructible_from<Dense, int, int, const char*>);
static_assert(std::constructible_from<Dense, int, int, DenseOptions>);

TEST_CASE("errors along one axis, and of transposes, show the caller's own words") {
  const Tensor x = Tensor::ones({2, 6, 3}), w = Tensor::ones({3, 3, 8});
  CHECK(message([&] {
          conv1d(Tensor::ones({6, 3}), w);
        }) ==
        "conv1d: expected x [n, w, c] and w [kw, c / groups, k]; got [6, 3] and [3, 3, 8]. Hint: "
        "one signal [w, c] is unsqueeze(signal, 0).");
  CHECK(message([&] {
          conv1d(Tensor::ones({2, 3, 6}), w);
        }) ==
        "conv1d: x [2, 3, 6] and w [3, 3, 8] do not fit: x has 6 channels and w takes 3. Hint: "
        "channels are the last axis: permute(x, {0, 2, 1}).");
  CHECK(message([&] {
          conv1d(Tensor::ones({2, 2, 3}), w);
        }) ==
        "conv1d: the kernel reaches over 3 pixels of the 2 there are with padding; got x [2, 2, 3] "
        "and w [3, 3, 8]. Hint: padding, or fewer layers that shrink the image.");
  CHECK(message([&] { conv1d(x, w, {}, {.stride = -1}); }) ==
        "conv1d: expected stride, dilation and groups of at least 1 and padding of at least 0; got "
        "stride -1, dilation 1, padding 0, groups 1.");
  CHECK(message([&] {
          conv1d(x, w, {}, {.stride = {2, 3}});
        }) == "conv1d: expected one number for the stride; got 2x3.");
  CHECK(message([&] { conv1d(x, w, Tensor::ones({3})); }) ==
        "conv1d: b must be [8] for w [3, 3, 8]; got [3].");
  CHECK(message([&] {
          conv1d(x, Tensor::ones({0, 3, 8}), {}, {.padding = kSame});
        }) == "conv1d: a kernel has at least 1 weight; got w [0, 3, 8].");
  const Tensor y = Tensor::ones({2, 6, 6, 4});
  CHECK(message([&] {
          conv_transpose2d(y, Tensor::ones({3, 3, 2, 4}), {}, {.groups = 3});
        }) ==
        "conv_transpose2d: x [2, 6, 6, 4] and w [3, 3, 2, 4] do not fit: x has 4 channels and w "
        "takes 4 in 3 groups. Hint: w is [kh, kw, k / groups, c]; groups divide c and k.");
  CHECK(message([&] {
          conv_transpose2d(y, Tensor::ones({3, 3, 4, 2}));
        }) ==
        "conv_transpose2d: x [2, 6, 6, 4] and w [3, 3, 4, 2] do not fit: x has 4 channels and w "
        "takes 2. Hint: w is [kh, kw, k / groups, c]; groups divide c and k.");
  CHECK(message([&] {
          conv_transpose1d(x, Tensor::ones({1, 2, 3}), {}, {.padding = 3});
        }) ==
        "conv_transpose1d: nothing is left of x [2, 6, 3] with w [1, 2, 3] and padding 3. Hint: "
        "less padding.");
  // A tape's errors too: the saved x is the caller's.
  Tensor leaf = Tensor::ones({2, 6, 3}), weight = Tensor::ones({3, 3, 8}).requires_grad_();
  const Tensor z = conv1d(leaf, weight);
  leaf.fill_(2);
  CHECK(message([&] { backward(z, z.clone()); }).starts_with("backward through conv1d: "));
  CHECK(message([] { Conv2d(3, 4, 3, {.stride = 0}); }) ==
        "Conv2d: expected stride, dilation and groups of at least 1 and padding of at least 0; got "
        "stride 0, dilation 1, padding 0, groups 1.");
  CHECK(message([] { ConvTranspose1d(3, 4, 3, {.output_padding = 1}); }) ==
        "ConvTranspose1d: expected an output_padding of at least 0 and below the stride or the "
        "dilation; got 1.");
}

TEST_CASE("sizes that overflow or that no machine holds: an error before memory is taken") {
  const Tensor x = Tensor::ones({1, 5, 6, 2}), w = Tensor::ones({3, 3, 2, 4});
  const Tensor signal = Tensor::ones({1, 5, 2}), v = Tensor::ones({3, 2, 4});
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (const int64_t n :
       {kHuge, kHuge - 1, int64_t{1} << 62, int64_t{1} << 59, int64_t{1} << 57, int64_t{1} << 40}) {
    INFO(n);
    const auto is_error = [](auto f) { return message(f) != "no error"; };
    CHECK(is_error([&] { conv2d(x, w, {}, {.padding = n}); }));
    CHECK(is_error([&] { conv2d(x, w, {}, {.padding = {0, n}}); }));
    CHECK(is_error([&] { conv2d(x, w, {}, {.padding = {n, 0}, .dilation = {n, 1}}); }));
    CHECK(is_error([&] { conv2d(x, w, {}, {.stride = n, .padding = n}); }));
    CHECK(is_error([&] { conv2d(x, w, {}, {.dilation = n}); }));
    CHECK(is_error([&] { conv2d(x, w, {}, {.padding = kSame, .dilation = n}); }));
    CHECK(is_error([&] { conv2d(x, w, {}, {.groups = n}); }));
    CHECK(is_error([&] { conv1d(signal, v, {}, {.padding = n}); }));
    const Tensor u = Tensor::ones({3, 3, 4, 2}), t = Tensor::ones({3, 4, 2});
    CHECK(is_error([&] { conv_transpose2d(x, u, {}, {.stride = n}); }));
    CHECK(is_error([&] { conv_transpose2d(x, u, {}, {.padding = n}); }));
    CHECK(
        is_error([&] { conv_transpose1d(signal, t, {}, {.stride = n, .output_padding = n - 1}); }));
    CHECK(is_error([&] { conv_transpose1d(signal, t, {}, {.dilation = n}); }));
    CHECK(is_error([&] { Conv2d(1, 1, n); }));
    CHECK(is_error([&] { Conv1d(1, n, n); }));
  }
  // Steps that leave one window are right, whatever their size, and their derivatives end.
  for (const int64_t n : {int64_t{1} << 40, kMaxElements}) {
    Tensor leaf = Tensor::ones({1, 5, 6, 2}).requires_grad_();
    const Tensor y = conv2d(leaf, w, {}, {.stride = n});
    CHECK(y.values() == std::vector<double>(4, 18));
    backward(y, y.clone());
    CHECK(sum(leaf.grad()).item() == 18 * 18 * 4);
    check_close(
        conv_transpose1d(Tensor::ones({1, 1, 2}), Tensor::ones({3, 4, 2}), {}, {.stride = n}),
        2 * Tensor::ones({1, 3, 4}), 0);
  }
}

TEST_CASE("layers: parameters, descriptions, shapes") {
  seed_layers(3);
  Conv2d a(3, 8, {3, 5}, ReLU{}, {.stride = 2, .bias = false});
  CHECK(a.describe() == "Conv2d(3, 8, 3x5, relu, stride 2, no bias)");
  CHECK(a.named_parameters().size() == 1);
  CHECK(a(Tensor::ones({1, 9, 9, 3})).shape() == Shape{1, 4, 3, 8});
  Conv1d b(4, 6, 3, {.padding = kSame});
  CHECK(b(Tensor::ones({2, 7, 4})).shape() == Shape{2, 7, 6});
  CHECK(b.describe() == "Conv1d(4, 6, 3, padding same)");
  ConvTranspose2d c(4, 6, 2, ReLU{}, {.stride = 2});
  CHECK(c(Tensor::ones({2, 7, 5, 4})).shape() == Shape{2, 14, 10, 6});
  CHECK(c.describe() == "ConvTranspose2d(4, 6, 2, relu, stride 2)");
  CHECK(Conv2d(4, 8, 3, {.padding = {1, 2}, .dilation = 2, .groups = 4}).describe() ==
        "Conv2d(4, 8, 3, padding 1x2, dilation 2, groups 4)");
  CHECK(Conv1d(4, 8, 3, {.stride = 2, .padding = 1, .dilation = 3, .groups = 2}).describe() ==
        "Conv1d(4, 8, 3, stride 2, padding 1, dilation 3, groups 2)");
  CHECK(ConvTranspose2d(4, 8, 3, {.stride = 2, .padding = 1, .output_padding = 1}).describe() ==
        "ConvTranspose2d(4, 8, 3, stride 2, padding 1, output_padding 1)");
  ConvTranspose1d e(4, 6, 2, ReLU{}, {.stride = 2});
  CHECK(e(Tensor::ones({2, 7, 4})).shape() == Shape{2, 14, 6});
  CHECK(e.describe() == "ConvTranspose1d(4, 6, 2, relu, stride 2)");
  // He: the variance of the weights is 2 / fan-in
  double square = 0;
  Conv2d d(64, 64, 3, ReLU{});
  for (const double w : d.weight.values()) square += w * w;
  CHECK(square / static_cast<double>(d.weight.numel()) ==
        doctest::Approx(2. / (9 * 64)).epsilon(0.03));
}
