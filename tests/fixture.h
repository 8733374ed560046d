// Reads fixtures: values that PyTorch computed. fixtures/fixture.py writes them.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp {

/// A named case. `f.tensor("x")` has no history; a name that is not there is an error.
struct Fixture {
  std::string name;
  std::map<std::string, Tensor> tensors;
  std::map<std::string, double> numbers;

  bool has(const std::string& key) const { return tensors.count(key) || numbers.count(key); }
  Tensor tensor(const std::string& key) const {
    if (!tensors.count(key)) fail("fixture {}: it has no tensor \"{}\".", name, key);
    return tensors.at(key).clone();
  }
  /// A leaf.
  Tensor leaf(const std::string& key) const { return tensor(key).requires_grad_(); }
  double number(const std::string& key) const {
    if (!numbers.count(key)) fail("fixture {}: it has no number \"{}\".", name, key);
    return numbers.at(key);
  }
};

inline Tensor read_tensor(std::istringstream& line) {
  std::string dtype, shape, word;
  line >> dtype >> shape;
  std::vector<int64_t> dims;
  std::istringstream list(shape.substr(1, shape.size() - 2));
  while (std::getline(list, word, ',')) dims.push_back(std::stoll(word));
  Tensor x = Tensor::empty(dims, dtype == "f32" ? f32 : dtype == "f64" ? f64 : i64);
  visit_dtype(x.dtype(), [&]<typename T>(T) {
    T* value = x.mutable_data<T>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      if (!(line >> word)) fail("fixture: a tensor {} has only {} values.", x.shape(), i);
      // Not stod: it throws on denormals.
      value[i] = x.dtype() == i64 ? static_cast<T>(std::stoll(word))
                                  : static_cast<T>(std::strtod(word.c_str(), nullptr));
    }
  });
  if (line >> word) fail("fixture: a tensor {} has too many values.", x.shape());
  return x;
}

/// The cases of fixtures/<topic>.txt.
inline std::vector<Fixture> read_fixtures(const std::string& topic) {
  std::ifstream file(std::string(RAMP_FIXTURES_DIR "/") + topic + ".txt");
  if (!file) fail("fixture: there is no fixtures/{0}.txt. Hint: run make_{0}.py.", topic);
  std::vector<Fixture> all;
  std::string text, kind, name;
  while (std::getline(file, text)) {
    std::istringstream line(text);
    line >> kind;
    if (kind == "case") {
      all.push_back({.name = text.substr(5), .tensors = {}, .numbers = {}});
    } else if (kind == "tensor") {
      line >> name;
      all.back().tensors[name] = read_tensor(line);
    } else if (kind == "number") {
      line >> name >> text;
      all.back().numbers[name] = std::strtod(text.c_str(), nullptr);
    }
  }
  if (all.empty()) fail("fixture: fixtures/{}.txt has no cases.", topic);
  return all;
}

/// Empty if dtypes and shapes are equal and |a - b| <= tolerance * (1 + |b|) everywhere (NaN equals
/// NaN, inf equals inf); else the first difference.
inline std::string difference(const Tensor& a, const Tensor& b, double tolerance) {
  if (!a.defined() || !b.defined()) return "an undefined tensor";
  if (a.dtype() != b.dtype() || !(a.shape() == b.shape())) {
    return fmt::format("{} {}; expected {} {}", a.dtype(), a.shape(), b.dtype(), b.shape());
  }
  const std::vector<double> u = a.values(), v = b.values();
  for (size_t i = 0; i < u.size(); ++i) {
    if (u[i] == v[i] || (std::isnan(u[i]) && std::isnan(v[i]))) continue;
    if (std::isfinite(v[i]) && std::fabs(u[i] - v[i]) <= tolerance * (1 + std::fabs(v[i]))) {
      continue;
    }
    return fmt::format("at flat index {} of {}: {}; expected {}", i, a.shape(), u[i], v[i]);
  }
  return "";
}

/// A doctest check that a is close to b, the expected one; put INFO(f.name) before it.
inline void check_close(const Tensor& a, const Tensor& b, double tolerance) {
  CHECK(difference(a, b, tolerance) == "");
}

}  // namespace ramp
