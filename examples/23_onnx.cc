// A network leaves C++, is run by someone else, comes back, and learns on.
//
// An ONNX file holds a network as a graph: nodes such as Conv, Relu, Gemm, and the numbers of their
// weights. Programs that only run networks read it, on servers, telephones, in browsers; so do
// converters for chips. So a network that was trained here need not stay here.
//
// 1. A small residual network learns to read digits, for a second or two. Its block is plain C++: a
//    struct with a forward(). save_onnx runs it once and writes down which layers and ops that
//    took.
// 2. Onnxruntime, if a Python here has it, reads the file and the same images. Its scores and ours
//    should differ by rounding only.
// 3. OnnxModel reads the file back. What was a struct with a name is now a graph of nodes, but it
// is
//    a module as all others: the parameters have the names that they had. It is shown digits that
//    are mirrored, which it has never seen, and misreads most of them; after a few hundred steps it
//    reads them as well. A file from PyTorch is tuned in the same way.
//
//     23_onnx [--images 6400] [--python python3] [--folder .]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "ramp/ramp.h"

using namespace ramp;

struct Block final : Module {
  Conv2d conv1, conv2;
  BatchNorm2d norm1, norm2;

  explicit Block(int64_t channels)
      : conv1(channels, channels, 3, {.padding = 1, .bias = false}),
        conv2(channels, channels, 3, {.padding = 1, .bias = false}),
        norm1(channels, ReLU{}),
        norm2(channels) {}
  Tensor forward(const Tensor& x) override { return relu(x + norm2(conv2(norm1(conv1(x))))); }
  void fields(Fields& f) override {
    f.child("conv1", conv1).child("norm1", norm1).child("conv2", conv2).child("norm2", norm2);
  }
  std::string describe() const override { return "Block"; }
};

// What onnxruntime makes of the file and the images beside it.
constexpr const char* kPython = R"(import sys
try:
    import numpy, onnxruntime
except ImportError:
    sys.exit(77)
folder = sys.argv[1]
x = numpy.fromfile(folder + "/images.f32", numpy.float32).reshape(-1, 1, 28, 28)
y = onnxruntime.InferenceSession(folder + "/digits.onnx").run(None, {"x": x})[0]
y.tofile(folder + "/scores.f32")
)";

template <typename T>
void write(const std::string& path, const T* data, size_t n) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(n * sizeof(T)));
}

int main(int argc, char** argv) {
  int64_t images = 6400;
  std::string python = "python3", folder = ".";
  CLI::App app("Exports a network as ONNX, has it run by onnxruntime, reads it back and tunes it.");
  app.add_option("--images", images, "train on the first so many (6400)");
  app.add_option("--python", python, "one that has onnxruntime, if there is any");
  app.add_option("--folder", folder, "where digits.onnx is written");
  CLI11_PARSE(app, argc, argv);

  try {
    TrainTest data = load_mnist();
    data.train = data.train.rows(0, std::min(images, data.train.size()));
    const Dataset test = data.test.rows(0, 2000);
    seed_layers(1);
    Sequential net{Conv2d(1, 12, 3, {.stride = 2, .padding = 1, .bias = false}),
                   BatchNorm2d(12, ReLU{}),
                   Block(12),
                   MaxPool2d(2),
                   Flatten{},
                   Dense(7 * 7 * 12, 10)};
    Adam adam(net, {.lr = 3e-3});
    fit(net, adam, data.train, {.epochs = 2, .out = nullptr});
    fmt::print("trained on {} digits; of the test digits {:.1f} % are right\n\n", data.train.size(),
               100 * evaluate(net, test));

    // 1. What the file says. {1, 28, 28, 1} is an input here; there it is [n, 1, 28, 28].
    const std::string path = folder + "/digits.onnx";
    save_onnx(path, net, {1, 28, 28, 1});
    fmt::print("{} has {} kB\n\n", path, read_file(path).size() / 1000);

    // 2. The same images for both. With one channel [n, 28, 28, 1] and [n, 1, 28, 28] lie alike.
    net.eval();
    const NoGrad no_grad;
    const Tensor few = test.x.rows(0, 100), scores = net(few);
    write(folder + "/images.f32", few.data<float>(), static_cast<size_t>(few.numel()));
    write(folder + "/ask.py", kPython, std::char_traits<char>::length(kPython));
    const std::string command = fmt::format("\"{}\" \"{}/ask.py\" \"{}\"", python, folder, folder);
    if (std::system(command.c_str()) == 0) {
      const std::string bytes = read_file(folder + "/scores.f32");
      const Tensor theirs =
          Tensor::of(reinterpret_cast<const float*>(bytes.data()), scores.shape());
      fmt::print(
          "onnxruntime's scores differ from ours by {:.1e} at most, of scores up to {:.0f}\n",
          max(abs(theirs - scores)).item(), max(abs(scores)).item());
    } else {
      fmt::print("no onnxruntime here: pip install onnxruntime, then --python with that Python\n");
    }

    // 3. And back.
    OnnxModel back(path);
    back.eval();
    fmt::print("read back: {}, {} numbers, scores differ by {:.1e}\n\n", back.describe(),
               back.parameter_count(), max(abs(back(few) - scores)).item());
    for (const NamedTensor& p : back.named_parameters())
      if (p.name.starts_with("2.")) fmt::print("  {:16} {}\n", p.name, p.tensor.shape());

    const auto mirrored = [](const Dataset& d) { return Dataset{flip(d.x, 2), d.y}; };
    const double before = evaluate(back, mirrored(test));
    {
      const Recording on(true);
      back.train();
      Adam tune(back, {.lr = 1e-3});
      fit(back, tune, mirrored(data.train), {.epochs = 2, .out = nullptr});
    }
    fmt::print("\nof mirrored digits it reads {:.1f} %, and {:.1f} % after tuning\n", 100 * before,
               100 * evaluate(back, mirrored(test)));
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
