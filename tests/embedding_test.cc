#include "ramp/layers/embedding.h"

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif
#include <sys/resource.h>

#include <cmath>
#include <functional>
#include <memory>

#include "fixture.h"
#include "message.h"
#include "ramp/glass/gradcheck.h"
#include "ramp/ramp.h"
#include "threads.h"

using namespace ramp;

namespace {

using Values = std::vector<double>;

Tensor ids_of(std::initializer_list<int64_t> list) { return Tensor::of<int64_t>(list); }

// The gradient of sum(y dy) by the rows in use, as they are kept.
const RowGradient& rows_of(const Tensor& leaf) {
  const RowGradient* rows = row_gradient(leaf);
  REQUIRE(rows);
  return *rows;
}

Tensor run(const Fixture& f, const Tensor& w) {
  std::optional<int64_t> padding;
  if (f.has("padding")) padding = static_cast<int64_t>(f.number("padding"));
  const Tensor ids = f.tensor("ids");
  if (!f.name.starts_with("embedding_bag")) return embedding(w, ids, {padding});
  return embedding_bag(w, ids, {f.name.starts_with("embedding_bag mean"), padding});
}

// As an optimizer takes it.
struct Weights {
  Tensor w;
  explicit Weights(const Shape& shape, DType dtype = f32)
      : w(Rng(3).normal(shape, 0, 1, dtype).requires_grad_()) {}
  void backward(const Tensor& ids, double factor = 1) const {
    const Tensor y = embedding(w, ids);
    ramp::backward(sum(y * y * factor));
  }
};

}  // namespace

TEST_CASE("embeddings and bags are PyTorch's, and so are their gradients") {
  int bags = 0;
  for (const Fixture& f : read_fixtures("embedding")) {
    if (f.name.starts_with("steps")) continue;
    INFO(f.name);
    bags += f.name.starts_with("embedding_bag");
    const Tensor w = f.leaf("weight");
    const double tolerance = w.dtype() == f32 ? 1e-6 : 1e-14;
    const Tensor y = run(f, w);
    check_close(y, f.tensor("y"), tolerance);
    backward(y, f.tensor("dy"));
    const RowGradient rows = rows_of(w);
    CHECK(rows.ids.numel() <= f.tensor("ids").numel());
    for (int64_t i = 1; i < rows.ids.numel(); ++i) CHECK(rows.ids.at({i}) > rows.ids.at({i - 1}));
    check_close(w.grad(), f.tensor("dweight"), tolerance);
    // A result in the place of the leaf has a dense gradient.
    const Tensor v = f.leaf("weight");
    backward(run(f, v * 1.0), f.tensor("dy"));
    CHECK_FALSE(row_gradient(v));
    check_close(v.grad(), f.tensor("dweight"), tolerance);
  }
  CHECK(bags == 16);
}

TEST_CASE("ten steps by rows are PyTorch's") {
  int cases = 0;
  for (const Fixture& f : read_fixtures("embedding")) {
    if (!f.name.starts_with("steps")) continue;
    INFO(f.name);
    ++cases;
    const Tensor w = f.tensor("start").requires_grad_(), ids = f.tensor("ids"), dy = f.tensor("dy");
    const auto number = [&](const char* key, double usual) {
      return f.has(key) ? f.number(key) : usual;
    };
    const double lr = f.number("lr");
    std::unique_ptr<Optimizer> optimizer;
    if (f.name.starts_with("steps SGD"))
      optimizer = std::make_unique<SGD>(Parameters{{"w", w}}, SgdOptions{.lr = lr});
    if (f.name.starts_with("steps Adagrad")) {
      optimizer = std::make_unique<Adagrad>(
          Parameters{{"w", w}},
          AdagradOptions{.lr = lr, .lr_decay = number("lr_decay", 0), .eps = number("eps", 1e-10)});
    }
    if (f.name.starts_with("steps SparseAdam"))
      optimizer = std::make_unique<Adam>(Parameters{{"w", w}}, AdamOptions{.lr = lr});
    REQUIRE(optimizer);
    for (int64_t t = 0; t < 10; ++t) {
      optimizer->zero_grad();
      backward(embedding(w, ids[t]), dy[t]);
      CHECK(row_gradient(w));
      optimizer->step();
      check_close(w.detach(), f.tensor("path")[t], w.dtype() == f32 ? 2e-6 : 1e-6);
    }
  }
  CHECK(cases == 8);
}

