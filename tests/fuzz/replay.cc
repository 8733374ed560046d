// What the fuzzers found, and the files that they start from, once more without a fuzzer: each file
// of the folders given, whole, cut short, and with one byte changed, in some places; changed ones
// also with their checksums put right.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "repair.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n);

int main(int argc, char** argv) {
  size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::exists(argv[i])) continue;
    for (const auto& file : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream in(file.path(), std::ios::binary);
      const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
      ++files;
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      const size_t step = bytes.size() / 50 + 1;
      for (size_t at = 0; at < bytes.size(); at += step) {
        LLVMFuzzerTestOneInput(bytes.data(), at);
        std::vector<uint8_t> changed = bytes;
        changed[at] ^= static_cast<uint8_t>(1 << at % 8);
        LLVMFuzzerTestOneInput(changed.data(), changed.size());
        repair(changed);
        LLVMFuzzerTestOneInput(changed.data(), changed.size());
      }
    }
  }
  std::printf("%zu files\n", files);
  return files > 0 ? 0 : 1;
}
