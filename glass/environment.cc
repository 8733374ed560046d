#include "ramp/glass/environment.h"

#include <fmt/format.h>

#include <fstream>
#include <string_view>

#include "ramp/core/blas.h"
#include "ramp/core/gemm.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

#if defined(__OPTIMIZE__)
constexpr bool kOptimized = true;
#else
constexpr bool kOptimized = false;
#endif

std::string_view instructions(std::string_view level) {
  return level == "v4" ? "AVX-512" : level == "v3" ? "AVX2" : "no SIMD beyond the base";
}

}  // namespace

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string environment() {
  const int n = num_threads();
  std::string blas;
  if (gemm_uses_blas(GemmFor::matmul)) {
    blas = ", OpenBLAS " + blas_info().core;
    if (!gemm_uses_blas(GemmFor::layer)) blas += " for matmul";
  }
  return fmt::format("ramp {}, {} ({}){}, {} thread{}, {} build", RAMP_VERSION,
                     instructions(isa_level()), isa_level(), blas, n, n == 1 ? "" : "s",
                     kOptimized ? "release" : "DEBUG");
}

std::string environment_warning() {
  std::string text;
  if (!kOptimized) {
    text +=
        "WARNING: this is a debug build, many times slower than a release build. "
        "Hint: cmake --preset release.\n";
  }
  if (!gemm_uses_blas(GemmFor::matmul)) return text;
  if (const BlasInfo blas = blas_info(); blas.slow) {
    text += fmt::format(
        "WARNING: OpenBLAS runs its {} kernels, made for an older CPU than this one. "
        "Hint: unset OPENBLAS_CORETYPE, or install a newer OpenBLAS.\n",
        blas.core);
  }
  return text;
}

}  // namespace ramp
