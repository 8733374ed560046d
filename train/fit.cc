#include "ramp/train/fit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <csignal>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/node.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/data/prefetch.h"
#include "ramp/io/json.h"
#include "ramp/optim/clip.h"
#include "ramp/train/anomaly.h"
#include "ramp/train/checkpoint.h"
#include "ramp/train/checksum.h"
#include "ramp/train/progress.h"

namespace ramp {
namespace {

using detail::integer, detail::Json, detail::parse_json;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kValidBatch = 500;

// While it lives, the first Ctrl-C or SIGTERM is only noted; the second one ends the program.
class Interrupts : private NoCopy {
 public:
  explicit Interrupts(bool on) : on_(on) {
    if (!on) return;
    signal_ = 0;
    struct sigaction note {};
    note.sa_handler = [](int signal) { signal_ = signal; };
    note.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
    for (size_t i = 0; i < 2; ++i) {
      sigaction(kSignals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler == SIG_IGN) continue;  // nohup
      sigaction(kSignals[i], &note, nullptr);
    }
  }
  ~Interrupts() {
    for (size_t i = 0; on_ && i < 2; ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }
  bool seen() const { return on_ && signal_ != 0; }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM};
  inline static volatile std::sig_atomic_t signal_ = 0;
  bool on_;
  struct sigaction before_[2];
};

// Copies of a model's tensors, with state() and load_state() of their own.
struct BestWeights {
  std::vector<NamedTensor> tensors;

  void copy(const std::vector<NamedTensor>& from) {
    tensors.clear();
    for (const NamedTensor& t : from) tensors.push_back({t.name, t.tensor.detach().clone()});
  }
  std::vector<NamedTensor> state() const { return tensors; }
  void load_state(const std::vector<NamedTensor>& state) {
    load_tensors("best weights", tensors, state);
  }
};

// Of the first and the last example: another dataset is told by it.
std::string fingerprint(const LazyDataset& data) {
  Checksum sum;
  const auto add = [&](const Tensor& t) {
    for (const double v : t.values()) sum.add(std::bit_cast<uint64_t>(v));
  };
  const Dataset ends = data.gather({0, data.size - 1});
  add(ends.x);
  add(ends.y);
  for (const Tensor& t : ends.more) add(t);
  return fmt::format("{} examples, {}", data.size, sum.str());
}

BatchOptions batch_options(const FitOptions& o) {
  return {.size = o.batch,
          .shuffle = o.shuffle,
          .seed = o.seed,
          .drop_last = o.drop_last,
          .weights = o.weights};
}

class Run {
 public:
  // reads_ahead: in a thread of its own, where making a batch takes time.
  Run(ModuleBase& net, Optimizer& optimizer, Batches batches, bool reads_ahead,
      const FitOptions& options)
      : net_(net),
        module_(dynamic_cast<Module*>(&net)),
        optimizer_(optimizer),
        parameters_(net),
        o_(options),
        batches_(std::move(batches)),
        reads_ahead_(reads_ahead),
        progress_(o_.epochs, batches_.examples(), o_.out),
        start_lr_(optimizer.lr()),
        checkpoint_(o_.checkpoint) {
    check_options();
    const Dataset first = batches_.data().gather({0});
    first.check("fit");
    choose_loss(first.y);
    if (o_.reduce_on_plateau) plateau_.emplace(plateau_options());
    if (o_.ema) ema_.emplace(net, *o_.ema);
    if (o_.keep_best) best_weights_.copy(net.state());
    if (!o_.checkpoint.empty()) open_checkpoint();
    callbacks_ = o_.callbacks;
    if (!o_.record.empty()) {
      Loss of_batch = loss_;
      if (!loss_.of_batch && !module_) {
        of_batch.of_batch = [this](const Dataset& b) { return loss_of(b, outputs_(b)); };
      }
      record_ = detail::record_fit(net, o_, of_batch);
      callbacks_.push_back(record_.callback);
    }
  }

  History run() {
    const Interrupts interrupts(!o_.checkpoint.empty());
    optimizer_.zero_grad();
    while (goes_on()) {
      const Batches::Epoch epoch = batches_.epoch(epoch_, o_.transform).from(batch_);
      if (!interrupts.seen()) train(epoch, interrupts);
      if (interrupts.seen()) fail_interrupted();
      end_epoch();
    }
    state_.data = nullptr;
    save();  // before the weights become the best or the average: it can be continued
    if (o_.keep_best && history_.best_epoch > 0) {
      net_.load_state(best_weights_.tensors);
    } else if (ema_) {
      ema_->swap();
    }
    if (record_.finish) record_.finish(history_.stopped);
    return std::move(history_);
  }

