// A module is a value: its copies have numbers of their own; sharing is asked for by name.
#include <doctest/doctest.h>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/parameter.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/sgd.h"
#include "ramp/train/average.h"

using namespace ramp;

using Values = std::vector<double>;

namespace {

// A user's module: nothing in it is written for copies.
struct Block : Module {
  Dense a{2, 2, ReLU{}};
  std::vector<Dense> list{Dense(2, 2), Dense(2, 2)};
  Parameter scale = Tensor::ones({2});
  Buffer seen = Tensor::zeros({2}, i64);

  Tensor forward(const Tensor& x) override { return list[1](list[0](a(x))) * scale; }
  void fields(Fields& f) override {
    f.child("a", a).param("scale", scale).buffer("seen", seen);
    for (size_t i = 0; i < list.size(); ++i) f.child(std::to_string(i), list[i]);
  }
};

// Two layers that share one weight, one of them far away on the heap.
struct Tied : Module {
  Dense a{3, 3};
  std::vector<Dense> b{Dense(3, 3)};
  Buffer mean = Tensor::zeros({3}), same = Tensor::zeros({3});
  Tied() {
    b[0].weight.share(a.weight);
    same.share(mean);
  }
  Tensor forward(const Tensor& x) override { return b[0](a(x)); }
  void fields(Fields& f) override {
    f.child("a", a).child("b", b[0]).buffer("mean", mean).buffer("same", same);
  }
};

bool is_tied(const Tied& net) {
  return net.a.weight.meta().get() == net.b[0].weight.meta().get() &&
         net.a.weight.same_memory(net.b[0].weight) && net.mean.same_memory(net.same);
}

std::string names(const std::vector<NamedTensor>& list) {
  std::string all;
  for (const NamedTensor& t : list) all += t.name + " ";
  return all;
}

// No tensor of a is one of b.
void check_apart(ModuleBase& a, ModuleBase& b) {
  const std::vector<NamedTensor> s = a.state(), t = b.state();
  REQUIRE(s.size() == t.size());
  for (size_t i = 0; i < s.size(); ++i) {
    INFO(s[i].name);
    CHECK(s[i].name == t[i].name);
    CHECK(s[i].tensor.values() == t[i].tensor.values());
    for (const NamedTensor& other : t) CHECK_FALSE(s[i].tensor.same_memory(other.tensor));
    CHECK(t[i].tensor.requires_grad() == s[i].tensor.requires_grad());
    if (s[i].tensor.meta()) CHECK(s[i].tensor.meta().get() != t[i].tensor.meta().get());
  }
}

template <typename T>
concept ParamField = requires(Fields f, T t) {
  f.param("t", t);
};
template <typename T>
concept BufferField = requires(Fields f, T t) {
  f.buffer("t", t);
};

}  // namespace

// A forgotten one does not compile.
static_assert(ParamField<Parameter> && !ParamField<Tensor> && !ParamField<Buffer>);
static_assert(BufferField<Buffer> && !BufferField<Tensor> && !BufferField<Parameter>);

TEST_CASE("a Parameter has numbers and a leaf of its own") {
  const Tensor t = Tensor::of<float>({1, 2});
  Parameter a = t;
  CHECK_FALSE(a.same_memory(t));
  CHECK(a.values() == Values{1, 2});
  CHECK(a.requires_grad());
  CHECK_FALSE(t.requires_grad());
  a.set_grad(Tensor::ones({2}));
  Parameter b = a;
  CHECK_FALSE(b.same_memory(a));
  CHECK(b.requires_grad());
  CHECK_FALSE(b.grad().defined());
  a.requires_grad_(false);
  CHECK_FALSE(Parameter(a).requires_grad());
  CHECK(b.requires_grad());
  // As a Tensor it is a handle.
  const Tensor handle = b;
  CHECK(handle.same_memory(b));
  CHECK(handle.meta().get() == b.meta().get());
  // Of one that nobody else holds the memory is taken.
  Tensor alone = Tensor::of<float>({5});
  const float* memory = alone.data<float>();
  CHECK(Parameter(std::move(alone)).data<float>() == memory);

  CHECK(message([&] { Parameter(b * 2); }) ==
        "Parameter: expected a tensor without history; got a result of mul [2]. Hint: "
        "y.detach().");
  CHECK_THROWS_AS(Parameter(Tensor::arange(3)), Error);
  CHECK(Buffer(Tensor::arange(3)).dtype() == i64);
  CHECK_FALSE(Buffer(b * 2).requires_grad());
  CHECK_FALSE(Parameter().defined());
  CHECK_FALSE(Parameter(Parameter()).defined());
  CHECK(message([&] { b.share(Parameter()); }).find("share: the tensor to share is undefined") ==
        0);
}

