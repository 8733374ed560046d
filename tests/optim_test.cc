#include <cmath>
#include <memory>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/random.h"
#include "ramp/io/safetensors.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/adagrad.h"
#include "ramp/optim/adam.h"
#include "ramp/optim/schedule.h"
#include "ramp/optim/sgd.h"
#include "scratch.h"
#include "threads.h"

using namespace ramp;

using Values = std::vector<double>;

namespace {

std::unique_ptr<Optimizer> make(const Fixture& f, const Tensor& w) {
  const std::vector<NamedTensor> p{{"w", w}};
  const auto set = [&](const char* key, auto& option) {
    if (f.has(key)) option = static_cast<std::remove_reference_t<decltype(option)>>(f.number(key));
  };
  const auto common = [&](auto& o) {
    set("lr", o.lr);
    set("weight_decay", o.weight_decay);
    if constexpr (requires { o.eps; }) set("eps", o.eps);
    if constexpr (requires { o.beta1; }) {
      set("beta1", o.beta1);
      set("beta2", o.beta2);
    }
    if constexpr (requires { o.momentum; }) set("momentum", o.momentum);
    if constexpr (requires { o.amsgrad; }) set("amsgrad", o.amsgrad);
    if constexpr (requires { o.decoupled; }) set("decoupled_weight_decay", o.decoupled);
  };
  const std::string kind = f.name.substr(0, f.name.find(' '));
  if (kind == "SGD") {
    SgdOptions o;
    common(o);
    set("dampening", o.dampening);
    set("nesterov", o.nesterov);
    return std::make_unique<SGD>(p, o);
  }
  if (kind == "Adam") {
    AdamOptions o;
    common(o);
    return std::make_unique<Adam>(p, o);
  }
  if (kind == "AdamW") {
    AdamOptions o;
    common(o);
    return std::make_unique<AdamW>(p, o);
  }
  if (kind == "NAdam") {
    AdamOptions o;
    common(o);
    set("momentum_decay", o.momentum_decay);
    return std::make_unique<NAdam>(p, o);
  }
  if (kind == "RAdam") {
    AdamOptions o;
    common(o);
    return std::make_unique<RAdam>(p, o);
  }
  if (kind == "Adamax") {
    AdamOptions o;
    common(o);
    return std::make_unique<Adamax>(p, o);
  }
  if (kind == "Adagrad") {
    AdagradOptions o;
    common(o);
    set("lr_decay", o.lr_decay);
    set("initial_accumulator_value", o.initial_accumulator);
    return std::make_unique<Adagrad>(p, o);
  }
  if (kind == "Adadelta") {
    AdadeltaOptions o;
    common(o);
    set("rho", o.rho);
    return std::make_unique<Adadelta>(p, o);
  }
  if (kind == "RMSprop") {
    RmspropOptions o;
    common(o);
    set("alpha", o.alpha);
    set("centered", o.centered);
    return std::make_unique<RMSprop>(p, o);
  }
  if (kind == "Lion") {
    LionOptions o;
    common(o);
    return std::make_unique<Lion>(p, o);
  }
  fail("optim_test: an unknown kind {}.", kind);
}

// One of each kind and each rule of the kernels.
std::vector<std::unique_ptr<Optimizer>> each_kind(const std::vector<NamedTensor>& p,
                                                  const Schedule& schedule = {}) {
  std::vector<std::unique_ptr<Optimizer>> all;
  const auto add = [&]<typename O, typename Options>(std::in_place_type_t<O>, Options o) {
    o.schedule = schedule;
    o.allow_unused = true;
    all.push_back(std::make_unique<O>(p, o));
  };
  add(std::in_place_type<SGD>, SgdOptions{.lr = 0.1});
  add(std::in_place_type<SGD>, SgdOptions{.lr = 0.1, .momentum = 0.5, .nesterov = true});
  add(std::in_place_type<Adam>, AdamOptions{.lr = 0.1});
  add(std::in_place_type<AdamW>, AdamOptions{.lr = 0.1, .weight_decay = 1e-4, .amsgrad = true});
  add(std::in_place_type<NAdam>, AdamOptions{.lr = 0.1});
  add(std::in_place_type<RAdam>, AdamOptions{.lr = 0.1});
  add(std::in_place_type<Adamax>, AdamOptions{.lr = 0.1});
  add(std::in_place_type<Adagrad>, AdagradOptions{.lr = 0.5});
  add(std::in_place_type<Adadelta>, AdadeltaOptions{.lr = 3});
  for (const bool centered : {false, true}) {
    for (const double momentum : {0., 0.5}) {
      add(std::in_place_type<RMSprop>,
          RmspropOptions{.lr = 0.01, .momentum = momentum, .centered = centered});
    }
  }
  add(std::in_place_type<Lion>, LionOptions{.lr = 0.02});
  return all;
}
constexpr size_t kKinds = 14;

std::vector<NamedTensor> one(const Tensor& w) { return {{"w", w}}; }

}  // namespace

