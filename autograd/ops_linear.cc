#include "ramp/autograd/ops_linear.h"

#include <algorithm>

#include "ramp/autograd/record.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

// Elements that one thread takes at a time in the passes that only stream.
constexpr int64_t kGrain = 1 << 14;

// op(a) op(b) for matrices, without recording.
Tensor product(const Tensor& a, const Tensor& b, Trans trans) {
  const int64_t m = transposes_a(trans) ? a.shape()[1] : a.shape()[0];
  const int64_t k = transposes_a(trans) ? a.shape()[0] : a.shape()[1];
  const int64_t n = transposes_b(trans) ? b.shape()[0] : b.shape()[1];
  Tensor y = Tensor::empty({m, n}, a.dtype());
  visit_float("matmul", a.dtype(), [&]<typename T>(T) {
    gemm(trans, m, n, k, a.data<T>(), b.data<T>(), y.mutable_data<T>());
  });
  return y;
}

// The sum over the rows of z [rows, n]: n columns in pieces, each in row order.
Tensor sum_of_rows(const Tensor& z) {
  const int64_t rows = z.shape()[0], n = z.shape()[1];
  Tensor s = Tensor::zeros({n}, z.dtype());
  visit_float("linear", z.dtype(), [&]<typename T>(T) {
    const T* p = z.data<T>();
    T* sum = s.mutable_data<T>();
    parallel_for(n, std::max<int64_t>(64, kGrain / std::max<int64_t>(rows, 1)),
                 [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < rows; ++i) {
        kernels<T>().binary[static_cast<int>(Binary::add)](end - begin, sum + begin, 1,
                                                           p + i * n + begin, 1, sum + begin);
      }
    });
  });
  return s;
}

Tensor as_matrix(const Tensor& x) { return x.view({x.numel() / std::max<int64_t>(x.shape().last(), 1), x.shape().last()}); }

// dz = dy f'(at) in one streaming pass.
Tensor activation_vjp(const Activation& f, const Tensor& at, const Tensor& dy) {
  Tensor dz = Tensor::empty(dy.shape(), dy.dtype());
  visit_float("activate", dy.dtype(), [&]<typename T>(T) {
    const T *p = at.data<T>(), *g = dy.data<T>();
    T* out = dz.mutable_data<T>();
    parallel_for(dy.numel(), kGrain, [&](int64_t begin, int64_t end) {
      f.vjp_block(end - begin, p + begin, g + begin, out + begin);
    });
  });
  return dz;
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b, const Activation& activation) {
  check_same_dtype("linear", "x", x, "w", w);
  if (w.rank() != 2 || x.rank() < 1 || x.shape().last() != w.shape()[0]) {
    fail("linear: x {} and w {} do not fit: x's last dimension must equal w's first. Hint: w is "
         "[in, out]; reshape x to [.., in].",
         x.shape(), w.shape());
  }
  const int64_t in = w.shape()[0], out = w.shape()[1];
  if (b.defined()) {
    check_same_dtype("linear", "w", w, "b", b);
    if (!(b.shape() == Shape{out})) {
      fail("linear: b must be [{}] for w {}; got {}.", out, w.shape(), b.shape());
    }
  }
  Shape shape = x.shape();
  shape[shape.rank() - 1] = out;
  const int64_t rows = shape.without(shape.rank() - 1).numel();
  const bool keeps_z = activation.derives_from_x() && records({x, w, b});
  Tensor y = Tensor::empty(shape, x.dtype());
  Tensor z = keeps_z ? Tensor::empty(shape, x.dtype()) : y.detach();

  visit_float("linear", x.dtype(), [&]<typename T>(T) {
    T *sums = z.mutable_data<T>(), *values = y.mutable_data<T>();
    const T* bias = b.defined() ? b.data<T>() : nullptr;
    const auto add = kernels<T>().binary[static_cast<int>(Binary::add)];
    const auto finish = [&](int64_t row, int64_t n, int64_t col, int64_t cols) {
      for (int64_t i = row; i < row + n; ++i) {
        T* s = sums + i * out + col;
        if (bias) add(cols, s, 1, bias + col, 1, s);
        if (keeps_z || !activation.is_identity()) {
          activation.f_block(cols, s, values + i * out + col);
        }
      }
    };
    const Epilogue epilogue = finish;
    gemm(Trans::none, rows, out, in, x.data<T>(), w.data<T>(), sums, false, &epilogue);
  });

  const Tensor at = keeps_z ? z : y;
  return record("linear", std::move(y), {x, w, b},
                [x = Saved(x), w = Saved(w), at = Saved(at), f = activation](const Tensor& dy,
                                                                            Wants want) {
    const Tensor dz = as_matrix(f.is_identity() ? dy : activation_vjp(f, at.get("linear", "y"), dy));
    std::array<Tensor, 3> dx;
    if (want[0]) {
      dx[0] = product(dz, w.get("linear", "w"), Trans::b).view(x.get("linear", "x").shape());
    }
    if (want[1]) dx[1] = product(as_matrix(x.get("linear", "x")), dz, Trans::a);
    if (want[2]) dx[2] = sum_of_rows(dz);
    return dx;
  });
}

Tensor activate(const Tensor& x, const Activation& activation) {
  check_defined("activate", "x", x);
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  visit_float("activate", x.dtype(), [&]<typename T>(T) {
    const T* p = x.data<T>();
    T* out = y.mutable_data<T>();
    parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      activation.f_block(end - begin, p + begin, out + begin);
    });
  });
  const Saved at = activation.derives_from_x() ? x : y;
  return record("activate", std::move(y), {x}, [at, f = activation](const Tensor& dy, Wants) {
    return activation_vjp(f, at.get("activate", f.derives_from_x() ? "x" : "y"), dy);
  });
}

}  // namespace ramp
