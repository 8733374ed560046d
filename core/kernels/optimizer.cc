// One pass over an optimizer's flat memory.
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
// w -= step_size m / (sqrt(v) / sqrt(1 - b2^t) + eps),  step_size = lr / (1 - b1^t)
template <typename T>
void adam(int64_t n, const AdamStep& s, const T* __restrict g, T* __restrict w, T* __restrict m,
          T* __restrict v) {
  const T b1 = static_cast<T>(1 - s.beta1), b2 = static_cast<T>(s.beta2),
          c2 = static_cast<T>(1 - s.beta2), step = static_cast<T>(s.step_size),
          scale = static_cast<T>(1 / s.bias2_sqrt), eps = static_cast<T>(s.eps),
          decay = static_cast<T>(s.decay);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T d = g[i] + decay * w[i];
    m[i] += b1 * (d - m[i]);
    v[i] = b2 * v[i] + c2 * d * d;
    w[i] -= step * m[i] / (root(v[i]) * scale + eps);
  }
}

// d = g + decay w;  velocity = momentum velocity + (1 - dampening) d  (the first time: d);
// w -= rate (nesterov ? d + momentum velocity : velocity)
template <typename T>
void sgd(int64_t n, const SgdStep& s, const T* __restrict g, T* __restrict w,
         T* __restrict velocity) {
  const T rate = static_cast<T>(s.rate), decay = static_cast<T>(s.decay),
          momentum = static_cast<T>(s.momentum), fresh = static_cast<T>(1 - s.dampening);
  if (s.momentum == 0) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) w[i] -= rate * (g[i] + decay * w[i]);
    return;
  }
  const T keep = s.first ? 0 : momentum, take = s.first ? 1 : fresh;
  const T from_velocity = s.nesterov ? momentum : 1, from_gradient = s.nesterov ? 1 : 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T d = g[i] + decay * w[i];
    velocity[i] = keep * velocity[i] + take * d;
    w[i] -= rate * (from_gradient * d + from_velocity * velocity[i]);
  }
}

template <typename T>
void fill(Kernels<T>& k) {
  k.adam = adam<T>;
  k.sgd = sgd<T>;
}

}  // namespace

namespace RAMP_ISA {
void fill_optimizer(Kernels<float>& k) { fill(k); }
void fill_optimizer(Kernels<double>& k) { fill(k); }
}  // namespace RAMP_ISA
}  // namespace ramp
