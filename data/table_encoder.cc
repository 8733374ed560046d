#include "ramp/data/table_encoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "ramp/data/text.h"

namespace ramp {
namespace {

constexpr std::string_view kKinds[] = {"number", "one_hot", "codes"};

const char* kind_of(const Column& c) { return c.categorical ? "categories" : "numbers"; }

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool all_missing(const Column& c) { return c.count_missing() == c.size(); }

// For each level of a column its place among those that are known; -1 for none.
std::vector<int32_t> places(const std::vector<std::string>& levels,
                            const std::vector<std::string>& known) {
  std::unordered_map<std::string_view, int32_t> place;
  for (size_t i = 0; i < known.size(); ++i) place[known[i]] = static_cast<int32_t>(i);
  std::vector<int32_t> y;
  for (const std::string& level : levels) {
    const auto at = place.find(level);
    y.push_back(at == place.end() ? -1 : at->second);
  }
  return y;
}

void check_finite(const Column& c) {
  for (size_t i = 0; i < c.numbers.size(); ++i) {
    if (std::isinf(c.numbers[i])) {
      fail("TableEncoder: column {} must be finite; got {} in row {}.", in_quotes(c.name),
           c.numbers[i], i);
    }
  }
}

}  // namespace

int64_t TableEncoder::Input::width() const {
  if (kind == Kind::codes) return 0;
  return (kind == Kind::number ? 1 : std::ssize(levels)) + indicator;
}

TableEncoder::TableEncoder(const Table& train, const TableEncoderOptions& options)
    : target_(options.target) {
  for (const auto* list : {&options.inputs, &options.without, &options.codes}) {
    for (const std::string& name : *list) {
      train[name];  // or says that there is none
      if (name == target_ && list != &options.without) {
        fail("TableEncoder: {} is the target; expected other columns as inputs.", in_quotes(name));
      }
    }
  }
  const auto add = [&](const std::string& name) {
    const Column& c = train[name];
    Input& in = inputs_.emplace_back();
    in.name = name;
    in.indicator = options.indicators && c.count_missing() > 0;
    if (all_missing(c)) {
      fail("TableEncoder: column {} has no values. Hint: `.without = {{{}}}`.", in_quotes(name),
           in_quotes(name));
    }
    if (contains(options.codes, name)) {
      if (!c.categorical) {
        fail(
            "TableEncoder: codes are for categories; {} is of numbers. Hint: read_csv(.., "
            "{{.categories = {{{}}}}}).",
            in_quotes(name), in_quotes(name));
      }
      in.kind = Kind::codes;
      in.indicator = false;
    } else if (c.categorical) {
      in.kind = Kind::one_hot;
    }
    if (c.categorical) {
      // (A table that was split may have levels without rows.)
      std::vector<bool> seen(c.levels.size());
      for (const int32_t code : c.codes) {
        if (code >= 0) seen[static_cast<size_t>(code)] = true;
      }
      for (size_t i = 0; i < seen.size(); ++i) {
        if (seen[i]) in.levels.push_back(c.levels[i]);
      }
      if (in.kind == Kind::one_hot && std::ssize(in.levels) > options.max_levels) {
        fail(
            "TableEncoder: expected at most {} levels in the one-hot column {}; got {}. Hint: "
            "`.codes` and an Embedding, `.without`, or `.max_levels`.",
            options.max_levels, in_quotes(name), in.levels.size());
      }
    } else {
      check_finite(c);
      const Scaler scaler(c.tensor().view({c.size(), 1}));
      in.mean = scaler.mean().item();
      in.std = scaler.std().item();
    }
  };
  const std::vector<std::string> names = options.inputs.empty() ? train.names() : options.inputs;
  for (const std::string& name : names) {
    if (name == target_ || contains(options.without, name) || contains(options.codes, name))
      continue;
    add(name);
  }
  for (const std::string& name : options.codes) {
    if (!contains(options.without, name)) add(name);
  }
  if (inputs_.empty())
    fail("TableEncoder: no column is an input; got \"{}\".", fmt::join(train.names(), "\", \""));

  if (target_.empty()) return;
  const Column& c = train[target_];
  class_target_ = c.categorical;
  classes_ = c.levels;
  Dataset ignored;
  encode_target(c, ignored);
  if (!class_target_ && options.scale_target) {
    if (std::all_of(c.numbers.begin(), c.numbers.end(),
                    [](double v) { return v == 0 || v == 1; })) {
      fail(
          "TableEncoder: the target {} is 0 or 1 in all rows; expected a class, or a number to "
          "scale. Hint: read_csv(.., {{.categories = {{{}}}}}) for cross_entropy, `.scale_target = "
          "false` for bce_with_logits.",
          in_quotes(target_), in_quotes(target_));
    }
    target_scaler_ = Scaler(c.tensor().view({c.size(), 1}));
  }
}

void TableEncoder::encode_target(const Column& c, Dataset& data) const {
  if (c.categorical != class_target_) {
    fail("TableEncoder: the target {} is of {} in the training table; got {}.", in_quotes(c.name),
         class_target_ ? "categories" : "numbers", kind_of(c));
  }
  if (const int64_t missing = c.count_missing(); missing > 0) {
    fail(
        "TableEncoder: the target {} must be known in all rows; {} of {} are missing. "
        "Hint: table.where([&](int64_t i) {{ return !table[{}].missing(i); }}).",
        in_quotes(c.name), missing, c.size(), in_quotes(c.name));
  }
  if (!class_target_) {
    check_finite(c);
    data.y = target_scaler_(c.tensor().view({c.size(), 1})).to(f32);
    return;
  }
  const std::vector<int32_t> place = places(c.levels, classes_);
  data.y = Tensor::empty({c.size()}, i64);
  int64_t* y = data.y.mutable_data<int64_t>();
  for (size_t i = 0; i < c.codes.size(); ++i) {
    y[i] = place[static_cast<size_t>(c.codes[i])];
    if (y[i] < 0) {
      fail("TableEncoder: the target {} must be a class of the training table; got {} in row {}.",
           in_quotes(c.name), in_quotes(c.text(static_cast<int64_t>(i))), i);
    }
  }
}

Dataset TableEncoder::operator()(const Table& table) const {
  if (inputs_.empty())
    fail("TableEncoder: nothing was learned yet. Hint: TableEncoder(table), or load_state().");
  std::vector<std::string> absent;
  for (const Input& in : inputs_) {
    if (!table.contains(in.name)) absent.push_back(in.name);
  }
  if (!absent.empty()) {
    fail("TableEncoder: columns of the training table are missing: \"{}\"; got \"{}\".",
         fmt::join(absent, "\", \""), fmt::join(table.names(), "\", \""));
  }
  const int64_t n = table.size(), w = width();
  Dataset data;
  if (w > 0) data.x = Tensor::zeros({n, w});
  float* x = w > 0 ? data.x.mutable_data<float>() : nullptr;
  for (const Input& in : inputs_) {
    const Column& c = table[in.name];
    const bool number = in.kind == Kind::number;
    // (Nothing but missing values is read as numbers.)
    if (c.categorical == number && !all_missing(c)) {
      fail(
          "TableEncoder: column {} is of {} in the training table; got {}. Hint: read_csv(.., "
          "{{.{} = {{{}}}}}).",
          in_quotes(in.name), number ? "numbers" : "categories", kind_of(c),
          number ? "numbers" : "categories", in_quotes(in.name));
    }
    const std::vector<int32_t> place = places(c.levels, in.levels);
    Tensor codes = in.kind == Kind::codes ? Tensor::zeros({n}, i64) : Tensor();
    if (codes.defined()) data.more.push_back(codes);
    int64_t* code = codes.defined() ? codes.mutable_data<int64_t>() : nullptr;
    check_finite(c);
    for (int64_t i = 0; i < n; ++i) {
      float* row = x + i * w;
      if (c.missing(i)) {
        if (in.indicator) row[in.width() - 1] = 1;
      } else if (number) {
        row[0] = static_cast<float>((c.numbers[static_cast<size_t>(i)] - in.mean) / in.std);
      } else {
        const int32_t level = place[static_cast<size_t>(c.codes[static_cast<size_t>(i)])];
        if (code) {
          code[i] = level + 1;
        } else if (level >= 0) {
          row[level] = 1;
        }
      }
    }
    if (x) x += in.width();
  }
  if (w == 0) {
    data.x = data.more.front();
    data.more.erase(data.more.begin());
  }
  if (!target_.empty() && table.contains(target_)) encode_target(table[target_], data);
  return data;
}

Tensor TableEncoder::inverse(const Tensor& y) const {
  if (target_.empty() || class_target_) {
    fail("TableEncoder::inverse: expected a target of numbers; it is {}.",
         target_.empty() ? "none" : "of categories. Hint: classes()[k]");
  }
  return target_scaler_.inverse(y);
}

int64_t TableEncoder::width() const {
  int64_t w = 0;
  for (const Input& in : inputs_) w += in.width();
  return w;
}

std::vector<std::string> TableEncoder::names() const {
  std::vector<std::string> all;
  for (const Input& in : inputs_) {
    if (in.kind == Kind::number) all.push_back(in.name);
    if (in.kind == Kind::one_hot) {
      for (const std::string& level : in.levels) all.push_back(in.name + "=" + level);
    }
    if (in.indicator) all.push_back(in.name + " missing");
  }
  return all;
}

const std::vector<std::string>& TableEncoder::classes() const {
  if (!class_target_) fail("TableEncoder::classes: the target is not of categories.");
  return classes_;
}

int64_t TableEncoder::code_count(std::string_view column) const {
  for (const Input& in : inputs_) {
    if (in.kind == Kind::codes && in.name == column) return std::ssize(in.levels) + 1;
  }
  fail("TableEncoder::code_count: {} is not among `.codes`.", in_quotes(column));
}

std::string TableEncoder::summary() const {
  size_t w = target_.size();
  for (const Input& in : inputs_) w = std::max(w, in.name.size());
  std::string out;
  const auto line = [&](const std::string& name, const std::string& what) {
    out += fmt::format("{:{}}  {}\n", name, w, what);
  };
  const auto scaled = [](double mean, double std) {
    return fmt::format("number, mean {:.5g}, std {:.5g}", mean, std);
  };
  for (const Input& in : inputs_) {
    const std::string indicator = in.indicator ? " and an indicator for missing" : "";
    line(in.name, (in.kind == Kind::number    ? scaled(in.mean, in.std)
                   : in.kind == Kind::one_hot ? fmt::format("one-hot, {} levels", in.levels.size())
                                              : fmt::format("codes 0 to {}", in.levels.size())) +
                      indicator);
  }
  if (class_target_) {
    line(target_, fmt::format("target, {} classes", classes_.size()));
  } else if (!target_.empty()) {
    line(target_,
         target_scaler_.mean().defined()
             ? "target, " + scaled(target_scaler_.mean().item(), target_scaler_.std().item())
             : "target, number as it is");
  }
  return out;
}

// "table.0.number.size" f64 [mean, std]; "table.1.one_hot.district": the levels as text; with
// "_or_missing" behind the kind where there is an indicator; "table.target.price" like these (of
// numbers that are not scaled: f64 [0]).
std::vector<NamedTensor> TableEncoder::state() const {
  std::vector<NamedTensor> all;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Input& in = inputs_[i];
    all.push_back(
        {fmt::format("table.{}.{}{}.{}", i, kKinds[static_cast<size_t>(in.kind)],
                     in.indicator ? "_or_missing" : "", in.name),
         in.kind == Kind::number ? Tensor::of<double>({in.mean, in.std}) : text_tensor(in.levels)});
  }
  if (!target_.empty()) {
    std::vector<double> numbers;
    for (const NamedTensor& t : target_scaler_.state()) numbers.push_back(t.tensor.item());
    all.push_back(
        {"table.target." + target_, class_target_ ? text_tensor(classes_) : Tensor::of(numbers)});
  }
  return all;
}

