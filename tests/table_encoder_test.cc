#include "ramp/data/table_encoder.h"

#include <doctest/doctest.h>

#include <cmath>

#include "message.h"
#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/data/csv.h"
#include "ramp/io/safetensors.h"
#include "scratch.h"

using namespace ramp;

namespace {

using Texts = std::vector<std::string>;
using Doubles = std::vector<double>;

// size: mean 60, std 10; district: one missing; year: constant.
Table flats() {
  return Table({Column("size", {50, 70, NAN, 50, 70}),
                Column("district", {"north", "west", "", "north", "east"}),
                Column("year", {1990, 1990, 1990, 1990, 1990}),
                Column("price", {100, 300, 200, 100, 300})});
}

}  // namespace

TEST_CASE("Scaler: mean 0, std 1, and back") {
  const Tensor x = Tensor::of<float>({{1, 5, 0.1f}, {3, 5, NAN}, {5, 5, 0.1f}});
  const Scaler scaler(x);
  CHECK(scaler.mean().values() == Doubles{3, 5, 0.1f});
  CHECK(scaler.std().at({0}) == doctest::Approx(std::sqrt(8.0 / 3)));
  CHECK(scaler.std().at({1}) == 1);  // constant
  CHECK(scaler.std().at({2}) == 1);
  const Tensor y = scaler(x);
  CHECK(y.dtype() == f32);
  CHECK(y.at({0, 0}) == doctest::Approx(-2 / std::sqrt(8.0 / 3)));
  CHECK(y.at({1, 1}) == 0);
  CHECK(std::isnan(y.at({1, 2})));
  CHECK(scaler.inverse(y).at({2, 0}) == doctest::Approx(5));
  // Of images: a feature is a channel.
  CHECK(Scaler(Tensor::arange(24).to(f64).view({2, 2, 3, 2})).mean().values() == Doubles{11, 12});
  // Recorded: dx = dy / std.
  Tensor leaf = Tensor::of<double>({{1, 2, 3}});
  leaf.requires_grad_();
  sum(scaler(leaf)).backward();
  CHECK(leaf.grad().at({0, 0}) == doctest::Approx(1 / scaler.std().at({0})));

  Scaler other;
  CHECK(other(x).same_memory(x));
  CHECK(other.inverse(x).same_memory(x));
  CHECK(other.state().empty());
  other.load_state(scaler.state());
  CHECK(other(x).values()[0] == y.values()[0]);

  CHECK(message([&] {
          scaler(Tensor::zeros({2, 4}));
        }) == "Scaler: expected [.., 3] as in the data it was fitted to; got [2, 4].");
  CHECK_THROWS_AS(scaler.inverse(Tensor::zeros({3, 1})), Error);
  CHECK_THROWS_AS(scaler(Tensor::zeros({3}, i64)), Error);
  CHECK(message([] {
          Scaler(Tensor::of<float>({{1, NAN}, {2, NAN}}));
        }) == "Scaler: feature 1 of x [2, 2] has no values but NaN.");
  CHECK(message([] {
          Scaler(Tensor::of<float>({{1, INFINITY}}));
        }) == "Scaler: feature 1 of x [1, 2] must be finite; got inf.");
  CHECK_THROWS_AS(Scaler(Tensor::zeros({2, 2}, i64)), Error);
  CHECK_THROWS_AS(Scaler(Tensor::zeros({0, 2})), Error);
  CHECK_THROWS_AS(other.load_state({{"mean", Tensor::zeros({1}, f64)}}), Error);
  CHECK_THROWS_AS(
      other.load_state({{"mean", Tensor::zeros({1}, f64)}, {"std", Tensor::zeros({1}, f64)}}),
      Error);
  CHECK_THROWS_AS(
      other.load_state({{"mean", Tensor::zeros({2}, f64)}, {"std", Tensor::ones({1}, f64)}}),
      Error);
  CHECK(other(x).values()[0] == y.values()[0]);
}

