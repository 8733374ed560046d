// Runs one of the measured workloads and prints one JSON line, or one for each op or product.
// bench/compare.py and bench/ops.py set them beside PyTorch.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops.h"
#include "ramp/core/blas.h"
#include "ramp/core/conv.h"
#include "ramp/core/gemm.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/ramp.h"

using namespace ramp;

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Arguments {
  std::string work = "W1", data = RAMP_DATA_DIR "/mnist", model = "W1", only;
  bool list = false;
  int64_t batch = 64, threads = 1, epochs = 0;
  double seconds = 2;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--json") continue;
    if (flag == "--list") {
      a.list = true;
      continue;
    }
    if (i + 1 == argc) fail("ramp-bench: {} needs a value.", flag);
    const std::string value = argv[++i];
    if (flag == "--work")
      a.work = value;
    else if (flag == "--model")
      a.model = value;
    else if (flag == "--data")
      a.data = value;
    else if (flag == "--only")
      a.only = value;
    else if (flag == "--batch")
      a.batch = std::stoll(value);
    else if (flag == "--threads")
      a.threads = std::stoll(value);
    else if (flag == "--epochs")
      a.epochs = std::stoll(value);
    else if (flag == "--seconds")
      a.seconds = std::stod(value);
    else
      fail(
          "ramp-bench: unknown option {}. Hint: --work --batch --threads --seconds --epochs "
          "--data --model --only --list --json.",
          flag);
  }
  return a;
}

double peak_rss_mb() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// The median of three windows of `seconds` each, in calls a second.
double rate(double seconds, const std::function<void()>& call) {
  const double warm = now() + 0.3 * seconds;
  do call();
  while (now() < warm);
  std::vector<double> rates;
  for (int window = 0; window < 3; ++window) {
    const double start = now();
    double end;
    int64_t calls = 0;
    do {
      call();
      ++calls;
      end = now();
    } while (end - start < seconds);
    rates.push_back(static_cast<double>(calls) / (end - start));
  }
  std::sort(rates.begin(), rates.end());
  return rates[1];
}

Sequential mlp(std::vector<int64_t> widths) {
  Sequential net;
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    const bool last = i + 2 == widths.size();
    net.add(Dense(widths[i], widths[i + 1], last ? Activation(Identity{}) : Activation(ReLU{})));
  }
  return net;
}

// relu(body(x) + x), x by a 1x1 convolution where the shape changes.
struct Block final : Module {
  Sequential body, shortcut;

  Block(int64_t c, int64_t k, int64_t stride)
      : body{Conv2d(c, k, 3, {.stride = stride, .padding = 1, .bias = false}),
             BatchNorm2d(k, ReLU{}), Conv2d(k, k, 3, {.padding = 1, .bias = false}),
             BatchNorm2d(k)} {
    if (c == k) return;
    shortcut.add(Conv2d(c, k, 1, {.stride = stride, .bias = false}));
    shortcut.add(BatchNorm2d(k));
  }
  Tensor forward(const Tensor& x) override {
    return relu(body(x) + (shortcut.size() > 0 ? shortcut(x) : x));
  }
  void fields(Fields& f) override {
    f.child("body", body);
    f.child("shortcut", shortcut);
  }
  std::string describe() const override { return "Block"; }
};

// ResNet-20 for 32x32x3.
Sequential resnet20() {
  Sequential net{Conv2d(3, 16, 3, {.padding = 1, .bias = false}), BatchNorm2d(16, ReLU{})};
  int64_t c = 16;
  for (const int64_t k : {16, 32, 64}) {
    for (int i = 0; i < 3; ++i) {
      net.add(Block(c, k, c == k ? 1 : 2));
      c = k;
    }
  }
  net.add(GlobalAvgPool{});
  net.add(Dense(64, 10));
  return net;
}

