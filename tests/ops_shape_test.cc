#include "ramp/autograd/ops_shape.h"

#include <algorithm>
#include <numeric>

#include "fixture.h"
#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/core/parallel.h"
#include "ramp/core/random.h"
#include "ramp/core/strided.h"
#include "ramp/glass/gradcheck.h"

using namespace ramp;

namespace {

Tensor at(std::vector<int64_t> values, const Shape& shape) {
  return Tensor::of<int64_t>(values, shape);
}
Tensor at(std::vector<int64_t> values) { return Tensor::of<int64_t>(values); }

using Call = std::function<Tensor(const std::vector<Tensor>&)>;
// By the names of fixtures/make_shape.py.
const std::map<std::string, Call> kCalls{
    {"permute 2 0 1",
     [](const auto& x) {
       return permute(x[0], {2, 0, 1});
     }},
    {"permute 0 3 1 2",
     [](const auto& x) {
       return permute(x[0], {0, -1, 1, 2});
     }},
    {"permute 2 1 0",
     [](const auto& x) {
       return permute(x[0], {2, 1, 0});
     }},
    {"transpose", [](const auto& x) { return transpose(x[0]); }},
    {"transpose 0 1", [](const auto& x) { return transpose(x[0], 0, 1); }},
    {"reshape 4 -1",
     [](const auto& x) {
       return reshape(x[0], {4, -1});
     }},
    {"broadcast_to 2 3 4",
     [](const auto& x) {
       return broadcast_to(x[0], {2, 3, 4});
     }},
    {"broadcast_to 5 3",
     [](const auto& x) {
       return broadcast_to(x[0], {5, 3});
     }},
    {"slice 0 1 4", [](const auto& x) { return slice(x[0], 0, 1, 4); }},
    {"slice -1 1 -1", [](const auto& x) { return slice(x[0], -1, 1, -1); }},
    {"slice 1 0 7 3", [](const auto& x) { return slice(x[0], 1, 0, 7, 3); }},
    {"slice 0 1 5 2", [](const auto& x) { return slice(x[0], 0, 1, 5, 2); }},
    {"concat 0", [](const auto& x) { return concat(x); }},
    {"concat -1", [](const auto& x) { return concat(x, -1); }},
    {"stack 0", [](const auto& x) { return stack(x); }},
    {"stack -1", [](const auto& x) { return stack(x, -1); }},
    {"pad",
     [](const auto& x) {
       return pad(x[0], {{0, 0}, {2, 0}, {0, 1}}, 1.5);
     }},
    {"take 0",
     [](const auto& x) {
       return take(x[0], at({3, 0, 3, 3}));
     }},
    {"take 1",
     [](const auto& x) {
       return take(x[0], at({2, 2, 0}), 1);
     }},
    {"take matrix",
     [](const auto& x) {
       return take(x[0], at({1, 0, 1, 1, 2, 0}, {3, 2}));
     }},
    {"gather 1",
     [](const auto& x) {
       return gather(x[0], 1, at({0, 0, 3, 2, 1, 2}, {2, 3}));
     }},
    {"gather 0",
     [](const auto& x) {
       return gather(x[0], 0, at({2, 0}, {1, 2}));
     }},
    {"take negative",
     [](const auto& x) {
       return take(x[0], at({-1, 0, -4}));
     }},
    {"gather negative",
     [](const auto& x) {
       return gather(x[0], 1, at({-1, 0, 3, 2, -3, -2}, {2, 3}));
     }},
    {"flip 1", [](const auto& x) { return flip(x[0], 1); }},
    {"roll 2 0", [](const auto& x) { return roll(x[0], 2, 0); }},
    {"roll -6 1", [](const auto& x) { return roll(x[0], -6, 1); }},
    {"repeat 2 1 3",
     [](const auto& x) {
       return repeat(x[0], {2, 1, 3});
     }},
    {"split 2",
     [](const auto& x) {
       const auto y = split(x[0], 2, 1);
       return concat({y.rbegin(), y.rend()}, 1);
     }},
    {"split 1 4",
     [](const auto& x) {
       const auto y = split(x[0], std::vector<int64_t>{1, 4});
       return concat({y.rbegin(), y.rend()});
     }},
    {"pad reflect",
     [](const auto& x) {
       return pad(x[0], {{0, 0}, {0, 0}, {3, 0}, {1, 2}}, PadMode::reflect);
     }},
    {"pad replicate",
     [](const auto& x) {
       return pad(x[0], {{0, 0}, {0, 0}, {3, 0}, {1, 2}}, PadMode::replicate);
     }},
    {"pad circular",
     [](const auto& x) {
       return pad(x[0], {{0, 0}, {0, 0}, {3, 0}, {1, 2}}, PadMode::circular);
     }},
};

std::vector<Tensor> inputs(const Fixture& f, const std::string& prefix) {
  std::vector<Tensor> x;
  for (int i = 0; f.has(prefix + std::to_string(i)); ++i) {
    x.push_back(f.tensor(prefix + std::to_string(i)));
  }
  return x;
}

}  // namespace

