#include "ramp/glass/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"

namespace ramp {

TapeWatch::~TapeWatch() {
  if (detail::op_watch == &saw_) detail::op_watch = before_;
}

void TapeWatch::saw(const Node& node, const Tensor& y, const Inputs& inputs) {
  if (before_) (*before_)(node, y, inputs);
  Op& op = ops_[&node];
  op = {y, {}};
  for (size_t i = 0; i < inputs.size; ++i) op.inputs.push_back(inputs[i]);
}

const Tensor& TapeWatch::name(std::string name, const Tensor& t) {
  check_defined("TapeWatch::name", name, t);
  names_.emplace_back(std::move(name), t);
  return t;
}
void TapeWatch::name(ModuleBase& net) {
  for (const NamedTensor& p : net.named_parameters()) name(p.name, p.tensor);
}
std::string TapeWatch::name_of(const Node* node, const Tensor& value) const {
  for (const auto& [name, t] : names_) {
    if (node ? node_of(t) == node : value.defined() && !t.meta() && t.same_memory(value))
      return name;
  }
  return "";
}
const TapeWatch::Op* TapeWatch::find(const Node* node) const {
  const auto at = ops_.find(node);
  return at == ops_.end() ? nullptr : &at->second;
}

std::vector<TapeNode> detail::tape_nodes(const Tensor& y, const TapeWatch* watch,
                                         const std::function<void(size_t, Addition)>& added) {
  std::vector<TapeNode> nodes;
  if (!y.requires_grad()) return nodes;
  const NoGrad no_grad;
  std::set<std::pair<uint64_t, Node*>> order{{node_of(y)->id, node_of(y)}};
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    Node* node = at->second;
    for (uint32_t i = 0; i < node->input_count; ++i)
      if (Node* input = node->inputs()[i].get()) order.insert({input->id, input});
  }
  std::unordered_map<const Node*, size_t> place;
  const auto add = [&](Node* node, const Tensor& value, std::vector<size_t> inputs) {
    place[node] = nodes.size();
    nodes.push_back({node, node->op, node->activation ? node->activation : "",
                     watch ? watch->name_of(node, value) : "", node->shape, std::move(inputs),
                     node->is_leaf, false, value.defined() ? value.detach() : Tensor{}, Tensor{}});
  };
  for (const auto& [id, node] : order) {
    if (node->is_leaf) continue;
    const TapeWatch::Op* op = watch ? watch->find(node) : nullptr;
    std::vector<size_t> inputs;
    for (uint32_t i = 0; i < node->input_count; ++i) {
      Node* input = node->inputs()[i].get();
      const Tensor value = op ? op->inputs[i] : Tensor{};
      if (input) {
        if (!place.contains(input)) add(input, value, {});
        inputs.push_back(place[input]);
        continue;
      }
      if (!value.defined()) continue;  // a constant, or no input
      const auto same = std::ranges::find_if(nodes, [&](const TapeNode& n) {
        return n.constant && n.value.same_memory(value) && n.shape == value.shape();
      });
      inputs.push_back(static_cast<size_t>(same - nodes.begin()));
      if (same != nodes.end()) continue;
      nodes.push_back({nullptr,
                       "constant",
                       "",
                       watch->name_of(nullptr, value),
                       value.shape(),
                       {},
                       true,
                       true,
                       value.detach(),
                       Tensor{}});
    }
    add(node, op ? op->y : Tensor{}, std::move(inputs));
  }
  if (node_of(y)->is_leaf) add(node_of(y), y, {});
  nodes.back().value = y.detach();
  if (std::ranges::any_of(nodes, [](auto& n) { return n.node && n.node->released; })) return nodes;

