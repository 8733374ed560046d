// How many stars a user gives a film: a vector and a bias for each of both.
#include <fmt/format.h>

#include "ramp/ramp.h"

using namespace ramp;

struct Recommender final : ModuleOf<Recommender> {
  Embedding user, film, user_bias, film_bias;
  Recommender(int64_t users, int64_t films)
      : user(users, 8), film(films, 8), user_bias(users, 1), film_bias(films, 1) {}
  Tensor forward(const Tensor& u, const Tensor& f) {
    return sum(user(u) * film(f), -1, {.keepdims = true}) + user_bias(u) + film_bias(f);
  }
  void fields(Fields& f) override {
    f.child("user", user).child("film", film);
    f.child("user_bias", user_bias).child("film_bias", film_bias);
  }
};

int main() {
  seed_layers(1);
  const Table ratings = read_csv("ratings.csv", {.categories = {"user", "film"}});
  const auto [train, test] = ratings.split(0.9);
  const TableEncoder encoder(train, {.target = "stars", .codes = {"user", "film"}});
  Recommender net(encoder.code_count("user"), encoder.code_count("film"));
  Adam adam(net, {.lr = 1e-2});
  const Dataset unseen = encoder(test);
  fit(net, adam, encoder(train), {.epochs = 30, .batch = 256, .valid = unseen});

  const Tensor stars = encoder.inverse(unseen.y), guess = encoder.inverse(predict(net, unseen));
  fmt::print("RMSE {:.3f} stars\n", rmse(guess, stars));
}
