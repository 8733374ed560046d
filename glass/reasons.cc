#include "ramp/glass/reasons.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/glass/pictures.h"
#include "ramp/train/metrics.h"

namespace ramp {

Answers answers(Module& net, const Tensor& x) {
  constexpr int64_t kMost = 1 << 24;
  struct Result {
    const void* address;
    Tensor features;
  };
  std::vector<Result> results;  // of the layers, in this batch
  std::vector<Tensor> features;
  int64_t kept = 0;
  const std::function look = [&](ModuleBase& module, const std::vector<Tensor>& y) {
    if (y.empty() || !y[0].defined() || y[0].rank() < 2 || !is_float(y[0].dtype())) return;
    const Tensor& out = y[0];
    if (&module != &net) {
      results.push_back({out.address(), out.detach()});
      return;
    }
    // The last one that is not the logits themselves (as a Sequential's inner one may return).
    while (!results.empty() && (results.back().features.shape() == out.shape() ||
                                results.back().features.dim(0) != out.dim(0)))
      results.pop_back();
    if (!results.empty()) {
      const Tensor& f = results.back().features;
      const int64_t n = f.dim(0), d = f.numel() / std::max<int64_t>(n, 1);
      const bool fits = features.empty() || features[0].dim(1) == d;
      const int64_t room = fits && d > 0 ? std::min(n, kMost / d - kept) : 0;
      // (Where some are left out, no later ones are taken: they are the first rows.)
      if (room > 0) features.push_back(f.view({n, d}).rows(0, room).clone());
      kept = room == n ? kept + n : kMost;
    }
    results.clear();
  };
  const Alone alone(&look);
  Answers a;
  a.logits = predict(net, x);
  if (!features.empty()) a.features = concat(features);
  return a;
}

std::vector<Neighbours> neighbours(const Tensor& features, const std::vector<int64_t>& guesses,
                                   const std::vector<int64_t>& labels,
                                   const std::vector<int64_t>& wrong) {
  std::vector<Neighbours> found(wrong.size());
  if (!features.defined() || features.dim(0) == 0) return found;
  const NoGrad no_grad;
  const Tensor f = features.to(f32);
  const std::vector<double> squares = sum(f * f, 1).values();
  const int64_t m = f.dim(0);
  std::vector<size_t> known;
  for (size_t k = 0; k < wrong.size(); ++k)
    if (wrong[k] < m) known.push_back(k);
  constexpr size_t kTogether = 64;
  for (size_t begin = 0; begin < known.size(); begin += kTogether) {
    const size_t count = std::min(known.size() - begin, kTogether);
    std::vector<int64_t> rows;
    for (size_t k = 0; k < count; ++k) rows.push_back(wrong[known[begin + k]]);
    const Tensor dots = matmul(f, take(f, Tensor::of(rows)), Trans::b);  // [m, count]
    for (int64_t i = 0; i < m; ++i) {
      const auto row = static_cast<size_t>(i);
      if (guesses[row] != labels[row]) continue;
      for (size_t k = 0; k < count; ++k) {
        const auto at = static_cast<size_t>(rows[k]);
        const bool is_said = labels[row] == guesses[at];
        if (!is_said && labels[row] != labels[at]) continue;
        Neighbours& n = found[known[begin + k]];
        int64_t& best = is_said ? n.said : n.label;
        double& least = is_said ? n.to_said : n.to_label;
        const double dot = dots.data<float>()[row * count + k];
        const double distance = std::sqrt(std::max(0., squares[row] + squares[at] - 2 * dot));
        if (best >= 0 && !(distance < least)) continue;
        best = i;
        least = distance;
      }
    }
  }
  return found;
}

Tensor evidence(Module& net, const Tensor& x, const std::vector<int64_t>& guesses,
                const std::vector<int64_t>& labels, double lowest) {
  const Alone alone;
  const EvalMode eval;
  std::vector<Tensor> all;
  for (int64_t i = 0; i < x.dim(0); i += 8) {  // a pass keeps all that it needs for the way back
    const int64_t end = std::min(x.dim(0), i + 8);
    const Recording recording(true);
    const Tensor b = x.rows(i, end).detach().clone().requires_grad_();
    const Tensor z = net(b);
    std::vector<double> signs(static_cast<size_t>(z.numel()));
    for (int64_t row = i; row < end; ++row) {
      signs[static_cast<size_t>((row - i) * z.dim(1) + guesses[static_cast<size_t>(row)])] += 1;
      signs[static_cast<size_t>((row - i) * z.dim(1) + labels[static_cast<size_t>(row)])] -= 1;
    }
    const Tensor difference = sum(z * Tensor::of(signs, z.shape()).to(z.dtype()));
    const NoGrad no_grad;
    all.push_back(grad(difference, {b})[0] * (b.detach() - lowest));
  }
  return concat(all);
}

}  // namespace ramp
