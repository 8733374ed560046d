#include "ramp/autograd/backward.h"

#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <stdexcept>
#include <thread>

#include "message.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/record.h"

using namespace ramp;

using Values = std::vector<double>;

namespace {

Tensor leaf(std::vector<double> values) { return Tensor::of<double>(values).requires_grad_(); }

// The least op: y = x, which passes dy on as it is.
Tensor pass(const Tensor& x) {
  return record("pass", x.detach(), {x}, [](const Tensor& dy, Wants) { return dy; });
}

// y = a + b whose gradients are both dy itself, one memory.
Tensor both(const Tensor& a, const Tensor& b) {
  return record("both", a.detach().clone().add_(b.detach()), {a, b}, [](const Tensor& dy, Wants) {
    return std::array{dy, dy};
  });
}

}  // namespace

TEST_CASE("gradients add up over passes and over uses") {
  const Tensor x = leaf({1, 2});
  backward(sum(x * 3));
  CHECK(x.grad().values() == Values{3, 3});
  backward(sum(x * x));
  CHECK(x.grad().values() == Values{5, 7});
  Tensor(x).zero_grad();
  CHECK_FALSE(x.grad().defined());
  backward(sum(x + x + x));
  CHECK(x.grad().values() == Values{3, 3});
}

TEST_CASE("the scalar of the tutorial: relu at -1 gives 0 and gradient 0") {
  const Tensor x = Tensor::scalar(-1).requires_grad_();
  const Tensor y = maximum(x, Tensor::scalar(0));
  y.backward();
  CHECK(y.item() == 0);
  CHECK(x.grad().item() == 0);
}

TEST_CASE("handles share the gradient; a leaf may be the root") {
  Tensor x = leaf({2});
  const Tensor same = x;
  backward(x * x);
  CHECK(same.grad().values() == Values{4});
  backward(x);
  CHECK(x.grad().values() == Values{5});
}

TEST_CASE("a chain of diamonds has 2^60 paths and is walked once") {
  Tensor x = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 60; ++i) y = (y + y) * 0.5;
  backward(y);
  CHECK(x.grad().values() == Values{1});
}

TEST_CASE("a result that is used by another one later gets all of its gradient first") {
  // The leaf made last has the highest id of the leaves.
  const Tensor x = leaf({3});
  const Tensor y = x * x;
  const Tensor z = leaf({5});
  backward(y * z + y + z);
  CHECK(x.grad().values() == Values{36});
  CHECK(z.grad().values() == Values{10});
}

TEST_CASE("only what is asked for gets a gradient") {
  const Tensor x = leaf({1, 2}), c = Tensor::of<double>({3, 4});
  int calls = 0;
  const Tensor y = record("mine", x.clone(), {x, c}, [&calls](const Tensor& dy, Wants want) {
    ++calls;
    CHECK(want[0]);
    CHECK_FALSE(want[1]);
    return std::array{dy, Tensor()};
  });
  backward(sum(y));
  CHECK(calls == 1);
  CHECK_FALSE(c.grad().defined());
  CHECK_FALSE(y.grad().defined());  // not a leaf
}

TEST_CASE("retain_graph, and a second pass without it") {
  const Tensor x = leaf({2, 3});
  const Tensor y = sum(x * x);
  backward(y, {}, {.retain_graph = true});
  backward(y, {}, {.retain_graph = true});
  CHECK(x.grad().values() == Values{8, 12});
  backward(y);
  CHECK(x.grad().values() == Values{12, 18});
  CHECK_THROWS_WITH_AS(backward(y),
                       "backward: the tape behind sum [] was freed by an earlier pass. Hint: "
                       "backward(y, dy, {.retain_graph = true}) the first time.",
                       Error);
  CHECK(x.grad().values() == Values{12, 18});
  // Through a part that two results share.
  const Tensor part = x * 2;
  const Tensor one = sum(part), two = mean(part);
  backward(one);
  CHECK_THROWS_WITH_AS(backward(two),
                       "backward: the tape behind mul [2] was freed by an earlier pass. Hint: "
                       "backward(y, dy, {.retain_graph = true}) the first time.",
                       Error);
}

TEST_CASE("a given dy") {
  const Tensor x = leaf({1, 2, 3});
  const Tensor dy = Tensor::of<double>({1, 10, 100});
  backward(x * 2, dy);
  CHECK(x.grad().values() == Values{2, 20, 200});
  CHECK(dy.values() == Values{1, 10, 100});
}