Sequential model_of(const std::string& work) {
  if (work == "W1") return mlp({784, 128, 10});
  if (work == "W2") return mlp({784, 512, 512, 10});
  if (work == "W2w") return mlp({784, 1024, 1024, 10});
  if (work == "W3") {
    return Sequential{Conv2d(1, 32, 3, ReLU{}),
                      Conv2d(32, 64, 3, ReLU{}),
                      MaxPool2d(2),
                      Flatten{},
                      Dense(9216, 128, ReLU{}),
                      Dense(128, 10)};
  }
  if (work == "W4") {
    return Sequential{Conv2d(1, 6, 5, ReLU{}, {.padding = 2}),
                      MaxPool2d(2),
                      Conv2d(6, 16, 5, ReLU{}),
                      MaxPool2d(2),
                      Flatten{},
                      Dense(400, 120, ReLU{}),
                      Dense(120, 84, ReLU{}),
                      Dense(84, 10)};
  }
  if (work == "W5") {
    return Sequential{Conv2d(1, 16, 3, {.padding = 1}),
                      BatchNorm2d(16, ReLU{}),
                      Conv2d(16, 32, 3, {.padding = 1}),
                      BatchNorm2d(32, ReLU{}),
                      MaxPool2d(2),
                      Conv2d(32, 64, 3, {.padding = 1}),
                      BatchNorm2d(64, ReLU{}),
                      MaxPool2d(2),
                      GlobalAvgPool{},
                      Dense(64, 10)};
  }
  if (work == "W8") return resnet20();
  if (work == "W9") {
    return Sequential{Conv2d(1, 16, 3, ReLU{}, {.stride = 2, .padding = 1}),
                      Conv2d(16, 32, 3, ReLU{}, {.stride = 2, .padding = 1}),
                      ConvTranspose2d(32, 16, 4, ReLU{}, {.stride = 2, .padding = 1}),
                      ConvTranspose2d(16, 1, 4, {.stride = 2, .padding = 1})};
  }
  if (work == "W10") {  // of ./run mnist
    Sequential net;
    int64_t c = 1;
    for (const int64_t k : {32, 64, 64}) {
      net.add(Conv2d(c, k, 3, {.padding = 1, .bias = false}));
      net.add(MaxPool2d(2));
      net.add(BatchNorm2d(k));
      net.add(ReLU{});
      c = k;
    }
    net.add(Flatten{});
    net.add(Dense(576, 10));
    return net;
  }
  if (work == "W11")
    return Sequential{EmbeddingBag(100000, 64), Dense(64, 128, ReLU{}), Dense(128, 2)};
  fail(
      "ramp-bench: unknown work {}. Hint: W1 .. W11, W2w, conv, gemm, growth, ops, peak or "
      "recorder.",
      work);
}

// Images for a model that starts with a convolution, else rows; or bags of words.
Dataset data_for(const std::string& model, const Arguments& a, Split split) {
  if (model == "W8") {
    Rng rng(1);
    return {rng.uniform({2048, 32, 32, 3}), rng.randint({2048}, 0, 10)};
  }
  if (model == "W11") {
    Rng rng(1);
    return {rng.randint({16384, 32}, 0, 100000), rng.randint({16384}, 0, 2)};
  }
  const Dataset data = load_mnist(a.data, split);
  return model == "W1" || model == "W2" || model == "W2w" ? data.flat() : data;
}

std::string train(const Arguments& a, double start) {
  const Dataset train_set = data_for(a.work, a, Split::train);
  seed_layers(1);
  Sequential net = model_of(a.work);
  std::unique_ptr<Optimizer> optimizer = std::make_unique<Adam>(net, AdamOptions{.lr = 1e-3});
  if (a.work == "W5")
    optimizer = std::make_unique<SGD>(net, SgdOptions{.lr = 0.05, .momentum = 0.9});
  if (a.work == "W8")
    optimizer = std::make_unique<SGD>(net, SgdOptions{.lr = 0.1, .momentum = 0.9});
  Batches batches(train_set, {.size = a.batch, .seed = 1, .drop_last = true});
  const double ready = now();
  Tensor loss;
  const auto step = [&](const Tensor& x, const Tensor& y) {
    loss = a.work == "W9" ? mse_loss(net(x), x) : cross_entropy(net(x), y);
    loss.backward();
    optimizer->step();
    optimizer->zero_grad();
  };
  double first_step = 0, samples_per_s;
  std::string accuracy;
  if (a.epochs > 0) {
    const Dataset test_set = data_for(a.work, a, Split::test);
    double seconds = 0, to_99 = -1, right = 0;
    int64_t seen = 0;
    for (int64_t epoch = 0; epoch < a.epochs; ++epoch) {
      const double begin = now();
      for (const auto& [x, y] : batches.epoch(epoch)) {
        step(x, y);
        if (seen == 0) first_step = now() - begin;
        seen += x.shape()[0];
      }
      seconds += now() - begin;
      right = evaluate(net, test_set);
      if (right >= 0.99 && to_99 < 0) to_99 = seconds;
    }
    samples_per_s = static_cast<double>(seen) / seconds;
    accuracy = fmt::format(",\"test_accuracy\":{:.4f},\"seconds_to_99\":{:.1f}", right, to_99);
  } else {
    int64_t epoch = 0;
    auto range = batches.epoch(epoch);
    auto at = range.begin();
    const auto call = [&] {
      if (at == range.end()) {
        range = batches.epoch(++epoch);
        at = range.begin();
      }
      const auto [x, y] = *at;
      step(x, y);
      ++at;
    };
    const double begin = now();
    call();
    first_step = now() - begin;
    samples_per_s = rate(a.seconds, call) * static_cast<double>(a.batch);
  }
  return fmt::format(
      "\"samples_per_s\":{:.1f},\"first_step_s\":{:.4f},\"start_to_ready_s\":{:.3f},"
      "\"loss_last\":{:.5f}{}",
      samples_per_s, first_step, ready - start, loss.item(), accuracy);
}

