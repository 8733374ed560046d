#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "ramp/core/error.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/init.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/sgd.h"
#include "ramp/train/fit.h"

using namespace ramp;

// fit() from a file that may say anything: it goes on, or says what is wrong.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("ramp-fuzz-" + std::to_string(getpid()));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(n));
  seed_layers(1);
  Sequential net{Dense(1, 1)};
  SGD sgd(net, {.lr = 0.1});
  try {
    fit(net, sgd, Dataset{Tensor::ones({4, 1}), Tensor::ones({4, 1})},
        {.epochs = 2, .batch = 2, .checkpoint = path, .out = nullptr});
  } catch (const Error&) {
  }
  std::filesystem::remove(path);
  return 0;
}
