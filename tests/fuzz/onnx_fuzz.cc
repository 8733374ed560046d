#include <cstddef>
#include <cstdint>

#include "ramp/io/onnx.h"

// A graph: its tensors are read, its nodes are made, and none is run.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  try {
    ramp::OnnxModel::from_bytes({reinterpret_cast<const char*>(bytes), n});
  } catch (const ramp::Error&) {
  }
  return 0;
}
