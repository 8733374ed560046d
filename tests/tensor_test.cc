#include "ramp/core/tensor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>
#include <sstream>
#include <thread>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/glass/gradcheck.h"

using namespace ramp;

using Values = std::vector<double>;

TEST_CASE("factories") {
  CHECK(Tensor::zeros({2, 2}).values() == Values{0, 0, 0, 0});
  CHECK(Tensor::ones({3}, f64).values() == Values{1, 1, 1});
  CHECK(Tensor::full({2}, -7, i64).values() == Values{-7, -7});
  CHECK(Tensor::scalar(2.5).shape() == Shape{});
  CHECK(Tensor::scalar(2.5).item() == 2.5);
  CHECK(Tensor::arange(4).values() == Values{0, 1, 2, 3});
  CHECK(Tensor::arange(4).dtype() == i64);
  CHECK(Tensor::arange(3, f32).dtype() == f32);
  CHECK(Tensor::arange(0).numel() == 0);
  CHECK_THROWS_WITH_AS(Tensor::arange(-1), "arange: expected a length n >= 0; got -1.", Error);
  const Tensor x = Tensor::of<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(x.dtype() == f32);
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.dim(-1) == 3);
  CHECK(x.values() == Values{1, 2, 3, 4, 5, 6});
  CHECK(Tensor::of<int64_t>({1, 2}).dtype() == i64);
  CHECK(Tensor::of<double>({}).shape() == Shape{0});
  CHECK(Tensor::of<double>({5}, {}).item() == 5);
}

TEST_CASE("memory is aligned and tensors of no elements are defined") {
  for (int64_t n = 0; n < 3000; n = 2 * n + 1) {
    const Tensor x = Tensor::empty({n}, f64);
    CHECK(reinterpret_cast<uintptr_t>(x.data<double>()) % 64 == 0);
    CHECK(x.defined());
  }
}

TEST_CASE("a copy shares memory, a clone does not") {
  Tensor x = Tensor::of<float>({1, 2});
  Tensor y = x, z = x.clone();
  y.mutable_data<float>()[0] = 9;
  CHECK(x.values() == Values{9, 2});
  CHECK(z.values() == Values{1, 2});
  CHECK(x.same_memory(y));
  CHECK_FALSE(x.same_memory(z));
  CHECK_FALSE(x.unique());
  CHECK(z.unique());
}

TEST_CASE("every announced write raises the version, also through a view") {
  Tensor x = Tensor::zeros({2, 2});
  const uint32_t before = x.version();
  x.mutable_data<float>();
  CHECK(x.version() == before + 1);
  Tensor v = x.view({4});
  v.fill_(1);
  CHECK(x.version() == before + 2);
  x.rows(0, 1).mul_(2);
  x.add_(Tensor::ones({2, 2}));
  x.copy_(Tensor::ones({2, 2}));
  CHECK(x.version() == before + 5);
  (void)x.data<float>();
  CHECK(x.version() == before + 5);
}

TEST_CASE("views") {
  Tensor x = Tensor::arange(12, f32).view({4, 3});
  CHECK(x.rows(1, 3).shape() == Shape{2, 3});
  CHECK(x.rows(1, 3).values() == Values{3, 4, 5, 6, 7, 8});
  CHECK(x.rows(4, 4).numel() == 0);
  CHECK(x.rows(1, 3).rows(1, 2).values() == Values{6, 7, 8});
  x.rows(3, 4).fill_(0);
  CHECK(x.values() == Values{0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0});
  CHECK(x.view({2, 6}).same_memory(x));
  CHECK(x.rows(0, 1).view({3, 1}).values() == Values{0, 1, 2});
  CHECK(x.rows(1, 2).clone().values() == Values{3, 4, 5});
  CHECK(x.rows(1, 2).to(f64).values() == Values{3, 4, 5});
}

TEST_CASE("conversion between dtypes") {
  const Tensor x = Tensor::of<double>({1.75, -2.5, 0});
  CHECK(x.to(f32).values() == Values{1.75, -2.5, 0});
  CHECK(x.to(i64).values() == Values{1, -2, 0});
  CHECK(x.to(i64).to(f64).dtype() == f64);
  CHECK(x.to(f64).same_memory(x));
}

TEST_CASE("in place") {
  Tensor x = Tensor::of<double>({1, 2});
  CHECK(x.add_(Tensor::of<double>({10, 20}), 0.5).values() == Values{6, 12});
  CHECK(x.mul_(2).values() == Values{12, 24});
  CHECK(x.fill_(3).values() == Values{3, 3});
  CHECK(x.copy_(Tensor::of<double>({7, 8})).values() == Values{7, 8});
  CHECK(x.copy_(x).values() == Values{7, 8});
  CHECK(x.add_(x).values() == Values{14, 16});
  Tensor n = Tensor::arange(3);
  CHECK(n.add_(n, 2).values() == Values{0, 3, 6});
  // Half of a row onto the other: memmove.
  Tensor line = Tensor::arange(4).view({4, 1});
  Tensor(line.rows(1, 4)).copy_(line.rows(0, 3));
  CHECK(line.values() == Values{0, 0, 1, 2});
}

