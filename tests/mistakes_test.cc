// The mistakes that every op must answer with an Error, as a table: tensors that are undefined or
// moved from, shapes that do not fit, mixed dtypes. What one op alone can get wrong stands in that
// op's own test.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"

using namespace ramp;

namespace {

using T = Tensor;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct OneTensor {
  std::string op;
  std::function<void(const T&)> call;
};
const std::vector<OneTensor> unary = {
    {"neg", [](const T& x) { neg(x); }},
    {"exp", [](const T& x) { exp(x); }},
    {"log", [](const T& x) { log(x); }},
    {"sqrt", [](const T& x) { sqrt(x); }},
    {"abs", [](const T& x) { abs(x); }},
    {"pow", [](const T& x) { pow(x, 2); }},
    {"clamp", [](const T& x) { clamp(x, 0, 1); }},
    {"relu", [](const T& x) { relu(x); }},
    {"leaky_relu", [](const T& x) { leaky_relu(x); }},
    {"sigmoid", [](const T& x) { sigmoid(x); }},
    {"tanh", [](const T& x) { tanh(x); }},
    {"relu", [](const T& x) { activate(x, ReLU{}); }},
    {"sum", [](const T& x) { sum(x); }},
    {"mean", [](const T& x) { mean(x); }},
    {"var", [](const T& x) { var(x); }},
    {"max", [](const T& x) { max(x); }},
    {"min", [](const T& x) { min(x); }},
    {"argmax", [](const T& x) { argmax(x); }},
    {"argmin", [](const T& x) { argmin(x); }},
    {"permute", [](const T& x) { permute(x, {}); }},
    {"transpose", [](const T& x) { transpose(x); }},
    {"reshape", [](const T& x) { reshape(x, {1}); }},
    {"flatten", [](const T& x) { flatten(x); }},
    {"squeeze", [](const T& x) { squeeze(x, 0); }},
    {"unsqueeze", [](const T& x) { unsqueeze(x, 0); }},
    {"broadcast_to", [](const T& x) { broadcast_to(x, {2}); }},
    {"slice", [](const T& x) { slice(x, 0, 0, 1); }},
    {"concat",
     [](const T& x) {
       concat({x, x});
     }},
    {"stack",
     [](const T& x) {
       stack({x, x});
     }},
    {"pad",
     [](const T& x) {
       pad(x, {{1, 1}});
     }},
    {"take", [](const T& x) { take(x, T::arange(1)); }},
    {"gather", [](const T& x) { gather(x, 0, T::arange(1)); }},
    {"softmax", [](const T& x) { softmax(x); }},
    {"log_softmax", [](const T& x) { log_softmax(x); }},
    {"arithmetic with a number", [](const T& x) { return x + 1; }},
    {"arithmetic with a number", [](const T& x) { return 1 - x; }},
    {"arithmetic with a number", [](const T& x) { return x * 2; }},
    {"arithmetic with a number", [](const T& x) { return x / 2; }},
    {"arithmetic with a number", [](const T& x) { return x < 2; }},
    {"arithmetic with a number", [](const T& x) { return x >= 2; }},
};

struct TwoTensors {
  std::string op;
  std::function<void(const T&, const T&)> call;
  bool broadcasts = true;
};
const std::vector<TwoTensors> binary = {
    {"add", [](const T& a, const T& b) { return a + b; }},
    {"sub", [](const T& a, const T& b) { return a - b; }},
    {"mul", [](const T& a, const T& b) { a* b; }},
    {"div", [](const T& a, const T& b) { return a / b; }},
    {"pow", [](const T& a, const T& b) { pow(a, b); }},
    {"maximum", [](const T& a, const T& b) { maximum(a, b); }},
    {"minimum", [](const T& a, const T& b) { minimum(a, b); }},
    {"less", [](const T& a, const T& b) { return a < b; }},
    {"less_equal", [](const T& a, const T& b) { return a <= b; }},
    {"greater", [](const T& a, const T& b) { return a > b; }},
    {"greater_equal", [](const T& a, const T& b) { return a >= b; }},
    {"equal", [](const T& a, const T& b) { return a == b; }},
    {"not_equal", [](const T& a, const T& b) { return a != b; }},
    {"where",
     [](const T& a, const T& b) {
       where(T::ones({2, 3}, i64), a, b);
     }},
    {"matmul", [](const T& a, const T& b) { matmul(a, b); }, false},
    {"linear", [](const T& a, const T& b) { linear(a, b); }, false},
    {"mse_loss", [](const T& a, const T& b) { mse_loss(a, b); }, false},
    {"concat",
     [](const T& a, const T& b) {
       concat({a, b});
     },
     false},
    {"stack",
     [](const T& a, const T& b) {
       stack({a, b});
     },
     false},
};

}  // namespace

