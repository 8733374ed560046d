// GCC 12 warns of std::regex itself where a sanitizer is on (its bug 105562).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include "ramp/io/pytorch.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <regex>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "ramp/autograd/ops_shape.h"
#include "ramp/io/safetensors.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/embedding.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/residual.h"
#include "ramp/layers/resize.h"

namespace ramp {
namespace {

// ---- where features change their order ----

// What is known of a value on the tape: whether its features are in PyTorch's order.
struct Order {
  enum Kind {
    same,     // they are
    image,    // channels last here, first there
    turned,   // a flattened image: h, w, c here and c, h, w there
    unknown,  // the last axis is the same; flattened, it may not be
  } kind = same;
  int64_t c = 0;  // channels, of a turned one
  bool operator==(const Order&) const = default;
};

// How a module's features are ordered: those it takes, and those a Dense makes.
struct Turns {
  int64_t in = 0, out = 0;  // channels of the image they are; 0: as in PyTorch
};

template <typename... Types>
bool is_any(const ModuleBase& m) {
  return ((dynamic_cast<const Types*>(&m) != nullptr) || ...);
}

class FeatureOrder {
 public:
  FeatureOrder(const char* op, ModuleBase& net, const PyTorchOptions& options)
      : op_(op), options_(options) {
    if (options.input.rank() == 0 && !options.forward) {
      check_not_needed(net);
      return;
    }
    run(net);
    const std::vector<const Node*> tape = nodes();
    for (bool again = true; again;) {
      again = false;
      for (const Node* node : tape) again |= visit(*node);
    }
  }

  // Errors: the run does not show it.
  Turns of(ModuleBase& module, const std::string& path) const {
    if (const auto given = options_.flattened.find(path); given != options_.flattened.end()) {
      return {given->second, 0};
    }
    const bool dense = is_any<Dense>(module), norm = is_any<Norm>(module);
    const auto* prelu = dynamic_cast<const PReLU*>(&module);
    if (calls_.empty() || !(dense || norm || (prelu && prelu->slope.numel() > 1))) return {};
    const auto [first, last] = calls_.equal_range(&module);
    std::optional<Turns> turns;
    for (auto call = first; call != last; ++call) {
      const Node* node = node_of(call->second);
      if (!node || node->input_count == 0) continue;
      const Node* x = node->inputs()[0].get();
      const bool flat = node->shape.rank() == 2;
      const Order order = x ? order_.at(x) : Order{Order::unknown};
      if ((order.kind == Order::unknown && flat) || (order.kind == Order::turned && !flat) ||
          (order.kind == Order::turned && is_any<GroupNorm>(module))) {
        continue;
      }
      const auto out = dense ? out_.find(node) : out_.end();
      const Turns now{order.c, out == out_.end() ? 0 : out->second};
      if (turns && (turns->in != now.in || turns->out != now.out)) break;
      turns = now;
    }
    if (turns) return *turns;
    fail(
        "{}: the run of {} must show which image is flattened in front of \"{}\", {}; it does not: "
        "{}. Hint: .flattened = {{{{\"{}\", channels of that image, or 0}}}}.",
        op_, options_.forward ? ".forward" : ".input", path, module.describe(),
        first == last ? "it is not called" : "what it gets has been reordered on the way", path);
  }

 private:
  void check_not_needed(ModuleBase& net) const {
    bool dense = is_any<Dense>(net);
    const ModuleBase* reorders = nullptr;
    const auto look = [&](const ModuleBase& m) {
      dense |= is_any<Dense>(m);
      if (!is_any<Sequential, Residual, Dense, Conv2d, Conv1d, ConvTranspose2d, ConvTranspose1d,
                  Norm, Activate, PReLU, RReLU, CReLU, GLU, Softmax, LogSoftmax, Dropout, Dropout2d,
                  MaxPool2d, AvgPool2d, MaxPool1d, AvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool2d,
                  GlobalAvgPool, GlobalMaxPool, Upsample, Resize, Embedding, EmbeddingBag>(m)) {
        reorders = &m;
      }
      const auto* flatten = dynamic_cast<const Flatten*>(&m);
      if (flatten && flatten->options.channels_first) reorders = nullptr;
    };
    look(net);
    for (const Field& f : Fields(net))
      if (f.module) look(*f.module);
    if (!dense || !reorders) return;
    fail(
        "{}: a model with Dense layers and {} must be run once, for PyTorch flattens an image in "
        "another order. Hint: {{.input = {{1, 28, 28, 1}}}}, the shape of an input.",
        op_, reorders->describe());
  }