  nodes.back().gradient = Tensor::ones(y.shape(), y.dtype());
  for (size_t at = nodes.size(); at-- > 0;) {
    Node* node = nodes[at].node;
    if (!node || node->is_leaf || !nodes[at].gradient.defined()) continue;
    const Wants want{node->inputs()};
    std::vector<Tensor> dx(node->input_count), slope(node->input_count);
    node->vjp(nodes[at].gradient, want, dx);
    if (added && node->input_count > 0)
      node->vjp(Tensor::ones(node->shape, node->dtype), want, slope);
    for (uint32_t i = 0; i < node->input_count; ++i) {
      const Node* input = node->inputs()[i].get();
      if (!input || !dx[i].defined() || !want[static_cast<int>(i)]) continue;
      if (dx[i].dtype() == input->dtype) dx[i] = sum_to(dx[i], input->shape);
      TapeNode& to = nodes[place[input]];
      const Tensor before = to.gradient;
      to.gradient = before.defined() ? before + dx[i] : dx[i].clone();
      if (added) added(at, {place[input], i, slope[i], dx[i], before, to.gradient});
    }
  }
  return nodes;
}

namespace {

using Strings = std::vector<std::string>;
constexpr size_t kLines = 64, kTerms = 9;

std::string text(double x) {
  std::string t = fmt::format("{:.4g}", x == 0 ? 0. : x);
  return t.starts_with('-') ? "−" + t.substr(1) : t;
}
// As a factor.
std::string factor(double x) { return x < 0 ? "(" + text(x) + ")" : text(x); }

// "y = a = b", without what says the same again.
std::string equation(const std::string& y, const char* sign, const Strings& sides) {
  std::string line = y;
  const std::string* last = &y;
  for (const std::string& side : sides) {
    if (side != *last) line += (last == &y ? fmt::format(" {} ", sign) : " = ") + side;
    last = &side;
  }
  return line;
}

// The sum of products, in letters and in numbers, and what it is.
struct Sum {
  Strings letters, numbers;
  double value = 0;
  void add(const std::string& letter, const std::string& number, double v) {
    letters.push_back(letter);
    numbers.push_back(number);
    value += v;
  }
  static std::string join(const Strings& terms) {
    std::string line;
    for (size_t i = 0; i < terms.size() && i <= kTerms; ++i)
      line += (i == 0 ? "" : " + ") + (i == kTerms ? "…" : terms[i]);
    return line;
  }
};
bool near(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || a == b ||
         std::fabs(a - b) <= 1e-3 * (1e-3 + std::fabs(b));
}

// A function of one number where x <= 0 and where x > 0; "{a}" is its option.
struct Unary {
  const char *below, *above, *slope_below, *slope_above;
  const char* option = "a";
};
const std::map<std::string, Unary>& unaries() {
  static const std::map<std::string, Unary> all = {
      {"relu", {"max(0, {x})", "max(0, {x})", "1[{x} > 0]", "1[{x} > 0]"}},
      {"leaky_relu", {"{a} · {x}", "{x}", "{a}", "1"}},
      {"elu", {"{a} · (e^{x} − 1)", "{x}", "({y} + {a})", "1", "α"}},
      {"sigmoid", {"1 / (1 + e^−{x})", "1 / (1 + e^−{x})", "{y} · (1 − {y})", "{y} · (1 − {y})"}},
      {"tanh", {"tanh {x}", "tanh {x}", "(1 − {y}²)", "(1 − {y}²)"}},
      {"exp", {"e^{x}", "e^{x}", "{y}", "{y}"}},
      {"log", {"ln {x}", "ln {x}", "1 / {x}", "1 / {x}"}},
      {"sqrt", {"√{x}", "√{x}", "1 / (2 · {y})", "1 / (2 · {y})"}},
      {"neg", {"−{x}", "−{x}", "(−1)", "(−1)"}},
      {"pow", {"{x}^{a}", "{x}^{a}", "{a} · {x}^({a} − 1)", "{a} · {x}^({a} − 1)", "p"}},
  };
  return all;
}
std::string fill(const char* form, const std::string& x, const std::string& y,
                 const std::string& a) {
  return fmt::format(fmt::runtime(form), fmt::arg("x", x), fmt::arg("y", y), fmt::arg("a", a));
}

// Tells the steps: which element of what is made of which.
class Teller {
 public:
  Teller(const std::vector<TapeNode>& nodes, const std::map<size_t, Addition>& first)
      : nodes_(nodes), first_(first) {}