TEST_CASE("ten steps are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("optim")) {
    INFO(f.name);
    ++cases;
    Tensor w = f.leaf("start");
    const auto optimizer = make(f, w);
    const Tensor gradients = f.tensor("gradients"), path = f.tensor("path");
    for (int64_t t = 0; t < 10; ++t) {
      w.zero_grad();
      if (static_cast<double>(t) < f.number("late")) {
        CHECK_THROWS_AS(optimizer->step(), Error);
      } else {
        w.set_grad(gradients.rows(t, t + 1).view({4}));
        optimizer->step();
      }
      check_close(w.detach(), path.rows(t, t + 1).view({4}), w.dtype() == f32 ? 3e-6 : 1e-13);
    }
  }
  CHECK(cases == 138);
}

TEST_CASE("each parameter counts its own steps") {
  // A parameter that starts at step 4 goes the way of one that starts at once.
  const auto ways = [](auto make_optimizer) {
    Tensor early = Tensor::ones({3}, f64).requires_grad_(),
           late = early.detach().clone().requires_grad_();
    auto optimizer = make_optimizer(std::vector<NamedTensor>{{"early", early}, {"late", late}});
    const Tensor g = Tensor::of<double>({1, -2, 0.5});
    std::vector<Values> way;
    for (int t = 0; t < 8; ++t) {
      early.set_grad(g);
      if (t >= 4) late.set_grad(g);
      optimizer.step();
      if (t < 4) {
        way.push_back(early.values());
        CHECK(late.values() == Values{1, 1, 1});
      } else {
        CHECK(late.values() == way[t - 4]);
      }
    }
    CHECK(optimizer.steps() == 8);
  };
  ways([](auto p) { return Adam(p, {.lr = 0.1, .allow_unused = true}); });
  ways([](auto p) {
    return SGD(p, {.lr = 0.1, .momentum = 0.9, .dampening = 0.5, .allow_unused = true});
  });
}

TEST_CASE("the schedule is the optimizer's: step t goes by lr schedule(t), from t = 0") {
  const std::vector<double> factors{1, 0.5, 0, 2};
  const Schedule schedule = [&](double t) { return factors.at(static_cast<size_t>(t)); };
  Tensor w = Tensor::of<double>({0}).requires_grad_();
  SGD sgd(one(w), {.lr = 0.25, .schedule = schedule});
  Values way;
  for (int t = 0; t < 4; ++t) {
    w.set_grad(Tensor::full({1}, -1, f64));
    if (t == 3) sgd.set_lr(1);
    sgd.step();
    way.push_back(w.item());
  }
  CHECK(way == Values{0.25, 0.375, 0.375, 2.375});
  CHECK(sgd.lr() == 1);

  // Groups, and decay that is multiplied by lr, have the factor too.
  Tensor a = Tensor::ones({1}, f64).requires_grad_(), b = Tensor::ones({1}, f64).requires_grad_();
  AdamW adam({{"a", a}, {"b", b}}, {.lr = 0.5,
                                    .weight_decay = 0.5,
                                    .schedule = [](double) { return 0.5; },
                                    .groups = {{.pattern = "b", .lr = 1}}});
  a.set_grad(Tensor::zeros({1}, f64));
  b.set_grad(Tensor::zeros({1}, f64));
  adam.step();
  CHECK(a.item() == 0.875);
  CHECK(b.item() == 0.75);

  for (const double wrong : {-0.5, static_cast<double>(NAN), HUGE_VAL}) {
    SGD bad(one(w), {.schedule = [=](double) { return wrong; }});
    const Values before = w.values();
    CHECK(message([&] { bad.step(); }) ==
          fmt::format("SGD: expected the schedule >= 0, finite; got {}.", wrong));
    CHECK(w.values() == before);
    CHECK(bad.steps() == 0);
  }
}