TEST_CASE("ops that move values: PyTorch's to the bit, right derivatives, no node left behind") {
  const int64_t before = live_nodes();
  size_t cases = 0;
  for (const Fixture& f : read_fixtures("shape")) {
    INFO(f.name);
    ++cases;
    if (f.name == "one_hot") {
      check_close(one_hot(f.tensor("x"), 4, i64), f.tensor("y"), 0);
      continue;
    }
    const Call& call = kCalls.at(f.name);
    std::vector<Tensor> x = inputs(f, "x");
    const std::vector<Tensor> expected = inputs(f, "dx");
    for (Tensor& t : x) t.requires_grad_();
    const Tensor y = call(x);
    check_close(y, f.tensor("y"), 0);
    backward(y, f.tensor("dy"));
    for (size_t i = 0; i < x.size(); ++i) {
      check_close(x[i].grad(), expected[i], y.dtype() == f32 ? 1e-6 : 1e-15);
    }
    if (y.dtype() == f64) CHECK(gradcheck(call, x) == "");
    // The same values as integers move to the same places.
    std::vector<Tensor> integers;
    for (const Tensor& t : x) integers.push_back(Tensor::arange(t.numel()).view(t.shape()));
    std::vector<Tensor> floats;
    for (const Tensor& t : integers) floats.push_back(t.to(f64));
    if (f.name != "pad") CHECK(call(integers).values() == call(floats).values());
  }
  CHECK(cases == 2 * kCalls.size() + 1);
  CHECK(live_nodes() == before);
}

TEST_CASE("permute: every order of four axes, small and large") {
  for (const Shape& shape : {Shape{2, 3, 1, 5}, Shape{2, 70, 3, 65}, Shape{3, 2, 130, 1}}) {
    const Tensor x = Tensor::arange(shape.numel());
    std::vector<int> axes{0, 1, 2, 3};
    do {
      const Tensor y = permute(x.view(shape), axes);
      const auto strides = shape.strides();
      bool equal = true;
      int64_t i = 0;
      const auto step = [&](int k) { return strides[static_cast<size_t>(axes[k])]; };
      for (int64_t a = 0; a < y.dim(0); ++a)
        for (int64_t b = 0; b < y.dim(1); ++b)
          for (int64_t c = 0; c < y.dim(2); ++c)
            for (int64_t d = 0; d < y.dim(3); ++d, ++i) {
              equal &=
                  y.data<int64_t>()[i] == a * step(0) + b * step(1) + c * step(2) + d * step(3);
            }
      CHECK(equal);
      CHECK(y.to(f32).values() == permute(x.view(shape).to(f32), axes).values());
    } while (std::next_permutation(axes.begin(), axes.end()));
  }
}

TEST_CASE("take gathers batches, repeated and out of order, and adds their gradients in order") {
  const int before = num_threads();
  const Tensor images = Rng(1).normal({500, 784});
  const Tensor rows = at({3, 499, 0, 3, 3, 42});
  const Tensor y = take(images, rows);
  for (int64_t k = 0; k < 6; ++k) {
    const int64_t i = rows.data<int64_t>()[k];
    CHECK(y.rows(k, k + 1).values() == images.rows(i, i + 1).values());
  }
  std::vector<int64_t> many(4000);
  for (size_t k = 0; k < many.size(); ++k) many[k] = static_cast<int64_t>(k * k % 7);
  const Tensor dy = Rng(2).normal({4000, 1500});
  std::vector<double> dx;
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    Tensor x = Tensor::zeros({7, 1500}).requires_grad_();
    backward(take(x, at(many)), dy);
    if (threads == 1) {
      dx = x.grad().values();
    } else {
      CHECK(x.grad().values() == dx);
    }
  }
  set_num_threads(before);
  CHECK(take(images, at({})).shape() == Shape{0, 784});
  CHECK(take(images, at({2}).view({})).shape() == Shape{784});
}

