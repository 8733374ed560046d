#include "ramp/glass/step.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_conv.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/core/random.h"
#include "ramp/glass/lessons.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"

using namespace ramp;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

std::string all_lines(const Steps& steps) {
  std::string text;
  for (const TapeStep& s : steps.steps) {
    for (const std::string& line : s.lines) text += line + "\n";
    for (const Addition& a : s.additions)
      for (const std::string& line : a.lines) text += line + "\n";
  }
  return text;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return std::memcmp(a.address(), b.address(),
                     static_cast<size_t>(a.numel()) * (a.dtype() == f64 ? 8 : 4)) == 0;
}

// The gradients of the steps have the bits of backward()'s, at the leaves and in between.
void check_bits(const std::function<Tensor()>& f) {
  TapeWatch watch;
  Tensor loss = f();
  const Steps steps = step_through(loss, watch);
  std::vector<Tensor> kept;
  size_t compared = 0;
  for (const TapeNode& n : steps.nodes)
    if (n.node && !n.leaf) n.node->retains_grad = true;
  for (const TapeNode& n : steps.nodes)
    if (n.leaf && n.node) CHECK_FALSE(n.node->grad.defined());
  backward(loss);
  for (const TapeNode& n : steps.nodes) {
    if (!n.node) continue;
    REQUIRE(n.node->grad.defined() == n.gradient.defined());
    if (!n.gradient.defined()) continue;
    CHECK(same_bits(n.node->grad, n.gradient));
    ++compared;
  }
  CHECK(compared > 1);
  // Each addition leads from the one before it to the whole.
  for (const TapeStep& s : steps.steps)
    for (const Addition& a : s.additions)
      CHECK(same_bits(a.after, a.before.defined() ? a.before + a.product : a.product));
}

}  // namespace

TEST_CASE("ReLU at -1, step by step") {
  TapeWatch watch;
  const Tensor x = watch.name("x", Tensor::scalar(-1, f64).requires_grad_());
  const Tensor y = watch.name("y", relu(x)), loss = watch.name("L", 0.37 * y);
  const Steps steps = step_through(loss, watch);
  CHECK(all_lines(steps) ==
        "y = max(0, x) = max(0, (−1)) = 0\n"
        "L = 0.37 · y = 0.37 · 0 = 0\n"
        "∂L/∂L = 1\n"
        "∂L/∂y = ∂L/∂L · 0.37 = 1 · 0.37 = 0.37\n"
        "∂L/∂x = ∂L/∂y · 1[x > 0] = 0.37 · 0 = 0\n");
  REQUIRE(steps.steps.size() == 4);
  CHECK(steps.steps[3].additions[0].local.item() == 0);
  CHECK_FALSE(x.grad().defined());
  backward(loss);  // the tape is still there
  CHECK(x.grad().item() == 0);
}

TEST_CASE("what the other activations say") {
  const auto lines = [](const std::function<Tensor(const Tensor&)>& f, double at) {
    TapeWatch watch;
    const Tensor x = watch.name("x", Tensor::scalar(at, f64).requires_grad_());
    return all_lines(step_through(watch.name("L", f(x)), watch));
  };
  CHECK(lines([](auto& x) { return leaky_relu(x, 0.01); }, -2) ==
        "L = a · x = 0.01 · (−2) = −0.02\n∂L/∂L = 1\n∂L/∂x = ∂L/∂L · a = 1 · 0.01 = 0.01\n");
  CHECK(lines([](auto& x) { return leaky_relu(x, 0.01); }, 2) ==
        "L = x = 2\n∂L/∂L = 1\n∂L/∂x = ∂L/∂L · 1 = 1 · 1 = 1\n");
  CHECK(lines([](auto& x) { return elu(x, 1); }, -1) ==
        "L = α · (e^x − 1) = 1 · (e^(−1) − 1) = −0.6321\n∂L/∂L = 1\n"
        "∂L/∂x = ∂L/∂L · (L + α) = 1 · 0.3679 = 0.3679\n");
  CHECK(lines([](auto& x) { return sigmoid(x); }, 0) ==
        "L = 1 / (1 + e^−x) = 1 / (1 + e^−0) = 0.5\n∂L/∂L = 1\n"
        "∂L/∂x = ∂L/∂L · L · (1 − L) = 1 · 0.25 = 0.25\n");
  CHECK(lines([](auto& x) { return pow(x, 2); }, 3) ==
        "L = x^2 = 3^2 = 9\n∂L/∂L = 1\n∂L/∂x = ∂L/∂L · 2 · x^(2 − 1) = 1 · 6 = 6\n");
  CHECK(lines([](auto& x) { return gelu(x); }, 0) ==
        "L = gelu(x) = 0\n∂L/∂L = 1\n∂L/∂x = Σ ∂L/∂L · ∂L/∂x = 0.5\n");
}