TEST_CASE("mistakes with backward") {
  const Tensor x = leaf({1, 2, 3});
  const Tensor y = x * 2;
  CHECK_THROWS_WITH_AS(
      backward(y),
      "backward: expected y to be a scalar; got [3]. Hint: backward(mean(y)), or give dy.", Error);
  CHECK_THROWS_WITH_AS(backward(y, Tensor::ones({2}, f64)),
                       "backward: dy must be like y, f64 [3]; got f64 [2].", Error);
  CHECK_THROWS_WITH_AS(backward(y, Tensor::ones({3})),
                       "backward: dy must be like y, f64 [3]; got f32 [3].", Error);
  CHECK_THROWS_WITH_AS(
      backward(Tensor::ones({})),
      "backward: y [] requires no gradient: nothing on the tape leads to it. Hint: "
      "requires_grad_() on a leaf, and no NoGrad around the forward pass.",
      Error);
  CHECK_THROWS_WITH_AS(
      backward({}),
      "backward: y is undefined (moved from, or never set). Hint: give it a value first.", Error);
  // None of them spoiled the tape.
  backward(sum(y));
  CHECK(x.grad().values() == Values{2, 2, 2});
}

TEST_CASE("requires_grad_") {
  Tensor labels = Tensor::arange(3);
  CHECK_THROWS_WITH_AS(labels.requires_grad_(),
                       "requires_grad_: expected f32 or f64; got i64 [3]. Hint: "
                       "x.to(f32).requires_grad_().",
                       Error);
  Tensor x = leaf({1});
  Tensor y = x * 2;
  CHECK(y.requires_grad());
  CHECK_THROWS_WITH_AS(
      y.requires_grad_(false),
      "requires_grad_(false): the tensor [1] is a result of mul. Hint: x.detach().", Error);
  CHECK_FALSE(y.grad().defined());
  y.requires_grad_();  // a result keeps its gradient then, as a clone() of a leaf should
  backward(y);
  CHECK(y.grad().values() == Values{1});
  CHECK_FALSE(Tensor::zeros({2}).grad().defined());
}

