#include "ramp/core/rules.h"

#include <fmt/format.h>

#include "ramp/core/error.h"
#include "ramp/core/rules_binary.h"

namespace ramp {

void check_options(const char* rule, bool ok, const char* expected,
                   std::initializer_list<double> options) {
  if (!ok) fail("{}: expected {}; got {}.", rule, expected, fmt::join(options, " and "));
}

int64_t Div::f(int64_t a, int64_t b) {
  if (b == 0) fail("div: a division by 0 in i64. Hint: a.to(f32) divides to inf or NaN.");
  return b == -1 ? static_cast<int64_t>(-static_cast<uint64_t>(a)) : a / b;
}
int64_t Pow::f(int64_t, int64_t) {
  fail("pow: expected f32 or f64 tensors; got i64. Hint: x.to(f32).");
}

}  // namespace ramp
