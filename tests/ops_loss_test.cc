#include "ramp/autograd/ops_loss.h"

#include <limits>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"
#include "threads.h"

using namespace ramp;

namespace {

Tensor normal(const Shape& shape, uint64_t seed, DType dtype) {
  return Rng(seed).normal(shape, 0, 1, dtype);
}

double tolerance(DType t) { return t == f32 ? 2e-6 : 1e-13; }

}  // namespace

TEST_CASE("cross_entropy without options is PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("loss")) {
    if (f.has("reduction")) continue;
    INFO(f.name);
    ++cases;
    const Tensor x = f.leaf("x");
    const Tensor y = cross_entropy(x, f.tensor("labels"));
    check_close(y, f.tensor("y"), tolerance(x.dtype()));
    backward(y, Tensor::scalar(1.5, x.dtype()));
    check_close(x.grad(), f.tensor("dx"), tolerance(x.dtype()));
  }
  CHECK(cases == 22);
}

TEST_CASE("cross_entropy: the derivative, and no node is left behind") {
  const int64_t before = live_nodes();
  const Tensor labels = Tensor::of<int64_t>({1, 3, 0, 3, 2});
  const auto f = [&](const std::vector<Tensor>& x) { return cross_entropy(x[0], labels); };
  CHECK(gradcheck(f, {normal({5, 4}, 1, f64)}) == "");
  CHECK(gradcheck(f, {normal({5, 40}, 2, f64)}) == "");
  CHECK(live_nodes() == before);
}

TEST_CASE("cross_entropy keeps its value where every probability but one underflows") {
  const Tensor x = Tensor::of<float>({1e4f, -1e4f}, {1, 2}).requires_grad_();
  CHECK(cross_entropy(x, Tensor::of<int64_t>({0})).item() == 0);
  CHECK(cross_entropy(x, Tensor::of<int64_t>({1})).item() == 2e4);
}

TEST_CASE("cross_entropy: equal bits for 1 and 2 threads") {
  for (const int64_t classes : {10, 300}) {
    const Tensor labels = Tensor::full({5000}, 7, i64);
    check_equal_bits([&] {
      const Tensor x = normal({5000, classes}, 3, f32).requires_grad_();
      const Tensor y = cross_entropy(x, labels);
      backward(y);
      return std::vector{y, x.grad()};
    });
  }
}

namespace {

// The loss of a fixture's name, of x and target, with its options; y is x's other name.
Tensor fixture_loss(const Fixture& f, const Tensor& y, const Tensor& target) {
  const auto is = [&](const char* name) { return f.name.find(name) != std::string::npos; };
  const auto r = static_cast<Reduction>(f.number("reduction"));
  const auto optional = [&](const char* name) { return f.has(name) ? f.tensor(name) : Tensor(); };
  if (is("cross_entropy")) {
    return cross_entropy(y, target,
                         {.label_smoothing = f.number("smoothing"),
                          .class_weights = optional("w"),
                          .ignore_index = static_cast<int64_t>(f.number("ignore")),
                          .reduction = r});
  }
  if (is("nll_loss")) {
    return nll_loss(y, target,
                    {.class_weights = optional("w"),
                     .ignore_index = static_cast<int64_t>(f.number("ignore")),
                     .reduction = r});
  }
  if (is("mse_loss")) return mse_loss(y, target, r);
  if (is("smooth_l1_loss")) return smooth_l1_loss(y, target, f.number("beta"), r);
  if (is("l1_loss")) return l1_loss(y, target, r);
  if (is("huber_loss")) return huber_loss(y, target, f.number("delta"), r);
  if (is("hinge_loss")) return hinge_loss(y, target, r);
  if (is("bce_loss")) return bce_loss(y, target, {.reduction = r});
  if (is("bce_with_logits")) {
    return bce_with_logits(y, target, {.pos_weight = optional("pos_weight"), .reduction = r});
  }
  if (is("kl_div")) {
    return kl_div(y, target, {.log_target = f.number("log_target") == 1, .reduction = r});
  }
  fail("fixture {}: no such loss.", f.name);
}

}  // namespace

TEST_CASE("every loss, reduction and option is PyTorch's: values and gradients") {
  const int64_t before = live_nodes();
  std::map<std::string, int> cases;
  for (const Fixture& f : read_fixtures("loss")) {
    if (!f.has("reduction") || f.has("x0")) continue;
    INFO(f.name, " reduction ", f.number("reduction"));
    ++cases[f.name.substr(0, f.name.find(" torch"))];
    const std::string name = f.has("x") ? "x" : "y";
    const Tensor y = f.leaf(name);
    const Tensor target = f.has("dtarget") ? f.leaf("target") : f.tensor("target");
    const Tensor l = fixture_loss(f, y, target);
    check_close(l, f.tensor("l"), tolerance(y.dtype()));
    backward(l, f.tensor("dl"));
    check_close(y.grad(), f.tensor("d" + name), tolerance(y.dtype()));
    if (f.has("dtarget")) {
      check_close(target.grad(), f.tensor("dtarget"), tolerance(y.dtype()));
      // Only what is wanted.
      const Tensor alone = f.leaf(name), given = f.tensor("target");
      backward(fixture_loss(f, alone, given), f.tensor("dl"));
      CHECK(alone.grad().values() == y.grad().values());
      CHECK(!given.grad().defined());
    }
  }
  CHECK(cases.size() == 14);
  for (const auto& of_name : cases) {
    INFO(of_name.first);
    CHECK(of_name.second >= 8);
  }
  CHECK(live_nodes() == before);
}