TEST_CASE("PReLU has a gradient for its slope; what is used twice is added up") {
  TapeWatch watch;
  const Tensor x = watch.name("x", Tensor::scalar(-2, f64).requires_grad_());
  const Tensor a = watch.name("a", Tensor::of<double>({0.25}).requires_grad_());
  const Tensor y = watch.name("y", prelu(x, a));
  const Tensor loss = watch.name("L", y * y);
  CHECK(all_lines(step_through(sum(loss), watch)).find("∂h") == std::string::npos);
  const std::string text = all_lines(step_through(loss, watch));
  CHECK(text ==
        "y = a · x = 0.25 · (−2) = −0.5\n"
        "L = y · y = −0.5 · (−0.5) = 0.25\n"
        "∂L/∂L = 1\n"
        "∂L/∂y += ∂L/∂L · y = 1 · (−0.5) = −0.5\n"
        "∂L/∂y += ∂L/∂L · y = 1 · (−0.5) = −0.5;   −0.5 + (−0.5) = −1\n"
        "∂L/∂x = ∂L/∂y · a = −1 · 0.25 = −0.25\n"
        "∂L/∂a = ∂L/∂y · min(x, 0) = −1 · (−2) = 2\n");
}

TEST_CASE("vectors, matrices, convolutions and losses, element by element") {
  const auto v = [](std::vector<double> values, const Shape& shape) {
    return Tensor::of(values, shape).requires_grad_();
  };
  {
    TapeWatch watch;
    const Tensor x = watch.name("x", Tensor::of<double>({1, 2}, {1, 2})),
                 w = watch.name("w", v({3, 4, 5, 6}, {2, 2})), b = watch.name("b", v({7, 8}, {2}));
    const std::string text =
        all_lines(step_through(watch.name("L", sum(watch.name("y", linear(x, w, b)))), watch));
    CHECK(text.find("y[2] = x[1] · w[1,2] + x[2] · w[2,2] + b[2] = 1 · 4 + 2 · 6 + 8 = 24\n") !=
          std::string::npos);
    CHECK(text.find("∂L/∂w[2,1] = ∂L/∂y[1] · x[2] = 1 · 2 = 2\n") != std::string::npos);
    CHECK(text.find("∂L/∂b[1] = ∂L/∂y[1] = 1\n") != std::string::npos);
  }
  {
    TapeWatch watch;
    const Tensor x = watch.name("x", v({1, 2, 3, 4}, {1, 2, 2, 1})),
                 w = watch.name("w", v({0.5}, {1, 1, 1, 1}));
    const std::string text =
        all_lines(step_through(watch.name("L", mean(watch.name("y", conv2d(x, w)))), watch));
    CHECK(text.find("y[2,1] = x[2,1] · w = 3 · 0.5 = 1.5\n") != std::string::npos);
    CHECK(text.find("∂L/∂w = ∂L/∂y[1,1] · x[1,1] + ∂L/∂y[1,2] · x[1,2] + ∂L/∂y[2,1] · x[2,1] + "
                    "∂L/∂y[2,2] · x[2,2] = 0.25 · 1 + 0.25 · 2 + 0.25 · 3 + 0.25 · 4 = 2.5\n") !=
          std::string::npos);
  }
  {
    TapeWatch watch;
    const Tensor z = watch.name("z", v({0, 0}, {1, 2}));
    const std::string text =
        all_lines(step_through(watch.name("L", cross_entropy(z, Tensor::of<int64_t>({1}))), watch));
    CHECK(text ==
          "p[1] = e^z[1] / Σ e^z = 0.5\n"
          "p[2] = e^z[2] / Σ e^z = 0.5\n"
          "L = −ln p[2] = −ln 0.5 = 0.6931\n"
          "∂L/∂L = 1\n"
          "∂L/∂z[1] = ∂L/∂L · (p[1] − 0) = 1 · (0.5 − 0) = 0.5\n"
          "∂L/∂z[2] = ∂L/∂L · (p[2] − 1) = 1 · (0.5 − 1) = −0.5\n");
  }
  {
    // With an activation that a layer fused.
    Sequential net(Dense(2, 2, ReLU{}), Dense(2, 1, Tanh{}));
    for (Tensor& p : net.parameters()) p.detach().fill_(0.5);
    net.named_parameters()[1].tensor.detach().copy_(Tensor::of<float>({0, -9}));
    TapeWatch watch;
    watch.name(net);
    const Tensor loss = sum(net(watch.name("x", Tensor::of<float>({1, 2}, {1, 2}))));
    const std::string text = all_lines(step_through(loss, watch));
    CHECK(text.find("[2] = max(0, x[1] · 0.weight[1,2] + x[2] · 0.weight[2,2] + 0.bias[2]) = "
                    "max(0, 1 · 0.5 + 2 · 0.5 + (−9)) = 0\n") != std::string::npos);
    CHECK(text.find("= tanh(1.5 · 0.5 + 0 · 0.5 + 0.5) = 0.8483\n") != std::string::npos);
    CHECK(text.find("∂L/∂1.bias = ∂L/∂h2 · (1 − h2²) = 1 · 0.2804 = 0.2804\n") !=
          std::string::npos);
    CHECK(text.find("∂L/∂0.weight[2,1] = ∂L/∂h1[1] · 1[h1[1] > 0] · x[2] = 0.1402 · 1 · 2 = "
                    "0.2804\n") != std::string::npos);
  }
  {
    // A square matrix, transposed: no line says a product that it is not.
    TapeWatch watch;
    const Tensor a = watch.name("a", v({1, 2}, {1, 2})),
                 b = watch.name("b", v({1, 2, 3, 4}, {2, 2}));
    const std::string text = all_lines(
        step_through(watch.name("L", sum(watch.name("y", matmul(a, b, Trans::b)))), watch));
    CHECK(text.find("y[1] = matmul(a, b) = 5\n") != std::string::npos);
    CHECK(text.find("y[2] = matmul(a, b) = 11\n") != std::string::npos);
  }
}

