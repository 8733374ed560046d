// Matrix product on raw memory.
#pragma once

#include <cstdint>

#include "ramp/core/parallel.h"

namespace ramp {

/// Which operand is transposed.
enum class Trans : uint8_t { none = 0, a = 1, b = 2, both = 3 };
inline bool transposes_a(Trans t) { return (static_cast<int>(t) & 1) != 0; }
inline bool transposes_b(Trans t) { return (static_cast<int>(t) & 2) != 0; }

/// Multiply-adds that are worth a task of their own; about 5 us.
constexpr int64_t kGemmGrain = 1 << 18;

/// Called with each finished tile of c while it is in the cache: rows [row, row + rows), columns
/// [col, col + cols). Tiles come from several threads.
using Epilogue = FunctionRef<void(int64_t row, int64_t rows, int64_t col, int64_t cols)>;

/// Who asks. A matmul is OpenBLAS', and so is everything at ISA level base, for which ramp has no
/// kernel, and with RAMP_GEMM=blas. A layer has ramp's own kernel, which finishes its tiles while
/// they are in the cache (but for products with a vector), and with RAMP_GEMM=own so has
/// everything. docs/performance.md shows both by shape.
enum class GemmFor : uint8_t { layer, matmul };
bool gemm_uses_blas(GemmFor use);

/// c = op(a) op(b), or c += with `accumulate`. T is float or double; a is [m, k] ([k, m] when
/// transposed), b is [k, n] ([n, k]), c is [m, n], all contiguous. Bit-equal for any number of
/// threads.
template <typename T>
void gemm(Trans trans, int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c,
          bool accumulate = false, const Epilogue* epilogue = nullptr,
          GemmFor use = GemmFor::layer);

}  // namespace ramp
