#include "as_file.h"
#include "ramp/core/error.h"
#include "ramp/data/idx.h"
#include "repair.h"

void repair(std::vector<uint8_t>& bytes) { repair_gzip(bytes); }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  try {
    ramp::read_idx(AsFile(bytes, n).path());
  } catch (const ramp::Error&) {
  }
  return 0;
}
