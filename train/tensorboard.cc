#include "ramp/train/tensorboard.h"

#include <vector>

namespace ramp {

struct TensorBoard::State {
  EventWriter events;
  TensorBoardOptions options;
  bool begun = false;

  void before_step(TrainState& s) {  // the step's lr is known, and the gradients are there
    if (!begun) events.text("model", 0, "```\n" + s.net.summary() + "```");
    begun = true;
    if (s.step != 0 && (s.step + 1) % options.every != 0) return;
    events.scalar("step/loss", s.step + 1, s.loss);
    events.scalar("step/lr", s.step + 1, s.optimizer.next_lr());
  }
  void after_epoch(TrainState& s) {
    const History::Row& row = s.history.last();
    std::vector<std::string> tags;
    for (const auto& [name, value] : row.values) {
      tags.push_back("epoch/" + name);
      events.scalar(tags.back(), row.epoch, value.value);
    }
    if (!options.hparams.empty()) events.hparams(options.hparams, tags);
    options.hparams.clear();
    if (options.histograms > 0 && row.epoch % options.histograms == 0) {
      for (const NamedTensor& p : s.net.named_parameters())
        events.histogram("weights/" + p.name, row.epoch, p.tensor);
    }
    events.flush();
  }
};

TensorBoard::TensorBoard(const std::string& folder, const TensorBoardOptions& options) {
  fail_if(options.every < 1 || options.histograms < 0,
          "TensorBoard: expected every of at least 1 and histograms of at least 0; got {} and {}.",
          options.every, options.histograms);
  state_ = std::shared_ptr<State>(new State{EventWriter(folder), options});
}

EventWriter& TensorBoard::events() { return state_->events; }

TensorBoard::operator Callback() const {
  return {.before_step = [state = state_](TrainState& s) { state->before_step(s); },
          .after_epoch = [state = state_](TrainState& s) { state->after_epoch(s); }};
}

}  // namespace ramp
