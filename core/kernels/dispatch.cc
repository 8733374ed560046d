// Picks the kernels for this CPU, once.
#include <cstdlib>
#include <string_view>

#include "ramp/core/error.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {

const char* cpu_isa_level() {
#if defined(RAMP_X86_LEVELS)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512cd");
  return v4 ? "v4" : v3 ? "v3" : "base";
#else
  return "base";
#endif
}

namespace {

const char* choose_level() {
  const char* best = cpu_isa_level();
  const char* asked = std::getenv("RAMP_ISA");
  if (asked == nullptr || *asked == 0) return best;
  for (const char* level : {"base", "v3", "v4"}) {
    if (std::string_view(asked) == level && std::string_view(level) <= best) return level;
    // "base" < "v3" < "v4" holds for the strings too.
  }
  fail("RAMP_ISA: expected base, v3 or v4, and not above this CPU's {}; got \"{}\".", best, asked);
}

KernelTable choose() {
  KernelTable table{};
  const auto fill = [&](const auto& parts) {
    for (const auto part : parts) part(table);
  };
  const std::string_view level = isa_level();
  if (level == "base") fill(base::kParts);
#if defined(RAMP_X86_LEVELS)
  if (level == "v3") fill(v3::kParts);
  if (level == "v4") fill(v4::kParts);
#endif
  return table;
}

}  // namespace

const char* isa_level() {
  static const char* level = choose_level();
  return level;
}

const KernelTable& kernel_table() {
  static const KernelTable table = choose();
  return table;
}

}  // namespace ramp
