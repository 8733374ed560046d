#include "ramp/data/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "ramp/data/dataset.h"
#include "ramp/data/text.h"

namespace ramp {

Column::Column(std::string name, std::vector<double> numbers)
    : name(std::move(name)), numbers(std::move(numbers)) {}

Column::Column(std::string name, const std::vector<std::string>& texts)
    : name(std::move(name)), categorical(true) {
  std::unordered_map<std::string_view, int32_t> known{{"", -1}};
  for (const std::string& t : texts) {
    const auto [at, fresh] = known.emplace(t, static_cast<int32_t>(levels.size()));
    if (fresh) levels.push_back(t);
    codes.push_back(at->second);
  }
  detail::sort_levels(*this);
}

void detail::sort_levels(Column& column) {
  const size_t n = column.levels.size();
  std::vector<double> values(n);
  std::vector<int32_t> order(n), place(n);
  std::iota(order.begin(), order.end(), 0);
  bool numbers = true;
  for (size_t i = 0; i < n && numbers; ++i) {
    numbers = parse_number(column.levels[i], values[i]) && !std::isnan(values[i]);
  }
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    if (numbers && values[a] != values[b]) return values[a] < values[b];
    return column.levels[a] < column.levels[b];
  });
  std::vector<std::string> levels(n);
  for (size_t i = 0; i < n; ++i) {
    place[order[i]] = static_cast<int32_t>(i);
    levels[i] = std::move(column.levels[order[i]]);
  }
  column.levels = std::move(levels);
  for (int32_t& c : column.codes) c = c < 0 ? -1 : place[c];
}

int64_t Column::size() const {
  return static_cast<int64_t>(categorical ? codes.size() : numbers.size());
}

bool Column::missing(int64_t row) const {
  const auto i = static_cast<size_t>(row);
  return categorical ? codes.at(i) < 0 : std::isnan(numbers.at(i));
}

int64_t Column::count_missing() const {
  return categorical ? std::count(codes.begin(), codes.end(), -1)
                     : std::count_if(numbers.begin(), numbers.end(),
                                     [](double x) { return std::isnan(x); });
}

std::string Column::text(int64_t row) const {
  if (missing(row)) return "";
  const auto i = static_cast<size_t>(row);
  return categorical ? levels[static_cast<size_t>(codes[i])] : fmt::format("{}", numbers[i]);
}

std::vector<std::string> Column::texts() const {
  std::vector<std::string> all;
  for (int64_t i = 0; i < size(); ++i) all.push_back(text(i));
  return all;
}

Tensor Column::tensor() const {
  if (!categorical) return Tensor::of(numbers);
  return Tensor::of(codes);
}

Table::Table(std::vector<Column> columns) {
  columns_.reserve(columns.size());
  for (Column& c : columns) {
    if (contains(c.name)) fail("Table: two columns are named {}.", in_quotes(c.name));
    set(std::move(c));
  }
}

std::vector<std::string> Table::names() const {
  std::vector<std::string> all;
  for (const Column& c : columns_) all.push_back(c.name);
  return all;
}

const Column& Table::operator[](std::string_view name) const {
  const auto at = places_.find(std::string(name));
  if (at != places_.end()) return columns_[at->second];
  fail("Table: no column {}; got \"{}\".", in_quotes(name), fmt::join(names(), "\", \""));
}

Table& Table::set(Column column) {
  if (!columns_.empty() && column.size() != size()) {
    fail("Table: all columns must have the same length: {} has {} rows; got {} for {}.",
         in_quotes(columns_[0].name), size(), column.size(), in_quotes(column.name));
  }
  const auto [at, fresh] = places_.emplace(column.name, columns_.size());
  if (fresh) {
    columns_.push_back(std::move(column));
  } else {
    columns_[at->second] = std::move(column);
  }
  return *this;
}

Table Table::select(const std::vector<std::string>& names) const {
  std::vector<Column> chosen;
  for (const std::string& name : names) chosen.push_back((*this)[name]);
  return Table(std::move(chosen));
}

