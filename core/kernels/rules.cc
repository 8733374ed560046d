// The rules of core/rules_unary.h, rules_binary.h and rules_loss.h in vectors, and what else goes
// element by element.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/map.h"
#include "ramp/core/kernels/math.h"

namespace ramp {
namespace {

template <typename T, typename A, size_t k>
void loss(const void* rule, int64_t n, const T* y, const T* t, const T* g, int64_t sg, T* u) {
  const auto f = [a = *static_cast<const A*>(rule)](Vec<T> y, Vec<T> t, Vec<T> g) {
    return g * std::get<k>(a.f(y, t));
  };
  map(f, n, u, Stream<T>(y, 1), Stream<T>(t, 1), Stream<T>(g, sg));
}

template <typename T>
void copy_rows(int64_t rows, int64_t n, const T* x, int64_t x_row, int64_t x_step, T* y,
               int64_t y_row, int64_t y_step, bool adds) {
  using S = Stream<T>;
  const auto each = [=](auto row) {
    for (int64_t i = 0; i < rows; ++i) row(x + i * x_row, y + i * y_row);
  };
  if (n >= 8 && y_step == 1 && (x_step == 0 || x_step == 1)) {
    const auto copy = [](Vec<T> x) { return x; };
    const auto add = [](Vec<T> x, Vec<T> y) { return y + x; };
    if (!adds) return each([=](const T* x, T* y) { map(copy, n, y, S(x, x_step)); });
    return each([=](const T* x, T* y) { map(add, n, y, S(x, x_step), S(y, 1)); });
  }
  if (x_row == 0 && y_row == n && x_step == 1 && y_step == 1 && !adds) {  // a short row, repeated
    for (int64_t j = 0; rows > 0 && j < n; ++j) y[j] = x[j];
    for (int64_t done = n, all = rows * n; done < all; done *= 2)
      __builtin_memcpy(y + done, y,
                       sizeof(T) * static_cast<size_t>(done < all - done ? done : all - done));
    return;
  }
  if (y_step == 1 && x_step == -1 && !adds) {  // the compiler makes vectors of it
    return each([=](const T* __restrict x, T* __restrict y) {
      for (int64_t j = 0; j < n; ++j) y[j] = x[-j];
    });
  }
  each([=](const T* x, T* y) {
    for (int64_t j = 0; j < n; ++j)
      y[j * y_step] = adds ? y[j * y_step] + x[j * x_step] : x[j * x_step];
  });
}

}  // namespace

void RAMP_ISA::fill_rules(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    using V = Vec<T>;
    using S = Stream<T>;
    UnaryRules::for_each([&]<typename A>() {
      constexpr int i = UnaryRules::index<A>();
      k.unary[i] = [](const void* rule, int64_t n, const T* x, T* y) {
        map([a = *static_cast<const A*>(rule)](V x) -> V { return a.f(x); }, n, y, S(x, 1));
      };
      k.unary_vjp[i] = [](const void* rule, int64_t n, const T* at, const T* dy, T* dx) {
        const auto f = [a = *static_cast<const A*>(rule)](V at, V dy) {
          return math::mul_or_zero(dy, V(derivative(a, at)));
        };
        map(f, n, dx, S(at, 1), S(dy, 1));
      };
    });
    BinaryRules::for_each([&]<typename A>() {
      k.binary[BinaryRules::index<A>()] = [](int64_t rows, int64_t n, Operand<T> a, Operand<T> b,
                                             T* y) {
        for (; rows > 0; --rows, a.p += a.row, b.p += b.row, y += n)
          map([](V a, V b) -> V { return A::f(a, b); }, n, y, S(a.p, a.step), S(b.p, b.step));
      };
    });
    LossRules::for_each([&]<typename A>() {
      k.loss[LossRules::index<A>()] = {loss<T, A, 0>, loss<T, A, 1>, loss<T, A, 2>};
    });

    k.where = [](int64_t n, const T* c, int64_t sc, const T* a, int64_t sa, const T* b, int64_t sb,
                 T* y) {
      map([](V c, V a, V b) { return c != V{} ? a : b; }, n, y, S(c, sc), S(a, sa), S(b, sb));
    };
    k.leak = [](int64_t n, const T* at, const T* s, int64_t ss, const T* v, T* y) {
      const auto f = [](V at, V s, V v) {
        return at < 0 ? s * v : at == 0 ? (s < 0 ? 0 : s * v) : v;
      };
      map(f, n, y, S(at, 1), S(s, ss), S(v, 1));
    };
    k.copy_rows = copy_rows<T>;
    k.axpy = [](int64_t n, T f, const T* x, T* y) {
      map([f](V x, V y) { return y + f * x; }, n, y, S(x, 1), S(y, 1));
    };
  });
}

}  // namespace ramp
