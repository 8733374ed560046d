#include "ramp/autograd/ops_elementwise.h"

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/parallel.h"
#include "ramp/glass/gradcheck.h"

using namespace ramp;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(), kNaN = NAN;

using UnaryOp = std::function<Tensor(const Tensor&)>;
using BinaryOp = std::function<Tensor(const Tensor&, const Tensor&)>;

const std::map<std::string, UnaryOp> unary_ops = {
    {"neg", neg},
    {"exp", [](const Tensor& x) { return exp(x); }},
    {"log", [](const Tensor& x) { return log(x); }},
    {"sqrt", [](const Tensor& x) { return sqrt(x); }},
    {"abs", [](const Tensor& x) { return abs(x); }},
    {"pow", [](const Tensor& x) { return pow(x, 2.5); }},
    {"square", [](const Tensor& x) { return pow(x, 2); }},
    {"cube", [](const Tensor& x) { return pow(x, 3); }},
    {"clamp", [](const Tensor& x) { return clamp(x, -0.5, 1.5); }},
    {"relu", relu},
    {"leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.1); }},
    {"sigmoid", sigmoid},
    {"tanh", [](const Tensor& x) { return tanh(x); }},
    {"sin", [](const Tensor& x) { return sin(x); }},
    {"cos", [](const Tensor& x) { return cos(x); }},
};
const std::map<std::string, UnaryOp> steps = {
    {"floor", [](const Tensor& x) { return floor(x); }},
    {"ceil", [](const Tensor& x) { return ceil(x); }},
    {"round", [](const Tensor& x) { return round(x); }},
    {"sign", sign},
    {"isnan", [](const Tensor& x) { return isnan(x); }},
    {"logical_not", logical_not},
};
const std::map<std::string, BinaryOp> binary_ops = {
    {"add", add},
    {"sub", sub},
    {"mul", mul},
    {"div", [](const Tensor& a, const Tensor& b) { return a / b; }},
    {"maximum", maximum},
    {"minimum", minimum},
    {"pow", [](const Tensor& a, const Tensor& b) { return pow(a, b); }},
};
const std::map<std::string, BinaryOp> comparisons = {
    {"less", less},
    {"less_equal", less_equal},
    {"greater", greater},
    {"greater_equal", greater_equal},
    {"equal", equal},
    {"not_equal", not_equal},
    {"logical_and", logical_and},
    {"logical_or", logical_or},
};

// Random values in [0.1, 1.4], of either sign unless `positive`.
Tensor random(const Shape& shape, bool positive = false, unsigned seed = 1) {
  std::mt19937 bits(seed);
  Tensor x = Tensor::empty(shape, f64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double v = 0.1 + 1.3 * (bits() >> 8) * 0x1p-24;
    x.mutable_data<double>()[i] = positive || bits() % 2 ? v : -v;
  }
  return x;
}

}  // namespace

TEST_CASE("values and gradients are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("elementwise")) {
    INFO(f.name);
    std::istringstream words(f.name);
    std::string kind, op;
    words >> kind >> op;
    const double tolerance = f.tensor("y").dtype() == f32 ? 2e-6 : 1e-14;
    if (kind == "compare") {
      check_close(comparisons.at(op)(f.tensor("a"), f.tensor("b")), f.tensor("y"), 0);
    } else if (kind == "step") {
      const Tensor x = f.leaf("x"), y = steps.at(op)(x);
      check_close(y, f.tensor("y"), 0);
      CHECK_FALSE(y.requires_grad());
    } else if (kind == "unary") {
      const Tensor x = f.leaf("x"), y = unary_ops.at(op)(x);
      check_close(y, f.tensor("y"), tolerance);
      backward(y, f.tensor("dy"));
      check_close(x.grad(), f.tensor("dx"), tolerance);
    } else {
      const Tensor a = f.leaf("a"), b = f.leaf("b");
      const Tensor y = kind == "where" ? where(f.tensor("cond"), a, b) : binary_ops.at(op)(a, b);
      check_close(y, f.tensor("y"), tolerance);
      backward(y, f.tensor("dy"));
      check_close(a.grad(), f.tensor("da"), tolerance);
      check_close(b.grad(), f.tensor("db"), tolerance);
    }
    ++cases;
  }
  CHECK(cases >= 120);
}

