#include "ramp/train/checkpoint.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/core/parallel.h"
#include "ramp/data/augment.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/init.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/adam.h"
#include "ramp/optim/sgd.h"
#include "ramp/train/fit.h"
#include "scratch.h"

using namespace ramp;
namespace fs = std::filesystem;

namespace {

// Small images of two classes: bright above or below.
Dataset images(int64_t n) {
  Tensor x = Rng(1).uniform({n, 6, 6, 1}), y = Tensor::empty({n}, i64);
  for (int64_t i = 0; i < n; ++i) {
    y.mutable_data<int64_t>()[i] = i % 2;
    for (int64_t j = 0; j < 18; ++j) x.mutable_data<float>()[36 * i + 18 * (i % 2) + j] += 0.5f;
  }
  return {x, y};
}

// All that a run may have: batch norm, dropout, augmentation, prefetching, EMA, a plateau,
// accumulation, the best weights.
struct Job {
  Sequential net = [] {
    seed_layers(3);
    return Sequential{Conv2d(1, 4, 3), BatchNorm2d(4), ReLU{},
                      Flatten{},       Dropout(0.3),   Dense(64, 2)};
  }();
  Adam adam{net, {.lr = 0.01, .schedule = cosine_decay(60)}};
  FitOptions options;

  explicit Job(const std::string& checkpoint) {
    options = {.epochs = 5,
               .batch = 8,
               .seed = 1,
               .transform = Augment({.shift = 1, .elastic_alpha = 2, .seed = 4}),
               .valid = images(20),
               .monitor = "valid_accuracy",
               .keep_best = true,
               .reduce_on_plateau = PlateauOptions{.factor = 0.5, .patience = 0},
               .accumulate = 2,
               .clip_norm = 1,
               .ema = EmaOptions{.decay = 0.9},
               .checkpoint = checkpoint,
               .out = nullptr};
  }
  History run() { return fit(net, adam, images(60), options); }
  std::vector<double> state() {
    std::vector<double> all;
    for (const auto& list : {net.state(), adam.state()}) {
      for (const NamedTensor& t : list) {
        const std::vector<double> values = t.tensor.values();
        all.insert(all.end(), values.begin(), values.end());
      }
    }
    return all;
  }
};

// All columns but the clock's.
std::string results(const History& h) {
  std::string text = fmt::format("best {} ", h.best_epoch);
  for (const History::Row& row : h.rows) {
    text += fmt::format("{} {} {} ", row.epoch, row.steps, row.lr);
    for (const auto& [name, value] : row.values) {
      text += fmt::format("{} {} {} ", name, value.value, value.error);
    }
  }
  return text;
}

}  // namespace

TEST_CASE("a run stopped at any step and continued ends with the same bits") {
  const Scratch folder;
  Job whole("");
  const std::string expected = results(whole.run());
  const std::vector<double> weights = whole.state();
  const int before = num_threads();
  // 8 batches, so 4 steps an epoch; each stop is a crash: what is not in the file is lost.
  for (int64_t stop = 1; stop <= 20; ++stop) {
    INFO("stopped after step ", stop);
    const std::string path = folder.path(fmt::format("{}.ckpt", stop));
    set_num_threads(1 + static_cast<int>(stop % 2));
    Job first(path);
    first.options.checkpoint_steps = 3;
    first.options.callbacks = {{.before_step = [&](TrainState& s) {
      if (s.step == stop) throw Error("crash");
    }}};
    const std::string end = message([&] { first.run(); });
    CHECK(end == (stop < 20 ? "crash" : "no error"));
    set_num_threads(2 - static_cast<int>(stop % 2));
    Job second(path);
    const History h = second.run();
    CHECK(results(h) == expected);
    CHECK(second.state() == weights);
    const int64_t saved = stop == 20 ? 20 : stop / 3 * 3;  // at the end, or before its epoch's
    CHECK(h.checkpoint == fmt::format("epoch {}, step {}",
                                      stop == 20   ? 5
                                      : saved == 0 ? 0
                                                   : (saved - 1) / 4,
                                      saved));
    // What is finished stays so, and more epochs continue it.
    Job third(path);
    CHECK(results(third.run()) == expected);
    CHECK(third.state() == weights);
  }
  set_num_threads(before);
  Job longer(folder.path("3.ckpt")), at_once("");
  longer.options.epochs = at_once.options.epochs = 7;
  CHECK(results(longer.run()) == results(at_once.run()));
  CHECK(longer.state() == at_once.state());
}