  std::string name(size_t n) const {
    const TapeNode& node = nodes_[n];
    if (!node.name.empty()) return node.name;
    if (n + 1 == nodes_.size()) return "L";
    if (node.constant && node.value.numel() == 1) return factor(value(n, 0));
    size_t count = 0;  // of its kind so far
    for (size_t i = 0; i <= n; ++i)
      count += nodes_[i].leaf == node.leaf && nodes_[i].constant == node.constant;
    return fmt::format("{}{}", node.constant ? "c" : node.leaf ? "x" : "h", count);
  }
  // "w[1,2]": counted from 1; an axis of one is not counted.
  std::string letter(size_t n, int64_t i) const {
    const Shape& shape = nodes_[n].shape;
    std::string index;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      if (shape[axis] > 1)
        index = fmt::format("{}{}{}", i % shape[axis] + 1, index.empty() ? "" : ",", index);
      i /= shape[axis];
    }
    return index.empty() ? name(n) : fmt::format("{}[{}]", name(n), index);
  }
  std::string d(size_t n, int64_t i) const {
    return fmt::format("∂{}/∂{}", name(nodes_.size() - 1), letter(n, i));
  }
  double value(size_t n, int64_t i) const { return at(nodes_[n].value, i); }
  double dy(size_t n, int64_t i) const { return at(nodes_[n].gradient, i); }
  static double at(const Tensor& t, int64_t i) {
    return visit_dtype(t.dtype(),
                       [&]<typename T>(T) { return static_cast<double>(t.data<T>()[i]); });
  }

  Strings forward(size_t n) const {
    Strings lines;
    for (int64_t i = 0; i < nodes_[n].value.numel() && lines.size() < kLines; ++i) {
      Strings sides = made(n, i);
      sides.push_back(text(value(n, i)));
      lines.push_back(equation(letter(n, i), "=", sides));
    }
    Strings before = probabilities(n);
    lines.insert(lines.begin(), before.begin(), before.end());
    return lines;
  }

  Strings backward(size_t n, const Addition& a, bool several) const {
    Strings lines;
    for (int64_t j = 0; j < a.product.numel() && lines.size() < kLines; ++j) {
      Strings sides = passed(n, a, j);
      sides.push_back(text(at(a.product, j)));
      std::string line = equation(d(a.to, j), several ? "+=" : "=", sides);
      if (a.before.defined())
        line += fmt::format(";   {} + {} = {}", text(at(a.before, j)), factor(at(a.product, j)),
                            text(at(a.after, j)));
      lines.push_back(line);
    }
    return lines;
  }

 private:
  const std::vector<TapeNode>& nodes_;
  const std::map<size_t, Addition>& first_;  // what each op gives its first input

  // The element of an input that element i of a result is made of, where shapes are broadcast.
  static int64_t source(const Shape& to, const Shape& from, int64_t i) {
    int64_t j = 0, stride = 1;
    for (int axis = to.rank() - 1, a = from.rank() - 1; a >= 0 && axis >= 0; --axis, --a) {
      j += i % to[axis] % from[a] * stride;
      stride *= from[a];
      i /= to[axis];
    }
    return j;
  }

  // What a function of one number has as an option: seen from its value and its derivative.
  double option(size_t n, double x, double y) const {
    const double slope = slope_at(n, x, y);
    const std::string& op = nodes_[n].op;
    return op == "elu" ? slope - y : op == "pow" ? slope * x / y : slope;
  }
  double slope_at(size_t n, double x, double y) const {
    const auto found = first_.find(n);
    if (found == first_.end()) return NAN;
    const Tensor& slope = found->second.local;
    for (int64_t i = 0; i < slope.numel(); ++i)
      if (value(nodes_[n].inputs[0], i) == x && value(n, i) == y) return at(slope, i);
    return NAN;
  }
  const Unary* unary(size_t n) const {
    const auto found = unaries().find(nodes_[n].op);
    return found == unaries().end() ? nullptr : &found->second;
  }
  // 4-digit numbers may be all that an option is seen with.
  static double tidy(double a) { return std::round(a * 1e6) / 1e6; }

  bool is(size_t n, const char* op) const { return nodes_[n].op == op; }
  size_t in(size_t n, size_t k) const { return nodes_[n].inputs[k]; }
  size_t inputs(size_t n) const { return nodes_[n].inputs.size(); }

