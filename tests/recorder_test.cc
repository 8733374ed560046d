#include "ramp/glass/recorder.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "message.h"
#include "ramp/ramp.h"
#include "scratch.h"
#include "threads.h"

using namespace ramp;
using Json = nlohmann::json;

namespace {

const Dataset& digits() {
  static const Dataset all = load_mnist("mnist", Split::test).rows(0, 640);
  return all;
}

// With all that a recorder could disturb: running statistics, generators, fused layers.
Sequential network() {
  return Sequential{Conv2d(1, 8, 3, {.padding = 1}),
                    MaxPool2d(2),
                    BatchNorm2d(8),
                    ReLU{},
                    Conv2d(8, 8, 3, ReLU{}),
                    MaxPool2d(2),
                    Flatten{},
                    Dropout(0.3),
                    Dense(288, 16),
                    PReLU{},
                    Dense(16, 10)};
}

std::map<std::string, std::vector<Json>> read(const std::string& path) {
  std::map<std::string, std::vector<Json>> by_kind;
  for (const GlassRecord& r : read_glass(path).records)
    by_kind[r.kind].push_back(Json::parse(r.json));
  return by_kind;
}

// Trains by hand; after_step is told each step.
template <typename F>
void train(
    Sequential& net, int64_t epochs, F after_step, const std::function<void()>& epoch_end = [] {}) {
  Adam adam(net, {.lr = 1e-3});
  const Batches batches(digits(), {.size = 32, .seed = 3});
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (const auto& batch : batches.epoch(epoch)) {
      const Tensor loss = cross_entropy(net(batch.x), batch.y);
      loss.backward();
      adam.step();
      after_step(batch, loss);
      adam.zero_grad();
    }
    epoch_end();
  }
}

}  // namespace

TEST_CASE("Recorder: no bit changes, with 1 and with 2 threads") {
  const Scratch scratch;
  const auto weights = [&](bool recorded) {
    seed_layers(2);
    Sequential net = network();
    std::optional<Recorder> recorder;
    if (recorded)
      recorder.emplace(net, scratch.path("run.glass"),
                       RecorderOptions{.every = 3, .count_every = 2, .valid = digits()});
    train(
        net, 2,
        [&](const Dataset& batch, const Tensor& loss) {
          if (recorder) recorder->after_step(batch, loss);
        },
        [&] {
          if (recorder) recorder->epoch_end();
        });
    if (recorder) recorder->finish();
    std::vector<Tensor> all;
    for (const NamedTensor& t : net.state()) all.push_back(t.tensor.detach().clone());
    return all;
  };
  std::vector<std::vector<double>> without;
  for (const Tensor& t : weights(false)) without.push_back(t.values());
  const int before = num_threads();
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    const std::vector<Tensor> with = weights(true);
    REQUIRE(with.size() == without.size());
    for (size_t i = 0; i < with.size(); ++i) CHECK(with[i].values() == without[i]);
  }
  set_num_threads(before);
  CHECK(live_nodes() == 0);
}