TEST_CASE("a callback's stop and a lost patience stay what they are") {
  const Scratch folder;
  for (int i = 0; i < 2; ++i) {
    Job job(folder.path("stop"));
    job.options.callbacks = {{.after_epoch = [](TrainState& s) {
      if (s.epoch == 1) s.stop("good enough");
    }}};
    const History h = job.run();
    CHECK(h.stopped == "good enough");
    CHECK(h.rows.size() == 2);
  }
  Job patient(folder.path("patience"));
  const Metric worse(
      "worse", [n = 0](const Tensor&, const Tensor&) mutable { return ++n; }, false);
  patient.options.metrics = {worse};
  patient.options.monitor = "valid_worse";
  patient.options.patience = 2;
  CHECK(patient.run().rows.size() == 3);
  Job more(folder.path("patience"));
  more.options.metrics = patient.options.metrics;
  more.options.monitor = "valid_worse";
  more.options.patience = 9;
  CHECK(more.run().rows.size() == 5);
}

TEST_CASE("the program that is killed: run by the test below" * doctest::skip()) {
  Job job(std::getenv("RAMP_TEST_CHECKPOINT"));
  job.options.checkpoint_steps = 1;
  job.options.epochs = 12;
  if (std::getenv("RAMP_TEST_STEP_MS")) {
    job.options.callbacks = {{.after_step = [](TrainState&) { usleep(20000); }}};
  }
  try {
    job.run();
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    std::exit(1);
  }
  std::exit(0);
}