  void run(ModuleBase& net) {
    const std::function watch = [&](ModuleBase& module, const std::vector<Tensor>& y) {
      for (const Tensor& t : y) calls_.emplace(&module, t);
    };
    struct Watching {
      detail::Watch before;
      ~Watching() { detail::watch = before; }
    } const watching{std::exchange(detail::watch, &watch)};
    struct Thawed {  // a frozen parameter would not be seen on the tape
      std::vector<Tensor> frozen = {};
      ~Thawed() {
        for (Tensor& p : frozen) p.requires_grad_(false);
      }
    } thawed;
    for (const NamedTensor& p : net.named_parameters())
      if (!p.tensor.requires_grad()) thawed.frozen.push_back(p.tensor);
    for (Tensor& p : thawed.frozen) p.requires_grad_();
    const EvalMode eval;
    const Recording on(true);
    if (options_.forward) return options_.forward();
    auto* module = dynamic_cast<Module*>(&net);
    fail_if(!module,
            "{}: .input is for a model of one tensor. Hint: .forward = [&] {{ net(..); }}.", op_);
    const Fields all(net);
    const auto trained = std::ranges::find(all, true, &Field::trained);
    Tensor x = Tensor::zeros(options_.input, trained == all.end() ? f32 : trained->tensor->dtype());
    (*module)(x.requires_grad_());
  }

  // All that were made, each after its inputs.
  std::vector<const Node*> nodes() {
    std::vector<const Node*> list;
    std::unordered_set<const Node*> seen;
    const auto push = [&](const Node* node) {
      if (node && seen.insert(node).second) list.push_back(node);
    };
    for (const auto& [module, y] : calls_) {
      push(node_of(y));
      const auto* flatten = dynamic_cast<const Flatten*>(module);
      if (flatten && flatten->options.channels_first) as_pytorch_.insert(node_of(y));
    }
    for (size_t i = 0; i < list.size(); ++i) {
      const Node* node = list[i];
      for (uint32_t k = 0; k < node->input_count; ++k) push(node->inputs()[k].get());
    }
    std::ranges::sort(list, {}, &Node::id);
    for (size_t i = list.size(); i-- > 0;) {
      const Node& node = *list[i];
      const bool norm = std::string_view(node.op) == "batch_norm" && node.shape.rank() > 2;
      for (uint32_t k = 0; k < node.input_count; ++k) {
        const Node* x = node.inputs()[k].get();
        const bool hands_on = of_images_.contains(&node) && x && x->shape == node.shape;
        if (hands_on || (k == 0 && (norm || is_of_images(node)))) of_images_.insert(x);
      }
    }
    return list;
  }

  static bool is_of_images(const Node& node) {
    const std::string_view op = node.op;
    return op.find("conv") != op.npos || op.find("pool") != op.npos || op.find("2d") != op.npos;
  }

