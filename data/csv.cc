#include "ramp/data/csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <unordered_map>
#include <utility>

#include "ramp/data/new_file.h"
#include "ramp/data/read_file.h"
#include "ramp/data/text.h"

namespace ramp {

namespace {

// The codes of texts, in order of appearance: a hash table with open addressing.
class Levels {
 public:
  std::vector<std::string> texts;
  std::vector<int64_t> counts;

  int32_t code(std::string_view text) {
    if (2 * (texts.size() + 1) > slots_.size()) grow();
    const size_t hash = std::hash<std::string_view>()(text), mask = slots_.size() - 1;
    size_t i = hash & mask;
    for (; slots_[i].code >= 0; i = (i + 1) & mask) {
      const Slot& s = slots_[i];
      if (s.hash == hash && texts[static_cast<size_t>(s.code)] == text) {
        ++counts[static_cast<size_t>(s.code)];
        return s.code;
      }
    }
    if (texts.size() >= (size_t{1} << 31) - 1) fail("read_csv: more than 2^31 different texts.");
    slots_[i] = {hash, static_cast<int32_t>(texts.size())};
    texts.emplace_back(text);
    counts.push_back(1);
    return slots_[i].code;
  }

 private:
  struct Slot {
    size_t hash = 0;
    int32_t code = -1;
  };
  void grow() {
    std::vector<Slot> larger(std::max<size_t>(64, 2 * slots_.size()));
    for (const Slot& s : slots_) {
      if (s.code < 0) continue;
      size_t i = s.hash & (larger.size() - 1);
      while (larger[i].code >= 0) i = (i + 1) & (larger.size() - 1);
      larger[i] = s;
    }
    slots_ = std::move(larger);
  }
  std::vector<Slot> slots_;  // a power of two of them, half empty
};

constexpr double kPower10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

constexpr size_t kMostColumns = 1'000'000;  // a column takes most of a kB, whatever it holds

class CsvReader {
 public:
  CsvReader(const std::string& path, const CsvOptions& options);
  Table read();

 private:
  // guess: numbers, until a text is found (mixed).
  enum class Kind { skip, guess, mixed, numbers, categories };
  struct Reading {
    std::string name;
    Kind kind = Kind::guess;
    bool asked = false;  // the kind is what an option says
    std::vector<double> numbers;
    std::vector<int32_t> codes;
    Levels levels;
  };

  bool ends(char c) const { return ends_[static_cast<uint8_t>(c)]; }
  bool blank(char c) const { return (c == ' ' || c == '\t') && c != separator_; }
  bool line_end(const char* p) const { return p == end_ || *p == '\n' || *p == '\r'; }
  static void pass_line_end(const char*& p) {
    if (*p == '\r' && p[1] == '\n') ++p;
    if (*p != 0) ++p;
  }
  bool is_missing(std::string_view text) const {
    return text.empty() || std::find(options_.missing.begin(), options_.missing.end(), text) !=
                               options_.missing.end();
  }

  void add_number(Reading& r, double value) const {
    const bool missing = std::find(missing_.begin(), missing_.end(), value) != missing_.end();
    r.numbers.push_back(missing ? std::numeric_limits<double>::quiet_NaN() : value);
  }

  void set_separator(char c);
  char find_separator();
  std::vector<std::string> record(const char*& p);
  void find_columns();
  int64_t pass(int64_t limit);
  const char* fast_number(const char* p, double& value) const;
  void slow_number(const char*& p, size_t c);
  std::string_view field(const char*& p, size_t c);
  Column column(Reading& r, size_t c);

  int64_t line_of(const char* p) const;
  std::string at(const char* p, size_t c) const;
  [[noreturn]] void fail_fields(const char* start);

