// Softmax over rows.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace RAMP_ISA {
void fill_softmax(Kernels<float>&) {}
void fill_softmax(Kernels<double>&) {}
}  // namespace RAMP_ISA
}  // namespace ramp
