#include "ramp/autograd/row_gradient.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// y [rows, d]: row i is the sum of weight x[from] over its taps.
template <typename T>
Tensor blend_rows(const TapTable<T>& taps, int64_t rows, const Tensor& x) {
  const int64_t d = x.shape().last();
  Tensor y = Tensor::empty({rows, d}, x.dtype());
  parallel_for(rows, kStreamGrain / (8 * d + 1) + 1,
               [&, from = x.data<T>(), to = y.mutable_data<T>()](int64_t i, int64_t end) {
                 kernels<T>().blend(end - i, d, taps.at(i), from, to + i * d);
               });
  return y;
}

// The elements of m that are not 0, row by row.
template <typename T>
TapList<T> taps_of(const detail::Bags& m) {
  const int64_t* id = m.ids.data<int64_t>();
  TapList<T> taps;
  for (int64_t b = 0; b < m.bags; ++b, id += m.size) {
    const auto count = m.mean ? m.size - std::count(id, id + m.size, m.skip) : 1;
    for (int64_t k = 0; k < m.size; ++k)
      if (id[k] != m.skip) taps.push_back({b, id[k], T(1) / static_cast<T>(count)});
  }
  return taps;
}

// By `to`, which is below n: by some of its bits after the others, from the lowest; each time the
// order stays.
template <typename T>
void sort_taps(TapList<T>& taps, int64_t n) {
  constexpr int kBits = 11;
  TapList<T> sorted(taps.size());
  for (int shift = 0; (n - 1) >> shift > 0; shift += kBits) {
    const auto digit = [=](const Tap<T>& t) { return (t.to >> shift) % (1 << kBits); };
    int64_t first[(1 << kBits) + 1] = {};
    for (const Tap<T>& t : taps) ++first[digit(t) + 1];
    std::partial_sum(first, std::end(first), first);
    for (const Tap<T>& t : taps) sorted[static_cast<size_t>(first[digit(t)]++)] = t;
    std::swap(taps, sorted);
  }
}

}  // namespace

Tensor detail::Bags::sums(const Tensor& table) const {
  return visit_float("embedding", table.dtype(), [&]<typename T>(T) {
    return blend_rows(TapTable<T>(bags, taps_of<T>(*this)), bags, table);
  });
}

RowGradient detail::Bags::transposed(const Tensor& dy) const {
  return visit_float("embedding", dy.dtype(), [&]<typename T>(T) {
    TapList<T> taps = taps_of<T>(*this);
    for (Tap<T>& t : taps) std::swap(t.to, t.from);
    sort_taps(taps, n);
    std::vector<int64_t> rows;
    for (Tap<T>& t : taps) {
      if (rows.empty() || rows.back() != t.to) rows.push_back(t.to);
      t.to = std::ssize(rows) - 1;
    }
    const int64_t k = std::ssize(rows);
    return RowGradient{Tensor::of(rows), blend_rows(TapTable<T>(k, std::move(taps)), k, dy)};
  });
}

void RowGradient::add_to(Tensor& y) const {
  const int64_t k = ids.numel(), d = y.numel() / std::max<int64_t>(y.dim(0), 1);
  visit_float("row_gradient", y.dtype(), [&]<typename T>(T) {
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < k; ++i)
      kernels<T>().axpy(d, 1, values.data<T>() + i * d, to + ids.data<int64_t>()[i] * d);
  });
}

const RowGradient* row_gradient(const Tensor& leaf) {
  return leaf.meta() ? node_of(leaf)->row_gradient() : nullptr;
}

RowGradient* Node::row_gradient() {
  if (rows && grad.defined() && grad.version() != rows->version) rows.reset();
  return rows.get();
}

Tensor& Node::dense_gradient() {
  if (rows && !grad.defined()) {
    grad = Tensor::zeros(shape, dtype);
    rows->add_to(grad);
    rows->version = grad.version();
  }
  return grad;
}

Tensor& Node::own_gradient() {
  if (row_gradient()) grad = {};
  Tensor& g = rows ? rows->values : grad;
  if (g.meta()) g = g.detach();
  if (!g.unique()) g = g.clone();  // of a + b: both have dy
  return g;
}

void Node::add_rows(RowGradient g) {
  if (const RowGradient* old = row_gradient()) {
    const Tensor ids = concat({old->ids, g.ids});
    g = detail::Bags{ids, shape[0], ids.numel()}.transposed(concat({old->values, g.values}));
  } else if (grad.defined()) {
    return g.add_to(own_gradient());
  }
  grad = {};
  rows = std::make_unique<RowGradient>(std::move(g));
}

}  // namespace ramp
