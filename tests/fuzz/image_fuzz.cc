#include <cstddef>
#include <cstdint>

#include "ramp/core/error.h"
#include "ramp/data/image.h"
#include "repair.h"

void repair(std::vector<uint8_t>& bytes) { repair_png(bytes); }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  try {
    ramp::decode_image({bytes, n});
  } catch (const ramp::Error&) {
  }
  return 0;
}