TEST_CASE("assignment keeps the leaf where it fits, and else says that it was replaced") {
  Parameter a = Tensor::of<float>({1, 2});
  const Tensor leaf = a;
  const Parameter b = Tensor::of<float>({3, 4});
  a.set_grad(Tensor::ones({2}));
  a.requires_grad_(false).requires_grad_();
  a.set_grad(Tensor::ones({2}));
  a = b;
  CHECK(leaf.values() == Values{3, 4});
  CHECK(a.meta().get() == leaf.meta().get());
  CHECK_FALSE(a.grad().defined());
  a = Tensor::of<float>({5, 6});
  CHECK(leaf.values() == Values{5, 6});
  CHECK(b.values() == Values{3, 4});
  a.requires_grad_(false);
  a = b;
  CHECK_FALSE(a.requires_grad());  // frozen or not, it stays what it is
  CHECK_FALSE(was_replaced(leaf));
  a = Tensor::ones({3});
  CHECK(a.shape() == Shape{3});
  CHECK(a.requires_grad());
  CHECK(was_replaced(leaf));
  a = {};
  CHECK_FALSE(a.defined());
  // A graph that needs the old numbers notices.
  Parameter w = Tensor::ones({2});
  const Tensor y = sum(w * w);
  w = b;
  CHECK_THROWS_AS(backward(y), Error);
  Parameter c = Tensor::ones({1}), d = Tensor::zeros({1});
  const Tensor of_c = c, of_d = d;
  std::swap(c, d);
  CHECK(c.values() == Values{0});
  CHECK(d.values() == Values{1});
  CHECK(c.requires_grad());
}

TEST_CASE("every way to copy a module copies its numbers") {
  seed_layers(1);
  Block block;
  block.list[0].freeze();
  Block copy = block;
  check_apart(block, copy);
  Sequential net{Block{}, BatchNorm(2), ReLU{}, PReLU{}};
  Sequential best = net;
  check_apart(net, best);
  std::vector<Sequential> ensemble(5, net);
  for (size_t i = 0; i < 5; ++i) {
    check_apart(net, ensemble[i]);
    if (i > 0) check_apart(ensemble[0], ensemble[i]);
  }
  const Dense proto(2, 2);
  Sequential deep{proto, proto, proto};
  check_apart(deep[0], deep[1]);
  check_apart(deep[1], deep[2]);
  CHECK(deep.parameters().size() == 6);
  best = ensemble[0];
  check_apart(best, ensemble[0]);
  // Trained one by one they differ, and the rest stays.
  const Values before = net.parameters()[0].values();
  const NoGrad no_grad;
  for (Tensor& p : ensemble[3].parameters()) p.mul_(0.5);
  CHECK(net.parameters()[0].values() == before);
  CHECK(ensemble[2].parameters()[0].values() == before);
  CHECK(ensemble[3].parameters()[0].values() != before);
}

TEST_CASE("keep the best: best = net, and back, under one optimizer") {
  Sequential net{Dense(1, 1)};
  net.get<Dense>(0).weight = Tensor::of<float>({2}, {1, 1});
  SGD sgd(net, {.lr = 0.25});
  const auto step = [&] {
    sgd.zero_grad();
    backward(sum(net(Tensor::ones({1, 1}))));
    sgd.step();
    return net.get<Dense>(0).weight.item();
  };
  CHECK(step() == 1.75);
  Sequential best = net;
  CHECK(step() == 1.5);
  CHECK(best.get<Dense>(0).weight.item() == 1.75);
  best = net;
  CHECK(step() == 1.25);
  net = best;
  CHECK(net.get<Dense>(0).weight.item() == 1.5);
  CHECK(step() == 1.25);  // the optimizer still holds its leaf
  CHECK(best.get<Dense>(0).weight.item() == 1.5);
  net = Sequential{Dense(1, 1)};
  const double fresh = net.get<Dense>(0).weight.item();
  CHECK(step() == doctest::Approx(fresh - 0.25));
  // With other layers the old ones are gone, and whoever holds them can see it.
  const Tensor leaf = net.get<Dense>(0).weight;
  net = Sequential{Dense(1, 1), ReLU{}};
  CHECK(was_replaced(leaf));
  CHECK(net.size() == 2);
  CHECK_FALSE(was_replaced(net.get<Dense>(0).weight));
}

