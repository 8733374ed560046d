#include "ramp/glass/recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/record.h"
#include "ramp/core/blas.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/parallel.h"
#include "ramp/glass/environment.h"
#include "ramp/glass/glass_file.h"
#include "ramp/glass/gradcheck_table.h"
#include "ramp/glass/pictures.h"
#include "ramp/glass/sketch.h"
#include "ramp/glass/step.h"
#include "ramp/layers/activation.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/pool.h"
#include "ramp/layers/sequential.h"
#include "ramp/train/blocks.h"
#include "ramp/train/checksum.h"
#include "ramp/train/watch.h"

namespace ramp {
namespace {

constexpr int64_t kProbe = 64;
constexpr int64_t kFollowed = 64;      // parameters of a model whose steps are written
constexpr int64_t kWeights = 1 << 12;  // elements of a parameter that |dw| / |w| is taken from
constexpr int64_t kPreRows = 16;       // examples of which pre-activations are computed
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// ---- JSON ----

std::string shape_json(const Shape& s) {
  std::vector<int64_t> sizes;
  for (int i = 0; i < s.rank(); ++i) sizes.push_back(s[i]);
  return glass_list(sizes);
}
std::string or_null(double x) { return std::isnan(x) ? "null" : glass_number(x); }
std::string or_null(const Sketch& s) { return s.n == 0 ? "null" : s.json(); }

// ---- where it runs ----

std::string command_line() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}}, line;
  for (size_t i = 0; i < text.size();) {
    const std::string word = text.substr(i, text.find('\0', i) - i);
    i += word.size() + 1;
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-./=:,+@%") == std::string::npos;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += (line.empty() ? "" : " ") + (plain ? word : quoted + "'");
  }
  return line;
}

std::string now() {
  const std::time_t t = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&t, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

std::string compiler() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::string checksum(const Tensor& x) {
  return visit_dtype(x.dtype(), [&]<typename T>(T) {
    const T* v = x.data<T>();
    const size_t bytes = static_cast<size_t>(x.numel()) * sizeof(T);
    Checksum sum;
    for (size_t i = 0; i < bytes; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, reinterpret_cast<const char*>(v) + i, std::min<size_t>(8, bytes - i));
      sum.add(word);
    }
    return sum.str();
  });
}

// ---- the model ----

// Its units fire or are silent: positive on one side of 0, and small on the other one.
bool fires(ModuleBase& module) {
  if (dynamic_cast<PReLU*>(&module) || dynamic_cast<RReLU*>(&module)) return true;
  const Activation* f = activation_of(module);
  return f && f->value(20) > 0 && f->value(-1) <= 0 && f->value(-20) > -f->value(20) / 2;
}
// A unit that is silent has no gradient, and stays so.
bool dies(ModuleBase& module) {
  const Activation* f = activation_of(module);
  if (!f) return false;  // PReLU and RReLU
  const double at[] = {-0.5, -1, -4, -20};
  return std::ranges::all_of(at, [&](double x) { return f->derivative(x) == 0; });
}

std::string activation_name(ModuleBase& module) {
  if (dynamic_cast<PReLU*>(&module)) return "prelu";
  if (dynamic_cast<RReLU*>(&module)) return "rrelu";
  const Activation* f = activation_of(module);
  return f ? f->name() : "";
}

// Blocks of a parameter as it is before a step. Of one whose gradient is one of rows, as that of an
// embedding's table: many whole rows, so that some of them take part in the step.
struct Look {
  Tensor values;    // in a row
  int64_t row = 1;  // elements

  Look(const Tensor& w, bool by_rows) : row(by_rows ? row_of(w) : 1) {
    values = visit_float("Recorder", w.dtype(), [&]<typename T>(T) {
      std::vector<T> all;
      each(w, [&](int64_t i, int64_t end) {
        all.insert(all.end(), w.data<T>() + i, w.data<T>() + end);
      });
      return Tensor::of(all);
    });
  }
  static int64_t row_of(const Tensor& w) { return w.numel() / std::max<int64_t>(1, w.dim(0)); }
  template <typename F>
  void each(const Tensor& w, F f) const {
    for_each_block(w.numel(), row, row > 1 ? 16 * kWeights : kWeights, f);
  }

  // |now - before| / |before|; of the given rows alone, if they are given (rising). NaN: not known.
  double ratio(const Tensor& now, const Tensor* rows) const {
    if (rows && row != row_of(now)) return kNaN;
    double moved = 0, size = 0;
    visit_float("Recorder", now.dtype(), [&]<typename T>(T) {
      const T *a = values.data<T>(), *b = now.data<T>();
      each(now, [&](int64_t i, int64_t end) {
        for (; i < end; ++i, ++a) {
          if (rows && i % row == 0) {
            const int64_t *ids = rows->data<int64_t>(), *stop = ids + rows->numel();
            if (!std::binary_search(ids, stop, i / row)) {
              i += row - 1;
              a += row - 1;
              continue;
            }
          }
          const double d = static_cast<double>(b[i]) - *a;
          moved += d * d;
          size += static_cast<double>(*a) * *a;
        }
      });
    });
    return size > 0 ? std::sqrt(moved / size) : kNaN;
  }
};

