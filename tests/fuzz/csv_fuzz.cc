#include "as_file.h"
#include "ramp/core/error.h"
#include "ramp/data/csv.h"
#include "repair.h"

void repair(std::vector<uint8_t>& bytes) { repair_gzip(bytes); }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  try {
    ramp::read_csv(AsFile(bytes, n).path()).summary();
  } catch (const ramp::Error&) {
  }
  return 0;
}