  // Sets a node's order by its inputs'. True: the output of a Dense before it must be turned, so
  // that all is to be looked at again.
  bool visit(const Node& node) {
    Order& y = order_[&node] = {};
    if (node.is_leaf) {
      if (!node.parameter && node.shape.rank() > 2) {
        y.kind =
            node.shape.rank() == 4 || of_images_.contains(&node) ? Order::image : Order::unknown;
      }
      return false;
    }
    const Node* x = node.inputs()[0].get();
    const Order from = x ? order_.at(x) : Order{};
    const int rank = node.shape.rank();
    const std::string_view op = node.op;
    if (is_of_images(node)) {
      y.kind = rank > 2 ? Order::image : Order::same;
    } else if (op == "reshape") {
      return reshape(node, from, y);
    } else if (op == "permute") {
      if (from.kind != Order::same) y.kind = Order::unknown;
    } else if (op == "linear" && x && !x->parameter) {
      if (from.kind == Order::image || (from.kind == Order::unknown && rank > 2)) y = from;
      if (const auto out = out_.find(&node); out != out_.end()) y = {Order::turned, out->second};
    } else if (op == "batch_norm" || op == "layer_norm" || op == "prelu") {
      y = from;
    } else {
      y = of_inputs(node);
    }
    return false;
  }

  // Any other op.
  Order of_inputs(const Node& node) const {
    Order y;
    const Node* of = nullptr;  // an input that is not in PyTorch's order
    for (uint32_t k = 0; k < node.input_count; ++k) {
      const Node* x = node.inputs()[k].get();
      if (!x || x->parameter || order_.at(x).kind == Order::same) continue;
      const Order order = order_.at(x);
      y = !of || y == order ? order : Order{Order::unknown};
      of = x;
    }
    if (!of) return {};
    const int rank = node.shape.rank();
    if (y.kind != Order::turned) {
      if (rank <= 2 && of->shape.rank() > 2) return {};  // one axis is left of all
      return rank == of->shape.rank() ? y : Order{Order::unknown};
    }
    // Ops along the features, and values for each that are not turned, make it a mixture.
    constexpr std::string_view kMixing[] = {"matmul", "cumsum", "cumprod", "flip", "roll", "sort"};
    if (std::ranges::count(kMixing, node.op)) return {Order::unknown};
    for (uint32_t k = 0; k < node.input_count; ++k) {
      const Node* x = node.inputs()[k].get();
      if (x && order_.at(x).kind == Order::same && x->shape.last() > 1) return {Order::unknown};
    }
    return node.shape == of->shape ? y : Order{Order::unknown};
  }

  bool reshape(const Node& node, const Order& from, Order& y) {
    if (as_pytorch_.contains(&node)) return false;
    const Node* x = node.inputs()[0].get();
    if (!x) return false;
    const Shape &a = x->shape, &b = node.shape;
    const bool rows = a.rank() > 0 && b.rank() > 0 && a[0] == b[0];
    if (a == b) {
      y = from;
    } else if (from.kind == Order::image) {
      const bool flattens = rows && b.rank() == 2;
      if (!flattens) y.kind = Order::unknown;
      if (flattens && a.last() != 1 && a.last() != b.last()) y = {Order::turned, a.last()};
    } else if (from.kind == Order::unknown) {
      if (b.rank() > 2 || b.last() != a.last()) y.kind = Order::unknown;
    } else if (a.rank() == 2 && rows && (b.rank() == 4 || of_images_.contains(&node))) {
      y.kind = Order::image;
      const int64_t c = b.last();
      if (from.kind == Order::turned && from.c != c) y.kind = Order::unknown;
      if (from.kind == Order::same && c != 1 && c != a.last()) return turn_before(*x, c);
    } else if (from.kind == Order::turned) {
      y.kind = Order::unknown;
    }
    return false;
  }

  // The Dense layers that make x must make an image of c channels.
  bool turn_before(const Node& x, int64_t c) {
    std::vector<const Node*> stack{&x};
    bool found = false;
    while (!stack.empty()) {
      const Node& node = *stack.back();
      stack.pop_back();
      if (std::string_view(node.op) == "linear") {
        found |= out_.emplace(&node, c).second;
      } else if (!node.is_leaf) {
        for (uint32_t k = 0; k < node.input_count; ++k) {
          const Node* input = node.inputs()[k].get();
          if (input && !input->parameter && input->shape == node.shape) stack.push_back(input);
        }
      }
    }
    return found;
  }

