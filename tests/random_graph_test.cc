// Random graphs: random ops on random shapes, with broadcasting, sharing and views; their gradients
// agree with central differences in f64. A failing graph is printed with its seed:
//   RAMP_GRAPH_SEED=123 random_graph_test      prints and checks that one
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <random>
#include <set>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_norm.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/autograd/record.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"

using namespace ramp;

namespace {

using Values = std::vector<Tensor>;

/// A straight-line program over a growing list of tensors, the leaves first.
class Graph {
 public:
  explicit Graph(uint64_t seed, bool wrong = false) : bits_(seed), wrong_(wrong) {
    const int leaves = 1 + below(3);
    for (int i = 0; i < leaves; ++i) {
      std::vector<int64_t> shape(below(4));
      for (int64_t& d : shape) d = 1 + below(4);
      leaves_.push_back(Rng(bits_()).normal(Shape(shape), 0, 1, f64));
      text_ += fmt::format("%{} = leaf {}\n", i, leaves_.back().shape());
    }
    values_ = leaves_;
    const int steps = 4 + below(16);
    for (int i = 0; i < steps; ++i) grow();
  }

  /// The ends, one after the other in one axis.
  Tensor run(const Values& leaves) const {
    Values v = leaves;
    for (const auto& step : steps_) v.push_back(step(v));
    Values ends;
    for (size_t i = 0; i < v.size(); ++i)
      if (!used_.contains(i)) ends.push_back(reshape(v[i], {-1}));
    return concat(ends);
  }
  const Values& leaves() const { return leaves_; }
  const std::string& text() const { return text_; }
  const std::set<std::string>& ops() const { return ops_; }

 private:
  using Step = std::function<Tensor(const Values&)>;

  int below(int n) { return static_cast<int>(bits_() % static_cast<uint64_t>(n)); }
  // Half of the time one of the last three, so that graphs are deep as well as wide.
  size_t pick() {
    const size_t n = values_.size();
    return below(2) ? n - 1 - bits_() % std::min<size_t>(3, n) : bits_() % n;
  }

  // Takes a step if its value is tame: finite, of moderate size and number.
  bool take_step(const std::string& op, std::vector<size_t> of, Step step) {
    Tensor y = step(values_);
    if (y.numel() == 0 || y.numel() > 64 || y.rank() > 4) return false;
    for (const double d : y.values())
      if (!(std::fabs(d) < 8)) return false;
    std::string from;
    for (const size_t i : of) {
      used_.insert(i);
      from += fmt::format(" %{}", i);
    }
    text_ += fmt::format("%{} = {}{}  {}\n", values_.size(), op, from, y.shape());
    ops_.insert(op);
    steps_.push_back(std::move(step));
    values_.push_back(std::move(y));
    return true;
  }

  // A number stays this far from a kink, where a difference has no meaning.
  static bool far(const Tensor& x, double kink) {
    const auto v = x.values();
    return std::all_of(v.begin(), v.end(), [&](double d) { return std::fabs(d - kink) > 1e-3; });
  }

  void grow() {
    for (int tries = 0; tries < 20; ++tries) {
      switch (below(wrong_ ? 7 : 6)) {
        case 0:
          if (smooth()) return;
          break;
        case 1:
          if (kinked()) return;
          break;
        case 2:
          if (binary()) return;
          break;
        case 3:
          if (view()) return;
          break;
        case 4:
          if (reduction()) return;
          break;
        case 5:
          if (product()) return;
          break;
        case 6:
          const size_t a = pick();
          if (take_step("wrong", {a}, [a](const Values& v) {
                // y = x^2 whose derivative says 2.1 x.
                return record(
                    "wrong", v[a].detach() * v[a].detach(), {v[a]},
                    [x = v[a].detach()](const Tensor& dy, Wants) { return dy * x * 2.1; });
              })) {
            return;
          }
      }
    }
  }

