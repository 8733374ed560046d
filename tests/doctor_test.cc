#include "ramp/train/doctor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numbers>

#include "message.h"
#include "ramp/ramp.h"

using namespace ramp;

namespace {

using Loss = std::function<Tensor(const Dataset& batch)>;

struct Run {
  int64_t epochs = 2, batch = 32;
  Loss loss = nullptr;  // cross_entropy(net(x), y)
  std::function<void(const Dataset& data)> validate = nullptr;
  bool steps_by_hand = false;  // and never clears the gradients
};

// Trains as a user would.
std::vector<Finding> diagnosis(Module& net, Optimizer& optimizer, const Dataset& data,
                               const Run& run = {}) {
  Doctor doctor(net);
  const Batches batches(data, {.size = run.batch, .seed = 5});
  for (int64_t epoch = 0; epoch < run.epochs; ++epoch) {
    for (const auto& batch : batches.epoch(epoch)) {
      const Tensor loss = run.loss ? run.loss(batch) : cross_entropy(net(batch.x), batch.y);
      loss.backward();
      if (run.steps_by_hand) {
        const NoGrad no_grad;
        for (Tensor w : net.parameters()) w.add_(w.grad(), -0.01);
      } else {
        optimizer.step();
      }
      doctor.after_step(batch, loss);
      if (!run.steps_by_hand) optimizer.zero_grad();
      if (!std::isfinite(loss.item())) break;
    }
    doctor.epoch_end();
    if (run.validate) run.validate(data.rows(0, 100));
  }
  return doctor.findings();
}

// Digits [n, 28, 28, 1], 0..1.
const Dataset& digits() {
  static const Dataset all = load_mnist("mnist", Split::test).rows(0, 2000);
  return all;
}
Dataset shuffled_labels() {
  return {digits().x, take(digits().y, Rng(7).permutation(digits().size()))};
}

Sequential mlp(const Activation& f = ReLU{}) {
  return Sequential{Flatten{}, Dense(784, 64, f), Dense(64, 32, f), Dense(32, 10)};
}
Sequential deep(int layers, const Activation& f) {
  Sequential net{Flatten{}, Dense(784, 32, f)};
  for (int i = 0; i < layers; ++i) net.add(Dense(32, 32, f));
  net.add(Dense(32, 10));
  return net;
}
Sequential with_weights(Sequential net, double factor) {
  const NoGrad no_grad;
  for (NamedTensor& p : net.named_parameters())
    if (p.tensor.rank() > 1) p.tensor.mul_(factor);
  return net;
}

Dataset moons(int64_t n, uint64_t seed) {
  Rng rng(seed);
  const Tensor angle = rng.uniform({n}, 0, std::numbers::pi), noise = rng.normal({n, 2}, 0, 0.12);
  Tensor x = Tensor::empty({n, 2}), y = Tensor::empty({n}, i64);
  for (int64_t i = 0; i < n; ++i) {
    const bool lower = i % 2 == 1;
    const float a = angle.data<float>()[i], *e = noise.data<float>() + 2 * i;
    x.mutable_data<float>()[2 * i] = (lower ? 1 - std::cos(a) : std::cos(a)) + e[0];
    x.mutable_data<float>()[2 * i + 1] = (lower ? 0.5f - std::sin(a) : std::sin(a)) + e[1];
    y.mutable_data<int64_t>()[i] = lower;
  }
  return {x, y};
}
// Four quadrants, of which opposite ones are of one class: nothing for a straight line.
Dataset quadrants(int64_t n) {
  const Tensor x = Rng(1).normal({n, 2});
  Tensor y = Tensor::empty({n}, i64);
  for (int64_t i = 0; i < n; ++i)
    y.mutable_data<int64_t>()[i] = (x.at({i, 0}) > 0) != (x.at({i, 1}) > 0);
  return {x, y};
}
Dataset curve(int64_t n) {
  Rng rng(3);
  const Tensor x = rng.uniform({n, 1}, -2, 2);
  return {x, sin(x * 3) + rng.normal({n, 1}, 0, 0.1)};
}

// Sixteen words of 2000, by a law of one over their rank; some belong to a class.
Dataset words(int64_t n) {
  Rng rng(4);
  const Tensor u = rng.uniform({n, 16}), y = rng.randint({n}, 0, 8);
  Tensor x = Tensor::empty({n, 16}, i64);
  for (int64_t i = 0; i < n * 16; ++i) {
    const auto word = static_cast<int64_t>(std::pow(250, u.data<float>()[i])) - 1;
    const int64_t label = y.data<int64_t>()[i / 16];
    x.mutable_data<int64_t>()[i] = i % 4 == 0 ? word * 8 + label : word;
  }
  return {x, y};
}

using Findings = std::vector<Finding>;
Findings by_sgd(Sequential net, double lr, const Dataset& data = digits(), const Run& run = {}) {
  SGD sgd(net, {.lr = lr});
  return diagnosis(net, sgd, data, run);
}
Findings by_adam(Sequential net, double lr, const Dataset& data = digits(), const Run& run = {}) {
  Adam adam(net, {.lr = lr});
  return diagnosis(net, adam, data, run);
}

struct Fault {
  const char *code, *planted;
  std::function<Findings()> run;
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {"inputs_not_normalized", "pixels from 0 to 255",
       [] {
         return by_adam(mlp(), 1e-3, {digits().x * 255, digits().y});
       }},
      {"inputs_not_normalized", "temperatures in kelvin: 293 +- 5",
       [] {
         const auto [x, y] = moons(1000, 1);
         return by_adam(Sequential{Dense(2, 16, ReLU{}), Dense(16, 2)}, 1e-2, {x * 5 + 293, y});
       }},
      {"inputs_not_finite", "one NaN among the pixels",
       [] {
         Tensor x = digits().x.clone();
         x.mutable_data<float>()[28 * 28 * 5 + 300] = NAN;
         return by_adam(mlp(), 1e-3, {x, digits().y});
       }},
      {"targets_not_normalized", "a regression on prices of 300,000 +- 70,000",
       [] {
         Sequential net{Dense(1, 32, ReLU{}), Dense(32, 1)};
         const auto [x, y] = curve(1000);
         Adam adam(net, {.lr = 1e-2});
         return diagnosis(net, adam, {x, y * 1e5 + 3e5},
                          {.loss = [&](const Dataset& b) { return mse_loss(net(b.x), b.y); }});
       }},
      {"softmax_before_cross_entropy", "exp(z) / sum(exp(z)) at the end of the model",
       [] {
         Sequential net = mlp();
         Adam adam(net, {.lr = 1e-3});
         struct Probabilities final : Module {
           Sequential* body;
           explicit Probabilities(Sequential* net) : body(net) {}
           Tensor forward(const Tensor& x) override {
             const Tensor e = exp((*body)(x));
             return e / sum(e, -1, {.keepdims = true});
           }
           void fields(Fields& f) override { f.child("body", *body); }
         } model(&net);
         return diagnosis(model, adam, digits());
       }},
      {"gradients_not_cleared", "steps by hand, without zero_grad()",
       [] { return by_sgd(mlp(), 0.01, digits(), {.steps_by_hand = true}); }},
      {"eval_mode_in_training", "net.eval() before training",
       [] {
         Sequential net{Flatten{}, Dense(784, 64), BatchNorm(64, ReLU{}), Dropout(0.2),
                        Dense(64, 10)};
         net.eval();
         return by_adam(net, 1e-3);
       }},
      {"train_mode_in_validation", "accuracy(net(x), y) between the epochs, with dropout",
       [] {
         Sequential net{Flatten{}, Dense(784, 64, ReLU{}), Dropout(0.5), Dense(64, 10)};
         Adam adam(net, {.lr = 1e-3});
         return diagnosis(net, adam, digits(), {.validate = [&](const Dataset& valid) {
                            for (int i = 0; i < 3; ++i) accuracy(net(valid.x), valid.y);
                          }});
       }},
      {"train_mode_in_validation", "the same under NoGrad, with batch norm",
       [] {
         Sequential net{Flatten{}, Dense(784, 64), BatchNorm(64, ReLU{}), Dense(64, 10)};
         Adam adam(net, {.lr = 1e-3});
         return diagnosis(net, adam, digits(), {.validate = [&](const Dataset& valid) {
                            const NoGrad no_grad;
                            for (int i = 0; i < 3; ++i) accuracy(net(valid.x), valid.y);
                          }});
       }},
      {"exploding_gradients", "12 layers, weights of three times He's size",
       [] { return by_sgd(with_weights(deep(10, ReLU{}), 3), 1e-3); }},
      {"lr_too_high", "SGD with lr = 3", [] { return by_sgd(mlp(), 3); }},
      {"lr_too_high", "SGD with lr = 10,000: NaN", [] { return by_sgd(mlp(), 1e4); }},
      {"lr_too_high", "Adam with lr = 0.3", [] { return by_adam(mlp(), 0.3); }},
      {"saturated_units", "tanh, weights of 20 times their size",
       [] { return by_adam(with_weights(mlp(Tanh{}), 20), 1e-3); }},
      {"vanishing_gradients", "ten layers of sigmoids",
       [] { return by_sgd(deep(8, Sigmoid{}), 0.1); }},
      {"vanishing_gradients", "12 layers, weights of a third of He's size",
       [] { return by_sgd(with_weights(deep(10, ReLU{}), 0.3), 0.1); }},
      {"dead_units", "a bias that starts at -10",
       [] {
         Sequential net = mlp();
         net.get<Dense>(2).bias = Tensor::full({32}, -10);
         return by_adam(net, 1e-3);
       }},
      {"dead_units", "the same, with relu() in a forward() of one's own",
       [] {
         struct Own final : Module {
           Dense a{784, 64}, b{64, 32}, c{32, 10};
           Tensor forward(const Tensor& x) override {
             return c(relu(b(relu(a(reshape(x, {-1, 784}))))));
           }
           void fields(Fields& f) override { f.child("a", a).child("b", b).child("c", c); }
         } net;
         Tensor bias = net.b.bias.detach().clone();
         for (int64_t i = 0; i < 28; ++i) bias.mutable_data<float>()[i] = -10;
         net.b.bias = bias;
         Adam adam(net, {.lr = 1e-3});
         return diagnosis(net, adam, digits());
       }},
      {"no_gradient", "Dropout(1)",
       [] {
         return by_adam(Sequential{Flatten{}, Dense(784, 64, ReLU{}), Dropout(1), Dense(64, 10)},
                        1e-3);
       }},
      {"update_ratio", "a parameter group with lr = 1e-6",
       [] {
         Sequential net = mlp();
         SGD sgd(net, {.lr = 0.05, .groups = {{"1.*", 1e-6}}});
         return diagnosis(net, sgd, digits());
       }},
      {"lr_too_low", "SGD with lr = 1e-6", [] { return by_sgd(mlp(), 1e-6); }},
      {"lr_too_low", "Adam with lr = 1e-8", [] { return by_adam(mlp(), 1e-8); }},
      {"labels_shuffled", "labels in another order than the images",
       [] { return by_adam(mlp(), 1e-3, shuffled_labels()); }},
      {"labels_shuffled", "the same with SGD",
       [] { return by_sgd(mlp(), 0.1, shuffled_labels()); }},
      {"labels_shuffled", "the same, with words for images",
       [] {
         const auto [x, y] = words(2000);
         const Dataset wrong{x, take(y, Rng(7).permutation(y.dim(0)))};
         return by_adam(Sequential{EmbeddingBag(2000, 16), Dense(16, 8)}, 1e-2, wrong);
       }},
      {"loss_at_chance", "a straight line for four quadrants",
       [] { return by_sgd(Sequential{Dense(2, 2)}, 0.1, quadrants(1000)); }},
      {"loss_at_chance", "all is frozen but the last bias",
       [] {
         Sequential net = mlp();
         net.freeze();
         net.get<Dense>(3).bias.requires_grad_();
         return by_adam(net, 1e-3);
       }},
  };
  return all;
}