double norm(const Sketch& s, int64_t numel) {
  return s.rms() * std::sqrt(static_cast<double>(numel));
}

struct Layer {
  std::string path, parent, text, activation;
  bool leaf = true, fires = false, dies = false;
  ModuleBase* module = nullptr;
  Shape shape = {};
  double flops = kNaN;
  // A parameter: unit i of a dying layer fired where its gradient is not 0 at i of the last axis.
  // Undefined: none tells. (The leaf itself: the model may be assigned to.)
  Tensor tells = {};
  int64_t units = 0;  // 0: not known yet
  // Of this epoch: what was counted; the units that fired in no step that was, and had no gradient
  // in the others, if that is told.
  Firing epoch = {};
  std::vector<int64_t> silent = {};
  bool is_told = false;

  void begin_epoch(bool from_its_start) {
    epoch = {};
    silent.resize(static_cast<size_t>(units));
    std::iota(silent.begin(), silent.end(), 0);
    is_told = tells.defined() && from_its_start;
  }
};

template <typename... M>
bool is_one_of(ModuleBase* module) {
  return (... || (dynamic_cast<M*>(module) != nullptr));
}

// Whether some element at `unit` of the last axis is not 0.
bool is_moved(const Tensor& g, int64_t unit, int64_t units) {
  return visit_float("Recorder", g.dtype(), [&]<typename T>(T) {
    for (int64_t k = unit; k < g.numel(); k += units)
      if (g.data<T>()[k] != 0) return true;
    return false;
  });
}

// What one recorded step says; the tape's hooks hold it too.
struct OfLayer {
  Sketch y, dy, pre;
  Firing firing;
};
struct Pass {
  bool sketches = false;  // else units are counted and that is all
  std::vector<OfLayer> layers;
  std::vector<Look> before;  // the parameters
};

// An op of the probe.
struct Op {
  Tensor y;  // keeps the node
  std::string layer, name;
  std::vector<int64_t> inputs;
  Sketch values, gradient;
};
struct Tape {
  std::vector<Op> ops;
  std::unordered_map<const Node*, int64_t> ids;
  size_t placed = 0;  // the ops before this one have their layer
};

// All that a forward and backward pass in training changes, kept and put back.
class Untouched : private NoCopy {
 public:
  explicit Untouched(ModuleBase& net) {
    for (const Field& f : Fields(net)) {
      if (f.rng) rngs_.emplace_back(f.rng, *f.rng);
      if (f.tensor && !f.trained) buffers_.emplace_back(*f.tensor, f.tensor->detach().clone());
      if (f.tensor && f.trained && node_of(*f.tensor)) {
        Node* node = node_of(*f.tensor);
        gradients_.push_back({*f.tensor, node->grad, std::move(node->rows), node->grad_used});
        node->grad = {};
        node->grad_used = false;
      }
    }
  }
  ~Untouched() {
    for (auto& [rng, before] : rngs_) *rng = before;
    const NoGrad no_grad;
    for (auto& [tensor, before] : buffers_) tensor.copy_(before);
    // (One that is named twice was kept empty the second time.)
    for (auto g = gradients_.rbegin(); g != gradients_.rend(); ++g) {
      node_of(g->of)->grad = g->grad;
      node_of(g->of)->rows = std::move(g->rows);
      node_of(g->of)->grad_used = g->used;
    }
  }

 private:
  struct Gradient {
    Tensor of, grad;
    std::unique_ptr<RowGradient> rows;
    bool used;
  };
  std::vector<std::pair<Rng*, Rng>> rngs_;
  std::vector<std::pair<Tensor, Tensor>> buffers_;
  std::vector<Gradient> gradients_;
};

// The layer without its activation, while it lives.
class WithoutActivation : private NoCopy {
 public:
  explicit WithoutActivation(LinearLayer& layer) : layer_(layer), f_(layer.activation) {
    layer.activation = Identity{};
  }
  ~WithoutActivation() { layer_.activation = f_; }

 private:
  LinearLayer& layer_;
  Activation f_;
};

Dataset first_rows(const Dataset& data, int64_t most) {
  std::vector<int64_t> rows(static_cast<size_t>(std::min(data.size(), most)));
  std::iota(rows.begin(), rows.end(), 0);
  return data.take(rows);
}

}  // namespace