TEST_CASE("TableEncoder: what each column becomes") {
  const Table table = flats();
  const TableEncoder encoder(table, {.target = "price"});
  CHECK(encoder.names() == Texts{"size", "size missing", "district=east", "district=north",
                                 "district=west", "district missing", "year"});
  CHECK(encoder.width() == 7);
  const Dataset d = encoder(table);
  CHECK(d.x.values() == Doubles{-1, 0, 0, 1, 0, 0, 0,  //
                                1,  0, 0, 0, 1, 0, 0,  //
                                0,  1, 0, 0, 0, 1, 0,  //
                                -1, 0, 0, 1, 0, 0, 0,  //
                                1,  0, 1, 0, 0, 0, 0});
  CHECK(d.more.empty());
  CHECK(d.y.shape() == Shape{5, 1});
  CHECK(d.y.at({0, 0}) == doctest::Approx(-100 / std::sqrt(8000)));
  const Tensor price = encoder.inverse(d.y);
  for (int64_t i = 0; i < 5; ++i) {
    CHECK(price.at({i, 0}) == doctest::Approx(table["price"].numbers[static_cast<size_t>(i)]));
  }

  const TableEncoder plain(
      table, {.target = "price", .without = {"year"}, .indicators = false, .scale_target = false});
  CHECK(plain.names() == Texts{"size", "district=east", "district=north", "district=west"});
  CHECK(plain(table).y.values() == Doubles{100, 300, 200, 100, 300});
  CHECK(plain.inverse(Tensor::ones({1, 1})).item() == 1);

  // The order of .inputs is that of x.
  CHECK(TableEncoder(table, {.inputs = {"year", "size"}}).names() ==
        Texts{"year", "size", "size missing"});
  CHECK(!TableEncoder(table, {.inputs = {"year", "size"}})(table).y.defined());
}

TEST_CASE("TableEncoder: other tables") {
  const TableEncoder encoder(flats(), {.target = "price"});
  // Columns in another order, one more, levels that are new or gone, no target.
  const Table next({Column("owner", {"x", "y", "z"}), Column("district", {"south", "west", ""}),
                    Column("year", {NAN, 2000, 1990}), Column("size", {60, NAN, 80})});
  const Dataset d = encoder(next);
  CHECK(!d.y.defined());
  CHECK(d.x.values() == Doubles{0, 0, 0, 0, 0, 0, 0,  // an unknown district, a year that is missing
                                0, 1, 0, 0, 1, 0, 10,  //
                                2, 0, 0, 0, 0, 1, 0});
  CHECK(encoder(next.where([](int64_t) { return false; })).x.shape() == Shape{0, 7});
  // A column without any value is read as one of numbers.
  Table empty = next;
  empty.set(Column("district", {NAN, NAN, NAN}));
  CHECK(encoder(empty).x.at({0, 5}) == 1);

  CHECK(message([&] { encoder(next.select({"district"})); }) ==
        "TableEncoder: columns of the training table are missing: \"size\", \"year\"; got "
        "\"district\".");
  Table wrong = next;
  wrong.set(Column("size", {"60", "large", ""}));
  CHECK(message([&] { encoder(wrong); }) ==
        "TableEncoder: column \"size\" is of numbers in the training table; got categories. Hint: "
        "read_csv(.., {.numbers = {\"size\"}}).");
  wrong = next;
  wrong.set(Column("district", {1, 2, 3}));
  CHECK(message([&] { encoder(wrong); }).find("{.categories = {\"district\"}}") !=
        std::string::npos);
  wrong = next;
  wrong.set(Column("size", {1, INFINITY, 3}));
  CHECK(message([&] { encoder(wrong); }) ==
        "TableEncoder: column \"size\" must be finite; got inf in row 1.");
  wrong = next;
  wrong.set(Column("price", {1, NAN, NAN}));
  CHECK(message([&] { encoder(wrong); }) ==
        "TableEncoder: the target \"price\" must be known in all rows; 2 of 3 are missing. Hint: "
        "table.where([&](int64_t i) { return !table[\"price\"].missing(i); }).");
  wrong.set(Column("price", {"a", "b", "c"}));
  CHECK(message([&] { encoder(wrong); }) ==
        "TableEncoder: the target \"price\" is of numbers in the training table; got categories.");
}