TEST_CASE("Recorder: units that fire are counted as brute force counts them") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  seed_layers(2);
  Sequential net{Flatten{}, Dense(784, 12, ReLU{}), Dense(12, 9), LeakyReLU{}, Dense(9, 10)};
  Recorder recorder(net, path, {.every = 4, .count_every = 1});
  std::map<std::string, std::vector<int64_t>> fired;
  std::map<std::string, int64_t> seen;
  // (The layers' results, from the weights before the step.)
  std::vector<NamedTensor> before;
  const auto keep = [&] {
    before.clear();
    for (const NamedTensor& p : net.named_parameters())
      before.push_back({p.name, p.tensor.detach().clone()});
  };
  keep();
  int64_t step = 0;
  std::vector<int64_t> thousandths;
  train(
      net, 1,
      [&](const Dataset& batch, const Tensor& loss) {
        recorder.after_step(batch, loss);
        Sequential then = net;
        then.load_state(before);
        const NoGrad no_grad;
        std::map<std::string, Tensor> y;
        y["1"] = then.first(2)(batch.x);
        y["3"] = then.first(4)(batch.x);
        for (const auto& [name, t] : y) {
          const std::vector<double> v = t.values();
          const size_t units = static_cast<size_t>(t.dim(-1));
          fired[name].resize(units);
          std::vector<int64_t> now(units);
          for (size_t i = 0; i < v.size(); ++i) now[i % units] += v[i] > 0;
          for (size_t j = 0; j < units; ++j) fired[name][j] += now[j];
          seen[name] += t.dim(0);
          if (++step, name == "1" && step == 1) {
            for (const int64_t n : now)
              thousandths.push_back(n > 0 ? std::max<int64_t>(1, std::lround(n * 1000. / 32)) : 0);
          }
        }
        keep();
      },
      [&] { recorder.epoch_end(); });
  recorder.finish();
  auto records = read(path);
  REQUIRE(records["epoch"].size() == 1);
  Json epoch = records["epoch"][0];
  CHECK(epoch["fired"].size() == 2);
  for (const auto& [name, counts] : fired) {
    CHECK(epoch["fired"][name].get<std::vector<int64_t>>() == counts);
    CHECK(epoch["seen"][name] == seen[name]);
  }
  CHECK(records["step"][0]["fire"]["1"].get<std::vector<int64_t>>() == thousandths);
}