namespace {

// The loss of a fixture's name, of several inputs, with its options.
Tensor fixture_loss(const Fixture& f, const std::vector<Tensor>& x) {
  const auto is = [&](const char* name) { return f.name.find(name) == 0; };
  const auto r = static_cast<Reduction>(f.number("reduction"));
  const auto on = [&](const char* name) { return f.number(name) == 1; };
  if (is("margin_ranking_loss")) {
    return margin_ranking_loss(x[0], x[1], f.tensor("target"), f.number("margin"), r);
  }
  if (is("hinge_embedding_loss")) {
    return hinge_embedding_loss(x[0], f.tensor("target"), f.number("margin"), r);
  }
  if (is("cosine_embedding_loss")) {
    return cosine_embedding_loss(x[0], x[1], f.tensor("target"), f.number("margin"), r);
  }
  if (is("triplet_margin_loss")) {
    return triplet_margin_loss(x[0], x[1], x[2],
                               {.margin = f.number("margin"),
                                .p = f.number("p"),
                                .eps = f.number("eps"),
                                .swap = on("swap"),
                                .reduction = r});
  }
  if (is("gaussian_nll_loss")) {
    return gaussian_nll_loss(x[0], x[1], x[2],
                             {.full = on("full"), .eps = f.number("eps"), .reduction = r});
  }
  if (is("poisson_nll_loss")) {
    return poisson_nll_loss(x[0], x[1],
                            {.log_input = on("log_input"), .full = on("full"), .reduction = r});
  }
  if (is("weighted bce_loss")) return bce_loss(x[0], x[1], {.weight = x[2], .reduction = r});
  return bce_with_logits(
      x[0], x[1], {.weight = x[2], .pos_weight = x.size() > 3 ? x[3] : Tensor(), .reduction = r});
}

}  // namespace