  const std::string& path_;
  const CsvOptions& options_;
  std::string bytes_;        // ends in a 0, and has none before it
  const char *body_, *end_;  // from the first line of values
  char separator_ = ',';
  bool ends_[256] = {};          // what ends a field that has no quotes
  const char* first_ = nullptr;  // the line that says how many fields each has
  std::vector<Reading> columns_;
  std::unordered_map<std::string, size_t> places_;  // of each name in columns_
  std::vector<double> missing_;  // what stands for a missing value and is a number: -999
  std::string unquoted_;
  std::string why_number_;
};

CsvReader::CsvReader(const std::string& path, const CsvOptions& options)
    : path_(path), options_(options), bytes_(read_file(path, "read_csv")) {
  body_ = bytes_.data();
  end_ = body_ + bytes_.size();
  if (bytes_.starts_with("\xFF\xFE") || bytes_.starts_with("\xFE\xFF")) {
    fail("read_csv: \"{}\" is UTF-16; expected UTF-8. Hint: iconv -f UTF-16 -t UTF-8.", path);
  }
  fail_if(bytes_.starts_with("PK\3\4"),
          "read_csv: \"{}\" is a zip archive, as a spreadsheet (.xlsx) is. Hint: save it as CSV.",
          path);
  if (bytes_.starts_with("\xEF\xBB\xBF")) body_ += 3;
  if (const void* zero = std::memchr(body_, 0, static_cast<size_t>(end_ - body_))) {
    fail("read_csv: \"{}\", line {}: got a byte of 0. Hint: it is no text file, or damaged.", path,
         line_of(static_cast<const char*>(zero)));
  }
  const char c = options.separator;
  if (c == '"' || c == '\n' || c == '\r' || (c != 0 && c == options.decimal)) {
    fail("read_csv: expected a separator other than quote, line end and decimal {}; got {}.",
         in_quotes({&options.decimal, 1}), in_quotes({&c, 1}));
  }
  for (const std::string& text : options.missing) {
    double value;
    if (parse_number(text, value, options.decimal)) missing_.push_back(value);
  }
  for (int64_t i = 0; i < options.skip_lines && body_ != end_; ++i) {
    while (!line_end(body_)) ++body_;
    pass_line_end(body_);
  }
  set_separator(c != 0 ? c : find_separator());
}

void CsvReader::set_separator(char c) {
  separator_ = c;
  std::fill(std::begin(ends_), std::end(ends_), false);
  for (const char e : {c, '\n', '\r', '\0'}) ends_[static_cast<uint8_t>(e)] = true;
}

char CsvReader::find_separator() {
  for (const char c : {'\t', ';', '|', ','}) {
    if (c == options_.decimal) continue;
    set_separator(c);
    size_t fields = 0;
    try {
      const char* p = body_;
      for (int lines = 0; lines < 20 && p != end_; ++lines) {
        const size_t n = record(p).size();
        if (n == 0) continue;
        if (n == 1 || (fields != 0 && n != fields)) {
          fields = 0;
          break;
        }
        fields = n;
      }
    } catch (const Error&) {  // quotes that make no sense with this separator
      continue;
    }
    if (fields > 1) return c;
  }
  return options_.decimal == ',' ? ';' : ',';
}

// The fields of a line; none of an empty one.
std::vector<std::string> CsvReader::record(const char*& p) {
  std::vector<std::string> fields;
  const char* start = p;
  while (blank(*p)) ++p;
  if (!line_end(p)) {
    p = start;
    fields.emplace_back(field(p, 0));
    while (*p == separator_) {
      if (fields.size() == kMostColumns) {
        fail(
            "read_csv: \"{}\", line {}: more than {} columns. Hint: are rows and columns "
            "exchanged? `.separator` names another separator.",
            path_, line_of(start), kMostColumns);
      }
      ++p;
      fields.emplace_back(field(p, fields.size()));
    }
  }
  pass_line_end(p);
  return fields;
}

int64_t CsvReader::line_of(const char* p) const {
  int64_t line = 1;
  for (const char* q = bytes_.data(); q < p; ++q) {
    line += *q == '\n' || (*q == '\r' && q[1] != '\n');
  }
  return line;
}

// `read_csv: "a.csv", line 3, column 2 ("price")`.
std::string CsvReader::at(const char* p, size_t c) const {
  const bool named = c < columns_.size() && !columns_[c].name.empty();
  return fmt::format("read_csv: \"{}\", line {}, column {}{}", path_, line_of(p), c + 1,
                     named ? " (" + in_quotes(columns_[c].name) + ")" : "");
}

void CsvReader::fail_fields(const char* start) {
  const char* p = start;
  const size_t got = record(p).size();
  while (p != end_ && (*p == '\n' || *p == '\r')) ++p;
  const char* stop = start;
  while (!line_end(stop)) ++stop;
  fail("read_csv: \"{}\", line {}: expected {} fields, as in line {}; got {}: {}. Hint: {}.", path_,
       line_of(start), columns_.size(), line_of(first_), got,
       in_quotes({start, static_cast<size_t>(stop - start)}),
       p == end_ && got < columns_.size()
           ? "it is the last line: the file may be cut"
           : "a field that holds the separator stands in quotes; `.separator` names another one");
}

// The field at p, without quotes or the blanks around it; p goes to what ends it.
std::string_view CsvReader::field(const char*& p, size_t c) {
  while (blank(*p)) ++p;
  const char* first = p;
  if (*p != '"') {
    while (!ends(*p)) ++p;
    const char* last = p;
    while (last > first && blank(last[-1])) --last;
    return {first, static_cast<size_t>(last - first)};
  }
  unquoted_.clear();
  std::string_view text;
  for (const char* from = ++p;; from = p) {
    p = static_cast<const char*>(std::memchr(p, '"', static_cast<size_t>(end_ - p)));
    if (!p) fail("{}: the quote that opens here is never closed.", at(first, c));
    text = {from, static_cast<size_t>(p - from)};
    ++p;
    if (*p != '"') break;
    unquoted_.append(text).append("\"");
    ++p;
  }
  if (!unquoted_.empty()) text = unquoted_.append(text);
  while (blank(*p)) ++p;
  if (!ends(*p)) {
    const char* stop = p;
    while (!line_end(stop)) ++stop;
    fail(
        "{}: expected a separator ({}) or the end of the line after the quote that closes {}; got "
        "{}. Hint: a quote within a quoted field is written twice.",
        at(first, c), in_quotes({&separator_, 1}), in_quotes(text),
        in_quotes({p, static_cast<size_t>(stop - p)}));
  }
  return text;
}

// Numbers of up to 2^53 times or over 10^22 are exact so, as both are and the product is
// rounded once; nullptr for others, and for what is none. Clinger, "How to read floating point
// numbers accurately" (1990).
const char* CsvReader::fast_number(const char* p, double& value) const {
  const bool minus = *p == '-';
  p += minus;
  const auto digits = [&](uint64_t& x) {
    const char* first = p;
    for (; static_cast<uint8_t>(*p - '0') < 10; ++p) x = 10 * x + static_cast<uint64_t>(*p - '0');
    return p - first;
  };
  uint64_t m = 0;
  int64_t count = digits(m), exponent = 0;
  if (*p == options_.decimal) {
    ++p;
    exponent = -digits(m);
    count -= exponent;
  }
  if (count == 0 || count > 18 || m > uint64_t{1} << 53) return nullptr;
  if ((*p | 0x20) == 'e') {
    ++p;
    const bool down = *p == '-';
    p += down || *p == '+';
    uint64_t e = 0;
    const int64_t n = digits(e);
    if (n == 0 || n > 3) return nullptr;
    exponent += down ? -static_cast<int64_t>(e) : static_cast<int64_t>(e);
  }
  if (!ends(*p) || exponent < -22 || exponent > 22) return nullptr;
  const auto x = static_cast<double>(m);
  const double y = exponent < 0 ? x / kPower10[-exponent] : x * kPower10[exponent];
  value = minus ? -y : y;
  return p;
}

void CsvReader::slow_number(const char*& p, size_t c) {
  const char* start = p;
  const std::string_view text = field(p, c);
  Reading& r = columns_[c];
  double value = std::numeric_limits<double>::quiet_NaN();
  if (!is_missing(text) && !parse_number(text, value, options_.decimal)) {
    if (r.kind == Kind::guess) {
      r.kind = Kind::mixed;
      return;
    }
    fail(
        "{}: expected a number{}; got {}. Hint: `.missing = {{{}}}`, or `.categories = "
        "{{{}}}`.",
        at(start, c), why_number_, in_quotes(text), in_quotes(text), in_quotes(r.name));
  }
  add_number(r, value);
}

// Reads up to `limit` lines into the columns that are not to be skipped; returns their number.
int64_t CsvReader::pass(int64_t limit) {
  for (Reading& r : columns_) {
    if (r.kind == Kind::skip) continue;
    r.numbers.clear();
    r.codes.clear();
    r.levels = {};
  }
  const size_t n = columns_.size();
  const char* p = body_;
  int64_t rows = 0;
  while (rows < limit && p != end_) {
    const char* start = p;
    while (blank(*p)) ++p;
    if (line_end(p)) {
      pass_line_end(p);
      continue;
    }
    p = start;
    for (size_t c = 0; c < n; ++c) {
      Reading& r = columns_[c];
      if (r.kind == Kind::guess || r.kind == Kind::numbers) {
        double value;
        if (const char* stop = fast_number(p, value)) {
          add_number(r, value);
          p = stop;
        } else {
          slow_number(p, c);
        }
      } else if (r.kind == Kind::categories) {
        const char* first = p;
        const std::string_view text = field(p, c);
        const size_t known = r.levels.texts.size();
        r.codes.push_back(r.levels.code(text));
        if (r.levels.texts.size() > known && !is_utf8(text)) {
          fail("{}: expected UTF-8; got {}. Hint: iconv -f LATIN1 -t UTF-8.", at(first, c),
               in_quotes(text));
        }
      } else {
        field(p, c);
      }
      if (c + 1 < n) {
        if (*p != separator_) fail_fields(start);
        ++p;
      }
    }
    if (!line_end(p)) fail_fields(start);
    pass_line_end(p);
    ++rows;
  }
  return rows;
}

void CsvReader::find_columns() {
  std::vector<std::string> names;
  const char* p = body_;
  while (names.empty() && p != end_) {
    first_ = p;
    names = record(p);
  }
  if (names.empty()) fail("read_csv: \"{}\" is empty: expected a header or values.", path_);
  if (options_.header) {
    body_ = p;
    double value;
    if (options_.names.empty() &&
        std::all_of(names.begin(), names.end(), [&](const std::string& s) {
          return parse_number(s, value, options_.decimal);
        })) {
      fail(
          "read_csv: \"{}\", line {}: expected the columns' names; got numbers, {}. Hint: "
          "`.header = false`, or give the names as `.names`.",
          path_, line_of(first_), in_quotes(fmt::format("{}", fmt::join(names, ", "))));
    }
  } else {
    body_ = first_;
    for (std::string& name : names) name.clear();
  }
  if (!options_.names.empty()) {
    if (options_.names.size() != names.size()) {
      fail("read_csv: \"{}\" has {} columns; got {} in `.names`: {}.", path_, names.size(),
           options_.names.size(), in_quotes(fmt::format("{}", fmt::join(options_.names, ", "))));
    }
    names = options_.names;
  }
  columns_.reserve(names.size());
  for (size_t c = 0; c < names.size(); ++c) {
    Reading r;
    r.name = names[c].empty() ? fmt::format("column_{}", c + 1) : std::move(names[c]);
    if (const auto [at, fresh] = places_.emplace(r.name, c); !fresh) {
      fail("read_csv: \"{}\": columns {} and {} are both named {}. Hint: `.names`.", path_,
           at->second + 1, c + 1, in_quotes(r.name));
    }
    if (!is_utf8(r.name)) {
      fail("{}: expected UTF-8; got {}. Hint: iconv -f LATIN1 -t UTF-8.", at(first_, c),
           in_quotes(r.name));
    }
    columns_.push_back(std::move(r));
  }

  const auto named = [&](const std::string& name, const char* option) -> Reading& {
    const auto place = places_.find(name);
    if (place != places_.end()) return columns_[place->second];
    std::vector<std::string> all;
    for (const Reading& r : columns_) all.push_back(r.name);
    fail("read_csv: \"{}\" has no column {}, which `.{}` names; got \"{}\".", path_,
         in_quotes(name), option, fmt::join(all, "\", \""));
  };
  if (!options_.columns.empty()) {
    for (Reading& r : columns_) r.kind = Kind::skip;
    for (const std::string& s : options_.columns) named(s, "columns").kind = Kind::guess;
  }
  const auto ask = [&](const std::vector<std::string>& list, const char* option, Kind kind) {
    for (const std::string& name : list) {
      Reading& r = named(name, option);
      if (r.asked && r.kind != kind && r.kind != Kind::skip) {
        fail("read_csv: {} is in both `.numbers` and `.categories`.", in_quotes(name));
      }
      r.asked = true;
      if (r.kind != Kind::skip) r.kind = kind;
    }
  };
  ask(options_.numbers, "numbers", Kind::numbers);
  ask(options_.categories, "categories", Kind::categories);
}

// What was read as categories, checked.
Column CsvReader::column(Reading& r, size_t c) {
  Column y;
  y.name = r.name;
  y.categorical = r.kind == Kind::categories;
  y.numbers = std::move(r.numbers);
  y.codes = std::move(r.codes);
  if (!y.categorical) return y;

  std::vector<std::string>& texts = r.levels.texts;
  int64_t values = 0, numbers = 0;
  bool commas = true;  // each text is a number with a decimal comma (or point)
  std::vector<int32_t> place(texts.size());
  y.levels.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    double value;
    place[i] = is_missing(texts[i]) ? -1 : static_cast<int32_t>(y.levels.size());
    if (place[i] < 0) continue;
    values += r.levels.counts[i];
    if (parse_number(texts[i], value, options_.decimal)) numbers += r.levels.counts[i];
    commas = commas && parse_number(texts[i], value, options_.decimal == '.' ? ',' : '.');
    y.levels.push_back(std::move(texts[i]));
  }
  if (!r.asked && !y.levels.empty()) {
    if (commas) {
      fail(
          "read_csv: \"{}\", column {} ({}): expected numbers like 1{}5; got {}. Hint: `.decimal = "
          "'{}'`, where that is the decimal point, or `.categories = {{{}}}`.",
          path_, c + 1, in_quotes(y.name), options_.decimal, in_quotes(y.levels[0]),
          options_.decimal == '.' ? ',' : '.', in_quotes(y.name));
    }
    if (10 * (values - numbers) <= values) {  // the pass finds the first text, and fails there
      for (Reading& other : columns_) other.kind = Kind::skip;
      r.kind = Kind::numbers;
      why_number_ = fmt::format(", as {} of {} values of this column are", numbers, values);
      pass(std::numeric_limits<int64_t>::max());
    }
  }
  for (int32_t& code : y.codes) code = place[static_cast<size_t>(code)];
  detail::sort_levels(y);
  return y;
}

Table CsvReader::read() {
  find_columns();
  const auto settle = [&] {
    bool mixed = false;
    for (Reading& r : columns_) {
      if (r.kind == Kind::mixed) {
        r.kind = Kind::categories;
        mixed = true;
      }
    }
    return mixed;
  };
  // A look at the first lines, to know most kinds and the number of rows.
  constexpr int64_t kLook = 1000, kAll = std::numeric_limits<int64_t>::max();
  pass(kLook);
  settle();
  pass(kAll);
  std::vector<Kind> kinds;
  for (const Reading& r : columns_) kinds.push_back(r.kind);
  // Again, for columns that turned out not to be numbers.
  for (Reading& r : columns_) {
    if (r.kind != Kind::mixed) r.kind = Kind::skip;
  }
  if (settle()) pass(kAll);
  places_ = {};
  std::vector<Column> columns;
  columns.reserve(columns_.size());
  for (size_t c = 0; c < columns_.size(); ++c) {
    if (kinds[c] == Kind::skip) continue;
    columns_[c].kind = kinds[c] == Kind::mixed ? Kind::categories : kinds[c];
    columns.push_back(column(columns_[c], c));
  }
  return Table(std::move(columns));
}

// In quotes where it must be.
std::string csv_field(const std::string& text, char separator, bool alone) {
  const bool blank_ends = !text.empty() && (std::strchr(" \t", text.front()) != nullptr ||
                                            std::strchr(" \t", text.back()) != nullptr);
  if ((!text.empty() || !alone) && !blank_ends &&
      text.find_first_of(std::string("\"\r\n") + separator) == text.npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  return out + "\"";
}

}  // namespace

Table read_csv(const std::string& path, const CsvOptions& options) {
  return CsvReader(path, options).read();
}

void write_csv(const std::string& path, const Table& table, char separator) {
  if (std::strchr("\"\n\r.+-", separator) != nullptr ||
      std::isalnum(static_cast<uint8_t>(separator))) {
    fail("write_csv: expected a separator such as ',', ';' or a tab; got {}.",
         in_quotes({&separator, 1}));
  }
  NewFile file("write_csv", path);
  const bool alone = table.columns().size() == 1;
  std::string out;
  const auto line = [&](const auto& text) {
    for (size_t c = 0; c < table.columns().size(); ++c) {
      if (c > 0) out += separator;
      out += csv_field(text(table.columns()[c]), separator, alone);
    }
    out += '\n';
  };
  line([](const Column& c) { return c.name; });
  for (int64_t i = 0; i < table.size(); ++i) {
    line([&](const Column& c) { return c.text(i); });
  }
  file.write(out.data(), out.size());
  file.finish();
}

}  // namespace ramp
