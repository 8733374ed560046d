// Tables of learned vectors.
#pragma once

#include "ramp/autograd/ops_embedding.h"
#include "ramp/layers/init.h"
#include "ramp/layers/module.h"

namespace ramp {

/// y = op(weight, ids), for the ops and names below: `Embedding(10000, 64)`. The weight [n, d]
/// starts as N(0, 1), as PyTorch's; the row of a padding in 0..n-1 is 0. A backward pass and a step
/// cost what the rows in use cost: the optimizers leave all others as they are, see Optimizer.
/// Errors: n or d below 1; those of the op.
template <LiteralName kName, auto kOp, typename Options>
struct EmbeddingTable final : Module {
  Parameter weight;
  Options options;

  EmbeddingTable(int64_t n, int64_t d, Options o = {}) : options(o) {
    fail_if(n < 1 || d < 1, "{}: expected n and d of at least 1; got {} and {}.", kName.text, n, d);
    Tensor w = layer_rng().normal({n, d});
    if (const int64_t row = o.padding.value_or(-1); row >= 0 && row < n) w[row].fill_(0);
    weight.start(w);
  }
  Tensor forward(const Tensor& ids) override { return kOp(weight, ids, options); }
  void fields(Fields& f) override { f.param("weight", weight); }
  std::string describe() const override {
    std::string text = fmt::format("{}({}, {}", kName.text, weight.dim(0), weight.dim(1));
    if constexpr (requires { options.mean; }) text += options.mean ? ", mean" : ", sum";
    if (options.padding) text += fmt::format(", padding {}", *options.padding);
    return text + ")";
  }
};
/// i64 [..] -> [.., d]; see embedding().
using Embedding = EmbeddingTable<"Embedding", embedding, EmbeddingOptions>;
/// i64 [.., bag] -> [.., d]; see embedding_bag(). `EmbeddingBag(10000, 64, {.padding = 0})`
using EmbeddingBag = EmbeddingTable<"EmbeddingBag", embedding_bag, EmbeddingBagOptions>;

}  // namespace ramp