TEST_CASE("TableEncoder: classes") {
  CHECK(message([] {
          TableEncoder(flats(), {.target = "district"});
        }).starts_with("TableEncoder: the target \"district\" must be known in all rows; 1 of 5"));
  const Table known = flats().take(Tensor::of<int64_t>({0, 1, 3, 4}));
  const TableEncoder encoder(known, {.target = "district", .inputs = {"year"}});
  CHECK(encoder.classes() == Texts{"east", "north", "west"});
  const Dataset d = encoder(Table({Column("year", {1, 2}), Column("district", {"west", "east"})}));
  CHECK(d.y.dtype() == i64);
  CHECK(d.y.shape() == Shape{2});
  CHECK(d.y.values() == Doubles{2, 0});
  CHECK(message([&] {
          encoder(Table({Column("year", {1, 2}), Column("district", {"west", "south"})}));
        }) ==
        "TableEncoder: the target \"district\" must be a class of the training table; got "
        "\"south\" in row 1.");
  CHECK(message([&] { encoder.inverse(d.y); }) ==
        "TableEncoder::inverse: expected a target of numbers; it is of categories. Hint: "
        "classes()[k].");
  CHECK_THROWS_AS(TableEncoder(flats(), {.target = "price"}).classes(), Error);
  CHECK_THROWS_AS(TableEncoder(flats()).inverse(d.x), Error);
}

TEST_CASE("TableEncoder: codes for embeddings") {
  Table table = flats();
  table.set(Column("street", {"b", "a", "c", "a", ""}));
  const TableEncoder encoder(table, {.target = "price", .codes = {"street", "district"}});
  CHECK(encoder.names() == Texts{"size", "size missing", "year"});
  CHECK(encoder.code_count("street") == 4);
  const Dataset d = encoder(table);
  REQUIRE(d.more.size() == 2);
  CHECK(d.more[0].dtype() == i64);
  CHECK(d.more[0].values() == Doubles{2, 1, 3, 1, 0});
  CHECK(d.more[1].values() == Doubles{2, 3, 0, 2, 1});
  table.set(Column("street", {"z", "a", "a", "a", "a"}));
  CHECK(encoder(table).more[0].values() == Doubles{0, 1, 1, 1, 1});  // unknown
  // Nothing but codes: x is the first.
  const Dataset codes = TableEncoder(
      table, {.inputs = {"district", "street"}, .codes = {"street", "district"}})(table);
  CHECK(codes.x.values() == Doubles{2, 1, 1, 1, 1});
  CHECK(codes.more.size() == 1);
  CHECK(message([&] { encoder.code_count("size"); }) ==
        "TableEncoder::code_count: \"size\" is not among `.codes`.");
  CHECK(message([&] { TableEncoder(table, {.codes = {"year"}}); }) ==
        "TableEncoder: codes are for categories; \"year\" is of numbers. Hint: read_csv(.., "
        "{.categories = {\"year\"}}).");
}

TEST_CASE("TableEncoder: options that do not fit") {
  const Table table = flats();
  for (const TableEncoderOptions& options :
       {TableEncoderOptions{.target = "Price"}, TableEncoderOptions{.inputs = {"x"}},
        TableEncoderOptions{.without = {"x"}}, TableEncoderOptions{.codes = {"x"}}}) {
    CHECK(message([&] { TableEncoder(table, options); }).starts_with("Table: no column \""));
  }
  CHECK(message([&] {
          TableEncoder(table, {.target = "price", .inputs = {"size", "price"}});
        }) == "TableEncoder: \"price\" is the target; expected other columns as inputs.");
  CHECK(message([&] { TableEncoder(table.select({"price"}), {.target = "price"}); }) ==
        "TableEncoder: no column is an input; got \"price\".");
  CHECK(message([&] { TableEncoder(table, {.max_levels = 2}); }) ==
        "TableEncoder: expected at most 2 levels in the one-hot column \"district\"; got 3. Hint: "
        "`.codes` and an Embedding, `.without`, or `.max_levels`.");
  CHECK(message([] {
          TableEncoder(Table({Column("a", {NAN, NAN})}));
        }) == "TableEncoder: column \"a\" has no values. Hint: `.without = {\"a\"}`.");
  CHECK(message([&] { TableEncoder()(table); }).starts_with("TableEncoder: nothing was learned"));
  Table labels = table;
  labels.set(Column("sold", {0, 1, 1, 0, 1}));
  CHECK(message([&] { TableEncoder(labels, {.target = "sold"}); }) ==
        "TableEncoder: the target \"sold\" is 0 or 1 in all rows; expected a class, or a number to "
        "scale. Hint: read_csv(.., {.categories = {\"sold\"}}) for cross_entropy, `.scale_target = "
        "false` for bce_with_logits.");
  CHECK(TableEncoder(labels, {.target = "sold", .scale_target = false})(labels).y.values() ==
        Doubles{0, 1, 1, 0, 1});
  // Levels that a split took away are none of the encoder's.
  const Table north = table.where([&](int64_t i) { return table["district"].text(i) == "north"; });
  CHECK(TableEncoder(north, {.inputs = {"district"}}).names() == Texts{"district=north"});
}