TEST_CASE("the layers: first weights, padding, text, in a Sequential") {
  seed_layers(1);
  Embedding table(1000, 16, {.padding = 3});
  CHECK(table.describe() == "Embedding(1000, 16, padding 3)");
  CHECK(max(abs(table.weight[3].detach())).item() == 0);
  const Tensor w = table.weight.detach();
  CHECK(mean(w).item() == doctest::Approx(0).epsilon(0.05));
  CHECK(stddev(w).item() == doctest::Approx(1).epsilon(0.05));
  const Tensor y = table(ids_of({3, 5}));
  CHECK(y.shape() == Shape{2, 16});
  CHECK(max(abs(y[0].detach())).item() == 0);
  CHECK(table.named_parameters()[0].name == "weight");

  Sequential net{EmbeddingBag(50, 8, {.mean = false, .padding = -1}), Dense(8, 2)};
  CHECK(net[0].describe() == "EmbeddingBag(50, 8, sum, padding -1)");
  Adam adam(net, {.lr = 0.05});
  const Tensor x = Rng(2).randint({32, 5}, -1, 50), labels = Rng(4).randint({32}, 0, 2);
  double first = 0, last = 0;
  for (int t = 0; t < 60; ++t) {
    const Tensor loss = cross_entropy(net(x), labels);
    last = loss.item();
    if (t == 0) first = last;
    loss.backward();
    adam.step();
    net.zero_grad();
  }
  CHECK(last < 0.1 * first);
  CHECK(net.summary({32, 5}).find("32, 8") != std::string::npos);  // its x are ids
  net.to(f64);
  CHECK(net(x).dtype() == f64);
}

TEST_CASE("a copy of a table has numbers and a gradient of its own") {
  Embedding a(5, 2);
  backward(sum(a(ids_of({1}))));
  Embedding b = a;
  CHECK_FALSE(has_grad(b.weight));
  backward(sum(b(ids_of({2}))));
  CHECK(rows_of(a.weight).ids.values() == Values{1});
  CHECK(rows_of(b.weight).ids.values() == Values{2});
}

TEST_CASE("the edges: no ids, empty bags, one row, ids out of range") {
  const Tensor w = Rng(1).normal({4, 2}, 0, 1, f64).requires_grad_();
  const Tensor none = Tensor::zeros({0}, i64);
  CHECK(embedding(w, none).shape() == Shape{0, 2});
  backward(sum(embedding(w, none)));
  CHECK(rows_of(w).ids.numel() == 0);
  CHECK(w.grad().values() == Values(8));
  CHECK(embedding(w, Tensor::scalar(2, i64)).shape() == Shape{2});
  // Bags of nothing are 0, and so is a mean of padding alone.
  CHECK(embedding_bag(w, Tensor::zeros({3, 0}, i64)).values() == Values(6));
  CHECK(embedding_bag(w, ids_of({9, 9}), {.padding = 9}).values() == Values(2));
  const Tensor one = Tensor::of<double>({{5}}).requires_grad_();
  backward(sum(embedding(one, ids_of({0, 0, 0}))));
  CHECK(one.grad().values() == Values{3});
  CHECK(message([&] {
          embedding(w, ids_of({1, 4}));
        }) == "embedding: ids must be in 0..3 for weight [4, 2]; got 4 at position 1.");
  CHECK(message([&] { embedding_bag(w, ids_of({-1})); }) ==
        "embedding_bag: ids must be in 0..3 for weight [4, 2]; got -1 at position 0.");
  CHECK(message([&] { embedding(w, Tensor::zeros({2})); }) ==
        "embedding: ids must be i64; got f32 [2]. Hint: ids.to(i64).");
  CHECK(message([&] { embedding(Tensor::zeros({4}), none); }) ==
        "embedding: weight must be [n, d]; got [4].");
  CHECK(message([&] {
          embedding(Tensor::zeros({4, 2}, i64), none);
        }) == "embedding: expected an f32 or f64 tensor; got i64 [4, 2]. Hint: weight.to(f32).");
  CHECK(message([&] { embedding_bag(w, Tensor::scalar(1, i64)); }) ==
        "embedding_bag: expected ids [.., bag]; got a scalar.");
  CHECK(message([&] { embedding(w, Tensor()); }).starts_with("embedding: ids is undefined"));
  CHECK(message([] { Embedding(0, 2); }) ==
        "Embedding: expected n and d of at least 1; got 0 and 2.");
  CHECK(message([] { EmbeddingBag(2, -1); }) ==
        "EmbeddingBag: expected n and d of at least 1; got 2 and -1.");
  // Ids that were changed since are not those whose rows were taken.
  Tensor ids = ids_of({1, 2});
  const Tensor y = sum(embedding(w, ids));
  ids.fill_(0);
  CHECK(message([&] { y.backward(); }).find("ids [2] was changed in place") != std::string::npos);
}

