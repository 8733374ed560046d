#include "ramp/glass/print.h"

#include <doctest/doctest.h>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"

using namespace ramp;

TEST_CASE("the tape as a picture: names, fused activations, values, gradients") {
  Sequential net(Dense(2, 3, ReLU{}), Dense(3, 1));
  for (Tensor& p : net.parameters()) p.detach().fill_(0.5);
  const Tensor x = Tensor::of<float>({1, 2}, {1, 2}), t = Tensor::of<float>({1}, {1, 1});
  const Tensor loss = mse_loss(net(x), t);
  CHECK("\n" + glass::text(loss, {.names = net.named_parameters()}) == R"(
op                   shape   value    dL/d.
L = mse_loss         []      6.25     1
└─ linear            [1, 1]  -        5
   ├─ linear + relu  [1, 3]  -        |4.33|
   │  ├─ 0.weight    [2, 3]  |1.225|  |9.682|
   │  └─ 0.bias      [3]     |0.866|  |4.33|
   ├─ 1.weight       [3, 1]  |0.866|  |17.32|
   └─ 1.bias         [1]     0.5      5
)");
  CHECK_FALSE(net.parameters()[0].grad().defined());
  backward(loss);
  CHECK(glass::text(loss) ==
        "op            shape  value  dL/d.\n"
        "L = mse_loss  []     6.25   -\n"
        "(backward() freed the tape: print before it, or retain_graph)\n");
}

TEST_CASE("with a watch the values in between are known; what is used twice is drawn once") {
  TapeWatch watch;
  const Tensor x = watch.name("x", Tensor::scalar(-1, f64).requires_grad_());
  const Tensor y = watch.name("y", x * x), loss = y * 3 + exp(y);
  CHECK("\n" + glass::text(loss, {.watch = &watch, .ascii = true}) == R"(
op                     shape  value  dL/d.
L = add                []     5.718  1
|- mul                 []     3      1
|  |- y = mul          []     1      5.718
|  |  |- x             []     -1     -11.44
|  |  `- x             []     -1     -11.44
|  `- constant         []     3
`- exp                 []     2.718  1
   `- y = mul (above)  []     1      5.718
)");
}

TEST_CASE("a picture of a long tape is cut; of none, says so") {
  Tensor x = Tensor::scalar(1, f64).requires_grad_(), y = x;
  for (int i = 0; i < 100; ++i) y = y + 1;
  const std::string text = glass::text(y, {.ascii = true, .nodes = 3});
  CHECK(text ==
        "op         shape  value  dL/d.\n"
        "L = add    []     101    1\n"
        "`- add     []     -      1\n"
        "   `- add  []     -      1\n"
        "(the first 3 rows of a tape of 101 nodes)\n");
  CHECK(glass::text(Tensor::scalar(1)) ==
        "(nothing on the tape: the loss depends on nothing that requires a gradient)\n");
  CHECK_THROWS_AS(glass::text(Tensor()), Error);
}

TEST_CASE("printed to a file") {
  const Tensor x = Tensor::scalar(2, f64).requires_grad_();
  std::FILE* out = std::tmpfile();
  glass::print(x * x, {}, out);
  std::rewind(out);
  char text[200] = {};
  const size_t n = std::fread(text, 1, sizeof text - 1, out);
  std::fclose(out);
  CHECK(std::string(text, n) == glass::text(x * x));
}