TEST_CASE("the bits are those of backward()") {
  for (const DType dtype : {f64, f32}) {
    Rng rng(3);
    const auto leaf = [&](const Shape& shape) {
      return rng.uniform(shape, -1, 1, dtype).requires_grad_();
    };
    const Tensor x = leaf({3, 4}), w = leaf({4, 5}), b = leaf({5}), a = leaf({1});
    const auto clear = [&] {
      for (const Tensor& t : {x, w, b, a}) node_of(t)->grad = {};
    };
    check_bits([&] { return mean(prelu(linear(x, w, b), a) * b); });
    clear();
    check_bits([&] {
      const Tensor h = tanh(linear(x, w, b));
      return cross_entropy(h + h * h, Tensor::of<int64_t>({0, 4, 2}));
    });
    clear();
    check_bits([&] { return sum(softmax(x) * exp(x) / (x * x + 2) - transpose(x, 0, 1)[0][0]); });
    clear();
    const Tensor image = leaf({2, 6, 6, 1}), k = leaf({3, 3, 1, 2});
    check_bits([&] { return mean(elu(conv2d(image, k, {}, {.padding = kSame}))); });
    Sequential net(Dense(4, 8, ReLU{}), Dense(8, 3));
    if (dtype == f32) check_bits([&] { return mse_loss(net(x.detach()), Tensor::zeros({3, 3})); });
  }
}