TEST_CASE("large tables: every digit of an id counts in the order") {
  const int64_t n = (int64_t{1} << 22) + 5;
  const Tensor w = Tensor::zeros({n, 1}, f64).requires_grad_();
  const Tensor ids = concat({Rng(5).randint({3000}, 0, n), Rng(5).randint({3000}, 0, n)});
  backward(sum(embedding(w, ids)));
  const RowGradient& rows = rows_of(w);
  std::vector<double> sorted = ids.values();
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  CHECK(rows.ids.values() == sorted);
  CHECK(sum(rows.values).item() == 6000);
  CHECK(min(rows.values).item() >= 2);
}

TEST_CASE("a gradient by rows adds up: with rows, with a dense one, in one pass and in two") {
  const Weights t({6, 2}, f64), whole({6, 2}, f64);
  const Tensor a = ids_of({4, 1, 4}), b = ids_of({5, 1});
  t.backward(a);
  t.backward(b, 3);
  CHECK(rows_of(t.w).ids.values() == Values{1, 4, 5});
  // Two towers with one table, in one pass.
  const Weights both({6, 2}, f64);
  const Tensor ya = embedding(both.w, a), yb = embedding(both.w, b);
  backward(sum(ya * ya) + sum(yb * yb * 3));
  CHECK(rows_of(both.w).ids.values() == Values{1, 4, 5});
  check_close(both.w.grad(), t.w.grad(), 1e-15);
  // The same by take(), which is dense.
  const Tensor za = take(whole.w, a, 0), zb = take(whole.w, b, 0);
  backward(sum(za * za) + sum(zb * zb * 3));
  check_close(t.w.grad(), whole.w.grad(), 1e-15);

  // Tied weights: an embedding and a product with one table.
  for (const bool rows_first : {true, false}) {
    const Weights tied({6, 2}, f64);
    const Tensor y = embedding(tied.w, a), dense = sum(tied.w * tied.w);
    backward(rows_first ? sum(y * y) + dense : dense + sum(y * y));
    CHECK_FALSE(row_gradient(tied.w));
    const Tensor once = tied.w.grad().clone();
    check_close(once,
                whole.w.grad() * 0 +
                    2 * tied.w.detach() * (1 + Tensor::of<double>({{0}, {1}, {0}, {0}, {2}, {0}})),
                1e-14);
    // And one after the other.
    const Weights two({6, 2}, f64);
    if (rows_first) two.backward(a);
    backward(sum(two.w * two.w));
    if (!rows_first) two.backward(a);
    CHECK_FALSE(row_gradient(two.w));
    check_close(two.w.grad(), once, 1e-14);
  }
}

TEST_CASE("grad() of rows is dense, and looking at it changes nothing; writing to it does") {
  Weights t({4, 2}, f64);
  t.backward(ids_of({2}));
  const Tensor g = t.w.grad();
  CHECK(g.shape() == Shape{4, 2});
  CHECK(row_gradient(t.w));
  CHECK(t.w.grad().same_memory(g));
  t.backward(ids_of({1}));  // g is what it was
  CHECK(g[1].values() == Values(2));
  CHECK(t.w.grad()[1].values() != Values(2));
  CHECK(rows_of(t.w).ids.values() == Values{1, 2});
  Tensor(t.w.grad()).mul_(2);
  CHECK_FALSE(row_gradient(t.w));
  CHECK(t.w.grad()[2].values()[0] == 2 * g[2].values()[0]);
  t.w.set_grad(Tensor::ones({4, 2}, f64));
  CHECK(t.w.grad().values() == Values(8, 1));
  t.backward(ids_of({2}));  // to what is dense
  CHECK_FALSE(row_gradient(t.w));
  CHECK(t.w.grad()[0].values() == Values(2, 1));
  t.w.zero_grad();
  CHECK_FALSE(t.w.grad().defined());
  CHECK_FALSE(row_gradient(t.w));
  t.backward(ids_of({2}));
  t.w.set_grad(Tensor::ones({4, 2}, f64));
  CHECK_FALSE(row_gradient(t.w));
  t.backward(ids_of({2}));
  t.w.requires_grad_(false);
  CHECK_FALSE(has_grad(t.w));
}

