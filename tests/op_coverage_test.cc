// Every public op has a gradient check, a fixture and its edge cases: here is the list, and an op
// of autograd/ops_*.h that is not in it fails.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "fixture.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_conv.h"
#include "ramp/autograd/ops_dropout.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_embedding.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_norm.h"
#include "ramp/autograd/ops_pool.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_resize.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/autograd/ops_sort.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"

using namespace ramp;

namespace {

using Values = std::vector<Tensor>;

/// How an op is tried. `shapes` are those of an ordinary call, `one` has a single value, `none` no
/// value at all, where that is allowed. `fixture` is "topic case": how the names of its cases
/// start.
struct Row {
  std::string fixture;
  std::function<Tensor(const Values&)> f;
  std::vector<Shape> shapes, one, none;
  bool has_gradient = true;
  bool keeps_nan = true;  // a NaN in the first input is seen in the result
};

// An op of one tensor of any shape.
Row unary(const std::string& fixture, std::function<Tensor(const Tensor&)> op) {
  return {fixture, [op](const Values& v) { return op(v[0]); }, {{3, 4}}, {{1}}, {{0, 4}}};
}
Row binary(const std::string& fixture, Tensor (*op)(const Tensor&, const Tensor&),
           bool has_gradient = true) {
  return {fixture,       [op](const Values& v) { return op(v[0], v[1]); },
          {{3, 4}, {4}}, {{1}, {1}},
          {{0, 4}, {4}}, has_gradient,
          has_gradient};
}
// A loss of two tensors of one shape; the second one lies in 0..1.
Row binary_loss(const std::string& fixture,
                std::function<Tensor(const Tensor&, const Tensor&)> loss) {
  return {fixture,
          [loss](const Values& v) { return loss(v[0], sigmoid(v[1])); },
          {{3, 4}, {3, 4}},
          {{1}, {1}},
          {{0, 4}, {0, 4}}};
}
// An op along the axes of one tensor.
Row along(const std::string& fixture, std::function<Tensor(const Tensor&)> op,
          const Shape& none = {0, 4}) {
  return {fixture, [op](const Values& v) { return op(v[0]); }, {{3, 4}}, {{1, 1}}, {none}};
}
Row images(const std::string& fixture, std::function<Tensor(const Tensor&)> op) {
  return {fixture, [op](const Values& v) { return op(v[0]); }, {{2, 4, 4, 3}}, {{1, 2, 2, 1}}, {}};
}

Row signals(const std::string& fixture, std::function<Tensor(const Tensor&)> op) {
  return {fixture, [op](const Values& v) { return op(v[0]); }, {{2, 4, 3}}, {{1, 2, 1}}, {}};
}

std::map<std::string, Row> rows() {
  using T = const Tensor&;
  const auto labels = [](std::initializer_list<int64_t> l) { return Tensor::of<int64_t>(l); };
  std::map<std::string, Row> r{
      {"relu", unary("activation relu |", relu)},
      {"sigmoid", unary("activation sigmoid |", sigmoid)},
      {"tanh", unary("activation tanh |", [](T x) { return tanh(x); })},
      {"leaky_relu", unary("activation leaky_relu |", [](T x) { return leaky_relu(x); })},
      {"elu", unary("activation elu |", [](T x) { return elu(x); })},
      {"selu", unary("activation selu |", selu)},
      {"celu", unary("activation celu |", [](T x) { return celu(x); })},
      {"relu6", unary("activation relu6 |", relu6)},
      {"clipped_relu", unary("activation clipped_relu 1.25", [](T x) { return clipped_relu(x, 1.25); })},
      {"squared_relu", unary("activation squared_relu |", squared_relu)},
      {"thresholded_relu",
       unary("activation thresholded_relu -0.5", [](T x) { return thresholded_relu(x, -0.5); })},
      {"smelu", unary("activation smelu 1", [](T x) { return smelu(x); })},
      {"gelu", unary("activation gelu |", gelu)},
      {"gelu_tanh", unary("activation gelu_tanh |", gelu_tanh)},
      {"silu", unary("activation silu |", silu)},
      {"swish", unary("activation swish 2", [](T x) { return swish(x, 2); })},
      {"mish", unary("activation mish |", mish)},
      {"hard_swish", unary("activation hard_swish |", hard_swish)},
      {"hard_sigmoid", unary("activation hard_sigmoid |", hard_sigmoid)},
      {"hard_tanh", unary("activation hard_tanh -0.5", [](T x) { return hard_tanh(x, -0.5, 2); })},
      {"softplus", unary("activation softplus 3", [](T x) { return softplus(x, 3); })},
      {"softsign", unary("activation softsign |", softsign)},
      {"log_sigmoid", unary("activation log_sigmoid |", log_sigmoid)},
      {"prelu",
       {"activation prelu |",
        [](const Values& v) { return prelu(v[0], v[1]); },
        {{3, 4}, {4}},
        {{1}, {1}},
        {{0, 4}, {4}}}},
      // PyTorch draws other slopes: its fixture is leaky_relu's, whose slope is one number.
      {"rrelu", unary("activation leaky_relu 0.3",
                      [](T x) {
                        Rng rng(1);
                        return rrelu(x, rng, 0.3, 0.3);
                      })},
      {"crelu", unary("activation crelu |", crelu)},
      {"glu",
       {"activation glu |", [](const Values& v) { return glu(v[0]); }, {{3, 4}}, {{2}}, {{0, 4}}}},

      {"add", binary("elementwise binary add", add)},
      {"sub", binary("elementwise binary sub", sub)},
      {"mul", binary("elementwise binary mul", mul)},
      {"div", binary("elementwise binary div", div)},
      {"maximum", binary("elementwise binary maximum", maximum)},
      {"minimum", binary("elementwise binary minimum", minimum)},
      {"less", binary("elementwise compare less", less, false)},
      {"less_equal", binary("elementwise compare less_equal", less_equal, false)},
      {"greater", binary("elementwise compare greater", greater, false)},
      {"greater_equal", binary("elementwise compare greater_equal", greater_equal, false)},
      {"equal", binary("elementwise compare equal", equal, false)},
      {"not_equal", binary("elementwise compare not_equal", not_equal, false)},
      {"logical_and", binary("elementwise compare logical_and", logical_and, false)},
      {"logical_or", binary("elementwise compare logical_or", logical_or, false)},
      {"logical_not", unary("elementwise step logical_not", logical_not)},
      {"isnan", unary("elementwise step isnan", [](T x) { return isnan(x); })},
      {"floor", unary("elementwise step floor", [](T x) { return floor(x); })},
      {"ceil", unary("elementwise step ceil", [](T x) { return ceil(x); })},
      {"round", unary("elementwise step round", [](T x) { return round(x); })},
      {"sign", unary("elementwise step sign", sign)},
      {"sin", unary("elementwise unary sin", [](T x) { return sin(x); })},
      {"cos", unary("elementwise unary cos", [](T x) { return cos(x); })},
      {"neg", unary("elementwise unary neg", neg)},
      {"exp", unary("elementwise unary exp", [](T x) { return exp(x); })},
      {"erf", unary("activation erf |", [](T x) { return erf(x); })},
      {"abs", unary("elementwise unary abs", [](T x) { return abs(x); })},
      {"log", unary("elementwise unary log", [](T x) { return log(x * x + 0.5); })},
      {"sqrt", unary("elementwise unary sqrt", [](T x) { return sqrt(x * x + 0.5); })},
      {"pow", unary("elementwise unary pow", [](T x) { return pow(x, 3) + pow(x * x + 0.5, x); })},
      {"clamp", unary("elementwise unary clamp", [](T x) { return clamp(x, -0.5, 1.5); })},
      {"where",
       {"elementwise where",
        [](const Values& v) { return where(v[1] > 0.3, v[0], v[1]); },
        {{3, 4}, {4}},
        {{1}, {1}},
        {{0, 4}, {4}}}},

      {"sum", unary("reduce sum", [](T x) { return sum(x); })},
      {"mean", unary("reduce mean", [](T x) { return mean(x); })},
      {"var", unary("reduce var", [](T x) { return var(x, {}, {.correction = 0}); })},
      {"stddev", unary("reduce stddev", [](T x) { return stddev(x, {}, {.correction = 0}); })},
      {"prod", unary("reduce prod", [](T x) { return prod(x); })},
      {"logsumexp", unary("reduce logsumexp", [](T x) { return logsumexp(x); })},
      {"cumsum", along("reduce cumsum", [](T x) { return cumsum(x, 1); })},
      // Of one value y is constant, so another one is beside it.
      {"normalize", along("reduce normalize",
                          [](T x) { return normalize(concat({x, 0 * x + 0.5}, 1)); })},
      {"cosine_similarity",
       along("reduce cosine_similarity",
             [](T x) {
               const Tensor y = concat({x, 0 * x + 0.5}, 1);
               return cosine_similarity(y, Tensor::arange(y.dim(1), f64));
             })},
      {"sort", along("sort sort", [](T x) { return sort(x).values; })},
      {"topk", along("sort topk", [](T x) { return topk(x, x.dim(0), 0).values; })},
      {"max", unary("reduce max", [](T x) { return max(x); })},
      {"min", unary("reduce min", [](T x) { return min(x); })},
      {"argmax", unary("reduce argmax", [](T x) { return argmax(x); })},
      {"argmin", unary("reduce argmin", [](T x) { return argmin(x); })},
      {"softmax", along("softmax softmax", [](T x) { return softmax(x); })},
      {"log_softmax", along("softmax log_softmax", [](T x) { return log_softmax(x); })},

      {"permute", along("shape permute", [](T x) { return permute(x, {1, 0}); })},
      {"transpose", along("shape transpose", [](T x) { return transpose(x); })},
      {"reshape", along("shape reshape", [](T x) { return reshape(x, {x.numel()}); })},
      {"flatten", along("shape reshape", [](T x) { return flatten(x, 0); })},
      {"squeeze", along("shape reshape", [](T x) { return squeeze(unsqueeze(x, 1), 1); })},
      {"unsqueeze", along("shape reshape", [](T x) { return unsqueeze(x, 1); })},
      {"broadcast_to",
       along("shape broadcast_to", [](T x) { return broadcast_to(x, x.shape().with(0, 2)); })},
      {"slice", along("shape slice", [](T x) { return slice(x, 1, 0, x.dim(1), 2); })},
      {"concat", along("shape concat", [](T x) { return concat({x, x}, 1); })},
      {"stack", along("shape stack", [](T x) { return stack({x, x}, 1); })},
      {"operator[]", along("shape slice", [](T x) { return x[0]; }, {3, 0})},
      {"repeat", along("shape repeat", [](T x) { return repeat(x, {2, 1}); })},
      {"flip", along("shape flip", [](T x) { return flip(x, 1); })},
      {"roll", along("shape roll", [](T x) { return roll(x, 1, 1); })},
      {"split", along("shape split", [](T x) { return split(x, x.dim(1), 1)[0]; })},
      {"one_hot", unary("shape one_hot", [](T x) { return one_hot(Tensor::zeros(x.shape(), i64), 1); })},
      {"pad", along("shape pad", [](T x) { return pad(x, {{0, 0}, {1, 2}}); })},
      {"take", along("shape take", [=](T x) { return take(x, labels({0, 0}), 1); })},
      {"gather", along("shape gather",
                       [](T x) { return gather(x, 1, Tensor::zeros({x.dim(0), 1}, i64)); })},

      {"view", along("tensor view", [](T x) { return x.view({x.numel()}); })},
      {"rows", along("tensor rows", [](T x) { return x.rows(0, x.dim(0)); })},
      {"clone", unary("tensor clone", [](T x) { return x.clone(); })},
      {"to", unary("tensor to f64", [](T x) { return x.to(f64); })},

      {"matmul",
       {"linear matmul",
        [](const Values& v) { return matmul(v[0], v[1]); },
        {{3, 4}, {4, 2}},
        {{1, 1}, {1, 1}},
        {{0, 4}, {4, 2}}}},
      {"linear",
       {"linear linear",
        [](const Values& v) { return linear(v[0], v[1], v[2], Tanh{}); },
        {{3, 4}, {4, 2}, {2}},
        {{1, 1}, {1, 1}, {1}},
        {{0, 4}, {4, 2}, {2}}}},
      {"conv2d",
       {"conv conv2d",
        [](const Values& v) { return conv2d(v[0], v[1], v[2], {.padding = 1}, Tanh{}); },
        {{2, 4, 5, 2}, {3, 3, 2, 3}, {3}},
        {{1, 1, 1, 1}, {1, 1, 1, 1}, {1}},
        {{0, 4, 5, 2}, {3, 3, 2, 3}, {3}}}},
      // Equal to the bit to conv2d and max_pool2d, which have fixtures (conv_test.cc).
      {"conv2d_max_pool",
       {"conv conv2d",
        [](const Values& v) { return conv2d_max_pool(v[0], v[1], v[2], {.padding = 1}, Tanh{}); },
        {{2, 4, 4, 2}, {3, 3, 2, 3}, {3}},
        {{1, 2, 2, 1}, {3, 3, 1, 1}, {1}},
        {{0, 4, 4, 2}, {3, 3, 2, 3}, {3}}}},
      {"conv1d",
       {"conv conv1d",
        [](const Values& v) { return conv1d(v[0], v[1], v[2]); },
        {{2, 5, 2}, {3, 2, 3}, {3}},
        {{1, 1, 1}, {1, 1, 1}, {1}},
        {{0, 5, 2}, {3, 2, 3}, {3}}}},
      {"conv_transpose1d",
       {"conv conv_transpose1d",
        [](const Values& v) { return conv_transpose1d(v[0], v[1], v[2], {.stride = 2}); },
        {{2, 4, 2}, {3, 3, 2}, {3}},
        {{1, 1, 1}, {1, 1, 1}, {1}},
        {{0, 4, 2}, {3, 3, 2}, {3}}}},
      {"conv_transpose2d",
       {"conv conv_transpose2d",
        [](const Values& v) { return conv_transpose2d(v[0], v[1], v[2], {.stride = 2}); },
        {{2, 3, 3, 2}, {3, 3, 3, 2}, {3}},
        {{1, 1, 1, 1}, {1, 1, 1, 1}, {1}},
        {{0, 3, 3, 2}, {3, 3, 3, 2}, {3}}}},

      {"max_pool2d", images("pool max", [](T x) { return max_pool2d(x); })},
      {"avg_pool2d", images("pool avg", [](T x) { return avg_pool2d(x); })},
      {"max_pool1d", signals("pool max1d", [](T x) { return max_pool1d(x); })},
      {"avg_pool1d", signals("pool avg1d", [](T x) { return avg_pool1d(x); })},
      {"adaptive_max_pool2d",
       images("pool adaptive_max", [](T x) { return adaptive_max_pool2d(x, 2); })},
      {"resize_nearest2d",
       images("pool resize_nearest", [](T x) { return resize_nearest2d(x, {3, 6}); })},
      {"resize_bilinear2d",
       images("pool resize_bilinear", [](T x) { return resize_bilinear2d(x, {3, 6}); })},
      {"adaptive_avg_pool2d", images("pool adaptive", [](T x) { return adaptive_avg_pool2d(x, 2); })},
      {"global_avg_pool", images("pool global_avg", global_avg_pool)},
      {"global_max_pool", images("pool global_max", global_max_pool)},
      {"upsample_nearest2d", images("pool nearest", [](T x) { return upsample_nearest2d(x, 2); })},
      {"upsample_bilinear2d", images("pool bilinear", [](T x) { return upsample_bilinear2d(x, 2); })},
      {"batch_norm",
       {"norm batch_norm",
        [](const Values& v) {
          Tensor mean, variance;
          return batch_norm(v[0], v[1], v[2], mean, variance);
        },
        {{5, 3}, {3}, {3}},
        {{2, 1}, {1}, {1}},
        {}}},
      {"layer_norm",
       {"norm layer_norm",
        [](const Values& v) { return layer_norm(v[0], v[1], v[2]); },
        {{3, 4}, {4}, {4}},
        {{1, 2}, {2}, {2}},
        {{0, 4}, {4}, {4}}}},
      {"group_norm",
       {"norm group_norm",
        [](const Values& v) { return group_norm(v[0], 2, v[1], v[2]); },
        {{3, 4}, {4}, {4}},
        {{1, 4}, {4}, {4}},
        {{0, 4}, {4}, {4}}}},
      {"cross_entropy",
       {"loss cross_entropy",
        [=](const Values& v) { return cross_entropy(v[0], Tensor::zeros({v[0].dim(0)}, i64)); },
        {{3, 4}},
        {{1, 1}},
        {{0, 4}}}},
      {"mse_loss", binary_loss("loss mse_loss", [](T y, T t) { return mse_loss(y, t); })},
      {"nll_loss",
       {"loss classes nll_loss",
        [=](const Values& v) {
          return nll_loss(log_sigmoid(v[0]), Tensor::zeros({v[0].dim(0)}, i64));
        },
        {{3, 1}},
        {{1, 1}},
        {{0, 4}}}},
      {"bce_loss", binary_loss("loss bce_loss", [](T y, T t) { return bce_loss(sigmoid(y), t); })},
      {"bce_with_logits",
       binary_loss("loss bce_with_logits", [](T y, T t) { return bce_with_logits(y, t); })},
      {"l1_loss", binary_loss("loss l1_loss", [](T y, T t) { return l1_loss(y, t); })},
      {"smooth_l1_loss",
       binary_loss("loss smooth_l1_loss", [](T y, T t) { return smooth_l1_loss(y, t, 0.5); })},
      {"huber_loss", binary_loss("loss huber_loss", [](T y, T t) { return huber_loss(y, t, 0.5); })},
      {"kl_div", binary_loss("loss kl_div", [](T y, T t) { return kl_div(log_sigmoid(y), t); })},
      {"margin_ranking_loss", binary_loss("loss margin_ranking_loss",
                                          [](T y, T t) {
                                            const Tensor sign = Tensor::ones(y.shape(), f64);
                                            return margin_ranking_loss(y, t, sign, 9);
                                          })},
      {"cosine_embedding_loss",
       binary_loss("loss cosine_embedding_loss",
                   [](T y, T t) {
                     return cosine_embedding_loss(
                         y, t, Tensor::ones(y.shape().without(y.rank() - 1), f64));
                   })},
      {"triplet_margin_loss",
       binary_loss("loss triplet_margin_loss",
                   [](T y, T t) { return triplet_margin_loss(y, t, y * t, {.margin = 9}); })},
      {"gaussian_nll_loss", binary_loss("loss gaussian_nll_loss",
                                        [](T y, T t) { return gaussian_nll_loss(y, t, t + 0.1); })},
      {"poisson_nll_loss",
       binary_loss("loss poisson_nll_loss", [](T y, T t) { return poisson_nll_loss(y, t); })},
      {"hinge_embedding_loss",
       unary("loss hinge_embedding_loss",
             [](T x) { return hinge_embedding_loss(x, 2 * (x.detach() > 0.0) - 1); })},
      {"hinge_loss",  // its targets are -1 and 1
       {"loss hinge_loss",
        [](const Values& v) { return hinge_loss(v[0], 2 * (v[0].detach() > 0.0) - 1); },
        {{3, 4}},
        {{1}},
        {{0, 4}}}},
      {"embedding", {"embedding embedding [",
                     [](const Values& v) {
                       const int64_t n = v[0].dim(0) - 1;
                       return embedding(v[0], Tensor::of<int64_t>({{0, n}, {n, n / 2}}));
                     },
                     {{3, 4}},
                     {{1, 1}},
                     {{0, 4}}}},
      {"embedding_bag", {"embedding embedding_bag mean",
                         [](const Values& v) {
                           const int64_t n = v[0].dim(0) - 1;
                           const Tensor ids = Tensor::of<int64_t>({{0, n, 9}, {n, n / 2, n}});
                           return embedding_bag(v[0], ids, {.padding = 9});
                         },
                         {{3, 4}},
                         {{1, 1}},
                         {{0, 4}}}},
      // By a random mask; PyTorch draws another one, so the mask's share and scale are tested
      // (dropout_test.cc), and the fixture is that of the product it is.
      {"dropout", unary("elementwise binary mul",
                        [](T x) {
                          Rng rng(1);
                          return dropout(x, 0.1, rng);
                        })},
      {"dropout2d", images("elementwise binary mul",
                           [](T x) {
                             Rng rng(1);
                             return dropout2d(x, 0.1, rng);
                           })},
  };
  for (const char* index : {"argmax", "argmin", "one_hot"})
    r[index].has_gradient = r[index].keeps_nan = false;
  for (const char* step : {"floor", "ceil", "round", "sign"}) r[step].has_gradient = false;
  for (const char* test : {"isnan", "logical_not"})
    r[test].has_gradient = r[test].keeps_nan = false;
  return r;
}

// The ops that the headers declare, and those that are members of Tensor. What carries no
// derivative of its own is for writing ops with.
std::set<std::string> declared() {
  const std::set<std::string> parts{"activate", "activation_vjp", "finish", "scalar_like",
                                    "sum_to"};
  std::set<std::string> names;
  std::ifstream tensor(RAMP_FIXTURES_DIR "/../../core/tensor.h");
  for (std::string line; std::getline(tensor, line);) {
    if (line.starts_with("  Tensor ") && line.ends_with(") const;")) {
      names.insert(line.substr(9, line.find('(') - 9));
    }
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(RAMP_FIXTURES_DIR "/../../autograd")) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with("ops_") || !file.ends_with(".h")) continue;
    std::ifstream header(entry.path());
    bool in_detail = false;
    for (std::string line; std::getline(header, line);) {
      if (line == "namespace detail {" || line == "}  // namespace detail") {
        in_detail = line.starts_with("namespace");
      }
      if (in_detail) continue;
      if (line.starts_with("inline ")) line.erase(0, 7);
      const size_t end = line.find('('), begin = line.rfind(' ', end) + 1;
      const std::string type = line.substr(0, begin);
      if (type != "Tensor " && type != "Sorted " && type != "std::vector<Tensor> ") continue;
      const std::string name = line.substr(begin, end - begin);
      // The operators are other spellings of ops that are in the list.
      if (!parts.contains(name) && !name.starts_with("operator")) names.insert(name);
    }
  }
  return names;
}

