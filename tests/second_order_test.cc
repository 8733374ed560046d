// Derivatives of derivatives: grad(), passes that create a graph, and what is made of them. That
// each op has a second derivative is checked in op_coverage_test.cc.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>

#include "fixture.h"
#include "ramp/ramp.h"

using namespace ramp;

namespace {

Tensor f64_leaf(std::initializer_list<double> values) {
  Tensor x = Tensor::of(values);
  return x.requires_grad_();
}
std::vector<double> list(const Tensor& x) { return x.values(); }
// d/dx of sum(y), on the tape.
Tensor next(const Tensor& y, const Tensor& x) {
  return grad(sum(y), {x}, {.create_graph = true})[0];
}
void check_values(const Tensor& x, const std::vector<double>& expected, double tolerance = 1e-12) {
  REQUIRE(x.numel() == static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(x.values()[i] == doctest::Approx(expected[i]).epsilon(tolerance));
}

}  // namespace

TEST_CASE("grad: leaves and results, and no .grad is touched") {
  const Tensor x = f64_leaf({1, 2, 3}), w = f64_leaf({2, 2, 2});
  const Tensor h = x * w, y = sum(h * h);
  const auto d = grad(y, {x, h, y}, {.retain_graph = true});
  CHECK(list(d[0]) == std::vector<double>{8, 16, 24});
  CHECK(list(d[1]) == std::vector<double>{4, 8, 12});
  CHECK(list(d[2]) == std::vector<double>{1});
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(w.grad().defined());
  CHECK_FALSE(d[0].requires_grad());
  CHECK(list(grad(h, {w}, {.dy = Tensor::of<double>({1, 0, 2})})[0]) ==
        std::vector<double>{1, 0, 6});
}

TEST_CASE("grad: errors") {
  const Tensor x = f64_leaf({1, 2}), z = f64_leaf({1}), c = Tensor::of<double>({1});
  const Tensor y = sum(x * x);
  CHECK_THROWS_WITH_AS(
      grad(y, {z}),
      "grad: y [] does not depend on x[0] [1]. Hint: .allow_unused = true gives no "
      "gradient.",
      Error);
  CHECK_FALSE(grad(y, {z}, {.allow_unused = true, .retain_graph = true})[0].defined());
  CHECK_THROWS_WITH_AS(
      grad(y, {c}),
      "grad: x[0] [1] requires no gradient. Hint: requires_grad_() before y is computed.", Error);
  CHECK_THROWS_WITH_AS(grad(x * x, {x}),
                       "grad: expected y to be a scalar; got [2]. Hint: grad(mean(y)), or give dy.",
                       Error);
  CHECK_THROWS_AS(grad(c, {x}), Error);
  grad(y, {x});
  CHECK_THROWS_WITH_AS(grad(y, {x}), doctest::Contains("was freed by an earlier pass. Hint: "),
                       Error);
}

TEST_CASE("grad: only what leads to an x is computed") {
  int calls = 0;
  const Tensor x = f64_leaf({1}), w = f64_leaf({2});
  Tensor h = w * w;
  h.hook([&](const Tensor&) {
    ++calls;
    return Tensor{};
  });
  const Tensor y = sum(x * h);
  CHECK(list(grad(y, {x}, {.retain_graph = true})[0]) == std::vector<double>{4});
  CHECK(calls == 0);
  CHECK(list(grad(y, {w})[0]) == std::vector<double>{4});
  CHECK(calls == 1);
}

TEST_CASE("third order: x^5, tanh, an MLP") {
  const int64_t before = live_nodes();
  {
    const Tensor x = f64_leaf({-1.5, 0.25, 2});
    const Tensor y = pow(x, 5), d3 = next(next(next(y, x), x), x);
    check_values(d3, {60 * 2.25, 60 * 0.0625, 60 * 4.0});
    const Tensor t = tanh(x), t3 = next(next(next(t, x), x), x);
    std::vector<double> expected;
    for (const double v : x.values()) {
      const double y = std::tanh(v), s = 1 - y * y;
      expected.push_back(-2 * s * (1 - 3 * y * y));
    }
    check_values(t3, expected);
    CHECK(grad(sum(t3), {x})[0].defined());
  }
  CHECK(live_nodes() == before);
  // An MLP of one input: u''' of the tape against central differences of u''.
  seed_layers(3);
  Sequential net{Dense(1, 8, Tanh{}), Dense(8, 8, GELU{}), Dense(8, 1)};
  net.to(f64);
  const auto d2 = [&](double at) {
    Tensor x = Tensor::of<double>({{at}});
    x.requires_grad_();
    const Tensor u2 = next(next(net(x), x), x);
    return std::pair{u2.item(), grad(sum(u2), {x})[0].item()};
  };
  for (const double at : {-1.0, 0.3, 2.0}) {
    const double h = 1e-5;
    CHECK(d2(at).second ==
          doctest::Approx((d2(at + h).first - d2(at - h).first) / (2 * h)).epsilon(1e-6));
  }
}

TEST_CASE("backward with create_graph: .grad is on the tape") {
  const int64_t before = live_nodes();
  {
    Tensor x = f64_leaf({1, 2});
    backward(sum(pow(x, 3)), {}, {.create_graph = true});
    CHECK(list(x.grad()) == std::vector<double>{3, 12});
    CHECK(x.grad().requires_grad());
    const Tensor dx = x.grad();
    const Tensor penalty = sum(dx * dx);  // 9 x^4, derivative 36 x^3
    x.zero_grad();
    penalty.backward();
    CHECK(list(x.grad()) == std::vector<double>{36, 288});
    CHECK_FALSE(x.grad().requires_grad());
  }
  CHECK(live_nodes() == before);
  {  // gradients add up, with their history
    Tensor x = f64_leaf({2});
    for (int i = 0; i < 2; ++i) backward(sum(x * x), {}, {.create_graph = true});
    CHECK(x.grad().item() == 8);
    CHECK(grad(x.grad(), {x}, {.dy = Tensor::of<double>({1})})[0].item() == 4);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("no circle keeps a tape alive") {
  const int64_t before = live_nodes();
  {  // the gradient of x leads back to x
    Tensor x = f64_leaf({1, 2});
    backward(sum(exp(x)), {}, {.create_graph = true});
    CHECK(live_nodes() > before + 1);
    CHECK(x.grad().requires_grad());  // as long as someone holds x
  }
  CHECK(live_nodes() == before);
  {  // two leaves in one circle, and one that is held
    Tensor a = f64_leaf({1}), held = f64_leaf({2});
    {
      Tensor b = f64_leaf({3});
      backward(sum(a * b * held), {}, {.create_graph = true});
    }
    CHECK(grad(held.grad(), {a}, {.dy = Tensor::of<double>({1}), .retain_graph = true})[0].item() ==
          3);
    Tensor kept = held.grad();
    held = {};
    a = {};
    CHECK(live_nodes() > before);
    CHECK(kept.item() == 3);
  }
  CHECK(live_nodes() == before);
  Tensor x = f64_leaf({1});
  backward(sum(x * x), {}, {.create_graph = true});
  x.zero_grad();
  CHECK(live_nodes() == before + 1);
}

TEST_CASE("an op of the user's own: rules made of ops go on, others are an error that names them") {
  const auto cube = [](const Tensor& x) {
    return record("cube", pow(x.detach(), 3), {x}, [x = Saved(x, "x")](const Tensor& dy, Wants) {
      return 3 * x.get() * x.get() * dy;
    });
  };
  const auto raw = [](const Tensor& x) {
    return record("raw", x.detach() * 2.0, {x},
                  [](const Tensor& dy, Wants) { return dy.detach() * 2.0; });
  };
  const Tensor x = f64_leaf({1, -2});
  check_values(next(next(cube(x), x), x), {6, -12});
  CHECK(gradgradcheck([&](const auto& v) { return cube(v[0]); }, {x}) == "");
  CHECK_THROWS_WITH_AS(
      next(raw(x), x),
      "backward through raw: its derivative is not made of recorded ops, so it has none itself "
      "(create_graph). Hint: write it in ramp's ops, or with recorded_vjp().",
      Error);
  CHECK(list(grad(sum(raw(x)), {x})[0]) == std::vector<double>{2, 2});
  // The result of an op, and a wrong second derivative.
  const auto own_exp = [](const Tensor& x, bool cut, double factor) {
    const Tensor y = exp(x.detach());
    return record("own_exp", y, {x}, [=, y = Saved(y, "y")](const Tensor& dy, Wants) {
      const Tensor d = cut ? y.get().detach() : y.get();
      return grad_enabled() ? dy * d * factor : dy * d;
    });
  };
  const auto checked = [&](bool cut, double factor) {
    return gradgradcheck([&](const auto& v) { return own_exp(v[0], cut, factor); }, {x});
  };
  CHECK(checked(false, 1) == "");
  CHECK(checked(true, 1).starts_with("input 0 [2] at flat index 0: the derivative gives 0"));
  CHECK(checked(false, 1.001).starts_with("with create_graph the gradients differ"));
}

TEST_CASE("saved values keep their versions") {
  Tensor x = f64_leaf({1, 2});
  const Tensor y = sum(pow(x, 3)), dx = grad(y, {x}, {.create_graph = true})[0];
  {
    const NoGrad no_grad;
    x.fill_(3);
  }
  CHECK_THROWS_WITH_AS(grad(sum(dx), {x}), doctest::Contains("x [2] was changed in place"), Error);
}

TEST_CASE("vjp, jvp, hessian_vector_product, jacobian, hessian") {
  const Tensor a = Tensor::of<double>({{1, 2, 3}, {4, 5, 6}}), x = Tensor::of<double>({1, -1, 2});
  const auto f = [&](const Tensor& x) { return pow(matmul(a, reshape(x, {3, 1})), 2).view({2}); };
  // J = 2 (a x)_i a_ij, a x = (5, 11)
  check_values(jacobian(f, x), {10, 20, 30, 88, 110, 132});
  CHECK(jacobian(f, x).shape() == Shape{2, 3});
  check_values(vjp(f, x, Tensor::of<double>({1, 2})), {186, 240, 294});
  check_values(jvp(f, x, Tensor::of<double>({1, 0, -1})), {-20, -44});
  const auto g = [&](const Tensor& x) { return sum(f(x)); };  // H = 2 a^T a
  check_values(hessian(g, x), {34, 44, 54, 44, 58, 72, 54, 72, 90});
  check_values(hessian_vector_product(g, x, Tensor::of<double>({1, 0, -1})), {-20, -28, -36});
  // Functions without x, or linear in it.
  check_values(hessian([](const Tensor& x) { return sum(3 * x); }, x), std::vector<double>(9, 0));
  check_values(jacobian([&](const Tensor&) { return a; }, x), std::vector<double>(18, 0));
  check_values(jvp([&](const Tensor&) { return sum(a); }, x, x), {0});
  CHECK_THROWS_AS(hessian(f, x), Error);
  // On the tape: d/dx of v^T H v for x^4 is 24 x v^2.
  Tensor at = f64_leaf({1, 2});
  const Tensor v = Tensor::of<double>({1, 3});
  const Tensor hv =
      hessian_vector_product([](const Tensor& x) { return sum(pow(x, 4)); }, at, v, true);
  check_values(grad(sum(hv * v), {at})[0], {24, 432});
  CHECK_FALSE(vjp(f, x, Tensor::of<double>({1, 2})).requires_grad());
}

TEST_CASE("a pass with create_graph gives the gradients of one without") {
  seed_layers(1);
  Sequential net{Conv2d(2, 4, 3, ReLU{}, {.padding = 1}),
                 BatchNorm(4, LeakyReLU{}),
                 MaxPool2d(2),
                 Flatten{},
                 Dense(16, 8, GELU{}),
                 Dense(8, 3)};
  Rng rng(5);
  const Tensor x = rng.normal({5, 4, 4, 2}), labels = Tensor::of<int64_t>({0, 1, 2, 0, 1});
  const std::vector<Tensor> w = net.parameters();
  const auto gradients = [&](bool create) {
    return grad(cross_entropy(net(x), labels), w, {.create_graph = create});
  };
  const auto plain = gradients(false), again = gradients(true);
  for (size_t i = 0; i < w.size(); ++i) {
    for (int64_t k = 0; k < w[i].numel(); ++k) {
      CHECK(again[i].values()[size_t(k)] ==
            doctest::Approx(plain[i].values()[size_t(k)]).epsilon(1e-4).scale(0.1));
    }
  }
}

namespace {

// An op by the name of its case; the tensors are the case's inputs in their order.
using Op = std::function<Tensor(const std::vector<Tensor>& v)>;
std::map<std::string, Op> ops(const Fixture& f) {
  const Tensor labels = Tensor::of<int64_t>({1, 0, 3});
  const auto linear_with = [](const Activation& a) {
    return [a](const std::vector<Tensor>& v) { return linear(v[0], v[1], v[2], a); };
  };
  const auto conv_with = [](const ConvOptions& o, const Activation& a = Identity{}) {
    return [=](const std::vector<Tensor>& v) { return conv2d(v[0], v[1], v[2], o, a); };
  };
  const auto transposed = [](const ConvTransposeOptions& o) {
    return [=](const std::vector<Tensor>& v) { return conv_transpose2d(v[0], v[1], v[2], o); };
  };
  const auto batch_norm_with = [](bool training) {
    return [=](const std::vector<Tensor>& v) {
      Tensor mean = Tensor::of<double>({0.1, -0.2, 0.3}).to(f32).to(f64),
             var = Tensor::of<double>({0.5, 1, 2});
      return batch_norm(v[0], v[1], v[2], mean, var, {.training = training, .eps = 1e-3});
    };
  };
  using V = const std::vector<Tensor>&;
  return {
      {"linear identity", linear_with(Identity{})},
      {"linear relu", linear_with(ReLU{})},
      {"linear tanh", linear_with(Tanh{})},
      {"linear sigmoid", linear_with(Sigmoid{})},
      {"linear gelu", linear_with(GELU{})},
      {"conv2d plain", conv_with({})},
      {"conv2d stride", conv_with({.stride = 2, .padding = 1})},
      {"conv2d dilation", conv_with({.padding = 2, .dilation = 2})},
      {"conv2d groups", conv_with({.padding = 1, .groups = 2})},
      {"conv2d silu", conv_with({.padding = 1}, SiLU{})},
      {"conv2d relu max_pool", [](V v) { return conv2d_max_pool(v[0], v[1], v[2], {}, ReLU{}); }},
      {"conv_transpose2d plain", transposed({})},
      {"conv_transpose2d stride", transposed({.stride = 2, .padding = 1, .output_padding = 1})},
      {"batch_norm training", batch_norm_with(true)},
      {"batch_norm evaluation", batch_norm_with(false)},
      {"layer_norm", [](V v) { return layer_norm(v[0], v[1], v[2], {.eps = 1e-3}); }},
      {"group_norm", [](V v) { return group_norm(v[0], 2, v[1], v[2], 1e-3); }},
      {"softmax", [](V v) { return softmax(v[0]); }},
      {"log_softmax", [](V v) { return log_softmax(v[0]); }},
      {"logsumexp", [](V v) { return logsumexp(v[0], 0); }},
      {"var", [](V v) { return var(v[0], 0); }},
      {"prod", [](V v) { return prod(v[0], 0); }},
      {"matmul", [](V v) { return matmul(v[0], v[1]); }},
      {"max_pool2d", [](V v) { return max_pool2d(v[0], 3, {.stride = 1}); }},
      {"avg_pool2d", [](V v) { return avg_pool2d(v[0] * v[0], 2); }},
      {"cross_entropy", [=](V v) { return cross_entropy(v[0], labels); }},
      {"cross_entropy smooth",
       [=](V v) { return cross_entropy(v[0], labels, {.label_smoothing = 0.1}); }},
      {"nll_loss", [=](V v) { return nll_loss(log_softmax(v[0]), labels); }},
      {"mse_loss", [](V v) { return mse_loss(v[0], v[1]); }},
      {"l1_loss", [](V v) { return l1_loss(v[0], v[1]); }},
      {"huber_loss", [](V v) { return huber_loss(v[0], v[1]); }},
      {"smooth_l1_loss", [](V v) { return smooth_l1_loss(v[0], v[1]); }},
      {"bce_loss", [](V v) { return bce_loss(v[0], v[1]); }},
      {"bce_with_logits", [](V v) { return bce_with_logits(v[0], v[1]); }},
      {"kl_div",
       [](V v) { return kl_div(log_softmax(v[0]), v[1], {.reduction = Reduction::sum}); }},
      {"kl_div log",
       [](V v) {
         return kl_div(log_softmax(v[0]), log_softmax(v[1]),
                       {.log_target = true, .reduction = Reduction::sum});
       }},
      {"gaussian_nll", [](V v) { return gaussian_nll_loss(v[0], v[1], v[2]); }},
      {"poisson_nll", [f](V v) { return poisson_nll_loss(v[0], f.tensor("counts")); }},
      {"cosine_similarity", [](V v) { return cosine_similarity(v[0], v[1]); }},
      {"prelu", [](V v) { return prelu(v[0], v[1]); }},
  };
}

}  // namespace

TEST_CASE("second derivatives are PyTorch's") {
  for (const Fixture& f : read_fixtures("second")) {
    INFO(f.name);
    std::vector<std::string> keys;
    for (const char* key : {"x", "w", "gamma", "t", "beta", "b"})
      if (f.has(key)) keys.push_back(key);
    if (f.name == "gaussian_nll") keys = {"x", "t", "w"};
    std::vector<Tensor> inputs;
    for (const std::string& key : keys) inputs.push_back(f.leaf(key));
    const auto table = ops(f);
    REQUIRE(table.contains(f.name));
    const Tensor y = table.at(f.name)(inputs), dy = f.leaf("dy");
    const auto first = grad(y, inputs, {.create_graph = true, .dy = dy});
    Tensor s = Tensor::scalar(0, f64);
    for (size_t i = 0; i < keys.size(); ++i) s = s + sum(first[i] * f.tensor("v" + keys[i]));
    inputs.push_back(dy);
    keys.push_back("dy");
    const auto second = grad(s, inputs, {.allow_unused = true});
    for (size_t i = 0; i < keys.size(); ++i) {
      INFO(keys[i]);
      check_close(second[i].defined() ? second[i] : Tensor::zeros(inputs[i].shape(), f64),
                  f.tensor("dd" + keys[i]), 1e-10);
    }
  }
}