TEST_CASE("hooks see a dense gradient; a frozen table has none; grad() and a graph") {
  Weights t({4, 2}, f64);
  Shape seen;
  t.w.hook([&](const Tensor& dy) {
    seen = dy.shape();
    return dy * 2;
  });
  t.backward(ids_of({2}));
  CHECK(seen == Shape{4, 2});
  CHECK_FALSE(row_gradient(t.w));

  const Weights u({4, 2}, f64);
  check_close(t.w.grad(), 2 * grad(sum(pow(embedding(u.w, ids_of({2})), 2)), {u.w})[0], 1e-15);
  CHECK_FALSE(has_grad(u.w));
  u.backward(ids_of({1}));
  const Tensor y = embedding(u.w, ids_of({1}));
  backward(sum(y * y), {}, {.create_graph = true});
  CHECK_FALSE(row_gradient(u.w));
  CHECK(u.w.grad()[1].values()[0] == doctest::Approx(4 * u.w.at({1, 0})));

  Embedding frozen(4, 2);
  frozen.freeze();
  CHECK_FALSE(frozen(ids_of({1})).requires_grad());
  const auto f = [](const std::vector<Tensor>& v) {
    const Tensor ids = Tensor::of<int64_t>({{0, 2, 1}, {2, 2, 3}, {3, 3, 3}});
    return pow(embedding_bag(v[0], ids, {.mean = true, .padding = 3}), 3) +
           0 * sum(embedding(v[0], ids));
  };
  CHECK(gradcheck(f, {Rng(1).normal({4, 2}, 0, 1, f64)}) == "");
  CHECK(gradgradcheck(f, {Rng(1).normal({4, 2}, 0, 1, f64)}) == "");
}

TEST_CASE("steps touch the rows in use alone; the states of the others stay") {
  const auto each = [](auto make) {
    Weights t({6, 3});
    auto optimizer = make(t.w);
    const Tensor before = t.w.detach().clone();
    for (const int64_t id : {1, 4, 4}) {
      t.backward(ids_of({id}));
      optimizer->step();
      optimizer->zero_grad();
    }
    for (const int64_t row : {0, 2, 3, 5}) CHECK(t.w[row].values() == before[row].values());
    for (const int64_t row : {1, 4}) CHECK(t.w[row].values() != before[row].values());
    // Row 1 has rested: its state is that of one step.
    Weights alone({6, 3});
    auto other = make(alone.w);
    alone.backward(ids_of({1}));
    other->step();
    for (const NamedTensor& s : optimizer->state()) {
      if (s.tensor.shape() != t.w.shape()) continue;
      for (const NamedTensor& o : other->state())
        if (o.name == s.name) CHECK(s.tensor[1].values() == o.tensor[1].values());
    }
    CHECK(t.w[1].values() == alone.w[1].values());
  };
  each([](Tensor w) {
    return std::make_unique<SGD>(Parameters{{"w", w}},
                                 SgdOptions{.momentum = 0.9, .weight_decay = 0.1});
  });
  each([](Tensor w) {
    return std::make_unique<Adam>(Parameters{{"w", w}},
                                  AdamOptions{.weight_decay = 0.1, .amsgrad = true});
  });
  each([](Tensor w) { return std::make_unique<AdamW>(Parameters{{"w", w}}); });
  each([](Tensor w) { return std::make_unique<Adamax>(Parameters{{"w", w}}); });
  each([](Tensor w) { return std::make_unique<NAdam>(Parameters{{"w", w}}); });
  each([](Tensor w) { return std::make_unique<RAdam>(Parameters{{"w", w}}); });
  each([](Tensor w) { return std::make_unique<Lion>(Parameters{{"w", w}}); });
  each([](Tensor w) { return std::make_unique<Adagrad>(Parameters{{"w", w}}); });
  each([](Tensor w) { return std::make_unique<Adadelta>(Parameters{{"w", w}}); });
  each([](Tensor w) {
    return std::make_unique<RMSprop>(Parameters{{"w", w}},
                                     RmspropOptions{.momentum = 0.5, .centered = true});
  });
}

TEST_CASE("a step by rows, used once, without being cleared, is an error; so is none") {
  const Weights t({4, 2});
  SGD sgd({{"w", t.w}});
  CHECK(message([&] { sgd.step(); }).starts_with("SGD: step() found no gradient"));
  t.backward(ids_of({1}));
  sgd.step();
  const Tensor before = rows_of(t.w).values.clone();
  CHECK(message([&] {
          t.backward(ids_of({1}));
        }).starts_with("backward: the gradient of the leaf [4, 2] was used by step()"));
  CHECK(rows_of(t.w).values.values() == before.values());
}