std::string str(const Findings& findings) {
  std::string text;
  for (const Finding& f : findings)
    text += fmt::format("{} ({}): {}\n", f.code, f.layer, f.evidence);
  return text;
}

// The page of a recorded run says the same as the library, and in Portuguese as well.
void check_words(const Finding& f) {
  using Json = nlohmann::json;
  const auto words = [](const char* lang) {
    std::ifstream in(fmt::format("{}/../../glass/page/words.{}.json", RAMP_FIXTURES_DIR, lang));
    return Json::parse(in);
  };
  static const Json english = words("en"), portuguese = words("pt");
  const std::string key = "finding." + f.key;
  CAPTURE(key);
  REQUIRE(english.contains(key + ".evidence"));
  for (const Json* lang : {&english, &portuguese}) {
    std::string text = (*lang)[key + ".evidence"];
    for (const auto& [name, value] : f.values) {
      const std::string mark = "{" + name + "}";
      REQUIRE(text.find(mark) != std::string::npos);
      text.replace(text.find(mark), mark.size(), value);
    }
    CHECK(text.find('{') == std::string::npos);
    if (lang == &english) CHECK(text == f.evidence);
  }
  CHECK(english[key + ".remedy"] == f.remedy);
  CHECK(portuguese[key + ".remedy"] != f.remedy);
}

