// MNIST and Fashion-MNIST: 60,000 + 10,000 images of ten classes.
#pragma once

#include <string>

#include "ramp/data/dataset.h"

// The folder of ramp's own data: CMake's target ramp::ramp names it, in the tree and installed.
#ifndef RAMP_DATA_DIR
#define RAMP_DATA_DIR "data"
#endif

namespace ramp {

enum class Split { train, test };

struct TrainTest {
  Dataset train, test;
};

/// x: images f32 [n, 28, 28, 1] in [0, 1]; y: labels i64 [n] in 0..9.
/// `where` is a folder, or "mnist" (data/mnist, or ramp's own copy in `data`), or "fashion" (the
/// Debian package dataset-fashion-mnist, or data/fashion). Files may be packed (.gz) or not, and
/// spelled train-images-idx3-ubyte or train-images.idx3-ubyte.
/// Errors: no such file (with the names that were tried); a damaged one (see IdxFile::read); a
/// label outside 0..9; more or fewer labels than images.
Dataset load_mnist(const std::string& where, Split split, const std::string& data = RAMP_DATA_DIR);
/// Both parts, read side by side.
TrainTest load_mnist(const std::string& where = "mnist", const std::string& data = RAMP_DATA_DIR);

}  // namespace ramp
