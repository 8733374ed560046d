#include "ramp/data/csv.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "message.h"
#include "ramp/core/random.h"
#include "scratch.h"

using namespace ramp;

namespace {

using Texts = std::vector<std::string>;

struct File {
  Scratch scratch;
  std::string path;
  explicit File(std::string_view text) : path(scratch.write("a.csv", {text.begin(), text.end()})) {}
};

Table read(std::string_view text, const CsvOptions& options = {}) {
  const File file(text);
  return read_csv(file.path, options);
}

// All fields as texts, the names first.
std::vector<Texts> fields(const Table& table) {
  std::vector<Texts> rows{table.names()};
  for (int64_t i = 0; i < table.size(); ++i) {
    Texts& row = rows.emplace_back();
    for (const Column& c : table.columns()) row.push_back(c.text(i));
  }
  return rows;
}

// The error without `read_csv: "<path>"` in front.
std::string error_of(std::string_view text, const CsvOptions& options = {}) {
  const File file(text);
  const std::string m = message([&] { read_csv(file.path, options); });
  const std::string start = fmt::format("read_csv: \"{}\"", file.path);
  REQUIRE_MESSAGE(m.starts_with(start), m);
  return m.substr(start.size());
}

}  // namespace

TEST_CASE("read_csv: numbers and categories, found by themselves") {
  const Table t = read("size,district,year\n71.5,north,1990\n,south,NA\n-3e2,,2020\n");
  CHECK(t.names() == Texts{"size", "district", "year"});
  CHECK(t.size() == 3);
  CHECK(!t["size"].categorical);
  CHECK(t["size"].numbers[0] == 71.5);
  CHECK(std::isnan(t["size"].numbers[1]));
  CHECK(t["size"].numbers[2] == -300);
  CHECK(t["year"].count_missing() == 1);
  CHECK(t["district"].categorical);
  CHECK(t["district"].levels == Texts{"north", "south"});
  CHECK(t["district"].codes == std::vector<int32_t>{0, 1, -1});
  CHECK(t["district"].missing(2));
}

TEST_CASE("read_csv: one table, written in many ways") {
  const std::vector<Texts> expected = {{"a", "b c"}, {"1", "x"}, {"2", "y z"}};
  const CsvOptions semicolon{.separator = ';'}, bar{.separator = '|'};
  for (const std::string_view text : {
           "a,b c\n1,x\n2,y z\n",
           "a,b c\n1,x\n2,y z",          // no line end after the last line
           "a,b c\r\n1,x\r\n2,y z\r\n",  // CRLF
           "a,b c\r1,x\r2,y z\r",        // CR
           "\xEF\xBB\xBF"
           "a,b c\n1,x\n2,y z\n",  // BOM
           "\"a\",\"b c\"\n\"1\",\"x\"\n\"2\",\"y z\"\n",
           "\xEF\xBB\xBF\"a\",\"b c\"\n1,x\n2,y z\n",
           "a , b c\n 1,x \n\t2, y z\n",            // blanks around
           "\n  \na,b c\n\n1,x\n\r\n2,y z\n\n \n",  // empty lines
           "a, \"b c\" \n1 ,\"x\"\n\"2\",y z\n",
           "a;b c\n1;x\n2;y z\n",  // the separators that are found
           "a\tb c\n1\tx\n2\ty z\n",
           "a|b c\n1|x\n2|y z\n",
       }) {
    CAPTURE(text);
    CHECK(fields(read(text)) == expected);
  }
  CHECK(fields(read("a;b c\n1;x\n2;y z\n", semicolon)) == expected);
  CHECK(fields(read("a:b c\n1:x\n2:y z\n", {.separator = ':'})) == expected);
  CHECK(fields(read("1,x\n2,y z\n", {.header = false, .names = {"a", "b c"}})) == expected);
  CHECK(fields(read("p,q\n1,x\n2,y z\n", {.names = {"a", "b c"}})) == expected);
  CHECK(fields(read("made by\nhand\na,b c\n1,x\n2,y z\n", {.skip_lines = 2})) == expected);
}

