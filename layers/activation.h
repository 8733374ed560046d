// Activations as layers of their own.
#pragma once

#include <cmath>

#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/layers/module.h"

namespace ramp {

/// y = f(x). Fused into the layer before it, `Dense(784, 128, ReLU{})` is faster.
struct Activate final : Module {
  Activation activation;

  explicit Activate(Activation f) : activation(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return activate(x, activation); }
  std::string describe() const override { return activation.name(); }
};

/// prelu(x, slope) with a learned slope, for all channels or one for each. As long as it is one,
/// and above 0, it runs in the pass of the layer before it. Weight decay leaves it alone: it would
/// pull a PReLU towards a ReLU. Errors: channels below 1; a start that is not finite; those of
/// prelu().
struct PReLU final : Module {
  Parameter slope;  // [channels]

  explicit PReLU(int64_t channels = 1, double start = 0.25) {
    if (channels < 1) fail("PReLU: expected at least 1 channel; got {}.", channels);
    if (!std::isfinite(start)) fail("PReLU: expected a finite slope; got {}.", start);
    slope = Tensor::full({channels}, start);
  }
  Tensor forward(const Tensor& x) override { return prelu(x, slope); }
  void fields(Fields& f) override { f.param("slope", slope, false); }
  std::string describe() const override { return fmt::format("PReLU({})", slope.numel()); }
};

/// rrelu() in training; in evaluation a leaky ReLU of the mean slope. That runs in the pass of the
/// layer before it; in training it does not: each element has a slope of its own, which the op
/// would have to keep. Errors: lower > upper, or not finite.
struct RReLU final : Module {
  double lower, upper;
  Generator rng;

  explicit RReLU(double lower = 1. / 8, double upper = 1. / 3) : lower(lower), upper(upper) {
    check_options("RReLU", lower <= upper && std::isfinite(upper - lower), "finite lower <= upper",
                  {lower, upper});
  }
  Tensor forward(const Tensor& x) override {
    return training() ? rrelu(x, rng, lower, upper) : activate(x, mean());
  }
  LeakyReLU mean() const { return {(lower + upper) / 2}; }
  void fields(Fields& f) override { f.rng("rng", rng); }
  std::string describe() const override { return fmt::format("RReLU({}, {})", lower, upper); }
};

namespace detail {

/// The activation that a layer runs: its own, or that of the layer behind it where it has none; how
/// many of those behind it that takes.
inline std::pair<Activation, size_t> activation_with(const Activation& own,
                                                     std::span<Module* const> next) {
  auto* layer = own.is_identity() && !next.empty() ? next[0] : nullptr;
  if (auto* f = dynamic_cast<const Activate*>(layer)) return {f->activation, 1};
  if (auto* f = dynamic_cast<const RReLU*>(layer); f && !f->training()) return {f->mean(), 1};
  auto* f = dynamic_cast<const PReLU*>(layer);
  const double slope = f && f->slope.numel() == 1 ? f->slope.item() : 0;
  if (!(slope > 0 && is_finite(slope))) return {own, 0};
  return {Activation(LeakyReLU{slope}, f->slope), 1};
}
/// y, the result of an op that ends in f: its node says so to those who ask what it is made by.
inline Tensor fused(const Activation& f, Tensor y) {
  Node* node = node_of(y);
  if (node && !f.is_identity()) node->activation = f.name();
  return y;
}

/// ", relu" for describe(); nothing for the identity.
inline std::string after_comma(const Activation& f) {
  return f.is_identity() ? "" : std::string(", ") + f.name();
}

}  // namespace detail

/// crelu(): twice as many channels.
using CReLU = OpLayer<"CReLU", crelu>;
/// glu(): half as many channels.
using GLU = OpLayer<"GLU", glu>;
/// softmax() over the last axis. Not before cross_entropy, which takes logits.
using Softmax = OpLayer<"Softmax", softmax, -1>;
/// log_softmax() over the last axis.
using LogSoftmax = OpLayer<"LogSoftmax", log_softmax, -1>;

}  // namespace ramp