struct Recorder::State {
  using Clock = std::chrono::steady_clock;

  ModuleBase& net;
  const std::string path;
  const RecorderOptions options;
  Dataset probe;
  std::unique_ptr<GlassWriter> writer;
  Doctor doctor;
  std::vector<Layer> layers;
  std::unordered_map<const ModuleBase*, size_t> place;
  std::shared_ptr<Pass> pass;  // of this step, if it is looked at
  std::shared_ptr<Tape> tape;  // while the probe runs
  const Node* last_node = nullptr;
  Tensor last_input;  // the first one of the op that was recorded last
  ModuleWatch watch{[this](ModuleBase& module, const std::vector<Tensor>& y) { saw(module, y); }};
  const std::function<void(const Node&, const Tensor&, const Inputs&)> op_watch =
      [this](const Node& node, const Tensor& y, const Inputs& inputs) { saw_op(node, y, inputs); };
  const detail::OpWatch before = std::exchange(detail::op_watch, &op_watch);

  Clock::time_point began = Clock::now();
  int64_t steps = 0, epoch = 0, next_probe_epoch = 1;
  int64_t epoch_steps = 0, epoch_counted = 0;
  std::set<std::string> by_rows;  // parameters that had a gradient of rows
  Phases phases, phases_before;   // in all: now, and at the last line
  bool phases_known = false, model_written = false, finished = false;
  double last_loss = kNaN;

  State(ModuleBase& net, const std::string& path, RecorderOptions o)
      : net(net),
        path(path),
        options(std::move(o)),
        probe(options.probe),
        doctor(net, {.every = std::max<int64_t>(options.every, 64)}) {
    fail_if(options.every < 1, "Recorder: expected every >= 1; got {}.", options.every);
    fail_if(options.count_every < 0, "Recorder: expected count_every >= 0; got {}.",
            options.count_every);
    if (probe.x.defined()) {
      probe.check("Recorder (probe)");
      fail_if(probe.size() > kProbe,
              "Recorder: the probe has at most {} examples; got {}. Hint: data.rows(0, {}).",
              kProbe, probe.size(), kProbe);
    }
    if (!options.loss.of_batch && !dynamic_cast<Module*>(&net)) {
      fail(
          "Recorder: a model that is no Module needs a loss of the batch, which calls it. Hint: "
          ".loss = [&](const Dataset& b) {{ return mse_loss(net(b.x, b.more[0]), b.y); }}.");
    }
    GlassWriter::check(path);
    list_layers();
    arm();
  }
  ~State() {
    if (detail::op_watch == &op_watch) detail::op_watch = before;
  }