namespace {

// Starts this program again with the case above.
pid_t start(const std::string& checkpoint, bool slow = false, int error_out = -1) {
  const pid_t pid = fork();
  if (pid == 0) {
    setenv("RAMP_TEST_CHECKPOINT", checkpoint.c_str(), 1);
    if (slow) setenv("RAMP_TEST_STEP_MS", "20", 1);
    if (error_out >= 0) dup2(error_out, STDERR_FILENO);
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    execl("/proc/self/exe", "checkpoint_test", "--no-skip", "--test-case=the program*",
          static_cast<char*>(nullptr));
    _exit(3);
  }
  return pid;
}

// Of the file of that name now; 0: there is none.
ino_t inode(const std::string& path) {
  struct stat file {};
  return stat(path.c_str(), &file) == 0 ? file.st_ino : 0;
}

// Its exit code, or minus the signal that ended it.
int end_of(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("kill -9 at any moment: the old file or the new one, and the same end") {
  const Scratch folder;
  const std::string path = folder.path("killed.ckpt"), whole = folder.path("whole.ckpt");
  REQUIRE(end_of(start(whole)) == 0);
  Rng rng(static_cast<uint64_t>(getpid()));
  int killed = 0;
  for (int i = 0; killed < 50; ++i) {
    REQUIRE(i < 500);
    const ino_t old = inode(path);
    const pid_t pid = start(path);
    // Half of them while they start, half after their first step, however long that takes.
    for (int ms = 0; i % 2 == 0 && ms < 5000 && inode(path) == old; ++ms) usleep(1000);
    usleep(static_cast<useconds_t>(rng.next() % 30000));
    kill(pid, SIGKILL);
    const int end = end_of(pid);
    killed += end == -SIGKILL;
    if (!fs::exists(path)) continue;  // it was killed before its first checkpoint
    CHECK_NOTHROW(load_safetensors(path));
    if (end != 0) continue;
    // It came to its end before the signal: the next one begins anew.
    Job a(path), b(whole);
    a.options.epochs = b.options.epochs = 12;
    CHECK(results(a.run()) == results(b.run()));
    CHECK(a.state() == b.state());
    fs::remove(path);
  }
  REQUIRE(end_of(start(path)) == 0);
  Job a(path), b(whole);
  a.options.epochs = b.options.epochs = 12;
  CHECK(results(a.run()) == results(b.run()));
  CHECK(a.state() == b.state());
  // What the killed ones left is cleared away.
  int64_t files = 0;
  for (const auto& file : fs::directory_iterator(folder.path("."))) {
    INFO(file.path().string());
    ++files;
  }
  CHECK(files == 2);
}

TEST_CASE("Ctrl-C and SIGTERM: the step is finished, all is saved, it says how to go on") {
  const Scratch folder;
  const std::string whole = folder.path("whole.ckpt");
  REQUIRE(end_of(start(whole)) == 0);
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string path = folder.path("ended.ckpt");
    fs::remove(path);
    int out[2];
    REQUIRE(pipe(out) == 0);
    const pid_t pid = start(path, true, out[1]);
    close(out[1]);
    for (int i = 0; i < 1000 && !fs::exists(path); ++i) usleep(10000);
    usleep(100000);
    kill(pid, signal);
    CHECK(end_of(pid) == 1);
    std::string text;
    for (char c; read(out[0], &c, 1) == 1;) text += c;
    close(out[0]);
    INFO(text);
    CHECK(text.find("fit: interrupted at epoch ") == 0);
    CHECK(text.find(path + " holds it all. Hint: start the program again to go on.") !=
          std::string::npos);
    CHECK(end_of(start(path)) == 0);
    Job a(path), b(whole);
    a.options.epochs = b.options.epochs = 12;
    CHECK(results(a.run()) == results(b.run()));
    CHECK(a.state() == b.state());
  }
}

TEST_CASE("a place that cannot be written to is an error before any step") {
  const Scratch folder;
  const auto with = [](const std::string& path) { return message([&] { Job(path).run(); }); };
  CHECK(with(folder.path("no/run.ckpt")).find("save_safetensors: cannot create ") == 0);
  CHECK(with(folder.path("")).find("load_safetensors: ") == 0);  // a folder
  if (geteuid() != 0) {
    fs::create_directory(folder.path("read_only"));
    fs::permissions(folder.path("read_only"), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(with(folder.path("read_only/a")).find("save_safetensors: cannot create ") == 0);
  }
}

TEST_CASE("a full disk leaves the old checkpoint whole") {
  const Scratch folder;
  const std::string path = folder.path("run.ckpt");
  Job first(path);
  first.options.epochs = 2;
  first.run();
  const std::vector<uint8_t> old = read_all(path);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 1000;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  Job second(path);
  const std::string error = message([&] { second.run(); });
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_DFL);
  CHECK(error.find("save_safetensors: cannot write ") == 0);
  CHECK(read_all(path) == old);
  CHECK(std::distance(fs::directory_iterator(folder.path(".")), {}) == 1);
  Job third(path), whole("");
  CHECK(results(third.run()) == results(whole.run()));
}

TEST_CASE("another model, other data or options, another kind of file: errors, nothing changed") {
  const Scratch folder;
  const std::string path = folder.path("run.ckpt");
  Job(path).run();
  const std::vector<uint8_t> old = read_all(path);
  const auto error = [&](auto change) {
    Job job(path);
    change(job);
    const std::vector<double> weights = job.state();
    const std::string text = message([&] { job.run(); });
    CHECK(job.state() == weights);
    CHECK(read_all(path) == old);
    return text;
  };
  CHECK(error([](Job& j) { j.options.batch = 16; }) ==
        fmt::format("fit: {} was made with batch 8; got 16. Hint: remove the file to begin anew, "
                    "or give it another name.",
                    path));
  CHECK(error([](Job& j) { j.options.seed = 2; }).find("was made with seed 1; got 2.") !=
        std::string::npos);
  CHECK(error([](Job& j) { j.adam.set_lr(0.02); }).find("was made with lr 0.01; got 0.02.") !=
        std::string::npos);
  CHECK(error([](Job& j) { j.options.ema.reset(); })
            .find("was made with ema [0.9,false]; got "
                  "null.") != std::string::npos);
  {
    Job job(path);
    Sequential other{Flatten{}, Dense(36, 2)};
    Adam adam(other, {.lr = 0.01});
    job.options.keep_best = false;
    const std::string text = message([&] { fit(other, adam, images(60), job.options); });
    CHECK(text.find("was made with keep_best true; got false.") != std::string::npos);
    job.options.keep_best = true;
    CHECK(message([&] {
            fit(other, adam, images(60), job.options);
          }).find("load_state: the state and the checkpoint " + path + " must agree; ") == 0);
    Dataset data = images(60);
    data.x = data.x + 1;
    CHECK(message([&] {
            Job j(path);
            fit(j.net, j.adam, data, j.options);
          }).find("was made with data \"60 examples, ") != std::string::npos);
  }
  Sequential net{Dense(2, 2)};
  save_model(path, net);
  CHECK(message([&] { Job(path).run(); }) ==
        fmt::format("checkpoint: {} is a file of tensors, but no checkpoint. Hint: give it another "
                    "name.",
                    path));
  save_safetensors(path, net.state(), {{"checkpoint", "2"}});
  CHECK(message([&] { Job(path).run(); }) ==
        fmt::format("checkpoint: {} is of version 2; this ramp reads version 1.", path));
  save_safetensors(path, net.state(), {{"checkpoint", "1"}});
  CHECK(message([&] { Job(path).run(); }) ==
        fmt::format("fit: {} is no checkpoint of fit(). Hint: give it another name.", path));
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  for (const std::string& note :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"settings\":{}}"),
        std::string("{\"settings\":7}"), "{\"settings\":{\"data\":" + deep + "}}"}) {
    save_safetensors(path, net.state(), {{"checkpoint", "1"}, {"fit", note}});
    CHECK(message([&] { Job(path).run(); }).find("fit: " + path) == 0);
  }
  // Cut short, at each length of a few.
  for (size_t n = 0; n < old.size(); n += 997) {
    folder.write("run.ckpt", {old.begin(), old.begin() + static_cast<std::ptrdiff_t>(n)});
    Job job(path);
    const std::vector<double> weights = job.state();
    CHECK(message([&] { job.run(); }).find("load_safetensors: ") == 0);
    CHECK(job.state() == weights);
  }
}