// Each for some seeds of the weights.
constexpr uint64_t kSeeds = 3;

}  // namespace

TEST_CASE("doctor: planted faults, each named first") {
  for (const Fault& fault : faults()) {
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      INFO(fault.planted, ", seed ", seed);
      seed_layers(seed);
      const Findings findings = fault.run();
      INFO(str(findings));
      REQUIRE(!findings.empty());
      CHECK(findings[0].code == fault.code);
      for (const Finding& f : findings) check_words(f);
    }
  }
}

// The table of docs/diagnosis.md: doctor_test -ns -tc="docs: the table"
std::string row(const Fault& fault) {
  return fmt::format("| {} | `{}`", fault.planted, fault.code);
}
TEST_CASE("docs: the table" * doctest::skip()) {
  for (const Fault& fault : faults()) {
    seed_layers(1);
    const Finding f = fault.run()[0];
    fmt::print("{}{}{} | {} |\n", row(fault), f.layer.empty() ? "" : ", ", f.layer, f.evidence);
  }
}

TEST_CASE("docs/diagnosis.md has each planted fault, and what each finding means") {
  std::ifstream file(RAMP_FIXTURES_DIR "/../../docs/diagnosis.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const Fault& fault : faults()) {
    CHECK_MESSAGE(page.find("\n" + row(fault)) != std::string::npos, row(fault));
    CHECK_MESSAGE(page.find(fmt::format("\n| `{}` |", fault.code)) != std::string::npos,
                  fault.code);
  }
}