TEST_CASE("a table by rows ends where a dense one does, where nothing depends on the rest") {
  // Adagrad and SGD without momentum or decay: a gradient of 0 does nothing.
  for (const bool adagrad : {false, true}) {
    const Weights rows({9, 4}, f64), dense({9, 4}, f64);
    const auto train = [&](const Tensor& w, bool by_take) {
      SGD sgd({{"w", w}}, {.lr = 0.1});
      Adagrad ada({{"w", w}}, {.lr = 0.1});
      for (uint64_t t = 0; t < 20; ++t) {
        const Tensor ids = Rng(t).randint({5}, 0, 9);
        const Tensor y = by_take ? take(w, ids, 0) : embedding(w, ids);
        backward(sum(pow(y - 1, 2)));
        adagrad ? ada.step() : sgd.step();
        Tensor(w).zero_grad();
      }
    };
    train(rows.w, false);
    train(dense.w, true);
    check_close(rows.w.detach(), dense.w.detach(), 1e-13);
  }
}

TEST_CASE("clipping works on rows") {
  const auto fresh = [](Tensor& w) {
    w.zero_grad();
    const Tensor y = embedding(w, ids_of({2, 0, 2}));
    backward(sum(y * y * y));
  };
  Weights t({5, 3}, f64);
  fresh(t.w);
  const Tensor g = t.w.grad().clone();
  const double norm = std::sqrt(sum(g * g).item());
  CHECK(clip_grad_norm({{"w", t.w}}, 0.5) == doctest::Approx(norm).epsilon(1e-12));
  CHECK(row_gradient(t.w));
  check_close(t.w.grad(), g * (0.5 / (norm + 1e-6)), 1e-12);
  fresh(t.w);
  clip_grad_value({{"w", t.w}}, 0.1);
  CHECK(row_gradient(t.w));
  check_close(t.w.grad(), clamp(g, -0.1, 0.1), 1e-15);
  fresh(t.w);
  adaptive_clip_grad({{"w", t.w}}, 0.01);
  CHECK(row_gradient(t.w));
  const Tensor by_rows = t.w.grad().clone();
  t.w.set_grad(g);
  adaptive_clip_grad({{"w", t.w}}, 0.01);
  check_close(by_rows, t.w.grad(), 1e-12);
}

TEST_CASE("L-BFGS, which is of all parameters at once, has the dense gradient") {
  const Weights t({5, 2}, f64);
  LBFGS lbfgs({{"w", t.w}});
  const Tensor ids = ids_of({3, 1});
  lbfgs.step([&] { return sum(pow(embedding(t.w, ids) - 2, 2)); });
  CHECK(t.w.at({3, 0}) == doctest::Approx(2));
  CHECK(t.w.at({2, 0}) != doctest::Approx(2));
}

TEST_CASE("the average of the weights takes part") {
  Embedding table(5, 2);
  EMA average(table, {.decay = 0.5});
  SGD sgd(table, {.lr = 1});
  backward(sum(table(ids_of({2}))));
  sgd.step();
  average.update();
  CHECK(average.state()[0].tensor.shape() == Shape{5, 2});
}

TEST_CASE("equal bits for 1 and 2 threads: values, gradient and step") {
  check_equal_bits([] {
    Weights t({5000, 24});
    Adam adam({{"w", t.w}}, {.lr = 0.1});
    std::vector<Tensor> all;
    for (uint64_t k = 0; k < 3; ++k) {
      const Tensor ids = Rng(k).randint({400, 16}, 0, 5000);
      const Tensor y = embedding_bag(t.w, ids, {.padding = 7});
      backward(sum(y * y));
      all.push_back(y.detach());
      all.push_back(rows_of(t.w).values);
      adam.step();
      t.w.zero_grad();
    }
    all.push_back(t.w.detach().clone());
    return all;
  });
}

TEST_CASE("no node is left behind") {
  const int64_t before = live_nodes();
  {
    Embedding table(5, 2);
    backward(sum(table(ids_of({2, 2}))));
    CHECK(row_gradient(table.weight));
  }
  CHECK(live_nodes() == before);
}

#ifdef M_MMAP_THRESHOLD
TEST_CASE("a step takes no pages from the system that the step before gave back") {
  mallopt(M_MMAP_THRESHOLD, 1 << 17);  // glibc raises it as it goes
  Tensor table = Rng(1).normal({20000, 64}).requires_grad_();
  const Tensor ids = Rng(2).randint({256, 50}, 0, 20000);
  const auto faults_of = [&](int steps) {
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < steps; ++i) {
      const Tensor y = embedding_bag(table, ids);
      backward(y, y.detach());
      table.zero_grad();
    }
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
  };
  faults_of(5);
  CHECK(faults_of(20) < 2500);  // 5000 and more by the system's allocator
}
#endif
