#include "ramp/data/mnist.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "ramp/core/parallel.h"
#include "ramp/data/idx.h"

namespace ramp {
namespace {

namespace fs = std::filesystem;

std::string find_folder(const std::string& where, const std::string& data) {
  std::vector<std::string> tried = {where};
  if (where == "mnist") tried = {"data/mnist", data + "/mnist"};
  if (where == "fashion") tried = {"data/fashion", "/usr/share/datasets/fashion-mnist"};
  for (const std::string& folder : tried) {
    std::error_code error;
    if (fs::is_directory(folder, error)) return folder;
  }
  fail("load_mnist: no such folder \"{}\". Hint: {}.", fmt::join(tried, "\" or \""),
       where == "fashion" ? "apt-get install dataset-fashion-mnist"
                          : "load_mnist(\"<folder>\") reads the four files of MNIST there");
}

std::string find_file(const std::string& folder, const std::string& part, int rank) {
  std::vector<std::string> tried;
  for (const char* dot : {"-", "."}) {
    for (const char* packed : {"", ".gz"}) {
      tried.push_back(fmt::format("{}{}idx{}-ubyte{}", part, dot, rank, packed));
      const std::string path = folder + "/" + tried.back();
      std::error_code error;
      if (fs::exists(path, error)) return path;
    }
  }
  fail("load_mnist: found none of {} in \"{}\".", fmt::join(tried, ", "), folder);
}

IdxFile read_part(const std::string& folder, const std::string& part, int rank) {
  IdxFile file = IdxFile::read(find_file(folder, part, rank));
  if (file.type != IdxFile::Type::u8 || file.shape.rank() != rank) {
    fail(
        "load_mnist: \"{}\" must hold u8 elements in {} dimension{}; got shape {} and type "
        "{:#04x}.",
        file.path, rank, rank > 1 ? "s" : "", file.shape, static_cast<int>(file.type));
  }
  return file;
}

Dataset convert(const IdxFile& images, const IdxFile& labels) {
  if (images.shape[0] != labels.shape[0]) {
    fail(
        "load_mnist: expected one label for each image; got {} images in \"{}\" and {} labels in "
        "\"{}\".",
        images.shape[0], images.path, labels.shape[0], labels.path);
  }
  for (size_t i = 0; i < labels.elements.size(); ++i) {
    if (labels.elements[i] > 9) {
      fail("load_mnist: expected labels 0..9; got {} at index {} of \"{}\".", labels.elements[i], i,
           labels.path);
    }
  }
  return {images.to(f32, 255).view(images.shape.with(3, 1)), labels.to(i64)};
}

constexpr const char* kParts[] = {"train-images", "train-labels", "t10k-images", "t10k-labels"};

}  // namespace

Dataset load_mnist(const std::string& where, Split split, const std::string& data) {
  const std::string folder = find_folder(where, data);
  const int first = split == Split::train ? 0 : 2;
  const IdxFile images = read_part(folder, kParts[first], 3);
  return convert(images, read_part(folder, kParts[first + 1], 1));
}

TrainTest load_mnist(const std::string& where, const std::string& data) {
  const std::string folder = find_folder(where, data);
  IdxFile files[4];
  parallel_for(4, 1, [&](int64_t i, int64_t) {
    files[i] = read_part(folder, kParts[i], i % 2 == 0 ? 3 : 1);
  });
  return {convert(files[0], files[1]), convert(files[2], files[3])};
}

}  // namespace ramp
