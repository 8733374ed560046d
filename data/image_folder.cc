#include "ramp/data/image_folder.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <system_error>

#include "ramp/core/parallel.h"
#include "ramp/data/image.h"

namespace ramp {
namespace {

namespace fs = std::filesystem;

// What is in a folder, in order of the names, but for what file managers leave there.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name[0] != '.' && name != "Thumbs.db" && name != "desktop.ini") paths.push_back(at->path());
  }
  if (error) {
    fail("image_folder: cannot read the folder {}: {}. Hint: is the path right?", folder.string(),
         error.message());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

void add_files(const fs::path& folder, std::vector<std::string>& files) {
  for (const fs::path& path : entries(folder)) {
    if (fs::is_directory(path)) {
      add_files(path, files);
    } else {
      files.push_back(path.string());
    }
  }
}

Dataset read_files(const ImageFolder& folder, const std::vector<int64_t>& rows) {
  const int64_t n = std::ssize(rows), size = folder.size.h * folder.size.w * folder.channels;
  Tensor x = Tensor::empty({n, folder.size.h, folder.size.w, folder.channels});
  Tensor y = Tensor::empty({n}, i64);
  float* pixels = x.mutable_data<float>();
  int64_t* labels = y.mutable_data<int64_t>();
  std::vector<std::string> errors(rows.size());
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const size_t row = static_cast<size_t>(rows[static_cast<size_t>(i)]);
      labels[i] = folder.y.data<int64_t>()[row];
      try {
        const Tensor image =
            resize_image(read_image(folder.files[row], {.channels = folder.channels}), folder.size);
        std::copy_n(image.data<float>(), size, pixels + i * size);
      } catch (const Error& error) {
        errors[static_cast<size_t>(i)] = error.what();
      }
    }
  });
  const auto failed = [](const std::string& error) { return !error.empty(); };
  if (const auto bad = std::count_if(errors.begin(), errors.end(), failed)) {
    fail("image_folder: {} of {} files cannot be read. The first: {}", bad, n,
         *std::find_if(errors.begin(), errors.end(), failed));
  }
  return {x, y};
}

}  // namespace

ImageFolder image_folder(const std::string& path, const ImageFolderOptions& o) {
  if (o.height < 0 || o.width < 0 || (o.channels != 1 && o.channels != 3)) {
    fail(
        "image_folder: expected height and width of at least 1 (0: as the first image), and 1 or 3 "
        "channels; got {}, {} and {}.",
        o.height, o.width, o.channels);
  }
  ImageFolder folder{o.classes, {}, {}, {o.height, o.width}, o.channels};
  std::vector<int64_t> labels;
  for (const fs::path& entry : entries(path)) {
    const std::string name = entry.filename().string();
    if (!fs::is_directory(entry)) {
      fail(
          "image_folder: expected a subfolder of {} for each class; got the file {}. Hint: a class "
          "\"cat\" is {}/cat/{}.",
          path, name, path, name);
    }
    if (o.classes.empty()) folder.classes.push_back(name);
    const auto found = std::find(folder.classes.begin(), folder.classes.end(), name);
    if (found == folder.classes.end()) {
      fail("image_folder: {} is none of the classes {}.", entry.string(),
           fmt::join(folder.classes, ", "));
    }
    const size_t before = folder.files.size();
    add_files(entry, folder.files);
    if (folder.files.size() == before) {
      fail("image_folder: there is no image in {}.", entry.string());
    }
    labels.resize(folder.files.size(), found - folder.classes.begin());
  }
  if (labels.empty()) {
    fail("image_folder: {} is empty. Hint: it needs a subfolder for each class.", path);
  }
  folder.y = Tensor::of(labels);
  if (o.height == 0 || o.width == 0) {
    const Tensor first = read_image(folder.files[0]);
    if (o.height == 0) folder.size.h = first.dim(0);
    if (o.width == 0) folder.size.w = first.dim(1);
  }
  return folder;
}

Dataset ImageFolder::load() const {
  std::vector<int64_t> all(files.size());
  std::iota(all.begin(), all.end(), 0);
  return read_files(*this, all);
}

LazyDataset ImageFolder::lazy() const {
  return {std::ssize(files),
          [*this](const std::vector<int64_t>& rows) { return read_files(*this, rows); }};
}

std::pair<ImageFolder, ImageFolder> ImageFolder::split(double fraction,
                                                       const SplitOptions& options) const {
  const auto [a, b] = Dataset{Tensor::arange(std::ssize(files)), y}.split(fraction, options);
  const auto part = [&](const Dataset& d) {
    ImageFolder folder{classes, {}, d.y, size, channels};
    for (int64_t i = 0; i < d.size(); ++i) {
      folder.files.push_back(files[static_cast<size_t>(d.x.data<int64_t>()[i])]);
    }
    return folder;
  };
  return {part(a), part(b)};
}

}  // namespace ramp