// Few steps are counted; who is called silent fires in none of them all.
TEST_CASE("Recorder: dead units did not fire in any step, counted or not") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  for (const bool penalty : {false, true}) {
    CAPTURE(penalty);
    seed_layers(2);
    // By a bias, by that of a norm behind a pooling, by weights alone; and three that do not die.
    Sequential net{Conv2d(1, 20, 3, {.bias = false}),
                   MaxPool2d(2),
                   BatchNorm2d(20),
                   ReLU{},
                   Flatten{},
                   Dense(80, 20, ReLU{}),
                   Dense(20, 20, DenseOptions{.bias = false}),
                   ReLU{},
                   Dense(20, 20, LeakyReLU{}),
                   Dense(20, 4),
                   PReLU{},
                   Dense(4, 30, Tanh{}),
                   Dense(30, 2, GELU{})};
    // Units that fire for one example in hundreds, also in steps that are not counted.
    net.get<BatchNorm>(2).bias = Rng(5).uniform({20}, -4, -2);
    net.get<Dense>(5).bias = Rng(5).uniform({20}, -4, 2);
    net.get<Dense>(6).weight = Rng(6).normal({20, 20}, -0.7, 1);
    net.get<Dense>(8).bias = Tensor::full({20}, -8);
    const std::vector<std::string> dying{"3", "5", "7"}, all{"3", "5", "7", "8", "10", "12"};
    Recorder recorder(net, path, {.every = 64, .count_every = 32});
    std::map<std::string, std::vector<int64_t>> fired, counted;
    std::map<std::string, Json> silent;
    SGD sgd(net, {.lr = 1e-4});
    Rng rng(4);
    int64_t step = 0;
    for (int epoch = 0; epoch < 2; ++epoch) {
      fired.clear(), counted.clear();
      for (int i = 0; i < 150; ++i) {
        const Tensor x = rng.normal({4, 6, 6, 1}, 0, 2), y = rng.normal({4, 2});
        const bool counts = ++step % 32 == 0 || (step < 64 && (step & (step - 1)) == 0);
        ModuleWatch watch([&](ModuleBase& module, const std::vector<Tensor>& out) {
          for (const std::string& name : all) {
            if (&module != &net[std::stoll(name)]) continue;
            const std::vector<double> v = out[0].values();
            const size_t units = static_cast<size_t>(out[0].dim(-1));
            fired[name].resize(units), counted[name].resize(units);
            for (size_t k = 0; k < v.size(); ++k) {
              fired[name][k % units] += v[k] > 0;
              counted[name][k % units] += counts && v[k] > 0;
            }
          }
        });
        watch.on();
        Tensor loss = mse_loss(net(x), y);
        watch.off();
        if (penalty)
          for (const NamedTensor& p : net.named_parameters())
            loss = loss + 0.01 * sum(p.tensor * p.tensor);
        loss.backward();
        sgd.step();
        recorder.after_step({x, y}, loss);
        sgd.zero_grad();
      }
      recorder.epoch_end();
      const Json e = read(path)["epoch"].back();
      CHECK(e["steps"] == 150);
      CHECK(e["counted"] == (epoch == 0 ? 9 : 5));
      CHECK(e["silent"].size() == (penalty ? 0 : 3));  // a penalty is a gradient, too
      CHECK(e["fired"].size() == 6);                   // tanh is no rectifier
      for (const std::string& name : all) {
        CAPTURE(name);
        CHECK(e["fired"][name] == Json(counted[name]));
        silent[name] = Json::array();
        for (size_t j = 0; j < fired[name].size(); ++j)
          if (fired[name][j] == 0) silent[name].push_back(j);
      }
      for (const std::string& name : dying) {
        CAPTURE(name);
        CHECK(silent[name].size() > 0);
        // What the counts alone would have called dead.
        const auto not_counted = std::ranges::count(counted[name], 0);
        CHECK(not_counted >= std::ssize(silent[name]));
        if (name == "3") CHECK(not_counted > std::ssize(silent[name]));
        if (!penalty) CHECK(e["silent"][name] == silent[name]);
      }
    }
    recorder.finish();
    const Json layers = read(path)["model"][0]["layers"];
    for (const Json& layer : layers) {
      const std::string name = layer["path"];
      const bool dies = std::ranges::count(dying, name) > 0, fires = std::ranges::count(all, name);
      CHECK(layer["dies"] == (fires ? Json(dies) : Json()));
    }
    const std::string html = report_html({read_glass(path)});
    const std::string open = "<script type=\"application/json\" id=\"data\">";
    const size_t begin = html.find(open) + open.size();
    const Json page = Json::parse(html.substr(begin, html.find("</script", begin) - begin));
    const Json& clinic = page["runs"][0]["clinic"];
    CHECK(page["runs"][0]["counted"] == Json({{"epoch", 2}, {"steps", 150}, {"counted", 5}}));
    CHECK(clinic["5"]["every_step"] == !penalty);
    CHECK(clinic["5"]["silent"].empty());
    if (!penalty) CHECK(clinic["5"]["dead"].size() == silent["5"].size());
    CHECK(clinic["8"]["dead"].empty());
    CHECK(clinic["8"]["silent"].size() == 20);
    CHECK(clinic["8"]["every_step"] == false);
  }
}

TEST_CASE("Recorder: a last axis that changes is no axis of units; training goes on") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  Sequential net{ReLU{}};
  Recorder recorder(net, path, {.count_every = 1});
  const Tensor w = Tensor::ones({1}).requires_grad_();
  for (const int64_t n : {5, 5, 7, 5}) {
    const Tensor loss = sum(net(w * Tensor::ones({2, n})));
    loss.backward();
    recorder.after_step({Tensor::ones({2, n}), Tensor::ones({2, n})}, loss);
  }
  recorder.epoch_end();
  CHECK(read(path)["epoch"][0]["fired"].empty());
}