TEST_CASE("docs/diagnosis.md: its snippets") {
  seed_layers(1);
  const auto [train, valid] = digits().split(0.8);
  Sequential net = mlp();
  Adam adam(net, {.lr = 3});
  std::string report;
  const auto show = [&](const std::string& text) { report += text; };
  {
    Doctor doctor(net);
    fit(net, adam, train, {.epochs = 2, .out = nullptr, .callbacks = {doctor}});
    show(doctor.str());
  }
  CHECK(report.find("lr_too_high\n") == 0);
  const Batches batches(train);
  {
    Doctor doctor(net);
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      for (const auto& [x, y] : batches.epoch(epoch)) {
        const Tensor loss = cross_entropy(net(x), y);
        loss.backward();
        adam.step();
        doctor.after_step({x, y}, loss);  // the gradients are still there
        adam.zero_grad();
      }
      doctor.epoch_end();  // before the validation, which it looks at too
      evaluate(net, valid);
    }
    show(doctor.str());
  }
  net = mlp();
  {
    adam.set_lr(find_lr(net, adam, train).suggestion);
    show(overfit_one_batch(net, adam, train.rows(0, 32)).str());
  }
  CHECK(report.find("\nfits: the loss fell from 2.") != std::string::npos);
}

TEST_CASE("doctor: silence on healthy runs") {
  const auto is_silent = [](const char* name, auto run) {
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      INFO(name, ", seed ", seed);
      seed_layers(seed);
      CHECK(str(run()) == "");
    }
  };
  is_silent("moons", [] {
    Sequential net{Dense(2, 16, ReLU{}), Dense(16, 16, ReLU{}), Dense(16, 2)};
    SGD sgd(net, {.lr = 0.1, .momentum = 0.9});
    return diagnosis(net, sgd, moons(400, 3), {.epochs = 30, .batch = 40});
  });
  is_silent("MNIST", [] {
    Sequential net = mlp();
    Adam adam(net, {.lr = 3e-3});
    return diagnosis(net, adam, digits(),
                     {.validate = [&](const Dataset& d) { evaluate(net, d); }});
  });
  is_silent("convolutions with batch norm", [] {
    Sequential net{Conv2d(1, 8, 3, {.padding = 1, .bias = false}),
                   MaxPool2d(2),
                   BatchNorm2d(8),
                   ReLU{},
                   Conv2d(8, 16, 3, {.padding = 1, .bias = false}),
                   MaxPool2d(2),
                   BatchNorm2d(16),
                   ReLU{},
                   Flatten{},
                   Dense(784, 10)};
    Adam adam(net, {.lr = 3e-3, .schedule = one_cycle(2 * 32)});
    return diagnosis(net, adam, digits().rows(0, 1024),
                     {.validate = [&](const Dataset& d) { evaluate(net, d); }});
  });
  is_silent("images whose borders are empty, of a size that goes into the blocks", [] {
    Sequential net{Conv2d(1, 32, 3, {.padding = 1, .bias = false}), ReLU{}, Flatten{},
                   Dense(25088, 10)};
    Adam adam(net, {.lr = 1e-4});
    return diagnosis(net, adam, digits().rows(0, 1024));
  });
  is_silent("regression", [] {
    Sequential net{Dense(1, 64, Tanh{}), Dense(64, 64, Tanh{}), Dense(64, 1)};
    Adam adam(net, {.lr = 3e-3});
    return diagnosis(net, adam, curve(1000), {.epochs = 10, .loss = [&](const Dataset& b) {
                                                return huber_loss(net(b.x), b.y);
                                              }});
  });
  is_silent("autoencoder", [] {
    const LeakyReLU f;
    Sequential net{Flatten{}, Dense(784, 64, f), Dense(64, 8), Dense(8, 64, f),
                   Dense(64, 784, Sigmoid{})};
    Adam adam(net, {.lr = 3e-3});
    return diagnosis(net, adam, {digits().x, digits().flat().x},
                     {.loss = [&](const Dataset& b) { return bce_loss(net(b.x), b.y); }});
  });
  is_silent("GELU", [] {
    Sequential net = mlp(GELU{});
    Lion lion(net, {.lr = 3e-4});
    return diagnosis(net, lion, digits());
  });
  is_silent("a deep residual network with batch norm", [] {
    Sequential net{Flatten{}, Dense(784, 32)};
    for (int i = 0; i < 12; ++i)
      net.add(Residual{BatchNorm(32, ReLU{}), Dense(32, 32), BatchNorm(32, ReLU{}), Dense(32, 32)});
    net.add(Dense(32, 10));
    SGD sgd(net, {.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-4});
    return diagnosis(net, sgd, digits());
  });
  is_silent("activations as ops", [] {
    struct Own final : Module {
      Dense a{784, 64}, b{64, 32}, c{32, 10};
      Tensor forward(const Tensor& x) override {
        return c(relu(b(relu(a(reshape(x, {-1, 784}))))));
      }
      void fields(Fields& f) override { f.child("a", a).child("b", b).child("c", c); }
    } net;
    Adam adam(net, {.lr = 1e-3});
    return diagnosis(net, adam, digits(), {.epochs = 6});
  });
  is_silent("words", [] {
    Sequential net{EmbeddingBag(2000, 16), Dense(16, 8)};
    Adam adam(net, {.lr = 1e-2});
    return diagnosis(net, adam, words(2000), {.epochs = 4});
  });
  is_silent("dropout, label smoothing", [] {
    Sequential net{Flatten{}, Dropout(0.2), Dense(784, 64, ReLU{}), Dropout(0.5), Dense(64, 10)};
    AdamW adam(net, {.lr = 1e-3});
    return diagnosis(net, adam, digits(),
                     {.loss =
                          [&](const Dataset& b) {
                            return cross_entropy(net(b.x), b.y, {.label_smoothing = 0.1});
                          },
                      .validate = [&](const Dataset& d) { evaluate(net, d); }});
  });
}