  void list_layers() {
    const auto add = [&](const std::string& at, const std::string& parent, ModuleBase& m) {
      place.emplace(&m, layers.size());
      layers.push_back(
          {at, parent, m.describe(), activation_name(m), true, fires(m), fires(m) && dies(m), &m});
    };
    add("", "", net);
    std::map<std::string, size_t> by_path{{"", 0}};
    std::vector<Tensor> shifts(1);  // by layer: its bias, or else its weight
    for (const Field& f : Fields(net)) {
      if (f.tensor && f.trained && (f.path.ends_with("bias") || !shifts.back().defined()))
        shifts.back() = *f.tensor;
      if (!f.module) continue;
      shifts.emplace_back();
      // (A name may have dots of its own: the parent is the longest path there is.)
      std::string parent = f.path;
      do {
        const size_t dot = parent.rfind('.');
        parent = dot == std::string::npos ? "" : parent.substr(0, dot);
      } while (!by_path.contains(parent));
      layers[by_path[parent]].leaf = false;
      by_path[f.path] = layers.size();
      add(f.path, parent, *f.module);
    }
    // What moves a unit: the layer itself, or in a Sequential the one behind which its activation
    // stands, with nothing between them that mixes units.
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!layers[i].dies) continue;
      size_t from = i;
      const size_t parent = by_path[layers[i].parent];
      if (is_one_of<Activate>(layers[i].module) && is_one_of<Sequential>(layers[parent].module)) {
        do --from;
        while (layers[from].parent == layers[i].parent &&
               is_one_of<MaxPool2d, AvgPool2d, Dropout, Dropout2d>(layers[from].module));
        if (layers[from].parent != layers[i].parent || !layers[from].activation.empty()) continue;
      }
      if (is_one_of<Dense, Conv2d, Conv1d, BatchNorm>(layers[from].module))
        layers[i].tells = shifts[from];
    }
  }

  bool is_recorded(int64_t step) const {
    return step % options.every == 0 || (step < options.every && (step & (step - 1)) == 0);
  }

  // If the next step is to be looked at.
  void arm() {
    const bool recorded = is_recorded(steps + 1);
    const bool counted = options.count_every > 0 && (steps + 1) % options.count_every == 0;
    pass = nullptr;
    last_input = {};
    if (!recorded && !counted) return watch.off();
    pass = std::make_shared<Pass>();
    pass->sketches = recorded;
    pass->layers.resize(layers.size());
    if (recorded)
      for (const NamedTensor& p : net.named_parameters())
        pass->before.emplace_back(p.tensor, by_rows.contains(p.name));
    watch.on();
  }

  // ---- what it is told ----

  void saw_op(const Node& node, const Tensor& y, const Inputs& inputs) {
    if (tape) return on_tape(node, y, inputs);
    if (before) (*before)(node, y, inputs);
    if (!pass || !pass->sketches || inputs.size == 0) return;
    last_node = &node;
    last_input = inputs[0].detach();
  }

  void saw(ModuleBase& module, const std::vector<Tensor>& y) {
    const auto found = place.find(&module);
    if (found == place.end() || y.empty() || !y[0].defined()) return;
    const size_t i = found->second;
    if (tape) {
      for (; tape->placed < tape->ops.size(); ++tape->placed)
        tape->ops[tape->placed].layer = layers[i].path;
      return;
    }
    Layer& layer = layers[i];
    const Tensor& out = y[0];
    if (!pass || !grad_enabled() || !layer.leaf || !is_float(out.dtype())) return;
    OfLayer& of = pass->layers[i];
    if (layer.fires) count(layer, of.firing, out);
    if (!pass->sketches) return;
    of.y.add(out);
    if (!model_written) measure(layer, out);
    if (!out.requires_grad()) return;
    if (node_of(out) == last_node && last_input.defined()) add_pre(layer, of);
    if (node_of(out)->is_leaf) return;
    Tensor(out).hook([pass = pass, i](const Tensor& dy) {
      pass->layers[i].dy.add(dy);
      return Tensor();
    });
  }

  void count(Layer& layer, Firing& firing, const Tensor& y) {
    const size_t units = static_cast<size_t>(y.rank() > 0 ? y.dim(-1) : 1);
    for (const Firing* before : {&firing, &layer.epoch}) {
      if (before->seen == 0 || before->fired.size() == units) continue;
      layer.fires = false;  // its last axis does not stand for units
      layer.epoch = firing = {};
      return;
    }
    firing.add(y);
  }

  // After each step.
  void follow_units() {
    for (size_t i = 0; i < layers.size(); ++i) {
      Layer& layer = layers[i];
      const Tensor g =
          layer.tells.defined() && layer.tells.meta() ? kept_gradient(layer.tells) : Tensor();
      const auto is_silent_by_gradient = [&](int64_t unit) {
        return !is_moved(g, unit, layer.units);
      };
      if (!pass) {
        if (layer.is_told && g.defined())
          std::erase_if(layer.silent, std::not_fn(is_silent_by_gradient));
        continue;
      }
      const Firing& now = pass->layers[i].firing;
      if (now.seen == 0) {  // it did not run, or is not that of the model any more
        layer.is_told = false;
        continue;
      }
      if (layer.units == 0) {
        layer.units = std::ssize(now.fired);
        layer.begin_epoch(epoch_steps == 1);
      }
      // What is counted shows whether gradients tell the same: a penalty on the weights hides it.
      int64_t fired = 0, moved = 0;
      layer.is_told &= g.defined() && g.dim(-1) == layer.units;
      for (int64_t unit = 0; layer.is_told && unit < layer.units; ++unit) {
        const bool fires = now.fired[static_cast<size_t>(unit)] > 0;
        if (fires && moved > 0) continue;
        const bool moves = !is_silent_by_gradient(unit);
        fired += fires;
        moved += moves;
        if (moves && !fires) layer.is_told = false;
      }
      if (fired > 0 && moved == 0) layer.is_told = false;
      std::erase_if(layer.silent,
                    [&](int64_t unit) { return now.fired[static_cast<size_t>(unit)] > 0; });
      layer.epoch.add(now);
    }
  }

  // What goes into the activation: the input of a layer that is one; else it is computed again, for
  // some examples.
  void add_pre(const Layer& layer, OfLayer& of) {
    if (layer.activation.empty() || !is_float(last_input.dtype())) return;
    if (dynamic_cast<Activate*>(layer.module) || dynamic_cast<PReLU*>(layer.module) ||
        dynamic_cast<RReLU*>(layer.module)) {
      of.pre.add(last_input);
    } else if (auto* linear = dynamic_cast<LinearLayer*>(layer.module); linear) {
      const int64_t n = last_input.rank() > 1 ? last_input.dim(0) : 0;
      if (n == 0) return;
      const NoGrad no_grad;
      const WithoutActivation without(*linear);
      of.pre.add(linear->forward(last_input.rows(0, std::min(n, kPreRows))));
    }
  }

  void measure(Layer& layer, const Tensor& y) {
    layer.shape = y.shape();
    const auto* linear = dynamic_cast<LinearLayer*>(layer.module);
    if (!linear || y.rank() < 2 || y.numel() == 0) return;
    const double places = static_cast<double>(y.numel() / y.dim(0) / y.dim(-1));
    layer.flops = 2 * places * static_cast<double>(linear->weight.numel());
  }

  // ---- steps and epochs ----

  void start(int64_t after_step = 0) {
    if (writer) return;
    const bool continues = after_step > 0 && std::filesystem::file_size(path) > 0;
    writer = continues ? std::make_unique<GlassWriter>(path, after_step)
                       : std::make_unique<GlassWriter>(path);
    model_written = continues;
    if (continues) return;
    const BlasInfo blas = blas_info();
    std::string command = command_line();
    std::string title = options.title;
    if (title.empty()) {
      title = command.substr(0, command.find(' '));
      title = title.substr(title.rfind('/') + 1);
    }
    const auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return value ? fmt::format("\"{}\":{}", name, glass_text(value)) : "";
    };
    std::vector<std::string> variables;
    for (const char* name : {"RAMP_ISA", "RAMP_NUM_THREADS"})
      if (std::string v = variable(name); !v.empty()) variables.push_back(v);
    writer->write(fmt::format(
        R"({{"kind":"run","version":{},"ramp":{},"time":"{}","command":{},"variables":{{{}}},)"
        R"("title":{},"seed":{},"environment":{},"compiler":{},"isa":{},"blas":{},"threads":{},)"
        R"("cpu":{},"data":[{}],"every":{}}})",
        GlassFile::kVersion, glass_text(RAMP_VERSION), now(), glass_text(command),
        glass_join(variables, [](const std::string& v) { return v; }), glass_text(title),
        options.seed ? std::to_string(*options.seed) : "null", glass_text(environment()),
        glass_text(compiler()), glass_text(isa_level()), glass_text("OpenBLAS " + blas.core),
        num_threads(), glass_text(cpu_model()),
        glass_join(options.data,
                   [](const auto& d) {
                     return fmt::format(R"({{"name":{},"shape":{},"checksum":"{}"}})",
                                        glass_text(d.first), shape_json(d.second.shape()),
                                        checksum(d.second));
                   }),
        options.every));
  }

  void write_model() {
    if (std::exchange(model_written, true)) return;
    std::map<std::string, std::string> parameters_of;  // by layer
    std::string parameters;
    const auto layer_of = [&](const std::string& name) {
      std::string best;
      for (const Layer& l : layers)
        if (!l.path.empty() && name.starts_with(l.path + ".") && l.path.size() > best.size())
          best = l.path;
      return best;
    };
    for (const NamedTensor& p : net.named_parameters()) {
      const std::string layer = layer_of(p.name);
      parameters +=
          fmt::format(R"({}{{"name":{},"layer":{},"shape":{},"count":{},"trained":{}}})",
                      parameters.empty() ? "" : ",", glass_text(p.name), glass_text(layer),
                      shape_json(p.tensor.shape()), p.tensor.numel(), p.tensor.requires_grad());
      std::string& list = parameters_of[layer];
      list += (list.empty() ? "" : ",") + glass_text(p.name);
    }
    const std::string all = glass_join(layers, [&](const Layer& l) {
      const bool known = l.shape.rank() > 0;
      const int64_t n = known ? std::max<int64_t>(l.shape[0], 1) : 1;
      return fmt::format(
          R"({{"path":{},"parent":{},"text":{},"type":{},"activation":{},"leaf":{},"shape":{},)"
          R"("units":{},"parameters":[{}],"flops":{},"bytes":{},"dies":{}}})",
          glass_text(l.path), glass_text(l.parent), glass_text(l.text),
          glass_text(l.text.substr(0, l.text.find('('))), glass_text(l.activation), l.leaf,
          known ? shape_json(l.shape) : "null",
          known ? std::to_string(l.shape[l.shape.rank() - 1]) : "null", parameters_of[l.path],
          std::isnan(l.flops) ? "null" : fmt::format("{:.0f}", l.flops),
          known ? std::to_string(l.shape.numel() / n * 4) : "null",
          l.fires ? fmt::format("{}", l.dies) : "null");
    });
    writer->write(fmt::format(R"({{"kind":"model","summary":{},"layers":[{}],"parameters":[{}]}})",
                              glass_text(net.summary()), all, parameters));
  }

  void after_step(const Dataset& batch, double loss, double lr) {
    start();
    ++steps;
    ++epoch_steps;
    last_loss = loss;
    epoch_counted += pass != nullptr;
    follow_units();
    if (pass && pass->sketches) {
      write_model();
      write_step(loss, lr);
      write_boundary(batch);
    }
    doctor.after_step(batch, loss);
    if (!probe.x.defined()) probe = first_rows(batch, kProbe);
    if (steps == 1) write_probe();
    arm();
  }

  void write_step(double loss, double lr) {
    std::string of_layers, fire, of_parameters;
    for (size_t i = 0; i < layers.size(); ++i) {
      const OfLayer& of = pass->layers[i];
      if (of.y.n == 0) continue;
      std::string& s = of_layers;
      s += fmt::format("{}{}:{{\"y\":", s.empty() ? "" : ",", glass_text(layers[i].path));
      s += of.y.json();
      if (of.dy.n > 0) s += ",\"dy\":" + of.dy.json();
      if (of.pre.n > 0) s += ",\"pre\":" + of.pre.json();
      s += '}';
      if (of.firing.seen == 0) continue;
      std::vector<int64_t> thousandths;
      // Rounded, but for a unit that fired: that is never 0.
      for (const int64_t n : of.firing.fired) {
        const int64_t rounded = (2000 * n + of.firing.seen) / (2 * of.firing.seen);
        thousandths.push_back(n > 0 ? std::max<int64_t>(rounded, 1) : 0);
      }
      fire += fmt::format("{}{}:{}", fire.empty() ? "" : ",", glass_text(layers[i].path),
                          glass_list(thousandths));
    }
    const std::vector<NamedTensor> parameters = net.named_parameters();
    for (size_t i = 0; i < parameters.size() && i < pass->before.size(); ++i) {
      const auto& [name, w, decays] = parameters[i];
      Sketch of_w, of_g;
      of_w.add(w);
      const RowGradient* rows = w.meta() ? row_gradient(w) : nullptr;
      const Tensor g = w.meta() ? kept_gradient(w) : Tensor();
      if (g.defined()) of_g.add(g);
      if (rows) by_rows.insert(name);
      of_parameters +=
          fmt::format(R"({}{}:{{"w":{},"g":{},"ratio":{},"gnorm":{},"wnorm":{}{}}})",
                      of_parameters.empty() ? "" : ",", glass_text(name), of_w.json(),
                      or_null(of_g), or_null(pass->before[i].ratio(w, rows ? &rows->ids : nullptr)),
                      of_g.n > 0 ? glass_number(norm(of_g, g.numel())) : "null",
                      glass_number(norm(of_w, w.numel())),
                      rows ? fmt::format(",\"rows\":[{},{}]", rows->ids.numel(), w.dim(0)) : "");
    }
    std::string line =
        fmt::format(R"({{"kind":"step","step":{},"epoch":{},"loss":{},"lr":{},"seconds":{:.6g},)",
                    steps, epoch, glass_number(loss), or_null(lr), seconds());
    line +=
        phases_known
            ? fmt::format(
                  R"("phases":{{"data":{:.4g},"forward":{:.4g},"backward":{:.4g},"step":{:.4g}}},)",
                  phases.data - phases_before.data, phases.forward - phases_before.forward,
                  phases.backward - phases_before.backward, phases.step - phases_before.step)
            : "\"phases\":null,";
    line += "\"layers\":{" + of_layers + "},\"parameters\":{" + of_parameters + "},\"fire\":{" +
            fire + "}}";
    writer->write(line);
    phases_before = phases;
  }

  void epoch_end(const std::vector<std::pair<std::string, Estimate>>& values) {
    start();
    doctor.epoch_end();
    ++epoch;
    std::string all, errors, fired, seen, silent;
    for (const auto& [name, e] : values) {
      all +=
          fmt::format("{}{}:{}", all.empty() ? "" : ",", glass_text(name), glass_number(e.value));
      if (!std::isnan(e.error))
        errors += fmt::format("{}{}:{}", errors.empty() ? "" : ",", glass_text(name),
                              glass_number(e.error));
    }
    for (Layer& l : layers) {
      if (l.epoch.seen == 0) continue;
      fired += fmt::format("{}{}:{}", fired.empty() ? "" : ",", glass_text(l.path),
                           glass_list(l.epoch.fired));
      seen += fmt::format("{}{}:{}", seen.empty() ? "" : ",", glass_text(l.path), l.epoch.seen);
      if (l.is_told || epoch_counted == epoch_steps)
        silent += fmt::format("{}{}:{}", silent.empty() ? "" : ",", glass_text(l.path),
                              glass_list(l.silent));
    }
    writer->write(fmt::format(
        R"({{"kind":"epoch","epoch":{},"step":{},"values":{{{}}},"errors":{{{}}},"steps":{},)"
        R"("counted":{},"fired":{{{}}},"seen":{{{}}},"silent":{{{}}}}})",
        epoch, steps, all, errors, epoch_steps, epoch_counted, fired, seen, silent));
    for (Layer& l : layers) l.begin_epoch(true);
    epoch_steps = epoch_counted = 0;
    if (epoch >= next_probe_epoch) {
      next_probe_epoch = 2 * epoch;
      write_probe();
    }
    arm();
  }

  // ---- the probe ----

  void on_tape(const Node& node, const Tensor& y, const Inputs& inputs) {
    std::vector<int64_t> ids;
    for (size_t i = 0; i < inputs.size; ++i) {
      const Node* input = inputs[i].defined() ? node_of(inputs[i]) : nullptr;
      if (!input) continue;
      if (!tape->ids.contains(input)) add_op(inputs[i], *input, {});
      ids.push_back(tape->ids[input]);
    }
    add_op(y, node, ids);
  }
  void add_op(const Tensor& y, const Node& node, std::vector<int64_t> inputs) {
    const size_t id = tape->ops.size();
    tape->ids[&node] = static_cast<int64_t>(id);
    Op op{y, "", "", std::move(inputs), {}, {}};
    if (is_float(y.dtype())) op.values.add(y);
    tape->ops.push_back(std::move(op));
    if (node.is_leaf) return;  // its gradient stays
    Tensor(y).hook([weak = std::weak_ptr<Tape>(tape), id](const Tensor& dy) {
      if (const auto t = weak.lock()) t->ops[id].gradient.add(dy);
      return Tensor();
    });
  }

  // The loss of a batch whose x is that one.
  Tensor loss_of(const Dataset& batch) {
    if (options.loss.of_batch) return options.loss.of_batch(batch);
    return options.loss.of(dynamic_cast<Module&>(net)(batch.x), batch.y);
  }

  void write_probe() {
    if (!probe.x.defined() || probe.size() == 0) return;
    const Untouched untouched(net);
    const Recording recording(true);
    const std::function look = [this](ModuleBase& module, const std::vector<Tensor>& y) {
      saw(module, y);
    };
    const Alone alone(&look, &op_watch);
    tape = std::make_shared<Tape>();
    struct Off {
      State& s;
      ~Off() { s.tape = nullptr; }
    } const off{*this};
    Dataset batch = probe;
    if (is_float(batch.x.dtype())) batch.x = batch.x.detach().requires_grad_();
    const Tensor loss = loss_of(batch);
    ramp::backward(loss);
    std::unordered_map<const Node*, std::string> names{{node_of(batch.x), "x"}};
    for (const NamedTensor& p : net.named_parameters()) names[node_of(p.tensor)] = p.name;
    const std::string nodes = glass_join(tape->ops, [&](Op& op) {
      const Node& node = *node_of(op.y);
      int64_t of_gradient = op.y.numel();  // elements
      if (const Tensor g = node.is_leaf ? kept_gradient(op.y) : Tensor(); g.defined()) {
        op.gradient.add(g);
        of_gradient = g.numel();
      }
      const int64_t n = op.y.numel();
      const auto name = names.find(&node);
      return fmt::format(
          R"({{"id":{},"op":{},"activation":{},"layer":{},"shape":{},"inputs":{},"value":{},)"
          R"("y":{},"dy":{},"gnorm":{},"name":{},"leaf":{}}})",
          &op - tape->ops.data(), glass_text(node.op),
          node.activation ? glass_text(node.activation) : "null", glass_text(op.layer),
          shape_json(op.y.shape()), glass_list(op.inputs),
          n == 1 ? glass_number(op.y.item()) : "null", or_null(op.values), or_null(op.gradient),
          op.gradient.n > 0 ? glass_number(norm(op.gradient, of_gradient)) : "null",
          name == names.end() ? "null" : glass_text(name->second), node.is_leaf);
    });
    writer->write(fmt::format(R"({{"kind":"probe","step":{},"loss":{},"nodes":[{}]}})", steps,
                              glass_number(loss.item()), nodes));
  }

  // All steps of one example, of a model that is small enough to be followed by eye.
  void write_steps() {
    if (!probe.x.defined() || probe.size() == 0 || net.parameter_count() > kFollowed) return;
    const Untouched untouched(net);
    const Recording recording(true);
    const Alone alone;
    Dataset one = probe.rows(0, 1);
    if (is_float(one.x.dtype())) one.x = one.x.detach().requires_grad_();
    std::string line;
    try {
      TapeWatch seen;
      seen.name(net);
      seen.name("x", one.x);
      if (one.y.defined()) seen.name("t", one.y);
      const Tensor loss = seen.name("L", loss_of(one));
      line = step_through(loss, seen)
                 .lesson("own", {"This model, with one example", "Este modelo, com um exemplo"});
    } catch (const Error&) {  // one example is too few for it, or its input too large
      return;
    }
    writer->write(line);
  }

  // ---- the end ----

  // Of a copy in f64, in eval mode, with four examples of the probe; where there can be one.
  void write_gradcheck() {
    const auto* given = dynamic_cast<Sequential*>(&net);
    if (!given || options.loss.of_batch || !probe.x.defined() || !is_float(probe.x.dtype())) return;
    const Alone alone;
    const Recording recording(true);
    try {
      Sequential copy = *given;
      copy.to(f64).eval();
      std::vector<NamedTensor> trained = copy.named_parameters();
      std::erase_if(trained, [](const NamedTensor& p) { return !p.tensor.requires_grad(); });
      const int64_t most = 200 / std::max<int64_t>(1, std::ssize(trained));
      const Dataset few = first_rows(probe, 4);
      const Tensor x = few.x.to(f64), y = is_float(few.y.dtype()) ? few.y.to(f64) : few.y;
      const auto loss = [&] { return options.loss.of(copy(x), y); };
      write(gradcheck_line(
          gradcheck_table(loss, trained, {.most = std::clamp<int64_t>(most, 1, 6)})));
    } catch (const Error&) {  // a layer that has no copy, a loss for f32 alone
    }
  }

  void write(const std::string& line) {
    if (!line.empty()) writer->write(line);
  }
  void write_boundary(const Dataset& batch) {
    auto* module = dynamic_cast<Module*>(&net);
    if (!module || !BoundaryFilm::suits(batch)) return;
    if (!film) film.emplace(BoundaryFilm::suits(options.valid) ? options.valid : batch);
    write(film->frame(*module, steps));
  }
  std::optional<BoundaryFilm> film;

  void finish(const std::string& reason) {
    if (std::exchange(finished, true)) return;
    pass = nullptr;
    watch.off();
    start();
    write_probe();
    write_steps();
    const Dataset& examples = options.valid.x.defined() ? options.valid : probe;
    if (examples.x.defined())
      write(images_line(
          net, examples, [this](const Dataset& d) { return loss_of(d); }, steps));
    if (auto* module = dynamic_cast<Module*>(&net); module && options.valid.x.defined())
      write(mistakes_line(*module, options.valid, options.classes, steps));
    write_gradcheck();
    for (const Finding& f : doctor.findings()) {
      writer->write(fmt::format(
          R"({{"kind":"finding","code":{},"layer":{},"evidence":{},"remedy":{},"key":{},)"
          R"("values":{{{}}}}})",
          glass_text(f.code), glass_text(f.layer), glass_text(f.evidence), glass_text(f.remedy),
          glass_text(f.key), glass_join(f.values, [](const auto& v) {
            return glass_text(v.first) + ":" + glass_text(v.second);
          })));
    }
    writer->write(fmt::format(R"({{"kind":"end","step":{},"seconds":{:.6g},"reason":{}}})", steps,
                              seconds(), glass_text(reason)));
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - began).count(); }
};