TEST_CASE("Recorder: gradients of rows") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  seed_layers(2);
  Sequential net{EmbeddingBag(2000, 16), Dense(16, 3)};
  const Parameter& table = net.get<EmbeddingBag>(0).weight;
  SGD sgd(net, {.lr = 0.5});
  Recorder recorder(net, path, {.every = 2});
  Rng rng(1);
  double norm = 0, ratio = 0;
  int64_t rows = 0;
  for (int step = 1; step <= 4; ++step) {
    const Tensor x = rng.randint({32, 20}, 0, 2000), y = rng.randint({32}, 0, 3);
    const Tensor before = table.detach().clone();
    const Tensor loss = cross_entropy(net(x), y);
    loss.backward();
    REQUIRE(row_gradient(table));
    sgd.step();
    const Tensor g = row_gradient(table)->values;
    norm = std::sqrt(sum(g * g).item());
    rows = row_gradient(table)->ids.numel();
    double moved = 0, size = 0;
    const std::vector<double> a = before.values(), b = table.detach().values();
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i] != b[i]) moved += (a[i] - b[i]) * (a[i] - b[i]), size += a[i] * a[i];
    }
    ratio = std::sqrt(moved / size);
    recorder.after_step({x, y}, loss, sgd.lr());
    CHECK(row_gradient(table));  // still
    sgd.zero_grad();
  }
  recorder.finish();
  auto r = read(path);
  const Json p = r["step"].back()["parameters"]["0.weight"];
  CHECK(r["step"].back()["step"] == 4);
  CHECK(p["gnorm"].get<double>() == doctest::Approx(norm).epsilon(1e-4));
  CHECK(p["rows"] == Json({rows, 2000}));
  CHECK(p["ratio"].get<double>() ==
        doctest::Approx(ratio).epsilon(1e-3));                       // all rows are looked at
  CHECK(r["step"][0]["parameters"]["0.weight"]["ratio"].is_null());  // not known before
  CHECK_FALSE(r["step"].back()["parameters"]["1.weight"].contains("rows"));
  bool seen = false;
  for (const Json& node : r["probe"].back()["nodes"])
    seen |= node["name"] == "0.weight" && node["gnorm"].is_number() && node["gnorm"] > 0;
  CHECK(seen);
}

