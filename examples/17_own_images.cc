// Your own images: a folder for each class, a network that tells them apart, and a look at what it
// gets wrong.
//
// The example makes its own photos, so to speak: triangles, squares and circles of any colour, size
// and angle, on a noisy ground, as PNG files of different sizes in three folders. From there on it
// does what you would do with yours:
//
//     photos/triangle/000.png ..   image_folder("photos", {.height = 32, .width = 32})
//     photos/square/000.png ..     the names of the folders are the classes
//     photos/circle/000.png ..
//
// 360 images to learn from are few, and a network soon knows them by heart. AugmentPhoto makes them
// many: in each epoch it mirrors them, cuts out another part and changes light and colours, none of
// which makes a square a circle. Both ways are tried, and the difference is what it is worth.
//
// Then the test images that are read wrong are put on one sheet. Looking at them says more than the
// accuracy: whether the labels are right, what the network does not see, which images to get more
// of.
//
// Images that do not fit in memory are read when their batch comes: fit(net, adam, photos.lazy(),
// ..).
//
//     17_own_images [--folder FOLDER] [--images n] [--epochs n] [--sheet FILE]
//
// A folder that is there is taken as it is: name yours.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

// A regular polygon, or with 0 corners a circle, on a ground of another colour; [size, size, 3].
Tensor draw_shape(int corners, Rng& rng) {
  const std::vector<double> u = rng.uniform({11}).values();
  const int64_t size = 48 + static_cast<int64_t>(32 * u[0]);
  const double radius = static_cast<double>(size) * (0.1 + 0.2 * u[1]),
               turn = 2 * std::numbers::pi * u[2];
  const double x = static_cast<double>(size) * (0.35 + 0.3 * u[3]);
  const double y = static_cast<double>(size) * (0.35 + 0.3 * u[4]);
  Tensor image = rng.normal({size, size, 3}, 0, 0.15);  // the noise
  float* pixel = image.mutable_data<float>();
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j, pixel += 3) {
      const double dx = static_cast<double>(j) - x, dy = static_cast<double>(i) - y;
      // How far out: for each side, the distance along its normal; for the circle, from the center.
      double out = corners == 0 ? std::hypot(dx, dy) : -radius;
      for (int k = 0; k < corners; ++k) {
        const double angle = turn + 2 * std::numbers::pi * k / corners;
        out = std::max(out, dx * std::cos(angle) + dy * std::sin(angle));
      }
      const double side =
          corners == 0 ? 0.8 * radius : radius * std::cos(std::numbers::pi / corners);
      const float ink = static_cast<float>(std::clamp(side - out + 0.5, 0.0, 1.0));
      for (int k = 0; k < 3; ++k) {
        const float ground = static_cast<float>(0.5 * u[5 + k]);
        const float shape = static_cast<float>(0.4 + 0.6 * u[8 + k]);
        pixel[k] = std::clamp(pixel[k] + ground + ink * (shape - ground), 0.0f, 1.0f);
      }
    }
  }
  return image;
}

void make_folder(const std::string& folder, int64_t images) {
  Rng rng(1);
  const std::pair<const char*, int> classes[] = {{"triangle", 3}, {"square", 4}, {"circle", 0}};
  for (const auto& [name, corners] : classes) {
    std::filesystem::create_directories(fmt::format("{}/{}", folder, name));
    for (int64_t i = 0; i < images; ++i) {
      write_png(fmt::format("{}/{}/{:03}.png", folder, name, i), draw_shape(corners, rng));
    }
  }
}

Sequential make_network(int64_t classes) {
  return Sequential{Conv2d(3, 16, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(16),
                    ReLU{},
                    Conv2d(16, 32, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(32),
                    ReLU{},
                    Conv2d(32, 64, 3, {.padding = 1, .bias = false}),
                    MaxPool2d(2),
                    BatchNorm2d(64),
                    ReLU{},
                    Flatten{},
                    Dense(4 * 4 * 64, classes)};
}

// A network trained on these images, changed by `transform` in each epoch.
Sequential trained(const Dataset& train, int64_t classes, int64_t epochs,
                   const Transform& transform) {
  seed_layers(1);
  Sequential net = make_network(classes);
  Adam adam(net, {.lr = 5e-3, .schedule = one_cycle(epochs * ceil_div(train.size(), 30))});
  fit(net, adam, train,
      {.epochs = epochs, .batch = 30, .seed = 1, .transform = transform, .out = nullptr});
  return net;
}

int main(int argc, char** argv) {
  std::string folder = "shapes", sheet = "mistakes.png";
  int64_t images = 200, epochs = 40;
  CLI::App app("Trains on a folder of images and shows what it gets wrong.");
  app.add_option("--folder", folder, "with a subfolder for each class; made if it is not there");
  app.add_option("--images", images, "to make of each class (200)");
  app.add_option("--epochs", epochs, "passes over the training images (40)");
  app.add_option("--sheet", sheet, "where the picture of the mistakes goes");
  CLI11_PARSE(app, argc, argv);

  try {
    if (!std::filesystem::exists(folder)) make_folder(folder, images);
    const ImageFolder photos = image_folder(folder, {.height = 32, .width = 32});
    fmt::print("{} images of {} classes: {}\n", photos.files.size(), photos.classes.size(),
               fmt::join(photos.classes, ", "));
    const auto [train_files, test_files] = photos.split(0.6, {.seed = 1, .stratified = true});
    const Dataset train = train_files.load(), test = test_files.load();
    const int64_t classes = std::ssize(photos.classes);

    Sequential plain = trained(train, classes, epochs, nullptr);
    Sequential net = trained(train, classes, epochs, AugmentPhoto({.seed = 1}));
    fmt::print("the {} training images as they are: {:.1f} % of the test images right\n",
               train.size(), 100 * evaluate(plain, test));
    fmt::print("changed in each epoch by AugmentPhoto: {:.1f} %\n\n", 100 * evaluate(net, test));

    const Tensor guess = argmax(predict(net, test.x), -1);
    std::vector<int64_t> wrong;
    for (int64_t i = 0; i < test.size(); ++i) {
      if (guess.at({i}) != test.y.at({i})) wrong.push_back(i);
    }
    for (size_t k = 0; k < std::min<size_t>(8, wrong.size()); ++k) {
      const int64_t said = guess.data<int64_t>()[wrong[k]];
      fmt::print("{} is taken for a {}\n", test_files.files[static_cast<size_t>(wrong[k])],
                 photos.classes[static_cast<size_t>(said)]);
    }
    if (wrong.empty()) return 0;
    write_png(sheet, contact_sheet(test.take(wrong).x, {.columns = 8}));
    fmt::print("all {} mistakes are in {}\n", wrong.size(), sheet);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