TEST_CASE("gradcheck: unary ops") {
  const int64_t before = live_nodes();
  for (const auto& entry : unary_ops) {  // clang 14 captures no structured binding
    const auto& name = entry.first;
    const auto& op = entry.second;
    INFO(name);
    const bool positive = name == "log" || name == "sqrt" || name == "pow";
    const auto f = [&op](const std::vector<Tensor>& x) { return op(x[0]); };
    CHECK(gradcheck(f, {random({3, 5}, positive)}) == "");
    CHECK(gradcheck(f, {random({}, true)}) == "");
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("gradcheck: binary ops and where, broadcast every way") {
  const int64_t before = live_nodes();
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{2, 3}, {2, 3}},    {{2, 3}, {}},           {{}, {2, 3}},
      {{3}, {2, 3}},       {{2, 1}, {2, 3}},       {{2, 1}, {1, 3}},
      {{1, 1}, {1}},       {{4, 1, 3}, {1, 2, 1}}, {{2, 3, 1, 2}, {3, 4, 1}},
      {{1, 1, 2}, {2, 1}}, {{2, 2, 3}, {2, 1, 3}}, {{2, 1, 2, 1, 2}, {2, 1, 2, 1}}};
  for (const auto& pair : shapes) {
    const Shape &sa = pair.first, &sb = pair.second;
    const Tensor a = random(sa, false, 1), b = random(sb, false, 2);
    for (const auto& entry : binary_ops) {
      const auto& name = entry.first;
      const auto& op = entry.second;
      INFO(name, " ", sa.str(), " ", sb.str());
      const auto f = [&op](const std::vector<Tensor>& x) { return op(x[0], x[1]); };
      GradcheckOptions options;
      options.allow_zero = name == "maximum" || name == "minimum";  // one side may win everywhere
      CHECK(gradcheck(f, {name == "pow" ? random(sa, true) : a, b}, options) == "");
    }
    const auto f = [](const std::vector<Tensor>& x) { return where(x[2], x[0], x[1]); };
    const Tensor cond = Tensor::of<int64_t>({0, -3}, {2, 1, 1, 1, 1, 1});
    CHECK(gradcheck(f, {a, b, cond}) == "");
  }
  CHECK(gradcheck([](const std::vector<Tensor>& x) { return x[0] * x[0] / (x[0] + 3.0); },
                  {random({4})}) == "");
  CHECK(live_nodes() == before);
}

TEST_CASE("gradcheck catches a wrong derivative") {
  const auto wrong = [](const std::vector<Tensor>& x) {  // y = x^2 whose "derivative" is x
    return x[0] * x[0].detach();
  };
  CHECK(gradcheck(wrong, {random({3})}).find("central differences") != std::string::npos);
}

TEST_CASE("broadcasting against a plain loop, with runs across the pieces of threads") {
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{7, 1, 5000}, {3, 5000}}, {{300, 1, 40}, {1, 7, 1}}, {{41, 1}, {1, 1003}}, {{50000}, {1}}};
  for (const auto& pair : shapes) {
    const Shape &sa = pair.first, &sb = pair.second;
    INFO(sa.str(), " ", sb.str());
    const Tensor a = random(sa).to(f32), b = random(sb).to(f32), y = a - b;
    const auto ya = y.shape().strides();
    bool same = true;
    for (int64_t i = 0; i < y.numel(); ++i) {
      int64_t at_a = 0, at_b = 0;
      for (int axis = 0; axis < y.rank(); ++axis) {
        const int64_t at = i / ya[axis] % y.dim(axis);
        const int ka = axis - y.rank() + sa.rank(), kb = axis - y.rank() + sb.rank();
        if (ka >= 0 && sa[ka] > 1) at_a += at * sa.strides()[ka];
        if (kb >= 0 && sb[kb] > 1) at_b += at * sb.strides()[kb];
      }
      same = same && y.data<float>()[i] == a.data<float>()[at_a] - b.data<float>()[at_b];
    }
    CHECK(same);
  }
}