TEST_CASE("doctor: training has the bits that it has without, and no node is left") {
  const int64_t nodes = live_nodes();
  std::vector<std::vector<double>> weights;
  for (const bool with : {false, true}) {
    seed_layers(4);
    Sequential net{Conv2d(1, 8, 3, {.padding = 1}),
                   ReLU{},
                   MaxPool2d(2),
                   BatchNorm2d(8),
                   ReLU{},
                   Flatten{},
                   Dense(1568, 32),
                   ReLU{},
                   Dropout(0.3),
                   Dense(32, 10)};
    Adam adam(net);
    std::unique_ptr<Doctor> doctor;
    if (with) doctor = std::make_unique<Doctor>(net);
    const Batches batches(digits().rows(0, 640));
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      for (const auto& batch : batches.epoch(epoch)) {
        const Tensor loss = cross_entropy(net(batch.x), batch.y);
        loss.backward();
        adam.step();
        if (with) doctor->after_step(batch, loss);
        adam.zero_grad();
      }
      if (with) doctor->epoch_end();
      evaluate(net, digits().rows(0, 100));
    }
    for (const NamedTensor& t : net.state()) weights.push_back(t.tensor.values());
  }
  const size_t n = weights.size() / 2;
  for (size_t i = 0; i < n; ++i) CHECK(weights[i] == weights[n + i]);
  CHECK(live_nodes() == nodes);
}

