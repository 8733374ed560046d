// A table: what a flat costs, from a CSV file with categories, gaps and noise.
//
// The prices are made from a formula, so it is known how well anyone could guess them: district and
// size multiply, a year is worth most when it is long ago or recent, stairs count where there is no
// lift, and on top there is noise with a standard deviation of 12,000. Some years and districts
// are missing in the file. Then the best guess is the mean over what they may have been, and that
// too can be computed: no model reaches a smaller error than `best_guess` does.
//
// Three things decide whether a table is learned well, and none is the network. Numbers are
// standardized: raw, a year of 1990 drowns a floor of 2. What is missing becomes the mean, and a
// column beside it says so. And all of that is learned from the training rows alone: a mean over
// the test rows would be a peek at them.
//
//     16_tabular [--rows n] [--epochs n] [--folder FOLDER]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

constexpr double kNoise = 12;  // thousands, as all prices here
const std::vector<std::string> kDistricts = {"centre", "harbour", "hill", "station"};

double price(double size, size_t district, double year, double floor, bool lift) {
  constexpr double kRate[] = {6.4, 5.2, 4.4, 3.1};
  const double age = (year - 1965) / 50;
  const double stairs = lift || floor < 3 ? 0 : 9 * (floor - 2);
  return size * kRate[district] * (0.8 + 0.3 * age * age) - stairs;
}

Table flats(int64_t n) {
  Rng rng(16);
  const Tensor u = rng.uniform({n, 7}), noise = rng.normal({n}, 0, kNoise);
  std::vector<double> size, year, floor, prices;
  std::vector<std::string> district, lift;
  for (int64_t i = 0; i < n; ++i) {
    const float* r = u.data<float>() + 7 * i;
    size.push_back(std::floor(30 + 100 * r[0] * r[0]));
    year.push_back(std::floor(1900 + 120 * r[1]));
    floor.push_back(std::floor(7 * r[2]));
    const auto d = static_cast<size_t>(4 * r[3]);
    const bool has_lift = r[4] < 0.5f;
    const double p = price(size.back(), d, year.back(), floor.back(), has_lift);
    prices.push_back(std::round(10 * (p + noise.data<float>()[i])) / 10);
    district.push_back(r[5] < 0.04f ? "" : kDistricts[d]);
    lift.push_back(has_lift ? "yes" : "no");
    if (r[6] < 0.06f) year.back() = NAN;
  }
  return Table({Column("size", size), Column("district", district), Column("year", year),
                Column("floor", floor), Column("lift", lift), Column("price", prices)});
}

// The mean price of a flat over all that its missing values may have been.
double best_guess(const Table& t, int64_t i) {
  const auto value = [&](const char* name) { return t[name].numbers[static_cast<size_t>(i)]; };
  double sum = 0, count = 0;
  for (size_t d = 0; d < kDistricts.size(); ++d) {
    if (!t["district"].missing(i) && t["district"].text(i) != kDistricts[d]) continue;
    for (double year = 1900; year < 2020; ++year) {
      if (!t["year"].missing(i) && year != value("year")) continue;
      sum += price(value("size"), d, year, value("floor"), t["lift"].text(i) == "yes");
      count += 1;
    }
  }
  return sum / count;
}

// The weights of the epoch that was best on `valid`; it ends when 15 epochs were no better.
Sequential trained(Sequential net, const Dataset& train, const Dataset& valid, int64_t epochs) {
  Adam adam(net, {.lr = 3e-3});
  const History h = fit(net, adam, train,
                        {.epochs = epochs,
                         .seed = 1,
                         .valid = valid,
                         .keep_best = true,
                         .patience = 15,
                         .out = nullptr});
  fmt::print("{} epochs; the best was {}, validation loss {:.4f}\n", h.last().epoch, h.best_epoch,
             h["valid_loss"][static_cast<size_t>(h.best_epoch - 1)]);
  return net;
}