std::string missing(const std::set<std::string>& ops, const std::map<std::string, Row>& table) {
  std::string list;
  for (const std::string& op : ops)
    if (!table.contains(op)) list += op + " ";
  return list;
}

// Values of the shapes, none near the kinks of the ops above (all at multiples of 1/4).
Values draw(const std::vector<Shape>& shapes, uint64_t seed) {
  Rng rng(seed);
  Values v;
  for (const Shape& s : shapes) {
    Tensor x = rng.normal(s, 0, 1, f64);
    double* p = x.mutable_data<double>();
    for (int64_t i = 0; i < x.numel(); ++i)
      if (std::fabs(4 * p[i] - std::round(4 * p[i])) < 0.02) p[i] += 0.03;
    v.push_back(x);
  }
  return v;
}

bool has_nan(const Tensor& y) {
  for (const double d : y.values())
    if (std::isnan(d)) return true;
  return false;
}

}  // namespace

TEST_CASE("every public op is covered") {
  const auto table = rows();
  const std::set<std::string> ops = declared();
  CHECK(ops.size() > 80);
  // A row is added to rows() together with the op.
  CHECK(missing(ops, table) == "");
  for (const auto& entry : table) {
    const std::string& op = entry.first;
    INFO(op << " is in the table and in no header");
    CHECK(ops.contains(op));
  }
  // The check itself can fail.
  auto shorter = table;
  shorter.erase("tanh");
  CHECK(missing(ops, shorter) == "tanh ");
}

