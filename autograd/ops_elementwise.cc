#include "ramp/autograd/ops_elementwise.h"

#include <array>
#include <cmath>

#include "ramp/autograd/ops_activation.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"
#include "ramp/core/strided.h"

namespace ramp {
using detail::map;

namespace {

template <typename T>
using BinaryLoop = void (*)(int64_t rows, int64_t n, Operand<T> a, Operand<T> b, T* y);

template <typename... Op>
constexpr std::array<BinaryLoop<int64_t>, sizeof...(Op)> integer_loops(RuleList<Op...>) {
  return {[](int64_t rows, int64_t n, Operand<int64_t> a, Operand<int64_t> b, int64_t* y) {
    for (; rows > 0; --rows, a.p += a.row, b.p += b.row, y += n)
      for (int64_t i = 0; i < n; ++i) y[i] = Op::f(a.p[i * a.step], b.p[i * b.step]);
  }...};
}

// y = f(a, b) for a rule, by its index in BinaryRules.
template <typename T>
BinaryLoop<T> loop_of(int rule) {
  if constexpr (std::is_same_v<T, int64_t>) {
    static constexpr auto loops = integer_loops(BinaryRules{});
    return loops[rule];
  } else {
    return kernels<T>().binary[rule];
  }
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
        const T *c = pc + x[0], *a = pa + x[1], *b = pb + x[2];
        if constexpr (std::is_same_v<T, int64_t>) {
          for (int64_t i = 0; i < n; ++i) py[at + i] = c[i * sc] != 0 ? a[i * sa] : b[i * sb];
        } else {
          kernels<T>().where(n, c, sc, a, sa, b, sb, py + at);
        }
      });
    });
  });
  return y;
}

// a b in a vjp; recorded only where a graph is wanted.
Tensor times(const Tensor& a, const Tensor& b) {
  return grad_enabled() ? mul(a, b) : map<Mul>(a, b);
}

template <typename Op>
Tensor max_or_min(const Tensor& a, const Tensor& b) {
  return record(
      Op::name, map<Op>(a, b), {a, b},
      [a = Saved(a, "a"), b = Saved(b, "b")](const Tensor& dy, Wants want) {
        const Tensor &x = a.get(), &z = b.get();
        const auto part = [&](bool of_a) {  // min(a, b) has the shares of max(b, a)
          const bool in_order = of_a == std::is_same_v<Op, Maximum>;
          return dy * (in_order ? map<MaxGradient>(x, z) : map<MaxGradient>(z, x));
        };
        return std::array{want[0] ? part(true) : Tensor{}, want[1] ? part(false) : Tensor{}};
      });
}

}  // namespace

Tensor detail::map_all(int rule, const char* op, const Tensor& a, const Tensor& b,
                       bool same_shape) {
  if (!same_shape) check_same_dtype(op, "a", a, "b", b);
  Tensor y = Tensor::empty(same_shape ? a.shape() : broadcast(op, a.shape(), b.shape()), a.dtype());
  visit_dtype(y.dtype(), [&]<typename T>(T) {
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = loop_of<T>(rule);
    if (same_shape) {
      return parallel_for(y.numel(), kStreamGrain, [=](int64_t i, int64_t end) {
        run(1, end - i, {pa + i}, {pb + i}, py + i);
      });
    }
    const Walk<2> loop(y.shape(), {broadcast_strides(a.shape(), y.shape()),
                                   broadcast_strides(b.shape(), y.shape())});
    const auto &step = loop.stride[0], &row = loop.stride[1];
    parallel_for(y.numel(), kStreamGrain, [&](int64_t begin, int64_t end) {
      loop.blocks(begin, end, [&](int64_t at, int64_t rows, int64_t n, const int64_t* x) {
        run(rows, n, {pa + x[0], step[0], row[0]}, {pb + x[1], step[1], row[1]}, py + at);
      });
    });
  });
  return y;
}

Tensor scalar_like(double value, const Tensor& x) {
  check_defined("arithmetic with a number", "the tensor", x);
  check_number("arithmetic with a number", value, x.dtype());
  return Tensor::scalar(value, x.dtype());
}

Tensor add(const Tensor& a, const Tensor& b) {
  return record("add", map<Add>(a, b), {a, b}, [](Tensor dy, Wants) {
    return std::array{dy, std::move(dy)};
  });
}

Tensor sub(const Tensor& a, const Tensor& b) {
  return record("sub", map<Sub>(a, b), {a, b}, [](const Tensor& dy, Wants want) {
    return std::array{dy, want[1] ? neg(dy) : Tensor{}};
  });
}