int main(int argc, char** argv) {
  int64_t rows = 30000, epochs = 100;
  std::string folder = ".";
  CLI::App app("What a flat costs, from a CSV file");
  app.add_option("--rows", rows, "in the file");
  app.add_option("--epochs", epochs, "at most");
  app.add_option("--folder", folder, "for flats.csv, the network and its encoder");
  CLI11_PARSE(app, argc, argv);

  const std::string file = folder + "/flats.csv";
  write_csv(file, flats(rows));
  std::ifstream in(file);
  std::string line;
  for (int i = 0; i < 4 && std::getline(in, line); ++i) fmt::print("{}\n", line);

  const Table table = read_csv(file);
  fmt::print("\n{}\n", table.summary());
  const auto parts = table.split(0.8, 1), learned = parts.first.split(0.8, 2);
  const Table &train = learned.first, &valid = learned.second, &test = parts.second;
  const TableEncoder encoder(train, {.target = "price"});
  fmt::print("{}\n", encoder.summary());

  seed_layers(1);
  const Dataset train_set = encoder(train), valid_set = encoder(valid);
  Sequential line_net =
      trained(Sequential{Dense(encoder.width(), 1)}, train_set, valid_set, epochs);
  Sequential net =
      trained(Sequential{Dense(encoder.width(), 64, ReLU{}), Dense(64, 64, ReLU{}), Dense(64, 1)},
              train_set, valid_set, epochs);

  // Errors in thousands, over all of the test rows and over those without gaps.
  const Table whole = test.where(
      [&](int64_t i) { return !test["district"].missing(i) && !test["year"].missing(i); });
  fmt::print(
      "\n{:28}{} flats that no model has seen   {} without gaps\n{:35}RMSE      R2{:21}RMSE\n", "",
      test.size(), whole.size(), "", "");
  const auto report = [&](const char* who, const std::function<Tensor(const Table& t)>& guess) {
    const auto price_of = [](const Table& t) { return t["price"].tensor().view({t.size(), 1}); };
    const double error = rmse(guess(test), price_of(test));
    fmt::print("{:30} {:8.2f} {:7.4f} {:24.2f}\n", who, error,
               r2_score(guess(test), price_of(test)), rmse(guess(whole), price_of(whole)));
    return error;
  };
  const auto prices = [&](Module& model, const Table& t) {
    return encoder.inverse(predict(model, encoder(t).x)).to(f64);
  };
  report("always the mean", [&](const Table& t) {
    return Tensor::full({t.size(), 1}, mean(train["price"].tensor()).item(), f64);
  });
  report("a linear model", [&](const Table& t) { return prices(line_net, t); });
  const double error = report("the network", [&](const Table& t) { return prices(net, t); });
  const double least = report("the best that can be reached", [](const Table& t) {
    Tensor best = Tensor::empty({t.size(), 1}, f64);
    for (int64_t i = 0; i < t.size(); ++i) best.mutable_data<double>()[i] = best_guess(t, i);
    return best;
  });
  fmt::print("the network's error is {:.1f} % above the least\n", 100 * (error / least - 1));

  // The next day: the model and what it must know of the table come from their files.
  save_model(folder + "/flats.safetensors", net);
  save_safetensors(folder + "/flats_encoder.safetensors", encoder.state());
  TableEncoder loaded;
  loaded.load_state(load_safetensors(folder + "/flats_encoder.safetensors"));
  Sequential again{Dense(loaded.width(), 64, ReLU{}), Dense(64, 64, ReLU{}), Dense(64, 1)};
  load_model(folder + "/flats.safetensors", again);
  Table offers({Column("size", {50, 50, 50}), Column("district", {"centre", "station", "island"}),
                Column("year", {1905, 1905, NAN}), Column("floor", {5, 5, 1}),
                Column("lift", {"yes", "no", "no"})});
  offers.set(Column("guess", loaded.inverse(predict(again, loaded(offers).x)).values()));
  fmt::print(
      "\n50 square metres: {:.0f} in the centre, {:.0f} at the station without a lift; on an "
      "island that is in no file: {:.0f}\n",
      offers["guess"].numbers[0], offers["guess"].numbers[1], offers["guess"].numbers[2]);
}
