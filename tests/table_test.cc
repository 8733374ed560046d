#include "ramp/data/table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "message.h"

using namespace ramp;

namespace {

using Texts = std::vector<std::string>;

Table flats() {
  return Table(
      {Column("size", {50, 80, NAN, 65}), Column("district", {"north", "west", "", "north"})});
}

}  // namespace

TEST_CASE("Table: columns by name") {
  Table t = flats();
  CHECK(t.size() == 4);
  CHECK(t["district"].levels == Texts{"north", "west"});
  CHECK(t["district"].codes == std::vector<int32_t>{0, 1, -1, 0});
  CHECK(t["district"].tensor().values() == std::vector<double>{0, 1, -1, 0});
  CHECK(t["size"].tensor().dtype() == f64);
  CHECK(t["size"].text(0) == "50");
  CHECK(t["size"].text(2) == "");
  CHECK(t["size"].texts()[0] == "50");
  CHECK(std::ssize(t["size"].texts()) == t.size());
  CHECK(t.select({"district", "size"}).names() == Texts{"district", "size"});
  t.set(Column("year", {1, 2, 3, 4})).set(Column("size", {1, 1, 1, 1}));
  CHECK(t.names() == Texts{"size", "district", "year"});
  CHECK(t["size"].count_missing() == 0);
  CHECK(Column("n", {"10", "9", "9.0", ""}).levels == Texts{"9", "9.0", "10"});

  CHECK(message([&] { t["Size"]; }) ==
        "Table: no column \"Size\"; got \"size\", \"district\", \"year\".");
  CHECK(message([&] { t.select({"a"}); }).starts_with("Table: no column \"a\""));
  CHECK(message([&] { t.set(Column("short", {1.0})); }) ==
        "Table: all columns must have the same length: \"size\" has 4 rows; got 1 for \"short\".");
  CHECK(message([] {
          Table({Column("a", {1.0}), Column("a", {2.0})});
        }) == "Table: two columns are named \"a\".");
  CHECK(Table().size() == 0);
  CHECK(Table().names().empty());
}

TEST_CASE("Table: rows") {
  const Table t = flats();
  const Table some = t.take(Tensor::of<int64_t>({3, 0, -1, 1}));
  CHECK(some["size"].numbers == std::vector<double>{65, 50, 65, 80});
  CHECK(some["district"].codes == std::vector<int32_t>{0, 0, 0, 1});
  const Table known = t.where([&](int64_t i) { return !t["size"].missing(i); });
  CHECK(known["size"].numbers == std::vector<double>{50, 80, 65});
  CHECK(known["district"].levels == t["district"].levels);
  CHECK(t.where([](int64_t) { return false; }).size() == 0);
  CHECK(message([&] { t.take(Tensor::of<int64_t>({4})); }) ==
        "take: expected rows of a table of 4; got row 4.");
  CHECK_THROWS_AS(t.take(Tensor::of<int64_t>({-5})), Error);

  const auto [a, b] = t.split(0.75, 3);
  CHECK(a.size() == 3);
  CHECK(b.size() == 1);
  std::vector<std::string> sizes{b["size"].text(0)};
  for (int64_t i = 0; i < 3; ++i) sizes.push_back(a["size"].text(i));
  std::sort(sizes.begin(), sizes.end());
  CHECK(sizes == Texts{"", "50", "65", "80"});
}

TEST_CASE("Table: tensor") {
  Table t = flats();
  t.set(Column("year", {1, 2, 3, 4}));
  const Tensor x = t.select({"year", "size"}).tensor();
  CHECK(x.dtype() == f32);
  CHECK(x.shape() == Shape{4, 2});
  CHECK(x.at({1, 0}) == 2);
  CHECK(x.at({3, 1}) == 65);
  CHECK(std::isnan(x.at({2, 1})));
  CHECK(t.select({"year"}).tensor(f64).values() == std::vector<double>{1, 2, 3, 4});
  CHECK(message([&] { t.tensor(); }) ==
        "Table: expected columns of numbers; \"district\" is of categories. Hint: select() others, "
        "or TableEncoder.");
  CHECK_THROWS_AS(Table().tensor(), Error);
  CHECK_THROWS_AS(t.select({"year"}).tensor(i64), Error);
}

TEST_CASE("Table: summary") {
  CHECK(flats().summary() ==
        "4 rows, 2 columns\n"
        "size      numbers 50 to 80, mean 65; 1 missing\n"
        "district  2 categories: \"north\" 2, \"west\" 1; 1 missing\n");
  CHECK(Table({Column("x", {NAN})}).summary() == "1 rows, 1 columns\nx       numbers; 1 missing\n");
}