TEST_CASE("with a schedule of one's own or by hand: the same bits") {
  for (size_t kind = 0; kind < kKinds; ++kind) {
    Tensor a = Tensor::ones({5}).requires_grad_(), b = Tensor::ones({5}).requires_grad_();
    const auto by_hand = std::move(each_kind(one(a))[kind]);
    const auto scheduled = std::move(each_kind(one(b), cosine_decay(6, 0.125))[kind]);
    const double lr = by_hand->lr();
    for (int t = 0; t < 8; ++t) {
      Rng rng(static_cast<uint64_t>(t));
      a.set_grad(rng.normal({5}));
      b.set_grad(a.grad());
      by_hand->set_lr(lr * cosine_decay(6, 0.125)(t));
      by_hand->step();
      scheduled->step();
      CHECK(a.values() == b.values());
    }
  }
}

TEST_CASE("a module, a list of leaves, several modules: each leaf once") {
  const auto names = [](Optimizer& o) {
    std::string all;
    for (const NamedTensor& t : o.state()) all += t.name + " ";
    return all;
  };
  const SgdOptions momentum{.momentum = 0.5};
  Sequential g{Dense(2, 2), ReLU{}}, d{Dense(2, 1)};
  SGD of_module(g, momentum), of_leaves(g.parameters(), momentum),
      of_named(g.named_parameters(), momentum), of_two({{"g", g}, {"d", d}}, momentum);
  CHECK(names(of_module) == "0.weight.velocity 0.bias.velocity steps lr ");
  CHECK(names(of_named) == names(of_module));
  CHECK(names(of_leaves) == "0.velocity 1.velocity steps lr ");
  CHECK(names(of_two) ==
        "g.0.weight.velocity g.0.bias.velocity d.0.weight.velocity d.0.bias.velocity steps lr ");
  backward(sum(d(g(Tensor::ones({1, 2})))));
  of_two.step();
  SGD rest({{"g", g}, {"d", d}}, momentum);
  rest.load_state(of_two.state());
  CHECK(rest.steps() == 1);
  CHECK(rest.state()[2].tensor.values() == of_two.state()[2].tensor.values());

  // The same one twice, and two of one name.
  SGD same({{"g", g}, {"again", g}}, momentum);
  CHECK(names(same) == "g.0.weight.velocity g.0.bias.velocity steps lr ");
  CHECK(message([&] {
          SGD({{"g", g}, {"g", d}});
        }) == "SGD: two parameters are named \"g.0.weight\", [2, 2] and [2, 1].");

  Tensor w = Tensor::of<float>({1}).requires_grad_();
  SGD tied({{"a", w}, {"b", w}}, {.lr = 1});
  w.set_grad(Tensor::of<float>({0.25}));
  tied.step();
  CHECK(w.item() == 0.75);
}

TEST_CASE("frozen under an optimizer: skipped, and trained again when it thaws") {
  for (size_t kind = 0; kind < kKinds; ++kind) {
    INFO(kind);
    Sequential net{Dense(3, 4, ReLU{}), Dense(4, 2)};
    net[0].freeze();  // before the optimizer is made
    const auto optimizer = std::move(each_kind(net.named_parameters())[kind]);
    const auto train = [&] {
      backward(sum(net(Tensor::ones({1, 3}))));
      optimizer->step();
      optimizer->zero_grad();
    };
    const auto values = [&](int i) { return net.get<Dense>(i).bias.values(); };
    const Values first = values(0), second = values(1);
    train();
    CHECK(values(0) == first);
    CHECK(values(1) != second);
    net.freeze(false);
    net.get<Dense>(0).bias.detach().fill_(1);  // no unit is dead
    train();
    CHECK(values(0) != Values(4, 1));
    // With a gradient that waits: it does not move by it.
    backward(sum(net(Tensor::ones({1, 3}))));
    net[0].freeze();
    const Values frozen = values(0);
    optimizer->step();
    optimizer->zero_grad();
    train();
    CHECK(values(0) == frozen);
    net[0].freeze(false);
    train();
    CHECK(values(0) != frozen);
  }
}

TEST_CASE("tied weights stay tied through freezing") {
  // w moves by 0.1 (1 + 1) a step; two of three steps are taken.
  Tensor w = Tensor::of<double>({1}).requires_grad_();
  SGD sgd({{"a", w}, {"b", w}}, {.lr = 0.1});
  const Tensor other = w;
  for (int t = 0; t < 3; ++t) {
    w.requires_grad_(t != 1);
    Tensor free = Tensor::ones({1}, f64).requires_grad_();
    backward(sum(w + other + free));
    sgd.step();
    sgd.zero_grad();
  }
  CHECK(w.item() == doctest::Approx(0.6));
  CHECK(other.item() == w.item());
}