  bool smooth() {
    static const std::vector<std::pair<std::string, Tensor (*)(const Tensor&)>> ops{
        {"tanh", [](const Tensor& x) { return tanh(x); }},
        {"sigmoid", [](const Tensor& x) { return sigmoid(x); }},
        {"exp", [](const Tensor& x) { return exp(x); }},
        {"erf", [](const Tensor& x) { return erf(x); }},
        {"softplus", [](const Tensor& x) { return softplus(x); }},
        {"gelu", [](const Tensor& x) { return gelu(x); }},
        {"gelu_tanh", [](const Tensor& x) { return gelu_tanh(x); }},
        {"silu", [](const Tensor& x) { return silu(x); }},
        {"mish", [](const Tensor& x) { return mish(x); }},
        {"log_sigmoid", [](const Tensor& x) { return log_sigmoid(x); }},
        {"neg", [](const Tensor& x) { return -x; }},
        {"square", [](const Tensor& x) { return pow(x, 2); }},
        {"cube", [](const Tensor& x) { return pow(x, 3); }},
        {"log", [](const Tensor& x) { return log(x * x + 0.5); }},
        {"sqrt", [](const Tensor& x) { return sqrt(x * x + 0.5); }},
        {"reciprocal", [](const Tensor& x) { return 1 / (x * x + 0.5); }},
        {"affine", [](const Tensor& x) { return 0.5 - 1.5 * x; }},
        {"self", [](const Tensor& x) { return x * x - x / (x * x + 1); }},
    };
    const auto& [name, op] = ops[bits_() % ops.size()];
    const size_t a = pick();
    return take_step(name, {a}, [a, op = op](const Values& v) { return op(v[a]); });
  }

  bool kinked() {
    static const std::vector<Activation> ops{
        ReLU{},        LeakyReLU{0.1}, LeakyReLU{-1},  ELU{0.5},      SELU{},
        CELU{2},       ReLU6{},        ClippedReLU{1}, HardTanh{},    HardSwish{},
        HardSigmoid{}, SmeLU{},        Softsign{},     SquaredReLU{}, ThresholdedReLU{0.5}};
    const Activation& f = ops[bits_() % ops.size()];
    const size_t a = pick();
    for (const double kink : f.kinks())
      if (!far(values_[a], kink)) return false;
    if (below(5) == 0) {
      return far(values_[a], 0) &&
             take_step("abs", {a}, [a](const Values& v) { return abs(v[a]); });
    }
    if (below(5) == 0) {
      return far(values_[a], -1) && far(values_[a], 0.75) &&
             take_step("clamp", {a}, [a](const Values& v) { return clamp(v[a], -1, 0.75); });
    }
    return take_step(f.name(), {a}, [a, f](const Values& v) { return activate(v[a], f); });
  }

  // Of two tensors whose shapes broadcast; often of one twice.
  bool binary() {
    const size_t a = pick(), b = pick();
    const Tensor &x = values_[a], &z = values_[b];
    for (int i = 1; i <= std::min(x.rank(), z.rank()); ++i)
      if (x.dim(-i) != z.dim(-i) && x.dim(-i) != 1 && z.dim(-i) != 1) return false;
    switch (below(8)) {
      case 0:
        return take_step("add", {a, b}, [=](const Values& v) { return v[a] + v[b]; });
      case 1:
        return take_step("sub", {a, b}, [=](const Values& v) { return v[a] - v[b]; });
      case 2:
        return take_step("mul", {a, b}, [=](const Values& v) { return v[a] * v[b]; });
      case 3:
        return take_step("div", {a, b},
                         [=](const Values& v) { return v[a] / (v[b] * v[b] + 0.5); });
      case 4:
        return take_step("pow", {a, b},
                         [=](const Values& v) { return pow(v[a] * v[a] + 0.5, v[b]); });
      case 5:
        return far(x - z, 0) &&
               take_step("maximum", {a, b}, [=](const Values& v) { return maximum(v[a], v[b]); });
      case 6:
        return far(x - z, 0) &&
               take_step("minimum", {a, b}, [=](const Values& v) { return minimum(v[a], v[b]); });
      default:
        const Tensor cond = Rng(bits_()).normal(z.shape(), 0, 1, f64) > 0.0;
        return take_step("where", {a, b}, [=](const Values& v) { return where(cond, v[a], v[b]); });
    }
  }

