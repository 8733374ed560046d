#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ramp/core/error.h"
#include "ramp/data/text.h"
#include "ramp/train/history.h"

// Texts, and the JSON of a history: what is read is written as it was.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  const std::string text(reinterpret_cast<const char*>(bytes), n);
  try {
    ramp::tokenize(text, {.punctuation = true});
    ramp::character_ngrams(text, 3);
  } catch (const ramp::Error&) {
  }
  try {
    const std::string json = ramp::History::from_json(text).json();
    if (ramp::History::from_json(json).json() != json) __builtin_trap();
  } catch (const ramp::Error&) {
  }
  return 0;
}
