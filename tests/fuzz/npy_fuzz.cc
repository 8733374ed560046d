#include <cstddef>
#include <cstdint>

#include "ramp/core/error.h"
#include "ramp/io/npy.h"
#include "repair.h"

void repair(std::vector<uint8_t>& bytes) { repair_zip(bytes); }

// As an array, and as an archive of arrays.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  try {
    ramp::decode_npy({bytes, n});
  } catch (const ramp::Error&) {
  }
  try {
    ramp::decode_npz({bytes, n});
  } catch (const ramp::Error&) {
  }
  return 0;
}
