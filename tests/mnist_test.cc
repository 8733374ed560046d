#include "ramp/data/mnist.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "message.h"
#include "ramp/core/parallel.h"
#include "ramp/data/idx.h"
#include "scratch.h"

using namespace ramp;

namespace {

using Bytes = std::vector<uint8_t>;

// IDX files of n images of 2 x 3 pixels, and of labels.
Bytes images(uint8_t n) {
  Bytes b = {0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 3};
  for (int i = 0; i < 6 * n; ++i) b.push_back(static_cast<uint8_t>(10 * i));
  return b;
}
Bytes labels(const Bytes& y) {
  Bytes b = {0, 0, 8, 1, 0, 0, 0, static_cast<uint8_t>(y.size())};
  for (uint8_t label : y) b.push_back(label);
  return b;
}

}  // namespace

TEST_CASE("the files in the tree are MNIST's own, byte by byte") {
  const struct {
    const char* name;
    Shape shape;
    uLong crc;  // of the unpacked file: header and elements
  } files[] = {{"train-images-idx3-ubyte.gz", {60000, 28, 28}, 0xe9f4d8b3},
               {"train-labels-idx1-ubyte.gz", {60000}, 0xe0cb4ad2},
               {"t10k-images-idx3-ubyte.gz", {10000, 28, 28}, 0x91373bdf},
               {"t10k-labels-idx1-ubyte.gz", {10000}, 0x4ab9eff9}};
  for (const auto& [name, shape, crc] : files) {
    const IdxFile file = IdxFile::read(std::string(RAMP_DATA_DIR "/mnist/") + name);
    CHECK(file.shape == shape);
    Bytes header = {0, 0, 8, static_cast<uint8_t>(shape.rank())};
    for (int64_t d : shape) {
      for (int shift = 24; shift >= 0; shift -= 8)
        header.push_back(static_cast<uint8_t>(d >> shift));
    }
    uLong got = crc32(0, header.data(), static_cast<uInt>(header.size()));
    got = crc32(got, file.elements.data(), static_cast<uInt>(file.elements.size()));
    CHECK(got == crc);
  }
}

TEST_CASE("MNIST as a dataset") {
  const auto [train, test] = load_mnist(RAMP_DATA_DIR "/mnist");
  CHECK(train.x.shape() == Shape{60000, 28, 28, 1});
  CHECK(train.x.dtype() == f32);
  CHECK(train.y.shape() == Shape{60000});
  CHECK(train.y.dtype() == i64);
  CHECK(test.x.shape() == Shape{10000, 28, 28, 1});
  CHECK(test.size() == 10000);
  const float* x = test.x.data<float>();
  const int64_t n = test.x.numel();
  const auto [least, most] = std::minmax_element(x, x + n);
  CHECK(*least == 0);
  CHECK(*most == 1);
  CHECK(std::accumulate(x, x + n, 0.0) / static_cast<double>(n) ==
        doctest::Approx(0.13251460584233696));
  CHECK(train.y.rows(0, 5).values() == std::vector<double>{5, 0, 4, 1, 9});
  CHECK(test.y.rows(0, 5).values() == std::vector<double>{7, 2, 1, 0, 4});
  // One part alone is the same; so is "mnist" from any folder.
  const Dataset again = load_mnist("mnist", Split::test);
  CHECK(std::memcmp(again.x.data<float>(), x, sizeof(float) * static_cast<size_t>(n)) == 0);
  CHECK(again.y.values() == test.y.values());
  const Dataset flat = test.flat();
  CHECK(flat.x.shape() == Shape{10000, 784});
  CHECK(flat.x.same_memory(test.x));
  const Dataset some = test.rows(10, 15);
  CHECK(some.x.shape() == Shape{5, 28, 28, 1});
  CHECK(some.y.values() == test.y.rows(10, 15).values());
}

TEST_CASE("Fashion-MNIST, where it is installed") {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) return;
  const Dataset test = load_mnist("fashion", Split::test);
  CHECK(test.x.shape() == Shape{10000, 28, 28, 1});
  CHECK(test.y.rows(0, 4).values() == std::vector<double>{9, 2, 1, 1});
}

TEST_CASE("both spellings, packed or not") {
  for (std::string dot : {"-", "."}) {
    for (std::string packed : {"", ".gz"}) {
      const Scratch scratch;
      const auto write = [&](const std::string& name, const Bytes& bytes) {
        scratch.write(name + packed, packed.empty() ? bytes : gzip(bytes));
      };
      write("t10k-images" + dot + "idx3-ubyte", images(2));
      write("t10k-labels" + dot + "idx1-ubyte", labels({9, 0}));
      const Dataset data = load_mnist(scratch.path(""), Split::test);
      CHECK(data.x.shape() == Shape{2, 2, 3, 1});
      CHECK(data.x.data<float>()[11] == 110.0f / 255.0f);
      CHECK(data.y.values() == std::vector<double>{9, 0});
    }
  }
}

TEST_CASE("folders that are wrong") {
  const Scratch scratch;
  const std::string folder = scratch.path("");
  const auto check_error = [&](const std::string& expected) {
    CHECK_THROWS_WITH_AS(load_mnist(folder, Split::train), expected.c_str(), Error);
    CHECK_THROWS_WITH_AS(load_mnist(folder), expected.c_str(), Error);
  };
  const std::string images_path = folder + "/train-images-idx3-ubyte";
  const std::string labels_path = folder + "/train-labels-idx1-ubyte";
  const int before = num_threads();
  set_num_threads(1);  // of two files that fail, the first
  check_error(
      "load_mnist: found none of train-images-idx3-ubyte, train-images-idx3-ubyte.gz, "
      "train-images.idx3-ubyte, train-images.idx3-ubyte.gz in \"" +
      folder + "\".");
  scratch.write("t10k-images-idx3-ubyte", images(1));
  scratch.write("t10k-labels-idx1-ubyte", labels({0}));
  scratch.write("train-images-idx3-ubyte", images(3));
  scratch.write("train-labels-idx1-ubyte", labels({0, 1}));
  check_error("load_mnist: expected one label for each image; got 3 images in \"" + images_path +
              "\" and 2 labels in \"" + labels_path + "\".");
  scratch.write("train-labels-idx1-ubyte", labels({0, 1, 10}));
  check_error("load_mnist: expected labels 0..9; got 10 at index 2 of \"" + labels_path + "\".");
  scratch.write("train-labels-idx1-ubyte", images(3));
  check_error("load_mnist: \"" + labels_path +
              "\" must hold u8 elements in 1 dimension; got shape [3, 2, 3] and type 0x08.");
  scratch.write("train-labels-idx1-ubyte", {0, 0, 9, 1, 0, 0, 0, 1, 7});
  check_error("load_mnist: \"" + labels_path +
              "\" must hold u8 elements in 1 dimension; got shape [1] and type 0x09.");
  CHECK(message([&] { load_mnist(scratch.path("none")); }) ==
        fmt::format(
            "load_mnist: no such folder \"{}\". Hint: load_mnist(\"<folder>\") reads the four "
            "files of MNIST there.",
            scratch.path("none")));
  // No data where ramp was installed: both places are named.
  CHECK(message([&] { load_mnist("mnist", Split::test, scratch.path("share")); }) ==
        fmt::format("load_mnist: no such folder \"data/mnist\" or \"{}/mnist\". Hint: "
                    "load_mnist(\"<folder>\") reads the four files of MNIST there.",
                    scratch.path("share")));
  set_num_threads(before);
}