TEST_CASE("read_csv: packed with gzip") {
  const Scratch scratch;
  const std::string text = "a,b\n1,x\n2,y\n";
  const std::vector<uint8_t> packed = gzip({text.begin(), text.end()});
  CHECK(fields(read_csv(scratch.write("a.csv.gz", packed))) == fields(read(text)));
  // Cut anywhere, or with a bit turned: an error that names the file.
  for (size_t n = 3; n < packed.size(); ++n) {
    CAPTURE(n);
    const std::string path = scratch.write("cut.csv.gz", {packed.begin(), packed.begin() + n});
    CHECK_THROWS_AS(read_csv(path), Error);
  }
  std::vector<uint8_t> damaged = packed;
  damaged[packed.size() - 6] ^= 1;  // of the checksum
  const std::string path = scratch.write("damaged.gz", damaged);
  CHECK(
      message([&] { read_csv(path); }).starts_with("read_csv: \"" + path + "\" is damaged or cut"));
}

TEST_CASE("read_csv: quotes") {
  const Table t = read(
      "name,note\n"
      "\"Smith, J.\",\"said \"\"no\"\"\"\n"
      "\"two\nlines\",\"\"\"\"\n"
      "\"crlf\r\nin it\",\"  kept  \"\n"
      "5\" pipe,a\"b\n"  // quotes within a field that has none around it are text
      "\"\",\"x\"\n");
  CHECK(fields(t) == std::vector<Texts>{{"name", "note"},
                                        {"Smith, J.", "said \"no\""},
                                        {"two\nlines", "\""},
                                        {"crlf\r\nin it", "  kept  "},
                                        {"5\" pipe", "a\"b"},
                                        {"", "x"}});
  CHECK(t["name"].missing(4));
  CHECK(read("a,b\n\"1.5\",\"-2\"\n").columns()[1].numbers[0] == -2);  // numbers in quotes
}

TEST_CASE("read_csv: every number that is written is the one that is read") {
  Rng rng(5);
  const Tensor u = rng.uniform({500}, -1, 1, f64), e = rng.uniform({500}, -320, 308, f64);
  std::vector<double> numbers = {0,
                                 -0.0,
                                 1,
                                 0.1,
                                 1e22,
                                 1e23,
                                 9007199254740993.0,
                                 5e-324,
                                 1e-320,
                                 std::numeric_limits<double>::max(),
                                 123456789012345678.0};
  for (int64_t i = 0; i < 500; ++i) {
    numbers.push_back(u.data<double>()[i] * std::pow(10, e.data<double>()[i]));
    numbers.push_back(std::round(u.data<double>()[i] * 1e6) / 1e3);
  }
  std::string text = "shortest,fixed,seventeen\n";
  for (const double x : numbers) text += fmt::format("{},{:.3f},{:.17g}\n", x, x, x);
  const Table t = read(text);
  for (size_t i = 0; i < numbers.size(); ++i) {
    CAPTURE(numbers[i]);
    CHECK(t["shortest"].numbers[i] == numbers[i]);
    CHECK(std::signbit(t["shortest"].numbers[i]) == std::signbit(numbers[i]));
    CHECK(t["seventeen"].numbers[i] == numbers[i]);
    CHECK(t["fixed"].numbers[i] == std::stod(fmt::format("{:.3f}", numbers[i])));
  }
  const std::pair<const char*, double> cases[] = {
      {"+5", 5},
      {".5", 0.5},
      {"5.", 5},
      {"-.25e1", -2.5},
      {"1E3", 1000},
      {"1e+3", 1000},
      {"007", 7},
      {"1e-400", 0},
      {"inf", INFINITY},
      {"-inf", -INFINITY},
      {"0.00000000000000000000000000000001", 1e-32},
      {"100000000000000000000000000000000000000", 1e38}};
  for (const auto& [number, value] : cases) {
    const char* word = number;
    CAPTURE(word);
    CHECK(read(fmt::format("a,b\n{},1\n", word))["a"].numbers[0] == value);
  }
  for (const char* word : {"1e", "1e400", "1.2.3", "--1", "+-1", "1 2", "0x10", "1,5", "1_000",
                           "e5", ".", "-", "+", "1e5e5", "12O",
                           "\xE2\x88\x92"
                           "5"}) {
    CAPTURE(word);
    const std::string m =
        error_of(fmt::format("a;b\n1;2\n{};1\n", word), {.separator = ';', .numbers = {"a"}});
    CHECK(m.find(", line 3, column 1 (\"a\"): expected a number; got \"") == 0);
  }
}