  bool view() {
    const size_t a = pick(), b = pick();
    const Shape shape = values_[a].shape();
    const int axis = shape.rank() == 0 ? 0 : below(shape.rank());
    switch (below(11)) {
      case 0:
        return take_step("reshape", {a}, [=](const Values& v) { return reshape(v[a], {-1}); });
      case 1:
        return take_step("unsqueeze", {a}, [=](const Values& v) { return unsqueeze(v[a], 0); });
      case 2:
        return shape.rank() > 1 && take_step("transpose", {a}, [=](const Values& v) {
                 return transpose(v[a], 0, axis);
               });
      case 3: {
        std::vector<int> axes(shape.rank());
        for (int i = 0; i < shape.rank(); ++i) axes[i] = i;
        std::shuffle(axes.begin(), axes.end(), bits_);
        return shape.rank() > 1 &&
               take_step("permute", {a}, [=](const Values& v) { return permute(v[a], axes); });
      }
      case 4:  // axis 0: a view
        return shape.rank() > 0 && shape[axis] > 1 && take_step("slice", {a}, [=](const Values& v) {
                 return slice(v[a], axis, 1, v[a].dim(axis));
               });
      case 5:
        return shape.rank() > 0 && shape[axis] > 2 &&
               take_step("slice 2", {a},
                         [=](const Values& v) { return slice(v[a], axis, 0, v[a].dim(axis), 2); });
      case 6:
        return shape.rank() < 4 && take_step("broadcast_to", {a}, [=](const Values& v) {
                 return broadcast_to(v[a], v[a].shape().with(0, 2));
               });
      case 7:
        return shape.rank() > 0 && take_step("pad", {a}, [=](const Values& v) {
                 std::vector<std::pair<int64_t, int64_t>> around(v[a].rank());
                 around[axis] = {1, 0};
                 return pad(v[a], around, 0.5);
               });
      case 8:
        return shape.rank() > 0 && take_step("take", {a}, [=](const Values& v) {
                 return take(v[a], Tensor::of<int64_t>({0, v[a].dim(axis) - 1, 0}), axis);
               });
      case 9:
        return shape.rank() > 0 && shape == values_[b].shape() &&
               take_step("concat", {a, b}, [=](const Values& v) {
                 return concat({v[a], v[b], v[a]}, axis);
               });
      default:
        return shape == values_[b].shape() && take_step("stack", {a, b}, [=](const Values& v) {
                 return stack({v[a], v[b]}, -1);
               });
    }
  }

  bool reduction() {
    const size_t a = pick();
    const Tensor& x = values_[a];
    if (x.rank() == 0) return false;
    const int axis = below(x.rank());
    const bool keep = below(2) == 1;
    switch (below(9)) {
      case 0:
        return take_step("sum", {a},
                         [=](const Values& v) { return sum(v[a], axis, {.keepdims = keep}); });
      case 1:
        return take_step("sum all", {a}, [=](const Values& v) { return sum(v[a]); });
      case 2:
        return take_step("mean", {a},
                         [=](const Values& v) { return mean(v[a], axis, {.keepdims = keep}); });
      case 3:
        return x.dim(axis) > 1 &&
               take_step("var", {a}, [=](const Values& v) { return var(v[a], axis); });
      case 4:
      case 5: {  // the first two must differ
        std::vector<double> sorted = x.values();
        std::sort(sorted.begin(), sorted.end());
        for (size_t i = 1; i < sorted.size(); ++i)
          if (sorted[i] - sorted[i - 1] < 1e-3) return false;
        if (keep) return take_step("max", {a}, [=](const Values& v) { return max(v[a], axis); });
        return take_step("min", {a}, [=](const Values& v) { return min(v[a], axis); });
      }
      case 6:
        return take_step("softmax", {a}, [=](const Values& v) { return softmax(v[a], axis); });
      case 7:
        return take_step("log_softmax", {a},
                         [=](const Values& v) { return log_softmax(v[a], axis); });
      default:
        return x.rank() > 1 && x.dim(-1) > 1 && take_step("layer_norm", {a}, [=](const Values& v) {
                 return layer_norm(v[a], {}, {}, {.eps = 0.1});
               });
    }
  }

