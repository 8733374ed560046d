#include "ramp/autograd/ops_elementwise.h"

#include <array>
#include <cmath>

#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"
#include "ramp/core/strided.h"

namespace ramp {
namespace {

// In the order of Binary. Unsigned arithmetic wraps where signed would be undefined.
using Integer = int64_t;
using Unsigned = uint64_t;
constexpr Integer (*kIntegerOps[kBinaryOps])(Integer a, Integer b) = {
    [](Integer a, Integer b) { return static_cast<Integer>(Unsigned(a) + Unsigned(b)); },
    [](Integer a, Integer b) { return static_cast<Integer>(Unsigned(a) - Unsigned(b)); },
    [](Integer a, Integer b) { return static_cast<Integer>(Unsigned(a) * Unsigned(b)); },
    [](Integer a, Integer b) {
      if (b == 0) fail("div: a division by 0 in i64. Hint: a.to(f32) divides to inf or NaN.");
      return b == -1 ? static_cast<Integer>(-Unsigned(a)) : a / b;
    },
    [](Integer, Integer) -> Integer {
      fail("pow: expected f32 or f64 tensors; got i64. Hint: x.to(f32).");
    },
    [](Integer a, Integer b) { return std::max(a, b); },
    [](Integer a, Integer b) { return std::min(a, b); },
    [](Integer a, Integer b) { return Integer{a < b}; },
    [](Integer a, Integer b) { return Integer{a <= b}; },
    [](Integer a, Integer b) { return Integer{a > b}; },
    [](Integer a, Integer b) { return Integer{a >= b}; },
    [](Integer a, Integer b) { return Integer{a == b}; },
    [](Integer a, Integer b) { return Integer{a != b}; },
    nullptr,  // share: only derivatives take it
};

template <typename T>
void run(Binary op, int64_t n, const T* a, int64_t sa, const T* b, int64_t sb, T* y) {
  if constexpr (std::is_same_v<T, int64_t>) {
    for (int64_t i = 0; i < n; ++i) y[i] = kIntegerOps[static_cast<int>(op)](a[i * sa], b[i * sb]);
  } else if (n == 1 && op <= Binary::mul) {  // chains of scalars, without a call
    *y = op == Binary::add ? *a + *b : op == Binary::sub ? *a - *b : *a * *b;
  } else {
    kernels<T>().binary[static_cast<int>(op)](n, a, sa, b, sb, y);
  }
}

template <typename T>
void run_where(int64_t n, const T* c, int64_t sc, const T* a, int64_t sa, const T* b, int64_t sb,
               T* y) {
  if constexpr (std::is_same_v<T, int64_t>) {
    for (int64_t i = 0; i < n; ++i) y[i] = c[i * sc] != 0 ? a[i * sa] : b[i * sb];
  } else {
    kernels<T>().where(n, c, sc, a, sa, b, sb, y);
  }
}

// map() of two shapes, and of one.
Tensor map_stretched(Binary op, const char* name, const Tensor& a, const Tensor& b) {
  check_same_dtype(name, "a", a, "b", b);
  Tensor y = Tensor::empty(broadcast(name, a.shape(), b.shape()), a.dtype());
  visit_dtype(y.dtype(), [&]<typename T>(T) {
    const Walk<2> loop(y.shape(), {broadcast_strides(a.shape(), y.shape()),
                                   broadcast_strides(b.shape(), y.shape())});
    const int64_t sa = loop.stride[0][0], sb = loop.stride[0][1];
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(y.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      loop.runs(begin, end, [&](int64_t at, int64_t n, const int64_t* x) {
        run(op, n, pa + x[0], sa, pb + x[1], sb, py + at);
      });
    });
  });
  return y;
}

Tensor map_alike(Binary op, const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(a.shape(), a.dtype());
  visit_dtype(y.dtype(), [&]<typename T>(T) {
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.mutable_data<T>();
    const int64_t n = y.numel();
    if (n == 1) return run(op, n, pa, 1, pb, 1, py);
    parallel_for(n, kStreamGrain,
                 [=](int64_t i, int64_t end) { run(op, end - i, pa + i, 1, pb + i, 1, py + i); });
  });
  return y;
}

// y = cond ? a : b without history; cond has the dtype of a and b.
Tensor select(const Tensor& cond, const Tensor& a, const Tensor& b) {
  const Shape both = broadcast("where", a.shape(), b.shape());
  Tensor y = Tensor::empty(broadcast("where", cond.shape(), both, "cond", "a and b"), a.dtype());
  visit_dtype(y.dtype(), [&]<typename T>(T) {
    const Shape& to = y.shape();
    const Walk<3> loop(to, {broadcast_strides(cond.shape(), to), broadcast_strides(a.shape(), to),
                            broadcast_strides(b.shape(), to)});
    const int64_t sc = loop.stride[0][0], sa = loop.stride[0][1], sb = loop.stride[0][2];
    const T *pc = cond.data<T>(), *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(y.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      loop.runs(begin, end, [&](int64_t at, int64_t n, const int64_t* x) {
        run_where(n, pc + x[0], sc, pa + x[1], sa, pb + x[2], sb, py + at);
      });
    });
  });
  return y;
}

}  // namespace

