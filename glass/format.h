// Tensors as text, as NumPy prints arrays: `fmt::print("{}\n", x)`, `std::cout << x`.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "ramp/core/tensor.h"

namespace ramp {

/// The values as `str(array)` gives them in NumPy 2.4: in columns, with up to 8 digits after the
/// point (never more than tell the value from its neighbours), all in scientific notation where one
/// is too large or small, lines of 75 characters, "..." for what lies between 3 rows at either end
/// where there are more than 1000 elements.
/// A format for the elements, as in `fmt::print("{:.3f}", x)`, takes the place of the first rules.
/// Errors: a format that does not suit numbers.
std::string to_string(const Tensor& x, std::string_view element_format = "");

}  // namespace ramp

template <>
struct fmt::formatter<ramp::Tensor> {
  constexpr auto parse(fmt::format_parse_context& context) {
    auto end = context.begin();
    while (end != context.end() && *end != '}') ++end;
    element_format_ = {context.begin(), static_cast<size_t>(end - context.begin())};
    return end;
  }
  template <typename Context>
  auto format(const ramp::Tensor& x, Context& context) const {
    const std::string text = ramp::to_string(x, element_format_);
    return std::copy(text.begin(), text.end(), context.out());
  }

 private:
  std::string_view element_format_;
};