TEST_CASE("reshape, flatten, rows: no copy") {
  const Tensor x = Tensor::zeros({2, 3, 4});
  CHECK(reshape(x, {-1}).same_memory(x));
  CHECK(reshape(x, {3, -1, 2}).shape() == Shape{3, 4, 2});
  CHECK(flatten(x).shape() == Shape{2, 12});
  CHECK(flatten(x, 0).shape() == Shape{24});
  CHECK(flatten(x, -1).shape() == Shape{2, 3, 4});
  CHECK(unsqueeze(x, -1).shape() == Shape{2, 3, 4, 1});
  CHECK(unsqueeze(x, 0).shape() == Shape{1, 2, 3, 4});
  CHECK(squeeze(unsqueeze(x, 1), 1).shape() == Shape{2, 3, 4});
  CHECK(slice(x, 0, 0, 2).same_memory(x));
}

TEST_CASE("ops that move values: nothing to move") {
  Tensor none = Tensor::zeros({0, 3}).requires_grad_();
  for (const Call& f : std::vector<Call>{
           [](const auto& x) { return transpose(x[0]); },
           [](const auto& x) {
             return reshape(x[0], {3, 0});
           },
           [](const auto& x) { return slice(x[0], 1, 1, 3); },
           [](const auto& x) { return slice(x[0], 1, 2, 2); },
           [](const auto& x) {
             return concat({x[0], x[0]});
           },
           [](const auto& x) {
             return take(x[0], at({2, 0}), 1);
           },
           [](const auto& x) {
             return broadcast_to(x[0], {2, 0, 3});
           },
           [](const auto& x) {
             return pad(x[0], {{1, 0}, {0, 0}});
           },
           [](const auto& x) {
             return pad(x[0], {{0, 0}, {1, 4}}, PadMode::reflect);
           },
           [](const auto& x) { return flip(x[0], 0); },
           [](const auto& x) { return roll(x[0], 1, 0); },
           [](const auto& x) {
             return repeat(x[0], {3, 0});
           },
           [](const auto& x) { return split(x[0], 2)[0]; },
       }) {
    none.zero_grad();
    const Tensor y = f({none});
    backward(y, Tensor::ones(y.shape()));
    CHECK(none.grad().shape() == none.shape());
  }
}