Recorder::Recorder(ModuleBase& net, const std::string& path, RecorderOptions options)
    : state_(std::make_unique<State>(net, path, std::move(options))) {}
Recorder::~Recorder() {
  try {
    if (state_->steps > 0) finish(std::uncaught_exceptions() > 0 ? "stopped: an error" : "done");
  } catch (const std::exception&) {
  }
}

void Recorder::after_step(const Dataset& batch, double loss, double lr) {
  state_->after_step(batch, loss, lr);
}
void Recorder::epoch_end(const std::vector<std::pair<std::string, Estimate>>& values) {
  state_->epoch_end(values);
}
void Recorder::finish(const std::string& reason) { state_->finish(reason); }
const std::string& Recorder::path() const { return state_->path; }

Recorder::operator Callback() {
  return {.after_step =
              [this](TrainState& s) {
                State& state = *state_;
                if (!state.writer && s.step > 0) {
                  state.start(s.step);
                  state.steps = s.step;
                  state.epoch = s.epoch;
                }
                state.phases = s.seconds;
                state.phases_known = true;
                after_step(*s.data, s.loss, s.lr);
              },
          .after_epoch = [this](TrainState& s) { epoch_end(s.history.rows.back().values); }};
}

detail::FitRecord detail::record_fit(ModuleBase& net, const FitOptions& options, const Loss& loss) {
  const auto recorder = std::make_shared<Recorder>(
      net, options.record,
      RecorderOptions{.loss = loss, .valid = options.valid, .seed = options.seed});
  return {*recorder, [recorder](const std::string& stopped) {
            recorder->finish(stopped.empty() ? "done" : "stopped: " + stopped);
          }};
}

}  // namespace ramp