TEST_CASE("Recorder: what it writes") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  seed_layers(2);
  Sequential net = network();
  Adam adam(net, {.lr = 2e-3, .schedule = [](double t) { return 1 / (1 + t / 100); }});
  {
    Recorder recorder(net, path,
                      {.every = 10,
                       .valid = digits(),
                       .title = "a \"title\"",
                       .seed = 7,
                       .data = {{"x", digits().x}}});
    fit(net, adam, digits(),
        {.epochs = 2,
         .batch = 32,
         .valid = digits().rows(0, 100),
         .out = nullptr,
         .callbacks = {recorder}});
    recorder.finish();
    recorder.finish();  // once
  }
  auto r = read(path);
  Json run = r["run"][0];
  CHECK(run["title"] == "a \"title\"");
  CHECK(run["seed"] == 7);
  CHECK(run["threads"] == num_threads());
  CHECK(run["data"][0]["shape"] == Json({640, 28, 28, 1}));
  CHECK(run["data"][0]["checksum"].get<std::string>().size() == 16);
  CHECK(run["command"].get<std::string>().find("recorder_test") != std::string::npos);

  REQUIRE(r["model"].size() == 1);
  Json layers = r["model"][0]["layers"];
  REQUIRE(layers.size() == 12);
  CHECK(layers[0]["leaf"] == false);
  CHECK(layers[1]["path"] == "0");
  CHECK(layers[1]["type"] == "Conv2d");
  CHECK(layers[1]["shape"] == Json({32, 28, 28, 8}));
  CHECK(layers[1]["flops"] == 2 * 9 * 8 * 28 * 28);
  CHECK(layers[5]["activation"] == "relu");
  CHECK(layers[10]["activation"] == "prelu");
  CHECK(r["model"][0]["parameters"][0]["name"] == "0.weight");

  std::vector<int64_t> steps;
  for (const Json& s : r["step"]) steps.push_back(s["step"]);
  CHECK(steps == std::vector<int64_t>{1, 2, 4, 8, 10, 20, 30, 40});
  Json s = r["step"][2];
  CHECK(s["lr"].get<double>() == doctest::Approx(2e-3 / 1.03).epsilon(1e-4));
  for (const char* phase : {"data", "forward", "backward", "step"})
    CHECK(s["phases"][phase].get<double>() >= 0);
  CHECK(s["phases"]["forward"].get<double>() > 0);
  CHECK(s["layers"].size() == 11);
  CHECK(s["layers"]["4"]["y"]["zeros"].get<double>() > 0);
  CHECK(s["layers"]["4"]["pre"]["min"].get<double>() < 0);  // before the ReLU in the layer
  CHECK(s["layers"]["4"]["y"]["min"] == 0);
  CHECK(s["layers"]["3"]["pre"]["min"].get<double>() < 0);  // of a layer of its own
  CHECK(s["layers"]["9"]["pre"]["min"].get<double>() < 0);  // of a PReLU
  CHECK(s["layers"]["0"]["dy"]["n"].get<int64_t>() > 0);
  CHECK(s["parameters"].size() == 11);
  CHECK(s["parameters"]["0.weight"]["ratio"].get<double>() > 0);
  CHECK(s["parameters"]["0.weight"]["gnorm"].get<double>() > 0);
  CHECK(s["fire"].size() == 3);
  CHECK(s["fire"]["3"].size() == 8);

  REQUIRE(r["epoch"].size() == 2);
  CHECK(r["epoch"][1]["step"] == 40);
  CHECK(r["epoch"][1]["values"].contains("valid_accuracy"));
  CHECK(r["epoch"][1]["errors"]["valid_accuracy"].get<double>() > 0);

  REQUIRE(r["probe"].size() == 4);  // after step 1, epochs 1 and 2, and at the end
  std::set<std::string> ops, names;
  for (const Json& node : r["probe"][0]["nodes"]) {
    ops.insert(node["op"]);
    if (node["name"].is_string()) names.insert(node["name"]);
    for (const int64_t input : node["inputs"]) CHECK(input < node["id"].get<int64_t>());
    CHECK(node["dy"]["n"].get<int64_t>() > 0);
  }
  for (const char* op : {"leaf", "conv2d", "batch_norm", "relu", "max_pool2d", "cross_entropy"})
    CHECK(ops.contains(op));
  for (const char* name : {"x", "0.weight", "9.slope", "10.bias"}) CHECK(names.contains(name));
  Json loss = r["probe"][0]["nodes"].back();
  CHECK(loss["op"] == "cross_entropy");
  CHECK(loss["value"] == r["probe"][0]["loss"]);
  CHECK(loss["layer"] == "");
  CHECK(loss["dy"]["mean"] == 1);

  REQUIRE(r["images"].size() == 1);
  Json images = r["images"][0];
  CHECK(images["labels"] == Json({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  CHECK(images["pixels"].size() == 10);
  CHECK(images["pixels"][0].get<std::string>().size() == (28 * 28 + 2) / 3 * 4);
  CHECK(images["saliency"].size() == 10);
  CHECK(images["maps"]["0"]["h"] == 28);
  CHECK(images["maps"]["8"]["c"] == 16);
  CHECK(images["filters"]["4.weight"]["in"] == 8);

  REQUIRE(r["mistakes"].size() == 1);
  Json mistakes = r["mistakes"][0];
  const Tensor confusion = confusion_matrix(predict(net, digits().x), digits().y);
  for (int64_t i = 0; i < 10; ++i)
    for (int64_t j = 0; j < 10; ++j) CHECK(mistakes["confusion"][i][j] == confusion.at({i, j}));
  for (const auto& [cell, list] : mistakes["cells"].items()) {
    const int64_t label = cell[0] - '0', guess = cell[2] - '0';
    for (const Json& example : list) {
      CHECK(example["label"] == label);
      CHECK(example["top"][0][0] == guess);
      CHECK(digits().y.at({example["index"].get<int64_t>()}) == label);
    }
  }
  // Why: each wrong one that is shown has neighbours, which are right, and their pictures.
  int64_t shown = 0;
  const Tensor said = argmax(predict(net, digits().x), 1);
  for (const auto& [cell, list] : mistakes["cells"].items()) {
    for (const Json& example : list) {
      const std::string row = std::to_string(example["index"].get<int64_t>());
      const bool wrong = cell[0] != cell[2];
      CHECK(mistakes["why"].contains(row) == wrong);
      if (!wrong) continue;
      ++shown;
      const Json why = mistakes["why"][row];
      CHECK(why["speaks"].get<std::string>().size() == (28 * 28 + 2) / 3 * 4);
      for (const auto& [name, digit] : {std::pair{"said", cell[2]}, {"label", cell[0]}}) {
        if (!why.contains(name)) continue;
        const int64_t at = why[name][0];
        CHECK(digits().y.at({at}) == digit - '0');
        CHECK(said.at({at}) == digit - '0');
        CHECK(mistakes["pictures"].contains(std::to_string(at)));
      }
    }
  }
  CHECK(std::ssize(mistakes["why"]) == shown);
  CHECK(shown > 0);
  for (const auto& [cell, n] : mistakes["nearer"].items()) {
    CHECK(n[0] <= n[1]);
    CHECK(n[1] <= mistakes["confusion"][cell[0] - '0'][cell[2] - '0']);
  }
  REQUIRE(r["gradcheck"].size() == 1);
  CHECK(r["gradcheck"][0]["parameters"].size() == 11 * 6 - 5);  // the slope is one number
  for (const Json& row : r["gradcheck"][0]["parameters"]) CHECK(row["error"].get<double>() < 1e-6);
  REQUIRE(r["end"].size() == 1);
  CHECK(r["end"][0]["reason"] == "done");
  CHECK(r["end"][0]["step"] == 40);
  CHECK(r["lesson"].empty());  // too large to be followed
}

TEST_CASE("Recorder: the border of classes in the plane; findings; fit's .record") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  const Tensor x = Rng(1).normal({400, 2});
  const Dataset data{x, greater(sum(x, 1), Tensor::scalar(0)).to(i64)};
  seed_layers(1);
  Sequential net{Dense(2, 8, ReLU{}), Dense(8, 2)};
  net.get<Dense>(0).bias = Tensor::full({8}, -20);
  SGD sgd(net, {.lr = 0.1});
  fit(net, sgd, data,
      {.epochs = 8, .batch = 20, .seed = 4, .valid = data, .record = path, .out = nullptr});
  auto r = read(path);
  REQUIRE(r["boundary"].size() == 8);  // 1, 2, 4, .. 64, 100
  Json b = r["boundary"][0];
  CHECK(b["p"].get<std::string>().size() == (64 * 64 + 2) / 3 * 4);
  CHECK(b["points"].size() == 400);
  CHECK(b["x"][0].get<double>() < b["x"][1].get<double>());
  CHECK_FALSE(r["boundary"][1].contains("points"));
  REQUIRE(r["finding"].size() >= 1);
  CHECK(r["finding"][0]["code"].get<std::string>() != "");
  CHECK(r["finding"][0]["evidence"].get<std::string>() != "");
  CHECK(r["run"][0]["seed"] == 4);
  CHECK(r["end"][0]["reason"] == "done");
  CHECK(r["mistakes"][0]["h"] == 0);
  // So small a model can be followed step by step, with one example.
  REQUIRE(r["lesson"].size() == 1);
  const Json& nodes = r["lesson"][0]["nodes"];
  CHECK(std::ranges::count(nodes, "0.weight", [](auto& n) { return n["name"]; }) == 1);
  CHECK(nodes.back()["gradient"] == Json({1}));
  CHECK(r["lesson"][0].dump().find("Σ ∂") == std::string::npos);  // every line in numbers
}

TEST_CASE("Recorder: after a crash, and when training goes on from a checkpoint") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  const auto run = [&](int64_t stop_at) {
    seed_layers(2);
    Sequential net{Flatten{}, Dense(784, 16, ReLU{}), Dense(16, 10)};
    Adam adam(net);
    fit(net, adam, digits(),
        {.epochs = 2,
         .batch = 32,
         .checkpoint = scratch.path("run.ckpt"),
         .checkpoint_steps = 10,
         .record = path,
         .out = nullptr,
         .callbacks = {{.after_step = [&](TrainState& s) {
           if (s.step + 1 == stop_at) throw Error("power cut");
         }}}});
  };
  CHECK(message([&] { run(36); }).find("power cut") != std::string::npos);
  auto r = read(path);
  CHECK(r["step"].size() == 6);  // 1, 2, 4, .. 32
  CHECK(r["end"][0]["reason"] == "stopped: an error");
  // The file as a crash would leave it.
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 20);
  CHECK(read_glass(path).cut);

  run(-1);
  r = read(path);
  CHECK(r["run"].size() == 1);
  CHECK(r["model"].size() == 1);
  CHECK(r["step"].size() == 7);  // .. 16, then 31, the first one again, and 32
  CHECK(r["step"][5]["step"] == 31);
  CHECK(r["end"].size() == 1);
  CHECK(r["end"][0]["step"] == 40);
  CHECK(r["epoch"].size() == 2);
}