  // What a layer fused into an op, where it is told; else null.
  struct Fused {
    const char *value, *slope;  // "{s}" is the sum
    double (*f)(double s);
    double (*slope_of)(double y);
  };
  const Fused* fused(size_t n) const {
    static const std::map<std::string, Fused> all = {
        {"", {"{s}", "", [](double s) { return s; }, [](double) { return 1.; }}},
        {"relu",
         {"max(0, {s})", "1[{y} > 0]", [](double s) { return std::max(s, 0.); },
          [](double y) { return y > 0 ? 1. : 0.; }}},
        {"tanh",
         {"tanh({s})", "(1 − {y}²)", [](double s) { return std::tanh(s); },
          [](double y) { return 1 - y * y; }}},
        {"sigmoid",
         {"1 / (1 + e^−({s}))", "{y} · (1 − {y})", [](double s) { return 1 / (1 + std::exp(-s)); },
          [](double y) { return y * (1 - y); }}},
    };
    const auto found = all.find(nodes_[n].activation);
    return found == all.end() ? nullptr : &found->second;
  }

  // The terms of element i of a sum of products x w (+ b): what is multiplied with what. None:
  // it is no such sum.
  struct Product {
    int64_t x, w;
  };
  std::vector<Product> products(size_t n, int64_t i) const {
    if (inputs(n) < 2 || !fused(n)) return {};
    const Shape &x = nodes_[in(n, 0)].shape, &w = nodes_[in(n, 1)].shape, &y = nodes_[n].shape;
    std::vector<Product> all;
    if ((is(n, "linear") || is(n, "matmul")) && w.rank() == 2 && x.rank() >= 1 &&
        x[x.rank() - 1] == w[0] && y[y.rank() - 1] == w[1]) {
      for (int64_t k = 0; k < w[0]; ++k) all.push_back({i / w[1] * w[0] + k, k * w[1] + i % w[1]});
    } else if (is(n, "conv2d") && x.rank() == 4 && w.rank() == 4 && y[1] == x[1] - w[0] + 1 &&
               y[2] == x[2] - w[1] + 1 && x[3] == w[2]) {
      const int64_t o = i % y[3], column = i / y[3] % y[2], row = i / y[3] / y[2] % y[1],
                    image = i / y[3] / y[2] / y[1];
      for (int64_t p = 0; p < w[0]; ++p)
        for (int64_t q = 0; q < w[1]; ++q)
          for (int64_t c = 0; c < w[2]; ++c)
            all.push_back({((image * x[1] + row + p) * x[2] + column + q) * x[3] + c,
                           ((p * w[1] + q) * w[2] + c) * w[3] + o});
    } else {
      return {};
    }
    return all;
  }