  bool product() {
    const size_t a = pick(), b = pick(), c = pick();
    const Tensor &x = values_[a], &w = values_[b], &bias = values_[c];
    if (x.rank() == 0 || w.rank() != 2) return false;
    if (x.dim(-1) == w.dim(0) && bias.shape() == Shape{w.dim(1)}) {
      return take_step("linear", {a, b, c},
                       [=](const Values& v) { return linear(v[a], v[b], v[c], Tanh{}); });
    }
    if (x.rank() < 2) return false;
    if (x.dim(-1) == w.dim(0)) {
      return take_step("matmul", {a, b}, [=](const Values& v) { return matmul(v[a], v[b]); });
    }
    if (x.dim(-1) == w.dim(1)) {
      return take_step("matmul b'", {a, b},
                       [=](const Values& v) { return matmul(v[a], v[b], Trans::b); });
    }
    return x.dim(-2) == w.dim(0) && take_step("matmul a'", {a, b}, [=](const Values& v) {
             return matmul(v[a], v[b], Trans::a);
           });
  }

  std::mt19937_64 bits_;
  bool wrong_;
  Values leaves_, values_;
  std::vector<Step> steps_;
  std::set<size_t> used_;
  std::set<std::string> ops_;
  std::string text_;
};

// "" or what is wrong with the gradients of a graph.
std::string check(const Graph& graph) {
  return gradcheck([&](const Values& leaves) { return graph.run(leaves); }, graph.leaves(),
                   {.tolerance = 1e-5, .allow_zero = true});
}

// "" or what is wrong with their derivatives.
std::string check_second(const Graph& graph) {
  return gradgradcheck([&](const Values& leaves) { return graph.run(leaves); }, graph.leaves(),
                       {.tolerance = 1e-4});
}

}  // namespace

TEST_CASE("the gradients of 2,000 random graphs agree with central differences") {
  const int64_t before = live_nodes();
  if (const char* seed = std::getenv("RAMP_GRAPH_SEED")) {
    const Graph graph(std::strtoull(seed, nullptr, 10));
    MESSAGE(graph.text());
    CHECK(check(graph) == "");
    CHECK(check_second(graph) == "");
    return;
  }
  std::set<std::string> ops;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    const Graph graph(seed);
    ops.insert(graph.ops().begin(), graph.ops().end());
    const std::string wrong = check(graph);
    if (!wrong.empty()) {
      FAIL_CHECK("RAMP_GRAPH_SEED=" << seed << ": " << wrong << "\n" << graph.text());
    }
  }
  CHECK(ops.size() == 66);  // each kind of step was taken
  CHECK(live_nodes() == before);
}

TEST_CASE("the second derivatives of 500 random graphs agree with central differences") {
  const int64_t before = live_nodes();
  for (uint64_t seed = 10001; seed <= 10500; ++seed) {
    const Graph graph(seed);
    const std::string wrong = check_second(graph);
    if (!wrong.empty()) {
      FAIL_CHECK("RAMP_GRAPH_SEED=" << seed << ": " << wrong << "\n" << graph.text());
    }
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("a graph is a function of its seed, and a wrong derivative in it is found") {
  CHECK(Graph(7).text() == Graph(7).text());
  CHECK(Graph(7).text() != Graph(8).text());
  int with = 0, found = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const Graph graph(seed, true);
    if (!graph.ops().contains("wrong")) continue;
    ++with;
    found += check(graph) != "";
  }
  CHECK(with > 50);
  CHECK(found > 0.9 * with);
}