TEST_CASE("tied weights are one tensor in every copy, counted and saved once") {
  Tied net;
  CHECK(is_tied(net));
  CHECK(names(net.named_parameters()) == "a.weight a.bias b.bias ");
  CHECK(net.parameter_count() == 9 + 3 + 3);
  CHECK(names(net.state()) == "a.weight a.bias b.bias mean ");
  const Tied copy = net;
  CHECK(is_tied(copy));
  CHECK_FALSE(copy.a.weight.same_memory(net.a.weight));
  CHECK_FALSE(copy.mean.same_memory(net.mean));
  std::vector<Tied> many(3, net);
  for (const Tied& t : many) CHECK(is_tied(t));
  CHECK_FALSE(many[0].a.weight.same_memory(many[1].a.weight));
  // A copy of a part has nothing to do with the next copy of the whole.
  const Dense part = net.b[0];
  const Tied next = net;
  CHECK(is_tied(next));
  CHECK_FALSE(next.a.weight.same_memory(part.weight));
  // Inside other modules, twice.
  Sequential outer{net, ReLU{}, net};
  CHECK(is_tied(outer.get<Tied>(0)));
  CHECK_FALSE(outer.get<Tied>(0).a.weight.same_memory(outer.get<Tied>(2).a.weight));
  const Sequential outer_copy = outer;
  Sequential again = outer_copy;
  for (const size_t i : {0, 2}) CHECK(is_tied(again.get<Tied>(i)));
  check_apart(outer, again);
  // Across the layers of a Sequential.
  Sequential across{Dense(2, 2), ReLU{}, Dense(2, 2)};
  across.get<Dense>(2).weight.share(across.get<Dense>(0).weight);
  CHECK(names(across.named_parameters()) == "0.weight 0.bias 2.bias ");
  Sequential other = across;
  CHECK(names(other.named_parameters()) == "0.weight 0.bias 2.bias ");
  check_apart(across, other);
  // Moved, assigned.
  Tied moved = std::move(many[2]);
  CHECK(is_tied(moved));
  moved = net;
  CHECK(is_tied(moved));
  CHECK(moved.a.weight.values() == net.a.weight.values());
}

TEST_CASE("tied weights move, freeze, convert, load and average as one") {
  Tied net;
  {
    SGD sgd(net, {.lr = 1});
    const Values before = net.a.weight.values();
    backward(sum(net.b[0](net.a(Tensor::ones({1, 3})))));
    const Values g = net.a.weight.grad().values();
    sgd.step();
    for (size_t i = 0; i < 9; ++i) {
      CHECK(net.a.weight.values()[i] == doctest::Approx(before[i] - g[i]));
    }
    CHECK(is_tied(net));
  }
  net.a.freeze();
  CHECK_FALSE(net.b[0].weight.requires_grad());
  CHECK(net.b[0].bias.requires_grad());
  net.freeze(false);
  Tied other;
  other.load_state(net.state());
  CHECK(is_tied(other));
  CHECK(other.b[0].weight.values() == net.a.weight.values());
  EMA ema(net, {.decay = 0.5});
  CHECK(names(ema.state()) == "a.weight a.bias b.bias mean updates ");
  const Tensor old = net.a.weight;
  net.to(f64);
  CHECK(is_tied(net));
  CHECK(net.a.weight.dtype() == f64);
  CHECK(net.a.weight.requires_grad());
  CHECK(was_replaced(old));
}

TEST_CASE("a forward pass of a copy trains the copy") {
  Sequential net{Block{}, Dense(2, 1)};
  Sequential copy = net;
  backward(sum(copy(Tensor::ones({3, 2}))));
  for (const Tensor& p : net.parameters()) CHECK_FALSE(p.grad().defined());
  for (const Tensor& p : copy.parameters()) CHECK(p.grad().defined());
}
