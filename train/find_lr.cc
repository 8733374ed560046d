#include "ramp/train/find_lr.h"

#include <algorithm>
#include <cmath>

#include "ramp/autograd/backward.h"
#include "ramp/data/batches.h"

namespace ramp {
namespace {

// A model and its optimizer; at the end they are as they were.
class Trial : private NoCopy {
 public:
  Trial(const char* name, ModuleBase& net, Optimizer& optimizer, const Loss& loss,
        const Loss::OfBatch& outputs)
      : name_(name),
        net_(net),
        optimizer_(optimizer),
        loss_(loss),
        outputs_(outputs),
        of_net_(copy(net.state())),
        of_optimizer_(copy(optimizer.state())) {
    optimizer.zero_grad();
  }
  ~Trial() {
    optimizer_.zero_grad();
    net_.load_state(of_net_);
    optimizer_.load_state(of_optimizer_);
  }

  // One step; returns the loss before it.
  double step(const Dataset& batch) {
    const Tensor loss = loss_of(batch);
    if (loss.numel() != 1) {
      fail("{}: the loss of a batch must be one number; got {}. Hint: mean(loss).", name_,
           loss.shape());
    }
    const double value = loss.item();
    if (!std::isfinite(value)) return value;
    backward(loss);
    optimizer_.step();
    optimizer_.zero_grad();
    return value;
  }

 private:
  static std::vector<NamedTensor> copy(std::vector<NamedTensor> state) {
    for (NamedTensor& t : state) t.tensor = t.tensor.detach().clone();
    return state;
  }
  Tensor loss_of(const Dataset& batch) {
    if (loss_.of_batch) return loss_.of_batch(batch);
    auto* module = dynamic_cast<Module*>(&net_);
    if (!module && !outputs_) {
      fail(
          "{}: a model that is no Module needs a loss of the batch, which calls it. Hint: "
          "[&](const "
          "Dataset& b) {{ return mse_loss(net(b.x, b.more[0]), b.y); }}.",
          name_);
    }
    const Tensor y = outputs_ ? outputs_(batch) : (*module)(batch.x);
    return loss_.of(y, batch.y);
  }

  const char* name_;
  ModuleBase& net_;
  Optimizer& optimizer_;
  const Loss& loss_;
  const Loss::OfBatch& outputs_;
  const std::vector<NamedTensor> of_net_, of_optimizer_;
};

}  // namespace

LrCurve find_lr(ModuleBase& net, Optimizer& optimizer, const Dataset& data, const Loss& loss,
                const FindLrOptions& o) {
  fail_if(!(o.from > 0 && o.from < o.to && std::isfinite(o.to)) || o.steps < 10 || o.batch < 1,
          "find_lr: expected 0 < from < to, steps >= 10, batch >= 1; got {}, {}, {}, {}.", o.from,
          o.to, o.steps, o.batch);
  data.check("find_lr");
  Batches batches(data, {.size = o.batch, .seed = o.seed});
  Trial trial("find_lr", net, optimizer, loss, o.outputs);
  // The mean of about the last ten losses, without the weight of a start at 0.
  constexpr double kMemory = 0.9;
  LrCurve curve;
  double smooth = 0, least = INFINITY;
  const double factor = std::pow(o.to / o.from, 1 / static_cast<double>(o.steps - 1));
  double lr = o.from;
  for (int64_t i = 0; i < o.steps;) {
    for (const Dataset& batch : batches) {
      optimizer.set_lr(lr);
      const double value = trial.step(batch);
      if (i == 0 && !std::isfinite(value))
        fail("find_lr: the loss is {} before any step. Hint: autopsy(), Anomaly.", value);
      smooth = kMemory * smooth + (1 - kMemory) * value;
      const double now = smooth / (1 - std::pow(kMemory, static_cast<double>(++i)));
      if (!std::isfinite(now) || now > least + 3 * std::abs(least) || i > o.steps) {
        i = o.steps;
        break;
      }
      curve.lr.push_back(lr);
      curve.loss.push_back(now);
      if (now < least) least = now, curve.least = lr;
      lr *= factor;
    }
  }
  // The slope over a tenth of all steps, of those before the least loss.
  const size_t n = curve.lr.size(), span = std::max<size_t>(2, n / 10);
  double steepest = 0;
  for (size_t i = 0; i + span < n && curve.lr[i + span] <= curve.least; ++i) {
    const double slope = curve.loss[i + span] - curve.loss[i];
    if (slope < steepest) steepest = slope, curve.suggestion = curve.lr[i + span / 2];
  }
  if (curve.suggestion == 0) curve.suggestion = curve.least / 10;
  return curve;
}

std::string LrCurve::str() const {
  return fmt::format("lr {:.2g}: the loss falls fastest there; it is least at {:.2g}", suggestion,
                     least);
}

Overfit overfit_one_batch(ModuleBase& net, Optimizer& optimizer, const Dataset& batch,
                          const Loss& loss, const OverfitOptions& o) {
  fail_if(o.steps < 1 || !(o.share > 0 && o.share < 1),
          "overfit_one_batch: expected steps >= 1 and a share in (0, 1); got {} and {}.", o.steps,
          o.share);
  batch.check("overfit_one_batch");
  Trial trial("overfit_one_batch", net, optimizer, loss, o.outputs);
  Overfit result;
  while (!result.fits && result.steps < o.steps) {
    const double value = trial.step(batch);
    if (!std::isfinite(value)) break;
    if (result.steps++ == 0) result.first = result.least = value;
    result.least = std::min(result.least, value);
    result.fits = value <= o.share * result.first;
  }
  return result;
}

std::string Overfit::str() const {
  return fmt::format("{}: the loss fell from {:.3g} to {:.3g} in {} steps",
                     fits ? "fits" : "does not fit", first, least, steps);
}

}  // namespace ramp
