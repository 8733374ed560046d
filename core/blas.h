// OpenBLAS, told which CPU this is, on one thread (ramp owns the threads).
#pragma once

#include <string>

namespace ramp {

/// Chooses OpenBLAS' kernels once, before its first use: Debian's 0.3.21 falls back to those of a
/// 2004 CPU on recent ones. OPENBLAS_CORETYPE, set by the user, wins. Thread-safe.
void prepare_blas();

struct BlasInfo {
  std::string core;   // "Haswell"; "unknown" where OpenBLAS does not say
  bool slow = false;  // the kernels are for an older CPU than this one
};
BlasInfo blas_info();

}  // namespace ramp
