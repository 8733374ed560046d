#include "ramp/glass/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ramp/autograd/row_gradient.h"

namespace ramp::glass {
namespace {

// Columns on the screen: bytes that do not continue a character.
size_t width(const std::string& s) {
  return static_cast<size_t>(std::ranges::count_if(
      s, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string size_of(const Tensor& t) {
  if (!t.defined() || !is_float(t.dtype())) return "-";
  const std::vector<double> values = t.values();
  if (values.size() == 1) return fmt::format("{:.4g}", values[0]);
  double squares = 0;
  for (const double v : values) squares += v * v;
  return fmt::format("|{:.4g}|", std::sqrt(squares));
}

struct Picture {
  std::vector<TapeNode> nodes;
  const PrintOptions& options;
  std::vector<std::array<std::string, 4>> rows = {{"op", "shape", "value", "dL/d."}};
  std::vector<bool> drawn = std::vector<bool>(nodes.size(), false);

  // (An op's inputs hang below it; a chain of more of them than there are rows is cut.)
  void draw(size_t at, const std::string& mark, const std::string& indent) {
    if (rows.size() > options.nodes) return;
    const TapeNode& n = nodes[at];
    std::string op = n.leaf ? "" : n.op;
    if (!n.activation.empty()) op += " + " + n.activation;
    std::string what = n.name.empty() ? (n.leaf ? n.op : op)
                       : op.empty()   ? n.name
                                      : n.name + " = " + op;
    const bool above = drawn[at] && !n.inputs.empty();
    if (above) what += " (above)";
    rows.push_back({mark + what, fmt::format("{}", n.shape), size_of(n.value),
                    n.constant ? "" : size_of(n.gradient)});
    if (drawn[at]) return;
    drawn[at] = true;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const bool last = i + 1 == n.inputs.size();
      const char* branch = options.ascii ? (last ? "`- " : "|- ") : (last ? "└─ " : "├─ ");
      const char* stem = last ? "   " : options.ascii ? "|  " : "│  ";
      draw(n.inputs[i], indent + branch, indent + stem);
    }
  }
};

}  // namespace

std::string text(const Tensor& loss, const PrintOptions& options) {
  check_defined("glass::text", "loss", loss);
  if (!loss.requires_grad())
    return "(nothing on the tape: the loss depends on nothing that requires a gradient)\n";
  std::vector<TapeNode> nodes = detail::tape_nodes(loss, options.watch);
  for (TapeNode& n : nodes) {
    if (!n.node) continue;
    if (n.leaf && !n.gradient.defined()) n.gradient = n.node->grad;
    for (const auto& [name, t, decays] : options.names) {
      if (node_of(t) != n.node) continue;
      n.name = name;
      n.value = t.detach();
    }
  }
  if (nodes.back().name.empty()) nodes.back().name = "L";
  const bool freed = nodes.back().node->released;
  const size_t total = nodes.size();
  Picture picture{std::move(nodes), options};
  picture.draw(total - 1, "", "");

  std::array<size_t, 4> widths{};
  for (const auto& row : picture.rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
  std::string all;
  for (const auto& row : picture.rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c)
      line += row[c] + std::string(widths[c] - width(row[c]) + 2, ' ');
    all += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  if (freed) all += "(backward() freed the tape: print before it, or retain_graph)\n";
  if (picture.rows.size() > options.nodes)
    all += fmt::format("(the first {} rows of a tape of {} nodes)\n", options.nodes, total);
  return all;
}

void print(const Tensor& loss, const PrintOptions& options, std::FILE* out) {
  fmt::print(out, "{}", text(loss, options));
}
void print(const Tensor& loss, ModuleBase& net, std::FILE* out) {
  glass::print(loss, {.names = net.named_parameters()}, out);
}

}  // namespace ramp::glass