  const char* op_;
  const PyTorchOptions& options_;
  std::multimap<const ModuleBase*, Tensor> calls_;  // which keep the tape
  std::unordered_set<const Node*> as_pytorch_, of_images_;
  std::unordered_map<const Node*, Order> order_;
  std::unordered_map<const Node*, int64_t> out_;
};

// ---- a model's tensors as PyTorch has them ----

struct Item {
  std::string path;         // "0.slope"
  std::string layer, leaf;  // "0", "weight": PyTorch's name of it
  Tensor tensor;
  std::vector<int> axes = {};  // PyTorch's k-th axis is this one; none: they are the same
  int64_t turn[2] = {};        // channels of the image that axis 0 / 1 is; 0: it is none

  std::string name() const { return layer.empty() ? leaf : layer + "." + leaf; }
  Shape shape() const {
    Shape s = tensor.shape();
    for (size_t k = 0; k < axes.size(); ++k) s[static_cast<int>(k)] = tensor.dim(axes[k]);
    return s;
  }
};

// Between the orders h, w, c and c, h, w along an axis.
Tensor turn(const Tensor& t, int axis, int64_t c, bool to_pytorch) {
  if (c == 0) return t;
  const Shape& s = t.shape();
  const int64_t pixels = s[axis] / c;
  const Shape split =
      s.without(axis).with(axis, to_pytorch ? c : pixels).with(axis, to_pytorch ? pixels : c);
  return transpose(t.view(split), axis, axis + 1).view(s);
}

Tensor to_pytorch(const Item& item) {
  Tensor t = turn(item.tensor.detach(), 0, item.turn[0], true);
  t = turn(t, 1, item.turn[1], true);
  return item.axes.empty() ? t : permute(t, item.axes);
}

Tensor from_pytorch(const Item& item, Tensor t) {
  if (!item.axes.empty()) {
    std::vector<int> back(item.axes.size());
    for (size_t k = 0; k < back.size(); ++k)
      back[static_cast<size_t>(item.axes[k])] = static_cast<int>(k);
    t = permute(t, back);
  }
  return turn(turn(t, 0, item.turn[0], false), 1, item.turn[1], false);
}

std::vector<Item> items_of(const char* op, ModuleBase& net, const PyTorchOptions& options,
                           bool tied_too) {
  const FeatureOrder order(op, net, options);
  std::vector<Item> items;
  std::map<std::string, ModuleBase*> modules{{"", &net}};
  std::unordered_set<const void*> seen;
  for (const Field& f : Fields(net)) {
    if (f.module) modules[f.path] = f.module;
    if (!f.tensor) continue;
    if (!seen.insert(detail::identity(*f.tensor)).second && !tied_too && f.tensor->numel() > 0)
      continue;
    const size_t dot = f.path.rfind('.');
    const bool nested = dot != std::string::npos;
    Item item{f.path, nested ? f.path.substr(0, dot) : "", f.path.substr(nested ? dot + 1 : 0),
              *f.tensor};
    if (const auto found = modules.find(item.layer); found != modules.end()) {
      ModuleBase& m = *found->second;
      const bool weight = item.leaf == "weight", dense = is_any<Dense>(m);
      if (is_any<PReLU>(m)) item.leaf = "weight";
      if (weight && dense) item.axes = {1, 0};
      if (weight && is_any<Conv2d, ConvTranspose2d>(m)) item.axes = {3, 2, 0, 1};
      if (weight && is_any<Conv1d, ConvTranspose1d>(m)) item.axes = {2, 1, 0};
      const Turns turns = order.of(m, item.layer);
      if (weight && dense) item.turn[0] = turns.in, item.turn[1] = turns.out;
      if (!weight && dense) item.turn[0] = turns.out;
      if (is_any<Norm, PReLU>(m)) item.turn[0] = turns.in;
      for (const int k : {0, 1}) {
        fail_if(item.turn[k] < 0 || (item.turn[k] > 0 && item.tensor.dim(k) % item.turn[k] != 0),
                "{}: \"{}\" {} is for no image of {} channels. Hint: .flattened.", op, item.path,
                item.tensor.shape(), item.turn[k]);
      }
    }
    items.push_back(std::move(item));
  }
  return items;
}

// ---- which tensor of the file is which of the model ----

// A shape of the file, which may be one that ramp cannot hold.
struct FileShape {
  std::vector<int64_t> dims;
  std::string str() const { return fmt::format("{}", dims); }
  bool operator==(const Shape& s) const { return std::ranges::equal(dims, s); }
};
struct Given {
  std::string name;   // by the rules
  std::string there;  // in the file
  FileShape shape;
};

std::string renamed(const char* op, const PyTorchOptions& options, const std::string& name) {
  for (const auto& [pattern, text] : options.names) {
    try {
      const std::regex rule(pattern);
      if (!std::regex_search(name, rule)) continue;
      return text.empty()
                 ? ""
                 : std::regex_replace(name, rule, text, std::regex_constants::format_first_only);
    } catch (const std::regex_error& error) {
      fail("{}: .names: \"{}\" is no regular expression: {}.", op, pattern, error.what());
    }
  }
  return name;
}

// The numbers in a name apart from the rest: "layer1.0.conv2" -> "layer#.#.conv#", {1, 0, 2}.
struct Numbered {
  std::string rest;
  std::vector<uint64_t> numbers = {};

