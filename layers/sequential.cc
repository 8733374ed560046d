#include "ramp/layers/sequential.h"

#include <optional>
#include <span>

#include "ramp/layers/dense.h"

namespace ramp {
namespace {

// The activation whose gain the weights in front of `layer` start with.
std::optional<Activation> scales_for(const Module& layer) {
  if (const auto* a = dynamic_cast<const Activate*>(&layer)) return a->activation;
  if (const auto* p = dynamic_cast<const PReLU*>(&layer)) return LeakyReLU{p->slope.values()[0]};
  if (const auto* r = dynamic_cast<const RReLU*>(&layer)) return r->mean();
  return {};
}

// " = 12x12x64" where n is an image of c channels with equal sides.
std::string as_image(int64_t n, int64_t c) {
  int64_t side = 1;
  while (side * side * c < n) ++side;
  return side * side * c == n ? fmt::format(" = {0}x{0}x{1}", side, c) : "";
}

// What a Dense that x does not fit lacks; `image` is what was flattened on the way, or a scalar.
std::string mistake(const Module& layer, const Tensor& x, const Shape& image) {
  const auto* dense = dynamic_cast<const Dense*>(&layer);
  if (!dense || !x.defined() || x.rank() < 2) return {};
  const int64_t in = dense->weight.dim(0), n = x.dim(0), last = x.dim(-1);
  if (last == in) return {};
  if (x.rank() > 2 && n > 0 && x.numel() / n == in) {
    return fmt::format(
        "linear: {} expects {} features; got {} from x {}. Hint: put Flatten{{}} before it.",
        dense->describe(), in, last, x.shape());
  }
  if (x.rank() > 2 || image.rank() < 3 || image.without(0).numel() != last) return {};
  return fmt::format(
      "linear: {} expects {}{} features; got {} from the flattened {}. Hint: did the image size "
      "change?",
      dense->describe(), in, as_image(in, image.last()), last, image);
}

}  // namespace

void Sequential::place(size_t i) {
  for (const size_t k : {i, i + 1}) {
    if (k == 0 || k >= size()) continue;
    if (const auto f = scales_for((*this)[k])) (*this)[k - 1].start_before(*f);
  }
}

Tensor Sequential::forward(const Tensor& x) {
  std::vector<Module*> layers;
  for (Module& layer : *this) layers.push_back(&layer);
  Tensor y = x;
  Shape image;
  for (size_t i = 0; i < layers.size();) {
    try {
      Fused fused = layers[i]->call(y, std::span(layers).subspan(i + 1));
      if (fused.y.rank() == 2 && y.rank() > 2) image = y.shape();
      y = std::move(fused.y);
      i += 1 + fused.took;
    } catch (const Error&) {
      const std::string text = mistake(*layers[i], y, image);
      if (text.empty()) throw;
      Error better(text);
      better.prepend_path(std::to_string(i));
      throw better;
    }
  }
  return y;
}

}  // namespace ramp