  // The sides of y[i] = ..: in letters, in numbers.
  Strings made(size_t n, int64_t i) const {
    const double y = value(n, i);
    const auto binary = [&](const char* sign) -> Strings {
      const int64_t a = source(nodes_[n].shape, nodes_[in(n, 0)].shape, i),
                    b = source(nodes_[n].shape, nodes_[in(n, 1)].shape, i);
      return {fmt::format("{} {} {}", letter(in(n, 0), a), sign, letter(in(n, 1), b)),
              fmt::format("{} {} {}", text(value(in(n, 0), a)), sign, factor(value(in(n, 1), b)))};
    };
    if (inputs(n) == 2 && is(n, "add")) return binary("+");
    if (inputs(n) == 2 && is(n, "sub")) return binary("−");
    if (inputs(n) == 2 && is(n, "mul")) return binary("·");
    if (inputs(n) == 2 && is(n, "div")) return binary("/");
    if (const Unary* f = unary(n); f && inputs(n) == 1) {
      const double x = value(in(n, 0), i), a = tidy(option(n, x, y));
      const char* form = x > 0 ? f->above : f->below;
      return {fill(form, letter(in(n, 0), i), letter(n, i), is(n, "pow") ? text(a) : f->option),
              fill(form, factor(x), text(y), text(a))};
    }
    if (is(n, "prelu") && inputs(n) == 2) {
      const int64_t k = source(nodes_[n].shape, nodes_[in(n, 1)].shape, i);
      const double x = value(in(n, 0), i);
      if (x > 0) return {letter(in(n, 0), i)};
      return {fmt::format("{} · {}", letter(in(n, 1), k), letter(in(n, 0), i)),
              fmt::format("{} · {}", text(value(in(n, 1), k)), factor(x))};
    }
    if ((is(n, "sum") || is(n, "mean")) && nodes_[n].value.numel() == 1) {
      Sum s;
      const size_t x = in(n, 0);
      for (int64_t j = 0; j < nodes_[x].value.numel(); ++j)
        s.add(letter(x, j), s.numbers.empty() ? text(value(x, j)) : factor(value(x, j)), 0);
      const std::string of = fmt::format(" / {}", s.letters.size());
      if (is(n, "sum")) return {Sum::join(s.letters), Sum::join(s.numbers)};
      return {"(" + Sum::join(s.letters) + ")" + of, "(" + Sum::join(s.numbers) + ")" + of};
    }
    if (const auto all = products(n, i); !all.empty()) {
      Sum s;
      for (const auto& [x, w] : all) {
        const double a = value(in(n, 0), x), b = value(in(n, 1), w);
        s.add(fmt::format("{} · {}", letter(in(n, 0), x), letter(in(n, 1), w)),
              fmt::format("{} · {}", s.numbers.empty() ? text(a) : factor(a), factor(b)), a * b);
      }
      if (inputs(n) > 2) {
        const int64_t k = i % nodes_[in(n, 2)].shape.numel();
        s.add(letter(in(n, 2), k), factor(value(in(n, 2), k)), value(in(n, 2), k));
      }
      if (near(fused(n)->f(s.value), y)) {
        const auto side = [&](const Strings& terms) {
          return fmt::format(fmt::runtime(fused(n)->value), fmt::arg("s", Sum::join(terms)));
        };
        return {side(s.letters), side(s.numbers)};
      }
    }
    if (is(n, "mse_loss") && inputs(n) == 2) {
      Sum s;
      for (int64_t j = 0; j < nodes_[in(n, 0)].value.numel(); ++j) {
        const double a = value(in(n, 0), j), b = value(in(n, 1), j);
        s.add(fmt::format("({} − {})²", letter(in(n, 0), j), letter(in(n, 1), j)),
              fmt::format("({} − {})²", text(a), factor(b)), (a - b) * (a - b));
      }
      const size_t count = s.letters.size();
      if (near(s.value / static_cast<double>(count), y)) {
        if (count == 1) return {s.letters[0], s.numbers[0]};
        return {fmt::format("({}) / {}", Sum::join(s.letters), count),
                fmt::format("({}) / {}", Sum::join(s.numbers), count)};
      }
    }
    if (is(n, "softmax") && near(softmax(in(n, 0), i), y)) {
      return {fmt::format("e^{} / Σ e^{}", letter(in(n, 0), i), name(in(n, 0)))};
    }
    if (const int64_t t = label(n); t >= 0) {
      return {fmt::format("−ln p[{}]", t + 1), fmt::format("−ln {}", text(softmax(in(n, 0), t)))};
    }
    std::string of;
    for (const size_t x : nodes_[n].inputs) of += (of.empty() ? "" : ", ") + name(x);
    const std::string& f = nodes_[n].activation;
    const std::string call = fmt::format("{}({})", nodes_[n].op, of);
    return {f.empty() ? call : fmt::format("{}({})", f, call)};
  }