TEST_CASE("an undefined or moved-from tensor, in every op") {
  T never, moved = T::ones({2, 3});
  const T ok = std::move(moved);
  for (const T* x : {&never, &moved}) {
    for (const OneTensor& u : unary) {
      INFO(u.op);
      const std::string text = message([&] { u.call(*x); });
      CHECK(has(text, "is undefined (moved from, or never set). Hint: give it a value first."));
      INFO(text);
      CHECK(text.rfind(u.op + ": ", 0) == 0);
    }
    for (const TwoTensors& b : binary) {
      INFO(b.op);
      for (const bool first : {true, false}) {
        const std::string text = message([&] { first ? b.call(*x, ok) : b.call(ok, *x); });
        CHECK(has(text, "is undefined (moved from, or never set). Hint: give it a value first."));
        INFO(text);
        CHECK(text.rfind(b.op + ": ", 0) == 0);
      }
    }
    CHECK(has(message([&] { where(*x, ok, ok); }), "where: "));
    CHECK(has(message([&] { take(ok, *x); }), "take: "));
    CHECK(has(message([&] { gather(ok, 0, *x); }), "gather: "));
    CHECK(has(message([&] { cross_entropy(*x, T::arange(2)); }), "cross_entropy: "));
    CHECK(has(message([&] { cross_entropy(ok, *x); }), "cross_entropy: "));
    Sequential net{Dense(3, 2)};
    CHECK(message([&] { net(*x); }) ==
          "0: linear: x is undefined (moved from, or never set). Hint: give it a value first.");
  }
}

TEST_CASE("mixed dtypes, in every op of two tensors") {
  const T a = T::ones({2, 3});
  for (const TwoTensors& b : binary) {
    INFO(b.op);
    for (const DType other : {f64, i64}) {
      const std::string text = message([&] { b.call(a, T::ones({2, 3}, other)); });
      INFO(text);
      CHECK(text.rfind(b.op + ": ", 0) == 0);
      if (b.op == "linear") {  // which takes the dtype of its weights
        CHECK(has(text, "w and x must have the same dtype; got " + std::string(name_of(other)) +
                            " [2, 3] and f32 [2, 3]. Hint: "));
        continue;
      }
      CHECK(has(text, "must have the same dtype; got f32 [2, 3] and " +
                          std::string(name_of(other)) + " [2, 3]. Hint: "));
    }
  }
}

TEST_CASE("shapes that do not fit, in every op of two tensors") {
  const T a = T::ones({2, 3}), b = T::ones({4, 5});
  for (const TwoTensors& op : binary) {
    INFO(op.op);
    const std::string text = message([&] { op.call(a, b); });
    INFO(text);
    CHECK(text.rfind(op.op + ": ", 0) == 0);
    // The caller's own shapes.
    CHECK(has(text, "[2, 3]"));
    CHECK(has(text, "[4, 5]"));
    if (op.broadcasts) CHECK(has(text, "do not broadcast"));
  }
}

TEST_CASE("an axis that is not there, in every op that takes one") {
  const T x = T::ones({2, 3});
  for (const int axis : {2, -3}) {
    for (const OneTensor& u : std::vector<OneTensor>{
             {"sum", [=](const T& t) { sum(t, {axis}); }},
             {"mean", [=](const T& t) { mean(t, {axis}); }},
             {"var", [=](const T& t) { var(t, {axis}); }},
             {"max", [=](const T& t) { max(t, {axis}); }},
             {"min", [=](const T& t) { min(t, {axis}); }},
             {"argmax", [=](const T& t) { argmax(t, {axis}); }},
             {"transpose", [=](const T& t) { transpose(t, axis, 0); }},
             {"permute",
              [=](const T& t) {
                permute(t, {0, axis});
              }},
             {"slice", [=](const T& t) { slice(t, axis, 0, 1); }},
             {"concat",
              [=](const T& t) {
                concat({t, t}, axis);
              }},
             {"take", [=](const T& t) { take(t, T::arange(1), axis); }},
             {"gather",
              [=](const T& t) {
                gather(t, axis, T::zeros({2, 3}, i64));
              }},
             {"softmax", [=](const T& t) { softmax(t, axis); }},
             {"log_softmax", [=](const T& t) { log_softmax(t, axis); }},
             {"squeeze", [=](const T& t) { squeeze(t, axis); }},
             {"dim", [=](const T& t) { (void)t.dim(axis); }},
         }) {
      INFO(u.op);
      const std::string text = message([&] { u.call(x); });
      INFO(text);
      CHECK(text.rfind(u.op + ": ", 0) == 0);
      CHECK(has(text, "axis must be in "));
    }
  }
}

TEST_CASE("every error has a cause that the user can see: no op fails on what is right") {
  const T a = T::full({2, 3}, 0.5);
  for (const OneTensor& u : unary) {
    INFO(u.op);
    if (u.op == "permute" || u.op == "reshape" || u.op == "broadcast_to" || u.op == "gather" ||
        u.op == "pad") {
      continue;  // their arguments above are for no shape in particular
    }
    const T x = u.op == "squeeze" ? T::ones({1, 3}) : a;
    CHECK(message([&] { u.call(x); }) == "no error");
  }
  for (const TwoTensors& b : binary) {
    INFO(b.op);
    const bool square = b.op == "matmul" || b.op == "linear";
    CHECK(message([&] { b.call(a, square ? T::ones({3, 2}) : a); }) == "no error");
  }
}