TEST_CASE("read_csv: decimal commas") {
  const CsvOptions comma{.decimal = ','};
  CHECK(read("a;b\n1,5;-2,25e1\n3;4\n", comma)["b"].numbers == std::vector<double>{-22.5, 4});
  CHECK(read("a\nx,y\n", comma)["a"].text(0) == "x,y");
  CHECK(read("a\n1,5\n3\n", comma)["a"].numbers == std::vector<double>{1.5, 3});
  CHECK(error_of("a;b\n1.5;2\n", {.numbers = {"a"}, .decimal = ','}).find("got \"1.5\"") !=
        std::string::npos);
  // Not asked for: never taken for categories.
  CHECK(error_of("a;b\n1,5;x\n2,5;y\n3;z\n") ==
        ", column 1 (\"a\"): expected numbers like 1.5; got \"1,5\". Hint: `.decimal = ','`, "
        "where that is the decimal point, or `.categories = {\"a\"}`.");
}

TEST_CASE("read_csv: a column of numbers with a few texts is an error, one of both is not") {
  std::string text = "id,n\n";
  for (int i = 0; i < 3000; ++i) text += fmt::format("{},{}\n", i, i == 2500 ? "12O" : "12");
  CHECK(error_of(text) ==
        ", line 2502, column 2 (\"n\"): expected a number, as 2999 of 3000 values of this column "
        "are; got \"12O\". Hint: `.missing = {\"12O\"}`, or `.categories = {\"n\"}`.");
  CHECK(read(text, {.missing = {"12O"}})["n"].count_missing() == 1);
  CHECK(read(text, {.categories = {"n"}})["n"].levels == Texts{"12", "12O"});
  CHECK(read(text, {.columns = {"id"}}).names() == Texts{"id"});

  // A fifth are texts, the first of them after thousands of numbers.
  text = "id,n\n";
  for (int i = 0; i < 5000; ++i) text += fmt::format("{},{}\n", i, i < 4000 ? i % 12 : -1);
  for (int i = 0; i < 1250; ++i) text += fmt::format("{},x{}\n", i, i % 3);
  const Table t = read(text);
  CHECK(t["n"].categorical);
  CHECK(t["n"].levels.size() == 16);
  CHECK(t["n"].text(3999) == "3");
  CHECK(t["n"].text(6249) == "x1");
  CHECK(t["id"].numbers[6249] == 1249);
}

TEST_CASE("read_csv: kinds that are asked for") {
  const Table t =
      read("zip,n\n02139,1\n10001,2\n1e3,NA\n", {.numbers = {"n"}, .categories = {"zip"}});
  CHECK(t["zip"].levels == Texts{"1e3", "02139", "10001"});  // in order of their values
  CHECK(read("a\nb\n10\n9\n", {.categories = {"a"}})["a"].levels == Texts{"10", "9", "b"});
  CHECK(read("a,b\nx,1\n", {.columns = {"b", "a"}}).names() == Texts{"a", "b"});
  CHECK(read("a,b\nNA,?\n-,1\n", {.missing = {"?", "-"}, .categories = {"a"}})["a"].levels ==
        Texts{"NA"});
  CHECK(read("a,b\nNA,?\n-,1\n", {.missing = {"?", "-"}, .categories = {"a"}})["b"].missing(0));
  CHECK(read("a,b\n?,x\n,\n5,y\n", {.missing = {"?"}})["a"].count_missing() == 2);
  const Table sentinel = read("a,b\n-999,x\n-999.0,-999\n5,y\n", {.missing = {"-999"}});
  CHECK(sentinel["a"].count_missing() == 2);
  CHECK(sentinel["b"].missing(1));
  // Nothing but missing values: numbers, or what was asked for.
  CHECK(!read("a,b\n,1\nNA,2\n")["a"].categorical);
  CHECK(read("a,b\n,1\nNA,2\n", {.categories = {"a"}})["a"].codes == std::vector<int32_t>{-1, -1});
  // The name of an index column is empty.
  CHECK(read(",a\n0,5\n").names() == Texts{"column_1", "a"});
  CHECK(read("1,2\n3,4\n", {.header = false}).names() == Texts{"column_1", "column_2"});
  CHECK(read("1,2\n3,4\n", {.header = false}).size() == 2);
  CHECK(read("2019,2020\n3,4\n", {.names = {"2019", "2020"}}).size() == 1);
}