// What a Recorder costs: the same steps with one and without, in turn, by processor time (in which
// a thread that waits for another one counts, too) and by the clock.
std::string recorder(const Arguments& a, double start) {
  const Dataset train_set = data_for(a.model, a, Split::train);
  seed_layers(1);
  Sequential net = model_of(a.model);
  Adam adam(net, {.lr = 1e-3});
  Batches batches(train_set, {.size = a.batch, .seed = 1, .drop_last = true});
  const std::string path = (std::filesystem::temp_directory_path() / "ramp-bench.glass").string();
  int64_t epoch = 0;
  auto range = batches.epoch(epoch);
  auto at = range.begin();
  const auto steps = [&](int64_t n, Recorder* recorder) {
    const std::clock_t begin = std::clock();
    const double at_first = now();
    for (int64_t i = 0; i < n; ++i, ++at) {
      if (at == range.end()) {
        range = batches.epoch(++epoch);
        at = range.begin();
      }
      const Dataset batch = *at;
      const Tensor loss = cross_entropy(net(batch.x), batch.y);
      loss.backward();
      adam.step();
      if (recorder) {
        recorder->after_step(batch, loss, adam.lr());
      } else {
        loss.item();
      }
      adam.zero_grad();
    }
    const double used = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    return std::array{used / static_cast<double>(n), (now() - at_first) / static_cast<double>(n)};
  };
  std::vector<std::array<double, 2>> without, with;
  {
    Recorder recorder(net, path, {.every = 100});
    steps(100, &recorder);  // at first it looks more often
    // A hundred steps each, of which one is recorded.
    for (const double end = now() + a.seconds; now() < end;) {
      with.push_back(steps(100, &recorder));
      const Alone alone;
      without.push_back(steps(100, nullptr));
    }
  }
  std::filesystem::remove(path);
  const auto median = [](std::vector<std::array<double, 2>>& all, size_t of) {
    std::ranges::sort(all, {}, [&](const auto& v) { return v[of]; });
    return all[all.size() / 2][of];
  };
  const double plain = median(without, 0), recorded = median(with, 0);
  return fmt::format(
      "\"model\":\"{}\",\"us_per_step\":{:.2f},\"us_per_step_recorded\":{:.2f},"
      "\"slower_percent\":{:.2f},\"slower_percent_clock\":{:.2f},\"start_to_ready_s\":{:.3f}",
      a.model, 1e6 * plain, 1e6 * recorded, 100 * (recorded / plain - 1),
      100 * (median(with, 1) / median(without, 1) - 1), now() - start);
}

// One image at a time through a trained-size model.
std::string infer(const Arguments& a, double start) {
  Sequential net = model_of(a.model);
  net.eval();
  const Dataset test_set = data_for(a.model, a, Split::test);
  const NoGrad no_grad;
  const double ready = now();
  int64_t i = 0;
  Tensor y;
  const auto call = [&] {
    y = net(test_set.x.rows(i, i + 1));
    i = (i + 1) % test_set.x.shape()[0];
  };
  call();
  const double first = now() - ready;
  return fmt::format(
      "\"model\":\"{}\",\"us_per_call\":{:.3f},\"first_step_s\":{:.5f},"
      "\"start_to_ready_s\":{:.3f}",
      a.model, 1e6 / rate(a.seconds, call), first, ready - start);
}

