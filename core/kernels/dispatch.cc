// Picks the kernels for this CPU, once.
#include <cstdlib>
#include <string_view>

#include "ramp/core/error.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {

// Each level's kernel files define these.
#define RAMP_DECLARE_LEVEL(level)        \
  namespace level {                      \
  void fill_rules(Kernels<float>&);      \
  void fill_rules(Kernels<double>&);     \
  void fill_gemm(Kernels<float>&);       \
  void fill_gemm(Kernels<double>&);      \
  void fill_depthwise(Kernels<float>&);  \
  void fill_depthwise(Kernels<double>&); \
  void fill_winograd(Kernels<float>&);   \
  void fill_winograd(Kernels<double>&);  \
  void fill_reduce(Kernels<float>&);     \
  void fill_reduce(Kernels<double>&);    \
  void fill_softmax(Kernels<float>&);    \
  void fill_softmax(Kernels<double>&);   \
  void fill_pool(Kernels<float>&);       \
  void fill_pool(Kernels<double>&);      \
  void fill_norm(Kernels<float>&);       \
  void fill_norm(Kernels<double>&);      \
  void fill_optimizer(Kernels<float>&);  \
  void fill_optimizer(Kernels<double>&); \
  template <typename T>                  \
  void fill(Kernels<T>& k) {             \
    fill_rules(k);                       \
    fill_gemm(k);                        \
    fill_depthwise(k);                   \
    fill_winograd(k);                    \
    fill_reduce(k);                      \
    fill_softmax(k);                     \
    fill_pool(k);                        \
    fill_norm(k);                        \
    fill_optimizer(k);                   \
  }                                      \
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