TEST_CASE("a GAN: the discriminator is frozen for the generator's step") {
  seed_layers(1);
  Sequential g{Dense(2, 2)}, d{Dense(2, 4, Tanh{}), Dense(4, 1)};
  Adam of_g(g, {.lr = 0.1}), of_d(d, {.lr = 0.1});
  Rng rng(1);
  const auto values = [](Module& m) {
    std::vector<Values> all;
    for (const Tensor& p : m.parameters()) all.push_back(p.values());
    return all;
  };
  for (int t = 0; t < 3; ++t) {
    const Tensor z = rng.normal({8, 2}), real = rng.normal({8, 2}) + 3;
    const auto g0 = values(g), d0 = values(d);
    d.freeze();
    backward(mean(-d(g(z))));
    of_g.step();
    of_g.zero_grad();
    CHECK(values(g) != g0);
    CHECK(values(d) == d0);
    d.freeze(false);
    const auto g1 = values(g);
    backward(mean(d(g(z).detach())) - mean(d(real)));
    of_d.step();
    of_d.zero_grad();
    CHECK(values(g) == g1);
    CHECK(values(d) != d0);
  }
}

TEST_CASE("parameters without a gradient are an error that names them") {
  Sequential net{Dense(2, 2), Dense(2, 2)};
  Adam adam(net);
  const auto half = [&] { backward(sum(net[0](Tensor::ones({1, 2})))); };
  half();
  const Values before = net.get<Dense>(0).bias.values();
  CHECK(message([&] { adam.step(); }) ==
        "Adam: step() found no gradient for \"1.weight\" [2, 2], \"1.bias\" [2]. Hint: freeze() "
        "what forward() does not use, or .allow_unused = true.");
  CHECK(adam.steps() == 0);
  CHECK(net.get<Dense>(0).bias.values() == before);
  net[1].freeze();
  adam.step();
  adam.zero_grad();
  net[1].freeze(false);
  Adam lenient(net, {.allow_unused = true});
  CHECK(message([&] { lenient.step(); }) ==
        "Adam: step() found no gradient in any of 4 parameters. Hint: backward() comes before it.");
  half();
  lenient.step();
  lenient.zero_grad();
  net.freeze();
  adam.step();  // nothing is to be trained, and nothing is

  Sequential deep;
  for (int i = 0; i < 5; ++i) deep.add(Dense(1, 1));
  SGD sgd(deep);
  backward(sum(deep[0](Tensor::ones({1, 1}))));
  CHECK(message([&] { sgd.step(); }).find("\"3.bias\" [1] and 2 more. Hint") != std::string::npos);
}

TEST_CASE("a gradient that was stepped on is not added to") {
  Tensor w = Tensor::of<double>({1}).requires_grad_();
  SGD sgd(one(w), {.lr = 1});
  backward(sum(w * w));
  sgd.step();
  CHECK(message([&] { backward(sum(w * w)); }).find("zero_grad() after step()") !=
        std::string::npos);
  sgd.zero_grad();
  backward(sum(w * w));
  backward(sum(w * w));  // two batches for one step
  sgd.step();
}

TEST_CASE("a layer that fields() forgets, a model that is copied back, a model in another dtype") {
  struct Forgetful final : Module {
    Dense a{2, 3}, b{3, 1};
    Tensor forward(const Tensor& x) override { return b(a(x)); }
    void fields(Fields& f) override { f.child("a", a); }
  } forgetful;
  SGD sgd(forgetful);
  backward(sum(forgetful(Tensor::ones({1, 2}))));
  const std::string text = message([&] { sgd.step(); });
  CHECK(text.starts_with("SGD: parameters got a gradient, but are in no fields():"));
  CHECK(text.find("[3, 1]") != std::string::npos);
  CHECK(text.find("[1]") != std::string::npos);

  Sequential net{Dense(2, 1)};
  const Tensor x = Tensor::ones({1, 2});
  Adam adam(net, {.lr = 0.1});
  const auto train = [&] {
    backward(sum(net(x)));
    adam.step();
    adam.zero_grad();
  };
  const Sequential best = net;
  const double before = net(x).item();
  train();
  CHECK(net(x).item() < before);
  net = best;
  CHECK(net(x).item() == before);
  train();
  CHECK(net(x).item() < before);

  net.to(f64);
  backward(sum(net(x.to(f64))));
  CHECK(message([&] { adam.step(); }) ==
        "Adam: other tensors stand in the place of \"0.weight\" [2, 1], \"0.bias\" [1] now. Hint: "
        "take the parameters after to().");
  Adam again(net, {.lr = 0.1});
  again.step();
}