// What docs/glass.md shows.
TEST_CASE("Recorder and report: by fit, and in a loop of one's own") {
  const Scratch scratch;
  const std::string glass = scratch.path("run.glass"), page = scratch.path("run.html");
  const auto [train, test] = digits().split(0.8);
  for (const bool by_fit : {true, false}) {
    seed_layers(1);
    Sequential net{Flatten{}, Dense(784, 32, ReLU{}), Dense(32, 10)};
    Adam adam(net);
    if (by_fit) {
      Recorder recorder(net, glass, {.every = 100, .valid = test});
      fit(net, adam, train, {.epochs = 2, .valid = test, .out = nullptr, .callbacks = {recorder}});
      recorder.finish();
      save_report(page, {glass});
    } else {
      const Batches batches(train);
      Recorder recorder(net, glass, {.every = 100, .valid = test});
      for (int64_t epoch = 0; epoch < 2; ++epoch) {
        for (const auto& [x, y] : batches.epoch(epoch)) {
          const Tensor loss = cross_entropy(net(x), y);
          loss.backward();
          adam.step();
          recorder.after_step({x, y}, loss, adam.lr());  // the gradients are still there
          adam.zero_grad();
        }
        recorder.epoch_end({{"valid_accuracy", {evaluate(net, test)}}});
      }
      recorder.finish();
    }
    auto r = read(glass);
    CHECK(r["epoch"].size() == 2);
    CHECK(r["step"].size() == 5);
    CHECK(r["step"][0]["phases"].is_null() != by_fit);
    CHECK(r["end"].size() == 1);
  }
  const auto size = std::filesystem::file_size(page);
  CHECK(size > 100'000);
  CHECK(size < 3'000'000);
}

TEST_CASE("Recorder: large images are kept small") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  const Dataset photos{Rng(1).uniform({60, 100, 120, 3}), Rng(2).randint({60}, 0, 3)};
  seed_layers(1);
  Sequential net{Conv2d(3, 4, 3, ReLU{}), GlobalAvgPool{}, Dense(4, 3)};
  SGD sgd(net, {.lr = 0.01});
  fit(net, sgd, photos, {.batch = 30, .valid = photos, .record = path, .out = nullptr});
  auto r = read(path);
  const Json images = r["images"][0], mistakes = r["mistakes"][0];
  CHECK(images["h"] == 34);  // of 100 and 120 each third
  CHECK(images["w"] == 40);
  const size_t bytes = 34 * 40 * 3;
  CHECK(images["pixels"][0].get<std::string>().size() == (bytes + 2) / 3 * 4);
  CHECK(images["saliency"][0].get<std::string>().size() == (34 * 40 + 2) / 3 * 4);
  CHECK(images["maps"]["0"]["h"] == 25);  // of 98 and 118 each fourth
  CHECK(images["maps"]["0"]["data"][0].get<std::string>().size() == (25 * 30 * 4 + 2) / 3 * 4);
  CHECK(mistakes["w"] == 40);
  CHECK(mistakes["worst"][0]["pixels"].get<std::string>().size() == (bytes + 2) / 3 * 4);
  CHECK(std::filesystem::file_size(path) < 1'000'000);
}