 private:
  void check_options() {
    const auto at_least = [](const char* name, double value, double least) {
      if (!(value >= least) || !std::isfinite(value)) {
        fail("fit: expected {} of at least {}; got {}.", name, least, value);
      }
    };
    at_least("epochs", static_cast<double>(o_.epochs), 0);
    at_least("accumulate", static_cast<double>(o_.accumulate), 1);
    at_least("patience", static_cast<double>(o_.patience), 0);
    at_least("clip_norm", o_.clip_norm, 0);
    at_least("clip_value", o_.clip_value, 0);
    at_least("checkpoint_seconds", o_.checkpoint_seconds, 0);
    at_least("checkpoint_steps", static_cast<double>(o_.checkpoint_steps), 0);
    if (!net_.training()) fail("fit: the model is in eval mode. Hint: net.train().");
    const auto trains = [](const NamedTensor& p) { return p.tensor.requires_grad(); };
    if (std::none_of(parameters_.begin(), parameters_.end(), trains)) {
      fail("fit: the model has no parameter that is trained. Hint: freeze(false) for some.");
    }
    if (has_valid()) {
      o_.valid.check("fit (valid)");
      fail_if(o_.valid.size() == 0, "fit: the validation set is empty.");
    }
  }

  // As `monitor` is better: the plateau looks the same way.
  PlateauOptions plateau_options() {
    PlateauOptions p = *o_.reduce_on_plateau;
    p.maximize = higher_is_better();
    return p;
  }

  bool has_valid() const { return o_.valid.x.defined(); }

  void choose_loss(const Tensor& y) {
    loss_ = o_.loss;
    const bool default_loss = !loss_.of_outputs && !loss_.of_batch;
    if (o_.outputs) {
      outputs_ = o_.outputs;
    } else if (module_) {
      outputs_ = [this](const Dataset& batch) { return (*module_)(batch.x); };
    }
    if (!loss_.of_batch && !outputs_) {
      fail(
          "fit: a model that is no Module needs a loss of the batch, which calls it. Hint: "
          ".loss = [&](const Dataset& b) {{ return mse_loss(net(b.x, b.more[0]), b.y); }}.");
    }
    if (!o_.metrics.empty() && !outputs_) {
      fail(
          "fit: metrics of a model that is no Module need .outputs. Hint: .outputs = [&](const "
          "Dataset& b) {{ return net(b.x, b.more[0]); }}.");
    }
    metrics_ = o_.metrics;
    if (metrics_.empty() && default_loss && !is_float(y.dtype())) metrics_ = {"accuracy"};
    sums_.assign(metrics_.size(), 0.0);
    monitor_ = !o_.monitor.empty() ? o_.monitor : has_valid() ? "valid_loss" : "loss";
    std::vector<std::string> columns = {"loss"};
    for (const Metric& m : metrics_) {
      if (m.averages && !loss_.of_batch) columns.push_back(m.name);
    }
    if (has_valid()) {
      columns.push_back("valid_loss");
      for (const Metric& m : metrics_) columns.push_back("valid_" + m.name);
    }
    if (std::find(columns.begin(), columns.end(), monitor_) == columns.end()) {
      fail("fit: monitor must be one of {}; got \"{}\"{}.", fmt::join(columns, ", "), monitor_,
           has_valid() ? "" : ", and no validation set");
    }
  }

  bool higher_is_better() const {
    for (const Metric& m : metrics_) {
      if (monitor_ == m.name || monitor_ == "valid_" + m.name) return m.higher_is_better;
    }
    return false;
  }

  // y: what the model gave, where the loss looks at that.
  Tensor loss_of(const Dataset& batch, const Tensor& y) const {
    return loss_.of_batch ? loss_.of_batch(batch) : loss_.of(y, batch.y);
  }

  // ---- steps ----

  void train(const Batches::Epoch& epoch, const Interrupts& interrupts) {
    lap_ = Clock::now();
    const auto goes_on = [&](const Dataset& batch) {
      step(batch);
      const bool whole = batch_ % o_.accumulate == 0 || batch_ == batches_.count();
      return state_.stopped.empty() && !(interrupts.seen() && whole);
    };
    if (reads_ahead_) {
      for (const Dataset& batch : Prefetch(epoch)) {
        if (!goes_on(batch)) return;
      }
    } else {
      for (const Dataset& batch : epoch) {
        if (!goes_on(batch)) return;
      }
    }
  }