  // Of one row of logits.
  double softmax(size_t x, int64_t i) const {
    const Tensor& z = nodes_[x].value;
    if (z.shape().rank() == 0 || z.numel() != z.shape()[z.shape().rank() - 1]) return NAN;
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < z.numel(); ++k) most = std::max(most, at(z, k));
    for (int64_t k = 0; k < z.numel(); ++k) sum += std::exp(at(z, k) - most);
    return std::exp(at(z, i) - most) / sum;
  }
  // Of a cross entropy of one row, seen from its gradient p - t; else -1.
  int64_t label(size_t n) const {
    const auto found = first_.find(n);
    if (!is(n, "cross_entropy") || found == first_.end()) return -1;
    const Tensor& slope = found->second.local;
    int64_t t = -1;
    for (int64_t k = 0; k < slope.numel(); ++k) {
      const double p = softmax(in(n, 0), k), target = p - at(slope, k);
      if (near(target, 1) && t < 0)
        t = k;
      else if (!(std::fabs(target) < 1e-3))
        return -1;
    }
    return t;
  }
  Strings probabilities(size_t n) const {
    Strings lines;
    if (label(n) < 0) return lines;
    const size_t z = in(n, 0);
    for (int64_t k = 0; k < nodes_[z].value.numel(); ++k)
      lines.push_back(fmt::format("p[{}] = e^{} / Σ e^{} = {}", k + 1, letter(z, k), name(z),
                                  text(softmax(z, k))));
    return lines;
  }

  // The sides of dL/dx[j] = ..: in letters, in numbers.
  Strings passed(size_t n, const Addition& a, int64_t j) const {
    const Shape &to = nodes_[n].shape, &from = nodes_[a.to].shape;
    const double product = at(a.product, j);
    // All elements of y that x[j] goes into, each times what `local` says.
    const auto sum = [&](auto local) -> Strings {
      Sum s;
      for (int64_t i = 0; i < to.numel(); ++i) {
        if (source(to, from, i) != j) continue;
        const std::pair<std::string, double> l = local(i);
        s.add(l.first.empty() ? d(n, i) : fmt::format("{} · {}", d(n, i), l.first),
              l.first.empty()
                  ? (s.numbers.empty() ? text(dy(n, i)) : factor(dy(n, i)))
                  : fmt::format("{} · {}", s.numbers.empty() ? text(dy(n, i)) : factor(dy(n, i)),
                                factor(l.second)),
              dy(n, i) * l.second);
      }
      return {Sum::join(s.letters), Sum::join(s.numbers)};
    };
    const auto other = [&](int64_t i) { return source(to, nodes_[in(n, 1 - a.input)].shape, i); };
    if (inputs(n) == 2 && is(n, "add"))
      return sum([](int64_t) { return std::pair(std::string("1"), 1.); });
    if (inputs(n) == 2 && is(n, "sub"))
      return sum([&](int64_t) {
        return a.input == 0 ? std::pair(std::string("1"), 1.) : std::pair(std::string("(−1)"), -1.);
      });
    if (inputs(n) == 2 && is(n, "mul"))
      return sum([&](int64_t i) {
        const size_t b = in(n, 1 - a.input);
        return std::pair(letter(b, other(i)), value(b, other(i)));
      });
    if (inputs(n) == 2 && is(n, "div"))
      return sum([&](int64_t i) {
        const size_t b = in(n, 1);
        if (a.input == 0) return std::pair("1 / " + letter(b, other(i)), 1 / value(b, other(i)));
        return std::pair(fmt::format("(−{} / {}²)", letter(in(n, 0), other(i)), letter(b, j)),
                         -value(in(n, 0), other(i)) / (value(b, j) * value(b, j)));
      });
    if (const Unary* f = unary(n); f && inputs(n) == 1) {
      const double x = value(a.to, j), y = value(n, j), slope = at(a.local, j);
      const std::string letters =
          fill(x > 0 ? f->slope_above : f->slope_below, letter(a.to, j), letter(n, j),
               is(n, "pow") ? text(tidy(option(n, x, y))) : f->option);
      return {fmt::format("{} · {}", d(n, j), letters),
              fmt::format("{} · {}", text(dy(n, j)), factor(slope))};
    }
    if (is(n, "prelu") && inputs(n) == 2) {
      if (a.input == 1) {
        return sum([&](int64_t i) {
          return std::pair(fmt::format("min({}, 0)", letter(in(n, 0), i)),
                           std::min(value(in(n, 0), i), 0.));
        });
      }
      const double slope = at(a.local, j);
      const int64_t k = source(to, nodes_[in(n, 1)].shape, j);
      return {fmt::format("{} · {}", d(n, j), value(a.to, j) > 0 ? "1" : letter(in(n, 1), k)),
              fmt::format("{} · {}", text(dy(n, j)), factor(slope))};
    }
    if ((is(n, "sum") || is(n, "mean")) && nodes_[n].value.numel() == 1) {
      const int64_t count = nodes_[a.to].value.numel();
      const std::string share = is(n, "sum") ? "1" : fmt::format("1 / {}", count);
      return {fmt::format("{} · {}", d(n, 0), share),
              fmt::format("{} · {}", text(dy(n, 0)), share)};
    }
    if (!products(n, 0).empty()) {
      Sum s;
      // What comes back to the sum of element i, times v.
      const auto add = [&](int64_t i, const std::string& letter, double v) {
        std::string letters = d(n, i),
                    numbers = s.numbers.empty() ? text(dy(n, i)) : factor(dy(n, i));
        double value = dy(n, i);
        if (const Fused& f = *fused(n); *f.slope) {
          const double y = at(nodes_[n].value, i);
          letters += fmt::format(
              " · {}", fmt::format(fmt::runtime(f.slope), fmt::arg("y", this->letter(n, i))));
          numbers += " · " + factor(f.slope_of(y));
          value *= f.slope_of(y);
        }
        if (!letter.empty()) letters += " · " + letter, numbers += " · " + factor(v);
        s.add(letters, numbers, value * v);
      };
      for (int64_t i = 0; i < to.numel(); ++i) {
        if (a.input == 2) {
          if (i % from.numel() == j) add(i, "", 1);
          continue;
        }
        for (const auto& [x, w] : products(n, i)) {
          if ((a.input == 0 ? x : w) != j) continue;
          const int64_t k = a.input == 0 ? w : x;
          add(i, letter(in(n, 1 - a.input), k), value(in(n, 1 - a.input), k));
        }
      }
      if (near(s.value, product)) return {Sum::join(s.letters), Sum::join(s.numbers)};
    }
    if (is(n, "mse_loss") && inputs(n) == 2) {
      const size_t y = in(n, 0), t = in(n, 1);
      const double count = static_cast<double>(nodes_[y].value.numel());
      const double sign = a.input == 0 ? 1 : -1, e = value(y, j) - value(t, j);
      if (near(sign * dy(n, 0) * 2 * e / count, product)) {
        const std::string of = count == 1 ? "" : fmt::format(" / {}", text(count));
        const char* two = a.input == 0 ? "2" : "(−2)";
        return {fmt::format("{} · {} · ({} − {}){}", d(n, 0), two, letter(y, j), letter(t, j), of),
                fmt::format("{} · {} · ({} − {}){}", text(dy(n, 0)), two, text(value(y, j)),
                            factor(value(t, j)), of)};
      }
    }
    if (const int64_t t = label(n); t >= 0) {
      const double p = softmax(a.to, j);
      return {fmt::format("{} · (p[{}] − {})", d(n, 0), j + 1, j == t ? "1" : "0"),
              fmt::format("{} · ({} − {})", text(dy(n, 0)), text(p), j == t ? "1" : "0")};
    }
    if (is(n, "softmax") && near(softmax(a.to, j), value(n, j))) {
      return {fmt::format("{} · ({} − Σ {} · ∂{}/∂{})", letter(n, j), d(n, j), name(n),
                          name(nodes_.size() - 1), name(n))};
    }
    const std::string y = name(n);
    return {fmt::format("Σ ∂{}/∂{} · ∂{}/∂{}", name(nodes_.size() - 1), y, y, letter(a.to, j))};
  }
};