TEST_CASE("in a loop of one's own") {
  const Scratch folder;
  const auto run = [&](const std::string& path, int64_t stop) {
    seed_layers(1);
    Sequential net{Flatten{}, Dense(36, 2)};
    SGD sgd(net, {.lr = 0.1, .momentum = 0.9});
    Checkpoint checkpoint(path);
    checkpoint.add("model", net).add("optimizer", sgd);
    const Batches batches(images(60), {.size = 8, .seed = 1});
    int64_t epoch = checkpoint.load() ? std::stoll(checkpoint.notes["epoch"]) : 0;
    for (; epoch < stop; ++epoch) {
      for (const auto& [x, y] : batches.epoch(epoch)) {
        cross_entropy(net(x), y).backward();
        sgd.step();
        sgd.zero_grad();
      }
      checkpoint.notes["epoch"] = std::to_string(epoch + 1);
      checkpoint.save();
    }
    return read_all(path);
  };
  run(folder.path("a"), 2);
  CHECK(run(folder.path("a"), 5) == run(folder.path("b"), 5));
}

// The file was written by this test with RAMP_RENEW=1, once; it is not written again: what is
// saved today must be read for ever.
TEST_CASE("a checkpoint of version 0.1 is read and goes on") {
  const std::string golden = RAMP_FIXTURES_DIR "/checkpoint_0.1.ckpt";
  if (std::getenv("RAMP_RENEW") && !fs::exists(golden)) {
    Job job(golden);
    job.options.epochs = 2;
    job.run();
  }
  const Scratch folder;
  fs::copy(golden, folder.path("run.ckpt"));
  Job job(folder.path("run.ckpt"));
  const History h = job.run();
  CHECK(h.checkpoint == "epoch 2, step 8");
  CHECK(h.rows.size() == 5);
  CHECK(h.last().steps == 20);
  Job whole("");
  const History at_once = whole.run();
  // The file is of another CPU, perhaps: near, not equal.
  for (const char* name : {"loss", "valid_loss"}) {
    for (size_t i = 0; i < 5; ++i) {
      CHECK(h[name][i] == doctest::Approx(at_once[name][i]).epsilon(0.02));
    }
  }
}
