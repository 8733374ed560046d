#include "ramp/glass/format.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <ostream>
#include <vector>

namespace ramp {
namespace {

constexpr int64_t kThreshold = 1000, kEdge = 3;
constexpr size_t kLineWidth = 75, kPrecision = 8;

template <typename... Args>
std::string chars(Args... args) {
  char buffer[1100];  // the longest f64 has 309 digits, and 1074 after the point
  return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), args...).ptr};
}

// A number taken apart: "-1", "25", "-06" (empty in fixed notation).
struct Digits {
  std::string whole, fraction, exponent;

  explicit Digits(const std::string& text) {
    const size_t e = std::min(text.find('e'), text.size()), point = std::min(text.find('.'), e);
    whole = text.substr(0, point);
    if (point < e) fraction = text.substr(point + 1, e - point - 1);
    if (e < text.size()) exponent = text.substr(e + 1);
  }
};

// The shortest digits that give v back, but at most kPrecision after the point.
template <typename T>
Digits shortest(T v, std::chars_format notation) {
  Digits d(chars(v, notation));
  if (d.fraction.size() <= kPrecision) return d;
  d = Digits(chars(v, notation, static_cast<int>(kPrecision)));
  d.fraction.erase(d.fraction.find_last_not_of('0') + 1);
  return d;
}

// A scalar has a line to itself: all its digits, as Python writes them.
template <typename T>
std::string alone(T v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  const double size = std::abs(static_cast<double>(v));
  if (size != 0 && (size < 1e-4 || size >= (sizeof(T) == 4 ? 1e6 : 1e16))) {
    return chars(v, std::chars_format::scientific);
  }
  const std::string text = chars(v, std::chars_format::fixed);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

// All values in one notation, their points in one column (numpy/_core/arrayprint.py,
// FloatingFormat).
template <typename T>
std::vector<std::string> in_columns(const std::vector<T>& values) {
  T least = std::numeric_limits<T>::infinity(), most = 0;
  for (T v : values) {
    if (!std::isfinite(v) || v == 0) continue;
    least = std::min(least, std::abs(v));
    most = std::max(most, std::abs(v));
  }
  const bool scientific = most > 0 && (most >= (sizeof(T) == 4 ? T(1e6) : T(1e8)) ||
                                       least < T(0.0001) || most / least > 1000);
  const auto notation = scientific ? std::chars_format::scientific : std::chars_format::fixed;
  size_t fraction = 0, exponent = 0;
  for (T v : values) {
    if (!std::isfinite(v)) continue;
    const Digits d = shortest(v, notation);
    fraction = std::max(fraction, d.fraction.size());
    exponent = std::max(exponent, d.exponent.size());
  }
  std::vector<std::string> words;
  for (T v : values) {
    std::string& word = words.emplace_back();
    if (!std::isfinite(v)) {
      word = alone(v);
    } else if (scientific) {  // all with the same number of digits
      const Digits d(chars(v, notation, static_cast<int>(fraction)));
      const std::string zeros(exponent - d.exponent.size(), '0');
      word = fmt::format("{}.{}e{}{}{}", d.whole, d.fraction, d.exponent[0], zeros,
                         d.exponent.substr(1));
    } else {
      const Digits d = shortest(v, notation);
      word = fmt::format("{}.{:<{}}", d.whole, d.fraction, fraction);
    }
  }
  return words;
}

template <typename T>
std::string in_format(T v, std::string_view element_format) {
  try {
    const std::string format = fmt::format("{{:{}}}", element_format);
    // An i64 takes the formats of floats too.
    constexpr std::string_view kOfFloats = "eEfFgGaA";
    if (kOfFloats.find(element_format.back()) != std::string_view::npos) {
      return fmt::format(fmt::runtime(format), static_cast<double>(v));
    }
    return fmt::format(fmt::runtime(format), v);
  } catch (const fmt::format_error& error) {
    fail("format: \"{{:{}}}\" does not suit an element: {}. Hint: {{:.3f}}.", element_format,
         error.what());
  }
}

void pad_to_widest(std::vector<std::string>& words) {
  size_t width = 0;
  for (const std::string& word : words) width = std::max(width, word.size());
  for (std::string& word : words) word.insert(0, width - word.size(), ' ');
}

// Brackets, lines and the "..." around the words of the elements that are shown.
class Layout {
 public:
  Layout(const Shape& shape, bool summary) : shape_(shape), summary_(summary) {}

  /// The elements that are shown, in order.
  std::vector<int64_t> shown() const {
    std::vector<int64_t> all;
    const std::function<void(int, int64_t)> visit = [&](int axis, int64_t offset) {
      if (axis == shape_.rank()) return all.push_back(offset);
      for_each(axis, [&](int64_t i) {
        if (i >= 0) visit(axis + 1, offset * shape_[axis] + i);
      });
    };
    visit(0, 0);
    return all;
  }

  std::string write(const std::vector<std::string>& words) {
    word_ = words.begin();
    return write(0);
  }

 private:
  // f(i) for each index that is shown; f(-1) for those that are not.
  template <typename F>
  void for_each(int axis, F f) const {
    const int64_t n = shape_[axis];
    const bool cut = summary_ && n > 2 * kEdge;
    for (int64_t i = 0; i < n; ++i) {
      if (cut && i == kEdge) {
        f(-1);
        i = n - kEdge;
      }
      f(i);
    }
  }

  std::string write(int axis) {
    const size_t indent = static_cast<size_t>(axis) + 1;
    std::string text = "[";
    if (axis + 1 < shape_.rank()) {
      const auto lines = static_cast<size_t>(shape_.rank() - axis - 1);
      for_each(axis, [&](int64_t i) {
        if (text.size() > 1) text.append(lines, '\n').append(indent, ' ');
        text += i < 0 ? "..." : write(axis + 1);
      });
      return text + "]";
    }
    const size_t width = kLineWidth - static_cast<size_t>(axis) - 1;
    size_t column = indent;
    for_each(axis, [&](int64_t i) {
      const std::string_view word = i < 0 ? "..." : std::string_view(*word_++);
      if (column > indent) {
        if (column + 1 + word.size() > width) {
          text.erase(text.find_last_not_of(' ') + 1);
          text.append("\n").append(indent, ' ');
          column = indent;
        } else {
          text += " ";
          ++column;
        }
      }
      text += word;
      column += word.size();
    });
    return text + "]";
  }

  const Shape& shape_;
  bool summary_;
  std::vector<std::string>::const_iterator word_;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

std::string to_string(const Tensor& x, std::string_view element_format) {
  if (!x.defined()) return "undefined";
  if (x.numel() == 0) return "[]";
  Layout layout(x.shape(), x.numel() > kThreshold);
  return visit_dtype(x.dtype(), [&]<typename T>(T) {
    const T* data = x.data<T>();
    const bool plain = element_format.empty();
    if constexpr (!std::is_integral_v<T>) {
      if (plain && x.rank() == 0) return alone(*data);
    }
    std::vector<T> values;
    for (int64_t i : layout.shown()) values.push_back(data[i]);
    std::vector<std::string> words;
    if constexpr (!std::is_integral_v<T>) {
      if (plain) words = in_columns(values);
    }
    if (words.empty()) {
      for (T v : values) words.push_back(plain ? fmt::to_string(v) : in_format(v, element_format));
    }
    pad_to_widest(words);
    return x.rank() == 0 ? words[0] : layout.write(words);
  });
}

}  // namespace ramp