  void step(const Dataset& batch) {
    lap(&Phases::data);
    state_.epoch = epoch_;
    state_.batch = batch_;
    state_.step = optimizer_.steps();
    state_.data = &batch;
    Tensor y;
    if (!loss_.of_batch) y = outputs_(batch);
    const Tensor loss = loss_of(batch, y);
    if (loss.numel() != 1) {
      fail("fit: the loss of a batch must be one number; got {}. Hint: mean(loss).", loss.shape());
    }
    state_.loss = loss.item();
    if (!std::isfinite(state_.loss)) fail_not_finite();
    lap(&Phases::forward);

    // The batches of one step, and their examples: the last step of an epoch may have fewer.
    const int64_t first = batch_ / o_.accumulate * o_.accumulate, begin = first * o_.batch;
    const int64_t last = std::min(first + o_.accumulate, batches_.count());
    const int64_t examples = std::min(last * o_.batch, batches_.examples()) - begin;
    if (batch.size() == examples) {
      loss.backward();
    } else {
      (loss * (static_cast<double>(batch.size()) / static_cast<double>(examples))).backward();
    }

    lap(&Phases::backward);

    const double n = static_cast<double>(batch.size());
    loss_sum_ += n * state_.loss;
    seen_ += batch.size();
    for (size_t i = 0; y.defined() && i < metrics_.size(); ++i) {
      if (metrics_[i].averages) sums_[i] += n * metrics_[i].of(y.detach(), batch.y).value;
    }
    progress_.batch(batch.size(), state_.loss);
    ++batch_;
    lap_ = Clock::now();
    if (batch_ < last) return;

    if (o_.clip_value > 0) clip_grad_value(parameters_, o_.clip_value);
    if (o_.clip_norm > 0) clip_grad_norm(parameters_, o_.clip_norm);
    for (const Callback& c : callbacks_) {
      if (c.before_step) c.before_step(state_);
    }
    state_.lr = optimizer_.next_lr();
    optimizer_.step();
    if (ema_) ema_->update();
    lap(&Phases::step);
    for (const Callback& c : callbacks_) {
      if (c.after_step) c.after_step(state_);
    }
    optimizer_.zero_grad();
    state_.data = nullptr;
    const bool due = o_.checkpoint_steps > 0 && optimizer_.steps() % o_.checkpoint_steps == 0;
    if (due || since(saved_) >= o_.checkpoint_seconds) save();
    lap_ = Clock::now();
  }

  // What was done since the last one took that long.
  void lap(double Phases::*phase) {
    const Clock::time_point t = Clock::now();
    state_.seconds.*phase += std::chrono::duration<double>(t - lap_).count();
    lap_ = t;
  }

  // ---- epochs ----

  void end_epoch() {
    History::Row row{epoch_ + 1, optimizer_.steps(), seconds(), state_.lr, {}};
    const auto add = [&](const std::string& name, Estimate e) { row.values.push_back({name, e}); };
    const double n = static_cast<double>(std::max<int64_t>(seen_, 1));
    add("loss", {loss_sum_ / n});
    std::string shown;
    for (size_t i = 0; i < metrics_.size(); ++i) {
      if (metrics_[i].averages && !loss_.of_batch) {
        add(metrics_[i].name, {sums_[i] / n});
        shown += fmt::format("  {} {}", metrics_[i].name, metrics_[i].str({sums_[i] / n}));
      }
    }
    if (ema_) ema_->swap();
    if (has_valid()) shown += evaluate(add);
    const double measure = row[monitor_].value;
    const bool better = higher_is_better() ? measure > best_ : measure < best_;
    if (better || (history_.best_epoch == 0 && !std::isnan(measure))) {
      best_ = measure;
      history_.best_epoch = epoch_ + 1;
      if (o_.keep_best) best_weights_.copy(net_.state());
    }
    if (ema_) ema_->swap();
    history_.rows.push_back(row);
    progress_.epoch(shown.empty() ? "" : shown.substr(2));
    if (plateau_) optimizer_.set_lr(start_lr_ * (*plateau_)(measure));
    ++epoch_;
    batch_ = seen_ = 0;
    loss_sum_ = 0;
    sums_.assign(metrics_.size(), 0.0);
    for (const Callback& c : callbacks_) {
      if (c.after_epoch) c.after_epoch(state_);
    }
  }

  bool goes_on() {
    history_.stopped = state_.stopped;
    if (epoch_ >= o_.epochs || !state_.stopped.empty()) return false;
    const int64_t since_best = epoch_ - history_.best_epoch;
    if (o_.patience == 0 || since_best < o_.patience) return true;
    history_.stopped = fmt::format("{} was best at epoch {}, {} epochs ago", monitor_,
                                   history_.best_epoch, since_best);
    return false;
  }