TEST_CASE("what is in no fields(), or was replaced, is an error") {
  Tensor w = Tensor::ones({2}).requires_grad_(), forgotten = Tensor::ones({2}).requires_grad_();
  mark_parameter(forgotten);
  mark_parameter(w);
  SGD sgd(one(w));
  backward(sum(w * forgotten));
  CHECK(message([&] { sgd.step(); }) ==
        "SGD: parameters got a gradient, but are in no fields(): [2]. Hint: f.param(\"w\", w) or "
        "f.child(\"layer\", layer) there.");
  sgd.zero_grad();
  backward(sum(w * w));
  sgd.step();
  CHECK(sgd.steps() == 1);

  mark_replaced(w);
  CHECK(message([&] { sgd.step(); }) ==
        "SGD: other tensors stand in the place of \"w\" [2] now. Hint: take the parameters after "
        "to().");
}

TEST_CASE("a step is announced: a tape that needs the old values fails") {
  Tensor w = Tensor::of<float>({1, 2}).requires_grad_();
  SGD sgd(one(w), {.lr = 0.1});
  const Tensor loss = sum(w * w);
  backward(loss, {}, {.retain_graph = true});
  sgd.step();
  CHECK_THROWS_AS(backward(loss), Error);
}

TEST_CASE("equal bits for 1 and 2 threads, with pieces of many sizes") {
  for (size_t kind = 0; kind < kKinds; ++kind) {
    check_equal_bits([kind] {
      Rng rng(1);
      std::vector<NamedTensor> p;
      for (const int64_t n : {1, 100, 16384, 16385, 50000, 0, 7}) {
        p.push_back({std::to_string(n), rng.normal({n}).requires_grad_()});
      }
      const auto optimizer = std::move(each_kind(p)[kind]);
      for (int t = 0; t < 3; ++t) {
        for (NamedTensor& w : p) w.tensor.set_grad(rng.normal(w.tensor.shape()));
        optimizer->step();
      }
      std::vector<Tensor> all;
      for (const NamedTensor& w : p) all.push_back(w.tensor);
      return all;
    });
  }
}

TEST_CASE("a quadratic is minimized") {
  const Tensor target = Tensor::of<double>({1, -2, 3});
  for (size_t kind = 0; kind < kKinds; ++kind) {
    INFO(kind);
    Tensor w = Tensor::zeros({3}, f64).requires_grad_();
    const auto optimizer = std::move(each_kind(one(w))[kind]);
    const double lr = optimizer->lr();
    const Schedule factor = polynomial_decay(800);
    for (int t = 0; t < 800; ++t) {
      optimizer->set_lr(lr * factor(t));
      optimizer->zero_grad();
      backward(sum((w - target) * (w - target)));
      optimizer->step();
    }
    for (size_t i = 0; i < 3; ++i)
      CHECK(w.values()[i] == doctest::Approx(target.values()[i]).epsilon(2e-3));
  }
}

TEST_CASE("gradients that are 0, NaN or inf; size 1; no elements") {
  for (const DType dtype : {f32, f64}) {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      INFO(kind);
      Tensor w = Tensor::ones({3}, dtype).requires_grad_();
      Tensor none = Tensor::ones({0, 2}, dtype).requires_grad_();
      const auto optimizer = std::move(each_kind({{"w", w}, {"none", none}})[kind]);
      none.set_grad(Tensor::zeros({0, 2}, dtype));
      w.set_grad(Tensor::zeros({3}, dtype));
      optimizer->step();
      for (const double v : w.values()) CHECK(v == doctest::Approx(1).epsilon(1e-4));  // decay
      Tensor g = Tensor::ones({3}, dtype);
      g.rows(0, 1).fill_(NAN);
      g.rows(1, 2).fill_(HUGE_VAL);
      w.set_grad(g);
      optimizer->step();
      CHECK(std::isnan(w.values()[0]));
      CHECK(!(w.values()[1] > 1));
      CHECK(w.values()[2] < 1);
      CHECK(w.values()[2] > -3);

      Tensor single = Tensor::ones({}, dtype).requires_grad_();
      const auto of_one = std::move(each_kind(one(single))[kind]);
      single.set_grad(Tensor::ones({}, dtype));
      of_one->step();
      CHECK(single.item() < 1);
    }
  }
}

