#include <cmath>

#include "fixture.h"
#include "my_activations.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "threads.h"

using namespace ramp;

namespace {

const std::map<std::string, Activation> activations = {
    {"identity", Identity{}}, {"relu", ReLU{}},   {"leaky_relu", LeakyReLU{0.1}},
    {"sigmoid", MySigmoid{}}, {"tanh", MyTanh{}}, {"softplus", MySoftplus{}},
};

double tolerance(DType t) { return t == f32 ? 5e-6 : 1e-13; }

Tensor random(const Shape& shape, uint64_t seed, DType dtype = f64) {
  Rng rng(seed);
  return rng.normal(shape, 0, 1, dtype);
}

}  // namespace

TEST_CASE("matmul is PyTorch's, with every transposition and broadcast") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("linear")) {
    if (f.name.rfind("matmul", 0) != 0) continue;
    INFO(f.name);
    ++cases;
    const Tensor a = f.leaf("a"), b = f.leaf("b");
    const Tensor y = matmul(a, b, static_cast<Trans>(static_cast<int>(f.number("trans"))));
    check_close(y, f.tensor("y"), tolerance(a.dtype()));
    backward(y, f.tensor("dy"));
    check_close(a.grad(), f.tensor("da"), tolerance(a.dtype()));
    check_close(b.grad(), f.tensor("db"), tolerance(a.dtype()));
  }
  CHECK(cases == 28);
}

TEST_CASE("linear is PyTorch's, with each activation") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("linear")) {
    if (f.name.rfind("linear", 0) != 0) continue;
    INFO(f.name);
    ++cases;
    const std::string name = f.name.substr(7, f.name.find(' ', 7) - 7);
    const Tensor x = f.leaf("x"), w = f.leaf("w"), b = f.has("b") ? f.leaf("b") : Tensor();
    const Tensor y = linear(x, w, b, activations.at(name));
    check_close(y, f.tensor("y"), tolerance(x.dtype()));
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), tolerance(x.dtype()));
    check_close(w.grad(), f.tensor("dw"), tolerance(x.dtype()));
    if (b.defined()) check_close(b.grad(), f.tensor("db"), tolerance(x.dtype()));
  }
  CHECK(cases == 50);
}

