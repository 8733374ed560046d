// Tables: columns of numbers and of categories, by name.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

/// One column: numbers, or categories (texts of which there are few).
struct Column {
  std::string name;
  bool categorical = false;
  std::vector<double> numbers;      // of numbers; NaN: missing
  std::vector<int32_t> codes;       // of categories: row i has levels[codes[i]]; -1: missing
  std::vector<std::string> levels;  // each once; in order where the column was made from texts

  Column() = default;
  Column(std::string name, std::vector<double> numbers);
  Column(std::string name, std::initializer_list<double> numbers)
      : Column(std::move(name), std::vector<double>(numbers)) {}
  /// The levels are in order of their bytes (of their values where all are numbers); "": missing.
  Column(std::string name, const std::vector<std::string>& texts);
  Column(std::string name, std::initializer_list<std::string> texts)
      : Column(std::move(name), std::vector<std::string>(texts)) {}

  int64_t size() const;
  bool missing(int64_t row) const;
  int64_t count_missing() const;
  /// What stands in a row, as write_csv writes it; "" where it is missing.
  std::string text(int64_t row) const;
  /// That of all rows: `tokenize(table["review"].texts())`.
  std::vector<std::string> texts() const;
  /// Numbers as f64 [n], codes as i64 [n].
  Tensor tensor() const;
};

/// Columns of one length and of different names.
class Table {
 public:
  Table() = default;
  /// Errors: columns of different length; two of one name.
  explicit Table(std::vector<Column> columns);

  /// The number of rows.
  int64_t size() const { return columns_.empty() ? 0 : columns_[0].size(); }
  const std::vector<Column>& columns() const { return columns_; }
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return places_.contains(std::string(name)); }
  /// Errors: no such column (the message names those there are).
  const Column& operator[](std::string_view name) const;
  /// Adds a column, or puts it in the place of the one of that name. Errors: another length.
  Table& set(Column column);
  /// These columns alone, in this order. Errors: no such column.
  Table select(const std::vector<std::string>& names) const;

  /// The rows of these numbers, in their order: i64 [k]. Negative ones count from the end; the
  /// levels stay. Errors: no such row.
  Table take(const Tensor& rows) const;
  /// The rows for which is_wanted(i) is true:
  /// `table.where([&](int64_t i) { return !table["price"].missing(i); })`.
  Table where(const std::function<bool(int64_t i)>& is_wanted) const;
  /// Two parts, shuffled, as Dataset::split(): `auto [train, valid] = table.split(0.8)`.
  std::pair<Table, Table> split(double fraction, uint64_t seed = 0) const;

  /// All columns as they are, one beside the other: [n, columns], NaN where a value is missing.
  /// Errors: a column of categories (for these, and to standardize: TableEncoder); no columns; i64.
  Tensor tensor(DType dtype = f32) const;

  /// A line for each column: its kind, what is missing, the range of the numbers or the commonest
  /// levels.
  std::string summary() const;

 private:
  std::vector<Column> columns_;
  std::unordered_map<std::string, size_t> places_;  // of each name in columns_
};

namespace detail {
/// Puts the levels in order, and the codes with them.
void sort_levels(Column& column);
}  // namespace detail

}  // namespace ramp