TEST_CASE("doctor: several at once, in any order, and gone before the backward pass") {
  Sequential a{Dense(2, 3, ReLU{}), Dense(3, 2)}, b = a;
  const Dataset data = moons(8, 1);
  auto of_a = std::make_unique<Doctor>(a), of_b = std::make_unique<Doctor>(b);
  const Tensor loss = cross_entropy(a(data.x), data.y) + cross_entropy(b(data.x), data.y);
  of_a.reset();
  loss.backward();
  of_b->after_step(data, loss);
  of_a = std::make_unique<Doctor>(a);
  of_b.reset();
  CHECK(a.summary({1, 2}).size() > 0);
  of_a.reset();
  CHECK(detail::watch == nullptr);
}

TEST_CASE("doctor: a model of many inputs and outputs; what it says when all is well") {
  struct Two final : ModuleOf<Two> {
    Dense a{2, 4, Tanh{}}, b{1, 4, Tanh{}}, out{4, 2};
    std::pair<Tensor, Tensor> forward(const Tensor& x, const Tensor& z) {
      const Tensor h = a(x) + b(z);
      return {out(h), h};
    }
    void fields(Fields& f) override { f.child("a", a).child("b", b).child("out", out); }
  } net;
  Adam adam(net);
  Doctor doctor(net, {.every = 1});
  for (int i = 0; i < 3; ++i) {
    const Dataset data = moons(16, 1);
    const auto [y, h] = net(data.x, Tensor::ones({16, 1}));
    const Tensor loss = cross_entropy(y, data.y) + mean(h * h);
    loss.backward();
    adam.step();
    doctor.after_step(data, loss);
    adam.zero_grad();
  }
  CHECK(doctor.str() == "doctor: nothing found in 3 steps\n");
  CHECK(doctor.findings().empty());
}

TEST_CASE("doctor: a callback of fit") {
  seed_layers(1);
  Sequential net = mlp();
  SGD sgd(net, {.lr = 3});
  Doctor doctor(net);
  fit(net, sgd, digits(),
      {.epochs = 2,
       .batch = 32,
       .valid = digits().rows(0, 100),
       .out = nullptr,
       .callbacks = {doctor}});
  REQUIRE(!doctor.findings().empty());
  CHECK(doctor.findings()[0].code == "lr_too_high");
}