TEST_CASE("in place, whatever is left after whole vectors") {
  for (const DType t : {f32, f64}) {
    for (int64_t n = 1; n <= 70; ++n) {
      Tensor x = Tensor::arange(n, t), y = x.clone();
      x.add_(y, 2).mul_(5);
      for (int64_t i = 0; i < n; ++i)
        CHECK(x.values()[static_cast<size_t>(i)] == 15 * static_cast<double>(i));
    }
  }
}

TEST_CASE("bit-equal for 1 and 2 threads") {
  const int before = num_threads();
  const auto all = [] {
    const Tensor a = random({33, 1, 1100}).requires_grad_(), b = random({4, 1}).requires_grad_();
    const Tensor y = exp(tanh(a) * b) + where(a < b, sigmoid(a), abs(b)) + clamp(a / b, -1, 1);
    backward(y, random(y.shape()));
    return std::vector<Tensor>{y.detach(), a.grad(), b.grad()};
  };
  set_num_threads(1);
  const std::vector<Tensor> one = all();
  set_num_threads(2);
  const std::vector<Tensor> two = all();
  set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) CHECK(one[i].values() == two[i].values());
}

TEST_CASE("sum_to adds over the stretched axes") {
  const Tensor g = Tensor::arange(24).to(f32).view({2, 3, 4});
  CHECK(sum_to(g, {2, 3, 4}).same_memory(g));
  CHECK(sum_to(g, {}).item() == 276);
  CHECK(sum_to(g, {1, 1, 1}).shape() == Shape{1, 1, 1});
  CHECK(sum_to(g, {4}).values() == std::vector<double>{60, 66, 72, 78});
  CHECK(sum_to(g, {3, 1}).values() == std::vector<double>{60, 92, 124});
  CHECK(sum_to(g, {2, 1, 4}).values() == std::vector<double>{12, 15, 18, 21, 48, 51, 54, 57});
  CHECK(sum_to(g, {2, 1, 1}).values() == std::vector<double>{66, 210});
  CHECK(sum_to(Tensor::zeros({0, 3}), {3}).values() == std::vector<double>{0, 0, 0});
  CHECK(sum_to(Tensor::zeros({0}), {1}).values() == std::vector<double>{0});
  // What does not broadcast to g is not summed.
  for (const Shape& shape : {Shape{2}, {2, 3}, {2, 3, 2}, {5, 3, 4}, {1, 2, 3, 4}, {0}}) {
    CHECK(sum_to(g, shape).same_memory(g));
  }
}

TEST_CASE("empty tensors and tensors of one element") {
  const Tensor none = Tensor::zeros({0, 3}).requires_grad_();
  for (const auto& entry : unary_ops) {
    const auto& name = entry.first;
    const auto& op = entry.second;
    INFO(name);
    const Tensor y = op(none);
    CHECK(y.shape() == Shape{0, 3});
    backward(y, Tensor::zeros({0, 3}));
    CHECK(op(Tensor::ones({1, 1, 1})).shape() == Shape{1, 1, 1});
  }
  CHECK(none.grad().shape() == Shape{0, 3});
  for (const auto& entry : binary_ops) {
    const auto& name = entry.first;
    const auto& op = entry.second;
    INFO(name);
    CHECK(op(none, Tensor::ones({3})).shape() == Shape{0, 3});
    CHECK(op(Tensor::ones({1}), none).shape() == Shape{0, 3});
    CHECK(op(Tensor::ones({}), Tensor::ones({})).shape() == Shape{});
  }
  CHECK(where(none, none, Tensor::ones({1})).shape() == Shape{0, 3});
}

