// The files that the ten programs read: tables, photos and sentences. Everything is drawn from
// fixed seeds, so both halves of each pair learn from the same.
//
//     program_make_data FOLDER
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <sstream>
#include <string>
#include <vector>

#include "ramp/ramp.h"

using namespace ramp;

// Flats whose price depends on size, district, year and floor; some years and districts are
// missing.
Table flats(int64_t n) {
  const char* const names[] = {"centre", "harbour", "hill", "station"};
  constexpr double kRate[] = {6.4, 5.2, 4.4, 3.1};
  Rng rng(3);
  std::vector<double> size, year, floor, price;
  std::vector<std::string> district;
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<double> u = rng.uniform({6}).values();
    const auto d = static_cast<size_t>(4 * u[3]);
    size.push_back(std::floor(30 + 100 * u[0]));
    year.push_back(std::floor(1900 + 120 * u[1]));
    floor.push_back(std::floor(7 * u[2]));
    const double age = (year.back() - 1965) / 50, noise = rng.normal({1}, 0, 12).item();
    price.push_back(size.back() * kRate[d] * (0.8 + 0.3 * age * age) + noise);
    district.push_back(u[4] < 0.04 ? "" : names[d]);
    if (u[5] < 0.06) year.back() = NAN;
  }
  return Table({Column("size", size), Column("district", district), Column("year", year),
                Column("floor", floor), Column("price", price)});
}

// Payments, of which one in thirty is fraud: large, at night, from abroad, or all of these.
Table payments(int64_t n) {
  const char* const names[] = {"home", "neighbour", "overseas"};
  Rng rng(9);
  std::vector<double> amount, hour, age;
  std::vector<std::string> country, fraud;
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<double> u = rng.uniform({3}).values(), z = rng.normal({2}).values();
    const auto from = static_cast<size_t>(3 * u[0] * u[0]);
    hour.push_back(std::floor(24 * u[1]));
    amount.push_back(std::round(100 * std::exp(3.5 + z[0])) / 100);
    age.push_back(std::round(std::exp(6 + z[1])));
    const double night = hour.back() < 6 ? 2 : 0;
    const double odds = 1.3 * z[0] - z[1] + night + 1.2 * static_cast<double>(from) - 6.6;
    country.push_back(names[from]);
    fraud.push_back(u[2] < 1 / (1 + std::exp(-odds)) ? "yes" : "no");
  }
  return Table({Column("amount", amount), Column("hour", hour), Column("account_days", age),
                Column("country", country), Column("fraud", fraud)});
}

// Stars of users for films: a mean, what each of the two tends to, and how their tastes agree.
Table ratings(int64_t n) {
  constexpr int64_t kUsers = 600, kFilms = 300, kTastes = 4;
  Rng rng(6);
  const Tensor user = rng.normal({kUsers, kTastes}), film = rng.normal({kFilms, kTastes});
  const Tensor user_bias = rng.normal({kUsers}, 0, 0.4), film_bias = rng.normal({kFilms}, 0, 0.6);
  std::vector<double> stars;
  std::vector<std::string> users, films;
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<double> u = rng.uniform({2}).values();
    const auto a = static_cast<int64_t>(kUsers * u[0]), b = static_cast<int64_t>(kFilms * u[1]);
    const double taste = 0.3 * sum(user[a] * film[b]).item();
    const double mean = 3.3 + user_bias.at({a}) + film_bias.at({b});
    stars.push_back(std::clamp(std::round(mean + taste + rng.normal({1}, 0, 0.4).item()), 1., 5.));
    users.push_back(std::to_string(a + 1));
    films.push_back(std::to_string(b + 1));
  }
  return Table({Column("user", users), Column("film", films), Column("stars", stars)});
}

Table languages() {
  std::vector<std::string> texts, names;
  for (const char* name : {"dutch", "english", "french", "german", "italian", "spanish"}) {
    std::istringstream lines(read_file(fmt::format("{}/languages/{}.txt", RAMP_DATA_DIR, name)));
    for (std::string line; std::getline(lines, line); names.push_back(name)) texts.push_back(line);
  }
  return Table({Column("text", texts), Column("language", names)});
}

// A regular polygon, or with 0 corners a circle, bright on a dark and noisy ground.
Tensor shape(int corners, Rng& rng) {
  constexpr int64_t kSize = 40;
  const std::vector<double> u = rng.uniform({10}).values();
  const double radius = 9 + 7 * u[0], turn = 2 * std::numbers::pi * u[1];
  const double x = kSize * (0.42 + 0.16 * u[2]), y = kSize * (0.42 + 0.16 * u[3]);
  Tensor image = rng.normal({kSize, kSize, 3}, 0, 0.08);
  float* pixel = image.mutable_data<float>();
  for (int64_t i = 0; i < kSize; ++i) {
    for (int64_t j = 0; j < kSize; ++j, pixel += 3) {
      const double dx = static_cast<double>(j) - x, dy = static_cast<double>(i) - y;
      double out = corners == 0 ? std::hypot(dx, dy) : -radius;
      for (int k = 0; k < corners; ++k) {
        const double angle = turn + 2 * std::numbers::pi * k / corners;
        out = std::max(out, dx * std::cos(angle) + dy * std::sin(angle));
      }
      const double side =
          corners == 0 ? 0.8 * radius : radius * std::cos(std::numbers::pi / corners);
      const double ink = std::clamp(side - out + 0.5, 0.0, 1.0);
      for (size_t k = 0; k < 3; ++k) {
        const double colour = (1 - ink) * 0.4 * u[4 + k] + ink * (0.5 + 0.5 * u[7 + k]);
        pixel[k] = std::clamp(pixel[k] + static_cast<float>(colour), 0.0f, 1.0f);
      }
    }
  }
  return image;
}

void write_shapes(const std::string& folder, int64_t count, uint64_t seed) {
  Rng rng(seed);
  const std::pair<const char*, int> classes[] = {{"circle", 0}, {"square", 4}, {"triangle", 3}};
  for (const auto& [name, corners] : classes) {
    std::filesystem::create_directories(fmt::format("{}/{}", folder, name));
    for (int64_t i = 0; i < count; ++i) {
      write_png(fmt::format("{}/{}/{:03}.png", folder, name, i), shape(corners, rng));
    }
  }
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  try {
    std::filesystem::create_directories(folder);
    write_csv(folder + "/flats.csv", flats(10'000));
    write_csv(folder + "/payments.csv", payments(20'000));
    write_csv(folder + "/ratings.csv", ratings(40'000));
    write_csv(folder + "/languages.csv", languages());
    write_shapes(folder + "/shapes/train", 150, 1);
    write_shapes(folder + "/shapes/test", 50, 2);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  fmt::print("the data of the ten programs are in {}\n", folder);
}
