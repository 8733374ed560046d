// An op of your own: the value, and one rule that takes the gradient of the result to those of the
// inputs. record() puts both on the tape; the engine does the adding up.
#include <fmt/format.h>

#include <cmath>

#include "ramp/ramp.h"

using namespace ramp;

/// y = sqrt(sum over the last axis of x^2): the length of each row. x [.., n] -> [..].
/// dx = x / y dy; at y = 0 the gradient is 0.
Tensor length(const Tensor& x) {
  Tensor y = sqrt(sum(x.detach() * x.detach(), {-1}));
  return record("length", y, {x}, [x = Saved(x, "x"), y = Saved(y, "y")](const Tensor& dy, Wants) {
    const Tensor &in = x.get(), &out = y.get();
    const Tensor scale =
        where(out, dy / maximum(out, Tensor::full(out.shape(), 1e-300, out.dtype())),
              Tensor::zeros(out.shape(), out.dtype()));
    return in * unsqueeze(scale, -1);
  });
}

int main() {
  Tensor x = Tensor::of<double>({3, 4, 5, 12}, {2, 2}).requires_grad_();
  Tensor y = length(x);
  fmt::print("rows\n{}\nlengths {}\n", x, y);
  backward(sum(y));
  fmt::print("gradient of the sum of the lengths (each row's direction)\n{}\n", x.grad());

  // The check that every op of ramp passes too.
  const auto check = [](const std::vector<Tensor>& in) { return length(in[0]); };
  const std::vector<Tensor> at{Rng(1).normal({4, 3}, 0, 1, f64)};
  const auto show = [](const char* name, const std::string& difference) {
    fmt::print("{}: {}\n", name,
               difference.empty() ? "agrees with central differences" : difference);
  };
  show("gradcheck", gradcheck(check, at));
  // The rule is made of ops, so it has a derivative too.
  show("gradgradcheck", gradgradcheck(check, at));
}