TEST_CASE("Recorder: of many layers less each is kept, so that the pictures of all fit") {
  const Dataset photos{Rng(1).uniform({10, 32, 32, 3}), Rng(2).randint({10}, 0, 3)};
  const auto line = [&](int64_t layers) {
    seed_layers(1);
    Sequential net{Conv2d(3, 16, 3, {.padding = 1})};
    for (int64_t i = 1; i < layers; ++i) net.add(Conv2d(16, 16, 3, ReLU{}, {.padding = 1}));
    return images_line(
        net, photos, [&](const Dataset& d) { return sum(net(d.x)); }, 1);
  };
  const Json few = Json::parse(line(2)), many = Json::parse(line(60));
  CHECK(few["maps"]["1"]["h"] == 32);
  CHECK(few["maps"]["1"]["c"] == 16);
  CHECK(few["filters"]["1.weight"]["in"] == 16);
  CHECK(many["maps"].size() == 60);
  CHECK(many["maps"]["1"]["h"] == 16);
  CHECK(many["maps"]["1"]["c"] == 4);
  CHECK(many["maps"]["1"]["of"] == 16);
  CHECK(many.dump().size() < 1'300'000);
}

TEST_CASE("Recorder: a run that diverges has a file and a page") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  seed_layers(1);
  Sequential net{Flatten{}, Dense(784, 16, ReLU{}), Dense(16, 10)};
  SGD sgd(net, {.lr = 1e30});
  CHECK(message([&] {
          fit(net, sgd, digits(),
              {.epochs = 2, .batch = 32, .valid = digits(), .record = path, .out = nullptr});
        }).find("fit: the loss is") == 0);
  auto r = read(path);
  CHECK(r["step"].size() >= 1);
  CHECK(r["end"][0]["reason"] == "stopped: an error");
  CHECK(report_html({read_glass(path)}).size() > 100'000);
}