TEST_CASE("a leaf is the same leaf for life: requires_grad_(false) is a switch") {
  const int64_t before = live_nodes();
  {
    Tensor x = leaf({1, 2});
    const Tensor held = x;
    const Node* node = node_of(x);
    backward(sum(x * x));
    x.requires_grad_(false);
    CHECK(node_of(x) == node);
    CHECK_FALSE(held.requires_grad());  // all handles see it
    CHECK_FALSE(x.grad().defined());    // frozen, it does not move by an old gradient
    CHECK_FALSE((x * x).requires_grad());
    x.fill_(3);  // no NoGrad is needed
    CHECK_THROWS_WITH_AS(x.set_grad({}),
                         "set_grad: the tensor [2] requires no gradient. Hint: "
                         "x.requires_grad_() before it is used.",
                         Error);
    CHECK_THROWS_AS(backward(x, Tensor::ones({2}, f64)), Error);
    x.requires_grad_();
    CHECK(node_of(held) == node);
    backward(sum(x * x));
    CHECK(held.grad().values() == Values{6, 6});

    // Frozen between the forward and the backward pass: nothing is computed or kept for it.
    const Tensor w = leaf({5, 7});
    bool wanted = true;
    const Tensor y = x * w, z = record("pass", x.detach(), {x}, [&](const Tensor&dy, Wants want) {
                              wanted = want[0];
                              return dy;
                            });
    x.requires_grad_(false);
    backward(sum(y + z));
    CHECK_FALSE(wanted);
    CHECK_FALSE(x.grad().defined());
    CHECK(w.grad().values() == Values{3, 3});
    // And frozen in the forward pass only.
    const Tensor v = x * w;
    x.requires_grad_();
    backward(sum(v));
    CHECK_FALSE(x.grad().defined());
    CHECK(w.grad().values() == Values{6, 6});
    // By a hook of its own.
    x.hook([&](const Tensor&) {
      x.requires_grad_(false);
      return Tensor();
    });
    backward(sum(x * w));
    CHECK_FALSE(x.grad().defined());
    Tensor plain = Tensor::ones({2});
    plain.requires_grad_(false);
    CHECK(node_of(plain) == nullptr);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("a gradient that a step used must be cleared before more is added") {
  Tensor x = leaf({1, 2});
  const auto pass_back = [&] { backward(sum(x * 3)); };
  pass_back();
  mark_grad_used(x);
  CHECK_THROWS_WITH_AS(
      pass_back(),
      "backward: the gradient of the leaf [2] was used by step() and not cleared; adding to it "
      "would mix two steps. Hint: zero_grad() after step(), or freeze what is not to learn.",
      Error);
  CHECK_THROWS_AS(backward(x, Tensor::ones({2}, f64)), Error);
  CHECK(x.grad().values() == Values{3, 3});
  x.zero_grad();
  pass_back();
  pass_back();  // to gather gradients over batches is no mistake
  CHECK(x.grad().values() == Values{6, 6});
  mark_grad_used(x);
  x.set_grad(Tensor::zeros({2}, f64));
  pass_back();
  mark_grad_used(x);
  x.requires_grad_(false).requires_grad_();
  pass_back();
  CHECK(x.grad().values() == Values{3, 3});
  mark_grad_used(Tensor::ones({2}));  // not a leaf: nothing to tell
}

TEST_CASE("parameters that learn and have no name are known to the thread") {
  const int64_t before = live_nodes();
  CHECK(take_unnamed_parameters().empty());
  {
    const Tensor plain = leaf({1}), a = leaf({1}), b = leaf({1}), unused = leaf({1, 2, 3, 4});
    Tensor frozen = leaf({1, 2, 3});
    for (const Tensor& p : {a, b, unused, frozen}) mark_parameter(p);
    frozen.requires_grad_(false);
    mark_named(a);
    const Tensor y = plain * a * b;
    backward(y * sum(frozen), {}, {.retain_graph = true});
    backward(y, {}, {.retain_graph = true});
    CHECK(take_unnamed_parameters() == std::vector<Shape>{{1}});  // b, once
    CHECK(take_unnamed_parameters().empty());
    std::thread([&] { backward(y, {}, {.retain_graph = true}); }).join();
    CHECK(take_unnamed_parameters().empty());  // it waits on that thread
    backward(unused, Tensor::ones({4}, f64));
    mark_named(unused);  // in time
    CHECK(take_unnamed_parameters().empty());
    Tensor gone = leaf({1, 2});
    mark_parameter(gone);
    backward(sum(gone));
    gone = {};  // whoever forgot it holds it no more
    CHECK(take_unnamed_parameters().empty());
    CHECK_FALSE(was_replaced(a));
    mark_replaced(a);
    CHECK(was_replaced(a));
    CHECK_FALSE(was_replaced(Tensor::ones({1})));
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("set_grad") {
  Tensor x = leaf({1, 2});
  x.set_grad(Tensor::of<double>({5, 6}));
  backward(sum(x));
  CHECK(x.grad().values() == Values{6, 7});
  CHECK_THROWS_WITH_AS(x.set_grad(Tensor::ones({3}, f64)),
                       "set_grad: the tensor is f64 [2]; got a gradient of f64 [3].", Error);
  CHECK_THROWS_WITH_AS(x.set_grad(Tensor::ones({2})),
                       "set_grad: the tensor is f64 [2]; got a gradient of f32 [2].", Error);
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
  CHECK_THROWS_WITH_AS(Tensor::ones({2}).set_grad({}),
                       "set_grad: the tensor [2] requires no gradient. Hint: x.requires_grad_() "
                       "before it is used.",
                       Error);
}

TEST_CASE("hooks see, replace and may not misshape") {
  Tensor x = leaf({1, 2});
  Tensor y = x * 3;
  Values seen;
  y.hook([&](const Tensor& dy) {
    seen = dy.values();
    return Tensor();
  });
  y.hook([](const Tensor& dy) { return dy * 10; });
  x.hook([](const Tensor& dy) { return dy + 1; });
  backward(sum(y));
  CHECK(seen == Values{1, 1});
  CHECK(x.grad().values() == Values{31, 31});

  Tensor z = x * 1;
  z.hook([](const Tensor&) { return Tensor::ones({3}, f64); });
  CHECK_THROWS_WITH_AS(backward(sum(z)),
                       "hook on mul: the gradient is f64 [2]; got f64 [3] in its place.", Error);
  Tensor w = x * 1;
  w.hook([](const Tensor&) { return Tensor::ones({2}); });
  CHECK_THROWS_WITH_AS(backward(sum(w)),
                       "hook on mul: the gradient is f64 [2]; got f32 [2] in its place.", Error);
  CHECK_THROWS_AS(Tensor::ones({1}).hook([](const Tensor& dy) { return dy; }), Error);
}

TEST_CASE("a hook that adds a hook, or holds its gradient") {
  Tensor x = leaf({1});
  Tensor held;
  x.hook([&](const Tensor& dy) {
    held = dy;
    if (dy.item() == 1) {
      for (int i = 0; i < 20; ++i) x.hook([](const Tensor&) { return Tensor(); });
    }
    return Tensor();
  });
  backward(x * 1);
  backward(x * 5);
  CHECK(x.grad().item() == 6);
  CHECK(held.item() == 5);
  x.requires_grad_(false);
}

TEST_CASE("retain_grad") {
  const Tensor x = leaf({1, 2});
  Tensor y = x * 3;
  y.retain_grad();
  const Tensor z = sum(y * y);
  backward(z, {}, {.retain_graph = true});
  CHECK(y.grad().values() == Values{6, 12});
  backward(z);
  CHECK(y.grad().values() == Values{12, 24});
  CHECK_THROWS_WITH_AS(Tensor::ones({2}).retain_grad(),
                       "retain_grad: the tensor [2] requires no gradient. Hint: x.requires_grad_() "
                       "before it is used.",
                       Error);
}

TEST_CASE("only detach() cuts the tape") {
  const Tensor x = leaf({2, 3, 5, 7});
  const Tensor y = x * x;
  backward(sum(y.detach() * x));
  CHECK(x.grad().values() == Values{4, 9, 25, 49});
  CHECK_FALSE(y.detach().requires_grad());
  CHECK(y.detach().same_memory(y));
  // A forward pass that goes through all of them trains what is before.
  Tensor(x).zero_grad();
  const Tensor z = (x * 3).view({2, 2}).clone().to(f32).rows(1, 2).to(f64);
  CHECK(z.values() == Values{15, 21});
  backward(sum(z * z));
  CHECK(x.grad().values() == Values{0, 0, 90, 126});
  for (const Tensor& t : {x.view({2, 2}), x.clone(), x.to(f32), x.rows(0, 2), x.to(f64)}) {
    CHECK(t.requires_grad());
  }
  // Views share memory; in the same dtype to() is the tensor itself; integers have no gradient.
  CHECK(x.view({2, 2}).same_memory(x));
  CHECK(x.rows(0, 1).same_memory(x));
  CHECK_FALSE(x.clone().same_memory(x));
  CHECK(node_of(x.to(f64)) == node_of(x));
  CHECK_FALSE(x.to(i64).requires_grad());
  const NoGrad no_grad;
  for (const Tensor& t : {x.view({2, 2}), x.clone(), x.to(f32), x.rows(0, 2)}) {
    CHECK_FALSE(t.requires_grad());
  }
}

TEST_CASE("a view is on the tape: writes to it are seen as those to what it views") {
  Tensor x = leaf({1, 2, 3, 4});
  CHECK(message([&] {
          x.view({2, 2}).fill_(0);
        }) ==
        "fill_: the target [2, 2] is a result of reshape on the tape. Hint: y.detach().clone().");
  CHECK(message([&] { x.rows(0, 1).fill_(0); }) ==
        "fill_: the target [1] is a result of slice on the tape. Hint: y.detach().clone().");
  const Tensor y = x * x;  // saves x
  {
    const NoGrad no_grad;
    x.rows(3, 4).fill_(5);
  }
  CHECK(x.values() == Values{1, 2, 3, 5});
  CHECK(message([&] { backward(sum(y)); }) ==
        "backward through mul: b [4] was changed in place after the op saved it (version 0, now "
        "1). Hint: change a clone().");
  // What is written into a plain tensor would be cut off the tape.
  Tensor plain = Tensor::zeros({4}, f64);
  for (const Tensor& source : {x, x * 2}) {
    const std::string text =
        ": the source [4] requires a gradient, which a write in place does not pass on. Hint: "
        "source.detach(), or an op that makes a new tensor.";
    CHECK(message([&] { plain.copy_(source); }) == "copy_" + text);
    CHECK(message([&] { plain.add_(source); }) == "add_" + text);
    plain.copy_(source.detach());
    const NoGrad no_grad;
    plain.add_(source);
  }
  CHECK(plain.values() == Values{4, 8, 12, 20});
}

TEST_CASE("NoGrad: nested, on its own thread, left by an exception") {
  const Tensor x = leaf({2});
  CHECK(grad_enabled());
  {
    const NoGrad outer;
    CHECK_FALSE((x * x).requires_grad());
    { const NoGrad inner; }
    CHECK_FALSE(grad_enabled());
    bool other = false;
    std::thread([&] { other = grad_enabled(); }).join();
    CHECK(other);
  }
  CHECK(grad_enabled());
  try {
    const NoGrad no_grad;
    throw std::runtime_error("");
  } catch (const std::runtime_error&) {
  }
  CHECK(grad_enabled());
  CHECK_THROWS_AS(backward(Tensor::ones({2}) * x, Tensor::ones({3}, f64)), Error);
  CHECK(grad_enabled());
  // A pass records nothing, whatever its vjps and hooks compute.
  const int64_t before = live_nodes();
  Tensor y = x * x;
  y.hook([&](const Tensor& dy) {
    CHECK_FALSE(grad_enabled());
    return dy * x;
  });
  backward(y);
  y = {};
  CHECK(live_nodes() == before);
}

TEST_CASE("a write to a saved tensor is an error that names tensor, op and versions") {
  Tensor x = leaf({1, 2});
  Tensor w = Tensor::of<double>({3, 4});
  const Tensor y = sum(x * w);
  w.fill_(0);
  w.fill_(1);
  CHECK(message([&] { backward(y); }) ==
        "backward through mul: b [2] was changed in place after the op saved it (version 0, now "
        "2). Hint: change a clone().");
  CHECK_FALSE(x.grad().defined());
  // Through a view, and by raw access too.
  for (const bool raw : {false, true}) {
    Tensor v = Tensor::of<double>({3, 4});
    const Tensor z = sum(x * v);
    if (raw) {
      v.mutable_data<double>()[0] = 7;
    } else {
      v.view({2, 1}).rows(0, 1).mul_(2);
    }
    CHECK(message([&] { backward(z); }).find("(version 0, now 1)") != std::string::npos);
  }
  // An op that needs no values does not mind.
  Tensor u = Tensor::of<double>({3, 4});
  const Tensor s = sum(x + u);
  u.fill_(0);
  backward(s);
  CHECK(x.grad().values() == Values{1, 1});
}

TEST_CASE("writes in place to what is on the tape") {
  Tensor x = leaf({1, 2});
  const Tensor one = Tensor::ones({2}, f64);
  const char* on_leaf =
      ": the target [2] requires a gradient and recording is on. Hint: put NoGrad around it.";
  CHECK(message([&] { x.fill_(0); }) == std::string("fill_") + on_leaf);
  CHECK(message([&] { x.mul_(0); }) == std::string("mul_") + on_leaf);
  CHECK(message([&] { x.add_(one); }) == std::string("add_") + on_leaf);
  CHECK(message([&] { x.copy_(one); }) == std::string("copy_") + on_leaf);
  CHECK(x.values() == Values{1, 2});
  Tensor y = x * 2;
  CHECK(message([&] { y.mul_(0); }) ==
        "mul_: the target [2] is a result of mul on the tape. Hint: y.detach().clone().");
  {
    const NoGrad no_grad;
    x.add_(one);
  }
  CHECK(x.values() == Values{2, 3});
}

TEST_CASE("a chain of 1,000,000 nodes runs backward, and is released, without recursion") {
  const int64_t before = live_nodes();
  const auto chain = [](const Tensor& x) {
    Tensor y = x;
    for (int i = 0; i < 1'000'000; ++i) y = pass(y);
    return y;
  };
  {
    const Tensor x = leaf({1});
    Tensor y = chain(x);
    CHECK(live_nodes() == before + 1'000'001);
    backward(y);
    CHECK(x.grad().item() == 1);
    CHECK(live_nodes() == before + 2);  // x, and y freed but held
    y = chain(x);                       // released without a pass
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("an op of many inputs") {
  const int64_t before = live_nodes();
  {
    std::vector<Tensor> x;
    for (int i = 0; i < 9; ++i) x.push_back(leaf({1. * i}));
    const Tensor y = record("many", Tensor::ones({1}, f64), x, [](const Tensor& dy, Wants) {
      std::vector<Tensor> dx;
      for (int i = 0; i < 9; ++i) dx.push_back(Tensor::full({1}, i * dy.item(), f64));
      return dx;
    });
    backward(y);
    for (int i = 0; i < 9; ++i) CHECK(x[i].grad().item() == i);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("nothing is left behind") {
  const int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2});
    const Tensor y = x * x + x;
    CHECK(live_nodes() == before + 3);
    Tensor z = sum(y);
    z = {};
    CHECK(live_nodes() == before + 3);
  }
  CHECK(live_nodes() == before);
  // A hook that holds its own tensor is a cycle of the user's making; one that holds x of x * x
  // is not.
  {
    const Tensor x = leaf({1});
    Tensor y = x * x;
    y.hook([x](const Tensor&) { return Tensor(); });
    backward(y);
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("a derivative of the wrong shape, dtype or count") {
  const Tensor x = leaf({1, 2});
  const auto wrong = [&](Tensor dx) {
    return record("mine", Tensor::ones({}, f64), {x}, [dx](const Tensor&, Wants) { return dx; });
  };
  CHECK(message([&] { backward(wrong(Tensor::ones({3}, f64))); }) ==
        "backward through mine: input 0 is f64 [2]; its derivative gave f64 [3].");
  CHECK(message([&] { backward(wrong(Tensor::ones({2}))); }) ==
        "backward through mine: input 0 is f64 [2]; its derivative gave f32 [2].");
  CHECK_FALSE(x.grad().defined());
  for (const size_t count : {1, 3, 9}) {
    const Tensor y = record("mine", Tensor::ones({2}, f64), {x, x}, [=](const Tensor& dy, Wants) {
      return std::vector<Tensor>(count, dy);
    });
    CHECK(message([&] { backward(sum(y)); }) ==
          fmt::format("backward through mine: expected 2 gradients, one for each input; its "
                      "derivative gave {}.",
                      count));
  }
  const Tensor y =
      record("mine", Tensor::ones({2}, f64), {x, x}, [=](const Tensor& dy, Wants) { return dy; });
  CHECK(message([&] { backward(sum(y)); }) ==
        "backward through mine: expected 2 gradients, one for each input; its derivative gave 1.");
}

TEST_CASE("a gradient in the shape that the input was stretched to is summed") {
  const Tensor x = Tensor::of<double>({1, 2}, {2, 1}).requires_grad_(), b = leaf({5}),
               s = Tensor::scalar(3, f64).requires_grad_();
  const Tensor y =
      record("mine", Tensor::ones({2, 3}, f64), {x, b, s}, [](const Tensor& dy, Wants) {
        return std::array{dy, dy, dy};
      });
  backward(y, Tensor::of<double>({1, 2, 3, 4, 5, 6}, {2, 3}));
  CHECK(x.grad().shape() == Shape{2, 1});
  CHECK(x.grad().values() == Values{6, 15});
  CHECK(b.grad().values() == Values{21});
  CHECK(s.grad().item() == 21);
}

TEST_CASE("an error in a derivative names the op") {
  const Tensor x = leaf({1, 2});
  const Tensor y = record("mine", Tensor::ones({2}, f64), {x},
                          [](const Tensor& dy, Wants) { return dy + Tensor::ones({3}, f64); });
  CHECK(message([&] { backward(sum(y)); }).starts_with("backward through mine: add: "));
}

TEST_CASE("an exception in the middle of a pass leaves nothing behind") {
  const Tensor a = leaf({1, 2}), b = leaf({3, 4});
  bool throws = true;
  const auto tricky = [&](const Tensor& x) {
    return record("tricky", x.clone(), {x}, [&](const Tensor& dy, Wants) {
      if (throws) throw std::runtime_error("in the vjp");
      return dy;
    });
  };
  const Tensor shared = a * b;
  const Tensor y = sum(shared + tricky(a) + shared * 2);
  // shared, a and b have part of their gradients when tricky throws.
  CHECK_THROWS_WITH_AS(backward(y, {}, {.retain_graph = true}), "in the vjp", std::runtime_error);
  throws = false;
  Tensor(a).zero_grad();
  Tensor(b).zero_grad();
  backward(y);
  CHECK(a.grad().values() == Values{10, 13});
  CHECK(b.grad().values() == Values{3, 6});
}

TEST_CASE("memory that gradients share is never written to") {
  // The user's handle on a gradient keeps its values.
  const Tensor x = leaf({1, 2});
  backward(sum(x));
  const Tensor first = x.grad();
  backward(sum(x));
  CHECK(first.values() == Values{1, 1});
  CHECK(x.grad().values() == Values{2, 2});

  // Two leaves that got one and the same dy.
  const Tensor a = leaf({1, 2}), b = leaf({3, 4});
  Tensor dy = Tensor::of<double>({5, 6});
  backward(both(a, b), dy);
  backward(sum(a));
  CHECK(a.grad().values() == Values{6, 7});
  CHECK(b.grad().values() == Values{5, 6});
  CHECK(dy.values() == Values{5, 6});
  dy.fill_(0);
  CHECK(b.grad().values() == Values{5, 6});

  // One input twice, then again with the retained graph.
  const Tensor c = leaf({1, 2});
  const Tensor y = both(pass(c), pass(c));
  const Tensor ones = Tensor::ones({2}, f64);
  backward(y, ones, {.retain_graph = true});
  backward(y, ones);
  CHECK(c.grad().values() == Values{4, 4});
  CHECK(ones.values() == Values{1, 1});

  // A gradient that the user set.
  Tensor d = leaf({1, 2});
  const Tensor given = Tensor::of<double>({7, 8});
  d.set_grad(given);
  backward(sum(d));
  CHECK(given.values() == Values{7, 8});
  CHECK(d.grad().values() == Values{8, 9});

  // What a hook kept, and what it gave.
  Tensor e = leaf({1, 2});
  Tensor kept;
  const Tensor put = Tensor::of<double>({1, 1});
  e.hook([&](const Tensor& g) {
    kept = g;
    return put;
  });
  backward(sum(e * 4));
  backward(sum(e * 4));
  CHECK(kept.values() == Values{4, 4});
  CHECK(put.values() == Values{1, 1});
  CHECK(e.grad().values() == Values{2, 2});

  // A derivative that is the input's own memory.
  const Tensor f = leaf({1, 2});
  const auto half_square = [](const Tensor& t) {  // dy is 1: dx = t itself
    return record("half_square", Tensor::ones({2}, f64), {t},
                  [t = Saved(t, "t")](const Tensor&, Wants) { return t.get(); });
  };
  backward(half_square(f), Tensor::ones({2}, f64));
  backward(half_square(f), Tensor::ones({2}, f64));
  CHECK(f.values() == Values{1, 2});
  CHECK(f.grad().values() == Values{2, 4});
}

TEST_CASE("a tape made on one thread runs backward on another") {
  const int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2});
    Tensor y;
    std::thread([&] {
      Tensor t = x;
      for (int i = 0; i < 100; ++i) t = t * x;
      y = sum(t);
    }).join();
    // Ids rise along the edges, although this thread has counted less far.
    const Tensor z = y * 2 + sum(x);
    std::thread([&] { backward(z); }).join();
    CHECK(x.grad().values() == Values{203, 202 * std::pow(2, 100) + 1});
  }
  CHECK(live_nodes() == before);
  // Threads with tapes of their own, and a constant they all read.
  const Tensor w = Tensor::of<double>({3, 4});
  std::vector<std::thread> threads;
  std::vector<Values> gradients(3);
  for (Values& g : gradients) {
    threads.emplace_back([&] {
      const Tensor x = leaf({1, 2});
      for (int i = 0; i < 50; ++i) backward(sum(x * w));
      g = x.grad().values();
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(gradients == std::vector<Values>(3, {150, 200}));
  CHECK(live_nodes() == before);
}

TEST_CASE("a thread_local may hold a node until the very end of its thread") {
  const int64_t before = live_nodes();
  std::thread([] {
    static thread_local std::optional<Tensor> late;
    late.emplace();  // before the thread's first node, so it goes after all else
    late = leaf({1});
  }).join();
  CHECK(live_nodes() == before);
}