TEST_CASE("NaN stays NaN, whichever operand it comes from") {
  for (const DType t : {f32, f64}) {
    for (int64_t n : {1, 2, 9, 40}) {
      const Tensor nan = Tensor::full({n}, kNaN, t), one = Tensor::ones({n}, t);
      for (const auto& entry : unary_ops) {
        const auto& name = entry.first;
        const auto& op = entry.second;
        INFO(name, " n = ", n);
        for (double v : op(nan).values()) CHECK(std::isnan(v));
      }
      for (const auto& entry : binary_ops) {
        const auto& name = entry.first;
        const auto& op = entry.second;
        INFO(name, " n = ", n);
        for (double v : op(nan, one).values()) CHECK(std::isnan(v));
        if (name == "pow") continue;  // 1^NaN is 1
        for (double v : op(one, nan).values()) CHECK(std::isnan(v));
      }
    }
  }
}

TEST_CASE("kinks and ties") {
  struct Kink {
    const char* op;
    double x, dx;
  };
  for (const Kink& k :
       {Kink{"abs", 0, 0}, Kink{"sqrt", 0, kInf}, Kink{"relu", 0, 0}, Kink{"leaky_relu", 0, 0.1},
        Kink{"leaky_relu", kNaN, 1}, Kink{"relu", kNaN, 1}, Kink{"clamp", -0.5, 0},
        Kink{"clamp", 1.5, 0}, Kink{"clamp", 1.6, 0}, Kink{"clamp", kNaN, 1}, Kink{"abs", kNaN, 1},
        Kink{"sigmoid", -kInf, 0}, Kink{"tanh", kInf, 0}}) {
    INFO(k.op, " at ", k.x);
    const Tensor x = Tensor::scalar(k.x).requires_grad_();
    unary_ops.at(k.op)(x).backward();
    CHECK(x.grad().item() == static_cast<float>(k.dx));
  }
  for (const char* op : {"maximum", "minimum"}) {
    const Tensor a = Tensor::scalar(2).requires_grad_(), b = Tensor::scalar(2).requires_grad_();
    binary_ops.at(op)(a, b).backward();
    CHECK(a.grad().item() == 0.5);
    CHECK(b.grad().item() == 0.5);
  }
  const Tensor x = Tensor::scalar(0).requires_grad_(), p = Tensor::scalar(0).requires_grad_();
  pow(x, p).backward();
  CHECK(x.grad().item() == 0);
  CHECK(p.grad().item() == 0);
  const Tensor z = Tensor::scalar(0).requires_grad_();
  pow(z, 0).backward();
  CHECK(z.grad().item() == 0);
}

TEST_CASE("numbers on either side take the tensor's dtype") {
  const Tensor x = Tensor::of<double>({1, 2, 4}), i = Tensor::of<int64_t>({1, 2, -7});
  const auto is = [](const Tensor& y, DType t, std::vector<double> values) {
    CHECK(y.dtype() == t);
    CHECK(y.values() == values);
  };
  is(x + 1, f64, {2, 3, 5});
  is(1 + x, f64, {2, 3, 5});
  is(x - 0.5, f64, {0.5, 1.5, 3.5});
  is(1 - x, f64, {0, -1, -3});
  is(2 * x * 3, f64, {6, 12, 24});
  is(x / 2, f64, {0.5, 1, 2});
  is(2 / x, f64, {2, 1, 0.5});
  is(-x, f64, {-1, -2, -4});
  is(x < 2, f64, {1, 0, 0});
  is(x <= 2, f64, {1, 1, 0});
  is(x > 2, f64, {0, 0, 1});
  is(x >= 2, f64, {0, 1, 1});
  is(x == 2, f64, {0, 1, 0});
  is(x != 2, f64, {1, 0, 1});
  is(x < Tensor::of<double>({2, 2, 2}), f64, {1, 0, 0});
  is(x <= Tensor::of<double>({2, 2, 2}), f64, {1, 1, 0});
  is(x > Tensor::of<double>({2, 2, 2}), f64, {0, 0, 1});
  is(x >= Tensor::of<double>({2, 2, 2}), f64, {0, 1, 1});
  is(x == Tensor::of<double>({2, 2, 2}), f64, {0, 1, 0});
  is(x != Tensor::of<double>({2, 2, 2}), f64, {1, 0, 1});
  is(i + 1, i64, {2, 3, -6});
  is(1 - i, i64, {0, -1, 8});
  is(i * i, i64, {1, 4, 49});
  is(i / 2, i64, {0, 1, -3});
  is(i / -1, i64, {-1, -2, 7});
  is(-i, i64, {-1, -2, 7});
  is(abs(i), i64, {1, 2, 7});
  is(i < 2, i64, {1, 0, 1});
  is(i != 2, i64, {1, 0, 1});
  is(clamp(i, -2, 1), i64, {1, 1, -2});
  is(maximum(i, Tensor::scalar(0, i64)), i64, {1, 2, 0});
  is(where(Tensor::of<double>({0, 1e-300, kNaN}), i, i * 10), i64, {10, 2, -7});
  is(where(i > 1, x.to(f32), Tensor::scalar(0)), f32, {0, 2, 0});
}