TEST_CASE("Recorder: models of several inputs; errors") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  struct Towers final : ModuleOf<Towers> {
    Dense a{3, 4, ReLU{}}, b{4, 1};
    Tensor forward(const Tensor& x, const Tensor& z) { return b(a(x) * z); }
    void fields(Fields& f) override { f.child("a", a).child("b", b); }
  } net;
  const Dataset data{Rng(1).normal({8, 3}), Rng(2).normal({8, 1}), {Rng(3).normal({8, 4})}};
  const Loss loss([&](const Dataset& d) { return mse_loss(net(d.x, d.more[0]), d.y); });
  SGD sgd(net, {.lr = 0.01});
  {
    Recorder recorder(net, path, {.every = 2, .loss = loss});
    fit(net, sgd, data,
        {.epochs = 5, .batch = 4, .loss = loss, .out = nullptr, .callbacks = {recorder}});
  }
  auto r = read(path);
  CHECK(r["step"].size() == 6);
  CHECK(r["probe"].back()["nodes"].back()["op"] == "mse_loss");
  CHECK(r["step"][0]["fire"].contains("a"));
  CHECK(message([&] { Recorder(net, path); }).find("needs a loss of the batch") !=
        std::string::npos);
  Sequential plain{Dense(3, 1)};
  CHECK(message([&] { Recorder(plain, path, {.every = 0}); }) ==
        "Recorder: expected every >= 1; got 0.");
  CHECK(message([&] { Recorder(plain, path, {.count_every = -1}); }).find("count_every >= 0") !=
        std::string::npos);
  CHECK(message([&] {
          Recorder(plain, path, {.probe = digits()});
        }).find("at most 64 examples; got 640") != std::string::npos);
  CHECK(message([&] { Recorder(plain, scratch.path("none/run.glass")); }).find("cannot write") !=
        std::string::npos);
}