TEST_CASE("the lessons' numbers are autograd's, and their lines come to them") {
  const GlassFile file = lessons();
  std::vector<std::string> names;
  size_t lines = 0;
  for (const GlassRecord& r : file.records) {
    const json line = json::parse(r.json);
    CHECK(line["kind"] == r.kind);
    if (r.kind != "lesson") continue;
    names.push_back(line["name"]);
    for (const char* language : {"en", "pt"}) {
      CHECK_FALSE(line["title"][language].get<std::string>().empty());
      CHECK_FALSE(line["text"][language].get<std::string>().empty());
    }
    for (const auto& step : line["steps"]) {
      for (const auto& l : step["lines"]) {
        CHECK(l.get<std::string>().find("Σ ∂") == std::string::npos);
        CHECK(l.get<std::string>().find("conv2d") == std::string::npos);
      }
      for (const auto& a : step["additions"]) {
        CHECK(a["lines"].size() == a["product"].size());
        for (const auto& l : a["lines"]) {
          ++lines;
          CHECK(l.get<std::string>().find("Σ ∂") == std::string::npos);
        }
      }
    }
    CHECK(line["nodes"].back()["gradient"] == json::array({1.0}));
  }
  CHECK(lines > 60);
  CHECK(names == std::vector<std::string>{"relu", "leaky_relu", "prelu", "elu", "neuron",
                                          "shared_weight", "net_221", "softmax_cross_entropy",
                                          "conv_3x3"});
  // To the bit: by the same expressions.
  const Tensor w = Tensor::scalar(0.5, f64).requires_grad_();
  backward(w * tanh(w * 2) + 1);
  for (const GlassRecord& r : file.records) {
    if (r.json.find("\"shared_weight\"") == std::string::npos) continue;
    const json line = json::parse(r.json);
    for (const auto& n : line["nodes"])
      if (n["name"] == "w") CHECK(n["gradient"][0].get<double>() == w.grad().item());
  }
}

TEST_CASE("the lessons are a page; a run's page takes a lesson of one's own") {
  const std::string page = (fs::temp_directory_path() / "ramp_lessons.html").string();
  save_lessons(page, {.lang = "pt"});
  CHECK(fs::file_size(page) < 1'000'000);
  fs::remove(page);
  CHECK_THROWS_AS(save_lessons("/no/such/folder/lessons.html"), Error);
  TapeWatch watch;
  const Tensor x = Tensor::scalar(-1, f64).requires_grad_();
  GlassFile file{"run.glass", {{"run", R"({"kind":"run","version":1})"}}, false};
  file.records.push_back({"lesson", step_through(relu(x), watch).lesson("own", {"</script>", ""})});
  CHECK(report_html({file}).find("\\u003c/script>") != std::string::npos);
}

TEST_CASE("a watch keeps what it is told, and no longer than it lives") {
  const int64_t before = live_nodes();
  {
    TapeWatch outer;
    const Tensor x = Tensor::scalar(2, f64).requires_grad_();
    Tensor inside;
    {
      TapeWatch inner;
      inside = x * x;
      CHECK(inner.find(node_of(inside)));
      CHECK(inner.name_of(node_of(inside), inside) == "");
    }
    const Tensor outside = x * x;
    CHECK(outer.find(node_of(inside)));
    CHECK(outer.find(node_of(outside)));
    Sequential net(Dense(2, 1));
    outer.name(net);
    const NamedTensor p = net.named_parameters()[0];
    CHECK(outer.name_of(node_of(p.tensor), p.tensor) == p.name);
  }
  CHECK(detail::op_watch == nullptr);
  CHECK(live_nodes() == before);
}

TEST_CASE("what cannot be stepped through") {
  const Tensor x = Tensor::of<double>({1, 2}).requires_grad_();
  const Tensor unseen = sum(x * x);
  TapeWatch watch;
  CHECK_THROWS_WITH_AS(step_through(x * x, watch),
                       "step_through: expected a loss of one number; got [2]. Hint: sum(y).",
                       Error);
  CHECK_THROWS_WITH_AS(
      step_through(sum(x.detach()), watch),
      "step_through: the loss is not on the tape. Hint: requires_grad_() on a leaf.", Error);
  CHECK_THROWS_WITH_AS(step_through(unseen, watch),
                       "step_through: leaf [2] was recorded when the TapeWatch did not look. Hint: "
                       "make it before the forward pass.",
                       Error);
  const Tensor freed = sum(x * x);
  backward(freed);
  CHECK_THROWS_WITH_AS(step_through(freed, watch),
                       "step_through: the tape behind sum [] was freed by backward(). Hint: before "
                       "it.",
                       Error);
  const Tensor large = sum(Tensor::zeros({5000}, f64).requires_grad_());
  CHECK_THROWS_WITH_AS(step_through(large, watch),
                       "step_through: expected at most 4096 numbers on the tape; got 5001.", Error);
  const Tensor bad = Tensor::scalar(NAN, f64).requires_grad_();
  const json line = json::parse(step_through(bad * 2, watch).lesson("x", {"<b>", "\"q\""}));
  CHECK(line["nodes"][0]["value"][0] == "nan");
  CHECK(line["title"]["pt"] == "\"q\"");
}
