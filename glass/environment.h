// What the numbers of a run depend on.
#pragma once

#include <string>

namespace ramp {

/// "AMD EPYC-Milan Processor"; "unknown" where the system does not say.
std::string cpu_model();
/// "ramp 0.1.0, AVX2 (v3), OpenBLAS Haswell for matmul, 2 threads, release build": for the first
/// line of a program. See GemmFor.
std::string environment();
/// What makes this run many times slower than it need be (a debug build, BLAS kernels for an older
/// CPU); empty when all is well.
std::string environment_warning();

}  // namespace ramp
