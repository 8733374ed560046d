// y = op(x) and y = op(a, b), element by element.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

template <typename T, typename F>
inline void map_binary(int64_t n, const T* a, int64_t sa, const T* b, int64_t sb, T* y, F f) {
  constexpr int W = kLanes<T>;
  const Vec<T> a0 = splat(*a), b0 = splat(*b);
  int64_t i = 0;
  for (; i + W <= n; i += W) store(y + i, f(sa ? load(a + i) : a0, sb ? load(b + i) : b0));
  if (i < n) {
    store_first(y + i,
                f(sa ? load_first(a + i, n - i) : a0, sb ? load_first(b + i, n - i) : b0), n - i);
  }
}

template <typename T>
void add(int64_t n, const T* a, int64_t sa, const T* b, int64_t sb, T* y) {
  map_binary(n, a, sa, b, sb, y, [](Vec<T> a, Vec<T> b) { return a + b; });
}
template <typename T>
void mul(int64_t n, const T* a, int64_t sa, const T* b, int64_t sb, T* y) {
  map_binary(n, a, sa, b, sb, y, [](Vec<T> a, Vec<T> b) { return a * b; });
}

template <typename T>
void fill(Kernels<T>& k) {
  k.binary[static_cast<int>(Binary::add)] = add<T>;
  k.binary[static_cast<int>(Binary::mul)] = mul<T>;
}

}  // namespace

namespace RAMP_ISA {
void fill_elementwise(Kernels<float>& k) { fill(k); }
void fill_elementwise(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