TEST_CASE("i64 arithmetic wraps and is never undefined") {
  const int64_t least = std::numeric_limits<int64_t>::min();
  const Tensor x = Tensor::of<int64_t>({least});
  CHECK((x - 1).data<int64_t>()[0] == std::numeric_limits<int64_t>::max());
  CHECK((x / -1).data<int64_t>()[0] == least);
  CHECK((-x).data<int64_t>()[0] == least);
}

TEST_CASE("only what a derivative needs is saved and computed") {
  const Tensor x = Tensor::ones({4}).requires_grad_();
  Tensor a = Tensor::ones({4}), c = Tensor::ones({4});
  const Tensor y = mul(x, c) + mul(a, x);
  CHECK(a.unique() == false);
  Tensor h = x + 0.0;
  const Tensor z = h * 2.0;
  NoGrad no_grad;
  h.fill_(7);  // d(2 h) needs no h
  backward(z, Tensor::ones({4}));
  CHECK(x.grad().values() == std::vector<double>{2, 2, 2, 2});
  c.fill_(5);
  CHECK_THROWS_WITH_AS(backward(y, Tensor::ones({4})),
                       doctest::Contains("backward through mul: b [4] was changed in place"),
                       Error);
}

TEST_CASE("a user's mistakes") {
  const Tensor x = Tensor::ones({2, 3}), i = Tensor::ones({2, 3}, i64), none{};
  CHECK_THROWS_WITH_AS(
      x + Tensor::ones({2}),
      "add: a [2, 3] and b [2] do not broadcast: at axis -1 they have 3 and 2, which "
      "must be equal or one of them 1. Hint: reshape one of them.",
      Error);
  for (const auto& entry : binary_ops) {
    const auto& name = entry.first;
    const auto& op = entry.second;
    INFO(name);
    CHECK_THROWS_WITH_AS(op(Tensor::ones({4, 3}), x),
                         doctest::Contains((name + ": a [4, 3] and b [2, 3] do not").c_str()),
                         Error);
    CHECK_THROWS_WITH_AS(op(x, x.to(f64)),
                         doctest::Contains((name + ": a and b must have the same dtype").c_str()),
                         Error);
    CHECK_THROWS_WITH_AS(op(none, x), doctest::Contains((name + ": a is undefined").c_str()),
                         Error);
    CHECK_THROWS_WITH_AS(op(x, none), doctest::Contains((name + ": b is undefined").c_str()),
                         Error);
  }
  for (const auto& entry : unary_ops) {
    const auto& name = entry.first;
    const auto& op = entry.second;
    INFO(name);
    const std::string said = name == "square" || name == "cube" ? "pow" : name;
    CHECK_THROWS_WITH_AS(op(none), doctest::Contains((said + ": x is undefined").c_str()), Error);
    if (name == "neg" || name == "abs" || name == "clamp") continue;
    CHECK_THROWS_WITH_AS(op(i), doctest::Contains((said + ": expected an f32 or f64").c_str()),
                         Error);
  }
  CHECK_THROWS_WITH_AS(greater(x, Tensor::ones({4, 3})),
                       doctest::Contains("greater: a [2, 3] and b [4, 3] do not"), Error);
  CHECK_THROWS_WITH_AS(where(Tensor::ones({4}), x, x),
                       doctest::Contains("where: cond [4] and a and b [2, 3] do not"), Error);
  CHECK_THROWS_WITH_AS(where(none, x, x), doctest::Contains("where: cond is undefined"), Error);
  CHECK_THROWS_WITH_AS(where(x, x, i), doctest::Contains("where: a and b must have the same dtype"),
                       Error);
  CHECK_THROWS_WITH_AS(i * 0.5,
                       "arithmetic with a number: an i64 tensor takes integers; got 0.5. Hint: "
                       "x.to(f32).",
                       Error);
  CHECK_THROWS_WITH_AS(i / 0, doctest::Contains("div: a division by 0 in i64"), Error);
  CHECK_THROWS_WITH_AS(clamp(x, 1, 0), "clamp: expected lo <= hi; got 1 and 0.", Error);
  CHECK_THROWS_WITH_AS(clamp(x, kNaN, 0), doctest::Contains("clamp: expected lo <= hi"), Error);
  CHECK_THROWS_WITH_AS(none + 1, doctest::Contains("the tensor is undefined"), Error);
}

