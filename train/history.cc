#include "ramp/train/history.h"

#include <fmt/format.h>

#include <cmath>

#include "ramp/data/new_file.h"
#include "ramp/io/json.h"

namespace ramp {
namespace {

using detail::integer, detail::Json, detail::parse_json;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double number(const Json& j) { return j.is_null() ? kNaN : j.get<double>(); }

}  // namespace

const Estimate& History::Row::operator[](const std::string& name) const {
  std::string names;
  for (const auto& [key, value] : values) {
    if (key == name) return value;
    names += (names.empty() ? "" : ", ") + key;
  }
  fail("history: expected one of its columns, {}; got \"{}\".", names, name);
}

const History::Row& History::last() const {
  fail_if(rows.empty(), "history: no epoch is done.");
  return rows.back();
}

std::vector<double> History::operator[](const std::string& name) const {
  std::vector<double> column;
  for (const Row& row : rows) column.push_back(row[name].value);
  return column;
}

std::vector<std::string> History::columns() const {
  std::vector<std::string> names;
  if (!rows.empty()) {
    for (const auto& [name, value] : rows.front().values) names.push_back(name);
  }
  return names;
}

std::string History::csv() const {
  std::string text = "epoch,steps,seconds,lr";
  for (const std::string& name : columns()) {
    text += "," + name;
    if (std::isfinite(rows.front()[name].error)) text += "," + name + "_error";
  }
  text += "\n";
  for (const Row& row : rows) {
    text += fmt::format("{},{},{:.3f},{}", row.epoch, row.steps, row.seconds, row.lr);
    for (const std::string& name : columns()) {
      text += fmt::format(",{}", row[name].value);
      if (std::isfinite(rows.front()[name].error)) text += fmt::format(",{}", row[name].error);
    }
    text += "\n";
  }
  return text;
}

std::string History::json() const {
  Json epochs = Json::array();
  for (const Row& row : rows) {
    Json j{{"epoch", row.epoch}, {"steps", row.steps}, {"seconds", row.seconds}, {"lr", row.lr}};
    for (const auto& [name, value] : row.values) {
      j[name] = value.value;
      if (std::isfinite(value.error)) j[name + "_error"] = value.error;
    }
    epochs.push_back(j);
  }
  return Json{{"epochs", epochs}, {"best_epoch", best_epoch}, {"stopped", stopped}}.dump();
}

History History::from_json(const std::string& text) {
  try {
    const Json all = parse_json(text, 3);
    History h;
    for (const Json& j : all.at("epochs")) {
      Row row{integer(j.at("epoch")),
              integer(j.at("steps")),
              number(j.at("seconds")),
              number(j.at("lr")),
              {}};
      for (const auto& [name, value] : j.items()) {
        constexpr std::string_view kEnd = "_error";
        if (name == "epoch" || name == "steps" || name == "seconds" || name == "lr") continue;
        if (!row.values.empty() && name == row.values.back().first + std::string(kEnd)) {
          row.values.back().second.error = number(value);
        } else {
          row.values.push_back({name, {number(value), kNaN}});
        }
      }
      h.rows.push_back(std::move(row));
    }
    h.best_epoch = integer(all.at("best_epoch"));
    h.stopped = all.at("stopped").get<std::string>();
    return h;
  } catch (const Json::exception&) {
    fail("history: expected the text that json() gives; got \"{}\".", text.substr(0, 60));
  }
}

void History::save(const std::string& path) const {
  const bool is_csv = path.ends_with(".csv");
  if (!is_csv && !path.ends_with(".json")) {
    fail("history: expected a name that ends in .csv or .json; got \"{}\".", path);
  }
  const std::string text = is_csv ? csv() : json() + "\n";
  NewFile file("history", path);
  file.write(text.data(), text.size());
  file.finish();
}

}  // namespace ramp
