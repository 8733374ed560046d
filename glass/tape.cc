#include "ramp/glass/tape.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "ramp/autograd/node.h"

namespace ramp {
namespace {

// All nodes behind y, newest first.
std::vector<const Node*> tape(const Tensor& y) {
  std::vector<const Node*> nodes;
  if (!y.requires_grad()) return nodes;
  std::unordered_set<const Node*> seen{node_of(y)};
  nodes.push_back(node_of(y));
  for (size_t at = 0; at < nodes.size(); ++at) {
    const Node* node = nodes[at];
    for (uint32_t i = 0; i < node->input_count; ++i) {
      const Node* input = node->inputs()[i].get();
      if (input && seen.insert(input).second) nodes.push_back(input);
    }
  }
  std::sort(nodes.begin(), nodes.end(), [](const Node* a, const Node* b) { return a->id > b->id; });
  return nodes;
}

}  // namespace

std::string tape_text(const Tensor& y) {
  std::string text;
  for (const Node* node : tape(y)) {
    text += fmt::format("%{} {} {} {}", node->id, node->op, node->shape, node->dtype);
    for (uint32_t i = 0; i < node->input_count && !node->released; ++i) {
      if (i == 0) text += " <-";
      const Node* input = node->inputs()[i].get();
      text += input ? fmt::format(" %{}", input->id) : " const";
    }
    text += node->released ? " (freed)\n" : "\n";
  }
  return text;
}

std::string tape_dot(const Tensor& y) {
  std::string text = "digraph tape {\n  rankdir=BT;\n  node [shape=box, fontname=monospace];\n";
  for (const Node* node : tape(y)) {
    text += fmt::format("  n{} [label=\"{}\\n{} {}\"{}];\n", node->id, node->op, node->shape,
                        node->dtype, node->is_leaf ? ", style=rounded" : "");
    for (uint32_t i = 0; i < node->input_count; ++i) {
      const Node* input = node->inputs()[i].get();
      if (input) text += fmt::format("  n{} -> n{};\n", input->id, node->id);
    }
  }
  return text + "}\n";
}

}  // namespace ramp