  // The columns of the validation set; returns what is shown of them.
  template <typename Add>
  std::string evaluate(Add add) {
    const NoGrad no_grad;
    const EvalMode eval;
    std::vector<Tensor> parts;
    double sum = 0;
    const int64_t n = o_.valid.size();
    for (int64_t i = 0; i < n; i += kValidBatch) {
      const Dataset batch = o_.valid.rows(i, std::min(i + kValidBatch, n));
      Tensor y;
      if (!loss_.of_batch || !metrics_.empty()) y = outputs_(batch);
      const Tensor loss = loss_of(batch, y);
      sum += loss.item() * static_cast<double>(batch.size());
      if (!metrics_.empty()) parts.push_back(y);
    }
    add("valid_loss", {sum / static_cast<double>(n)});
    std::string shown = fmt::format("  valid loss {:.4f}", sum / static_cast<double>(n));
    if (metrics_.empty()) return shown;
    const Tensor y = concat(parts, 0);
    for (const Metric& m : metrics_) {
      const Estimate e = m.of(y, o_.valid.y);
      add("valid_" + m.name, e);
      shown += fmt::format("  valid {} {}", m.name, m.str(e));
    }
    return shown;
  }

  // ---- checkpoints ----

  // What a run that is continued must have in common with the one before.
  Json make_settings() const {
    return {{"data", fingerprint(batches_.data())},
            {"batch", o_.batch},
            {"seed", o_.seed},
            {"shuffle", o_.shuffle},
            {"drop_last", o_.drop_last},
            {"weights", o_.weights.size()},
            {"accumulate", o_.accumulate},
            {"clip_norm", o_.clip_norm},
            {"clip_value", o_.clip_value},
            {"ema", o_.ema ? Json{o_.ema->decay, o_.ema->warmup} : Json()},
            {"keep_best", o_.keep_best},
            {"reduce_on_plateau", o_.reduce_on_plateau.has_value()},
            {"monitor", monitor_},
            {"metrics", metrics_.size()},
            {"lr", start_lr_}};
  }

  void open_checkpoint() {
    checkpoint_.add("model", net_).add("optimizer", optimizer_);
    if (ema_) checkpoint_.add("ema", *ema_);
    if (plateau_) checkpoint_.add("plateau", *plateau_);
    if (o_.keep_best) checkpoint_.add("best", best_weights_);
    settings_ = make_settings();
    Json place;
    const bool found = checkpoint_.load([&](const Metadata& notes) {
      const auto text = notes.find("fit");
      if (text != notes.end()) place = parse_json(text->second, 3);
      if (!place.is_object() || !place.contains("settings") || !place.at("settings").is_object()) {
        fail("fit: {} is no checkpoint of fit(). Hint: give it another name.", o_.checkpoint);
      }
      for (const auto& [name, value] : settings_.items()) {
        const Json before = place.at("settings").value(name, Json());
        if (before == value) continue;
        fail(
            "fit: {} was made with {} {}; got {}. Hint: remove the file to begin anew, or give it "
            "another name.",
            o_.checkpoint, name, before.dump(), value.dump());
      }
    });
    if (found) {
      go_on(place);
    } else {
      save();  // a place that cannot be written to shows now
    }
  }

  void go_on(const Json& place) {
    const auto broken = [&] {
      fail("fit: {} has a broken note of where it was. Hint: remove it to begin anew.",
           o_.checkpoint);
    };
    try {
      epoch_ = integer(place.at("epoch"));
      batch_ = integer(place.at("batch"));
      seen_ = integer(place.at("seen"));
      loss_sum_ = place.at("loss_sum").get<double>();
      sums_ = place.at("sums").get<std::vector<double>>();
      seconds_before_ = place.at("seconds").get<double>();
      state_.lr = place.value("last_lr", optimizer_.lr());  // (not in the first files)
      best_ = place.at("best").is_null() ? kNaN : place.at("best").get<double>();
      history_ = History::from_json(place.at("history").get<std::string>());
      state_.stopped = place.at("stopped").get<std::string>();
    } catch (const Json::exception&) {
      broken();
    }
    if (epoch_ < 0 || batch_ < 0 || batch_ > batches_.count() || history_.best_epoch < 0 ||
        history_.best_epoch > epoch_ || sums_.size() != metrics_.size()) {
      broken();
    }
    history_.checkpoint = fmt::format("epoch {}, step {}", epoch_, optimizer_.steps());
    progress_.go_on(epoch_, seen_, loss_sum_);
    if (!goes_on()) {
      progress_.say(fmt::format("{}: training had ended at epoch {}{}{}", o_.checkpoint, epoch_,
                                history_.stopped.empty() ? "" : ": ", history_.stopped));
    } else {
      progress_.say(fmt::format("continues from {}: {}", o_.checkpoint, history_.checkpoint));
    }
  }

