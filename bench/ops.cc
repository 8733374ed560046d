// The rows of the op table. f32, channels last; each op forward (recorded) and forward + backward.
#include "ops.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "ramp/ramp.h"

using namespace ramp;

namespace {

using T = const Tensor&;
using Values = std::vector<Tensor>;
using Op = std::function<Tensor(const Values&)>;
using Input = std::function<Tensor(Rng&)>;
using Rows = std::vector<OpRow>;

// Inputs that ask for a gradient.
Input normal(const Shape& shape) {
  return [shape](Rng& rng) { return rng.normal(shape).requires_grad_(); };
}
Input uniform(const Shape& shape, double lo = 0, double hi = 1) {
  return [=](Rng& rng) { return rng.uniform(shape, lo, hi).requires_grad_(); };
}
// And those that do not.
Input fixed(Input input) {
  return [input](Rng& rng) { return input(rng).detach(); };
}
Input labels(const Shape& shape, int64_t classes) {
  return [=](Rng& rng) { return rng.randint(shape, 0, classes); };
}
// -1 or +1.
Input signs(const Shape& shape) {
  return [shape](Rng& rng) { return 2 * rng.bernoulli(shape, 0.5) - 1; };
}

OpRow row(std::string name, std::vector<Input> inputs, Op f) {
  return {std::move(name), [inputs = std::move(inputs), f = std::move(f)]() -> OpCalls {
            Rng rng(1);
            Values in;
            for (const Input& input : inputs) in.push_back(input(rng));
            const Tensor y = f(in);
            OpCalls calls{.forward = [=] { f(in); }, .both = nullptr, .numel = y.numel()};
            if (y.requires_grad()) {
              calls.both = [in, f, dy = rng.normal(y.shape()).to(y.dtype())]() mutable {
                backward(f(in), dy);
                for (Tensor& x : in) {
                  if (x.requires_grad()) x.zero_grad();
                }
              };
            }
            return calls;
          }};
}

struct Unary {
  const char* name;
  Tensor (*f)(T);
};
OpRow row(const Unary& u, const std::string& size, Input x) {
  return row(fmt::format("{}|{}", u.name, size), {std::move(x)},
             [f = u.f](const Values& v) { return f(v[0]); });
}
struct Binary {
  const char* name;
  Tensor (*f)(T, T);
};
OpRow row(const Binary& b, const std::string& size, Input x, Input y) {
  return row(fmt::format("{}|{}", b.name, size), {std::move(x), std::move(y)},
             [f = b.f](const Values& v) { return f(v[0], v[1]); });
}
struct Ternary {
  const char* name;
  Tensor (*f)(T, T, T);
};
OpRow row(const Ternary& t, const std::string& size, Input x, Input y, Input z) {
  return row(fmt::format("{}|{}", t.name, size), {std::move(x), std::move(y), std::move(z)},
             [f = t.f](const Values& v) { return f(v[0], v[1], v[2]); });
}

std::string text(const Shape& s) {
  std::string t;
  for (int i = 0; i < s.rank(); ++i) t += fmt::format("{}{}", i == 0 ? "" : "x", s[i]);
  return t;
}

struct Size {
  const char* name;
  Shape shape;
};
const Size kSizes[] = {{"8k", {64, 128}}, {"1.6M", {64, 28, 28, 32}}};

Rows activations() {
  const Unary unary[] = {
      {"relu", relu},
      {"leaky_relu", [](T x) { return leaky_relu(x); }},
      {"elu", [](T x) { return elu(x); }},
      {"selu", selu},
      {"celu", [](T x) { return celu(x); }},
      {"relu6", relu6},
      {"clipped_relu", [](T x) { return clipped_relu(x, 4); }},
      {"squared_relu", squared_relu},
      {"thresholded_relu", [](T x) { return thresholded_relu(x); }},
      {"smelu", [](T x) { return smelu(x); }},
      {"gelu", gelu},
      {"gelu_tanh", gelu_tanh},
      {"silu", silu},
      {"swish", [](T x) { return swish(x, 2); }},
      {"mish", mish},
      {"hard_swish", hard_swish},
      {"hard_sigmoid", hard_sigmoid},
      {"hard_tanh", [](T x) { return hard_tanh(x); }},
      {"sigmoid", sigmoid},
      {"tanh", [](T x) { return tanh(x); }},
      {"softplus", [](T x) { return softplus(x); }},
      {"softsign", softsign},
      {"log_sigmoid", log_sigmoid},
      {"crelu", crelu},
      {"glu", glu},
  };
  Rows rows;
  for (const auto& [size, s] : kSizes) {
    for (const Unary& u : unary) rows.push_back(row(u, size, normal(s)));
    rows.push_back(row({"prelu", prelu}, size, normal(s), uniform({s.last()})));
    const auto random = [&, size = size, s = s](const char* name, Tensor (*f)(T, Rng&)) {
      rows.push_back(row(fmt::format("{}|{}", name, size), {normal(s)},
                         [f, rng = Rng(3)](const Values& v) mutable { return f(v[0], rng); }));
    };
    random("rrelu", [](T x, Rng& rng) { return rrelu(x, rng); });
    random("dropout", [](T x, Rng& rng) { return dropout(x, 0.5, rng); });
    if (s.rank() == 4) random("dropout2d", [](T x, Rng& rng) { return dropout2d(x, 0.5, rng); });
  }
  return rows;
}

Rows elementwise() {
  const Unary unary[] = {
      {"exp", [](T x) { return exp(x); }},
      {"erf", [](T x) { return erf(x); }},
      {"abs", [](T x) { return abs(x); }},
      {"neg", neg},
      {"sin", [](T x) { return sin(x); }},
      {"cos", [](T x) { return cos(x); }},
      {"clamp", [](T x) { return clamp(x, -1, 1); }},
      {"square", [](T x) { return pow(x, 2); }},
      {"cube", [](T x) { return pow(x, 3); }},
      {"mul_number", [](T x) { return x * 2.5; }},
      {"add_number", [](T x) { return x + 2.5; }},
      {"number_minus", [](T x) { return 2.5 - x; }},
  };
  const Unary positive[] = {
      {"log", [](T x) { return log(x); }},
      {"sqrt", [](T x) { return sqrt(x); }},
      {"pow_number", [](T x) { return pow(x, 1.7); }},
      {"number_over", [](T x) { return 2.5 / x; }},
  };
  const Unary without_gradient[] = {
      {"floor", [](T x) { return floor(x); }}, {"ceil", [](T x) { return ceil(x); }},
      {"round", [](T x) { return round(x); }}, {"sign", sign},
      {"isnan", [](T x) { return isnan(x); }}, {"logical_not", logical_not},
  };
  const Binary binary[] = {
      {"add", add}, {"sub", sub}, {"mul", mul}, {"maximum", maximum}, {"minimum", minimum},
  };
  const Binary comparisons[] = {{"less", less}, {"equal", equal}, {"logical_and", logical_and}};
  Rows rows;
  for (const auto& [size, s] : kSizes) {
    for (const Unary& u : unary) rows.push_back(row(u, size, normal(s)));
    for (const Unary& u : positive) rows.push_back(row(u, size, uniform(s, 0.1, 1.1)));
    for (const Unary& u : without_gradient) rows.push_back(row(u, size, fixed(normal(s))));
    for (const Binary& b : binary) rows.push_back(row(b, size, normal(s), normal(s)));
    for (const Binary& b : comparisons) {
      rows.push_back(row(b, size, fixed(normal(s)), fixed(normal(s))));
    }
    rows.push_back(row({"div", div}, size, normal(s), uniform(s, 0.5, 1.5)));
    rows.push_back(row({"pow", [](T x, T p) { return pow(x, p); }}, size, uniform(s, 0.1, 1.1),
                       uniform(s, 1, 2)));
    rows.push_back(row({"add_row", add}, size, normal(s), normal({s.last()})));
    rows.push_back(row({"mul_row", mul}, size, normal(s), normal({s.last()})));
    rows.push_back(row({"div_row", div}, size, normal(s), uniform({s.last()}, 0.5, 1.5)));
    const Shape column = s.without(s.rank() - 1).with(s.rank() - 1, 1);
    rows.push_back(row({"add_column", add}, size, normal(s), normal(column)));
    rows.push_back(row({"mul_column", mul}, size, normal(s), normal(column)));
    rows.push_back(row({"where", [](T a, T b, T c) { return where(c, a, b); }}, size, normal(s),
                       normal(s), signs(s)));
  }
  return rows;
}

Rows reductions() {
  const Unary all[] = {
      {"sum_all", [](T x) { return sum(x); }},
      {"mean_all", [](T x) { return mean(x); }},
      {"var_all", [](T x) { return var(x); }},
      {"max_all", [](T x) { return max(x); }},
      {"logsumexp_all", [](T x) { return logsumexp(x); }},
      {"sum_first", [](T x) { return sum(x, 0); }},
      {"mean_first", [](T x) { return mean(x, 0); }},
      {"var_first", [](T x) { return var(x, 0); }},
      {"max_first", [](T x) { return max(x, 0); }},
      {"argmax_first", [](T x) { return argmax(x, 0); }},
      {"softmax_first", [](T x) { return softmax(x, 0); }},
      {"cumsum_first", [](T x) { return cumsum(x, 0); }},
  };
  const Unary last[] = {
      {"sum_last", [](T x) { return sum(x, -1); }},
      {"mean_last", [](T x) { return mean(x, -1); }},
      {"var_last", [](T x) { return var(x, -1); }},
      {"stddev_last", [](T x) { return stddev(x, -1); }},
      {"prod_last", [](T x) { return prod(x, -1); }},
      {"logsumexp_last", [](T x) { return logsumexp(x, -1); }},
      {"max_last", [](T x) { return max(x, -1); }},
      {"min_last", [](T x) { return min(x, -1); }},
      {"argmax_last", [](T x) { return argmax(x, -1); }},
      {"argmin_last", [](T x) { return argmin(x, -1); }},
      {"cumsum_last", [](T x) { return cumsum(x, -1); }},
      {"normalize", [](T x) { return normalize(x); }},
      {"softmax", [](T x) { return softmax(x); }},
      {"log_softmax", [](T x) { return log_softmax(x); }},
      {"sort", [](T x) { return sort(x).values; }},
      {"topk", [](T x) { return topk(x, 5).values; }},
  };
  Rows rows;
  for (const auto& [size, s] : kSizes) {
    for (const Unary& u : all) rows.push_back(row(u, size, normal(s)));
  }
  for (const auto& [size, s] : {kSizes[0], kSizes[1], Size{"2048x768", {2048, 768}}}) {
    for (const Unary& u : last) rows.push_back(row(u, size, normal(s)));
    rows.push_back(row({"cosine_similarity", [](T a, T b) { return cosine_similarity(a, b); }},
                       size, normal(s), normal(s)));
    rows.push_back(row({"layer_norm", [](T x, T g, T b) { return layer_norm(x, g, b); }}, size,
                       normal(s), normal({s.last()}), normal({s.last()})));
  }
  return rows;
}

Rows losses() {
  Rows rows;
  for (const auto& [size, s] : kSizes) {
    const Input y = normal(s), target = fixed(normal(s)), p = fixed(uniform(s, 0.01, 0.99));
    const Shape batch = s.without(s.rank() - 1);
    for (const Binary& b : {Binary{"mse_loss", [](T a, T t) { return mse_loss(a, t); }},
                            Binary{"l1_loss", [](T a, T t) { return l1_loss(a, t); }},
                            Binary{"smooth_l1_loss", [](T a, T t) { return smooth_l1_loss(a, t); }},
                            Binary{"huber_loss", [](T a, T t) { return huber_loss(a, t); }}}) {
      rows.push_back(row(b, size, y, target));
    }
    rows.push_back(
        row({"bce_with_logits", [](T a, T t) { return bce_with_logits(a, t); }}, size, y, p));
    rows.push_back(row({"bce_loss", [](T a, T t) { return bce_loss(a, t); }}, size,
                       uniform(s, 0.01, 0.99), p));
    rows.push_back(
        row({"kl_div", [](T a, T t) { return kl_div(a, t); }}, size, uniform(s, -5, -1), p));
    rows.push_back(
        row({"poisson_nll_loss", [](T a, T t) { return poisson_nll_loss(a, t); }}, size, y, p));
    rows.push_back(
        row({"gaussian_nll_loss", [](T a, T t, T v) { return gaussian_nll_loss(a, t, v); }}, size,
            y, target, uniform(s, 0.1, 1.1)));
    rows.push_back(
        row({"hinge_loss", [](T a, T t) { return hinge_loss(a, t); }}, size, y, signs(s)));
    rows.push_back(
        row({"hinge_embedding_loss", [](T a, T t) { return hinge_embedding_loss(a, t); }}, size, y,
            signs(s)));
    rows.push_back(row(
        {"margin_ranking_loss", [](T a, T b, T t) { return margin_ranking_loss(a, b, t, 0.1); }},
        size, y, normal(s), signs(s)));
    rows.push_back(
        row({"cosine_embedding_loss", [](T a, T b, T t) { return cosine_embedding_loss(a, b, t); }},
            size, y, normal(s), signs(batch)));
    rows.push_back(
        row({"triplet_margin_loss", [](T a, T b, T c) { return triplet_margin_loss(a, b, c); }},
            size, y, normal(s), normal(s)));
  }
  struct Classes {
    int64_t n, classes;
  };
  for (const auto& [n, c] : {Classes{64, 10}, Classes{512, 1000}, Classes{16384, 100}}) {
    const std::string size = fmt::format("{}x{}", n, c);
    rows.push_back(row({"cross_entropy", [](T x, T t) { return cross_entropy(x, t); }}, size,
                       normal({n, c}), labels({n}, c)));
    rows.push_back(row({"cross_entropy smoothed",
                        [](T x, T t) { return cross_entropy(x, t, {.label_smoothing = 0.1}); }},
                       size, normal({n, c}), labels({n}, c)));
    rows.push_back(row({"nll_loss", [](T x, T t) { return nll_loss(x, t); }}, size,
                       uniform({n, c}, -5, -1), labels({n}, c)));
  }
  return rows;
}

Rows shape_ops() {
  const Unary unary[] = {
      {"slice", [](T x) { return slice(x, -1, 8, 24); }},
      {"slice step 2", [](T x) { return slice(x, -1, 0, x.shape().last(), 2); }},
      {"slice first", [](T x) { return slice(x, 0, 8, 24); }},
      {"rows", [](T x) { return x.rows(8, 24); }},
      {"reshape",
       [](T x) {
         return reshape(x, {-1, 64});
       }},
      {"flatten", [](T x) { return flatten(x); }},
      {"unsqueeze", [](T x) { return unsqueeze(x, 1); }},
      {"clone", [](T x) { return x.clone(); }},
      {"to f64", [](T x) { return x.to(f64); }},
      {"flip last", [](T x) { return flip(x, -1); }},
      {"flip first", [](T x) { return flip(x, 0); }},
      {"roll", [](T x) { return roll(x, 3, 0); }},
      {"split",
       [](T x) {
         const std::vector<Tensor> halves = split(x, x.shape().last() / 2, -1);
         return halves[0] + halves[1];
       }},
  };
  Rows rows;
  for (const auto& [size, s] : kSizes) {
    for (const Unary& u : unary) rows.push_back(row(u, size, normal(s)));
    rows.push_back(row({"concat last",
                        [](T a, T b) {
                          return concat({a, b}, -1);
                        }},
                       size, normal(s), normal(s)));
    rows.push_back(row({"concat first",
                        [](T a, T b) {
                          return concat({a, b}, 0);
                        }},
                       size, normal(s), normal(s)));
    rows.push_back(row({"stack",
                        [](T a, T b) {
                          return stack({a, b}, 0);
                        }},
                       size, normal(s), normal(s)));
    rows.push_back(row(fmt::format("broadcast_to|{}", size), {normal({s.last()})},
                       [s = s](const Values& v) { return broadcast_to(v[0], s); }));
  }
  for (const int64_t n : {90, 1024}) {
    const std::string size = fmt::format("{0}x{0}", n);
    rows.push_back(row({"transpose", [](T x) { return transpose(x); }}, size, normal({n, n})));
    rows.push_back(row({"repeat", [](T x) { return repeat(x, {2, 2}); }}, size, normal({n, n})));
    rows.push_back(row({"gather", [](T x, T i) { return gather(x, 1, i); }}, size, normal({n, n}),
                       labels({n, 10}, n)));
  }
  for (const Shape& s : {Shape{2, 8, 16, 32}, Shape{64, 28, 28, 32}}) {
    rows.push_back(row({"permute",
                        [](T x) {
                          return permute(x, {0, 3, 1, 2});
                        }},
                       text(s), normal(s)));
  }
  for (const Shape& s : {Shape{1000, 16}, Shape{10000, 64}}) {
    for (const int64_t n : {128, 4096}) {
      rows.push_back(row({"take", [](T x, T i) { return take(x, i); }},
                         fmt::format("{}, {} rows", text(s), n), normal(s), labels({n}, s[0])));
    }
  }
  rows.push_back(row({"one_hot", [](T x) { return one_hot(x, 10); }}, "512x10", labels({512}, 10)));
  rows.push_back(
      row({"one_hot", [](T x) { return one_hot(x, 100); }}, "16384x100", labels({16384}, 100)));
  return rows;
}

Rows products() {
  const Binary matmuls[] = {
      {"matmul", [](T a, T b) { return matmul(a, b); }},
      {"matmul a b^T", [](T a, T b) { return matmul(a, b, Trans::b); }},
      {"matmul a^T b", [](T a, T b) { return matmul(a, b, Trans::a); }},
  };
  Rows rows;
  for (const int64_t n : {64, 128, 256, 512, 1024}) {
    rows.push_back(row(matmuls[0], fmt::format("{}", n), normal({n, n}), normal({n, n})));
  }
  for (const int64_t n : {64, 512}) {
    rows.push_back(row(matmuls[1], fmt::format("{}", n), normal({n, n}), normal({n, n})));
    rows.push_back(row(matmuls[2], fmt::format("{}", n), normal({n, n}), normal({n, n})));
  }
  for (const Shape& s : {Shape{64, 8, 8}, Shape{32, 64, 64}, Shape{8, 256, 256}}) {
    rows.push_back(row(matmuls[0], text(s), normal(s), normal(s)));
  }
  rows.push_back(row(matmuls[0], "1024x1024, 1024x1", normal({1024, 1024}), normal({1024, 1})));
  struct Layer {
    int64_t n, in, out;
  };
  for (const auto& [n, in, out] :
       {Layer{1, 784, 128}, Layer{8, 784, 128}, Layer{64, 784, 128}, Layer{512, 784, 128},
        Layer{64, 128, 10}, Layer{512, 128, 10}, Layer{1, 512, 512}, Layer{16, 512, 512},
        Layer{128, 512, 512}, Layer{512, 512, 512}, Layer{1, 1024, 1024}, Layer{32, 1024, 1024},
        Layer{256, 1024, 1024}, Layer{64, 9216, 128}, Layer{64, 400, 120}, Layer{64, 120, 84}}) {
    const std::string size = fmt::format("{}x{}x{}", n, in, out);
    rows.push_back(row({"linear", [](T x, T w, T b) { return linear(x, w, b); }}, size,
                       normal({n, in}), normal({in, out}), normal({out})));
    if (in == 784 || in == 1024) {
      rows.push_back(row({"linear relu", [](T x, T w, T b) { return linear(x, w, b, ReLU{}); }},
                         size, normal({n, in}), normal({in, out}), normal({out})));
    }
  }
  return rows;
}

struct Conv {
  const char* name;
  int64_t n, size, c, k, kernel, stride = 1, padding = 0, dilation = 1, groups = 1;
};
const Conv kConvs[] = {
    // the workloads
    {"3x3 1-32", 64, 28, 1, 32, 3},
    {"3x3 32-64", 64, 26, 32, 64, 3},
    {"5x5 1-6", 64, 28, 1, 6, 5, 1, 2},
    {"5x5 6-16", 64, 14, 6, 16, 5},
    {"3x3 1-16", 128, 28, 1, 16, 3, 1, 1},
    {"3x3 16-32", 128, 28, 16, 32, 3, 1, 1},
    {"3x3 14 32-64", 128, 14, 32, 64, 3, 1, 1},
    // a ResNet for CIFAR
    {"3x3 3-16 cifar", 128, 32, 3, 16, 3, 1, 1},
    {"3x3 16-16 cifar", 128, 32, 16, 16, 3, 1, 1},
    {"3x3 16-32 s2", 128, 32, 16, 32, 3, 2, 1},
    {"3x3 32-32", 128, 16, 32, 32, 3, 1, 1},
    {"3x3 32-64 s2", 128, 16, 32, 64, 3, 2, 1},
    {"3x3 64-64", 128, 8, 64, 64, 3, 1, 1},
    {"1x1 16-32 s2", 128, 32, 16, 32, 1, 2},
    {"1x1 32-64 s2", 128, 16, 32, 64, 1, 2},
    // larger images and more channels
    {"1x1 64-256", 32, 14, 64, 256, 1},
    {"1x1 256-64", 32, 14, 256, 64, 1},
    {"3x3 128-128", 16, 14, 128, 128, 3, 1, 1},
    {"3x3 256-256", 16, 14, 256, 256, 3, 1, 1},
    {"7x7 3-64 s2", 4, 112, 3, 64, 7, 2, 3},
    {"7x7 1x224 3-64 s2", 1, 224, 3, 64, 7, 2, 3},
    {"3x3 1x224 3-32", 1, 224, 3, 32, 3, 1, 1},
    {"3x3 4x224 3-32 s2", 4, 224, 3, 32, 3, 2, 1},
    {"3x3 1x112 64-64", 1, 112, 64, 64, 3, 1, 1},
    {"3x3 1x56 64-64", 1, 56, 64, 64, 3, 1, 1},
    {"11x11 1x224 3-64 s4", 1, 224, 3, 64, 11, 4, 2},
    // other forms
    {"3x3 depthwise 64", 32, 28, 64, 64, 3, 1, 1, 1, 64},
    {"3x3 depthwise 64 s2", 32, 28, 64, 64, 3, 2, 1, 1, 64},
    {"5x5 depthwise 32", 32, 28, 32, 32, 5, 1, 2, 1, 32},
    {"3x3 groups4 64-64", 32, 14, 64, 64, 3, 1, 1, 1, 4},
    {"3x3 dil2 32-32", 32, 28, 32, 32, 3, 1, 2, 2},
    {"3x3 3-6", 64, 28, 3, 6, 3, 1, 1},
    {"3x3 6-20", 64, 28, 6, 20, 3, 1, 1},
    {"3x3 20-20", 64, 28, 20, 20, 3, 1, 1},
    {"5x5 20-50", 64, 12, 20, 50, 5},
    {"3x3 24-24", 64, 28, 24, 24, 3, 1, 1},
    {"1x1 24-24", 64, 28, 24, 24, 1},
    {"5x5 24-24", 32, 28, 24, 24, 5, 1, 2},
    {"7x7 24-24", 16, 28, 24, 24, 7, 1, 3},
};

Rows convolutions() {
  Rows rows;
  for (const Conv& c : kConvs) {
    const ConvOptions o{
        .stride = c.stride, .padding = c.padding, .dilation = c.dilation, .groups = c.groups};
    const Input x = normal({c.n, c.size, c.size, c.c});
    // A first layer: nobody wants the gradient of its images.
    const std::vector<Input> inputs{
        c.c <= 3 ? fixed(x) : x, normal({c.kernel, c.kernel, c.c / c.groups, c.k}), normal({c.k})};
    rows.push_back(row(fmt::format("conv2d|{}", c.name), inputs,
                       [o](const Values& v) { return conv2d(v[0], v[1], v[2], o); }));
    if (&c - kConvs < 4) {
      rows.push_back(row(fmt::format("conv2d relu|{}", c.name), inputs,
                         [o](const Values& v) { return conv2d(v[0], v[1], v[2], o, ReLU{}); }));
      rows.push_back(
          row(fmt::format("conv2d relu max_pool|{}", c.name), inputs,
              [o](const Values& v) { return conv2d_max_pool(v[0], v[1], v[2], o, ReLU{}); }));
    }
  }
  rows.push_back(row({"conv1d",
                      [](T x, T w, T b) {
                        return conv1d(x, w, b, {.padding = {0, 2}});
                      }},
                     "64x128 5 32-64", normal({64, 128, 32}), normal({5, 32, 64}), normal({64})));
  rows.push_back(row(
      {"conv_transpose1d", [](T x, T w, T b) { return conv_transpose1d(x, w, b, {.stride = 2}); }},
      "64x64 4 s2 64-32", normal({64, 64, 64}), normal({4, 32, 64}), normal({32})));
  const auto transposed = [](T x, T w, T b) {
    return conv_transpose2d(x, w, b, {.stride = 2, .padding = 1});
  };
  rows.push_back(row({"conv_transpose2d", transposed}, "4x4 s2 64-32", normal({64, 7, 7, 64}),
                     normal({4, 4, 32, 64}), normal({32})));
  rows.push_back(row({"conv_transpose2d", transposed}, "4x4 s2 32-16", normal({64, 14, 14, 32}),
                     normal({4, 4, 16, 32}), normal({16})));
  rows.push_back(row({"conv_transpose2d", transposed}, "4x4 s2 32-1", normal({64, 14, 14, 32}),
                     normal({4, 4, 1, 32}), normal({1})));
  return rows;
}

// Pools, resizes and norms.
Rows images() {
  const std::vector<std::pair<int64_t, int64_t>> around{{0, 0}, {1, 1}, {1, 1}, {0, 0}};
  const auto max_pool_3s2p1 = [](T x) { return max_pool2d(x, 3, {.stride = 2, .padding = 1}); };
  const auto avg_pool_3s1p1 = [](T x) { return avg_pool2d(x, 3, {.stride = 1, .padding = 1}); };
  const Unary unary[] = {
      {"max_pool 2", [](T x) { return max_pool2d(x); }},
      {"max_pool 3s2p1", max_pool_3s2p1},
      {"avg_pool 2", [](T x) { return avg_pool2d(x); }},
      {"avg_pool 3s1p1", avg_pool_3s1p1},
      {"global_avg", global_avg_pool},
      {"global_max", global_max_pool},
      {"adaptive_avg 7", [](T x) { return adaptive_avg_pool2d(x, 7); }},
      {"adaptive_avg 5", [](T x) { return adaptive_avg_pool2d(x, 5); }},
      {"adaptive_max 7", [](T x) { return adaptive_max_pool2d(x, 7); }},
      {"upsample_nearest 2", [](T x) { return upsample_nearest2d(x, 2); }},
      {"upsample_bilinear 2", [](T x) { return upsample_bilinear2d(x, 2); }},
      {"resize_nearest 20", [](T x) { return resize_nearest2d(x, 20); }},
      {"resize_bilinear 20", [](T x) { return resize_bilinear2d(x, 20); }},
  };
  Rows rows;
  for (const Shape& s :
       {Shape{2, 8, 16, 32}, Shape{64, 28, 28, 3}, Shape{64, 28, 28, 6}, Shape{64, 28, 28, 20},
        Shape{64, 28, 28, 24}, Shape{64, 28, 28, 32}, Shape{64, 28, 28, 64}}) {
    const int64_t c = s.last();
    for (const Unary& u : unary) rows.push_back(row(u, text(s), normal(s)));
    rows.push_back(row(fmt::format("pad 1|{}", text(s)), {normal(s)},
                       [around](const Values& v) { return pad(v[0], around); }));
    rows.push_back(row(fmt::format("pad reflect 1|{}", text(s)), {normal(s)},
                       [around](const Values& v) { return pad(v[0], around, PadMode::reflect); }));
    for (const bool training : {true, false}) {
      rows.push_back(row(fmt::format("batch_norm{}|{}", training ? "" : " eval", text(s)),
                         {normal(s), normal({c}), normal({c})},
                         [mean = Tensor::zeros({c}), var = Tensor::ones({c}),
                          o = BatchNormOptions{.training = training}](const Values& v) mutable {
                           return batch_norm(v[0], v[1], v[2], mean, var, o);
                         }));
    }
    if (c % 4 == 0) {
      rows.push_back(row({"group_norm 4", [](T x, T g, T b) { return group_norm(x, 4, g, b); }},
                         text(s), normal(s), normal({c}), normal({c})));
      rows.push_back(row(fmt::format("instance_norm|{}", text(s)),
                         {normal(s), normal({c}), normal({c})},
                         [c](const Values& v) { return group_norm(v[0], c, v[1], v[2]); }));
    }
  }
  rows.push_back(
      row(fmt::format("batch_norm|512x512"), {normal({512, 512}), normal({512}), normal({512})},
          [mean = Tensor::zeros({512}), var = Tensor::ones({512})](const Values& v) mutable {
            return batch_norm(v[0], v[1], v[2], mean, var);
          }));
  rows.push_back(
      row({"max_pool1d 2", [](T x) { return max_pool1d(x); }}, "64x784x32", normal({64, 784, 32})));
  rows.push_back(
      row({"avg_pool1d 2", [](T x) { return avg_pool1d(x); }}, "64x784x32", normal({64, 784, 32})));
  return rows;
}

// Steps on 1.3 million parameters.
using Step = std::function<void()>;
OpRow on_parameters(const char* name, Step (*make)(Sequential& net)) {
  return {fmt::format("{}|1.3M", name), [make]() -> OpCalls {
            Rng rng(1);
            const auto net = std::make_shared<Sequential>(
                Sequential{Dense(784, 1024), Dense(1024, 512), Dense(512, 10)});
            for (Tensor w : net->parameters()) w.set_grad(rng.normal(w.shape()));
            return {.forward = [net, step = make(*net)] { step(); }, .both = nullptr};
          }};
}
template <typename O, auto... options>
Step step_of(Sequential& net) {
  const auto optimizer = std::make_shared<O>(net, options()...);
  return [optimizer] { optimizer->step(); };
}
constexpr auto kMomentum = [] { return SgdOptions{.lr = 1e-3, .momentum = 0.9}; };
constexpr auto kNesterov = [] {
  return SgdOptions{.lr = 1e-3, .momentum = 0.9, .weight_decay = 1e-4, .nesterov = true};
};
constexpr auto kAmsgrad = [] { return AdamOptions{.amsgrad = true}; };

Rows optimizers() {
  return {on_parameters("sgd", step_of<SGD>),
          on_parameters("sgd momentum", step_of<SGD, kMomentum>),
          on_parameters("sgd nesterov decay", step_of<SGD, kNesterov>),
          on_parameters("adam", step_of<Adam>),
          on_parameters("adam amsgrad", step_of<Adam, kAmsgrad>),
          on_parameters("adamw", step_of<AdamW>),
          on_parameters("adamax", step_of<Adamax>),
          on_parameters("nadam", step_of<NAdam>),
          on_parameters("radam", step_of<RAdam>),
          on_parameters("rmsprop", step_of<RMSprop>),
          on_parameters("adagrad", step_of<Adagrad>),
          on_parameters("adadelta", step_of<Adadelta>),
          on_parameters("lion", step_of<Lion>),
          on_parameters("ema",
                        [](Sequential& net) -> Step {
                          const auto average = std::make_shared<EMA>(net);
                          return [average] { average->update(); };
                        }),
          on_parameters("clip_grad_norm",
                        [](Sequential& net) -> Step { return [&net] { clip_grad_norm(net, 1); }; }),
          on_parameters("clip_grad_value", [](Sequential& net) -> Step {
            return [&net] { clip_grad_value(net, 1); };
          })};
}

// A step of training W1.
OpRow step_row(int64_t batch) {
  return {fmt::format("W1 step, batch|{}", batch), [batch]() -> OpCalls {
            Rng rng(1);
            const auto net =
                std::make_shared<Sequential>(Sequential{Dense(784, 128, ReLU{}), Dense(128, 10)});
            const auto optimizer = std::make_shared<Adam>(*net);
            const Tensor x = rng.uniform({batch, 784}), y = rng.randint({batch}, 0, 10);
            const auto step = [=] {
              cross_entropy((*net)(x), y).backward();
              optimizer->step();
              optimizer->zero_grad();
            };
            return {.forward = [=] { cross_entropy((*net)(x), y); }, .both = step, .numel = 1};
          }};
}

}  // namespace