TEST_CASE("a constant gradient: the variance of centered RMSprop does not fall below 0") {
  for (const DType dtype : {f32, f64}) {
    Rng rng(5);
    Tensor w = Tensor::ones({100}, dtype).requires_grad_();
    w.set_grad(rng.normal({100}, 0, 1).to(dtype));
    RMSprop rmsprop(one(w), {.alpha = 0.5, .centered = true});
    for (int t = 0; t < 200; ++t) rmsprop.step();
    for (const double v : w.values()) CHECK(!std::isnan(v));
  }
}

TEST_CASE("groups: own rates and decays by name") {
  Sequential net{Dense(2, 2), PReLU(2), Dense(2, 1)};
  const auto steps = [&](std::vector<ParameterGroup> groups, double rate) {
    SGD sgd(net, {.lr = 0.5, .weight_decay = 0.25, .groups = std::move(groups)});
    sgd.set_lr(rate);
    Values way;
    for (const NamedTensor& p : net.named_parameters()) {
      Tensor w = p.tensor;
      w.detach().fill_(1);
      w.set_grad(Tensor::full(w.shape(), 2));
    }
    sgd.step();
    for (const NamedTensor& p : net.named_parameters()) way.push_back(1 - p.tensor.values()[0]);
    return way;  // of 0.weight, 0.bias, 1.slope, 2.weight, 2.bias
  };
  // w -= rate (2 + decay w); a slope does not decay by itself.
  CHECK(steps({}, 0.5) == Values{1.125, 1.125, 1, 1.125, 1.125});
  CHECK(steps({{.pattern = "*.bias", .weight_decay = 0}}, 0.5) == Values{1.125, 1, 1, 1.125, 1});
  CHECK(steps({{.pattern = "*", .weight_decay = 0.5}}, 0.5) ==
        Values{1.25, 1.25, 1.25, 1.25, 1.25});
  // The ratio of the rates stays, and the last group wins.
  CHECK(steps({{.pattern = "2.*", .lr = 0.25}, {.pattern = "?.bias", .lr = 1, .weight_decay = 0}},
              0.25) == Values{0.5625, 1, 0.5, 0.28125, 1});
  CHECK(steps({{.pattern = "0.weight", .lr = 0}}, 0.5)[0] == 0);
  CHECK(steps({{.pattern = "*w*g*", .lr = 1}}, 0.5) == Values{2.25, 1.125, 1, 2.25, 1.125});

  const auto text = [&](const ParameterGroup& group, double lr = 1) {
    return message([&] { Adam(net, {.lr = lr, .groups = {group}}); });
  };
  CHECK(
      text({.pattern = "*.biass"}) ==
      "Adam: the pattern of a group must match a parameter's name; got \"*.biass\" and "
      "\"0.weight\" [2, 2], \"0.bias\" [2], \"1.slope\" [2], \"2.weight\" [2, 1], \"2.bias\" [1].");
  CHECK(text({.pattern = ""}).find("got \"\" and \"0.weight\"") != std::string::npos);
  CHECK(text({.pattern = "?.bia"}).find("must match") != std::string::npos);
  CHECK(text({.pattern = "*", .lr = -1}) == "Adam: expected a group's lr >= 0, finite; got -1.");
  CHECK(text({.pattern = "*", .weight_decay = NAN}) ==
        "Adam: expected a group's weight_decay >= 0, finite; got nan.");
  CHECK(text({.pattern = "*", .lr = 1}, 0) ==
        "Adam: with a group's lr the other lr must be above 0; got 0.");
}

