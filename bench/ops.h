// The op table: each op by itself, beside its row in ops_torch.py. bench/ops.py runs both.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

/// What is timed of a row. `both` (forward and backward) is empty where there is no gradient; numel
/// is that of the result, 0 for a step.
struct OpCalls {
  std::function<void()> forward, both;
  int64_t numel = 0;
};

/// "op|size", and what makes its tensors: they live as long as the calls.
struct OpRow {
  std::string name;
  std::function<OpCalls()> prepare;
};

/// All rows, under the names that ops_torch.py has: of the op table, and of one net's step, one
/// layer and one convolution as they grow.
std::vector<OpRow> op_rows();
std::vector<OpRow> growth_rows();