void TableEncoder::load_state(const std::vector<NamedTensor>& state) {
  TableEncoder loaded;
  std::vector<std::pair<int64_t, Input>> inputs;
  const auto mean_and_std = [](const NamedTensor& t) {
    const std::vector<double> v = t.tensor.values();
    if (t.tensor.dtype() != f64 || v.size() != 2 || !std::isfinite(v[0]) || !(v[1] > 0)) {
      fail("TableEncoder: expected {} to be f64 [2], a mean and a std above 0; got {} {}.",
           in_quotes(t.name), t.tensor.dtype(), t.tensor.shape());
    }
    return v;
  };
  for (const NamedTensor& t : state) {
    std::string_view rest = t.name;
    if (!rest.starts_with("table.")) continue;
    const auto part = [&] {
      const size_t dot = std::min(rest.find('.'), rest.size());
      const std::string_view p = rest.substr(0, dot);
      rest.remove_prefix(std::min(dot + 1, rest.size()));
      return p;
    };
    part();
    const std::string_view number = part();
    if (number == "target") {
      loaded.target_ = rest;
      loaded.class_target_ = t.tensor.dtype() == i64;
      if (loaded.class_target_) {
        loaded.classes_ = texts_of(t.tensor);
      } else if (t.tensor.numel() > 0) {
        const std::vector<double> v = mean_and_std(t);
        loaded.target_scaler_.load_state(
            {{"mean", Tensor::of<double>({v[0]})}, {"std", Tensor::of<double>({v[1]})}});
      }
      continue;
    }
    std::string_view kind = part();
    Input in;
    in.indicator = kind.ends_with("_or_missing");
    if (in.indicator) kind.remove_suffix(std::string_view("_or_missing").size());
    in.name = rest;
    const auto* known = std::find(std::begin(kKinds), std::end(kKinds), kind);
    double place;
    if (known == std::end(kKinds) || !parse_number(number, place)) {
      fail("TableEncoder: {} is not of an encoder of this version.", in_quotes(t.name));
    }
    in.kind = static_cast<Kind>(known - kKinds);
    if (in.kind == Kind::number) {
      const std::vector<double> v = mean_and_std(t);
      in.mean = v[0];
      in.std = v[1];
    } else {
      in.levels = texts_of(t.tensor);
    }
    inputs.emplace_back(static_cast<int64_t>(place), std::move(in));
  }
  std::sort(inputs.begin(), inputs.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [place, in] : inputs) {
    if (place != std::ssize(loaded.inputs_)) {
      fail("TableEncoder: expected input {} of the encoder; got {} ({}).", loaded.inputs_.size(),
           place, in_quotes(in.name));
    }
    loaded.inputs_.push_back(std::move(in));
  }
  if (loaded.inputs_.empty()) {
    fail("TableEncoder: expected tensors of an encoder, \"table.0. ..\"; got {} others.",
         state.size());
  }
  *this = std::move(loaded);
}

}  // namespace ramp