TEST_CASE("losses of several inputs are PyTorch's: values and gradients") {
  const int64_t before = live_nodes();
  std::map<std::string, int> cases;
  for (const Fixture& f : read_fixtures("loss")) {
    if (!f.has("x0")) continue;
    INFO(f.name, " reduction ", f.number("reduction"));
    ++cases[f.name.substr(0, f.name.find(" torch"))];
    std::vector<Tensor> x;
    for (int i = 0; f.has(fmt::format("x{}", i)); ++i) x.push_back(f.leaf(fmt::format("x{}", i)));
    const Tensor l = fixture_loss(f, x);
    check_close(l, f.tensor("l"), tolerance(l.dtype()));
    backward(l, f.tensor("dl"));
    for (size_t i = 0; i < x.size(); ++i) {
      INFO("x", i);
      if (!f.has(fmt::format("dx{}", i))) continue;  // PyTorch has none
      check_close(x[i].grad(), f.tensor(fmt::format("dx{}", i)), 2 * tolerance(l.dtype()));
    }
  }
  CHECK(cases.size() == 8);
  for (const auto& of_name : cases) {
    INFO(of_name.first);
    CHECK(of_name.second >= 8);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("every loss: derivatives against differences, for each reduction") {
  const int64_t before = live_nodes();
  const Tensor y = normal({3, 4}, 1, f64), t = normal({3, 4}, 2, f64);
  const Tensor p = Rng(3).uniform({3, 4}, 0.1, 0.9, f64), q = Rng(4).uniform({3, 4}, 0.1, 0.9, f64);
  const Tensor w = Rng(5).uniform({4}, 0.5, 2, f64), labels = Tensor::of<int64_t>({3, -100, 1});
  const Tensor sign = where(t < 0, Tensor::full({}, -1, f64), Tensor::full({}, 1, f64));
  for (const auto r : {Reduction::mean, Reduction::sum, Reduction::none, Reduction::batch_mean}) {
    INFO("reduction ", static_cast<int>(r));
    using Inputs = std::vector<Tensor>;
    CHECK(gradcheck([&](const Inputs& x) { return mse_loss(x[0], x[1], r); }, {y, t}) == "");
    CHECK(gradcheck([&](const Inputs& x) { return l1_loss(x[0], x[1], r); }, {y, t}) == "");
    CHECK(gradcheck([&](const Inputs& x) { return smooth_l1_loss(x[0], x[1], 0.7, r); }, {y, t}) ==
          "");
    CHECK(gradcheck([&](const Inputs& x) { return huber_loss(x[0], x[1], 0.7, r); }, {y, t}) == "");
    CHECK(gradcheck([&](const Inputs& x) { return hinge_loss(x[0], sign, r); }, {y}) == "");
    CHECK(gradcheck([&](const Inputs& x) { return bce_loss(x[0], x[1], {.reduction = r}); },
                    {p, q}) == "");
    CHECK(
        gradcheck(
            [&](const Inputs& x) { return bce_loss(x[0], x[1], {.weight = x[2], .reduction = r}); },
            {p, q, w}) == "");
    CHECK(gradcheck(
              [&](const Inputs& x) {
                return bce_with_logits(x[0], x[1], {.weight = x[2], .reduction = r});
              },
              {y, q, w}) == "");
    CHECK(gradcheck([&](const Inputs& x) { return hinge_embedding_loss(x[0], sign, 0.7, r); },
                    {y}) == "");
    CHECK(gradcheck([&](const Inputs& x) { return margin_ranking_loss(x[0], x[1], sign, 0.7, r); },
                    {y, t}) == "");
    const Tensor of_rows = Tensor::of<double>({1, -1, -1});
    CHECK(gradcheck(
              [&](const Inputs& x) { return cosine_embedding_loss(x[0], x[1], of_rows, -0.9, r); },
              {y, t}) == "");
    for (const double order : {1., 2., 3.}) {
      CHECK(gradcheck(
                [&](const Inputs& x) {
                  return triplet_margin_loss(
                      x[0], x[1], x[2], {.margin = 3, .p = order, .swap = true, .reduction = r});
                },
                {y, t, p}) == "");
    }
    CHECK(gradcheck(
              [&](const Inputs& x) {
                return gaussian_nll_loss(x[0], x[1], x[2], {.full = true, .reduction = r});
              },
              {y, t, w}) == "");
    for (const bool log_input : {false, true}) {
      CHECK(gradcheck(
                [&](const Inputs& x) {
                  return poisson_nll_loss(x[0], x[1],
                                          {.log_input = log_input, .full = true, .reduction = r});
                },
                {p, q * 4 + 1.5}) == "");
    }
    CHECK(gradcheck([&](const Inputs& x) { return bce_with_logits(x[0], x[1], {.reduction = r}); },
                    {y, q}) == "");
    CHECK(gradcheck(
              [&](const Inputs& x) {
                return bce_with_logits(x[0], x[1], {.pos_weight = x[2], .reduction = r});
              },
              {y, q, w}) == "");
    for (const bool log_target : {false, true}) {
      CHECK(gradcheck(
                [&](const Inputs& x) {
                  return kl_div(x[0], x[1], {.log_target = log_target, .reduction = r});
                },
                {log(p), log_target ? log(q) : q}) == "");
    }
    for (const double s : {0., 0.3}) {
      CHECK(gradcheck(
                [&](const Inputs& x) {
                  return cross_entropy(x[0], labels,
                                       {.label_smoothing = s, .class_weights = w, .reduction = r});
                },
                {y}) == "");
      CHECK(gradcheck(
                [&](const Inputs& x) {
                  return cross_entropy(x[0], x[1],
                                       {.label_smoothing = s, .class_weights = w, .reduction = r});
                },
                {y, q}) == "");
    }
    CHECK(gradcheck(
              [&](const Inputs& x) {
                return nll_loss(x[0], labels, {.class_weights = w, .reduction = r});
              },
              {log(p)}) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("every loss: equal bits for 1 and 2 threads") {
  check_equal_bits([] {
    const Tensor y = normal({5000, 10}, 1, f32), t = Rng(2).uniform({5000, 10});
    std::vector<Tensor> all;
    const auto add = [&](const std::function<Tensor(const Tensor&)>& loss) {
      const Tensor x = y.clone().requires_grad_();
      all.push_back(loss(x));
      backward(all.back());
      all.push_back(x.grad());
    };
    add([&](const Tensor& x) { return mse_loss(x, t); });
    add([&](const Tensor& x) { return huber_loss(x, t); });
    add([&](const Tensor& x) { return bce_with_logits(x, t); });
    add([&](const Tensor& x) { return kl_div(-x * x, t); });
    add([&](const Tensor& x) { return bce_with_logits(x, t, {.weight = t, .pos_weight = t}); });
    add([&](const Tensor& x) { return triplet_margin_loss(x, t, y); });
    add([&](const Tensor& x) { return cross_entropy(x, t, {.label_smoothing = 0.1}); });
    return all;
  });
}

TEST_CASE("a softmax or a sigmoid taken twice is an error that says what to write") {
  const Tensor x = normal({4, 3}, 1, f32).requires_grad_(), labels = Tensor::zeros({4}, i64);
  const Tensor t = Tensor::zeros({4, 3});
  const std::vector<std::pair<const char*, Tensor>> made = {{"softmax", softmax(x)},
                                                            {"log_softmax", log_softmax(x)},
                                                            {"sigmoid", sigmoid(x)},
                                                            {"log_sigmoid", log_sigmoid(x)}};
  for (const auto& one_of : made) {
    const char* name = one_of.first;
    const Tensor& y = one_of.second;
    INFO(name);
    const auto text = [&](const std::string& op, const std::string& instead) {
      return op + ": expected logits; got the result of " + name + "(), which " + op +
             " would apply once more. Hint: leave " + name + "() out, or " + instead +
             "; if it is meant, multiply by 1.";
    };
    const std::string of_classes = text("cross_entropy", "nll_loss() takes log-probabilities");
    const std::string of_pairs = text("bce_with_logits", "bce_loss() takes probabilities");
    const bool log_of_sigmoid = std::string(name) == "log_sigmoid";
    for (const Tensor& z : {y, reshape(reshape(y, {12}), {4, 3}), transpose(transpose(y)),
                            slice(y, 1, 0, 3), y.rows(0, 4), y.clone()}) {
      if (!log_of_sigmoid) {
        CHECK(message([&, &z = z] { cross_entropy(z, labels); }) == of_classes);
        CHECK(message([&, &z = z] { cross_entropy(z, t, {.label_smoothing = 0.1}); }) ==
              of_classes);
      }
      CHECK(message([&, &z = z] { bce_with_logits(z, t); }) == of_pairs);
      CHECK(message([&, &z = z] { bce_with_logits(z, t, {.weight = t}); }) == of_pairs);
    }
    // Who means it says so.
    CHECK(cross_entropy(y * 1, labels).requires_grad());
    CHECK(bce_with_logits(y * 1, t).requires_grad());
    CHECK_FALSE(cross_entropy(y.detach(), labels).requires_grad());
  }
  // What is right passes: log-probabilities to nll_loss, logits to the others.
  CHECK(nll_loss(made[1].second, labels).requires_grad());
  CHECK(bce_loss(made[2].second, t).requires_grad());
  CHECK(cross_entropy(x, labels).requires_grad());
  // No logarithms of probabilities: probabilities, or logits.
  const auto refused = [](const char* op, const Tensor& got, const char* hint) {
    return fmt::format("{}: expected log-probabilities log_p, at most 0; got {} to {}. Hint: {}.",
                       op, min(got).item(), max(got).item(), hint);
  };
  for (const Tensor& y : {made[0].second, x}) {
    CHECK(message([&, &y = y] { nll_loss(y, labels); }) ==
          refused("nll_loss", y, "log_softmax(logits), or cross_entropy(), which takes logits"));
    CHECK(message([&, &y = y] { kl_div(y, t); }) == refused("kl_div", y, "log_softmax(logits)"));
  }
  CHECK(nll_loss(Tensor::full({4, 3}, 1e-6), labels).item() < 0);  // rounding is none
  CHECK(message([&] { kl_div(log_softmax(x), log_softmax(x)); })
            .find("kl_div: expected targets q "
                  "of at least 0; got -") == 0);
  CHECK(message([&] {
          kl_div(log_softmax(x), softmax(x), {.log_target = true});
        }).find("kl_div: expected targets log q, at most 0; got 0.") == 0);
  for (const char* op : {"bce_loss", "bce_with_logits"}) {
    const Tensor sign = Tensor::of<float>({-1, 1});
    CHECK(message([&] {
            op == std::string("bce_loss") ? bce_loss(Tensor::zeros({2}), sign)
                                          : bce_with_logits(Tensor::zeros({2}), sign);
          }) ==
          std::string(op) +
              ": expected targets in 0..1; got -1 to 1. Hint: (target + 1) / 2 for -1 and +1.");
  }
}

TEST_CASE("a sigmoid that a layer has fused is seen too") {
  const Tensor x = normal({4, 3}, 1, f32), t = Tensor::zeros({4, 2}),
               labels = Tensor::zeros({4}, i64);
  Sequential fused{Dense(3, 2), Sigmoid{}}, given{Dense(3, 2, Sigmoid{})},
      right{Dense(3, 2, ReLU{})};
  for (Sequential* net : {&fused, &given}) {
    CHECK(message([&] {
            bce_with_logits((*net)(x), t);
          }).find("bce_with_logits: expected logits; got the result of sigmoid()") == 0);
    CHECK(message([&] {
            cross_entropy((*net)(x), labels);
          }).find("cross_entropy: expected logits; got the result of sigmoid()") == 0);
    CHECK(bce_loss((*net)(x), t).requires_grad());
  }
  CHECK(bce_with_logits(right(x), t).requires_grad());
  Sequential images{Conv2d(1, 2, 1), Sigmoid{}};
  const Tensor pixels = normal({2, 3, 3, 1}, 2, f32);
  CHECK(message([&] {
          bce_with_logits(images(pixels), Tensor::zeros({2, 3, 3, 2}));
        }).find("bce_with_logits: expected logits; got the result of sigmoid()") == 0);
}

TEST_CASE("cross_entropy: the fused way and the composed one agree") {
  const Tensor x = normal({50, 10}, 1, f64);
  Tensor labels = Tensor::empty({50}, i64);
  for (int64_t i = 0; i < 50; ++i) labels.mutable_data<int64_t>()[i] = i * 7 % 10;
  for (const auto r : {Reduction::mean, Reduction::sum, Reduction::batch_mean}) {
    const Tensor a = x.clone().requires_grad_(), b = x.clone().requires_grad_();
    const Tensor fused = cross_entropy(a, labels, {.reduction = r});
    const Tensor composed = nll_loss(log_softmax(b), labels, {.reduction = r});
    check_close(fused, composed, 1e-15);
    backward(fused);
    backward(composed);
    check_close(a.grad(), b.grad(), 1e-15);
  }
}

TEST_CASE("bce_with_logits keeps its digits in f32 where sigmoid rounds to 0 or 1") {
  const Tensor x = Tensor::of<float>({-30, 30, -30, 30}).requires_grad_();
  const Tensor t = Tensor::of<float>({0, 1, 1, 0});
  const Tensor l = bce_with_logits(x, t, {.reduction = Reduction::none});
  const double tiny = std::log1p(std::exp(-30.));
  check_close(l / Tensor::of<float>({float(tiny), float(tiny), 30, 30}), Tensor::ones({4}), 1e-6);
  backward(l, Tensor::ones({4}));
  const Tensor d = x.grad() / Tensor::of<float>({float(tiny), -float(tiny), -1, 1});
  check_close(d, Tensor::ones({4}), 1e-6);
}

TEST_CASE("losses at infinity are their limits") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const auto values = [](const Tensor& l) { return l.values(); };
  CHECK(values(bce_with_logits(Tensor::of<float>({inf, inf, -inf, -inf}),
                               Tensor::of<float>({1, 0, 1, 0}), {.reduction = Reduction::none})) ==
        std::vector<double>{0, inf, inf, 0});
  CHECK(kl_div(Tensor::of<float>({-1, -2}), Tensor::of<float>({-inf, 0}),
               {.log_target = true, .reduction = Reduction::sum})
            .item() == 2);
  // A class that is ruled out costs nothing unless it is the target.
  const Tensor x = Tensor::of<float>({0, -inf, 0}, {1, 3});
  CHECK(cross_entropy(x, Tensor::of<float>({0.5f, 0, 0.5f}, {1, 3})).item() ==
        doctest::Approx(std::log(2)));
  CHECK(cross_entropy(x, Tensor::of<float>({0.5f, 0.5f, 0}, {1, 3})).item() == inf);
}

TEST_CASE("kl_div: a class that both rule out costs nothing, as every class of q = 0") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (const DType dtype : {f32, f64}) {
    const auto of = [&](const std::vector<double>& v) { return Tensor::of(v).to(dtype); };
    for (const bool log_target : {false, true}) {
      INFO(name_of(dtype), log_target ? " log q" : " q");
      const double none = log_target ? -inf : 0;
      const KlDivOptions sum{.log_target = log_target, .reduction = Reduction::sum};
      Tensor log_p = of({-inf}).requires_grad_(), q = of({none}).requires_grad_();
      Tensor l = kl_div(log_p, q, sum);
      CHECK(l.item() == 0);
      backward(l);
      CHECK(log_p.grad().item() == 0);
      CHECK(q.grad().item() == 0);

      Tensor x = of({.5, 1, -inf}).requires_grad_();
      q = of({.4, .6, 0});
      if (log_target) q = log(q);
      q.requires_grad_();
      l = kl_div(log_softmax(x), q, sum);
      CHECK(l.item() == doctest::Approx(0.00106547).epsilon(dtype == f32 ? 1e-3 : 1e-5));
      backward(l);
      const double p = 1 / (1 + std::exp(.5));  // of the first class
      check_close(x.grad(), of({p - .4, .4 - p, 0}), 1e-7);
      const double d0 = 1 + std::log(.4 / p), d1 = 1 + std::log(.6 / (1 - p));
      check_close(q.grad(), log_target ? of({.4 * d0, .6 * d1, 0}) : of({d0, d1, 0}), 1e-6);
    }
    // NaN stays NaN.
    CHECK(std::isnan(kl_div(of({NAN}), of({0})).item()));
    CHECK(std::isnan(kl_div(of({NAN}), of({-inf}), {.log_target = true}).item()));
    CHECK(kl_div(of({-inf}), of({.5})).item() == inf);
  }
}

TEST_CASE("rows that count for nothing have gradient 0, whatever they hold") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {-inf, NAN, inf}) {
    for (const double smoothing : {0., 0.1}) {
      for (const bool weighted : {false, true}) {
        Tensor x = Tensor::of<float>({1, 2, 3, bad, bad, bad}, {2, 3}).requires_grad_();
        CrossEntropyOptions o{.label_smoothing = smoothing};
        if (weighted) o.class_weights = Tensor::of<float>({2, 1, 3});
        const Tensor l = cross_entropy(x, Tensor::of<int64_t>({0, -100}), o);
        backward(l);
        Tensor alone = x.detach().rows(0, 1).clone().requires_grad_();
        const Tensor of_alone = cross_entropy(alone, Tensor::of<int64_t>({0}), o);
        backward(of_alone);
        check_close(l, of_alone, 1e-7);
        check_close(x.grad().rows(0, 1), alone.grad(), 1e-7);
        CHECK(x.grad().rows(1, 2).values() == std::vector<double>{0, 0, 0});
      }
    }
    // Soft targets that are all 0, a class of weight 0.
    const Tensor q = Tensor::of<float>({1, 0, 0, 0, 0, 0}, {2, 3});
    const Tensor w = Tensor::of<float>({1, 0, 1}), labels = Tensor::of<int64_t>({0, 1});
    for (const bool soft : {false, true}) {
      Tensor x = Tensor::of<float>({1, 2, 3, bad, bad, bad}, {2, 3}).requires_grad_();
      const Tensor l = soft ? cross_entropy(x, q) : cross_entropy(x, labels, {.class_weights = w});
      CHECK(std::isfinite(l.item()));
      backward(l);
      CHECK(x.grad().rows(1, 2).values() == std::vector<double>{0, 0, 0});
    }
  }
}

TEST_CASE("bce_with_logits: pos_weight to the last digits") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (const float w : {1e-6f, 1e-3f, 1.f, 1e3f}) {
    INFO(w);
    for (const float t : {0.f, 0.25f, 1.f}) {
      std::vector<double> at;
      for (double x = -90; x <= 90; x += 0.625) at.push_back(x);
      const auto run = [&](DType dtype) {
        Tensor x = Tensor::of(at).to(dtype).requires_grad_();
        const Tensor target = Tensor::full(x.shape(), t, dtype);
        const Tensor l = bce_with_logits(
            x, target,
            {.pos_weight = Tensor::of<float>({w}).to(dtype), .reduction = Reduction::none});
        backward(l, Tensor::ones(x.shape(), dtype));
        return std::array{l.detach().to(f64), x.grad().to(f64)};
      };
      const auto y = run(f32), exact = run(f64);
      for (size_t i = 0; i < 2; ++i) {
        // Two terms of the derivative may cancel.
        const double tolerance = i == 0 || t == 0 || t == 1 ? 1e-6 : 1e-5;
        for (size_t k = 0; k < at.size(); ++k) {
          INFO(at[k], " ", y[i].values()[k], " ", exact[i].values()[k]);
          if (std::fabs(exact[i].values()[k]) < 1e-37) continue;
          CHECK(y[i].values()[k] ==
                doctest::Approx(exact[i].values()[k]).scale(0).epsilon(tolerance));
        }
      }
    }
  }
  CHECK(bce_with_logits(Tensor::of<float>({inf, inf, -inf, -inf}), Tensor::of<float>({1, 0, 1, 0}),
                        {.pos_weight = Tensor::of<float>({2}), .reduction = Reduction::none})
            .values() == std::vector<double>{0, inf, inf, 0});
}

