// The sum of two digits, from two images: a layer, a loss and a loop of one's own, with clipped
// gradients and averaged weights.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

// y = x sigmoid(scale x + shift), with a learned scale and shift for each feature.
struct Gate final : Module {
  Parameter scale, shift;
  explicit Gate(int64_t width) : scale(Tensor::ones({width})), shift(Tensor::zeros({width})) {}
  Tensor forward(const Tensor& x) override { return x * sigmoid(x * scale + shift); }
  void fields(Fields& f) override { f.param("scale", scale).param("shift", shift); }
};

struct Adder final : ModuleOf<Adder> {
  Sequential eye{Flatten{}, Dense(784, 128), Gate(128)};
  Sequential head{Dense(256, 64, ReLU{}), Dense(64, 19)};
  Tensor forward(const Tensor& a, const Tensor& b) { return head(concat({eye(a), eye(b)}, -1)); }
  void fields(Fields& f) override { f.child("eye", eye).child("head", head); }
};

// Cross entropy that counts less where the network is sure already.
Tensor focal_loss(const Tensor& logits, const Tensor& y) {
  const Tensor loss = cross_entropy(logits, y, {.reduction = Reduction::none});
  return mean(pow(1 - exp(-loss), 2) * loss);
}

// One half of the images beside the other one.
Dataset pairs(const Dataset& digits) {
  const auto [a, b] = digits.split(0.5);
  return {a.x, a.y + b.y, {b.x}};
}

int main() {
  seed_layers(1);
  const auto [train, test] = load_mnist();
  Batches batches(pairs(train), {.size = 64});
  Adder net;
  Adam adam(net, {.lr = 1e-3});
  EMA ema(net, {.decay = 0.99});
  for (int epoch = 0; epoch < 5; ++epoch) {
    double total = 0;
    for (const Dataset& batch : batches) {
      const Tensor loss = focal_loss(net(batch.x, batch.more[0]), batch.y);
      adam.zero_grad();
      loss.backward();
      clip_grad_norm(net, 1);
      adam.step();
      ema.update();
      total += loss.item();
    }
    fmt::print("epoch {}  loss {:.4f}\n", epoch + 1, total / batches.count());
  }
  ema.swap();
  save_model("adder.safetensors", net);
  fmt::print("test accuracy {:.1f} %\n", 100 * evaluate(net, pairs(test)));
}