TEST_CASE("TableEncoder: saved and loaded") {
  Table table = flats();
  table.set(Column("a.b c", {"ü", "x\ny", "ü", ".", ""}))
      .set(Column("street", {"b", "a", "c", "a", ""}));
  const Scratch scratch;
  const std::string path = scratch.path("encoder.safetensors");
  for (const std::string target : {"price", "a.b c", ""}) {
    for (const bool scale : {true, false}) {
      Table t = table;
      if (target == "a.b c") t = t.take(Tensor::of<int64_t>({0, 1, 2, 3}));
      const TableEncoder encoder(t, {.target = target, .codes = {"street"}, .scale_target = scale});
      save_safetensors(path, encoder.state(), {{"what", "an encoder"}});
      TableEncoder loaded;
      loaded.load_state(load_safetensors(path));
      CHECK(loaded.names() == encoder.names());
      CHECK(loaded.summary() == encoder.summary());
      const Dataset a = encoder(t), b = loaded(t);
      CHECK(a.x.values() == b.x.values());
      CHECK(a.more[0].values() == b.more[0].values());
      if (target == "a.b c") CHECK(loaded.classes() == encoder.classes());
      if (target == "price") {
        CHECK(a.y.values() == b.y.values());
        CHECK(loaded.inverse(a.y).values() == encoder.inverse(a.y).values());
      }
    }
  }
  // Beside other tensors; anything that is left out or bent is an error, and changes nothing.
  const TableEncoder encoder(table, {.target = "price"});
  std::vector<NamedTensor> state = encoder.state();
  state.insert(state.begin(), {"0.weight", Tensor::zeros({2, 2})});
  TableEncoder loaded;
  loaded.load_state(state);
  CHECK(loaded.names() == encoder.names());
  CHECK(message([&] { loaded.load_state({state[0]}); }) ==
        "TableEncoder: expected tensors of an encoder, \"table.0. ..\"; got 1 others.");
  for (size_t i = 1; i + 2 < state.size(); ++i) {  // all but the last input, and the target
    std::vector<NamedTensor> less = state;
    less.erase(less.begin() + static_cast<int64_t>(i));
    CHECK_THROWS_AS(loaded.load_state(less), Error);
  }
  for (const Tensor& bad :
       {Tensor::zeros({2}, f64), Tensor::ones({3}, f64), Tensor::of<int64_t>({65}),
        Tensor::of<int64_t>({300, 0}), Tensor::of<double>({NAN, 1})}) {
    std::vector<NamedTensor> bent = state;
    bent[bad.dtype() == f64 ? 1 : 2].tensor = bad;
    CHECK_THROWS_AS(loaded.load_state(bent), Error);
  }
  CHECK_THROWS_AS(loaded.load_state({{"table.0.magic.a", Tensor::zeros({2}, f64)}}), Error);
  CHECK_THROWS_AS(loaded.load_state({{"table.x.number.a", Tensor::ones({2}, f64)}}), Error);
  CHECK(loaded.summary() == encoder.summary());
}

TEST_CASE("TableEncoder: summary") {
  CHECK(TableEncoder(flats(), {.target = "price", .codes = {"district"}}).summary() ==
        "size      number, mean 60, std 10 and an indicator for missing\n"
        "year      number, mean 1990, std 1\n"
        "district  codes 0 to 3\n"
        "price     target, number, mean 200, std 89.443\n");
}
