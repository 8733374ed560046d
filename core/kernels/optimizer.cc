// The rules of core/rules_update.h in vectors: one pass over gradients g, weights w and states s.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/math.h"

namespace ramp {
namespace {

template <typename T, typename Rule>
void update(const void* rule, int64_t n, const T* g, T* w, T* const* states) {
  // Copies: a store through w might change what the pointers point to.
  const Rule r = *static_cast<const Rule*>(rule);
  T* s[Rule::states + 1];
  for (int j = 0; j < Rule::states; ++j) s[j] = states[j];
  const auto step = [&](int64_t i, auto read, auto write) {
    Vec<T> w_i = read(w + i), s_i[Rule::states + 1];
    for (int j = 0; j < Rule::states; ++j) s_i[j] = read(s[j] + i);
    r.step(read(g + i), w_i, s_i);
    write(w + i, w_i);
    for (int j = 0; j < Rule::states; ++j) write(s[j] + i, s_i[j]);
  };
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) step(i, load<T>, store<T>);
  const int64_t rest = n - i;
  if (rest == 0) return;
  step(
      i, [=](const T* p) { return load_first(p, rest); },
      [=](T* p, Vec<T> v) { store_first(p, v, rest); });
}

}  // namespace

void RAMP_ISA::fill_optimizer(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    UpdateRules::for_each(
        [&]<typename Rule>() { k.update[UpdateRules::index<Rule>()] = update<T, Rule>; });
  });
}

}  // namespace ramp
