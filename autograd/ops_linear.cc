#include "ramp/autograd/ops_linear.h"

#include <algorithm>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/strided.h"

namespace ramp {
namespace {

// The sizes of op(a) op(b), from the last two axes.
struct Sizes {
  int64_t m, n, k, k_of_b;
  Sizes(const Tensor& a, const Tensor& b, Trans trans)
      : m(a.dim(transposes_a(trans) ? -1 : -2)),
        n(b.dim(transposes_b(trans) ? -2 : -1)),
        k(a.dim(transposes_a(trans) ? -2 : -1)),
        k_of_b(b.dim(transposes_b(trans) ? -1 : -2)) {}
};

Shape leading(const Tensor& x) { return Shape(x.shape().begin(), x.rank() - 2); }

// op(a) op(b) without recording or checks; leading axes broadcast.
Tensor product(const Tensor& a, const Tensor& b, Trans trans, GemmFor use = GemmFor::layer) {
  const Sizes s(a, b, trans);
  const Shape batch = broadcast("matmul", leading(a), leading(b));
  const int r = batch.rank();
  Tensor y = Tensor::empty(batch.with(r, s.m).with(r + 1, s.n), a.dtype());
  // The matrices of a and b by number; where one stays the same along an axis, its stride is 0.
  const Walk<2> walk(batch,
                     {broadcast_strides(leading(a), batch), broadcast_strides(leading(b), batch)});
  visit_float("matmul", a.dtype(), [&]<typename T>(T) {
    const T *x = a.data<T>(), *w = b.data<T>();
    T* out = y.mutable_data<T>();
    const int64_t count = batch.numel();
    // Small matrices are shared out whole; a large one is shared out by gemm.
    const int64_t work = s.m * s.n * s.k;
    const int64_t grain = work > kGemmGrain ? count : kGemmGrain / (work + 1) + 1;
    parallel_for(count, grain, [&](int64_t begin, int64_t end) {
      walk.runs(begin, end, [&](int64_t first, int64_t n, const int64_t* from) {
        for (int64_t i = 0; i < n; ++i) {
          gemm(trans, s.m, s.n, s.k, x + (from[0] + i * walk.stride[0][0]) * s.m * s.k,
               w + (from[1] + i * walk.stride[0][1]) * s.k * s.n, out + (first + i) * s.m * s.n,
               false, nullptr, use);
        }
      });
    });
  });
  return y;
}

Shape with_last(const Shape& x, int64_t n) { return x.without(x.rank() - 1).with(x.rank() - 1, n); }
Tensor as_matrix(const Tensor& x) {
  return x.view({x.shape().without(x.rank() - 1).numel(), x.shape().last()});
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, Trans trans) {
  check_same_dtype("matmul", "a", a, "b", b);
  fail_if(!is_float(a.dtype()),
          "matmul: a and b must be f32 or f64; got i64 {} and {}. Hint: a.to(f32).", a.shape(),
          b.shape());
  fail_if(a.rank() < 2 || b.rank() < 2,
          "matmul: a {} and b {} must have at least two axes. Hint: reshape a vector to [1, n] or "
          "[n, 1].",
          a.shape(), b.shape());
  const bool ta = transposes_a(trans), tb = transposes_b(trans);
  if (const Sizes s(a, b, trans); s.k != s.k_of_b) {
    const bool transposed_fits = s.k == s.n;
    const auto inner = [](const Tensor& x, bool last) {
      return last ? "last" : x.rank() == 2 ? "first" : "second to last";
    };
    fail("matmul: a {} and b {} do not fit: a's {} dimension ({}) must equal b's {} ({}).{}",
         a.shape(), b.shape(), inner(a, !ta), s.k, inner(b, tb), s.k_of_b,
         !transposed_fits ? " Hint: reshape one of them."
         : ta             ? (tb ? " Hint: Trans::a." : " Hint: matmul(a, b, Trans::both).")
         : tb             ? " Hint: matmul(a, b)."
                          : " Hint: matmul(a, b, Trans::b).");
  }
  for (int i = 3; i <= std::min(a.rank(), b.rank()); ++i) {
    if (a.dim(-i) == b.dim(-i) || a.dim(-i) == 1 || b.dim(-i) == 1) continue;
    fail(
        "matmul: a {} and b {} do not fit: the axes before the last two must be equal or 1; got "
        "{} and {}. Hint: reshape one of them.",
        a.shape(), b.shape(), a.dim(-i), b.dim(-i));
  }
  // Rows of a higher-rank a times one matrix are one product.
  if (b.rank() == 2 && a.rank() > 2 && !ta)
    return matmul(as_matrix(a), b, trans).view(with_last(a.shape(), b.dim(tb ? 0 : 1)));
  return record("matmul", product(a, b, trans, GemmFor::matmul), {a, b},
                [a = Saved(a, "a"), b = Saved(b, "b"), trans](const Tensor& dy, Wants want) {
                  const Tensor &x = a.get(), &w = b.get();
                  const bool ta = transposes_a(trans), tb = transposes_b(trans);
                  const auto times = [](auto... x) {
                    return grad_enabled() ? matmul(x...) : product(x..., GemmFor::matmul);
                  };
                  // da = dy op(b)^T and db = op(a)^T dy, or the transpose of that where a or b is.
                  const Tensor none;
                  return std::array{!want[0] ? none
                                    : ta     ? times(w, dy, tb ? Trans::both : Trans::b)
                                             : times(dy, w, tb ? Trans::none : Trans::b),
                                    !want[1] ? none
                                    : tb     ? times(dy, x, ta ? Trans::both : Trans::a)
                                             : times(x, dy, ta ? Trans::none : Trans::a)};
                });
}

void detail::check_bias(std::string_view op, const Tensor& w, const Tensor& b, int64_t n) {
  if (!b.defined()) return;
  check_same_dtype(op, "w", w, "b", b);
  fail_if(b.shape() != Shape{n}, "{}: b must be [{}] for w {}; got {}.", op, n, w.shape(),
          b.shape());
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b, const Activation& activation) {
  check_same_dtype("linear", "w", w, "x", x);
  if (w.rank() != 2) fail("linear: w must be [in, out]; got {}.", w.shape());
  fail_if(x.rank() < 1 || x.shape().last() != w.shape()[0],
          "linear: x {} and w {} do not fit: x's last dimension must equal w's first. Hint: w is "
          "[in, out]; reshape x to [.., in].",
          x.shape(), w.shape());
  const int64_t in = w.shape()[0], out = w.shape()[1],
                rows = x.shape().without(x.rank() - 1).numel();
  detail::check_bias("linear", w, b, out);
  Tensor y = Tensor::empty(with_last(x.shape(), out), x.dtype());
  FusedActivation fused(activation, y, should_record({x, w, b, activation.parameter()}));

  visit_float("linear", x.dtype(), [&]<typename T>(T) {
    T *sums = fused.z().mutable_data<T>(), *values = y.mutable_data<T>();
    const T* bias = b.defined() ? b.data<T>() : nullptr;
    const auto add = kernels<T>().binary[BinaryRules::index<Add>()];
    const auto finish = [&](int64_t row, int64_t n, int64_t col, int64_t cols) {
      for (int64_t i = row; i < row + n; ++i) {
        T* s = sums + i * out + col;
        if (bias) add(1, cols, {s}, {bias + col}, s);
        fused.apply(cols, s, values + i * out + col);
      }
    };
    const Epilogue epilogue = finish;
    gemm(Trans::none, rows, out, in, x.data<T>(), w.data<T>(), sums, false, &epilogue);
  });

  return record("linear", std::move(y), {x, w, b, activation.parameter()},
                [x = Saved(x, "x"), w = Saved(w, "w"), b = Saved(b, "b"),
                 slope = Saved(activation.parameter(), "slope"), at = Saved(fused.at(), "y"),
                 f = Activation(activation, {})](const Tensor& dy, Wants want) {
                  if (grad_enabled()) {
                    const auto again = [&](auto& x, auto& w, auto& b, auto& slope) {
                      const Tensor z = matmul(as_matrix(x), w).view(dy.shape());
                      return detail::finish(z, b, f, slope);
                    };
                    return recorded_vjp(dy, again, x.get(), w.get(), b.get(), slope.get());
                  }
                  const Tensor dz = as_matrix(activation_vjp(f, at.get(), dy));
                  std::array<Tensor, 4> dx;
                  if (want[0]) dx[0] = product(dz, w.get(), Trans::b).view(x.get().shape());
                  if (want[1]) dx[1] = product(as_matrix(x.get()), dz, Trans::a);
                  if (want[2]) dx[2] = sum(dz, 0);
                  if (want[3]) dx[3] = dy * minimum(at.get(), scalar_like(0, dy));
                  return dx;
                });
}

}  // namespace ramp
