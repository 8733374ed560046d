// A derivative, step by step.
//
// ramp writes down what you compute. Each op that touches a tensor with requires_grad_() puts a
// node on a tape: its name, its inputs, and the rule that takes the gradient of its result to the
// gradients of its inputs. backward() reads the tape from the newest node to the oldest. That is
// all of backpropagation; this program shows each number on the way.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

// One neuron: y = relu(w x + b), and the loss (y - target)^2.
void neuron(double x_value) {
  Tensor x = Tensor::scalar(x_value, f64).requires_grad_();
  Tensor w = Tensor::scalar(2, f64).requires_grad_();
  Tensor b = Tensor::scalar(1, f64).requires_grad_();

  Tensor z = x * w + b;
  Tensor y = relu(z);
  Tensor loss = pow(y - 3, 2);
  fmt::print("x = {}: z = 2 x + 1 = {}, y = max(0, z) = {}, loss = (y - 3)^2 = {}\n", x.item(),
             z.item(), y.item(), loss.item());
  fmt::print("the tape, newest first:\n{}", tape_text(loss));

  // The gradient of a result is dropped as the pass goes by; these two we want to see.
  z.retain_grad();
  y.retain_grad();
  loss.backward();
  fmt::print("dloss/dy = 2 (y - 3) = {}\n", y.grad().item());
  fmt::print("dloss/dz = dloss/dy * relu'(z) = {}\n", z.grad().item());
  fmt::print("dloss/dw = dloss/dz * x = {},  dloss/db = {},  dloss/dx = dloss/dz * w = {}\n\n",
             w.grad().item(), b.grad().item(), x.grad().item());
}

int main() {
  fmt::print("1. An active neuron: the gradient passes through the ramp unchanged.\n\n");
  neuron(0.5);

  fmt::print(
      "2. The same neuron at z = -1: relu gives 0 with slope 0, so nothing behind it can\n"
      "   learn from this example, however large the loss. If that is so for every example,\n"
      "   the neuron is dead.\n\n");
  neuron(-1);

  fmt::print("3. The leaky ramp keeps a slope of 0.01 there, and with it a way back.\n\n");
  Tensor z = Tensor::of<double>({-1, 0, 1}).requires_grad_();
  Tensor y = leaky_relu(z, 0.01);
  sum(y).backward();
  fmt::print("z            {}\nleaky_relu   {}\nits slope    {}\n", z, y, z.grad());
  z.zero_grad();
  sum(relu(z)).backward();
  fmt::print("relu's slope {}   (at the kink z = 0 it is 0, by convention)\n", z.grad());
}