TEST_CASE("view, rows, clone and to: PyTorch's to the bit, with their gradients") {
  using Call = std::function<Tensor(const std::vector<Tensor>&)>;
  // By the names of fixtures/make_tensor.py.
  const std::map<std::string, Call> calls{
      {"view",
       [](const auto& x) {
         return x[0].view({4, 3});
       }},
      {"view scalar", [](const auto& x) { return x[0].view({}); }},
      {"rows", [](const auto& x) { return x[0].rows(1, 3); }},
      {"rows none", [](const auto& x) { return x[0].rows(4, 4); }},
      {"clone", [](const auto& x) { return x[0].clone(); }},
      {"to f32", [](const auto& x) { return x[0].to(f32); }},
      {"to f64", [](const auto& x) { return x[0].to(f64); }},
  };
  const int64_t before = live_nodes();
  size_t cases = 0;
  for (const Fixture& f : read_fixtures("tensor")) {
    INFO(f.name);
    ++cases;
    const Tensor x = f.tensor("x").requires_grad_();
    const Tensor y = calls.at(f.name)({x});
    check_close(y, f.tensor("y"), 0);
    backward(y, f.tensor("dy"));
    check_close(x.grad(), f.tensor("dx"), 0);
    // Linear ops: a long step says as much as a short one, and leaves f32 its digits.
    const auto in_f64 = [&](const auto& in) { return calls.at(f.name)(in).to(f64); };
    const GradcheckOptions options{.step = 0.5, .allow_zero = f.name == "rows none"};
    CHECK(gradcheck(in_f64, {x.detach().to(f64)}, options) == "");
  }
  CHECK(cases == 2 * calls.size());
  CHECK(live_nodes() == before);
}

TEST_CASE("numbers that i64 does not hold") {
  Tensor n = Tensor::full({1}, 10, i64);
  const auto text = [](const char* op, const char* number) {
    return fmt::format("{}: an i64 tensor takes integers; got {}. Hint: x.to(f32).", op, number);
  };
  CHECK(message([&] { n.mul_(1.5); }) == text("mul_", "1.5"));
  CHECK(message([&] { n.add_(n, 0.5); }) == text("add_", "0.5"));
  CHECK(message([&] { n.fill_(0.5); }) == text("fill_", "0.5"));
  CHECK(message([&] { n.fill_(NAN); }) == text("fill_", "nan"));
  CHECK(message([&] { n.fill_(-INFINITY); }) == text("fill_", "-inf"));
  CHECK(message([&] { n.fill_(0x1p63); }) == text("fill_", "9.223372036854776e+18"));
  CHECK(message([&] { Tensor::full({1}, 2.5, i64); }) == text("full", "2.5"));
  for (const double v : {static_cast<double>(NAN), static_cast<double>(INFINITY), 1e300}) {
    CHECK_THROWS_AS((void)Tensor::of<double>({0, v}).to(i64), Error);
  }
  CHECK(n.values() == Values{10});
  CHECK(n.version() == 0);
  CHECK(n.mul_(-3).add_(n, -2).values() == Values{30});
  CHECK(n.fill_(-0x1p63).values() == Values{-0x1p63});
  n.mul_(-1);  // sums and products wrap
  CHECK(n.data<int64_t>()[0] == INT64_MIN);
  CHECK(Tensor::of<double>({-0x1p63, 1.75, -2.5}).to(i64).values() == Values{-0x1p63, 1, -2});
}

TEST_CASE("a moved-from tensor is undefined, and assigning to it makes it whole") {
  Tensor x = Tensor::ones({2});
  Tensor y = std::move(x);
  CHECK_FALSE(x.defined());  // NOLINT: what is tested
  CHECK(y.defined());
  CHECK_THROWS_AS((void)x.data<float>(), Error);
  x = y;
  CHECK(x.values() == Values{1, 1});
  Tensor& same = x;
  x = same;
  CHECK(x.values() == Values{1, 1});
}

