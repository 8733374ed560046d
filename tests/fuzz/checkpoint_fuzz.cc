#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "ramp/core/error.h"
#include "ramp/io/safetensors.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/init.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/sgd.h"
#include "ramp/train/fit.h"
#include "repair.h"

using namespace ramp;

void repair(std::vector<uint8_t>& bytes) { repair_safetensors(bytes); }

// fit() from a file that may say anything: it goes on, or says what is wrong. Text that begins as
// JSON is the note of where it was, in a file that is right else.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  const std::string path = folder / ("ramp-fuzz-" + std::to_string(getpid()));
  seed_layers(1);
  Sequential net{Dense(1, 1)};
  SGD sgd(net, {.lr = 0.1});
  try {
    std::vector<uint8_t> file(bytes, bytes + n);
    if (n > 0 && bytes[0] == '{') {
      std::vector<NamedTensor> state;
      for (const NamedTensor& t : net.state()) state.push_back({"model." + t.name, t.tensor});
      for (const NamedTensor& t : sgd.state()) state.push_back({"optimizer." + t.name, t.tensor});
      const std::string note(file.begin(), file.end());
      file = encode_safetensors(state, {{"checkpoint", "1"}, {"fit", note}});
    }
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(file.data()),
               static_cast<std::streamsize>(file.size()));
    fit(net, sgd, Dataset{Tensor::ones({4, 1}), Tensor::ones({4, 1})},
        {.epochs = 2, .batch = 2, .checkpoint = path, .out = nullptr});
  } catch (const Error&) {
  }
  fs::remove(path);
  return 0;
}
