// The three element types.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string_view>
#include <type_traits>

#include "ramp/core/error.h"

namespace ramp {

enum class DType : uint8_t { f32, f64, i64 };

constexpr DType f32 = DType::f32, f64 = DType::f64, i64 = DType::i64;

constexpr size_t size_of(DType t) { return t == f32 ? 4 : 8; }
constexpr bool is_float(DType t) { return t != i64; }
constexpr std::string_view name_of(DType t) { return t == f32 ? "f32" : t == f64 ? "f64" : "i64"; }

/// "f32".
std::ostream& operator<<(std::ostream& out, DType dtype);

template <typename T>
constexpr DType dtype_of() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int64_t>,
                "ramp holds float, double and int64_t");
  return std::is_same_v<T, float> ? f32 : std::is_same_v<T, double> ? f64 : i64;
}

/// Calls f with a value of the C++ type behind a float dtype, which runs it for float or double:
///
///     visit_float("relu", x.dtype(), [&]<typename T>(T) {  // T is float where x is f32
///       const T* from = x.data<T>();
///     });
template <typename F>
decltype(auto) visit_float(std::string_view op, DType t, F&& f) {
  if (t == f32) return f(float{});
  if (t == f64) return f(double{});
  fail("{}: expected an f32 or f64 tensor; got i64. Hint: x.to(f32).", op);
}

/// The same for all three dtypes.
template <typename F>
decltype(auto) visit_dtype(DType t, F&& f) {
  if (t == f32) return f(float{});
  if (t == f64) return f(double{});
  return f(int64_t{});
}

}  // namespace ramp

template <>
struct fmt::formatter<ramp::DType> : ramp::TextFormatter<ramp::name_of> {};
