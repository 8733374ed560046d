#include "ramp/core/blas.h"

#include <cstdlib>
#include <mutex>
#include <string_view>

#include "ramp/core/kernels/kernels.h"

extern "C" {
// Weak: absent when OpenBLAS is linked statically, built for one CPU, or is another BLAS.
__attribute__((weak)) char* gotoblas_corename(void);
__attribute__((weak)) char* openblas_get_corename(void);
__attribute__((weak)) void gotoblas_dynamic_init(void);
__attribute__((weak)) void gotoblas_dynamic_quit(void);
__attribute__((weak)) void openblas_set_num_threads(int);
}

namespace ramp {
namespace {

// 3: AVX-512, 2: AVX2 + FMA, 1: older; 0: a name we do not know, left alone.
int rank_of_core(const std::string& name) {
  constexpr std::string_view kNames[] = {
      "",
      " Prescott Core2 Penryn Dunnington Nehalem Westmere Sandybridge Atom Athlon Opteron "
      "Opteron_SSE3 Barcelona Bobcat Bulldozer Piledriver Steamroller Nano Katmai Coppermine "
      "Northwood Banias ",
      " Haswell Zen Excavator ", " SkylakeX Cooperlake SapphireRapids "};
  int rank = 3;
  while (rank > 0 && kNames[rank].find(" " + name + " ") == std::string_view::npos) --rank;
  return rank;
}

int rank_of_cpu() {
  const std::string_view level = cpu_isa_level();
  return level == "v4" ? 3 : level == "v3" ? 2 : 1;
}

std::string core_name() {
  if (gotoblas_corename) return gotoblas_corename();
  if (openblas_get_corename) return openblas_get_corename();
  return "unknown";
}

// Its kernels are for an older CPU than this one.
bool is_slow(const std::string& core) {
  const int rank = rank_of_core(core);
  return rank > 0 && rank < rank_of_cpu();
}

void choose_kernels() {
  if (openblas_set_num_threads) openblas_set_num_threads(1);
  if (!gotoblas_corename || !gotoblas_dynamic_quit || !gotoblas_dynamic_init) return;
  if (std::getenv("OPENBLAS_CORETYPE") || !is_slow(core_name())) return;
  setenv("OPENBLAS_CORETYPE", rank_of_cpu() == 3 ? "SkylakeX" : "Haswell", 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  unsetenv("OPENBLAS_CORETYPE");
  if (openblas_set_num_threads) openblas_set_num_threads(1);
}

}  // namespace

void prepare_blas() {
  static std::once_flag once;
  std::call_once(once, choose_kernels);
}

BlasInfo blas_info() {
  prepare_blas();
  const std::string core = core_name();
  return {core, is_slow(core)};
}

}  // namespace ramp