TEST_CASE("losses at their kinks") {
  const auto slope = [](auto loss, float y, float t) {
    const Tensor x = Tensor::of<float>({y}).requires_grad_();
    backward(loss(x, Tensor::of<float>({t})));
    return x.grad().item();
  };
  const auto hinge = [](const Tensor& y, const Tensor& t) { return hinge_loss(y, t); };
  CHECK(slope(hinge, 1, 1) == 0);
  CHECK(slope(hinge, 0.99f, 1) == -1);
  CHECK(slope(hinge, -1, -1) == 0);
  const auto l1 = [](const Tensor& y, const Tensor& t) { return l1_loss(y, t); };
  CHECK(slope(l1, 3, 3) == 0);
  const auto smooth = [](const Tensor& y, const Tensor& t) { return smooth_l1_loss(y, t, 0); };
  CHECK(slope(smooth, 3, 3) == 0);
  CHECK(slope(smooth, 3, 2) == 1);
}

TEST_CASE("the pairwise losses: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 1}), one = Tensor::ones({2, 1});
  using Loss = std::function<Tensor(const Tensor&, const Tensor&)>;
  const std::vector<std::pair<std::string, Loss>> all = {
      {"mse_loss: y", [](auto& y, auto& t) { return mse_loss(y, t); }},
      {"l1_loss: y", [](auto& y, auto& t) { return l1_loss(y, t); }},
      {"l1_loss: y", [](auto& y, auto& t) { return smooth_l1_loss(y, t, 0); }},
      {"smooth_l1_loss: y", [](auto& y, auto& t) { return smooth_l1_loss(y, t); }},
      {"huber_loss: y", [](auto& y, auto& t) { return huber_loss(y, t); }},
      {"hinge_loss: y", [](auto& y, auto& t) { return hinge_loss(y, t); }},
      {"bce_loss: p", [](auto& y, auto& t) { return bce_loss(y, t); }},
      {"bce_with_logits: logits", [](auto& y, auto& t) { return bce_with_logits(y, t); }},
      {"hinge_embedding_loss: x", [](auto& y, auto& t) { return hinge_embedding_loss(y, t); }},
      {"gaussian_nll_loss: y", [](auto& y, auto& t) { return gaussian_nll_loss(y, t, y); }},
      {"poisson_nll_loss: y", [](auto& y, auto& t) { return poisson_nll_loss(y, t); }},
      {"kl_div: log_p", [](auto& y, auto& t) { return kl_div(y, t); }}};
  for (const auto& one_of : all) {
    const std::string& name = one_of.first;
    const Loss& loss = one_of.second;
    INFO(name);
    const std::string op = name.substr(0, name.find(':')), y = name.substr(name.find(':') + 2);
    const auto expected = [&](const char* got) {
      return op + ": expected " + y +
             " and target of the same shape, f32 or f64, with at least one element; got " + got +
             ". Hint: reshape() one of them, or to(f32).";
    };
    CHECK(message([&] { loss(x, Tensor::ones({2})); }) == expected("f32 [2, 1] and f32 [2]"));
    CHECK(message([&] { loss(Tensor::zeros({0}), Tensor::zeros({0})); }) ==
          expected("f32 [0] and f32 [0]"));
    CHECK(message([&] { loss(x.to(i64), one.to(i64)); }) == expected("i64 [2, 1] and i64 [2, 1]"));
    CHECK(message([&] { loss(x, one.to(f64)); }) ==
          op + ": " + y +
              " and target must have the same dtype; got f32 [2, 1] and f64 [2, 1]. Hint: "
              "target.to(f32).");
    CHECK(message([&] { loss(x, {}); }) ==
          op + ": target is undefined (moved from, or never set). Hint: give it a value first.");
    CHECK(message([&] { loss({}, x); }) ==
          name + " is undefined (moved from, or never set). Hint: give it a value first.");
    CHECK(loss(x, one).rank() == 0);
  }
  for (const double bad : {-1., double(NAN), double(INFINITY)}) {
    CHECK(message([&] { smooth_l1_loss(x, x, bad); }) ==
          fmt::format("smooth_l1_loss: expected beta >= 0, finite; got {}.", bad));
  }
  for (const double bad : {0., -1., double(NAN)}) {
    CHECK(message([&] { huber_loss(x, x, bad); }) ==
          fmt::format("huber_loss: expected delta > 0; got {}.", bad));
  }
  CHECK(message([&] {
          bce_loss(Tensor::of<float>({0, 1.5f}), Tensor::zeros({2}));
        }) ==
        "bce_loss: expected probabilities p in 0..1; got 0 to 1.5. Hint: bce_with_logits() takes "
        "logits.");
  CHECK(message([&] {
          bce_loss(Tensor::of<float>({-0.5f, 1}), Tensor::zeros({2}));
        }) ==
        "bce_loss: expected probabilities p in 0..1; got -0.5 to 1. Hint: bce_with_logits() takes "
        "logits.");
  CHECK(message([&] { hinge_loss(one, x); }) ==
        "hinge_loss: expected targets -1 and +1; got 0 to 0. Hint: 2 * target - 1 for 0 and 1.");
  CHECK(message([&] { bce_with_logits(x, x, {.pos_weight = Tensor::ones({3})}); }) ==
        "bce_with_logits: expected a pos_weight that broadcasts to logits [2, 1]; got [3].");
  CHECK(message([&] { bce_with_logits(x, x, {.weight = Tensor::ones({3})}); }) ==
        "bce_with_logits: expected a weight that broadcasts to logits [2, 1]; got [3].");
  CHECK(message([&] { bce_loss(x, x, {.weight = Tensor::ones({3})}); }) ==
        "bce_loss: expected a weight that broadcasts to p [2, 1]; got [3].");
  CHECK(message([&] { gaussian_nll_loss(x, x, Tensor::ones({3})); }) ==
        "gaussian_nll_loss: expected a var that broadcasts to y [2, 1]; got [3].");
  CHECK(message([&] { gaussian_nll_loss(x, x, -one); }) ==
        "gaussian_nll_loss: expected variances var of at least 0; got -1 to -1. Hint: exp() or "
        "softplus() of it.");
  CHECK(message([&] { poisson_nll_loss(x, -one); }) ==
        "poisson_nll_loss: expected counts, targets of at least 0; got -1 to -1. Hint: count from "
        "0.");
  CHECK(message([&] { poisson_nll_loss(-one, one, {.log_input = false}); }) ==
        "poisson_nll_loss: expected rates y of at least 0; got -1 to -1. Hint: .log_input = true "
        "takes logarithms.");
  CHECK(message([&] {
          margin_ranking_loss(x, Tensor::ones({2}), one);
        }).find("margin_ranking_loss: expected a and b of the same shape") == 0);
  CHECK(message([&] {
          margin_ranking_loss(x, x, Tensor::ones({2}));
        }).find("margin_ranking_loss: expected a and target of the same shape") == 0);
  CHECK(message([&] {
          margin_ranking_loss(x, x, x);
        }).find("margin_ranking_loss: expected targets -1 and +1; got 0 to 0.") == 0);
  CHECK(message([&] { cosine_embedding_loss(x, x, one); }) ==
        "cosine_embedding_loss: expected a, b [.., features] and target [..]; got [2, 1] and [2, "
        "1].");
  CHECK(message([&] {
          triplet_margin_loss(Tensor::ones({}), Tensor::ones({}), Tensor::ones({}));
        }) == "triplet_margin_loss: expected anchor [.., features]; got a scalar.");
  CHECK(message([&] {
          triplet_margin_loss(x, x, Tensor::ones({2}));
        }).find("triplet_margin_loss: expected anchor and negative of the same shape") == 0);
  for (const double v : {-1., double(NAN), double(INFINITY)}) {
    const std::string got = fmt::format(" >= 0, finite; got {}.", v);
    CHECK(message([&] { hinge_embedding_loss(x, one, v); }) ==
          "hinge_embedding_loss: expected margin" + got);
    CHECK(message([&] { margin_ranking_loss(x, x, one, v); }) ==
          "margin_ranking_loss: expected margin" + got);
    CHECK(message([&] { triplet_margin_loss(x, x, x, {.margin = v}); }) ==
          "triplet_margin_loss: expected margin" + got);
    CHECK(message([&] { triplet_margin_loss(x, x, x, {.p = v}); }) ==
          fmt::format("triplet_margin_loss: expected p > 0, finite; got {}.", v));
    CHECK(message([&] { triplet_margin_loss(x, x, x, {.eps = v}); }) ==
          fmt::format("triplet_margin_loss: expected eps > 0, finite; got {}.", v));
    CHECK(message([&] { gaussian_nll_loss(x, x, one, {.eps = v}); }) ==
          "gaussian_nll_loss: expected eps" + got);
    CHECK(message([&] { poisson_nll_loss(x, x, {.eps = v}); }) ==
          "poisson_nll_loss: expected eps" + got);
  }
  for (const double v : {-1.5, 1.5, double(NAN)}) {
    CHECK(message([&] { cosine_embedding_loss(x, x, Tensor::ones({2}), v); }) ==
          fmt::format("cosine_embedding_loss: expected margin in -1..1; got {}.", v));
  }
  CHECK(message([&] { bce_with_logits(x, x, {.pos_weight = Tensor::ones({1}, f64)}); }) ==
        "bce_with_logits: logits and pos_weight must have the same dtype; got f32 [2, 1] and f64 "
        "[1]. "
        "Hint: pos_weight.to(f32).");
}

