#include "ramp/glass/plot.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "message.h"

using namespace ramp;

namespace {

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

bool has(const std::string& text, const std::string& part) { return count(text, part) > 0; }

// What stands between > and </text>, in order.
std::string labels(const std::string& picture) {
  std::string all;
  for (size_t end = picture.find("</text>"); end != std::string::npos;
       end = picture.find("</text>", end + 1)) {
    const size_t begin = picture.rfind('>', end) + 1;
    all += picture.substr(begin, end - begin) + "|";
  }
  return all;
}

std::string mistake(const Plot& plot) {
  return message([&] { svg(plot); });
}

}  // namespace

TEST_CASE("points lie where the axes say") {
  // Area: left 14 + 7.54 * 2 + 8, right 640 - 16, top 20, bottom 360 - 10 - 19.5.
  const std::string picture =
      svg({.series = {{"", {0, 1, 2}, {0, 10, 4}}}, .x_range = {0, 2}, .y_range = {0, 10}});
  CHECK(has(picture, "<path d=\"M37.1 330.5L330.5 20.0L624.0 206.3\""));
  CHECK(labels(picture) == "0|2|4|6|8|10|0.0|0.5|1.0|1.5|2.0|");
  CHECK(picture ==
        svg({.series = {{"", {0, 1, 2}, {0, 10, 4}}}, .x_range = {0, 2}, .y_range = {0, 10}}));
}

TEST_CASE("ticks are round") {
  const auto ticks = [](double lo, double hi, bool log) {
    std::string y = labels(svg({.log_y = log, .y_range = {lo, hi}, .width = 160, .height = 160}));
    return y.substr(0, y.size() - 4);  // those of the x axis without points follow
  };
  CHECK(ticks(-3.3, 4.1, false) == "-2|0|2|4|");
  CHECK(ticks(0.1131, 0.1139, false) == "0.1132|0.1134|0.1136|0.1138|");
  CHECK(ticks(-1e-7, 2e-7, false) == "-1e-07|0|1e-07|2e-07|");
  CHECK(ticks(0, 3e7, false) == "0|1e+07|2e+07|3e+07|");
  CHECK(ticks(1e-3, 1e5, true) == "0.01|1|100|1e4|");
  CHECK(ticks(1e-30, 1, true) == "1e-30|1e-20|1e-10|1|");
  CHECK(ticks(2, 9, true) == "2|4|6|8|");
}

TEST_CASE("what is not finite, or has no logarithm, leaves a gap") {
  const PlotSeries series{"", {}, {1, 2, NAN, 3, INFINITY, 4, 5, 0, -1}};
  const std::string linear = svg({.series = {series}});
  CHECK(count(linear, "M") == 3);        // 1-2, 3, 4-5-0-(-1)
  CHECK(count(linear, "<circle") == 1);  // the lone 3
  const std::string log = svg({.series = {series}, .log_y = true});
  CHECK(count(log, "M") == 3);
  CHECK(count(log, "L") == 2);
  for (const std::string& picture : {linear, log}) {
    CHECK_FALSE(has(picture, "nan"));
    CHECK_FALSE(has(picture, "inf"));
  }
}

TEST_CASE("one point, a constant, nothing") {
  const std::string one = svg({.series = {{"", {3}, {0.5}}}});
  CHECK(count(one, "<circle") == 1);
  CHECK(has(one, "cx=\"338.1\""));  // in the middle
  CHECK(has(svg({.series = {{"", {0, 1}, {0, 0}}}}), "<path d=\"M"));
  CHECK(has(svg({.series = {{"", {0, 1}, {1e-9, 1e-9}}}, .log_y = true}), "<path d=\"M"));
  for (const bool log : {false, true}) {
    CHECK_FALSE(has(svg({.log_y = log}), "nan"));
    CHECK_FALSE(
        has(svg({.series = {{"none", {}, {}}, {"no number", {}, {NAN}}}, .log_y = log}), "nan"));
  }
}

TEST_CASE("bars stand on 0 and carry their names") {
  const Plot plot{.series = {{"up", {}, {1, -2, NAN}}, {"down", {}, {3, 4, 5}}},
                  .bars = {"a", "b", "c"}};
  const std::string picture = svg(plot);
  CHECK(count(picture, "fill=\"#0072b2\"") == 3);  // two bars and the legend's key
  CHECK(count(picture, "fill=\"#d55e00\"") == 4);
  CHECK(has(labels(picture), "|a|b|c|up|down|"));
  CHECK(count(svg({.series = {{"", {}, {1e-3, 400}}}, .log_y = true, .bars = {"a", "b"}}),
              "fill=\"#0072b2\"") == 2);
}

TEST_CASE("names are escaped, and the legend breaks its lines") {
  const std::string picture = svg({.title = "a < b & \"c\" > d",
                                   .x_label = "x",
                                   .y_label = "y",
                                   .series = {{"p&q", {}, {1, 2}}}});
  CHECK(has(picture, ">a &lt; b &amp; &quot;c&quot; &gt; d</text>"));
  CHECK(has(picture, ">p&amp;q</text>"));
  const auto y_of = [](const std::string& s, const std::string& name) {
    const size_t end = s.find(">" + name + "<"), from = s.rfind("y=\"", end) + 3;
    return s.substr(from, s.find('"', from) - from);
  };
  const std::string name(30, 'n');
  const std::string wide =
      svg({.series = {{name + "1", {}, {1}}, {name + "2", {}, {1}}, {name + "3", {}, {1}}}});
  CHECK(y_of(wide, name + "1") == y_of(wide, name + "2"));
  CHECK(y_of(wide, name + "3") != y_of(wide, name + "1"));
}