TEST_CASE("the state, saved and loaded, goes on with the same bits") {
  const Scratch folder;
  const std::string file = folder.path("state.safetensors");
  for (const DType dtype : {f32, f64}) {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      INFO(kind);
      const auto parameters = [&] {
        return std::vector<NamedTensor>{{"a", Tensor::ones({3}, dtype).requires_grad_()},
                                        {"b", Tensor::ones({2, 1}, dtype).requires_grad_()}};
      };
      const auto walk = [&](const std::vector<NamedTensor>& p, Optimizer& o, int from, int to) {
        for (int t = from; t < to; ++t) {
          Rng rng(static_cast<uint64_t>(t));
          Tensor a = p[0].tensor, b = p[1].tensor;
          a.set_grad(rng.normal({3}).to(dtype));
          if (t >= 3) b.set_grad(rng.normal({2, 1}).to(dtype));
          o.step();
        }
      };
      const std::vector<NamedTensor> p = parameters(), q = parameters(), r = parameters();
      const Schedule falls = cosine_decay(10);
      const auto whole = std::move(each_kind(p, falls)[kind]),
                 half = std::move(each_kind(q, falls)[kind]),
                 rest = std::move(each_kind(r, falls)[kind]);
      whole->set_lr(0.03);
      half->set_lr(0.03);
      walk(p, *whole, 0, 10);
      walk(q, *half, 0, 5);
      save_safetensors(file, half->state());
      rest->load_state(load_safetensors(file));
      CHECK(rest->steps() == 5);
      CHECK(rest->lr() == 0.03);
      for (size_t i = 0; i < 2; ++i) Tensor(r[i].tensor.detach()).copy_(q[i].tensor.detach());
      walk(r, *rest, 5, 10);
      for (size_t i = 0; i < 2; ++i) CHECK(r[i].tensor.values() == p[i].tensor.values());
      const std::vector<NamedTensor> one_way = whole->state(), other = rest->state();
      REQUIRE(one_way.size() == other.size());
      for (size_t i = 0; i < other.size(); ++i) {
        CHECK(one_way[i].name == other[i].name);
        CHECK(one_way[i].tensor.values() == other[i].tensor.values());
      }
    }
  }
}

TEST_CASE("a state that does not fit changes nothing") {
  Tensor w = Tensor::ones({2}).requires_grad_();
  Adam adam(one(w), {.lr = 0.1});
  w.set_grad(Tensor::ones({2}));
  adam.step();
  std::vector<NamedTensor> state = adam.state();
  CHECK(state.size() == 4);
  state[0] = {"w.m", Tensor::zeros({3})};
  state[3] = {"speed", Tensor::zeros({})};
  CHECK(message([&] { adam.load_state(state); }) ==
        "load_state: the state and the optimizer must agree; \"w.m\" is [2] in the optimizer and "
        "[3] in the state; \"lr\" [] is missing; \"speed\" [] is not in the optimizer. Hint: is "
        "it the same architecture?");
  CHECK(adam.steps() == 1);
  CHECK(adam.lr() == 0.1);
  CHECK(adam.state()[0].tensor.values()[0] == doctest::Approx(0.1));
  SGD sgd(one(w));
  CHECK_THROWS_AS(sgd.load_state(adam.state()), Error);

  const auto with = [&](size_t i, const Tensor& value) {
    std::vector<NamedTensor> changed = adam.state();
    changed[0].tensor = Tensor::zeros({2});
    changed[i].tensor = value;
    return message([&] { adam.load_state(changed); });
  };
  CHECK(with(3, Tensor::scalar(NAN, f64)) == "Adam: expected saved lr >= 0, finite; got nan.");
  CHECK(with(3, Tensor::scalar(-1, f64)) == "Adam: expected saved lr >= 0, finite; got -1.");
  CHECK(with(2, Tensor::of<int64_t>({-1, 1})) ==
        "Adam: expected saved steps >= 0, finite; got -1.");
  CHECK(with(2, Tensor::of<int64_t>({1, -5})) != "");
  CHECK(adam.steps() == 1);
  CHECK(adam.lr() == 0.1);
  CHECK(adam.state()[0].tensor.values()[0] == doctest::Approx(0.1));
}

TEST_CASE("lr can change, and is checked") {
  Tensor w = Tensor::of<float>({1}).requires_grad_();
  SGD sgd(one(w), {.lr = 1});
  CHECK(sgd.lr() == 1);
  sgd.set_lr(0.5);
  w.set_grad(Tensor::ones({1}));
  sgd.step();
  CHECK(w.item() == 0.5);
  sgd.set_lr(0);
  sgd.step();
  CHECK(w.item() == 0.5);
  for (const double wrong : {-0.1, static_cast<double>(NAN), HUGE_VAL}) {
    const std::string text = fmt::format(": expected lr >= 0, finite; got {}.", wrong);
    CHECK_THROWS_WITH_AS(sgd.set_lr(wrong), ("SGD" + text).c_str(), Error);
    CHECK_THROWS_WITH_AS(SGD(one(w), {.lr = wrong}), ("SGD" + text).c_str(), Error);
    CHECK_THROWS_WITH_AS(Adam(one(w), {.lr = wrong}), ("Adam" + text).c_str(), Error);
  }
  CHECK(sgd.lr() == 0);
}

