#include "ramp/glass/tape.h"

#include <doctest/doctest.h>

#include <thread>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"

using namespace ramp;

TEST_CASE("the tape as text and as a graph") {
  // On a thread of its own: ids count from 1 there.
  std::thread([] {
    const Tensor x = Tensor::of<double>({1, 2}).requires_grad_(),
                 w = Tensor::of<float>({3}).requires_grad_();
    const Tensor c = Tensor::of<double>({5, 6});
    const Tensor y = x * c, z = sum(y + x);
    CHECK(tape_text(z) ==
          "%5 sum [] f64 <- %4\n"
          "%4 add [2] f64 <- %3 %1\n"
          "%3 mul [2] f64 <- %1 const\n"
          "%1 leaf [2] f64\n");
    CHECK(tape_dot(z) ==
          "digraph tape {\n"
          "  rankdir=BT;\n"
          "  node [shape=box, fontname=monospace];\n"
          "  n5 [label=\"sum\\n[] f64\"];\n"
          "  n4 -> n5;\n"
          "  n4 [label=\"add\\n[2] f64\"];\n"
          "  n3 -> n4;\n"
          "  n1 -> n4;\n"
          "  n3 [label=\"mul\\n[2] f64\"];\n"
          "  n1 -> n3;\n"
          "  n1 [label=\"leaf\\n[2] f64\", style=rounded];\n"
          "}\n");
    backward(z);
    CHECK(tape_text(z) == "%5 sum [] f64 (freed)\n");
    CHECK(tape_text(w) == "%2 leaf [1] f32\n");
    CHECK(tape_text(c) == "");
    CHECK(tape_dot(c) ==
          "digraph tape {\n  rankdir=BT;\n  node [shape=box, fontname=monospace];\n}\n");
  }).join();
}
