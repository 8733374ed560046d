// Picks the kernels for this CPU, once.
#include <cstdlib>
#include <string_view>

#include "ramp/core/error.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {

template <typename T>
using Fill = void(Kernels<T>& k);

// Each level's kernel files define these, for float and for double.
#define RAMP_DECLARE_LEVEL(level)                                                                  \
  namespace level {                                                                                \
  Fill<float> fill_rules, fill_gemm, fill_depthwise, fill_winograd, fill_reduce, fill_softmax,     \
      fill_pool, fill_norm, fill_optimizer;                                                        \
  Fill<double> fill_rules, fill_gemm, fill_depthwise, fill_winograd, fill_reduce, fill_softmax,    \
      fill_pool, fill_norm, fill_optimizer;                                                        \
  template <typename T>                                                                            \
  void fill(Kernels<T>& k) {                                                                       \
    Fill<T>* const parts[] = {fill_rules,   fill_gemm, fill_depthwise, fill_winograd, fill_reduce, \
                              fill_softmax, fill_pool, fill_norm,      fill_optimizer};            \
    for (const auto part : parts) part(k);                                                         \
  }                                                                                                \
  }
RAMP_DECLARE_LEVEL(base)
#if defined(RAMP_X86_LEVELS)
RAMP_DECLARE_LEVEL(v3)
RAMP_DECLARE_LEVEL(v4)
#endif

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

template <typename T>
Kernels<T> choose() {
  Kernels<T> k{};
  const std::string_view level = isa_level();
  if (level == "base") base::fill(k);
#if defined(RAMP_X86_LEVELS)
  if (level == "v3") v3::fill(k);
  if (level == "v4") v4::fill(k);
#endif
  return k;
}

}  // namespace

const char* isa_level() {
  static const char* level = choose_level();
  return level;
}

template <>
const Kernels<float>& kernels() {
  static const Kernels<float> k = choose<float>();
  return k;
}
template <>
const Kernels<double>& kernels() {
  static const Kernels<double> k = choose<double>();
  return k;
}

}  // namespace ramp
