// Tables as text: CSV, and what differs from it by the separator.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ramp/data/table.h"

namespace ramp {

struct CsvOptions {
  /// 0: tab, ';', '|' or ',', the first of these that parts the first 20 lines equally, else ','
  /// (or ';', where that is the decimal point).
  char separator = 0;
  bool header = true;
  /// The columns' names, in place of the header's. Without either they are column_1, column_2, ..
  std::vector<std::string> names = {};
  /// What stands for a value that is missing besides nothing, in quotes or not; "-999" for -999.0,
  /// too.
  std::vector<std::string> missing = {"NA", "N/A", "NaN", "nan", "null", "NULL"};
  /// These columns alone are read; none named: all.
  std::vector<std::string> columns = {};
  /// Columns that are numbers / categories whatever stands in them; the others: see read_csv.
  std::vector<std::string> numbers = {}, categories = {};
  char decimal = '.';      // ',': 3,14
  int64_t skip_lines = 0;  // before the header
};

/// A table from a file of RFC 4180: fields in quotes may hold separators, line ends and "" for a
/// quote. Beyond it: lines may end in LF, CR or both; the file may start with a BOM and be packed
/// with gzip; blanks around a field are left out, and so are empty lines.
///
/// A column is one of numbers where each value is one (f64: integers above 2^53 are rounded, so
/// read long identifiers as categories). It is one of categories where more than a tenth are not;
/// where fewer are not, that is an error which names the first of them. Levels are in order of
/// their bytes, of their values where all are numbers.
///
/// It takes memory for the file and for the table. 1,000,000 rows of 20 columns (170 MB): half a
/// second on one core.
/// Errors, with file, line and column: no such file; an empty one; a line with another number of
/// fields; a quote that is never closed or is followed by text; a text where a number was asked
/// for; bytes that are not text (zeros, UTF-16) or not UTF-8; a header of numbers; two columns of
/// one name; more than a million columns; an option that names no column.
Table read_csv(const std::string& path, const CsvOptions& options = {});

/// Writes a table, with a header, that read_csv reads as it was (numbers with all their digits;
/// missing values as empty fields); a column of categories needs `.categories` where its levels
/// look like numbers, and `.missing` where one is "NA". The file is whole or not there, see
/// NewFile. Errors: a file that cannot be written; a separator that is a quote, a line end, a
/// letter, a digit or one of ".+-".
void write_csv(const std::string& path, const Table& table, char separator = ',');

}  // namespace ramp