// x = x * w, x = x + b in turn, 10,000 ops, forward and backward.
std::string chain(const Arguments& a, double start) {
  constexpr int kOps = 10000;
  Tensor w = Tensor::scalar(1.0001).requires_grad_(), b = Tensor::scalar(1e-4).requires_grad_();
  const Tensor x0 = Tensor::scalar(1);
  const double ready = now();
  const auto call = [&] {
    Tensor x = x0;
    for (int i = 0; i < kOps / 2; ++i) {
      x = x * w;
      x = x + b;
    }
    x.backward();
    w.zero_grad();
    b.zero_grad();
  };
  call();
  const double first = now() - ready;
  return fmt::format("\"ns_per_op\":{:.2f},\"first_step_s\":{:.5f},\"start_to_ready_s\":{:.3f}",
                     1e9 / rate(a.seconds, call) / kOps, first, ready - start);
}

// What this machine's multiply-add units give at most.
double microkernel_gflops(double seconds) {
  constexpr int64_t kLoops = 1 << 10;
  const auto& k = kernels<float>();
  std::vector<float> left(6 * 64, 0.5f), right(64 * 64, 0.25f), sums(6 * 64);
  const auto loop = [&] {
    for (int64_t i = 0; i < kLoops; ++i) {
      k.gemm_panel(6, k.gemm_panel_width, {}, 64, left.data(), 64, 1, right.data(), 64, nullptr,
                   sums.data(), 64, false);
    }
  };
  return rate(seconds, loop) * 2.0 * 6 * static_cast<double>(k.gemm_panel_width) * 64 * kLoops /
         1e9;
}

// The peak, and what a large product gets of it.
std::string peak(const Arguments& a, double start) {
  const double ready = now();
  const double panel = microkernel_gflops(a.seconds);
  const int64_t n = 1024;
  Rng rng(1);
  const Tensor x = rng.uniform({n, n}), y = rng.uniform({n, n});
  Tensor z = Tensor::empty({n, n});
  const double product =
      rate(a.seconds,
           [&] {
             gemm(Trans::none, n, n, n, x.data<float>(), y.data<float>(), z.mutable_data<float>());
           }) *
      2 * n * n * n / 1e9;
  return fmt::format(
      "\"microkernel_gflops\":{:.1f},\"gemm_1024_gflops\":{:.1f},"
      "\"first_step_s\":0,\"start_to_ready_s\":{:.3f}",
      panel, product, ready - start);
}

// A convolution with random values, in f32 or f64.
template <typename T>
struct Convolution {
  ConvSizes s;
  Tensor x, w, dy, y = dy.clone(), dx = x.clone(), dw = w.clone();

  void forward() {
    conv<T>(s, x.data<T>(), w.data<T>(), nullptr, y.mutable_data<T>(), [](ConvRows, T*) {});
  }
  void vjp(bool of_x, bool of_w) {
    const auto gradient = [&](ConvRows at, T*) {
      return dy.data<T>() + (at.image * s.oh + at.row) * s.ow * s.k;
    };
    conv_vjp<T>(s, x.data<T>(), w.data<T>(), gradient, of_x ? dx.mutable_data<T>() : nullptr,
                of_w ? dw.mutable_data<T>() : nullptr, nullptr);
  }
};

// The largest difference, in units of the root mean square of what is right.
double error(const Tensor& a, const Tensor& right) {
  const Tensor d = a.to(f64) - right;
  return max(maximum(d, -d)).item() / std::sqrt(mean(right * right).item());
}