nlohmann::json numbers(const Tensor& t) {
  if (!t.defined()) return nullptr;
  auto list = nlohmann::json::array();
  for (const double v : t.values()) {
    if (std::isfinite(v))
      list.push_back(v);
    else
      list.push_back(std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
  }
  return list;
}

}  // namespace

Steps step_through(const Tensor& loss, const TapeWatch& watch) {
  check_float("step_through", loss);
  fail_if(loss.numel() != 1, "step_through: expected a loss of one number; got {}. Hint: sum(y).",
          loss.shape());
  fail_if(!loss.requires_grad(),
          "step_through: the loss is not on the tape. Hint: requires_grad_() on a leaf.");
  std::vector<std::vector<Addition>> added;
  Steps all;
  all.nodes = detail::tape_nodes(loss, &watch, [&](size_t from, Addition a) {
    if (added.size() <= from) added.resize(from + 1);
    added[from].push_back(std::move(a));
  });
  int64_t size = 0;
  for (const TapeNode& n : all.nodes) {
    fail_if(n.node && n.node->released,
            "step_through: the tape behind {} {} was freed by backward(). Hint: before it.", n.op,
            n.shape);
    fail_if(!n.value.defined(),
            "step_through: {} {} was recorded when the TapeWatch did not look. Hint: make it "
            "before the forward pass.",
            n.op, n.shape);
    size += n.shape.numel();
  }
  fail_if(size > 4096, "step_through: expected at most 4096 numbers on the tape; got {}.", size);
  added.resize(all.nodes.size());

  std::map<size_t, Addition> first;
  std::vector<int> arrivals(all.nodes.size(), 0);
  for (size_t n = 0; n < added.size(); ++n)
    for (const Addition& a : added[n]) {
      if (a.input == 0) first.emplace(n, a);
      ++arrivals[a.to];
    }
  const Teller teller(all.nodes, first);
  for (TapeNode& n : all.nodes)
    if (n.name.empty()) n.name = teller.name(static_cast<size_t>(&n - all.nodes.data()));
  for (size_t n = 0; n < all.nodes.size(); ++n)
    if (!all.nodes[n].leaf) all.steps.push_back({false, n, teller.forward(n)});
  for (size_t n = all.nodes.size(); n-- > 0;) {
    if (all.nodes[n].leaf || !all.nodes[n].gradient.defined()) continue;
    TapeStep step{true, n};
    if (n + 1 == all.nodes.size())
      step.lines.push_back(fmt::format("∂{}/∂{} = 1", all.nodes[n].name, all.nodes[n].name));
    for (Addition& a : added[n]) {
      a.lines = teller.backward(n, a, arrivals[a.to] > 1);
      step.additions.push_back(std::move(a));
    }
    all.steps.push_back(std::move(step));
  }
  return all;
}

