#include "ramp/autograd/ops_embedding.h"

#include "ramp/autograd/record.h"

namespace ramp {
namespace {

using detail::Bags;

// y [leading.., d], a row for each bag of so many ids.
Tensor sum_bags(const char* op, const Tensor& weight, const Tensor& ids, int64_t size,
                const Shape& leading, std::optional<int64_t> padding, bool mean) {
  check_float(op, weight, "weight");
  fail_if(weight.rank() != 2, "{}: weight must be [n, d]; got {}.", op, weight.shape());
  fail_if(ids.dtype() != i64, "{}: ids must be i64; got {} {}. Hint: ids.to(i64).", op, ids.dtype(),
          ids.shape());
  const int64_t n = weight.dim(0), skip = padding.value_or(-1), *id = ids.data<int64_t>();
  for (int64_t k = 0; k < ids.numel(); ++k) {
    if ((id[k] >= 0 && id[k] < n) || (padding && id[k] == skip)) continue;
    fail("{}: ids must be in 0..{} for weight {}; got {} at position {}.", op, n - 1,
         weight.shape(), id[k], k);
  }
  const Shape shape = weight.shape(), to = leading.with(leading.rank(), weight.dim(1));
  const auto bags = [=](const Tensor& ids) {
    return Bags{ids, n, leading.numel(), size, skip, mean};
  };
  const auto sums = [=](const Tensor& weight, const Tensor& ids) {
    return bags(ids).sums(weight).view(to);
  };
  const auto rows = [=](const Tensor& dy, const Tensor& ids) {
    return bags(ids).transposed(dy.view({leading.numel(), shape[1]}));
  };
  const auto dense = [=](const Tensor& dy, const Tensor& ids) {
    Tensor dw = Tensor::zeros(shape, dy.dtype());
    rows(dy, ids).add_to(dw);
    return dw;
  };
  return record(op, sums(weight.detach(), ids), {weight},
                [=, ids = Saved(ids, "ids")](const Tensor& dy, Wants want) -> Tensor {
                  if (!want.takes_rows(0)) return linear_map(op, dy, ids.get(), dense, sums);
                  want.give_rows(0, rows(dy, ids.get()));
                  return {};
                });
}

}  // namespace

Tensor embedding(const Tensor& weight, const Tensor& ids, const EmbeddingOptions& o) {
  check_defined("embedding", "ids", ids);
  return sum_bags("embedding", weight, ids, 1, ids.shape(), o.padding, false);
}

Tensor embedding_bag(const Tensor& weight, const Tensor& ids, const EmbeddingBagOptions& o) {
  check_defined("embedding_bag", "ids", ids);
  fail_if(ids.rank() == 0, "embedding_bag: expected ids [.., bag]; got a scalar.");
  const Shape leading = ids.shape().without(ids.rank() - 1);
  return sum_bags("embedding_bag", weight, ids, ids.shape().last(), leading, o.padding, o.mean);
}

}  // namespace ramp
