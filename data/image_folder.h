// Images in folders, one for each class.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ramp/data/dataset.h"

namespace ramp {

struct ImageFolderOptions {
  int64_t height = 0, width = 0;          // of all images; 0: as the first one
  int64_t channels = 3;                   // 1: grey
  std::vector<std::string> classes = {};  // in this order; empty: the subfolders by name
};

/// Image files and what they show; found, not read yet.
struct ImageFolder {
  std::vector<std::string> classes;  // their names
  std::vector<std::string> files;
  Tensor y;  // of each file the number of its class, i64 [n]
  Size2d size;
  int64_t channels;

  /// All of it: x f32 [n, h, w, c] in [0, 1], as read_image() and resize_image() give it, and y.
  /// Errors: files that cannot be read, with the first one's name and reason.
  Dataset load() const;
  /// Images are read when a batch needs them, so that they need not fit in memory:
  ///
  ///     Batches batches(folder.lazy());
  ///     for (auto [x, y] : Prefetch(batches.epoch(e))) step(x, y);
  LazyDataset lazy() const;
  /// Two parts, shuffled, as Dataset::split().
  std::pair<ImageFolder, ImageFolder> split(double fraction,
                                            const SplitOptions& options = {}) const;
};

/// ```
/// const ImageFolder photos = image_folder("photos", {.height = 64, .width = 64});
/// auto [train, test] = photos.load().split(0.8);
/// ```
/// The files of photos/cat/ (and of folders in it) are of class "cat"; both in order of their
/// names. Hidden files are left out. Test images in a folder of their own get the same numbers with
/// {.classes = photos.classes}.
/// Errors: no such folder; an image that lies in no subfolder; a subfolder without images, or one
/// that is none of the classes; a negative size; channels other than 1 and 3.
ImageFolder image_folder(const std::string& path, const ImageFolderOptions& options = {});

}  // namespace ramp