TEST_CASE("a user's mistakes") {
  const Tensor none{}, x = Tensor::zeros({2, 3});
  Tensor w = x.clone();
  const char* undefined_data =
      "data: the tensor is undefined (moved from, or never set). Hint: give it a value first.";
  CHECK_THROWS_WITH_AS((void)none.data<float>(), undefined_data, Error);
  CHECK_THROWS_WITH_AS((void)Tensor().mutable_data<float>(), undefined_data, Error);
  CHECK_THROWS_WITH_AS(
      (void)x.data<double>(),
      "data: expected to read f64; got a tensor of f32 [2, 3]. Hint: x.to(f64) converts.", Error);
  CHECK_THROWS_AS((void)x.data<int64_t>(), Error);
  CHECK_THROWS_AS((void)w.mutable_data<double>(), Error);
  CHECK_THROWS_WITH_AS(
      (void)x.item(),
      "item: expected a tensor of one element; got [2, 3]. Hint: sum(x) or mean(x) "
      "first.",
      Error);
  CHECK_THROWS_WITH_AS((Tensor::of<float>({1, 2, 3}, {2, 2})),
                       "of: a tensor of shape [2, 2] holds 4 values; got 3.", Error);
  CHECK_THROWS_AS(Tensor::zeros({-1}), Error);
  CHECK_THROWS_AS(Tensor::arange(-1), Error);
  CHECK_THROWS_WITH_AS((void)x.view({7}),
                       "view: [2, 3] has 6 elements; got the new shape [7] of 7.", Error);
  CHECK_THROWS_WITH_AS(
      (void)x.rows(1, 3),
      "rows: expected 0 <= begin <= end <= dim 0 of [2, 3]; got begin 1 and end 3.", Error);
  CHECK_THROWS_AS((void)x.rows(-1, 1), Error);
  CHECK_THROWS_AS((void)x.rows(2, 1), Error);
  CHECK_THROWS_AS((void)Tensor::scalar(1).rows(0, 0), Error);
  CHECK_THROWS_AS((void)x.dim(2), Error);
  CHECK_THROWS_WITH_AS(w.copy_(Tensor::zeros({3, 2})),
                       "copy_: the target [2, 3] and the source [3, 2] must have the same shape.",
                       Error);
  CHECK_THROWS_WITH_AS(
      w.copy_(x.to(f64)),
      "copy_: the target and the source must have the same dtype; got f32 [2, 3] and "
      "f64 [2, 3]. Hint: the source.to(f32).",
      Error);
  CHECK_THROWS_WITH_AS(w.add_(Tensor::zeros({3})),
                       "add_: the target [2, 3] and the source [3] must have the same shape.",
                       Error);
  CHECK_THROWS_AS(w.add_(x.to(i64)), Error);
  CHECK(w.version() == 0);  // none of them wrote
}

TEST_CASE("reading an undefined tensor is an error everywhere, never a crash") {
  const Tensor ok = Tensor::zeros({2});
  struct Case {
    const char* op;
    std::function<void(Tensor&)> call;
  };
  for (const Case& c : std::vector<Case>{
           {"item", [](Tensor& t) { (void)t.item(); }},
           {"values", [](Tensor& t) { (void)t.values(); }},
           {"clone", [](Tensor& t) { (void)t.clone(); }},
           {"to", [](Tensor& t) { (void)t.to(f64); }},
           {"view", [](Tensor& t) { (void)t.view({1}); }},
           {"rows", [](Tensor& t) { (void)t.rows(0, 0); }},
           {"copy_", [&](Tensor& t) { t.copy_(ok); }},
           {"copy_", [&](Tensor& t) { Tensor(ok).copy_(t); }},
           {"add_", [&](Tensor& t) { t.add_(ok); }},
           {"add_", [&](Tensor& t) { Tensor(ok).add_(t); }},
           {"fill_", [](Tensor& t) { t.fill_(1); }},
           {"mul_", [](Tensor& t) { t.mul_(1); }},
           {"requires_grad_", [](Tensor& t) { t.requires_grad_(); }},
           {"retain_grad", [](Tensor& t) { t.retain_grad(); }},
           {"set_grad", [&](Tensor& t) { t.set_grad(ok); }},
           {"hook", [](Tensor& t) { t.hook([](const Tensor& g) { return g; }); }},
           {"backward", [](Tensor& t) { t.backward(); }},
           {"version", [](Tensor& t) { (void)t.version(); }},
           {"bump_version", [](Tensor& t) { t.bump_version(); }},
       }) {
    INFO(c.op);
    Tensor never, moved = Tensor::ones({1});
    Tensor(std::move(moved)).fill_(0);
    for (Tensor* t : {&never, &moved}) {
      std::string text;
      try {
        c.call(*t);
      } catch (const Error& error) {
        text = error.what();
      }
      CHECK(text.rfind(std::string(c.op) + ": ", 0) == 0);
      CHECK(text.find("is undefined (moved from, or never set)") != std::string::npos);
    }
  }
  CHECK_FALSE(Tensor().unique());
  CHECK_FALSE(Tensor().requires_grad());
  CHECK_FALSE(Tensor().grad().defined());
  Tensor().zero_grad();
}

