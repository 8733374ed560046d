#include "ramp/data/scaler.h"

#include <cmath>

#include "ramp/autograd/ops_elementwise.h"

namespace ramp {

Scaler::Scaler(const Tensor& x) {
  check_float("Scaler", x);
  if (x.rank() < 1) fail("Scaler: expected x [n, .., features]; got {}.", x.shape());
  const int64_t features = x.dim(-1), rows = features == 0 ? 0 : x.numel() / features;
  mean_ = Tensor::zeros({features}, f64);
  std_ = Tensor::ones({features}, f64);
  visit_float("Scaler", x.dtype(), [&]<typename T>(T) {
    const T* values = x.data<T>();
    for (int64_t f = 0; f < features; ++f) {
      const auto each = [&](auto g) {
        for (int64_t i = 0; i < rows; ++i) {
          const double v = values[i * features + f];
          if (!std::isnan(v)) g(v);
        }
      };
      double low = INFINITY, high = -INFINITY, sum = 0, squares = 0, n = 0;
      each([&](double v) {
        low = std::min(low, v);
        high = std::max(high, v);
        sum += v;
        n += 1;
      });
      if (n == 0) fail("Scaler: feature {} of x {} has no values but NaN.", f, x.shape());
      if (std::isinf(low) || std::isinf(high)) {
        fail("Scaler: feature {} of x {} must be finite; got inf.", f, x.shape());
      }
      const double m = low == high ? low : sum / n;
      each([&](double v) { squares += (v - m) * (v - m); });
      mean_.mutable_data<double>()[f] = m;
      if (low < high) std_.mutable_data<double>()[f] = std::sqrt(squares / n);
    }
  });
}

void Scaler::check(const char* op, const Tensor& x) const {
  check_float(op, x);
  if (x.rank() < 1 || x.dim(-1) != mean_.dim(0)) {
    fail("{}: expected [.., {}] as in the data it was fitted to; got {}.", op, mean_.dim(0),
         x.shape());
  }
}

Tensor Scaler::operator()(const Tensor& x) const {
  if (!mean_.defined()) return x;
  check("Scaler", x);
  return (x - mean_.to(x.dtype())) / std_.to(x.dtype());
}

Tensor Scaler::inverse(const Tensor& y) const {
  if (!mean_.defined()) return y;
  check("Scaler::inverse", y);
  return y * std_.to(y.dtype()) + mean_.to(y.dtype());
}

std::vector<NamedTensor> Scaler::state() const {
  if (!mean_.defined()) return {};
  return {{"mean", mean_}, {"std", std_}};
}

void Scaler::load_state(const std::vector<NamedTensor>& state) {
  Tensor mean, std;
  for (const NamedTensor& t : state) {
    if (t.name == "mean") mean = t.tensor;
    if (t.name == "std") std = t.tensor;
  }
  if (!mean.defined() || !std.defined()) {
    fail("Scaler: expected the tensors \"mean\" and \"std\"; got {} tensors without them.",
         state.size());
  }
  if (mean.dtype() != f64 || std.dtype() != f64 || mean.rank() != 1 ||
      mean.shape() != std.shape()) {
    fail("Scaler: expected mean and std, f64 [features]; got {} {} and {} {}.", mean.dtype(),
         mean.shape(), std.dtype(), std.shape());
  }
  for (const double s : std.values()) {
    if (!(s > 0)) fail("Scaler: expected a std above 0; got {}.", s);
  }
  mean_ = mean;
  std_ = std;
}

}  // namespace ramp