TEST_CASE("a target changed between loss and backward") {
  const Tensor x = Tensor::ones({2}).requires_grad_();
  Tensor t = Tensor::zeros({2});
  const Tensor l = mse_loss(x, t);
  t.fill_(1);
  CHECK(message([&] { backward(l); }).find("changed in place") != std::string::npos);
}

TEST_CASE("cross_entropy: a user's mistakes") {
  const Tensor x = Tensor::zeros({4, 10});
  const auto labels = [](std::vector<int64_t> v) { return Tensor::of<int64_t>(v); };
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, labels({1, 2, 3, 12})),
      "cross_entropy: labels must be in 0..9; got 12 at row 3. Hint: logits [4, 10] have 10 "
      "classes.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, labels({1, -1, 3, 0})),
      "cross_entropy: labels must be in 0..9; got -1 at row 1. Hint: logits [4, 10] have 10 "
      "classes.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(Tensor::zeros({0, 10}), labels({})),
      "cross_entropy: expected at least one row and one class; got logits [0, 10]. Hint: leave out "
      "empty batches.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, labels({1, 2, 3})),
      "cross_entropy: expected logits [n, .., classes] and labels [n, ..]; got [4, 10] and [3]. "
      "Hint: labels are class numbers, one for each row, not one-hot; classes are the last axis.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, Tensor::zeros({4})),
      "cross_entropy: target must be class numbers, i64, or soft, with shape and dtype of logits "
      "f32 [4, 10]; got f32 [4]. Hint: labels.to(i64).",
      Error);
  CHECK_THROWS_WITH_AS(cross_entropy(Tensor::zeros({4, 10}, i64), labels({1, 2, 3, 0})),
                       "cross_entropy: expected an f32 or f64 tensor; got i64 [4, 10]. Hint: "
                       "logits.to(f32).",
                       Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy({}, labels({1})),
      "cross_entropy: logits is undefined (moved from, or never set). Hint: give it a value first.",
      Error);
  CHECK_THROWS_WITH_AS(
      cross_entropy(x, {}),
      "cross_entropy: target is undefined (moved from, or never set). Hint: give it a value first.",
      Error);
  const Tensor ones = Tensor::ones({4, 10});
  CHECK(message([&] { cross_entropy(x, x, {.class_weights = Tensor::ones({4})}); }) ==
        "cross_entropy: expected class_weights f32 [10], one for each class; got f32 [4].");
  CHECK(message([&] { cross_entropy(x, x, {.class_weights = Tensor::ones({10}, f64)}); }) ==
        "cross_entropy: expected class_weights f32 [10], one for each class; got f64 [10].");
  for (const double bad : {1.5, -0.1, double(NAN)}) {
    CHECK(message([&] { cross_entropy(x, x, {.label_smoothing = bad}); }) ==
          fmt::format("cross_entropy: expected label_smoothing in 0..1; got {}.", bad));
  }
  CHECK(message([&] {
          cross_entropy(x, labels({-1, -1, -1, -1}), {.ignore_index = -1});
        }) ==
        "cross_entropy: the mean is over labels that weigh 0, or all 4 are ignored (-1). Hint: "
        "leave out such batches, or take Reduction::sum.");
  CHECK(
      cross_entropy(x, labels({-1, -1, -1, -1}), {.ignore_index = -1, .reduction = Reduction::sum})
          .item() == 0);
  CHECK(message([&] { cross_entropy(Tensor::zeros({4}), Tensor::zeros({4})); }) ==
        "cross_entropy: expected logits [n, .., classes] and labels [n, ..]; got [4] and [4]. "
        "Hint: labels are class numbers, one for each row, not one-hot; classes are the last "
        "axis.");
  CHECK(message([&] {
          nll_loss(x, labels({1, 2, 3, 12}));
        }) ==
        "nll_loss: labels must be in 0..9; got 12 at row 3. Hint: log_p [4, 10] have 10 classes.");
}