TEST_CASE("read_csv: small tables") {
  CHECK(read("a,b\n").size() == 0);
  CHECK(read("a").names() == Texts{"a"});
  CHECK(read("a\n1\n\n2\n")["a"].numbers == std::vector<double>{1, 2});
  CHECK(read("a\n1\n\"\"\n2\n")["a"].missing(1));
  CHECK(read("a,b\n,\n").columns()[1].missing(0));
  CHECK(read("a,b,\n1,2,\n").names() == Texts{"a", "b", "column_3"});  // a separator at the end
}

TEST_CASE("read_csv: files that lie") {
  const std::pair<std::string, std::string> cases[] = {
      {"", " is empty: expected a header or values."},
      {"\n \r\n\n", " is empty: expected a header or values."},
      {"\xEF\xBB\xBF", " is empty: expected a header or values."},
      {"a,b\n1,2\n3\n4,5\n",
       ", line 3: expected 2 fields, as in line 1; got 1: \"3\". Hint: a field that holds the "
       "separator stands in quotes; `.separator` names another one."},
      {"a,b\n1,2\n3,4,5\n",
       ", line 3: expected 2 fields, as in line 1; got 3: \"3,4,5\". Hint: a field that holds the "
       "separator stands in quotes; `.separator` names another one."},
      {"\n\na,b,c\n1,2,x\n\n3,4",
       ", line 6: expected 3 fields, as in line 3; got 2: \"3,4\". Hint: it is the last line: the "
       "file may be cut."},
      {"a,b\n1,\"x\n2,y\n",
       ", line 2, column 2 (\"b\"): the quote that opens here is never closed."},
      {"a,\"b\n1,2\n", ", line 1, column 2: the quote that opens here is never closed."},
      {"a,b\n\"two\nlines\",1\n2,\"x\" y\n",
       ", line 4, column 2 (\"b\"): expected a separator (\",\") or the end of the line after the "
       "quote that closes \"x\"; got \"y\". Hint: a quote within a quoted field is written twice."},
      {"a,b,a\n1,2,3\n", ": columns 1 and 3 are both named \"a\". Hint: `.names`."},
      {"1,2.5\n3,4\n",
       ", line 1: expected the columns' names; got numbers, \"1, 2.5\". Hint: `.header = false`, "
       "or give the names as `.names`."},
      {std::string("a,b\n1,2\n3,\0004\n", 13),
       ", line 3: got a byte of 0. Hint: it is no text file, or damaged."},
      {"a,b\n1,x\n2,M\xFCnchen\n",
       ", line 3, column 2 (\"b\"): expected UTF-8; got \"M\\xfcnchen\". Hint: iconv -f LATIN1 -t "
       "UTF-8."},
      {"a,\xFC\n1,x\n",
       ", line 1, column 2: expected UTF-8; got \"\\xfc\". Hint: iconv -f LATIN1 -t UTF-8."},
      {std::string("\xFF\xFE"
                   "a\0,\0",
                   6),
       " is UTF-16; expected UTF-8. Hint: iconv -f UTF-16 -t UTF-8."},
  };
  for (const auto& [bytes, expected] : cases) {
    const std::string& text = bytes;
    CAPTURE(text);
    CHECK(error_of(text) == expected);
  }
  // Whatever the first bytes of a table are: an error or a table, within a moment.
  const std::string whole = "a,\"b\"\"\n\",c\r\n1,\"x,\r\n\",2\n\n,\"\",3.5e-2\n";
  for (size_t n = 0; n <= whole.size(); ++n) {
    for (const char c : {'"', ',', '\n', '\r', '\0', '\x80'}) {
      for (const CsvOptions& options : {CsvOptions{}, CsvOptions{.header = false}}) {
        try {
          read(whole.substr(0, n) + c, options);
          read(whole.substr(0, n) + c + whole.substr(n), options);
        } catch (const Error&) {
        }
      }
    }
  }
}

