// The activations of core/activations.h in vectors.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/map.h"
#include "ramp/core/kernels/math.h"

namespace ramp {
namespace math {

// No two levels have vectors of one width, so each has these for itself.
template <typename V>
using Lane = std::remove_cvref_t<decltype(V{}[0])>;
template <typename V>
V exp(V x) {
  return vexp<Lane<V>>(x);
}
template <typename V>
V expm1(V x) {
  return vexpm1<Lane<V>>(x);
}
template <typename V>
V log1p(V x) {
  return vlog1p<Lane<V>>(x);
}
template <typename V>
V tanh(V x) {
  return vtanh<Lane<V>>(x);
}
template <typename V>
V abs(V x) {
  return vabs<Lane<V>>(x);
}
template <typename V>
V sigmoid(V x) {
  return vsigmoid<Lane<V>>(x);
}
template <typename V>
V normal_density(V x) {
  return vgauss<Lane<V>>(x) * like(x, 0.3989422804014327);
}
template <typename V>
V normal_distribution(V x) {
  return vnormal<Lane<V>>(x);
}

}  // namespace math

namespace {

template <typename T, typename A>
void add(Kernels<T>& k) {
  using V = Vec<T>;
  using S = Stream<T>;
  constexpr int i = BuiltinRules::index<A>();
  k.activation[i] = [](const void* rule, int64_t n, const T* x, T* y) {
    map([a = *static_cast<const A*>(rule)](V x) -> V { return a.f(x); }, n, y, S(x, 1));
  };
  k.activation_vjp[i] = [](const void* rule, int64_t n, const T* at, const T* dy, T* dx) {
    const A a = *static_cast<const A*>(rule);
    const auto run = [&](auto f) {
      map([f](V at, V dy) { return math::damped(dy, f(at)); }, n, dx, S(at, 1), S(dy, 1));
    };
    if constexpr (DerivesFromX<A>) {
      bool needed = true;
      if constexpr (DerivesFromY<A>) needed = a.needs_x();
      if (needed) return run([a](V x) -> V { return a.derivative_from_x(x); });
    }
    if constexpr (DerivesFromY<A>) run([a](V y) -> V { return a.derivative_from_y(y); });
  };
}

template <typename T>
void fill(Kernels<T>& k) {
  BuiltinRules::for_each([&]<typename A>() { add<T, A>(k); });
  k.leak = [](int64_t n, const T* at, const T* s, int64_t ss, const T* v, T* y) {
    using S = Stream<T>;
    const auto f = [](Vec<T> at, Vec<T> s, Vec<T> v) {
      return at < 0 ? s * v : at == 0 ? (s < 0 ? 0 : s * v) : v;
    };
    map(f, n, y, S(at, 1), S(s, ss), S(v, 1));
  };
}

}  // namespace

namespace RAMP_ISA {
void fill_activation(Kernels<float>& k) { fill(k); }
void fill_activation(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
