// How a loss curves, and what one can do with it.
//
// The gradient says which way is down, not how far: that is in the second derivatives. For a loss
// of n weights they are a matrix, the Hessian H. This program makes the whole of it where n is
// small, finds its largest eigenvalue without making it, and takes one step of Newton's method,
// w - H^-1 g, which goes to the bottom of a parabola at once, beside one of SGD.
#include <fmt/format.h>

#include <cmath>

#include "ramp/ramp.h"

using namespace ramp;

// 40 points near a plane, and how badly the plane of three weights fits them: the mean of
// log(cosh(r)) of the residuals r, a parabola near 0 that ends as |r|.
Tensor features() {
  Tensor x = Rng(2).normal({40, 3}, 0, 1, f64);
  for (int64_t i = 0; i < 40; ++i) {
    double* row = x.mutable_data<double>() + 3 * i;
    row[1] *= 10;  // features of different sizes make a long valley
    row[2] = 1;
  }
  return x;
}
const Tensor x = features();
const Tensor y =
    matmul(x, Tensor::of<double>({{0.2}, {-0.01}, {0.1}})) + Rng(4).normal({40, 1}, 0, 0.05, f64);

Tensor loss(const Tensor& w) {
  const Tensor r = matmul(x, reshape(w, {3, 1})) - y;
  return mean(softplus(2 * r) - r) - std::log(2);
}

// The largest eigenvalue: H v turns every v towards its eigenvector. Each H v is two backward
// passes, whatever the number of weights: no Hessian is made.
double largest_eigenvalue(const Tensor& w, int steps) {
  Tensor v = Rng(3).normal(w.shape(), 0, 1, f64);
  double value = 0;
  for (int i = 0; i < steps; ++i) {
    v = v / std::sqrt(sum(v * v).item());
    const Tensor hv = hessian_vector_product(loss, w, v);
    value = sum(v * hv).item();
    v = hv;
  }
  return value;
}

// H^-1 g by conjugate gradients, which need H only as H v too.
Tensor solve(const Tensor& w, const Tensor& g) {
  Tensor step = Tensor::zeros(g.shape(), f64), rest = g, d = g;
  for (int64_t i = 0; i < g.numel(); ++i) {
    const Tensor hd = hessian_vector_product(loss, w, d);
    const double size = sum(rest * rest).item(), t = size / sum(d * hd).item();
    step = step + d * t;
    rest = rest - hd * t;
    d = rest + d * (sum(rest * rest).item() / size);
  }
  return step;
}

int main() {
  const Tensor w = Tensor::zeros({3}, f64);
  const Tensor h = hessian(loss, w);
  fmt::print("the Hessian of the loss at w = 0:\n{}\n\n", h);
  fmt::print("its largest eigenvalue, by power iteration: {:.4f}\n", largest_eigenvalue(w, 50));

  const Tensor g = vjp(loss, w, Tensor::scalar(1, f64));
  const double lr = 1 / largest_eigenvalue(w, 50);  // SGD diverges from 2 over it on
  const Tensor sgd = w - lr * g, newton = w - solve(w, g);
  fmt::print("\nloss at w = 0        {:.4f}\n", loss(w).item());
  fmt::print("one step of SGD      {:.4f}   lr = 1 / the largest eigenvalue = {:.3f}\n",
             loss(sgd).item(), lr);
  fmt::print("one step of Newton   {:.4f}\n", loss(newton).item());

  Tensor best = w, slow = w;
  for (int i = 0; i < 8; ++i) best = best - solve(best, vjp(loss, best, Tensor::scalar(1, f64)));
  const double least = loss(best).item();
  int steps = 0;
  while (loss(slow).item() > loss(newton).item() && steps < 10000) {
    slow = slow - lr * vjp(loss, slow, Tensor::scalar(1, f64));
    ++steps;
  }
  fmt::print("the least there is   {:.4f}\n\n", least);
  fmt::print("SGD takes {} steps to get where Newton is after one\n", steps);
}
