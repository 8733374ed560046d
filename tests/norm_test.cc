#include <cmath>

#include "fixture.h"
#include "message.h"
#include "my_activations.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_norm.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/sequential.h"
#include "threads.h"

using namespace ramp;

namespace {

const std::map<std::string, Activation> activations = {
    {"identity", Identity{}}, {"relu", ReLU{}}, {"tanh", MyTanh{}}, {"softplus", MySoftplus{}}};

// f32: two values that lie close together are scaled up by 1 / sqrt(var + eps), and so is the
// error.
double tolerance(DType t) { return t == f32 ? 2e-5 : 1e-12; }

Tensor random(const Shape& shape, uint64_t seed, DType dtype = f64, double mean = 0) {
  Rng rng(seed);
  return rng.normal(shape, mean, 1, dtype);
}

void check_gradients(const Fixture& f, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                     const Tensor& y) {
  check_close(y, f.tensor("y"), tolerance(x.dtype()));
  backward(y, f.tensor("dy"));
  check_close(x.grad(), f.tensor("dx"), tolerance(x.dtype()));
  if (!gamma.defined()) return;
  check_close(gamma.grad(), f.tensor("dgamma"), tolerance(x.dtype()));
  check_close(beta.grad(), f.tensor("dbeta"), tolerance(x.dtype()));
}

Tensor leaf_or_none(const Fixture& f, const char* name) {
  return f.has(name) ? f.leaf(name) : Tensor();
}

}  // namespace

TEST_CASE("batch norm is PyTorch's, running statistics after three steps included") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("norm")) {
    if (f.name.rfind("batch_norm", 0) != 0) continue;
    INFO(f.name);
    ++cases;
    const std::string name = f.name.substr(11, f.name.find(' ', 11) - 11);
    const Tensor x = f.leaf("x"), gamma = f.leaf("gamma"), beta = f.leaf("beta");
    Tensor mean = f.tensor("mean0"), var = f.tensor("var0");
    const BatchNormOptions options{true, f.number("momentum"), f.number("eps")};
    for (const char* step : {"x0", "x1"}) {
      batch_norm(f.tensor(step), gamma, beta, mean, var, options, activations.at(name));
    }
    const Tensor y = batch_norm(x, gamma, beta, mean, var, options, activations.at(name));
    check_close(mean, f.tensor("mean"), tolerance(x.dtype()));
    check_close(var, f.tensor("var"), tolerance(x.dtype()));
    check_gradients(f, x, gamma, beta, y);
  }
  CHECK(cases == 24);
}

TEST_CASE("batch norm in evaluation is PyTorch's and leaves the running statistics alone") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("norm")) {
    if (f.name.rfind("eval", 0) != 0) continue;
    INFO(f.name);
    ++cases;
    const std::string name = f.name.substr(5, f.name.find(' ', 5) - 5);
    const Tensor x = f.leaf("x"), gamma = f.leaf("gamma"), beta = f.leaf("beta");
    Tensor mean = f.tensor("mean"), var = f.tensor("var");
    const Tensor y = batch_norm(x, gamma, beta, mean, var,
                                {.training = false, .eps = f.number("eps")}, activations.at(name));
    check_close(mean, f.tensor("mean"), 0);
    check_close(var, f.tensor("var"), 0);
    mean.fill_(7);  // what backward needs is not the buffer, which a training step may have moved
    check_gradients(f, x, gamma, beta, y);
  }
  CHECK(cases == 24);
}

TEST_CASE("layer norm and group norm are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("norm")) {
    INFO(f.name);
    const bool layer = f.name.rfind("layer_norm", 0) == 0;
    if (!layer && f.name.rfind("group_norm", 0) != 0) continue;
    ++cases;
    const Tensor x = f.leaf("x"), gamma = leaf_or_none(f, "gamma"), beta = leaf_or_none(f, "beta");
    const int axes = f.has("axes") ? static_cast<int>(f.number("axes")) : 1;
    const Tensor y = layer ? layer_norm(x, gamma, beta, {.axes = axes})
                           : group_norm(x, static_cast<int64_t>(f.number("groups")), gamma, beta);
    check_gradients(f, x, gamma, beta, y);
  }
  CHECK(cases == 60);
}