Tensor mul(const Tensor& a, const Tensor& b) {
  return record("mul", map<Mul>(a, b), {a, b},
                [a = Saved(a, "a", b.requires_grad()), b = Saved(b, "b", a.requires_grad())](
                    const Tensor& dy, Wants want) {
                  return std::array{want[0] ? times(dy, b.get()) : Tensor{},
                                    want[1] ? times(dy, a.get()) : Tensor{}};
                });
}

Tensor div(const Tensor& a, const Tensor& b) {
  Tensor y = map<Div>(a, b);
  return record(
      "div", y, {a, b},
      [y = Saved(y, "y", b.requires_grad()), b = Saved(b, "b")](const Tensor& dy, Wants want) {
        const Tensor da = dy / b.get();
        return std::array{da, want[1] ? -(da * y.get()) : Tensor{}};
      });
}

Tensor neg(const Tensor& x) {
  check_defined("neg", "x", x);
  return record("neg", map<Mul>(x, scalar_like(-1, x), "neg"), {x},
                [](const Tensor& dy, Wants) { return neg(dy); });
}

Tensor pow(const Tensor& x, double p) {
  check_defined("pow", "x", x);
  const Power rule{p};
  rule.check();
  const auto value = [&](int64_t n, const auto* x, auto* y) {
    detail::run_rule(UnaryRules::index<Power>(), &rule, n, x, y);
  };
  return record("pow", map_chunks("pow", kStreamGrain, value, x), {x},
                [x = Saved(x, "x"), p](const Tensor& dy, Wants) {
                  const Tensor zero = scalar_like(0, dy);
                  return !grad_enabled() ? activation_vjp(Power{p}, x.get(), dy)
                         : p == 0        ? where(zero, dy, zero)
                                         : dy * (pow(x.get(), p - 1) * p);
                });
}

Tensor pow(const Tensor& x, const Tensor& p) {
  Tensor y = map<Pow>(x, p);
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

Tensor abs(const Tensor& x) {
  check_defined("abs", "x", x);
  return x.dtype() == i64 ? map<Maximum>(x, neg(x), "abs") : activate(x, detail::the<Abs>());
}
Tensor clamp(const Tensor& x, double lo, double hi) {
  const Clamp rule{{lo, hi}};
  check_defined("clamp", "x", x);
  if (x.dtype() != i64) return activate(x, rule);
  rule.check();
  return map<Minimum>(map<Maximum>(x, scalar_like(lo, x), "clamp"), scalar_like(hi, x), "clamp");
}

Tensor maximum(const Tensor& a, const Tensor& b) { return max_or_min<Maximum>(a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return max_or_min<Minimum>(a, b); }

Tensor where(const Tensor& cond, const Tensor& a, const Tensor& b) {
  check_defined("where", "cond", cond);
  check_same_dtype("where", "a", a, "b", b);
  // Tested in its own dtype first: in f32 a tiny f64 would become 0.
  const Tensor c = cond.dtype() == a.dtype()
                       ? cond.detach()
                       : map<NotEqual>(cond, scalar_like(0, cond), "where").to(a.dtype());
  return record("where", select(c, a, b), {a, b},
                [c = Saved(c, "cond")](const Tensor& dy, Wants want) {
                  const Tensor &cond = c.get(), zero = scalar_like(0, dy);
                  return std::array{want[0] ? where(cond, dy, zero) : Tensor{},
                                    want[1] ? where(cond, zero, dy) : Tensor{}};
                });
}

Tensor logical_not(const Tensor& x) {
  check_defined("logical_not", "x", x);
  return map<Equal>(x, scalar_like(0, x));
}
Tensor isnan(const Tensor& x) {
  check_defined("isnan", "x", x);
  return map<NotEqual>(x, x);
}

Tensor& detail::assign(const char* op, Tensor& x, const Tensor& result) {
  fail_if(result.shape() != x.shape(),
          "{}: the result {} does not fit into x {}. Hint: x = x {} y.", op, result.shape(),
          x.shape(), op[0]);
  if (!result.requires_grad()) return x.copy_(result);
  fail_if(x.meta() && node_of(x)->is_leaf,
          "{}: x {} is a leaf, and the result is recorded. Hint: put NoGrad around it to change x, "
          "or make another tensor: y = x {} ..",
          op, x.shape(), op[0]);
  return x = result;
}

}  // namespace ramp