std::vector<OpRow> growth_rows() {
  Rows rows;
  for (const int64_t batch : {1, 4, 16, 64, 256, 1024, 4096}) rows.push_back(step_row(batch));
  for (const int64_t n : {64, 128, 256, 512, 1024, 2048, 4096}) {
    rows.push_back(row({"dense, width", [](T x, T w, T b) { return linear(x, w, b, ReLU{}); }},
                       fmt::format("{}", n), normal({64, n}), normal({n, n}), normal({n})));
  }
  const auto conv = [](T x, T w, T b) { return conv2d(x, w, b, {.padding = 1}, ReLU{}); };
  for (const int64_t c : {16, 32, 64, 128, 256}) {
    rows.push_back(row({"conv2d 3x3 of 28x28, channels", conv}, fmt::format("{}", c),
                       normal({16, 28, 28, c}), normal({3, 3, c, c}), normal({c})));
  }
  for (const int64_t side : {14, 28, 56, 112, 224}) {
    rows.push_back(row({"conv2d 3x3 32-32, pixels", conv}, fmt::format("{}", side),
                       normal({16, side, side, 32}), normal({3, 3, 32, 32}), normal({32})));
  }
  return rows;
}

std::vector<OpRow> op_rows() {
  Rows rows;
  for (const auto family : {activations, elementwise, reductions, losses, shape_ops, products,
                            convolutions, images, optimizers}) {
    for (OpRow& r : family()) rows.push_back(std::move(r));
  }
  return rows;
}