TEST_CASE("ops that move values: a user's mistakes") {
  const Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({2, 4});
  CHECK(message([&] { permute(x, {0}); }) ==
        "permute: expected each of the 2 axes of x [2, 3] once; got [0].");
  CHECK(message([&] {
          permute(x, {1, -1});
        }) == "permute: expected each of the 2 axes of x [2, 3] once; got [1, -1].");
  CHECK(message([&] { transpose(x, 0, 2); }) ==
        "transpose: axis must be in -2..1 for a tensor of rank 2; got 2.");
  CHECK(message([&] {
          reshape(x, {4, 2});
        }) ==
        "reshape: x [2, 3] has 6 elements and does not fit [4, 2]. Hint: one dimension may be -1, "
        "which computes it.");
  CHECK(message([&] {
          reshape(x, {4, -1});
        }) ==
        "reshape: x [2, 3] has 6 elements and does not fit [4, -1]. Hint: one dimension may be -1, "
        "which computes it.");
  CHECK(message([&] {
          reshape(x, {-1, -1});
        }) ==
        "reshape: x [2, 3] has 6 elements and does not fit [-1, -1]. Hint: only one dimension may "
        "be -1.");
  CHECK(message([&] { reshape(x, {-2, -3}); }).rfind("reshape: x [2, 3] has 6 elements", 0) == 0);
  CHECK(message([&] {
          reshape(Tensor::zeros({0, 3}), {0, -1});
        }).rfind("reshape: x [0, 3] has 0 elements", 0) == 0);
  CHECK(message([&] { squeeze(x, 1); }) ==
        "squeeze: expected axis 1 to be of size 1; got x [2, 3].");
  CHECK(message([&] {
          broadcast_to(x, {3, 3});
        }) ==
        "broadcast_to: x [2, 3] does not broadcast to [3, 3]: aligned at the last axis, its "
        "dimensions must be equal or 1.");
  CHECK(message([&] { broadcast_to(x, {3}); }).rfind("broadcast_to: x [2, 3] does not", 0) == 0);
  for (const std::array<int64_t, 3>& at :
       std::vector<std::array<int64_t, 3>>{{0, 4, 1}, {-4, 2, 1}, {2, 1, 1}, {0, 2, 0}}) {
    CHECK(message([&] { slice(x, 1, at[0], at[1], at[2]); }) ==
          fmt::format("slice: expected 0 <= begin <= end <= 3 (or counted from the end) and step "
                      ">= 1 along axis 1 of x [2, 3]; got begin {}, end {}, step {}.",
                      at[0], at[1], at[2]));
  }
  CHECK(message([&] { concat({}); }) == "concat: expected at least one tensor; got none.");
  CHECK(message([&] {
          concat({x, y});
        }) == "concat: shapes must be equal except at axis 0; got x[0] [2, 3] and x[1] [2, 4].");
  CHECK(message([&] {
          concat({x, x.to(f64)});
        }) ==
        "concat: x[0] and x[1] must have the same dtype; got f32 [2, 3] and f64 [2, 3]. Hint: "
        "x[1].to(f32).");
  CHECK(message([&] {
          stack({x, y});
        }) == "stack: shapes must be equal; got x[0] [2, 3] and x[1] [2, 4].");
  CHECK(message([&] {
          pad(x, {{1, 1}});
        }) == "pad: expected a pair {before, after} for each axis of x [2, 3]; got 1.");
  CHECK(message([&] {
          pad(x, {{1, 1}, {0, -1}});
        }) ==
        "pad: expected numbers of at least 0; got {0, -1} at axis 1. Hint: slice() takes values "
        "away.");
  CHECK(message([&] {
          take(x, at({0, 1, 2}));
        }) == "take: indices must be in -2..1 for an axis of size 2; got 2 at position 2.");
  CHECK(message([&] {
          take(x, at({0, -3}));
        }) == "take: indices must be in -2..1 for an axis of size 2; got -3 at position 1.");
  CHECK(message([&] { take(x, Tensor::zeros({2})); }) ==
        "take: indices must be i64; got f32 [2]. Hint: indices.to(i64).");
  CHECK(message([&] {
          gather(x, 1, at({0, 0, 3}, {1, 3}));
        }) == "gather: indices must be in -3..2 for an axis of size 3; got 3 at position 2.");
  CHECK(message([&] {
          gather(x, 1, at({0, 0, 0}, {3, 1}));
        }) ==
        "gather: index must have x's rank and, except at axis 1, be no larger; got x [2, 3] and "
        "index [3, 1].");
  CHECK(message([&] { gather(x, 1, at({0})); }).rfind("gather: index must have x's rank and", 0) ==
        0);
  CHECK(message([&] { unsqueeze(x, 3); }) ==
        "unsqueeze: a new axis for a tensor of rank 2 must be in -3..2; got 3.");
  CHECK(message([&] {
          stack({x, x}, -4);
        }) == "stack: a new axis for a tensor of rank 2 must be in -3..2; got -4.");
  CHECK(message([&] { unsqueeze(Tensor::scalar(1), 1); }) ==
        "unsqueeze: a new axis for a tensor of rank 0 must be in -1..0; got 1.");
  CHECK(message([&] { repeat(x, {2}); }) ==
        "repeat: expected a number of at least 0 for each axis of x [2, 3]; got [2]. Hint: "
        "unsqueeze(x, 0) adds an axis.");
  CHECK(message([&] {
          repeat(x, {2, -1});
        }).rfind("repeat: expected a number of at least 0", 0) == 0);
  CHECK(message([&] { split(x, 0); }) == "split: expected slices of a size of at least 1; got 0.");
  CHECK(message([&] {
          split(x, std::vector<int64_t>{1, 1}, 1);
        }) == "split: the sizes must add up to 3, axis 1 of x [2, 3]; got [1, 1].");
  CHECK(message([&] {
          split(x, std::vector<int64_t>{3, -1});
        }).rfind("split: the sizes must add up to 2", 0) == 0);
  CHECK(message([&] {
          pad(Tensor::zeros({0, 3}), {{1, 0}, {0, 0}}, PadMode::circular);
        }) == "pad: axis 0 of x [0, 3] has no values to pad with. Hint: pad(x, around, 0.0).");
  CHECK(message([&] {
          one_hot(at({0, 4}), 4);
        }) == "one_hot: labels must be in 0..3; got 4 at position 1.");
  CHECK(message([&] { one_hot(at({-1}), 4); }) ==
        "one_hot: labels must be in 0..3; got -1 at position 0.");
  CHECK(message([&] { flip(x, 2); }) ==
        "flip: axis must be in -2..1 for a tensor of rank 2; got 2.");
  CHECK(message([&] { transpose({}); }) ==
        "transpose: x is undefined (moved from, or never set). Hint: give it a value first.");
}

