#include "ramp/autograd/record.h"

#include <algorithm>

namespace ramp {

void connect(Node* node, const char* op, Tensor& y, const Inputs& inputs) {
  node->op = op;
  node->result = y.address();
  node->shape = y.shape();
  node->dtype = y.dtype();
  node->input_count = static_cast<uint32_t>(inputs.size);
  if (inputs.size > Node::kInlineInputs) node->many_ = new Ref<Node>[inputs.size];
  uint64_t id = Node::last_id;
  for (size_t i = 0; i < inputs.size; ++i) {
    Node* input = node_of(inputs[i]);
    // A leaf that is frozen now gets nothing, even if it thaws before the backward pass.
    if (input == nullptr || !input->requires_grad) continue;
    // A result made on another thread may have a higher id than this thread's last.
    id = std::max(id, input->id);
    input->refs.fetch_add(1, std::memory_order_relaxed);
    new (&node->inputs()[i]) Ref<Node>(Ref<Node>::adopt(input));  // over a null one
  }
  node->id = Node::last_id = id + 1;
  y.set_meta(Ref<GradMeta>::adopt(node));
  if (detail::op_watch) (*detail::op_watch)(*node, y, inputs);
}

}  // namespace ramp
