#include "ramp/autograd/ops_sort.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/core/random.h"
#include "ramp/glass/gradcheck.h"
#include "threads.h"

using namespace ramp;

TEST_CASE(
    "sort and topk are PyTorch's (stable), NaN, inf and equal values too; right derivatives") {
  const int64_t before = live_nodes();
  int cases = 0;
  for (const Fixture& f : read_fixtures("sort")) {
    INFO(f.name);
    ++cases;
    const Tensor x = f.leaf("x");
    const int axis = static_cast<int>(f.number("axis"));
    const int64_t k = static_cast<int64_t>(f.number("k"));
    const bool descending = f.number("descending") != 0;
    const bool all = f.name.rfind("sort", 0) == 0;
    const auto call = [&](const Tensor& t) {
      return all ? sort(t, axis, {.descending = descending})
                 : topk(t, k, axis, {.largest = descending});
    };
    const auto [values, indices] = call(x);
    check_close(values, f.tensor("values"), 0);
    check_close(indices, f.tensor("indices"), 0);
    CHECK_FALSE(indices.requires_grad());
    backward(values, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), 0);
    if (x.dtype() == f64 && std::isfinite(x.values()[1])) {
      CHECK(gradcheck([&](const std::vector<Tensor>& t) { return call(t[0]).values; }, {x}) == "");
    }
  }
  CHECK(cases == 44);
  CHECK(live_nodes() == before);
}

TEST_CASE("sort and topk: integers, one value, none") {
  const auto [values, indices] = sort(Tensor::of<int64_t>({3, 1, 3, -2}), 0, {.descending = true});
  CHECK(values.dtype() == i64);
  CHECK(values.values() == std::vector<double>{3, 3, 1, -2});
  CHECK(indices.values() == std::vector<double>{0, 2, 1, 3});
  CHECK(sort(Tensor::ones({1, 1})).indices.values() == std::vector<double>{0});
  CHECK(sort(Tensor::zeros({0, 3}), 0).values.shape() == Shape{0, 3});
  CHECK(sort(Tensor::zeros({3, 0})).values.shape() == Shape{3, 0});
  CHECK(topk(Tensor::zeros({2, 3}), 0).values.shape() == Shape{2, 0});
}

TEST_CASE("sort and topk of long rows: what std::stable_sort makes, with ties, NaN and inf") {
  const double special[] = {NAN, -NAN, HUGE_VAL, -HUGE_VAL, 0.0, -0.0};
  Rng rng(4);
  for (const int64_t n : {2, 3, 16, 17, 33, 100, 257}) {
    for (const int64_t inner : {1, 3}) {
      for (const DType dtype : {f32, f64, i64}) {
        Tensor x = rng.randint({5, n, inner}, -n, n + 1).to(f64);
        for (int64_t i = 0; dtype != i64 && i < x.numel(); i += 7)
          x.mutable_data<double>()[i] = special[i / 7 % 6];
        x = x.to(dtype);
        const std::vector<double> v = x.values();
        for (const bool descending : {false, true}) {
          std::vector<int64_t> order(static_cast<size_t>(n));
          const auto value = [&](int64_t i) { return v[static_cast<size_t>((n + i) * inner)]; };
          const auto less = [](double a, double b) { return a < b || (a == a && b != b); };
          std::iota(order.begin(), order.end(), 0);
          std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
            return descending ? less(value(j), value(i)) : less(value(i), value(j));
          });
          for (const int64_t k : {int64_t{1}, int64_t{5}, int64_t{16}, int64_t{20}, n}) {
            if (k > n) continue;
            INFO(n << ", " << k << ", " << inner << ", " << descending << ", " << name_of(dtype));
            const Sorted y = k == n ? sort(x, 1, {.descending = descending})
                                    : topk(x, k, 1, {.largest = descending});
            const Tensor places = permute(y.indices.rows(1, 2), {0, 2, 1}).view({inner, k})[0];
            CHECK(places.values() == std::vector<double>(order.begin(), order.begin() + k));
          }
        }
      }
    }
  }
}

TEST_CASE("sort: equal bits for 1 and 2 threads") {
  const Tensor x = Rng(1).normal({200, 300, 3});
  check_equal_bits([&] { return sort(x, 1).indices; });
  check_equal_bits([&] { return topk(x, 7, 0).values; });
}

TEST_CASE("sort and topk: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK(message([&] { topk(x, 4); }) ==
        "topk: expected 0 <= k <= 3, the size of axis 1 of x [2, 3]; got k 4.");
  CHECK(message([&] { topk(x, -1, 0); }) ==
        "topk: expected 0 <= k <= 2, the size of axis 0 of x [2, 3]; got k -1.");
  CHECK(message([&] { sort(x, 2); }) ==
        "sort: axis must be in -2..1 for a tensor of rank 2; got 2.");
  CHECK(message([&] { sort(Tensor::scalar(1)); }) == "sort: a scalar has no axes; got axis -1.");
  CHECK(message([&] { sort({}); }) ==
        "sort: x is undefined (moved from, or never set). Hint: give it a value first.");
}