TEST_CASE("doctor: when fit ends in an error it has what it saw until then") {
  seed_layers(1);
  Sequential net = mlp();
  SGD sgd(net, {.lr = 1e9});
  Doctor doctor(net);
  CHECK_THROWS_AS(fit(net, sgd, digits(), {.out = nullptr, .callbacks = {doctor}}), Error);
  INFO(doctor.str());
  REQUIRE(!doctor.findings().empty());
  CHECK(doctor.findings()[0].code == "lr_too_high");
}

TEST_CASE("doctor: fit with all that it has keeps its bits, and is healthy") {
  std::vector<std::vector<double>> weights;
  for (const bool with : {false, true}) {
    seed_layers(1);
    Sequential net{Conv2d(1, 8, 3, {.padding = 1, .bias = false}),
                   MaxPool2d(2),
                   BatchNorm2d(8, ReLU{}),
                   Flatten{},
                   Dropout(0.1),
                   Dense(1568, 10)};
    AdamW adam(net, {.lr = 3e-3});
    Doctor doctor(net);
    FitOptions options{.epochs = 2,
                       .batch = 16,
                       .transform = Augment({.shift = 1}),
                       .valid = digits().rows(900, 1000),
                       .keep_best = true,
                       .accumulate = 3,
                       .clip_norm = 1,
                       .ema = EmaOptions{.decay = 0.9},
                       .out = nullptr};
    if (with) options.callbacks = {doctor};
    fit(net, adam, digits().rows(0, 900), options);
    for (const NamedTensor& t : net.state()) weights.push_back(t.tensor.values());
    CHECK(str(doctor.findings()) == "");
  }
  const size_t n = weights.size() / 2;
  for (size_t i = 0; i < n; ++i) CHECK(weights[i] == weights[n + i]);
}

TEST_CASE("doctor: a user's mistakes, and the text of a finding") {
  Sequential net{Dense(2, 2)};
  CHECK(message([&] { Doctor(net, {.every = 0}); }) == "Doctor: expected every >= 1; got 0.");
  Doctor doctor(net);
  const Dataset data = moons(8, 1);
  CHECK_THROWS_AS(doctor.after_step(data, Tensor::zeros({2})), Error);
  doctor.after_step({data.x * 1000, data.y}, Tensor::scalar(1));
  const std::string text = doctor.str();
  INFO(text);
  CHECK(text.find("inputs_not_normalized\n  x: mean ") == 0);
  CHECK(text.find("\n  try: (x - mean) / std of the training data; pixels / 255\n") !=
        std::string::npos);
}

TEST_CASE("doctor: gradients of rows are gradients") {
  const auto findings = [](double scale, int64_t words) {
    seed_layers(1);
    Sequential net{EmbeddingBag(words, 8), Dense(8, 2)};
    SGD sgd(net, {.lr = 0.01 / scale});
    Doctor doctor(net);
    Rng rng(2);
    for (int i = 0; i < 80; ++i) {
      const Tensor x = rng.randint({32, 4}, 0, words), y = rng.randint({32}, 0, 2);
      const Tensor loss = scale * cross_entropy(net(x), y);
      loss.backward();
      REQUIRE(row_gradient(net.get<EmbeddingBag>(0).weight));
      sgd.step();
      doctor.after_step({x, y}, loss);
      REQUIRE(row_gradient(net.get<EmbeddingBag>(0).weight));
      sgd.zero_grad();
    }
    doctor.epoch_end();
    return doctor.findings();
  };
  const auto has = [](const std::vector<Finding>& list, const char* code, const char* layer) {
    return std::ranges::count_if(
               list, [&](const Finding& f) { return f.code == code && f.layer == layer; }) > 0;
  };
  // A batch touches few of many rows: they are what the rate is judged by.
  CHECK_FALSE(has(findings(1, 100'000), "update_ratio", "0.weight"));
  CHECK(has(findings(1e6, 50), "exploding_gradients", "0.weight"));
}
