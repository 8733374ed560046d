#include "ramp/core/activation.h"

#include "ramp/core/kernels/kernels.h"
#include "ramp/core/taylor.h"

namespace ramp {

namespace detail {

template <typename T>
void run_rule(int index, const void* rule, int64_t n, const T* x, T* y) {
  kernels<T>().unary[index](rule, n, x, y);
}
template <typename T>
void run_rule_vjp(int index, const void* rule, int64_t n, const T* at, const T* dy, T* dx) {
  kernels<T>().unary_vjp[index](rule, n, at, dy, dx);
}
template void run_rule(int, const void*, int64_t, const float*, float*);
template void run_rule(int, const void*, int64_t, const double*, double*);
template void run_rule_vjp(int, const void*, int64_t, const float*, const float*, float*);
template void run_rule_vjp(int, const void*, int64_t, const double*, const double*, double*);

void fail_order(const char* name, int order) {
  if (order > 2) fail("{}: has no derivative of order {}.", name, order);
  fail(
      "{}: has no second derivative. Hint: give the rule derivative_from_x(x) (not from y) and "
      "second_derivative_from_x(x).",
      name);
}

template <typename A>
double rule_derivative(const A& a, int order, bool from_x, double at) {
  if (order == 1) return ramp::derivative(a, at);
  if (order == 2 && from_x) return a.second_derivative_from_x(at);
  const int n = order - (from_x ? 2 : 1);
  if (n > Taylor::kMaxOrder) fail_order(A::name, order);
  const Taylor x(at, n);
  double factorial = 1;
  for (int k = 2; k <= n; ++k) factorial *= k;
  if constexpr (DerivativeOfX<A>)
    if (from_x) return factorial * Taylor(a.second_derivative_from_x(x))[n];
  return factorial * Taylor(derivative(a, x))[n];
}
double run_rule_derivative(int index, const void* rule, int order, bool from_x, double at) {
  double d = 0;
  UnaryRules::for_each([&]<typename A>() {
    if (UnaryRules::index<A>() == index)
      d = rule_derivative(*static_cast<const A*>(rule), order, from_x, at);
  });
  return d;
}

}  // namespace detail

struct Activation::Slope {
  Activation of;
  const char *name = of.name(), *formula = of.derivative_formula(),
             *derivative = of.second_formula();
  double derivative_at(int order, double at) const {
    return of.rule_->derivative_at(order + 1, of.needs_x(), at);
  }
  double f(double at) const { return derivative_at(0, at); }
  double derivative_from_x(double at) const { return derivative_at(1, at); }
};
Activation Activation::slope() const { return Slope{*this}; }

}  // namespace ramp