TEST_CASE("read_csv: a spreadsheet") {
  CHECK(error_of("PK\3\4.........") ==
        " is a zip archive, as a spreadsheet (.xlsx) is. Hint: save it as CSV.");
}

TEST_CASE("read_csv: a million columns, and more") {
  std::string line;
  for (int i = 0; i < 1'000'000; ++i) line += "1,";
  CHECK(error_of(line + "1\n", {.header = false}) ==
        ", line 1: more than 1000000 columns. Hint: are rows and columns exchanged? `.separator` "
        "names another separator.");
}

TEST_CASE("read_csv: what cannot be read, options that do not fit") {
  const Scratch scratch;
  CHECK(message([&] { read_csv(scratch.path("none.csv")); }) ==
        fmt::format("read_csv: cannot open \"{}\": No such file or directory.",
                    scratch.path("none.csv")));
  CHECK(message([&] { read_csv(scratch.path("")); }).starts_with("read_csv: cannot "));
  CHECK(error_of("a,b\n1,2\n", {.columns = {"c"}}) ==
        " has no column \"c\", which `.columns` names; got \"a\", \"b\".");
  CHECK(error_of("a,b\n1,2\n", {.numbers = {"A"}}).find("`.numbers` names") != std::string::npos);
  CHECK(error_of("a,b\n1,2\n", {.categories = {" a"}}).find("\" a\"") != std::string::npos);
  CHECK(error_of("a,b\n1,2\n", {.names = {"x"}}) == " has 2 columns; got 1 in `.names`: \"x\".");
  const File file("a,b\n1,2\n");
  CHECK(message([&] { read_csv(file.path, {.numbers = {"a"}, .categories = {"a"}}); }) ==
        "read_csv: \"a\" is in both `.numbers` and `.categories`.");
  CHECK(message([&] { read_csv(file.path, {.separator = '"'}); }).find("got \"\"\"") !=
        std::string::npos);
  CHECK_THROWS_AS(read_csv(file.path, {.separator = '.'}), Error);
}

TEST_CASE("write_csv: read_csv reads it as it was") {
  const Table t({Column("x", {1.0 / 3, NAN, -1e-300, 2}),
                 Column("text, \"quoted\"", {"a\nb", "", " c ", "\"d\",\r\n;e"}),
                 Column("été", {"ü", "ß", "", "ü"})});
  const Scratch scratch;
  for (const char separator : {',', ';', '\t'}) {
    write_csv(scratch.path("t.csv"), t, separator);
    const Table u = read_csv(scratch.path("t.csv"), {.separator = separator});
    CHECK(fields(u) == fields(t));
    CHECK(u["x"].numbers[0] == 1.0 / 3);
    CHECK(u.columns()[1].levels == t.columns()[1].levels);
  }
  write_csv(scratch.path("one.csv"), t.select({"x"}));
  CHECK(fields(read_csv(scratch.path("one.csv"))) == fields(t.select({"x"})));
  CHECK(message([&] {
          write_csv(scratch.path("no/t.csv"), t);
        }).starts_with("write_csv: cannot create "));
  for (const char bad : {'"', '\n', '\0', '5', 'x', '-'}) {
    CHECK_THROWS_AS(write_csv(scratch.path("t.csv"), t, bad), Error);
  }
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path("")), {}) == 2);
}