TEST_CASE("each has a fixture") {
  std::map<std::string, std::vector<Fixture>> topics;
  for (const auto& entry : rows()) {
    const std::string& op = entry.first;
    const Row& row = entry.second;
    INFO(op << ": " << row.fixture);
    const size_t space = row.fixture.find(' ');
    const std::string topic = row.fixture.substr(0, space), start = row.fixture.substr(space + 1);
    if (!topics.contains(topic)) topics[topic] = read_fixtures(topic);
    int cases = 0;
    for (const Fixture& f : topics[topic]) cases += f.name.starts_with(start);
    CHECK(cases > 0);
  }
}

TEST_CASE("each has a gradient that agrees with central differences, or none") {
  for (const auto& entry : rows()) {
    const std::string& op = entry.first;
    const Row& row = entry.second;
    INFO(op);
    if (row.has_gradient) {
      CHECK(gradcheck(row.f, draw(row.shapes, 1)) == "");
    } else {
      Values v = draw(row.shapes, 1);
      for (Tensor& x : v) x.requires_grad_();
      CHECK_FALSE(row.f(v).requires_grad());
    }
  }
}

TEST_CASE("each has a second derivative that agrees with central differences") {
  const int64_t before = live_nodes();
  for (const auto& entry : rows()) {
    const std::string& op = entry.first;
    const Row& row = entry.second;
    if (!row.has_gradient) continue;
    INFO(op);
    CHECK(gradgradcheck(row.f, draw(row.shapes, 1)) == "");
    CHECK(gradgradcheck(row.f, draw(row.one, 2)) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("each takes one value, none, and NaN") {
  for (const auto& entry : rows()) {
    const std::string& op = entry.first;
    const Row& row = entry.second;
    INFO(op);
    if (row.has_gradient) {
      CHECK(gradcheck(row.f, draw(row.one, 2), {.allow_zero = true}) == "");
    } else {
      CHECK(row.f(draw(row.one, 2)).numel() == 1);
    }
    // Nothing in, nothing out, or a number, or an error that the op signs.
    if (!row.none.empty()) {
      try {
        const Tensor y = row.f(draw(row.none, 3));
        CHECK((y.numel() == 0 || y.numel() == 1));
      } catch (const Error& error) {
        CHECK(std::string(error.what()).starts_with(op + ": "));
      }
    }
    Values v = draw(row.shapes, 4);
    v[0].mutable_data<double>()[0] = NAN;
    CHECK(has_nan(row.f(v)) == row.keeps_nan);
  }
}
