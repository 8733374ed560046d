#include "ramp/train/fit.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/data/augment.h"
#include "ramp/data/prefetch.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/init.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/adam.h"
#include "ramp/optim/clip.h"
#include "ramp/optim/sgd.h"
#include "scratch.h"

using namespace ramp;

namespace {

// Two classes that a line tells apart but for a few.
Dataset points(int64_t n, uint64_t seed) {
  Rng rng(seed);
  const Tensor x = rng.normal({n, 4}), noise = rng.normal({n}, 0, 0.3);
  Tensor y = Tensor::empty({n}, i64);
  for (int64_t i = 0; i < n; ++i) {
    const float* row = x.data<float>() + 4 * i;
    y.mutable_data<int64_t>()[i] = row[0] - row[1] + noise.data<float>()[i] > 0;
  }
  return {x, y};
}

Sequential make_net() {
  seed_layers(3);
  return Sequential{Dense(4, 16), BatchNorm(16, ReLU{}), Dropout(0.2), Dense(16, 2)};
}

std::vector<double> weights(ModuleBase& net) {
  std::vector<double> all;
  for (const NamedTensor& t : net.state()) {
    const std::vector<double> values = t.tensor.values();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// What fit() writes, without the numbers that a clock makes.
std::string written(ModuleBase& net, Optimizer& optimizer, const Dataset& train, FitOptions o) {
  char* text = nullptr;
  size_t size = 0;
  o.out = open_memstream(&text, &size);
  fit(net, optimizer, train, o);
  std::fclose(o.out);
  std::string s(text, size);
  std::free(text);
  for (const std::string unit : {" samples/s", " s left"}) {
    for (size_t end = s.find(unit); end != std::string::npos; end = s.find(unit, end + 1)) {
      size_t begin = end;
      while (begin > 0 && (std::isdigit(s[begin - 1]) || s[begin - 1] == ',')) --begin;
      s.replace(begin, end - begin, "N");
      end = begin + 1;
    }
  }
  return s;
}

const Dataset kTrain = points(200, 1), kValid = points(100, 2);
const Transform kNoise = [](const Tensor& x, int64_t epoch, int64_t first) {
  return x + Rng(7, static_cast<uint64_t>(epoch * 1000 + first)).normal(x.shape(), 0, 0.1);
};

}  // namespace

TEST_CASE("fit is the plain loop, to the bits") {
  Sequential a = make_net(), b = make_net();
  Adam of_a(a, {.lr = 0.01}), of_b(b, {.lr = 0.01});
  const Batches batches(kTrain, {.size = 32, .seed = 5});
  EMA average(a, {.decay = 0.9});
  double last_loss = 0;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    last_loss = 0;
    for (const auto& [x, y] : Prefetch(batches.epoch(epoch, kNoise))) {
      const Tensor loss = cross_entropy(a(x), y);
      last_loss += loss.item() * static_cast<double>(x.dim(0)) / 200;
      loss.backward();
      clip_grad_value(a, 0.5);
      clip_grad_norm(a, 0.1);
      of_a.step();
      of_a.zero_grad();
      average.update();
    }
  }
  average.swap();
  const int64_t nodes = live_nodes();
  const History h = fit(b, of_b, kTrain,
                        {.epochs = 3,
                         .batch = 32,
                         .seed = 5,
                         .transform = kNoise,
                         .valid = kValid,
                         .clip_norm = 0.1,
                         .clip_value = 0.5,
                         .ema = EmaOptions{.decay = 0.9},
                         .out = nullptr});
  CHECK(weights(a) == weights(b));
  CHECK(live_nodes() == nodes);
  CHECK(b.training());
  CHECK(h.rows.size() == 3);
  CHECK(h.last().steps == 21);
  CHECK(h.last()["loss"].value == doctest::Approx(last_loss));
  // What is evaluated is what the model has at the end.
  CHECK(h.last()["valid_accuracy"].value == evaluate(a, kValid));
  CHECK(h.last()["valid_loss"].value ==
        doctest::Approx(cross_entropy(predict(a, kValid.x), kValid.y).item()));
}

TEST_CASE("accumulated batches are one large batch") {
  const auto trained = [](int64_t batch, int64_t accumulate) {
    seed_layers(1);
    Sequential net{Dense(4, 8, ReLU{}), Dense(8, 2)};
    SGD sgd(net, {.lr = 0.1});
    fit(net, sgd, kTrain,
        {.epochs = 2, .batch = batch, .shuffle = false, .accumulate = accumulate, .out = nullptr});
    CHECK(sgd.steps() == 2 * 3);
    return weights(net);
  };
  // 200 examples: two whole steps of 96 and one of 8; in batches of 32 the last one is a part.
  const std::vector<double> large = trained(96, 1), small = trained(32, 3);
  for (size_t i = 0; i < large.size(); ++i)
    CHECK(small[i] == doctest::Approx(large[i]).epsilon(1e-4));
}

TEST_CASE("what it writes, and what the history holds") {
  Sequential net = make_net();
  Adam adam(net, {.lr = 0.01});
  CHECK(written(net, adam, kTrain, {.epochs = 0}) == "");
  const std::string text = written(net, adam, kTrain, {.epochs = 2, .valid = kValid});
  CHECK(text.find("epoch 1/2  N samples/s  loss ") == 0);
  CHECK(text.find("  accuracy ") != std::string::npos);
  CHECK(text.find("  valid loss 0.") != std::string::npos);
  CHECK(text.find(" +- ") != std::string::npos);
  CHECK(text.find("epoch 2/2") != std::string::npos);
  CHECK(text.find("N s left") != std::string::npos);

  const History h = fit(net, adam, kTrain, {.epochs = 1, .valid = kValid, .out = nullptr});
  CHECK(h.columns() ==
        std::vector<std::string>{"loss", "accuracy", "valid_loss", "valid_accuracy"});
  CHECK(h.best_epoch == 1);
  CHECK(h.stopped == "");
  CHECK(h["valid_accuracy"][0] > 0.6);
  CHECK(h.last()["valid_accuracy"].error > 0.02);
  CHECK(std::isnan(h.last()["loss"].error));
  CHECK(h.last().lr == 0.01);
  CHECK(h.last().seconds > 0);
  CHECK(message([&] { h["acc"]; }) ==
        "history: expected one of its columns, loss, accuracy, valid_loss, valid_accuracy; got "
        "\"acc\".");
  CHECK(message([] { History().last(); }) == "history: no epoch is done.");
}

TEST_CASE("losses: by the target, by name, by function, of the batch") {
  const Tensor x = Rng(1).normal({64, 3}), w = Tensor::of<float>({1, -2, 3}, {3, 1});
  const Dataset line{x, matmul(x, w)};
  const auto last_loss = [&](Loss loss) {
    seed_layers(1);
    Sequential net{Dense(3, 1)};
    SGD sgd(net, {.lr = 0.05});
    return fit(net, sgd, line, {.epochs = 3, .loss = std::move(loss), .out = nullptr})
        .last()["loss"]
        .value;
  };
  const double mse = last_loss({});
  CHECK(mse == last_loss("mse"));
  CHECK(mse == last_loss(mse_loss));
  CHECK(mse == last_loss([](const Tensor& y, const Tensor& t) { return mse_loss(y, t); }));
  CHECK(last_loss("huber") != mse);
  CHECK(last_loss("l1") == last_loss(l1_loss));
  CHECK(message([&] { last_loss("mean"); }) ==
        "loss: expected cross_entropy, nll, bce, bce_with_logits, mse, l1, smooth_l1, huber, "
        "hinge, or a function; got \"mean\".");
  CHECK(message([&] { last_loss([](const Tensor& y, const Tensor& t) { return y - t; }); }) ==
        "fit: the loss of a batch must be one number; got [64, 1]. Hint: mean(loss).");
}

namespace {

// Two inputs.
struct Towers final : ModuleOf<Towers> {
  Dense a{4, 8, ReLU{}}, b{2, 8, ReLU{}}, head{8, 2};
  Tensor forward(const Tensor& x, const Tensor& more) { return head(a(x) + b(more)); }
  void fields(Fields& f) override { f.child("a", a).child("b", b).child("head", head); }
};

// Two outputs.
struct TwoHeads final : ModuleOf<TwoHeads> {
  Dense a{4, 2}, b{4, 1};
  std::pair<Tensor, Tensor> forward(const Tensor& x) { return {a(x), b(x)}; }
  void fields(Fields& f) override { f.child("a", a).child("b", b); }
};

}  // namespace

TEST_CASE("a model of several inputs") {
  seed_layers(1);
  Towers towers;
  Adam adam(towers, {.lr = 0.01});
  Dataset train = kTrain, valid = kValid;
  train.more = {Rng(1).normal({200, 2})};
  valid.more = {Rng(2).normal({100, 2})};
  const Towers start = towers;
  const History h = fit(towers, adam, train,
                        {.epochs = 8,
                         .loss = "cross_entropy",
                         .metrics = {"accuracy", "auc"},
                         .valid = valid,
                         .out = nullptr});
  CHECK(h.last()["valid_accuracy"].value > 0.75);
  CHECK(h.last()["valid_auc"].value > 0.85);
  CHECK(evaluate(towers, valid) == h.last()["valid_accuracy"].value);
  {
    const NoGrad no_grad;
    const Tensor y = towers(valid.x, valid.more[0]);
    CHECK(predict(towers, valid, 7).shape() == y.shape());
    CHECK(max(abs(predict(towers, valid, 7) - y)).item() < 1e-5);
  }
  // A loss of the batch, which calls the model itself, is the same.
  Towers other = start;
  Adam another(other, {.lr = 0.01});
  const History same =
      fit(other, another, train,
          {.epochs = 8,
           .loss = [&](const Dataset& b) { return cross_entropy(other(b.x, b.more[0]), b.y); },
           .valid = valid,
           .out = nullptr});
  CHECK(same["valid_loss"] == h["valid_loss"]);
  CHECK(message([&] { fit(towers, adam, kTrain); }) ==
        "fit: the model's forward() must take as many tensors as the data have inputs; they have "
        "1.");
  train.more.push_back(train.x);
  CHECK(message([&] { predict(towers, train); }) ==
        "predict: the model's forward() must take as many tensors as the data have inputs; they "
        "have 3.");
}

TEST_CASE("a model of several outputs") {
  TwoHeads net;
  Adam adam(net, {.lr = 0.05});
  const auto loss = [&](const Dataset& b) {
    const auto [label, size] = net(b.x);
    return cross_entropy(label, b.y) + mean(size * size);
  };
  CHECK(message([&] {
          fit(net, adam, kTrain);
        }).find("fit: a model that is no Module needs a loss of the batch") == 0);
  CHECK(message([&] {
          fit(net, adam, kTrain, {.loss = loss, .metrics = {"accuracy"}});
        }).find("fit: metrics of a model that is no Module need .outputs.") == 0);
  const History h = fit(net, adam, kTrain,
                        {.epochs = 20,
                         .loss = loss,
                         .metrics = {"accuracy"},
                         .outputs = [&](const Dataset& b) { return net(b.x).first; },
                         .valid = kValid,
                         .out = nullptr});
  CHECK(h.last()["valid_accuracy"].value > 0.7);
}

TEST_CASE("early stopping, the best weights, and the average") {
  Sequential net = make_net();
  Adam adam(net, {.lr = 0.05});
  // The measure falls, then rises: 5, 4, 3, 4, 5, ..
  int64_t calls = 0;
  std::vector<std::vector<double>> of_epoch;
  const Metric bowl(
      "bowl",
      [&](const Tensor&, const Tensor&) { return 3 + std::abs(static_cast<double>(calls++) - 2); },
      false);
  const History h = fit(net, adam, kTrain,
                        {.epochs = 20,
                         .metrics = {bowl},
                         .valid = kValid,
                         .monitor = "valid_bowl",
                         .keep_best = true,
                         .patience = 2,
                         .out = nullptr,
                         .callbacks = {{.after_epoch = [&](TrainState& s) {
                           CHECK(s.data == nullptr);
                           of_epoch.push_back(weights(s.net));
                         }}}});
  CHECK(h["valid_bowl"] == std::vector<double>{5, 4, 3, 4, 5});
  CHECK(h.best_epoch == 3);
  CHECK(h.stopped == "valid_bowl was best at epoch 3, 2 epochs ago");
  // (Dropout's generator is in the state too.)
  CHECK(weights(net) == of_epoch[2]);
  CHECK(weights(net) != of_epoch[4]);
}

TEST_CASE("the rate is cut on a plateau, and callbacks stop training") {
  Sequential net = make_net();
  SGD sgd(net, {.lr = 0.1});
  const Metric same(
      "same", [](const Tensor&, const Tensor&) { return 1; }, true);
  int64_t before = 0, after = 0;
  const History h = fit(net, sgd, kTrain,
                        {.epochs = 9,
                         .metrics = {same},
                         .valid = kValid,
                         .monitor = "valid_same",
                         .reduce_on_plateau = PlateauOptions{.factor = 0.5, .patience = 1},
                         .out = nullptr,
                         .callbacks = {{.before_step =
                                            [&](TrainState& s) {
                                              CHECK(s.data->size() == (s.batch == 3 ? 8 : 64));
                                              CHECK(s.step == before);
                                              ++before;
                                            },
                                        .after_step =
                                            [&](TrainState& s) {
                                              if (++after == 4 * 5 + 2) s.stop("enough");
                                            }},
                                       {.after_epoch = [](TrainState&) {}}}});
  CHECK(before == 22);
  CHECK(after == 22);
  CHECK(h.rows.size() == 6);
  CHECK(h.stopped == "enough");
  std::vector<double> lr;
  for (const History::Row& row : h.rows) lr.push_back(row.lr);
  CHECK(lr == std::vector<double>{0.1, 0.1, 0.1, 0.05, 0.05, 0.025});
}

TEST_CASE("bad calls are errors") {
  Sequential net = make_net();
  Adam adam(net);
  const auto with = [&](const FitOptions& o) {
    return message([&] { fit(net, adam, kTrain, o); });
  };
  CHECK(with({.epochs = -1}) == "fit: expected epochs of at least 0; got -1.");
  CHECK(with({.accumulate = 0}) == "fit: expected accumulate of at least 1; got 0.");
  CHECK(with({.clip_norm = -1}) == "fit: expected clip_norm of at least 0; got -1.");
  CHECK(with({.batch = 0}) == "batches: expected a batch size of at least 1; got 0.");
  CHECK(with({.monitor = "accurcy"}) ==
        "fit: monitor must be one of loss, accuracy; got \"accurcy\", and no validation set.");
  CHECK(message([] { Metric("acuracy"); }).find("metric: expected accuracy, top5,") == 0);
  CHECK(with({.valid = {kValid.x, kTrain.y}}).find("fit (valid): expected x [n, ..]") == 0);
  CHECK(message([&] { fit(net, adam, Dataset{}); }).find("fit: x is undefined") == 0);
  net.freeze();
  CHECK(with({}) ==
        "fit: the model has no parameter that is trained. Hint: freeze(false) for some.");
  net.freeze(false).eval();
  CHECK(with({}) == "fit: the model is in eval mode. Hint: net.train().");
}

TEST_CASE("a loss that is not finite ends training, with an error") {
  Sequential net = make_net();
  Adam adam(net);
  Dataset train = kTrain;
  train.x = train.x.clone();
  train.x.mutable_data<float>()[4 * 150] = NAN;
  const std::string text =
      message([&] { fit(net, adam, train, {.shuffle = false, .out = nullptr}); });
  INFO(text);
  CHECK(text.find("fit: the loss is nan at epoch 1, batch 3 (step 2). The batch is not finite: x "
                  "has 1 NaN") == 0);
}

TEST_CASE("history: CSV and JSON, and back") {
  History h;
  h.rows.push_back({1, 10, 0.5, 0.1, {{"loss", {2.5}}, {"valid_mae", {0.25, 0.125}}}});
  h.rows.push_back({2, 20, 1, 0.05, {{"loss", {NAN}}, {"valid_mae", {0.5, 0.25}}}});
  h.best_epoch = 1;
  h.stopped = "a \"reason\"";
  CHECK(h.csv() ==
        "epoch,steps,seconds,lr,loss,valid_mae,valid_mae_error\n"
        "1,10,0.500,0.1,2.5,0.25,0.125\n"
        "2,20,1.000,0.05,nan,0.5,0.25\n");
  CHECK(h.json() ==
        R"({"epochs":[{"epoch":1,"steps":10,"seconds":0.5,"lr":0.1,"loss":2.5,"valid_mae":0.25,)"
        R"("valid_mae_error":0.125},{"epoch":2,"steps":20,"seconds":1.0,"lr":0.05,"loss":null,)"
        R"("valid_mae":0.5,"valid_mae_error":0.25}],"best_epoch":1,"stopped":"a \"reason\""})");
  CHECK(History::from_json(h.json()).json() == h.json());
  for (const char* text : {"", "{}", "[1]", R"({"epochs":[{}]})", R"({"epochs":3})",
                           R"({"epochs":[],"best_epoch":1e300,"stopped":""})"}) {
    CHECK(message([&] { History::from_json(text); }).find("history: expected the text") == 0);
  }
  CHECK(message([&] {
          History::from_json(std::string(200'000, '['));
        }).find("history: expected the text") == 0);
  const Scratch folder;
  h.save(folder.path("h.csv"));
  h.save(folder.path("h.json"));
  const std::vector<uint8_t> bytes = read_all(folder.path("h.csv"));
  CHECK(std::string(bytes.begin(), bytes.end()) == h.csv());
  CHECK(message([&] { h.save("h.txt"); }) ==
        "history: expected a name that ends in .csv or .json; got \"h.txt\".");
  CHECK(message([&] { h.save(folder.path("no/h.csv")); }).find("history: cannot create ") == 0);
}

TEST_CASE("a lazy dataset trains as one in memory") {
  const auto trained = [](bool lazy) {
    Sequential net = make_net();
    Adam adam(net, {.lr = 0.01});
    const FitOptions o{.epochs = 2, .seed = 3, .out = nullptr};
    if (lazy) {
      fit(net, adam,
          LazyDataset{200, [](const std::vector<int64_t>& rows) { return kTrain.take(rows); }}, o);
    } else {
      fit(net, adam, kTrain, o);
    }
    return weights(net);
  };
  CHECK(trained(true) == trained(false));
}