  explicit Numbered(const std::string& name) {
    for (size_t i = 0; i < name.size();) {
      uint64_t n = 0;
      const size_t begin = i;
      for (; i < name.size() && name[i] >= '0' && name[i] <= '9'; ++i)
        n = 10 * n + static_cast<uint64_t>(name[i] - '0');
      if (i > begin) numbers.push_back(n);
      rest += i > begin ? '#' : name[i++];
    }
  }
  auto operator<=>(const Numbered&) const = default;
};

// A layer, by its tensors' names and shapes.
using Shapes = std::map<std::string, std::string>;
struct Layer {
  std::string name;
  Shapes shapes = {};
  std::map<std::string, size_t> at = {};  // indices by leaf
};

template <typename List, typename NameOf>
std::vector<Layer> layers_of(const List& list, NameOf name_of) {
  std::vector<Layer> layers;
  std::unordered_map<std::string, size_t> index;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string name = name_of(list[i]);
    const size_t dot = name.rfind('.');
    const std::string layer = dot == name.npos ? "" : name.substr(0, dot);
    const auto [found, added] = index.emplace(layer, layers.size());
    if (added) layers.push_back({layer});
    Layer& l = layers[found->second];
    const std::string leaf = dot == name.npos ? name : name.substr(dot + 1);
    l.shapes[leaf] = list[i].shape().str();
    l.at[leaf] = i;
  }
  return layers;
}

struct Match {
  std::vector<std::optional<size_t>> of;  // for each item
  std::vector<std::string> left = {};     // what does not fit
};

std::string in_model(const Item& item) {
  const Shape &here = item.tensor.shape(), there = item.shape();
  return fmt::format("\"{}\" {}{}", item.path, here,
                     here == there ? "" : fmt::format(" (PyTorch's {})", there));
}

Match by_name(const std::vector<Item>& items, const std::vector<Given>& given) {
  Match match{std::vector<std::optional<size_t>>(items.size())};
  std::unordered_map<std::string, size_t> index;
  for (size_t k = 0; k < given.size(); ++k) index.emplace(given[k].name, k);
  for (size_t i = 0; i < items.size(); ++i) {
    const auto found = index.find(items[i].name());
    if (found == index.end()) {
      match.left.push_back(in_model(items[i]) + " is missing");
      continue;
    }
    const Given& g = given[found->second];
    if (g.shape == items[i].shape()) {
      match.of[i] = found->second;
    } else {
      match.left.push_back(
          fmt::format("{} is not of \"{}\" {}", in_model(items[i]), g.there, g.shape.str()));
    }
    index.erase(found);
  }
  for (size_t k = 0; k < given.size(); ++k)
    if (const auto f = index.find(given[k].name); f != index.end() && f->second == k)
      match.left.push_back(
          fmt::format("\"{}\" {} is not in the model", given[k].there, given[k].shape.str()));
  return match;
}

// Layer by layer, in the order of their names where shapes are the same.
Match by_shape(const char* op, const std::vector<Item>& items, const std::vector<Given>& given) {
  struct View {
    const Given& g;
    const FileShape& shape() const { return g.shape; }
  };
  std::vector<View> views;
  for (const Given& g : given) views.push_back({g});
  const std::vector<Layer> own = layers_of(items, [](const Item& i) { return i.name(); });
  const std::vector<Layer> file = layers_of(views, [](const View& v) { return v.g.name; });

  struct Class {
    std::vector<const Layer*> own = {}, file = {};
  };
  std::map<Shapes, Class> classes;
  for (const Layer& l : own) classes[l.shapes].own.push_back(&l);
  for (const Layer& l : file) classes[l.shapes].file.push_back(&l);

  Match match{std::vector<std::optional<size_t>>(items.size())};
  std::vector<std::string> here, there;
  for (auto& [shapes, c] : classes) {
    if (c.own.size() != c.file.size()) {
      for (const Layer* l : c.own)
        for (const auto& [leaf, i] : l->at) here.push_back(in_model(items[i]));
      for (const Layer* l : c.file)
        for (const auto& [leaf, i] : l->at)
          there.push_back(fmt::format("\"{}\" {}", given[i].there, given[i].shape.str()));
      continue;
    }
    const auto by_number = [](const Layer* l) { return Numbered(l->name); };
    std::ranges::sort(c.file, {}, by_number);
    // Names that differ in more than numbers are in no order, unless the model's are the same.
    if (by_number(c.file.front()).rest != by_number(c.file.back()).rest) {
      std::ranges::stable_sort(c.own, {}, [&](const Layer* l) { return by_number(l).rest; });
      const auto same = [&](const Layer* a, const Layer* b) {
        return by_number(a).rest == by_number(b).rest;
      };
      if (!std::ranges::equal(c.own, c.file, same)) {
        std::vector<std::string> names;
        for (const Layer* l : c.file) names.push_back(fmt::format("\"{}\"", l->name));
        fail(
            "{}: the layers {} have the same shapes, so their names must say which is which; the "
            "model has \"{}\" and others. Hint: .names = {{{{\"^{}\", \"{}\"}}, ..}}.",
            op, fmt::join(names, ", "), c.own[0]->name, c.file[0]->name, c.own[0]->name);
      }
    }
    for (size_t k = 0; k < c.own.size(); ++k)
      for (const auto& [leaf, i] : c.own[k]->at) match.of[i] = c.file[k]->at.at(leaf);
  }
  const auto all = [](const std::vector<std::string>& list) {
    return list.empty() ? "nothing" : fmt::format("{}", fmt::join(list, ", "));
  };
  if (!here.empty() || !there.empty()) {
    match.left.push_back(
        fmt::format("the model has {}; the file has {} instead", all(here), all(there)));
  }
  return match;
}

Match match(const char* op, const PyTorchOptions& options, bool rules,
            const std::vector<Item>& items, const TensorFileInfo& file, std::vector<Given>& given) {
  std::set<std::string> names, own;
  for (const auto& [there, dtype, dims, bytes] : file.tensors) {
    fail_if(there.size() > 1000, "{}: expected names of layers; got one of {} characters.", op,
            there.size());  // std::regex would take the stack for it
    const std::string name = rules ? renamed(op, options, there) : there;
    if (name.empty() || name.ends_with("num_batches_tracked")) continue;
    fail_if(!names.insert(name).second, "{}: by .names two tensors are \"{}\"; one is \"{}\".", op,
            name, there);
    given.push_back({name, there, {dims}});
  }
  for (const Item& item : items) own.insert(item.name());
  const bool maps = rules && std::ranges::any_of(options.names, [](const auto& rule) {
                      return !rule.second.empty();
                    });
  return maps || names == own ? by_name(items, given) : by_shape(op, items, given);
}

TensorFileInfo inspect(const char* op, const std::string& path) {
  TensorFileInfo file = inspect_safetensors(path);
  const auto format = file.metadata.find("format");
  fail_if(format != file.metadata.end() && format->second == "ramp",
          "{}: {} is in ramp's own layout. Hint: load_model().", op, path);
  return file;
}

}  // namespace

