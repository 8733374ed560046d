#include "ramp/data/image_folder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "message.h"
#include "ramp/core/parallel.h"
#include "ramp/data/batches.h"
#include "ramp/data/image.h"
#include "ramp/data/prefetch.h"
#include "scratch.h"

using namespace ramp;

namespace {

namespace fs = std::filesystem;

// A grey image as text, which needs no library.
void write_pgm(const std::string& path, int h, int w, int value) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream file(path);
  file << "P2 " << w << " " << h << " 100\n";
  for (int i = 0; i < h * w; ++i) file << value << "\n";
}
bool contains(const std::string& s, const std::string& part) {
  return s.find(part) != std::string::npos;
}
std::vector<std::string> names(const std::vector<std::string>& files) {
  std::vector<std::string> names;
  for (const std::string& file : files) names.push_back(fs::path(file).filename());
  return names;
}

// Three classes; image k of all has the value k / 100.
void write_animals(const Scratch& folder) {
  write_pgm(folder.path("in/dog/a.pgm"), 4, 6, 3);
  write_pgm(folder.path("in/cat/b.pgm"), 4, 6, 1);
  write_pgm(folder.path("in/cat/a.data"), 8, 8, 0);
  write_pgm(folder.path("in/cat/more/of them.pgm"), 2, 3, 2);
  write_pgm(folder.path("in/eel/x"), 4, 6, 4);
  write_pgm(folder.path("in/eel/y"), 4, 6, 5);
  folder.write("in/.DS_Store", {1});
  folder.write("in/eel/.hidden", {1});
  folder.write("in/eel/Thumbs.db", {1});
}

}  // namespace

TEST_CASE("a subfolder for each class, all images of one size") {
  const Scratch folder;
  write_animals(folder);
  const ImageFolder found = image_folder(folder.path("in"), {.height = 5, .width = 2});
  CHECK(found.classes == std::vector<std::string>{"cat", "dog", "eel"});
  CHECK(names(found.files) ==
        std::vector<std::string>{"a.data", "b.pgm", "of them.pgm", "a.pgm", "x", "y"});
  const Dataset data = found.load();
  CHECK(data.x.shape() == Shape{6, 5, 2, 3});
  CHECK(data.y.values() == std::vector<double>{0, 0, 0, 1, 2, 2});
  CHECK(found.y.values() == data.y.values());
  for (int64_t i = 0; i < 6; ++i) {
    CHECK(data.x.at({i, 4, 1, 2}) == doctest::Approx(static_cast<double>(i) / 100));
  }
  // The size and the look of the first image, if nothing is said.
  CHECK(image_folder(folder.path("in"), {.channels = 1}).load().x.shape() == Shape{6, 8, 8, 1});
  CHECK(image_folder(folder.path("in"), {.height = 2}).load().x.shape() == Shape{6, 2, 8, 3});
}

TEST_CASE("read when needed: the same batches, with and without a thread") {
  const Scratch folder;
  write_animals(folder);
  const ImageFolder found = image_folder(folder.path("in"), {.height = 4, .width = 4});
  const Batches all(found.load(), {.size = 4}), lazy(found.lazy(), {.size = 4});
  for (const int64_t epoch : {0, 1}) {
    Prefetch ahead(lazy.epoch(epoch));
    for (const auto& [x, y] : all.epoch(epoch)) {
      const std::optional<Dataset> batch = ahead.next();
      REQUIRE(batch);
      CHECK(batch->x.values() == x.values());
      CHECK(batch->y.values() == y.values());
    }
    CHECK(!ahead.next());
  }
}

TEST_CASE("split by files; test images keep the numbers of the classes") {
  const Scratch folder;
  for (int i = 0; i < 20; ++i) {
    write_pgm(folder.path((i % 2 ? "in/b/" : "in/a/") + std::to_string(i)), 1, 1, i);
  }
  const auto [train, test] = image_folder(folder.path("in")).split(0.7, {.stratified = true});
  CHECK(train.files.size() == 14);
  CHECK(test.files.size() == 6);
  std::set<std::string> files(train.files.begin(), train.files.end());
  files.insert(test.files.begin(), test.files.end());
  CHECK(files.size() == 20);
  const Dataset data = test.load();
  for (int64_t i = 0; i < 6; ++i) {
    const int64_t k = std::lround(100 * data.x.at({i, 0, 0, 0}));
    CHECK(names(test.files)[static_cast<size_t>(i)] == std::to_string(k));
    CHECK(data.y.at({i}) == k % 2);
  }
  write_pgm(folder.path("test/b/x"), 1, 1, 0);
  const ImageFolder other = image_folder(folder.path("test"), {.classes = train.classes});
  CHECK(other.classes == train.classes);
  CHECK(other.load().y.values() == std::vector<double>{1});
  write_pgm(folder.path("test/c/x"), 1, 1, 0);
  CHECK(message([&] { image_folder(folder.path("test"), {.classes = other.classes}); }) ==
        "image_folder: " + folder.path("test/c") + " is none of the classes a, b.");
}

TEST_CASE("mistakes are named") {
  const Scratch folder;
  const auto error = [&](const std::string& name, const ImageFolderOptions& options = {}) {
    return message([&] { image_folder(folder.path(name), options).load(); });
  };
  CHECK(error("in") == "image_folder: cannot read the folder " + folder.path("in") +
                           ": No such file or directory. Hint: is the path right?");
  fs::create_directories(folder.path("in"));
  CHECK(error("in") == "image_folder: " + folder.path("in") +
                           " is empty. Hint: it needs a subfolder for each class.");
  fs::create_directories(folder.path("in/cat"));
  CHECK(error("in") == "image_folder: there is no image in " + folder.path("in/cat") + ".");
  write_pgm(folder.path("in/cat/a"), 2, 2, 1);
  write_pgm(folder.path("in/dog.pgm"), 2, 2, 1);
  CHECK(error("in") == "image_folder: expected a subfolder of " + folder.path("in") +
                           " for each class; got the file dog.pgm. Hint: a class \"cat\" is " +
                           folder.path("in") + "/cat/dog.pgm.");
  fs::remove(folder.path("in/dog.pgm"));
  CHECK(error("in") == "no error");
  folder.write("in/cat/b.txt", {'h', 'i'});
  folder.write("in/cat/c.png", {});
  CHECK(error("in") == "image_folder: 2 of 3 files cannot be read. The first: read_image: " +
                           folder.path("in/cat/b.txt") +
                           " must be a PNG, JPEG, PGM or PPM; it begins with 68 69.");
  CHECK(contains(error("in", {.height = -1}), "got -1, 0 and 3."));
  CHECK(contains(error("in", {.channels = 4}), "got 0, 0 and 4."));
}
