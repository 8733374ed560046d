// How a fuzzer changes bytes: as clang's does, then mostly with checksums put right.
#include <algorithm>

#include "repair.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t n, size_t most);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t n, size_t most, unsigned seed) {
  n = LLVMFuzzerMutate(bytes, n, most);
  if (seed % 4 == 0) return n;
  std::vector<uint8_t> changed(bytes, bytes + n);
  repair(changed);
  if (changed.size() > most) return n;
  std::copy(changed.begin(), changed.end(), bytes);
  return changed.size();
}