TEST_CASE("tensors go from thread to thread") {
  Tensor x;
  std::thread([&x] { x = Tensor::arange(1000, f64); }).join();
  CHECK(x.values()[999] == 999);
  std::vector<std::thread> readers;
  std::vector<double> sums(4);
  for (double& sum : sums) {
    readers.emplace_back([x, &sum] {
      for (int i = 0; i < 100; ++i) {
        const Tensor copy = x, view = copy.view({10, 100});
        sum += view.data<double>()[i];
      }
    });
  }
  for (std::thread& t : readers) t.join();
  CHECK(sums == Values(4, 4950));
  CHECK(x.unique());
}

TEST_CASE("of: integers are i64, memory, rows in rows") {
  CHECK(Tensor::of<int>({1, -2}).dtype() == i64);
  CHECK(Tensor::of<int>({1, -2}).values() == Values{1, -2});
  CHECK(Tensor::of({1, 2, 3}).dtype() == i64);
  CHECK(Tensor::of({1.5, 2.0}).dtype() == f64);
  CHECK(Tensor::of<bool>({true, false}).values() == Values{1, 0});
  CHECK(Tensor::of(std::vector<bool>{true, false}).values() == Values{1, 0});
  CHECK(Tensor::of(std::vector<uint8_t>{255, 7}, {2, 1}).values() == Values{255, 7});
  const float pixels[] = {1, 2, 3, 4, 5, 6};
  CHECK(Tensor::of(pixels, {2, 3}).shape() == Shape{2, 3});
  CHECK(Tensor::of(pixels, {2, 2}).values() == Values{1, 2, 3, 4});
  const Tensor x = Tensor::of<float>({{1, 2, 3}, {4, 5, 6}});
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.values() == Values{1, 2, 3, 4, 5, 6});
  CHECK(Tensor::of<float>({{1}, {2}}).shape() == Shape{2, 1});
  CHECK(Tensor::of<double>({}).shape() == Shape{0});
  CHECK(Tensor::of<double>({0}, {1}).values() == Values{0});  // {0} is no pointer here
  CHECK(Tensor::of<double>({}, {0, 3}).shape() == Shape{0, 3});
  CHECK_THROWS_WITH_AS(Tensor::of<float>({{1, 2}, {3}}),
                       "of: all rows must have the same length; got 2 and 1.", Error);
  CHECK_THROWS_WITH_AS(Tensor::of<int>({1, 2}, {3}),
                       "of: a tensor of shape [3] holds 3 values; got 2.", Error);
}

TEST_CASE("at reads one value, [] one row") {
  const Tensor x = Tensor::of<float>({{1, 2, 3}, {4, 5, 6}});
  CHECK(x.at({1, 2}) == 6);
  CHECK(x.at({-2, -1}) == 3);
  CHECK(Tensor::scalar(7).at({}) == 7);
  CHECK(Tensor::arange(5).at({3}) == 3);
  CHECK_THROWS_WITH_AS(
      x.at({2, 0}),
      "at: expected 2 indices inside [2, 3], or negative ones from the end; got [2, 0].", Error);
  CHECK_THROWS_AS(x.at({0, -4}), Error);
  CHECK_THROWS_AS(x.at({0}), Error);
  CHECK_THROWS_AS(x.at({}), Error);
  CHECK_THROWS_WITH_AS(Tensor().at({0}), doctest::Contains("at: the tensor is undefined"), Error);

  CHECK(x[1].values() == Values{4, 5, 6});
  CHECK(x[-2].values() == Values{1, 2, 3});
  CHECK(x[1].shape() == Shape{3});
  CHECK(x[0][2].item() == 3);
  CHECK(x.same_memory(x[0]));
  CHECK_THROWS_WITH_AS(x[2], "[]: expected an index in -2..1 for dim 0 of [2, 3]; got 2.", Error);
  CHECK_THROWS_AS(x[-3], Error);
  CHECK_THROWS_AS(Tensor::scalar(1)[0], Error);
  CHECK_THROWS_AS(Tensor::zeros({0, 2})[0], Error);
  // A row is gone after the statement: nothing can be assigned to it.
  static_assert(!std::is_assignable_v<decltype(x[0]), Tensor>);
  static_assert(std::is_assignable_v<Tensor&, Tensor>);
}

TEST_CASE("shapes, dtypes and tensors are written to streams") {
  std::ostringstream out;
  out << Shape{2, 3} << ' ' << Shape{} << ' ' << f64 << ' '
      << Tensor::of<float>({{1, 2}, {3, 4.5f}}) << ' ' << Tensor::arange(3) << ' ' << Tensor();
  CHECK(out.str() == "[2, 3] [] f64 [[1.  2. ]\n [3.  4.5]] [0 1 2] undefined");
}