Tensor Table::tensor(DType dtype) const {
  if (columns_.empty()) fail("Table: expected columns of numbers; got none.");
  const int64_t n = std::ssize(columns_);
  Tensor y = Tensor::empty({size(), n}, dtype);
  visit_float("tensor", dtype, [&]<typename T>(T) {
    T* to = y.mutable_data<T>();
    for (int64_t c = 0; c < n; ++c) {
      const Column& column = columns_[static_cast<size_t>(c)];
      if (column.categorical) {
        fail(
            "Table: expected columns of numbers; {} is of categories. Hint: select() others, or "
            "TableEncoder.",
            in_quotes(column.name));
      }
      for (int64_t i = 0; i < size(); ++i) {
        to[i * n + c] = static_cast<T>(column.numbers[static_cast<size_t>(i)]);
      }
    }
  });
  return y;
}

std::string Table::summary() const {
  size_t width = 6;
  for (const Column& c : columns_) width = std::max(width, c.name.size());
  std::string out = fmt::format("{} rows, {} columns\n", size(), columns_.size());
  for (const Column& c : columns_) {
    const int64_t missing = c.count_missing();
    out += fmt::format("{:{}}  ", c.name, width);
    if (c.categorical) {
      std::vector<std::pair<int64_t, size_t>> counts(c.levels.size());  // negative: most first
      for (size_t i = 0; i < counts.size(); ++i) counts[i].second = i;
      for (const int32_t code : c.codes) {
        if (code >= 0) --counts[static_cast<size_t>(code)].first;
      }
      const size_t shown = std::min<size_t>(counts.size(), 4);
      std::partial_sort(counts.begin(), counts.begin() + static_cast<int64_t>(shown), counts.end());
      out += fmt::format("{} categories", counts.size());
      for (size_t i = 0; i < shown; ++i) {
        out += fmt::format("{} {} {}", i == 0 ? ":" : ",", in_quotes(c.levels[counts[i].second]),
                           -counts[i].first);
      }
      if (counts.size() > shown) out += ", ..";
    } else {
      double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0;
      for (const double x : c.numbers) {
        if (std::isnan(x)) continue;
        low = std::min(low, x);
        high = std::max(high, x);
        sum += x;
      }
      out += missing == c.size() ? "numbers"
                                 : fmt::format("numbers {:.5g} to {:.5g}, mean {:.5g}", low, high,
                                               sum / static_cast<double>(c.size() - missing));
    }
    if (missing > 0) out += fmt::format("; {} missing", missing);
    out += "\n";
  }
  return out;
}

Table Table::take(const Tensor& rows) const {
  std::vector<size_t> from(static_cast<size_t>(rows.numel()));
  for (size_t i = 0; i < from.size(); ++i) {
    const int64_t row = rows.data<int64_t>()[i];
    if (row < -size() || row >= size()) {
      fail("take: expected rows of a table of {}; got row {}.", size(), row);
    }
    from[i] = static_cast<size_t>(row < 0 ? row + size() : row);
  }
  Table y;
  y.places_ = places_;
  for (const Column& c : columns_) {
    Column& to = y.columns_.emplace_back();
    to.name = c.name;
    to.categorical = c.categorical;
    to.levels = c.levels;
    for (const size_t i : from) {
      if (c.categorical) {
        to.codes.push_back(c.codes[i]);
      } else {
        to.numbers.push_back(c.numbers[i]);
      }
    }
  }
  return y;
}

Table Table::where(const std::function<bool(int64_t i)>& is_wanted) const {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < size(); ++i) {
    if (is_wanted(i)) rows.push_back(i);
  }
  return take(Tensor::of(rows));
}

std::pair<Table, Table> Table::split(double fraction, uint64_t seed) const {
  const Tensor rows = Tensor::arange(size());
  const auto [first, second] = Dataset{rows, rows}.split(fraction, {.seed = seed});
  return {take(first.x), take(second.x)};
}

}  // namespace ramp