TEST_CASE("ops that make a size: one too large is an error before memory is taken") {
  const Tensor x = Tensor::ones({1, 1});
  const int64_t huge = INT64_MAX, large = int64_t{1} << 32;
  const std::string most = ": a size is at most 2^58, the most elements of a tensor; got ";
  const MemoryStats before = memory_stats();
  const auto starts = [](const std::string& text, const std::string& with) {
    INFO(text);
    CHECK(text.rfind(with, 0) == 0);
  };
  starts(message([&] {
           pad(x, {{large - 1, 0}, {large - 1, 0}});
         }),
         "shape: at most 2^58 elements; got [4294967296, 4294967296].");
  starts(message([&] { pad(x, {{huge, huge}, {0, 0}}); }), "pad" + most);
  starts(message([&] { reshape(x, {large, large, -1}); }), "reshape" + most);
  starts(message([&] { reshape(Tensor::ones({0}), {large, large, -1}); }), "reshape" + most);
  starts(message([&] { broadcast_to(x, {large, large}); }), "shape: at most 2^58");
  starts(message([&] { pad(x, {{huge, 0}, {0, 0}}, PadMode::circular); }), "pad" + most);
  starts(message([&] { repeat(x, {large, large}); }), "shape: at most 2^58");
  starts(message([&] { repeat(Tensor::ones({2, 2}), {huge, 1}); }), "repeat" + most);
  starts(message([&] {
           split(x, std::vector<int64_t>{huge, huge});
         }),
         "split: the sizes must add up to 1");
  starts(message([&] { one_hot(at({0, 1}), int64_t{1} << 58); }), "shape: at most 2^58");
  starts(message([&] { Tensor::full({large, large}, 1); }), "shape: at most 2^58");
  starts(message([&] { Tensor::arange(huge); }), "shape: at most 2^58");
  starts(message([&] { Rng(1).permutation(huge); }), "shape: at most 2^58");
  CHECK(memory_stats().system_bytes == before.system_bytes);
  CHECK(slice(Tensor::arange(5), 0, 0, 5, huge).values() == std::vector<double>{0});
  CHECK(slice(Tensor::arange(5).view({1, 5}), 1, 1, 5, huge).values() == std::vector<double>{1});
  CHECK(slice(Tensor::arange(0), 0, 0, 0, huge).numel() == 0);
}

TEST_CASE("pad with x's own values: by more than x has, as NumPy does, and of one value") {
  const Tensor x = at({1, 2, 3}), one = at({7});
  const auto row = [](const Tensor& x, int64_t before, int64_t after, PadMode mode) {
    return pad(x, {{before, after}}, mode).values();
  };
  using V = std::vector<double>;
  CHECK(row(x, 2, 2, PadMode::reflect) == V{3, 2, 1, 2, 3, 2, 1});
  CHECK(row(x, 5, 0, PadMode::reflect) == V{2, 1, 2, 3, 2, 1, 2, 3});
  CHECK(row(x, 4, 1, PadMode::circular) == V{3, 1, 2, 3, 1, 2, 3, 1});
  CHECK(row(x, 1, 2, PadMode::replicate) == V{1, 1, 2, 3, 3, 3});
  for (const PadMode mode : {PadMode::reflect, PadMode::replicate, PadMode::circular}) {
    CHECK(row(one, 2, 1, mode) == V{7, 7, 7, 7});
  }
}

TEST_CASE("repeat, split, roll, one_hot: other forms") {
  const Tensor x = at({0, 1, 2, 3, 4}, {5});
  CHECK(repeat(x, {0}).numel() == 0);
  const std::vector<Tensor> parts = split(x, 2);
  CHECK(parts.size() == 3);
  CHECK(parts[2].values() == std::vector<double>{4});
  CHECK(split(Tensor::zeros({0, 2}), 3).size() == 1);
  CHECK(roll(x, 5, 0).values() == x.values());
  CHECK(roll(x, INT64_MIN, 0).values() == roll(x, INT64_MIN % 5, 0).values());
  CHECK(one_hot(at({1}), 3).dtype() == f32);
  CHECK(one_hot(Tensor::of<int64_t>({1}, {}), 3).values() == std::vector<double>{0, 1, 0});
  CHECK(one_hot(at({}), 3).shape() == Shape{0, 3});
  // Negative indices are those of the values they stand for, in the derivative too.
  Tensor t = Tensor::zeros({3}).requires_grad_();
  backward(take(t, at({-1, 2, 0})), Tensor::of<float>({1, 10, 100}));
  CHECK(t.grad().values() == std::vector<double>{100, 0, 11});
}