// The convolutions of the workloads and larger ones: for y, dx and dw the part of the peak (of one
// core, for each thread), and the error in f32. All count the multiplications of the formula;
// Winograd's method needs a quarter of them.
std::string convolutions(const Arguments& a, double start) {
  struct Case {
    const char* name;
    int64_t n, size, c, kernel, k, padding;
  };
  const double ready = now();
  std::string list;
  for (const Case& t : {Case{"W3.1", 64, 28, 1, 3, 32, 0}, Case{"W3.2", 64, 26, 32, 3, 64, 0},
                        Case{"W4.1", 64, 28, 1, 5, 6, 2}, Case{"W4.2", 64, 14, 6, 5, 16, 0},
                        Case{"W5.1", 128, 28, 1, 3, 16, 1}, Case{"W5.2", 128, 28, 16, 3, 32, 1},
                        Case{"W5.3", 128, 14, 32, 3, 64, 1}, Case{"", 16, 28, 64, 3, 128, 1},
                        Case{"", 16, 14, 128, 3, 256, 1}, Case{"", 16, 14, 256, 3, 256, 1},
                        Case{"", 16, 14, 256, 1, 256, 0}}) {
    const int64_t out = t.size + 2 * t.padding - t.kernel + 1;
    Rng rng(1);
    Convolution<float> f{.s = {.n = t.n,
                               .h = t.size,
                               .w = t.size,
                               .c = t.c,
                               .kh = t.kernel,
                               .kw = t.kernel,
                               .k = t.k,
                               .oh = out,
                               .ow = out,
                               .stride = {1, 1},
                               .dilation = {1, 1},
                               .pad_before = {t.padding, t.padding},
                               .groups = 1},
                         .x = rng.normal({t.n, t.size, t.size, t.c}),
                         .w = rng.normal({t.kernel, t.kernel, t.c, t.k}),
                         .dy = rng.normal({t.n, out, out, t.k})};
    Convolution<double> right{.s = f.s, .x = f.x.to(f64), .w = f.w.to(f64), .dy = f.dy.to(f64)};
    right.forward();
    right.vjp(true, true);
    const double macs = static_cast<double>(f.y.numel() * t.kernel * t.kernel * t.c);
    const double most = microkernel_gflops(a.seconds) * static_cast<double>(a.threads);
    const auto part = [&](auto call) { return 2e-9 * macs * rate(a.seconds, call) / most; };
    const double y = part([&] { f.forward(); });
    const double dx = part([&] { f.vjp(true, false); });
    const double dw = part([&] { f.vjp(false, true); });
    list += fmt::format(
        "{}{{\"shape\":\"{}{}{}x{}x{}x{}, {}x{}, {}\",\"peak\":[{:.2f},{:.2f},{:.2f}],"
        "\"error\":[{:.1e},{:.1e},{:.1e}]}}",
        list.empty() ? "" : ",", t.name, *t.name ? " " : "", t.n, t.size, t.size, t.c, t.kernel,
        t.kernel, t.k, y, dx, dw, error(f.y, right.y), error(f.dx, right.dx),
        error(f.dw, right.dw));
  }
  return fmt::format("\"y_dx_dw\":[{}],\"first_step_s\":0,\"start_to_ready_s\":{:.3f}", list,
                     ready - start);
}

// The least mean time of five windows, in us: what else the machine does can only add to it.
double least_us(double seconds, const std::function<void()>& call) {
  call();
  call();
  double start = now();
  call();
  const double windows = 5, one = std::max(now() - start, 1e-7);
  const int64_t calls = std::max<int64_t>(1, static_cast<int64_t>(seconds / windows / one));
  double least = std::numeric_limits<double>::infinity();
  for (int window = 0; window < windows; ++window) {
    start = now();
    for (int64_t i = 0; i < calls; ++i) call();
    least = std::min(least, (now() - start) / static_cast<double>(calls));
  }
  return 1e6 * least;
}

// GFLOP/s of a product, in a child whose RAMP_GEMM is `how`: it is read once in a program.
double gemm_gflops(const char* how, Trans trans, int64_t m, int64_t n, int64_t k,
                   const Arguments& a) {
  int ends[2];
  if (pipe(ends) != 0) fail("ramp-bench: no pipe.");
  const pid_t child = fork();
  if (child < 0) fail("ramp-bench: no child.");
  double gflops = 0;
  if (child == 0) {
    setenv("RAMP_GEMM", how, 1);
    set_num_threads(static_cast<int>(a.threads));
    Rng rng(1);
    const Tensor x = rng.normal({m, k}), y = rng.normal({k, n});
    Tensor z = Tensor::empty({m, n});
    float* const to = z.mutable_data<float>();
    const double us =
        least_us(a.seconds, [&] { gemm(trans, m, n, k, x.data<float>(), y.data<float>(), to); });
    gflops = 2e-3 * static_cast<double>(m * n * k) / us;
    _exit(write(ends[1], &gflops, sizeof gflops) == sizeof gflops ? 0 : 1);
  }
  close(ends[1]);
  const bool whole = read(ends[0], &gflops, sizeof gflops) == sizeof gflops;
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  if (!whole || status != 0) fail("ramp-bench: RAMP_GEMM={} failed.", how);
  return gflops;
}

