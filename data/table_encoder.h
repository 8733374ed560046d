// From the columns of a table to what a model computes with, and back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ramp/data/dataset.h"
#include "ramp/data/scaler.h"
#include "ramp/data/table.h"
#include "ramp/layers/module.h"

namespace ramp {

struct TableEncoderOptions {
  std::string target = {};                // the column that is to be predicted; "": none
  std::vector<std::string> inputs = {};   // none named: all columns but the target
  std::vector<std::string> without = {};  // columns that are left out
  std::vector<std::string> codes = {};    // categories as numbers, for an Embedding
  bool indicators = true;                 // where a column had missing values: one that says so
  bool scale_target = true;               // a target of numbers is standardized too
  int64_t max_levels = 100;               // of a column that is one-hot
};

/// Learns from a training table what its columns become, and makes datasets of it and of others.
/// ```
/// const auto [train, test] = read_csv("flats.csv").split(0.8);
/// const TableEncoder encoder(train, {.target = "price"});  // learns means, stds and levels
/// Sequential net{Dense(encoder.width(), 64, ReLU{}), Dense(64, 1)};
/// .. encoder(train), encoder(test) ..
/// Tensor prices = encoder.inverse(predict(net, encoder(test).x));
/// save_safetensors("encoder.safetensors", encoder.state());  // beside the model
/// ```
/// What a table becomes, column by column:
/// - numbers: (v - mean) / std, with the training table's mean and std (a constant column: std 1).
///   A missing one is the mean, 0. Had the training table missing ones, a column beside it is 1
///   where the number is missing, else 0.
/// - categories: a column for each level, 1 in that of the row's, else 0. A missing one, and one
///   that the training table has not, is 0 in all; an indicator as with numbers.
/// - categories named in `codes`: i64 [n] each, in Dataset::more in the order of `codes`; 0 where
///   missing or unknown, the levels count from 1. (Where nothing else is an input, x is the first.)
/// - target: numbers are y, f32 [n, 1], standardized; categories are class numbers, i64 [n].
/// (Labels
///   0, 1, 2 are numbers unless they were read as `.categories`.)
class TableEncoder {
 public:
  /// For load_state().
  TableEncoder() = default;
  /// Errors: an option that names no column, or one both as target and input; a code that is not
  /// of categories; no inputs; a column without values, or with an infinite one; more levels than
  /// max_levels; what operator() says of the target; a target of 0 and 1
  /// alone that would be scaled.
  explicit TableEncoder(const Table& train, const TableEncoderOptions& options = {});

  /// x: f32 [n, width()]. Columns are found by name, and others ignored; y is undefined where the
  /// table has no target. Errors: an input that is not there; numbers where categories were, or
  /// the other way round; an infinite number; a target that is missing in a row, or a class that
  /// the training table has not.
  Dataset operator()(const Table& table) const;
  /// Predictions in the target's own units: y std + mean, f32 or f64 [.., 1]. Errors: a target of
  /// categories, or none.
  Tensor inverse(const Tensor& y) const;

  /// Columns of x, and their names: "size", "size missing", "district=north".
  int64_t width() const;
  std::vector<std::string> names() const;
  /// The classes of the target: a prediction of k is classes()[k]. Errors: it has none.
  const std::vector<std::string>& classes() const;
  /// The numbers that a column of `codes` has, 0 among them: `Embedding(encoder.code_count("zip"),
  /// 8)`. Errors: no such column.
  int64_t code_count(std::string_view column) const;
  /// A line for each column: what becomes of it.
  std::string summary() const;

  /// Everything that was learned, texts as their bytes: i64. Names begin with "table.", so that a
  /// file may hold more.
  std::vector<NamedTensor> state() const;
  /// Tensors of other names are ignored. Errors: none of an encoder, or not all; the encoder is
  /// then as it was.
  void load_state(const std::vector<NamedTensor>& state);

 private:
  enum class Kind { number, one_hot, codes };
  struct Input {
    std::string name;
    Kind kind = Kind::number;
    bool indicator = false;
    double mean = 0, std = 1;
    std::vector<std::string> levels;

    int64_t width() const;
  };
  void encode_target(const Column& column, Dataset& data) const;

  std::vector<Input> inputs_;
  std::string target_;
  bool class_target_ = false;
  std::vector<std::string> classes_;
  Scaler target_scaler_;
};

}  // namespace ramp