TEST_CASE("copy_strided: every pair of strides is what one value after another is, added too") {
  Rng rng(5);
  for (const DType dtype : {f32, f64}) {
    for (const auto& size : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 2}, {5, 7}, {2, 16}, {20, 17}, {33, 40}, {2, 20000}, {40000, 2}}) {
      const int64_t rows = size.first, n = size.second;
      const int64_t last = (rows - 1) * n + n - 1;
      // {stride of rows, of values, first value}: by rows, by columns, backwards, repeated, apart.
      struct Way {
        int64_t row, value, first;
      };
      const Way ways[] = {{n, 1, 0},         {1, rows, 0}, {n, -1, n - 1}, {-n, 1, last - n + 1},
                          {-1, -rows, last}, {0, 1, 0},    {1, 0, 0},      {2 * n, 2, 0}};
      const Tensor x = rng.normal({2 * rows * n}, 0, 1, dtype);
      for (const Way& from : ways) {
        for (const Way& to : {ways[0], ways[1], ways[2], ways[3], ways[4], ways[7]}) {
          INFO(rows << " x " << n << ": " << from.row << ", " << from.value << " to " << to.row
                    << ", " << to.value << ", " << name_of(dtype));
          Tensor y = Tensor::full({2 * rows * n}, 0.5, dtype), sum = y.clone();
          std::vector<double> expected = y.values(), added = expected;
          const std::vector<double> values = x.values();
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              const size_t at = static_cast<size_t>(to.first + i * to.row + j * to.value);
              const size_t source = static_cast<size_t>(from.first + i * from.row + j * from.value);
              expected[at] = values[source];
              added[at] += values[source];
            }
          }
          const Strides s{from.row, from.value}, t{to.row, to.value};
          copy_strided({rows, n}, x, from.first, s, y, to.first, t);
          copy_strided({rows, n}, x, from.first, s, sum, to.first, t, true);
          CHECK(y.values() == expected);
          CHECK(sum.values() == Tensor::of<double>(added).to(dtype).values());
        }
      }
    }
  }
}

TEST_CASE("slices of one tensor add to its gradient in place") {
  const int64_t before = live_nodes();
  const Tensor w = Rng(6).normal({4, 6}, 0, 1, f64);
  const auto f = [&](const std::vector<Tensor>& x) {
    std::vector<Tensor> parts = split(x[0], 2, 1);
    for (int64_t i = 0; i < 4; ++i) parts.push_back(x[0][i].view({1, 6}).rows(0, 1));
    Tensor y = sum(x[0] * x[0] * w) + sum(flip(x[0], 0) * w) + sum(slice(x[0], 1, 0, 6, 3));
    for (const Tensor& part : parts) y = y + sum(part * part * part);
    return y;
  };
  CHECK(gradcheck(f, {Rng(7).normal({4, 6}, 0, 1, f64)}) == "");
  CHECK(gradgradcheck(f, {Rng(7).normal({4, 6}, 0, 1, f64)}) == "");
  // The sum so far is dy itself, which others hold: it is not written to.
  const Tensor x = Tensor::zeros({2, 2}).requires_grad_(), dy = Tensor::ones({2, 2});
  const Tensor y = x.view({2, 2}), part = slice(y, 1, 0, 1), row = y.rows(1, 2);
  backward(y + concat({part, part}, 1) + concat({row, row}, 0), dy);
  CHECK(x.grad().values() == std::vector<double>{3, 1, 5, 3});
  CHECK(dy.values() == std::vector<double>{1, 1, 1, 1});
  // A pass of grad() asks for one of them.
  const Tensor z = x.view({4}), head = z.rows(0, 2);
  const Tensor loss = sum(head * 3) + sum(z.rows(1, 4) * 2);
  CHECK(grad(loss, {z})[0].values() == std::vector<double>{3, 5, 2, 2});
  CHECK(live_nodes() >= before);
}