// Each product by ramp's kernel and by OpenBLAS, a line for each; before any thread is started.
std::string gemms(const Arguments& a, double start) {
  struct Case {
    int64_t m, n, k;
  };
  const double ready = now();
  for (const auto& [m, n, k] :
       {Case{16, 16, 16}, Case{32, 32, 32}, Case{64, 64, 64}, Case{128, 128, 128},
        Case{256, 256, 256}, Case{512, 512, 512}, Case{1024, 1024, 1024}, Case{1, 128, 784},
        Case{64, 128, 784}, Case{512, 128, 784}, Case{64, 10, 128}, Case{128, 512, 512},
        Case{256, 1024, 1024}, Case{64, 128, 9216}}) {
    for (const Trans trans : {Trans::none, Trans::a, Trans::b}) {
      const double own = gemm_gflops("own", trans, m, n, k, a);
      const double blas = gemm_gflops("blas", trans, m, n, k, a);
      fmt::print(
          "{{\"m\":{},\"n\":{},\"k\":{},\"trans\":\"{}\",\"own_gflops\":{:.1f},"
          "\"blas_gflops\":{:.1f}}}\n",
          m, n, k, trans == Trans::none ? "none" : (trans == Trans::a ? "a" : "b"), own, blas);
      std::fflush(stdout);
    }
  }
  return fmt::format("\"openblas\":\"{}\",\"first_step_s\":0,\"start_to_ready_s\":{:.3f}",
                     blas_info().core, ready - start);
}

void time_op(const OpRow& row, double seconds) {
  const OpCalls calls = row.prepare();
  const double forward = least_us(seconds, calls.forward);
  const std::string both =
      calls.both ? fmt::format("{:.3f}", least_us(seconds, calls.both)) : "null";
  fmt::print("{{\"op\":\"{}\",\"numel\":{},\"forward_us\":{:.3f},\"both_us\":{}}}\n", row.name,
             calls.numel, forward, both);
  std::fflush(stdout);
}

// A line for each row whose name holds the text --only; for "-" the rows whose names come in,
// line by line, each when it is asked for. --list only names them.
std::string ops(const Arguments& a, double start) {
  const std::vector<OpRow> rows = a.work == "growth" ? growth_rows() : op_rows();
  const double ready = now();
  if (a.list) {
    for (const OpRow& row : rows) fmt::print("{}\n", row.name);
  } else if (a.only == "-") {
    std::map<std::string, const OpRow*> named;
    for (const OpRow& row : rows) named[row.name] = &row;
    for (std::string name; std::getline(std::cin, name);) {
      if (!named.contains(name)) fail("ramp-bench: no row {}.", name);
      time_op(*named[name], a.seconds);
    }
  } else {
    for (const OpRow& row : rows)
      if (row.name.find(a.only) != std::string::npos) time_op(row, a.seconds);
  }
  return fmt::format("\"first_step_s\":0,\"start_to_ready_s\":{:.3f}", ready - start);
}

}  // namespace

int main(int argc, char** argv) {
  const double start = now();
  try {
    const Arguments a = parse(argc, argv);
    if (a.work != "gemm") set_num_threads(static_cast<int>(a.threads));
    const bool in_rows = a.work == "ops" || a.work == "growth";
    const std::string figures = a.work == "W6"         ? infer(a, start)
                                : a.work == "W7"       ? chain(a, start)
                                : a.work == "peak"     ? peak(a, start)
                                : a.work == "conv"     ? convolutions(a, start)
                                : a.work == "gemm"     ? gemms(a, start)
                                : a.work == "recorder" ? recorder(a, start)
                                : in_rows              ? ops(a, start)
                                                       : train(a, start);
    fmt::print(
        "{{\"work\":\"{}\",\"batch\":{},\"threads\":{},{},\"peak_rss_mb\":{:.1f},"
        "\"cpu\":\"{}\",\"blas\":\"{}\",\"isa\":\"{}\",\"commit\":\"{}\","
        "\"flags\":\"{}\"}}\n",
        a.work, a.batch, a.threads, figures, peak_rss_mb(), cpu_model(),
        gemm_uses_blas(GemmFor::layer) ? blas_info().core : "own", isa_level(), RAMP_COMMIT,
        RAMP_FLAGS);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