TEST_CASE("a user's mistakes") {
  Tensor w = Tensor::of<float>({1}).requires_grad_();
  for (const double wrong : {-0.1, static_cast<double>(NAN)}) {
    CHECK_THROWS_AS(SGD(one(w), {.momentum = wrong}), Error);
    CHECK_THROWS_AS(SGD(one(w), {.dampening = wrong}), Error);
    CHECK_THROWS_AS(SGD(one(w), {.weight_decay = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.beta1 = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.beta2 = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.eps = wrong}), Error);
    CHECK_THROWS_AS(Adam(one(w), {.weight_decay = wrong}), Error);
  }
  CHECK_THROWS_WITH_AS(Adam(one(w), {.beta1 = 1}), "Adam: expected beta1 in [0, 1); got 1.", Error);
  CHECK_THROWS_AS(Adam(one(w), {.beta2 = 1}), Error);
  for (const double wrong : {-0.1, static_cast<double>(NAN)}) {
    CHECK_THROWS_AS(NAdam(one(w), {.momentum_decay = wrong}), Error);
    CHECK_THROWS_AS(Adagrad(one(w), {.lr_decay = wrong}), Error);
    CHECK_THROWS_AS(Adagrad(one(w), {.initial_accumulator = wrong}), Error);
    CHECK_THROWS_AS(Adagrad(one(w), {.eps = wrong}), Error);
    CHECK_THROWS_AS(Adadelta(one(w), {.rho = wrong}), Error);
    CHECK_THROWS_AS(Adadelta(one(w), {.eps = wrong}), Error);
    CHECK_THROWS_AS(RMSprop(one(w), {.alpha = wrong}), Error);
    CHECK_THROWS_AS(RMSprop(one(w), {.eps = wrong}), Error);
    CHECK_THROWS_AS(RMSprop(one(w), {.momentum = wrong}), Error);
    CHECK_THROWS_AS(Lion(one(w), {.beta1 = wrong}), Error);
    CHECK_THROWS_AS(Lion(one(w), {.beta2 = wrong}), Error);
  }
  CHECK(message([&] { AdamW(one(w), {.eps = -1}); }) ==
        "AdamW: expected eps >= 0, finite; got -1.");
  CHECK(message([&] { Adamax(one(w), {.amsgrad = true}); }) ==
        "Adamax: amsgrad is an option of Adam and AdamW, momentum_decay of NAdam.");
  CHECK_THROWS_AS(RAdam(one(w), {.amsgrad = true}), Error);
  CHECK_THROWS_AS(NAdam(one(w), {.amsgrad = true}), Error);
  CHECK_THROWS_AS(Adam(one(w), {.momentum_decay = 4e-3}), Error);
  CHECK(message([&] { RAdam(one(w), {.beta2 = 1}); }) == "RAdam: expected beta2 in [0, 1); got 1.");
  CHECK(message([&] { Adamax(one(w), {.weight_decay = -1}); }) ==
        "Adamax: expected weight_decay >= 0, finite; got -1.");
  CHECK_THROWS_WITH_AS(SGD(one(w), {.nesterov = true}),
                       "SGD: Nesterov needs momentum above 0 and no dampening; got momentum 0 and "
                       "dampening 0.",
                       Error);
  CHECK_THROWS_AS(SGD(one(w), {.momentum = 0.9, .dampening = 0.1, .nesterov = true}), Error);
  CHECK(message([&] { Adam(one(Tensor::ones({1}))); }) ==
        "Adam: expected leaves; got \"w\" [1], which requires no gradient. Hint: "
        "w.requires_grad_().");
  CHECK(message([&] { Adam(one(w * w)); }) ==
        "Adam: expected leaves; got \"w\" [1], which is a result of mul. Hint: "
        "w.detach().requires_grad_().");
  CHECK(message([&] { SGD(std::vector<NamedTensor>{}); }) ==
        "SGD: expected parameters; got none. Hint: does fields() name them?");
  CHECK_THROWS_WITH_AS(
      SGD(one({})), "SGD: w is undefined (moved from, or never set). Hint: give it a value first.",
      Error);

  Dense layer(2, 2);
  Adam adam(layer);
  CHECK_THROWS_WITH_AS(adam.step(),
                       "Adam: step() found no gradient in any of 2 parameters. Hint: backward() "
                       "comes before it.",
                       Error);
  layer.to(f64);  // the optimizer still has the old leaves
  backward(sum(layer(Tensor::ones({1, 2}, f64))));
  CHECK_THROWS_AS(adam.step(), Error);
  CHECK(adam.steps() == 0);
}