TEST_CASE("the derivatives, and no node is left behind") {
  const int64_t before = live_nodes();
  for (const int64_t c : {1, 3, 6, 10, 16, 33}) {
    INFO(c);
    const Tensor x = random({2, 3, 2, c}, 1), gamma = random({c}, 2), beta = random({c}, 3);
    for (const auto& named : activations) {
      INFO(named.first);
      for (const bool training : {true, false}) {
        CHECK(gradcheck(
                  [&](const auto& in) {
                    Tensor mean = Tensor::full({c}, 0.2, f64), var = Tensor::full({c}, 1.5, f64);
                    return batch_norm(in[0], in[1], in[2], mean, var, {.training = training},
                                      named.second);
                  },
                  {x, gamma, beta}) == "");
      }
    }
    if (c > 1) {
      CHECK(gradcheck([](const auto& in) { return layer_norm(in[0], in[1], in[2]); },
                      {x, gamma, beta}) == "");
      CHECK(gradcheck([](const auto& in) { return layer_norm(in[0]); }, {x}) == "");
    }
    for (const int64_t groups : {int64_t{1}, int64_t{3}, c}) {
      if (c % groups) continue;
      CHECK(gradcheck([&](const auto& in) { return group_norm(in[0], groups, in[1], in[2]); },
                      {x, gamma, beta}) == "");
      CHECK(gradcheck([&](const auto& in) { return group_norm(in[0], groups); }, {x}) == "");
    }
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("layer and group norm of every width are the formula") {
  for (const DType dtype : {f32, f64}) {
    const double t = dtype == f32 ? 3e-5 : 1e-12;
    for (const Shape& shape : {Shape{5, 2}, Shape{9, 7}, Shape{3, 15}, Shape{70, 16}, Shape{3, 33},
                               Shape{2, 130}, Shape{2, 1001}, Shape{6, 3, 4}, Shape{4, 5, 3, 6},
                               Shape{3, 12, 12, 8}, Shape{2, 30, 30, 24}}) {
      INFO(name_of(dtype), " ", shape.str());
      const int64_t c = shape.last();
      const Tensor x = random(shape, 1, dtype, 2).requires_grad_(), dy = random(shape, 2, dtype);
      const Tensor gamma = random({c}, 3, dtype).requires_grad_();
      const Tensor beta = random({c}, 4, dtype).requires_grad_();
      const auto gradients = [&](const Tensor& y) {
        backward(y, dy);
        std::array out{y.detach(), x.grad(), gamma.grad(), beta.grad()};
        for (Tensor leaf : {x, gamma, beta}) leaf.zero_grad();
        return out;
      };
      // Of [n, rows, groups, width], together over the last axis or over the second and the last.
      const auto formula = [&](const std::vector<int64_t>& as, const Axes& axes) {
        const Tensor v = reshape(x, as), centered = v - mean(v, axes, {.keepdims = true});
        const Tensor var = mean(centered * centered, axes, {.keepdims = true});
        return reshape(centered / sqrt(var + 1e-5), {shape.begin(), shape.end()}) * gamma + beta;
      };
      const auto check = [&](const Tensor& y, const Tensor& right) {
        const auto a = gradients(y), b = gradients(right);
        for (size_t i = 0; i < a.size(); ++i) {
          INFO(i);
          check_close(a[i], b[i], i == 0 ? t : 20 * t);
        }
      };
      const int64_t n = shape[0], rows = shape.numel() / n / c;
      check(layer_norm(x, gamma, beta), formula({n * rows, c}, {1}));
      for (const int64_t groups : {int64_t{1}, int64_t{2}, int64_t{3}, c / 2}) {
        if (groups == 0 || c % groups) continue;
        INFO(groups, " groups");
        check(group_norm(x, groups, gamma, beta), formula({n, rows, groups, c / groups}, {1, 3}));
      }
    }
  }
}

TEST_CASE("over many blocks it is the formula") {
  for (const DType dtype : {f32, f64}) {
    for (const int64_t c : {1, 3, 7, 16, 20, 64, 1500, 20000}) {
      INFO(c);
      const Shape shape{c > 1000 ? 3 : 90, 5, 9, c};
      Tensor x = random(shape, 1, dtype, 3).requires_grad_();
      Tensor gamma = random({c}, 2, dtype).requires_grad_(), beta = random({c}, 3, dtype);
      beta.requires_grad_();
      const Tensor dy = random(shape, 4, dtype);
      const auto formula = [&](const Axes& axes, double eps) {
        const Tensor centered = x - mean(x, axes, {.keepdims = true});
        const Tensor variance = mean(centered * centered, axes, {.keepdims = true});
        return maximum(centered / sqrt(variance + eps) * gamma + beta, Tensor::zeros({}, dtype));
      };
      // A value near the kink may fall on the other side of it.
      const auto gradients = [&](const Tensor& y) {
        backward(y, dy);
        std::array out{y.detach(), x.grad(), gamma.grad(), beta.grad()};
        for (Tensor* t : {&x, &gamma, &beta}) t->zero_grad();
        return out;
      };
      Tensor none, also_none;
      const auto a = gradients(batch_norm(x, gamma, beta, none, also_none, {}, ReLU{}));
      const auto b = gradients(formula({0, 1, 2}, 1e-5));
      for (size_t i = 0; i < a.size(); ++i) check_close(a[i], b[i], dtype == f32 ? 2e-3 : 1e-10);
    }
  }
}

TEST_CASE("a large offset costs the variance no digits") {
  const Tensor noise = random({500, 9, 8}, 1);
  for (const double offset : {1e4, -1e6, 3e7}) {
    // f32 values, exactly the same in f64.
    const Tensor x = (noise * (std::fabs(offset) / 1e4) + offset).to(f32);
    Tensor mean = Tensor::zeros({8}), var = Tensor::zeros({8});
    const Tensor y = batch_norm(x, {}, {}, mean, var, {.momentum = 1});
    Tensor mean64 = Tensor::zeros({8}, f64), var64 = Tensor::zeros({8}, f64);
    const Tensor y64 = batch_norm(x.to(f64), {}, {}, mean64, var64, {.momentum = 1});
    check_close(var64, ramp::var(x.to(f64), {0, 1}), 1e-10);
    check_close(var.to(f64), var64, 2e-7);
    check_close(mean.to(f64), mean64, 1e-7);
    check_close(y.to(f64), y64, 2e-6);
    check_close(layer_norm(x).to(f64), layer_norm(x.to(f64)), 2e-6);
    check_close(group_norm(x, 2).to(f64), group_norm(x.to(f64), 2), 2e-6);
  }
}

TEST_CASE("values whose squares are too large or too small: as others, in units of their own") {
  const double eps = 1e-5;
  // x is multiplied by 2^k; what is normalized has the same bits then, when eps is 0 or goes along.
  for (const auto& scaled : std::vector<std::pair<DType, int>>{{f32, 50},
                                                               {f32, 64},
                                                               {f32, 100},
                                                               {f32, 120},
                                                               {f32, -50},
                                                               {f32, -70},
                                                               {f32, -120},
                                                               {f64, 330},
                                                               {f64, -400}}) {
    const DType dtype = scaled.first;
    const int k = scaled.second;
    INFO(name_of(dtype), " 2^", k);
    const double factor = std::ldexp(1, k);
    // The first channel (row, group) stays as it is: each has its own scale.
    const Tensor x = Rng(1).uniform({40, 6}, -1.5, 1.5, dtype), dy = random({40, 6}, 2, dtype);
    for (int kind = 0; kind < 3; ++kind) {
      INFO("kind ", kind);
      Tensor units = Tensor::full(kind == 0 ? Shape{6} : Shape{40, 1}, factor, dtype);
      units.rows(0, 1).fill_(1);
      const auto run = [&](const Tensor& x, double eps) {
        Tensor leaf = x.clone().requires_grad_();
        Tensor gamma = Tensor::full({6}, 1.5, dtype).requires_grad_();
        Tensor mean = Tensor::zeros({6}, dtype), var = Tensor::zeros({6}, dtype);
        const Tensor y = kind == 0
                             ? batch_norm(leaf, gamma, {}, mean, var, {.momentum = 1, .eps = eps})
                         : kind == 1 ? layer_norm(leaf, gamma, {}, {.eps = eps})
                                     : group_norm(leaf, 2, gamma, {}, eps);
        backward(y, dy);
        return std::array{y.detach(), gamma.grad(), leaf.grad(), mean};
      };
      const auto plain = run(x, 0), huge = run(x * units, k > 0 ? eps : 0);
      const double t = dtype == f32 ? 1e-5 : 1e-13;
      const auto but_first = [](const Tensor& x) { return x.rows(1, x.dim(0)); };
      const auto columns = [&](const Tensor& x) { return kind == 0 ? transpose(x) : x; };
      check_close(but_first(columns(huge[0])), but_first(columns(plain[0])), t);
      check_close(huge[1], plain[1], k > 0 ? 1e-4 : t);
      check_close(but_first(columns(huge[2] * units)), but_first(columns(plain[2])), t);
      if (kind == 0) check_close(huge[3] / units, plain[3], t);
      // The first one does not see that others are scaled.
      const auto same = run(x, k > 0 ? eps : 0);
      check_close(columns(huge[0]).rows(0, 1), columns(same[0]).rows(0, 1), 0);
      check_close(columns(huge[2]).rows(0, 1), columns(same[2]).rows(0, 1), 0);
    }
  }
  // All of one value, NaN and inf are as they were.
  const Tensor x = Tensor::of<float>({1e30f, NAN, INFINITY, 1e30f, 1, 1}, {2, 3});
  Tensor none, also_none;
  const std::vector<double> y = batch_norm(x, {}, {}, none, also_none).values();
  CHECK(y[0] == 0);
  for (const size_t i : {1, 2, 4, 5}) CHECK(std::isnan(y[i]));
}

TEST_CASE("bit-equal for any number of threads") {
  for (const int64_t c : {3, 16, 33}) {
    for (int kind = 0; kind < 3; ++kind) {
      check_equal_bits([&] {
        const Tensor x = random({40, 7, 70, c}, 1, f32, 1).requires_grad_();
        const Tensor gamma = random({c}, 2, f32).requires_grad_();
        const Tensor beta = random({c}, 3, f32).requires_grad_();
        Tensor mean = Tensor::zeros({c}), var = Tensor::zeros({c});
        const Tensor y = kind == 0   ? batch_norm(x, gamma, beta, mean, var, {}, ReLU{})
                         : kind == 1 ? layer_norm(x, gamma, beta)
                                     : group_norm(x, c == 16 ? 4 : 3, gamma, beta);
        backward(y, random(x.shape(), 4, f32));
        return std::vector{y, mean, var, x.grad(), gamma.grad(), beta.grad()};
      });
    }
  }
}

TEST_CASE("only the gradients that are wanted are computed") {
  const Tensor x = random({6, 4}, 1), gamma = random({4}, 2), beta = random({4}, 3);
  for (const bool training : {true, false}) {
    const auto gradients = [&](bool on_x, bool on_gamma, bool on_beta) {
      Tensor p = x.clone(), q = gamma.clone(), r = beta.clone(), mean = Tensor::zeros({4}, f64),
             var = Tensor::ones({4}, f64);
      p.requires_grad_(on_x);
      q.requires_grad_(on_gamma);
      r.requires_grad_(on_beta);
      backward(batch_norm(p, q, r, mean, var, {.training = training}), random({6, 4}, 4));
      CHECK(p.grad().defined() == on_x);
      CHECK(q.grad().defined() == on_gamma);
      CHECK(r.grad().defined() == on_beta);
      return std::array{p.grad(), q.grad(), r.grad()};
    };
    const auto all = gradients(true, true, true);
    check_close(gradients(true, false, false)[0], all[0], 0);
    check_close(gradients(false, true, false)[1], all[1], 0);
    check_close(gradients(false, false, true)[2], all[2], 0);
  }
}

TEST_CASE("NaN, inf, constant and empty inputs") {
  Tensor none, also_none;
  const double nan = std::nan(""), inf = INFINITY;
  // Column 0 holds a NaN, column 1 an inf, column 2 nothing but 5, column 3 is ordinary.
  const Tensor x = Tensor::of<double>({nan, inf, 5, -1, 1, 1, 5, 1}, {2, 4});
  const Tensor y = batch_norm(x, {}, {}, none, also_none, {.eps = 0.0}).view({8});
  for (const int64_t i : {0, 4, 1, 5}) CHECK(std::isnan(y.values()[static_cast<size_t>(i)]));
  check_close(y.rows(3, 4), Tensor::of<double>({-1}), 1e-12);
  check_close(y.rows(7, 8), Tensor::of<double>({1}), 1e-12);
  check_close(batch_norm(x, {}, {}, none, also_none).view({8}).rows(2, 3), Tensor::zeros({1}, f64),
              0);
  // One row with NaN leaves the others alone.
  const Tensor rows = layer_norm(Tensor::of<float>({NAN, 1, -1, 1}, {2, 2}), {}, {}, {.eps = 0});
  CHECK(std::isnan(rows.values()[0]));
  CHECK(std::isnan(rows.values()[1]));
  check_close(rows.rows(1, 2), Tensor::of<float>({-1, 1}, {1, 2}), 1e-6);
  // A ReLU keeps NaN.
  CHECK(std::isnan(batch_norm(x, {}, {}, none, also_none, {}, ReLU{}).values()[0]));

  for (const Shape& shape : {Shape{0, 3}, Shape{2, 0, 3}, Shape{0, 0}, Shape{4, 0}}) {
    INFO(shape.str());
    const int64_t c = shape.last();
    const Tensor gamma = Tensor::ones({c}).requires_grad_();
    Tensor mean = Tensor::full({c}, 2), var = Tensor::full({c}, 3);
    for (int kind = 0; kind < 3; ++kind) {
      Tensor leaf = Tensor::zeros(shape).requires_grad_();
      const Tensor out = kind == 0   ? batch_norm(leaf, gamma, {}, mean, var)
                         : kind == 1 ? layer_norm(leaf, gamma)
                                     : group_norm(leaf, 1, gamma);
      CHECK(out.shape() == shape);
      backward(out, Tensor::zeros(shape));
      CHECK(leaf.grad().shape() == shape);
    }
    check_close(gamma.grad(), Tensor::zeros({c}), 0);
    check_close(mean, Tensor::full({c}, 2), 0);
    check_close(var, Tensor::full({c}, 3), 0);
  }
}

TEST_CASE("the layers: parameters, buffers, training and evaluation") {
  BatchNorm2d bn(3, ReLU{}, {.momentum = 0.5});
  std::vector<std::string> names;
  for (const NamedTensor& t : bn.state()) names.push_back(t.name);
  CHECK(names == std::vector<std::string>{"weight", "bias", "running_mean", "running_var"});
  CHECK(bn.parameter_count() == 6);
  const Tensor x = random({4, 5, 3}, 1, f32, 2);
  const Tensor in_training = bn(x);
  CHECK(in_training.requires_grad());
  check_close(bn.running_mean, mean(x, {0, 1}) * 0.5, 1e-6);
  check_close(bn.running_var, var(x, {0, 1}) * 0.5 + 0.5, 1e-6);
  const Tensor moved = bn.running_mean.clone();
  bn.eval();
  const Tensor in_evaluation = bn(x);
  check_close(bn.running_mean, moved, 0);
  check_close(in_evaluation,
              maximum((x - bn.running_mean) / sqrt(bn.running_var + 1e-5), Tensor::zeros({})),
              1e-5);
  CHECK(difference(in_evaluation, in_training, 1e-3) != "");

  // Saved and loaded: the same answers. A clone has statistics of its own.
  BatchNorm2d other(3, ReLU{});
  other.load_state(bn.state());
  other.eval();
  check_close(other(x), in_evaluation, 0);
  BatchNorm2d copy = bn;
  copy.train();
  copy(x);
  check_close(bn.running_mean, moved, 0);
  CHECK(difference(copy.running_mean, moved, 1e-3) != "");

  // Recording or not, and in f64, a training forward moves the statistics.
  {
    const NoGrad no_grad;
    copy.to(f64);
    const Tensor at = copy.running_mean.clone();
    copy(x.to(f64));
    CHECK(difference(copy.running_mean, at, 1e-3) != "");
  }
  CHECK(bn.describe() == "BatchNorm(3, relu)");
  CHECK(BatchNorm1d(4, Identity{}, {.affine = false}).describe() == "BatchNorm(4)");
  CHECK(BatchNorm1d(4, Identity{}, {.affine = false}).parameter_count() == 0);
  CHECK(BatchNorm1d(4, Identity{}, {.affine = false}).state().size() == 2);
}

TEST_CASE("LayerNorm and GroupNorm are their ops") {
  LayerNorm layer(6, {.eps = 0.1});
  GroupNorm group(3, 6, {.eps = 0.1});
  const Tensor x = random({2, 5, 6}, 1, f32);
  for (Module* m : std::initializer_list<Module*>{&layer, &group}) {
    CHECK(m->parameter_count() == 12);
    CHECK(m->parameters()[0].requires_grad());
    m->parameters()[0].detach().copy_(random({6}, 2, f32));
    m->parameters()[1].detach().copy_(random({6}, 3, f32));
  }
  check_close(layer(x), layer_norm(x, layer.weight, layer.bias, {.eps = 0.1}), 0);
  check_close(group(x), group_norm(x, 3, group.weight, group.bias, 0.1), 0);
  CHECK(layer.describe() == "LayerNorm(6)");
  CHECK(group.describe() == "GroupNorm(3, 6)");
  CHECK(LayerNorm(6, {.affine = false}).parameter_count() == 0);
  CHECK(GroupNorm(2, 6, {.affine = false})(x).shape() == x.shape());
}

TEST_CASE("a buffer moved between forward and backward does no harm, an input does") {
  BatchNorm bn(3);
  Tensor x = random({4, 3}, 1, f32).requires_grad_();
  const Tensor y = bn(x);
  bn(x.detach());  // moves the running statistics
  backward(y, random({4, 3}, 2, f32));
  const Tensor z = bn(x);
  {
    const NoGrad no_grad;
    x.fill_(0);
  }
  CHECK(message([&] {
          backward(z, random({4, 3}, 2, f32));
        }).find("backward through batch_norm: x [4, 3] was changed in place") == 0);
}

TEST_CASE("errors") {
  Tensor none, also_none, mean = Tensor::zeros({3}), var = Tensor::ones({3});
  const Tensor x = Tensor::ones({2, 3});
  const auto of_batch = [&](const Tensor& x, const Tensor& gamma, bool training = true) {
    return message([&] { batch_norm(x, gamma, {}, mean, var, {.training = training}); });
  };
  CHECK(of_batch(Tensor::ones({1, 1, 3}), {}) ==
        "batch_norm: expected more than one value per channel in training; got x [1, 1, 3]. Hint: "
        "a larger batch, or eval().");
  CHECK(of_batch(Tensor::ones({1, 1, 3}), {}, false) == "no error");
  CHECK(of_batch(Tensor::ones({3}), {}) ==
        "batch_norm: expected x of at least two axes, channels last; got [3]. Hint: reshape it to "
        "[n, c].");
  CHECK(of_batch(x, Tensor::ones({2})) ==
        "batch_norm: gamma must be [3] for x [2, 3]; got [2]. Hint: "
        "channels are the last axis.");
  CHECK(of_batch(Tensor::ones({2, 4}), {})
            .find("batch_norm: running_mean must be [4] for x [2, 4]; got [3].") == 0);
  CHECK(of_batch(x.to(f64), {})
            .find("batch_norm: x and running_mean must have the same dtype; got f64 [2, 3] and f32 "
                  "[3].") == 0);
  CHECK(of_batch({}, {}).find("batch_norm: x is undefined") == 0);
  CHECK(message([&] { batch_norm(x, {}, {}, none, also_none, {.training = false}); }) ==
        "batch_norm: expected running statistics outside training; got undefined ones.");
  CHECK(message([&] {
          batch_norm(x.to(i64), {}, {}, none, also_none);
        }).find("batch_norm: expected an f32 or f64 tensor; got i64") == 0);
  CHECK(message([&] {
          layer_norm(Tensor::ones({3}));
        }).find("layer_norm: expected x of at least two axes, channels last; got [3].") == 0);
  CHECK(message([&] {
          layer_norm(x, {}, Tensor::ones({3, 1}));
        }).find("layer_norm: beta must be [3]") == 0);
  for (const int axes : {0, -1, 2}) {
    CHECK(message([&] { layer_norm(x, {}, {}, {.axes = axes}); }) ==
          fmt::format("layer_norm: expected axes in 1..1 for x [2, 3]; got {}.", axes));
  }
  CHECK(message([&] {
          layer_norm(Tensor::ones({2, 3, 4}), Tensor::ones({4}), {}, {.axes = 2});
        }) ==
        "layer_norm: gamma must be [3, 4] for x [2, 3, 4]; got [4]. Hint: channels are the last "
        "axis.");
  CHECK(message([&] {
          group_norm(Tensor::ones({2, 6}), 4);
        }) ==
        "group_norm: expected a number of groups that divides the 6 channels of x [2, 6]; got 4.");
  CHECK(message([&] { group_norm(Tensor::ones({2, 6}), 0); }).find("got 0.") != std::string::npos);
  for (const double bad : {-1e-5, double(NAN), double(INFINITY)}) {
    const std::string got = fmt::format(": expected eps >= 0, finite; got {}.", bad);
    CHECK(message([&] { batch_norm(x, {}, {}, mean, var, {.eps = bad}); }) == "batch_norm" + got);
    CHECK(message([&] { layer_norm(x, {}, {}, {.eps = bad}); }) == "layer_norm" + got);
    CHECK(message([&] { group_norm(x, 1, {}, {}, bad); }) == "group_norm" + got);
    // A layer says it when it is made.
    CHECK(message([&] { BatchNorm(4, {.eps = bad}); }) == "norm" + got);
    CHECK(message([&] { LayerNorm(4, {.eps = bad}); }) == "norm" + got);
    CHECK(message([&] { GroupNorm(2, 4, {.eps = bad}); }) == "norm" + got);
  }
  for (const double bad : {-0.1, 1.1, double(NAN)}) {
    CHECK(message([&] { batch_norm(x, {}, {}, mean, var, {.momentum = bad}); }) ==
          fmt::format("batch_norm: expected momentum in 0..1; got {}.", bad));
    CHECK(message([&] { BatchNorm(4, ReLU{}, {.momentum = bad}); }) ==
          fmt::format("norm: expected momentum in 0..1; got {}.", bad));
  }
  CHECK(message([] { BatchNorm(0); }) == "norm: expected at least 1 channel; got 0.");
  Sequential net{BatchNorm2d(16), GroupNorm(3, 16)};
  CHECK(message([&] {
          net(Tensor::ones({2, 16, 4, 4}));
        }) ==
        "0: batch_norm: gamma must be [4] for x [2, 16, 4, 4]; got [16]. Hint: channels are the "
        "last axis.");
  CHECK(message([&] {
          net(Tensor::ones({2, 4, 4, 16}));
        }).find("1: group_norm: expected a number of groups that divides the 16 channels") == 0);
}