  void save() {
    saved_ = Clock::now();
    if (o_.checkpoint.empty()) return;
    Json place{{"settings", settings_},
               {"epoch", epoch_},
               {"batch", batch_},
               {"seen", seen_},
               {"loss_sum", loss_sum_},
               {"sums", sums_},
               {"seconds", seconds()},
               {"last_lr", state_.lr},
               {"best", best_},
               // By a callback; what else ends a run is seen again.
               {"stopped", state_.stopped},
               {"history", history_.json()}};
    checkpoint_.notes["fit"] = place.dump();
    checkpoint_.save();
  }

  // ---- ends ----

  [[noreturn]] void fail_interrupted() {
    save();
    fail(
        "fit: interrupted at epoch {}, step {}; {} holds it all. Hint: start the program again to "
        "go on.",
        epoch_ + 1, optimizer_.steps(), o_.checkpoint);
  }

  [[noreturn]] void fail_not_finite() {
    fail("fit: the loss is {} at epoch {}, batch {} (step {}). {}", state_.loss, epoch_ + 1,
         batch_ + 1, optimizer_.steps(), autopsy(net_, *state_.data, [this](const Dataset& batch) {
           return loss_of(batch, loss_.of_batch ? Tensor() : outputs_(batch));
         }));
  }

  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point t) {
    return std::chrono::duration<double>(Clock::now() - t).count();
  }
  double seconds() const { return seconds_before_ + progress_.seconds(); }

  ModuleBase& net_;
  Module* module_;  // null: called by loss and outputs alone
  Optimizer& optimizer_;
  Parameters parameters_;
  const FitOptions& o_;
  const Batches batches_;
  const bool reads_ahead_;
  Progress progress_;
  double start_lr_;
  Checkpoint checkpoint_;
  Json settings_;

  Loss loss_;
  Loss::OfBatch outputs_;
  std::vector<Metric> metrics_;
  std::string monitor_;
  std::optional<EMA> ema_;
  std::optional<ReduceOnPlateau> plateau_;
  BestWeights best_weights_;

  // Where it is:
  int64_t epoch_ = 0, batch_ = 0, seen_ = 0;
  double loss_sum_ = 0, seconds_before_ = 0, best_ = kNaN;
  std::vector<double> sums_;  // of the training metrics
  History history_;
  Clock::time_point saved_ = Clock::now(), lap_ = saved_;
  std::vector<Callback> callbacks_;
  detail::FitRecord record_;
  TrainState state_{net_, optimizer_, 0, 0, 0, nullptr, 0, 0, history_};
};

}  // namespace

Loss::Loss(const std::string& name) {
  struct Named {
    const char* name;
    Loss loss;
  };
  const Named all[] = {
      {"cross_entropy", cross_entropy},
      {"nll", nll_loss},
      {"bce", bce_loss},
      {"bce_with_logits", bce_with_logits},
      {"mse", mse_loss},
      {"l1", l1_loss},
      {"smooth_l1",
       Loss([](const Tensor& y, const Tensor& target) { return smooth_l1_loss(y, target); })},
      {"huber", Loss([](const Tensor& y, const Tensor& target) { return huber_loss(y, target); })},
      {"hinge", hinge_loss}};
  std::string names;
  for (const Named& n : all) {
    if (name == n.name) {
      *this = n.loss;
      return;
    }
    names += fmt::format("{}{}", names.empty() ? "" : ", ", n.name);
  }
  fail("loss: expected {}, or a function; got \"{}\".", names, name);
}

Tensor Loss::of(const Tensor& y, const Tensor& target) const {
  if (of_outputs) return of_outputs(y, target);
  return is_float(target.dtype()) ? mse_loss(y, target) : cross_entropy(y, target);
}

History fit(ModuleBase& net, Optimizer& optimizer, const Dataset& train,
            const FitOptions& options) {
  train.check("fit");
  const bool reads_ahead = static_cast<bool>(options.transform);
  return Run(net, optimizer, Batches(train, batch_options(options)), reads_ahead, options).run();
}

History fit(ModuleBase& net, Optimizer& optimizer, const LazyDataset& train,
            const FitOptions& options) {
  return Run(net, optimizer, Batches(train, batch_options(options)), true, options).run();
}

}  // namespace ramp
