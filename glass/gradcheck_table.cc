#include "ramp/glass/gradcheck_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/record.h"
#include "ramp/glass/glass_file.h"

namespace ramp {

std::vector<GradcheckRow> gradcheck_table(const std::function<Tensor()>& loss,
                                          const std::vector<NamedTensor>& parameters,
                                          GradcheckTableOptions options) {
  fail_if(options.most < 1 || !(options.step > 0),
          "gradcheck_table: expected most >= 1 and step > 0; got {} and {}.", options.most,
          options.step);
  std::vector<Tensor> leaves;
  for (const auto& [name, w, decays] : parameters) {
    fail_if(w.dtype() != f64,
            "gradcheck_table: {} is {}: differences of so few digits tell nothing. Hint: "
            "net.to(f64).",
            name, w.dtype());
    leaves.push_back(w);
  }
  const Tensor l = loss();
  fail_if(l.numel() != 1, "gradcheck_table: expected a loss of one number; got {}. Hint: sum(y).",
          l.shape());
  const std::vector<Tensor> gradients = grad(l, leaves, {.allow_unused = true});

  const NoGrad no_grad;
  std::vector<GradcheckRow> rows;
  for (size_t k = 0; k < leaves.size(); ++k) {
    Tensor& w = leaves[k];
    const int64_t n = w.numel(), count = std::min(n, options.most);
    for (int64_t c = 0; c < count; ++c) {
      const int64_t i = c * n / count;
      const double before = w.data<double>()[i];
      const double h = options.step * std::max(1.0, std::fabs(before));
      const auto loss_at = [&](double value) {
        w.mutable_data<double>()[i] = value;
        return loss().item();
      };
      const double above = loss_at(before + h), below = loss_at(before - h);
      w.mutable_data<double>()[i] = before;
      const double numeric = (above - below) / (2 * h);
      const double analytic = gradients[k].defined() ? gradients[k].data<double>()[i] : 0;
      rows.push_back({parameters[k].name, i, numeric, analytic,
                      std::fabs(numeric - analytic) / (1 + std::fabs(numeric))});
    }
  }
  return rows;
}

std::string gradcheck_line(const std::vector<GradcheckRow>& rows, const std::string& planted) {
  std::string list;
  const auto number = [](double v) {
    return std::isfinite(v) ? fmt::format("{}", v) : glass_number(v);
  };
  for (const GradcheckRow& r : rows) {
    list += fmt::format(R"({}{{"name":{},"index":{},"numeric":{},"analytic":{},"error":{}}})",
                        list.empty() ? "" : ",", glass_text(r.name), r.index, number(r.numeric),
                        number(r.analytic), number(r.error));
  }
  return fmt::format(R"({{"kind":"gradcheck","planted":{},"parameters":[{}]}})",
                     planted.empty() ? "null" : glass_text(planted), list);
}

Tensor faulty_silu(const Tensor& x, const Tensor& w, Planted fault) {
  const auto value = [](const Tensor& x, const Tensor& w) { return w * x * sigmoid(x); };
  return record("faulty_silu", value(x.detach(), w.detach()), {x, w},
                [=, x = Saved(x, "x"), w = Saved(w, "w")](const Tensor& dy, Wants) {
                  const Tensor s = sigmoid(x.get()), second = x.get() * s * (1 - s);
                  Tensor dx = dy * w.get() * (fault == Planted::missing_term ? s : s + second);
                  Tensor dw = dy * x.get() * s;
                  if (fault == Planted::sign) dw = -dw;
                  if (fault == Planted::factor) dx = 0.5 * dx;
                  return std::vector<Tensor>{dx, dw};
                });
}

}  // namespace ramp