TEST_CASE("+= -= *= /=: in place where nothing is recorded, a new result on the tape") {
  Tensor x = Tensor::of<double>({1, 2}), other = x;
  x += Tensor::of<double>({10, 20});
  x *= 2;
  x -= 2;
  x /= Tensor::scalar(4, f64);
  CHECK(x.values() == std::vector<double>{5, 10.5});
  CHECK(other.same_memory(x));
  CHECK(other.values() == x.values());
  x += x;
  CHECK(x.values() == std::vector<double>{10, 21});
  Tensor count = Tensor::of<int64_t>({7});
  count += 1;
  CHECK(count.item() == 8);

  // The sum of losses, a chain, a row.
  const int64_t before = live_nodes();
  {
    Tensor w = Tensor::of<double>({1, 2}).requires_grad_(), total = Tensor::scalar(0, f64);
    for (int i = 1; i <= 3; ++i) total += sum(w) * i;
    backward(total);
    CHECK(w.grad().values() == std::vector<double>{6, 6});
    w.zero_grad();
    Tensor h = w * 1;
    const Tensor first = h;
    h *= h;
    h += 1;
    CHECK(first.values() == std::vector<double>{1, 2});
    backward(sum(h));
    CHECK(w.grad().values() == std::vector<double>{2, 4});
    // A step by hand: the leaf stays the leaf.
    {
      const NoGrad no_grad;
      w -= 0.5 * w.grad();
    }
    CHECK(w.values() == std::vector<double>{0, 0});
    CHECK(w.requires_grad());
    CHECK(message([&] { w -= 0.5 * w.grad(); }) ==
          "-=: x [2] is a leaf, and the result is recorded. Hint: put NoGrad around it to change "
          "x, or make another tensor: y = x - ..");
    w.requires_grad_(false);
    const Tensor y = Tensor::ones({2}, f64).requires_grad_();
    CHECK(message([&] { w += y; }).rfind("+=: x [2] is a leaf", 0) == 0);
    CHECK_NOTHROW(w += 1);
  }
  CHECK(live_nodes() == before);
  CHECK(gradcheck(
            [](const std::vector<Tensor>& t) {
              Tensor y = t[0] + 1;
              y *= t[1];
              y -= t[0];
              y /= t[1];
              return y;
            },
            {Tensor::of<double>({1, 2}), Tensor::of<double>({3, 4})}) == "");

  Tensor scalar = Tensor::scalar(0);
  CHECK(message([&] { scalar += Tensor::ones({3}); }) ==
        "+=: the result [3] does not fit into x []. Hint: x = x + y.");
  CHECK(message([&] { count += 0.5; }).find("i64") != std::string::npos);
  Tensor none;
  CHECK(message([&] { none += scalar; }).find("undefined") != std::string::npos);
}