std::vector<std::string> load_pytorch(ModuleBase& net, const std::string& path,
                                      const PyTorchOptions& options) {
  const char* op = "load_pytorch";
  const std::vector<Item> items = items_of(op, net, options, false);
  std::vector<Given> given;
  Match found = match(op, options, true, items, inspect(op, path), given);
  std::set<std::string> wanted;
  for (const auto& at : found.of)
    if (at) wanted.insert(given[*at].there);
  const auto only = [&](const std::string& name) { return wanted.contains(name); };
  const TensorFile file = load_safetensors(path, {.any_format = true, .only = only});
  const NoGrad no_grad;
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!found.of[i]) continue;
    const Given& g = given[*found.of[i]];
    const Tensor& value = file[g.there];
    if (is_float(value.dtype()) != is_float(items[i].tensor.dtype())) {
      found.left.push_back(fmt::format("{} is {} and \"{}\" {}", in_model(items[i]),
                                       items[i].tensor.dtype(), g.there, value.dtype()));
      continue;
    }
    copies.emplace_back(items[i].tensor, from_pytorch(items[i], value).to(items[i].tensor.dtype()));
  }
  fail_if(options.strict && !found.left.empty(),
          "{}: {} must fit the model; {}. Hint: is it the same architecture? .names leaves "
          "tensors out: {{{{\"^head\", \"\"}}}}; .strict = false all that do not fit.",
          op, path, fmt::join(found.left, "; "));
  for (auto& [own, value] : copies) own.copy_(value);
  return found.left;
}

