// Who will like what? From a few ratings, and nothing else.
//
// Nobody says what a user is like, or an item. Each of them gets a vector, a row of a table, and
// the rating of a pair is guessed as
//     mean + bias[user] + bias[item] + dot(vector[user], vector[item]).
// All of it is learned from the ratings there are: items that the same people like are driven to
// the same place, and so are people who like the same items.
//
// The ratings are made here from such a model, with noise of a standard deviation of 0.5 on top.
// So the best that can be reached is known: an error (RMSE) of 0.5. What stays above it is the
// price of learning thousands of numbers from some tens of ratings a user. The items are of ten
// kinds, which the network is never told.
//
// A batch of 256 ratings holds 256 users at most. The gradient of a table has just their rows, and
// the optimizer changes these alone: a step costs the same for two thousand users or two million.
//
//     19_recommender [--ratings n] [--epochs n]
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

constexpr int64_t kUsers = 2000, kItems = 500, kKinds = 10, kFactors = 3;
constexpr double kMean = 3.5, kNoise = 0.5;

// The world, of which only the ratings are seen.
struct World {
  Rng rng{19};
  Tensor kind = rng.randint({kItems}, 0, kKinds);
  Tensor items =
      take(rng.normal({kKinds, kFactors}), kind) + rng.normal({kItems, kFactors}, 0, 0.3);
  Tensor users = rng.normal({kUsers, kFactors}, 0, 0.4);
  Tensor item_bias = rng.normal({kItems}, 0, 0.5), user_bias = rng.normal({kUsers}, 0, 0.3);

  // What the users of x [n, 2] think of the items: without noise, the best guess.
  Tensor opinions(const Tensor& x) const {
    const Tensor user = slice(x, 1, 0, 1), item = slice(x, 1, 1, 2);
    return kMean + take(user_bias, user) + take(item_bias, item) +
           sum(take(users, user) * take(items, item), -1);
  }
  Dataset ratings(int64_t n) {
    const Tensor x = concat({rng.randint({n, 1}, 0, kUsers), rng.randint({n, 1}, 0, kItems)}, 1);
    return {x, opinions(x) + rng.normal({n, 1}, 0, kNoise)};
  }
};

struct Recommender final : Module {
  Embedding users, items, user_bias, item_bias;
  Parameter mean = Tensor::scalar(kMean);

  explicit Recommender(int64_t factors)
      : users(kUsers, factors), items(kItems, factors), user_bias(kUsers, 1), item_bias(kItems, 1) {
    // N(0, 1) suits a layer that comes next. Here two vectors are multiplied: they start small, or
    // the first guesses would be wild.
    for (Embedding* table : {&users, &items}) table->weight = table->weight.detach() * 0.1;
    for (Embedding* table : {&user_bias, &item_bias}) table->weight = table->weight.detach() * 0.0;
  }
  // x [n, 2]: a user and an item each -> [n, 1]
  Tensor forward(const Tensor& x) override {
    const Tensor user = squeeze(slice(x, 1, 0, 1), 1), item = squeeze(slice(x, 1, 1, 2), 1);
    return mean + user_bias(user) + item_bias(item) +
           sum(users(user) * items(item), -1, {.keepdims = true});
  }
  void fields(Fields& f) override {
    f.child("users", users).child("items", items);
    f.child("user_bias", user_bias).child("item_bias", item_bias).param("mean", mean, false);
  }
  std::string describe() const override { return "Recommender"; }
};

int main(int argc, char** argv) {
  int64_t ratings = 100000, epochs = 30;
  CLI::App app("Who will like what? From a few ratings");
  app.add_option("--ratings", ratings, "that there are");
  app.add_option("--epochs", epochs, "at most");
  CLI11_PARSE(app, argc, argv);

  World world;
  const auto parts = world.ratings(ratings).split(0.8, {.seed = 1});
  const auto known = parts.first.split(0.9, {.seed = 2});
  const Dataset &train = known.first, &valid = known.second, &test = parts.second;
  fmt::print("{} users rated {} items {} times: one in {:.0f} pairs is known\n\n", kUsers, kItems,
             train.size(),
             static_cast<double>(kUsers * kItems) / static_cast<double>(train.size()));

  const double average = mean(train.y).item();
  fmt::print("{:30} RMSE of {} other ratings\n", "", test.size());
  const auto report = [&](const char* who, const Tensor& guess) {
    fmt::print("{:30} {:.3f}\n", who, rmse(guess, test.y));
    return rmse(guess, test.y);
  };
  report("always the mean", Tensor::full(test.y.shape(), average));

  // Without vectors there are the biases alone: who is generous, what is good.
  const auto trained = [&](bool with_vectors) {
    seed_layers(1);
    Recommender net(4);
    if (!with_vectors) {
      net.users.weight = net.users.weight.detach() * 0.0;
      net.users.freeze();
      net.items.freeze();
    }
    // Each vector is learned from few ratings: the decay keeps it from learning their noise.
    Adam adam(net, {.lr = 5e-3, .weight_decay = 3e-4});
    fit(net, adam, train,
        {.epochs = epochs,
         .batch = 256,
         .valid = valid,
         .keep_best = true,
         .patience = 2,
         .out = nullptr});
    return net;
  };
  Recommender biases = trained(false), net = trained(true);
  report("biases alone", predict(biases, test.x));
  const double error = report("biases and embeddings", predict(net, test.x));
  const double least = report("the best that can be reached", world.opinions(test.x));
  fmt::print("the error is {:.1f} % above the least\n", 100 * (error / least - 1));

  // What a step touches.
  mse_loss(net(train.x.rows(0, 256)), train.y.rows(0, 256)).backward();
  fmt::print(
      "\na batch of 256 has {} of {} users and {} of {} items: their rows alone are changed\n",
      row_gradient(net.users.weight)->ids.numel(), kUsers,
      row_gradient(net.items.weight)->ids.numel(), kItems);

  // Items that are near each other: are they of one kind?
  // By |a - b|^2, from the products and the lengths.
  const Tensor v = net.items.weight.detach();
  const Sorted near = topk(2 * matmul(v, v, Trans::b) - sum(v * v, -1), 6);
  const auto kind = [&](int64_t i) { return world.kind.data<int64_t>()[i]; };
  int64_t same = 0;
  for (int64_t i = 0; i < kItems; ++i)
    for (int64_t k = 1; k < 6; ++k)
      same += kind(near.indices.data<int64_t>()[6 * i + k]) == kind(i);
  fmt::print("\nitem (kind)   the five nearest\n");
  for (const int64_t i : {0, 1, 2}) {
    fmt::print("{:4} ({})    ", i, kind(i));
    for (int64_t k = 1; k < 6; ++k) {
      const int64_t j = near.indices.data<int64_t>()[6 * i + k];
      fmt::print("  {:3} ({})", j, kind(j));
    }
    fmt::print("\n");
  }
  fmt::print(
      "{:.0f} % of the five nearest are of an item's own kind; by chance it would be {:.0f} %\n",
      100. * static_cast<double>(same) / (5. * kItems), 100. / kKinds);
}