std::string Steps::lesson(const std::string& name, const std::pair<std::string, std::string>& title,
                          const std::pair<std::string, std::string>& text) const {
  using nlohmann::json;
  json line = {{"kind", "lesson"},
               {"name", name},
               {"title", {{"en", title.first}, {"pt", title.second}}},
               {"text", {{"en", text.first}, {"pt", text.second}}},
               {"nodes", json::array()},
               {"steps", json::array()}};
  for (const TapeNode& n : nodes) {
    json shape = json::array();
    for (int i = 0; i < n.shape.rank(); ++i) shape.push_back(n.shape[i]);
    line["nodes"].push_back({{"op", n.op},
                             {"activation", n.activation},
                             {"name", n.name},
                             {"shape", shape},
                             {"inputs", n.inputs},
                             {"leaf", n.leaf},
                             {"constant", n.constant},
                             {"value", numbers(n.value)},
                             {"gradient", numbers(n.gradient)}});
  }
  for (const TapeStep& s : steps) {
    json additions = json::array();
    for (const Addition& a : s.additions) {
      // One number of one number has a derivative, and each element of an elementwise function.
      const TapeNode &y = nodes[s.node], &x = nodes[a.to];
      const bool own = (y.inputs.size() == 1 && y.shape == x.shape && unaries().contains(y.op)) ||
                       (y.shape.numel() == 1 && a.local.defined() && a.local.numel() == 1);
      additions.push_back({{"to", a.to},
                           {"input", a.input},
                           {"local", own ? numbers(a.local) : json(nullptr)},
                           {"product", numbers(a.product)},
                           {"before", numbers(a.before)},
                           {"after", numbers(a.after)},
                           {"lines", a.lines}});
    }
    line["steps"].push_back({{"phase", s.backward ? "backward" : "forward"},
                             {"node", s.node},
                             {"lines", s.lines},
                             {"additions", additions}});
  }
  return line.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace ramp