TEST_CASE("the derivatives, and no node is left behind") {
  const int64_t before = live_nodes();
  for (const Trans trans : {Trans::none, Trans::a, Trans::b, Trans::both}) {
    const Shape a = transposes_a(trans) ? Shape{2, 1, 4, 3} : Shape{2, 1, 3, 4};
    const Shape b = transposes_b(trans) ? Shape{2, 5, 4} : Shape{2, 4, 5};
    CHECK(gradcheck([=](const auto& in) { return matmul(in[0], in[1], trans); },
                    {random(a, 1), random(b, 2)}) == "");
  }
  for (const auto& named : activations) {
    INFO(named.first);
    const Activation& f = named.second;
    CHECK(gradcheck([&](const auto& in) { return linear(in[0], in[1], in[2], f); },
                    {random({2, 3, 4}, 3), random({4, 5}, 4), random({5}, 5)}) == "");
    CHECK(gradcheck([&](const auto& in) { return linear(in[0], in[1], {}, f); },
                    {random({4}, 6), random({4, 5}, 7)}) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("linear is matmul, bias and activation one by one") {
  for (const DType dtype : {f32, f64}) {
    const Tensor x = random({70, 50}, 1, dtype), w = random({50, 33}, 2, dtype);
    const Tensor b = random({33}, 3, dtype);
    for (const auto& named : activations) {
      INFO(named.first);
      const Activation& f = named.second;
      const Tensor z = matmul(x, w) + b;
      check_close(linear(x, w, b, f), activate(z, f), tolerance(dtype));
    }
  }
}

TEST_CASE("only the gradients that are wanted are computed") {
  const Tensor x = random({6, 4}, 1), w = random({4, 5}, 2), b = random({5}, 3);
  const auto gradients = [&](bool on_x, bool on_w, bool on_b) {
    Tensor p = x.clone(), q = w.clone(), r = b.clone();
    p.requires_grad_(on_x);
    q.requires_grad_(on_w);
    r.requires_grad_(on_b);
    backward(linear(p, q, r, ReLU{}), Tensor::ones({6, 5}, f64));
    CHECK(p.grad().defined() == on_x);
    CHECK(q.grad().defined() == on_w);
    CHECK(r.grad().defined() == on_b);
    return std::array{p.grad(), q.grad(), r.grad()};
  };
  const auto all = gradients(true, true, true);
  check_close(gradients(true, false, false)[0], all[0], 0);
  check_close(gradients(false, true, false)[1], all[1], 0);
  check_close(gradients(false, false, true)[2], all[2], 0);
  CHECK_FALSE(linear(x, w, b, ReLU{}).requires_grad());
}

TEST_CASE("equal bits for 1 and 2 threads") {
  for (const Shape& shape : {Shape{300, 200}, Shape{64, 784}, Shape{1000, 17}, Shape{1, 900}}) {
    for (const auto& named : activations) {
      INFO(named.first);
      const Activation& f = named.second;
      check_equal_bits([&] {
        const Tensor x = random(shape, 1, f32).requires_grad_();
        const Tensor w = random({shape.last(), 130}, 2, f32).requires_grad_();
        const Tensor b = random({130}, 3, f32).requires_grad_();
        const Tensor y = linear(x, w, b, f);
        backward(y, random(y.shape(), 4, f32));
        return std::vector{y, x.grad(), w.grad(), b.grad()};
      });
    }
  }
  check_equal_bits([] {
    return matmul(random({40, 20, 30}, 1, f32), random({40, 30, 20}, 2, f32));
  });
}

TEST_CASE("empty batches and sides of 0") {
  struct Case {
    Shape x, w;
  };
  for (const Case& c : {Case{{0, 4}, {4, 5}}, Case{{3, 0}, {0, 5}}, Case{{3, 4}, {4, 0}},
                        Case{{2, 0, 4}, {4, 5}}, Case{{0}, {0, 5}}, Case{{0, 0}, {0, 0}}}) {
    INFO(c.x.str() << " " << c.w.str());
    const int64_t out = c.w[1];
    const Tensor x = Tensor::ones(c.x, f64).requires_grad_();
    const Tensor w = Tensor::ones(c.w, f64).requires_grad_();
    const Tensor b = Tensor::full({out}, 7, f64).requires_grad_();
    const Tensor y = linear(x, w, b, ReLU{});
    CHECK(y.shape().last() == out);
    for (const double v : y.values()) CHECK(v == 7 + c.w[0]);
    backward(y, Tensor::ones(y.shape(), f64));
    CHECK(x.grad().values() == std::vector<double>(x.numel(), 1. * out));
    const int64_t rows = c.x.without(c.x.rank() - 1).numel();
    CHECK(w.grad().values() == std::vector<double>(w.numel(), 1. * rows));
    CHECK(b.grad().values() == std::vector<double>(out, 1. * rows));
    if (c.x.rank() < 2) continue;
    const Tensor p = Tensor::ones(c.x, f64).requires_grad_();
    const Tensor q = Tensor::ones(c.w, f64).requires_grad_();
    const Tensor z = matmul(p, q);
    CHECK(z.values() == std::vector<double>(rows * out, 1. * c.w[0]));
    backward(z, Tensor::ones(z.shape(), f64));
    CHECK(p.grad().values() == x.grad().values());
    CHECK(q.grad().values() == w.grad().values());
  }
  CHECK(matmul(Tensor::ones({0, 2, 3}), Tensor::ones({3, 4})).shape() == Shape{0, 2, 4});
  CHECK(matmul(Tensor::ones({2, 3, 0}), Tensor::ones({0, 4})).values() ==
        std::vector<double>(24, 0));
  CHECK(matmul(Tensor::ones({0, 2, 3}), Tensor::ones({1, 3, 4})).shape() == Shape{0, 2, 4});
}

TEST_CASE("NaN in a row of x stays in its row of y, also through relu") {
  Tensor x = Tensor::ones({3, 4});
  x.mutable_data<float>()[5] = NAN;
  const std::vector<double> y = linear(x, Tensor::ones({4, 2}), {}, ReLU{}).values();
  CHECK(y[0] == 4);
  CHECK(std::isnan(y[2]));
  CHECK(std::isnan(y[3]));
  CHECK(y[4] == 4);
}

TEST_CASE("at the kink of relu the gradient is 0") {
  const Tensor x = Tensor::of<float>({-1, 0, 2}, {3, 1}).requires_grad_();
  backward(linear(x, Tensor::ones({1, 1}), {}, ReLU{}), Tensor::ones({3, 1}));
  CHECK(x.grad().values() == std::vector<double>{0, 0, 1});
}

TEST_CASE("a result that was changed in place is caught") {
  const Tensor x = random({2, 3}, 1), w = random({3, 2}, 2).requires_grad_();
  Tensor y = linear(x, w, {}, ReLU{});
  {
    const NoGrad no_grad;
    y.mul_(2);
  }
  CHECK_THROWS_WITH_AS(backward(y, Tensor::ones({2, 2}, f64)),
                       "backward through linear: y [2, 2] was changed in place after the op saved "
                       "it (version 2, now 3). Hint: change a clone().",
                       Error);
}

TEST_CASE("a user's mistakes") {
  const Tensor x = Tensor::ones({2, 3}), w = Tensor::ones({3, 4}), b = Tensor::ones({4});
  CHECK_THROWS_WITH_AS(
      linear(x, Tensor::ones({4, 3}), b),
      "linear: x [2, 3] and w [4, 3] do not fit: x's last dimension must equal w's "
      "first. Hint: w is [in, out]; reshape x to [.., in].",
      Error);
  CHECK_THROWS_AS(linear(x, Tensor::ones({3}), b), Error);
  CHECK_THROWS_AS(linear(Tensor::scalar(1), w, b), Error);
  CHECK_THROWS_WITH_AS(linear(x, w, Tensor::ones({3})),
                       "linear: b must be [4] for w [3, 4]; got [3].", Error);
  CHECK_THROWS_AS(linear(x, w, Tensor::ones({1, 4})), Error);
  CHECK_THROWS_WITH_AS(
      linear(x, w.to(f64), b),
      "linear: w and x must have the same dtype; got f64 [3, 4] and f32 [2, 3]. Hint: x.to(f64).",
      Error);
  CHECK_THROWS_WITH_AS(
      linear(x, w, b.to(f64)),
      "linear: w and b must have the same dtype; got f32 [3, 4] and f64 [4]. Hint: b.to(f32).",
      Error);
  CHECK_THROWS_WITH_AS(linear(x.to(i64), w.to(i64)),
                       "linear: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).", Error);
  CHECK_THROWS_AS(linear({}, w, b), Error);
  CHECK_THROWS_AS(linear(x, {}, b), Error);

  CHECK_THROWS_WITH_AS(
      matmul(x, Tensor::ones({5, 3})),
      "matmul: a [2, 3] and b [5, 3] do not fit: a's last dimension (3) must equal "
      "b's first (5). Hint: matmul(a, b, Trans::b).",
      Error);
  CHECK_THROWS_WITH_AS(
      matmul(x, Tensor::ones({5, 7})),
      "matmul: a [2, 3] and b [5, 7] do not fit: a's last dimension (3) must equal "
      "b's first (5). Hint: reshape one of them.",
      Error);
  CHECK_THROWS_WITH_AS(matmul(x, Tensor::ones({3})),
                       "matmul: a [2, 3] and b [3] must have at least two axes. Hint: reshape a "
                       "vector to [1, n] or [n, 1].",
                       Error);
  CHECK_THROWS_WITH_AS(
      matmul(x, w.to(f64)),
      "matmul: a and b must have the same dtype; got f32 [2, 3] and f64 [3, 4]. Hint: b.to(f32).",
      Error);
  CHECK_THROWS_WITH_AS(matmul(x.to(i64), w.to(i64)),
                       "matmul: a and b must be f32 or f64; got i64 [2, 3] and [3, 4]. Hint: "
                       "a.to(f32).",
                       Error);
  CHECK_THROWS_WITH_AS(matmul(Tensor::ones({2, 3, 4}), Tensor::ones({3, 4, 5})),
                       "matmul: a [2, 3, 4] and b [3, 4, 5] do not fit: the axes before the last "
                       "two must be equal or 1; got 2 and 3. Hint: reshape one of them.",
                       Error);
  CHECK_THROWS_WITH_AS(matmul(x, Tensor::ones({2, 5, 6})),
                       "matmul: a [2, 3] and b [2, 5, 6] do not fit: a's last dimension (3) must "
                       "equal b's second to last (5). Hint: reshape one of them.",
                       Error);
  CHECK_THROWS_WITH_AS(matmul(x, Tensor::ones({5, 6}), Trans::a),
                       "matmul: a [2, 3] and b [5, 6] do not fit: a's first dimension (2) must "
                       "equal b's first (5). Hint: reshape one of them.",
                       Error);
  CHECK_THROWS_WITH_AS(linear(x, Tensor::ones({3})), "linear: w must be [in, out]; got [3].",
                       Error);
  CHECK_THROWS_AS(matmul({}, w), Error);
  CHECK_THROWS_AS(matmul(x, {}), Error);
}