TEST_CASE("any range is a chart: a few last digits, the smallest and largest numbers") {
  const double inf = INFINITY, max = std::numeric_limits<double>::max(), denormal = 5e-324;
  const std::vector<std::vector<double>> ranges = {{0.3, 0.1 + 0.2},
                                                   {1, std::nextafter(1, 2)},
                                                   {1e300, std::nextafter(1e300, inf)},
                                                   {-1, -1 - 1e-15, -1},
                                                   {1e9, 1e9 + 1e-6},
                                                   {1e15, 1e15 + 1},
                                                   {1, 1 + 1e-11},
                                                   {denormal, 2 * denormal},
                                                   {0, denormal},
                                                   {denormal},
                                                   {1e-310, 3e-310, 2e-310},
                                                   {1e-300, 3e-300},
                                                   {denormal, max},
                                                   {-max, max},
                                                   {max, std::nextafter(max, 0)},
                                                   {max},
                                                   {1e300, -1e300},
                                                   {1e307, 1.7e308},
                                                   {-denormal, max},
                                                   {1e-290, 2e-290},
                                                   {1e-15, 1.1e-15},
                                                   {std::nextafter(0.1, 1), 0.1}};
  for (const std::vector<double>& v : ranges) {
    CAPTURE(v[0]);
    CAPTURE(v.back());
    const auto [lo, hi] = std::minmax_element(v.begin(), v.end());
    const PlotRange range =
        *lo < *hi ? PlotRange{*lo, *hi} : PlotRange{};  // asked for, or the data's
    const std::vector<double> steps(v.size(), 1);
    for (const Plot& plot :
         {Plot{.series = {{"", {}, v}}}, Plot{.series = {{"", v, steps}}}, Plot{.y_range = range},
          Plot{.x_range = range}, Plot{.series = {{"", {}, v}}, .bars = {v.size(), "bar"}},
          Plot{.series = {{"", {}, {1, 2}}}, .x_range = range},
          Plot{.series = {{"", {}, {-max, max}}}, .y_range = range}}) {
      for (const bool log : {false, true}) {
        Plot p = plot;
        p.log_y = log && !(p.y_range.lo <= 0);
        const std::string picture = svg(p);
        CHECK(picture.size() < 20'000);
        CHECK(picture.ends_with("</svg>\n"));
        CHECK_FALSE(has(picture, "nan"));
        CHECK_FALSE(has(picture, "inf"));
        CHECK(count(picture, "</text>") >= 3);  // ticks on both axes
      }
    }
  }
  // What differs by rounding alone is level: the axis of a constant.
  const std::string level = labels(svg({.series = {{"", {}, {0.3, 0.3}}}}));
  CHECK(labels(svg({.series = {{"", {}, {0.3, 0.1 + 0.2}}}})) == level);
}

TEST_CASE("labels tell ticks apart, and do not run into each other") {
  const auto ticks = [](double lo, double hi) {
    std::string y = labels(svg({.y_range = {lo, hi}, .width = 160, .height = 160}));
    return y.substr(0, y.size() - 4);
  };
  CHECK(ticks(1.0, 1.0000004) == "1|1.0000002|1.0000004|");
  CHECK(ticks(1e9, 1e9 + 3) == "1000000000|1000000001|1000000002|1000000003|");
  const std::string wide = labels(svg({.x_range = {1e9, 1e9 + 3}, .width = 300}));
  CHECK(wide.ends_with("1000000000|1000000002|"));
}

TEST_CASE("bytes that are no text become replacement characters") {
  const auto title = [](const std::string& text) {
    const std::string all = labels(svg({.title = text}));
    return all.substr(0, all.find('|') + 1);
  };
  const std::string bad = "\uFFFD";
  CHECK(title("\xff") == bad + "|");
  CHECK(title("\xc3") == bad + "|");                      // cut
  CHECK(title("a\x80") == "a" + bad + "|");               // continues nothing
  CHECK(title("\xc0\xaf") == bad + bad + "|");            // '/', too long
  CHECK(title("\xed\xa0\x80") == bad + bad + bad + "|");  // a surrogate
  CHECK(title("\xf4\x90\x80\x80").starts_with(bad));      // above U+10FFFF
  CHECK(title(std::string("\0\x01", 2)) == bad + bad + "|");
  CHECK(title("\xef\xbf\xbf") == bad + bad + bad + "|");  // U+FFFF
  for (const std::string good : {"\u00e9", "\u20ac", "\U0001F600", "\t"}) {
    CHECK(title(good) == good + "|");
  }
}

TEST_CASE("mistakes are told") {
  CHECK(mistake({.series = {{"a", {1, 2}, {1}}}}) ==
        "svg: expected as many y as x in series \"a\"; got 1 and 2.");
  CHECK(mistake({.series = {{"a", {}, {1}}}, .bars = {"p", "q"}}) ==
        "svg: expected as many y as bars in series \"a\"; got 1 and 2.");
  CHECK(mistake({.y_range = {2, 1}}) == "svg: expected y_range with lo < hi; got 2 to 1.");
  CHECK(mistake({.x_range = {0, INFINITY}}) == "svg: expected x_range with lo < hi; got 0 to inf.");
  CHECK(mistake({.log_y = true, .y_range = {0, 1}}) ==
        "svg: expected y_range with lo < hi, both above 0; got 0 to 1.");
  CHECK(mistake({.width = 100}) == "svg: expected at least 160 x 120 pixels; got 100 x 360.");
}