Tensor map(Binary op, const char* name, const Tensor& a, const Tensor& b) {
  const bool alike = a.defined() && b.defined() && a.dtype() == b.dtype() && a.shape() == b.shape();
  return alike ? map_alike(op, a, b) : map_stretched(op, name, a, b);
}

namespace {

// y = op(x) and dx = dy op'(x or y), recorded; lo and hi are clamp's.
template <Unary op, bool from_x>
Tensor recorded_map(const Tensor& x, double lo = 0, double hi = 0) {
  constexpr int i = static_cast<int>(op);
  const char* name = kUnaryNames[i];
  check_defined(name, "x", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_float(name, x.dtype(), [&]<typename T>(T) {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(x.numel(), kStreamGrain, [&](int64_t at, int64_t end) {
      if constexpr (op == Unary::clamp) {
        kernels<T>().clamp(end - at, static_cast<T>(lo), static_cast<T>(hi), px + at, py + at);
      } else {
        kernels<T>().unary[i](end - at, px + at, py + at);
      }
    });
  });
  if (!should_record({x})) return y;
  return record(name, y, {x},
                [=, at = Saved(from_x ? x : y, from_x ? "x" : "y")](const Tensor& dy, Wants) {
                  const Tensor& x_or_y = at.get();
                  Tensor dx = Tensor::empty(dy.shape(), dy.dtype());
                  visit_float(name, dy.dtype(), [&]<typename T>(T) {
                    const T *p = x_or_y.data<T>(), *g = dy.data<T>();
                    T* d = dx.mutable_data<T>();
                    parallel_for(dy.numel(), kStreamGrain, [&](int64_t at, int64_t end) {
                      if constexpr (op == Unary::clamp) {
                        kernels<T>().clamp_vjp(end - at, static_cast<T>(lo), static_cast<T>(hi),
                                               p + at, g + at, d + at);
                      } else {
                        kernels<T>().unary_vjp[i](end - at, p + at, p + at, g + at, d + at);
                      }
                    });
                  });
                  return dx;
                });
}

}  // namespace

Tensor scalar_like(double value, const Tensor& x) {
  check_defined("arithmetic with a number", "the tensor", x);
  check_number("arithmetic with a number", value, x.dtype());
  return Tensor::scalar(value, x.dtype());
}

Tensor add(const Tensor& a, const Tensor& b) {
  return record("add", map(Binary::add, "add", a, b), {a, b}, [](Tensor dy, Wants) {
    return std::array{dy, std::move(dy)};
  });
}

Tensor sub(const Tensor& a, const Tensor& b) {
  return record("sub", map(Binary::sub, "sub", a, b), {a, b}, [](const Tensor& dy, Wants want) {
    return std::array{dy, want[1] ? neg(dy) : Tensor{}};
  });
}

Tensor mul(const Tensor& a, const Tensor& b) {
  return record("mul", map(Binary::mul, "mul", a, b), {a, b},
                [a = Saved(a, "a", b.requires_grad()), b = Saved(b, "b", a.requires_grad())](
                    const Tensor& dy, Wants want) {
                  return std::array{want[0] ? map(Binary::mul, "mul", dy, b.get()) : Tensor{},
                                    want[1] ? map(Binary::mul, "mul", dy, a.get()) : Tensor{}};
                });
}

Tensor div(const Tensor& a, const Tensor& b) {
  Tensor y = map(Binary::div, "div", a, b);
  return record(
      "div", y, {a, b},
      [y = Saved(y, "y", b.requires_grad()), b = Saved(b, "b")](const Tensor& dy, Wants want) {
        const Tensor da = dy / b.get();
        return std::array{da, want[1] ? -(da * y.get()) : Tensor{}};
      });
}

Tensor neg(const Tensor& x) {
  static constexpr auto negative = [](const Tensor& x) {
    return map(Binary::mul, "neg", x, scalar_like(-1, x));
  };
  check_defined("neg", "x", x);
  return record("neg", negative(x), {x}, [](const Tensor& dy, Wants) { return negative(dy); });
}

Tensor pow(const Tensor& x, double p) {
  // x^p without history.
  static constexpr auto power = [](const Tensor& x, double p) {
    if (p == 1) return x.detach().clone();
    if (p == 2) return map(Binary::mul, "pow", x, x);
    return map(Binary::pow, "pow", x, scalar_like(p, x));
  };
  check_defined("pow", "x", x);
  if (x.dtype() == i64) fail("pow: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).");
  return record("pow", power(x, p), {x}, [x = Saved(x, "x"), p](const Tensor& dy, Wants) {
    if (p == 0) return Tensor::zeros(dy.shape(), dy.dtype());
    return dy * (power(x.get(), p - 1) * p);
  });
}

Tensor pow(const Tensor& x, const Tensor& p) {
  Tensor y = map(Binary::pow, "pow", x, p);
  return record(
      "pow", y, {x, p},
      [x = Saved(x, "x"), p = Saved(p, "p"), y = Saved(y, "y")](const Tensor& dy, Wants want) {
        const Tensor &a = x.get(), &b = p.get();
        const Tensor zero = scalar_like(0, dy);
        std::array<Tensor, 2> d;
        if (want[0]) d[0] = where(b == zero, zero, dy * b * pow(a, b - 1));
        if (want[1]) {
          const Tensor flat = (a == zero) * (b >= zero);
          d[1] = where(flat, zero, dy * y.get() * log(a));
        }
        return d;
      });
}

Tensor exp(const Tensor& x) { return recorded_map<Unary::exp, false>(x); }
Tensor erf(const Tensor& x) { return recorded_map<Unary::erf, true>(x); }
Tensor log(const Tensor& x) { return recorded_map<Unary::log, true>(x); }
Tensor sqrt(const Tensor& x) { return recorded_map<Unary::sqrt, false>(x); }
Tensor abs(const Tensor& x) {
  return x.dtype() == i64 ? map(Binary::maximum, "abs", x, neg(x))
                          : recorded_map<Unary::abs, true>(x);
}

namespace {

// maximum and minimum: share() takes the operands in the one and the other order.
Tensor extremum(Binary op, const char* name, const Tensor& a, const Tensor& b) {
  return record(
      name, map(op, name, a, b), {a, b},
      [a = Saved(a, "a"), b = Saved(b, "b"), op, name](const Tensor& dy, Wants want) {
        const Tensor &x = a.get(), &z = b.get();
        const auto part = [&](bool swap) {
          return dy * map(Binary::share, name, swap ? z : x, swap ? x : z);
        };
        const bool is_min = op == Binary::minimum;
        return std::array{want[0] ? part(is_min) : Tensor{}, want[1] ? part(!is_min) : Tensor{}};
      });
}

}  // namespace

Tensor maximum(const Tensor& a, const Tensor& b) {
  return extremum(Binary::maximum, "maximum", a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  return extremum(Binary::minimum, "minimum", a, b);
}

Tensor clamp(const Tensor& x, double lo, double hi) {
  check_defined("clamp", "x", x);
  if (!(lo <= hi)) fail("clamp: expected lo <= hi; got lo {} and hi {}.", lo, hi);
  if (x.dtype() == i64) {
    return map(Binary::minimum, "clamp", map(Binary::maximum, "clamp", x, scalar_like(lo, x)),
               scalar_like(hi, x));
  }
  return recorded_map<Unary::clamp, true>(x, lo, hi);
}

Tensor where(const Tensor& cond, const Tensor& a, const Tensor& b) {
  check_defined("where", "cond", cond);
  check_same_dtype("where", "a", a, "b", b);
  // Tested in its own dtype first: in f32 a tiny f64 would become 0.
  const Tensor c = cond.dtype() == a.dtype()
                       ? cond.detach()
                       : map(Binary::not_equal, "where", cond, scalar_like(0, cond)).to(a.dtype());
  return record("where", select(c, a, b), {a, b},
                [c = Saved(c, "cond")](const Tensor& dy, Wants want) {
                  const Tensor &cond = c.get(), zero = scalar_like(0, dy);
                  return std::array{want[0] ? select(cond, dy, zero) : Tensor{},
                                    want[1] ? select(cond, zero, dy) : Tensor{}};
                });
}

Tensor less(const Tensor& a, const Tensor& b) { return map(Binary::less, "less", a, b); }
Tensor less_equal(const Tensor& a, const Tensor& b) {
  return map(Binary::less_equal, "less_equal", a, b);
}
Tensor greater(const Tensor& a, const Tensor& b) { return map(Binary::greater, "greater", a, b); }
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return map(Binary::greater_equal, "greater_equal", a, b);
}
Tensor equal(const Tensor& a, const Tensor& b) { return map(Binary::equal, "equal", a, b); }
Tensor not_equal(const Tensor& a, const Tensor& b) {
  return map(Binary::not_equal, "not_equal", a, b);
}

}  // namespace ramp
