#include "ramp/glass/gradcheck_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_loss.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/record.h"
#include "ramp/core/random.h"
#include "ramp/glass/lessons.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"

using namespace ramp;

TEST_CASE("gradients beside central differences, for a model") {
  Sequential net(Dense(3, 8, Tanh{}), Dense(8, 2));
  net.to(f64);
  Rng rng(1);
  const Tensor x = rng.uniform({4, 3}, -1, 1, f64), y = Tensor::of<int64_t>({0, 1, 1, 0});
  const std::vector<double> before = net.parameters()[0].values();
  const auto rows = gradcheck_table([&] { return cross_entropy(net(x), y); },
                                    net.named_parameters(), {.most = 5});
  CHECK(rows.size() == 5 + 5 + 5 + 2);
  CHECK(rows[0].name == "0.weight");
  CHECK(rows[4].index == 4 * 24 / 5);
  for (const GradcheckRow& r : rows) CHECK(r.error < 1e-6);
  CHECK(std::ranges::any_of(rows, [](auto& r) { return r.analytic != 0; }));
  CHECK(net.parameters()[0].values() == before);
  CHECK_FALSE(net.parameters()[0].grad().defined());
}

TEST_CASE("a fault that is planted is caught") {
  const Tensor x = Tensor::of<double>({-1.5, 0.5, 2}).requires_grad_(),
               w = Tensor::of<double>({0.5, -1, 2}).requires_grad_();
  const auto worst = [&](Planted fault, const std::string& name) {
    double most = 0;
    for (const GradcheckRow& r :
         gradcheck_table([&] { return sum(faulty_silu(x, w, fault)); }, {{"x", x}, {"w", w}}))
      if (r.name == name) most = std::max(most, r.error);
    return most;
  };
  CHECK(worst(Planted::nothing, "x") < 1e-6);
  CHECK(worst(Planted::nothing, "w") < 1e-6);
  CHECK(worst(Planted::sign, "w") > 0.1);
  CHECK(worst(Planted::sign, "x") < 1e-6);
  CHECK(worst(Planted::factor, "x") > 0.1);
  CHECK(worst(Planted::missing_term, "x") > 0.1);

  std::vector<std::pair<std::string, bool>> planted;  // and whether the page will say so
  for (const GlassRecord& r : lessons().records) {
    if (r.kind != "gradcheck") continue;
    const auto line = nlohmann::json::parse(r.json);
    const bool wrong = std::ranges::any_of(
        line["parameters"], [](const auto& p) { return p["error"].template get<double>() > 1e-6; });
    planted.emplace_back(line["planted"].is_null() ? "" : line["planted"], wrong);
  }
  CHECK(planted == std::vector<std::pair<std::string, bool>>{
                       {"", false}, {"sign", true}, {"factor 2", true}, {"missing term", true}});
}

TEST_CASE("a gradient check as a line") {
  CHECK(gradcheck_line({{"a\"b", 3, 0.5, -0.5, 1. / 3}, {"w", 0, INFINITY, 0, NAN}}, "sign") ==
        R"({"kind":"gradcheck","planted":"sign","parameters":[)"
        R"({"name":"a\"b","index":3,"numeric":0.5,"analytic":-0.5,"error":0.3333333333333333},)"
        R"({"name":"w","index":0,"numeric":"inf","analytic":0,"error":"nan"}]})");
  CHECK(gradcheck_line({}) == R"({"kind":"gradcheck","planted":null,"parameters":[]})");
}

TEST_CASE("what gradcheck_table does not take") {
  const Tensor f = Tensor::of<float>({1}).requires_grad_(),
               x = Tensor::of<double>({1, 2}).requires_grad_();
  CHECK_THROWS_WITH_AS(
      gradcheck_table([&] { return sum(f); }, {{"w", f}}),
      "gradcheck_table: w is f32: differences of so few digits tell nothing. Hint: "
      "net.to(f64).",
      Error);
  CHECK_THROWS_WITH_AS(gradcheck_table([&] { return x * x; }, {{"x", x}}),
                       "gradcheck_table: expected a loss of one number; got [2]. Hint: sum(y).",
                       Error);
  CHECK_THROWS_WITH_AS(gradcheck_table([&] { return sum(x); }, {{"x", x}}, {.most = 0}),
                       "gradcheck_table: expected most >= 1 and step > 0; got 0 and 1e-06.", Error);
}