void save_pytorch(ModuleBase& net, const std::string& path, const PyTorchOptions& options) {
  const char* op = "save_pytorch";
  for (const char* end : {".pt", ".pth", ".bin"})
    fail_if(path.ends_with(end),
            "{}: {} would be a safetensors file, which torch.load() does not read. Hint: name it "
            "{}.safetensors; net.load_state_dict(safetensors.torch.load_file(path)) in Python.",
            op, path, path.substr(0, path.rfind('.')));
  const std::vector<Item> items = items_of(op, net, options, true);
  std::vector<std::string> names;
  std::set<std::string> counters;  // "0.num_batches_tracked"
  const auto counter = [](const std::string& name) {
    return name.substr(0, name.rfind('.') + 1) + "num_batches_tracked";
  };
  if (!options.like.empty()) {
    const TensorFileInfo file = inspect(op, options.like);
    std::vector<Given> given;
    const Match found = match(op, options, false, items, file, given);
    fail_if(!found.left.empty(), "{}: {} must fit the model; {}.", op, options.like,
            fmt::join(found.left, "; "));
    for (const auto& at : found.of) names.push_back(given[*at].there);
    for (const TensorInfo& t : file.tensors)
      if (t.name.ends_with("num_batches_tracked")) counters.insert(t.name);
  } else {
    for (const Item& item : items) {
      names.push_back(renamed(op, options, item.name()));
      if (item.leaf == "running_mean" && !names.back().empty())
        counters.insert(counter(names.back()));
    }
  }
  const NoGrad no_grad;
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < items.size(); ++i)
    if (!names[i].empty()) tensors.push_back({names[i], to_pytorch(items[i])});
  for (const std::string& name : counters) tensors.push_back({name, Tensor::zeros({}, i64)});
  save_safetensors(path, tensors, {{"format", "pt"}});
}

}  // namespace ramp
