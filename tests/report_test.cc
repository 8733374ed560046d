#include "ramp/glass/report.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "message.h"
#include "ramp/ramp.h"
#include "scratch.h"

using namespace ramp;
using Json = nlohmann::json;

namespace {

const GlassRecord kRun{"run", R"({"kind":"run","version":1,"title":"a run"})"};

// What stands in the page's data script: up to the first "</script", as a browser reads it.
std::string data_of(const std::string& html) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = html.find(open) + open.size();
  return html.substr(begin, html.find("</script", begin) - begin);
}
Json parsed(const std::string& html) { return Json::parse(data_of(html)); }

int64_t count(const std::string& text, const std::string& part) {
  int64_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// A run of n recorded steps of a network like that of ./run mnist.
GlassFile long_run(int64_t n) {
  Sketch s;
  s.add(Rng(1).normal({64, 100}));
  std::string layers, parameters, fire;
  for (int i = 0; i < 14; ++i) {
    const std::string comma = i > 0 ? "," : "";
    layers += fmt::format(R"({}"{}":{{"y":{},"dy":{}}})", comma, i, s.json(), s.json());
    parameters += fmt::format(
        R"({}"{}.weight":{{"w":{},"g":{},"ratio":0.001,"gnorm":0.12345,"wnorm":12.345}})", comma, i,
        s.json(), s.json());
  }
  for (const char* layer : {"3", "7", "11"}) {
    fire += fmt::format("{}\"{}\":[{}", fire.empty() ? "" : ",", layer, 499);
    for (int i = 1; i < 64; ++i) fire += ",500";
    fire += "]";
  }
  GlassFile file{"long.glass", {kRun}, false};
  for (int64_t i = 1; i <= n; ++i) {
    file.records.push_back(
        {"step",
         fmt::format(
             R"({{"kind":"step","step":{},"epoch":{},"loss":{},"lr":0.001,"seconds":{},)"
             R"("phases":{{"data":0.5,"forward":1,"backward":2,"step":0.25}},"layers":{{{}}},)"
             R"("parameters":{{{}}},"fire":{{{}}}}})",
             100 * i, i / 10,
             i == 4321   ? "77.5"
             : i == 6000 ? "0.00125"
                         : fmt::format("{:.4f}", 1 + 1. / static_cast<double>(i)),
             i, layers, parameters, fire)});
    if (i % 10 == 0)
      file.records.push_back(
          {"epoch",
           fmt::format(
               R"({{"kind":"epoch","epoch":{},"step":{},"values":{{"valid_loss":0.5}},"errors":{{}},"fired":{{}},"seen":{{}}}})",
               i / 10, 100 * i)});
  }
  return file;
}

}  // namespace

TEST_CASE("report: hostile names and texts stay data") {
  const std::string evil =
      "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> {{ramp:data}}";
  const auto with = [](const std::string& text) {
    const std::string t = glass_text(text);
    return GlassFile{
        text,
        {{"run", fmt::format(R"({{"kind":"run","version":1,"title":{},"command":{}}})", t, t)},
         {"model", fmt::format(R"({{"kind":"model","layers":[{{"path":{},"text":{}}}]}})", t, t)},
         {"step",
          fmt::format(
              R"({{"kind":"step","step":1,"fire":{{{}:[0]}},"parameters":{{{}:{{"gnorm":1}}}}}})",
              t, t)},
         {"finding", fmt::format(R"({{"kind":"finding","evidence":{}}})", t)}},
        false};
  };
  const std::string html = report_html({with(evil)}), plain = report_html({with("a name")});
  for (const char* part : {"<script", "</script", "<!--", "<img", "onerror=alert(1)>"}) {
    CAPTURE(part);
    const bool in_text = std::string(part).starts_with("onerror");  // which is no tag
    if (!in_text) CHECK(count(html, part) == count(plain, part));
  }
  const Json run = parsed(html)["runs"][0];
  CHECK(run["run"]["title"] == evil);
  CHECK(run["model"]["layers"][0]["path"] == evil);
  CHECK_FALSE(run.contains("finding"));
  CHECK(run["findings"][0]["evidence"] == evil);
  CHECK(run["flow"]["parameters"].contains(evil));
  CHECK(run["clinic"].contains(evil));
  const size_t title = html.find("<title>") + 7;
  CHECK(html.substr(title, html.find("</title>") - title)
            .starts_with("&lt;/script&gt;&lt;script&gt;alert(1)"));
}

TEST_CASE("report: the page asks nobody for anything") {
  const std::string html = report_html({GlassFile{"a", {kRun}, false}});
  for (const char* part : {"<link rel=\"stylesheet", "@import", "<script src", "fetch(",
                           "XMLHttpRequest", "sourceMappingURL", "{{ramp:"}) {
    CAPTURE(part);
    CHECK(html.find(part) == std::string::npos);
  }
  CHECK(html.find("default-src 'none'") != std::string::npos);
  CHECK(html.find("Leon Sorokin") != std::string::npos);   // uPlot's notice
  CHECK(html.find("Chris Pettitt") != std::string::npos);  // dagre's
}

TEST_CASE("report: 10,000 recorded steps fit, with their extremes") {
  const std::string html = report_html({long_run(10000)});
  CHECK(html.size() < 3'000'000);
  const Json run = parsed(html)["runs"][0];
  const auto column = [&](const char* name) {
    return run["curve"][name].get<std::vector<double>>();
  };
  const std::vector<double> loss = column("loss"), step = column("step");
  CHECK(loss.size() <= 2000);
  CHECK(loss.size() > 1000);
  CHECK(std::ranges::is_sorted(step));
  CHECK(step.front() == 100);
  CHECK(step.back() == 1000000);
  const auto at = [&](double value) {
    const auto found = std::ranges::find(loss, value);
    return found == loss.end() ? -1 : step[static_cast<size_t>(found - loss.begin())];
  };
  CHECK(at(77.5) == 432100);
  CHECK(at(0.00125) == 600000);
  const std::vector<double> forward = column("forward");
  CHECK(std::accumulate(forward.begin(), forward.end(), 0.) == 10000);
  CHECK(run["flow"]["step"].size() <= 400);
  CHECK(run["flow"]["parameters"]["3.weight"]["g"].size() == run["flow"]["step"].size());
  CHECK(run["steps"].size() > 20);
  CHECK(run["steps"][0]["step"] == 100);
  CHECK(run["steps"].back()["step"] == 1000000);
  CHECK(run["epochs"].size() <= 2000);

  const std::string two = report_html({long_run(2000), long_run(1000)});
  CHECK(two.size() < 3'000'000);
  CHECK(parsed(two)["runs"].size() == 2);
  // What is short is whole.
  CHECK(parsed(report_html({long_run(30)}))["runs"][0]["steps"].size() == 30);
}

TEST_CASE("report: units born dead, those that died, and those asleep") {
  GlassFile file{"a", {kRun}, false};
  const auto step = [&](int64_t n, const std::string& lr, const std::string& fire) {
    file.records.push_back(
        {"step",
         fmt::format(R"({{"kind":"step","step":{},"lr":{},"fire":{{"0":{}}}}})", n, lr, fire)});
  };
  const auto epoch = [&](int64_t n, const std::string& fired) {
    file.records.push_back(
        {"epoch",
         fmt::format(
             R"({{"kind":"epoch","epoch":{},"values":{{}},"fired":{{"0":{}}},"seen":{{"0":1000}}}})",
             n, fired)});
  };
  step(100, "0.3", "[500,0,200,7,0]");
  step(200, "0.2", "[500,0,1,7,0]");
  epoch(1, "[500,0,100,7,3]");
  step(300, "0.1", "[500,0,0,9,0]");
  step(400, "0.05", "[500,0,0,9,0]");
  epoch(2, "[500,0,0,9,0]");
  Json clinic = parsed(report_html({file}))["runs"][0]["clinic"]["0"];
  CHECK(clinic["units"] == 5);
  CHECK(clinic["fired"] == Json({500, 0, 0, 9, 0}));
  CHECK(clinic["seen"] == Json({1000, 1000, 1000, 1000, 1000}));
  CHECK(clinic["sleeping"] == Json({3}));
  REQUIRE(clinic["dead"].size() == 3);
  CHECK(clinic["dead"][0] == Json({{"unit", 1}, {"born", true}, {"step", 100}, {"lr", 0.3}}));
  CHECK(clinic["dead"][1] == Json({{"unit", 2}, {"born", false}, {"step", 300}, {"lr", 0.1}}));
  CHECK(clinic["dead"][2]["born"] == false);  // between recorded steps it did fire
  CHECK(clinic["dead"][2]["step"].is_null());
  CHECK(clinic["silent"].empty());
  CHECK(clinic["every_step"] == false);
  // Unit 3 is called silent, unit 4 fired in a step that was not counted; LeakyReLU lives.
  file.records.back().json = R"({"kind":"epoch","epoch":2,"values":{},"steps":70,"counted":9,)"
                             R"("fired":{"0":[500,0,0,9,0]},"seen":{"0":1000},)"
                             R"("silent":{"0":[1,2]}})";
  for (const char* dies : {R"("dies":true)", R"("dies":false)", R"("activation":"relu")",
                           R"("activation":"leaky_relu")"}) {
    file.records[0] = kRun;
    file.records.insert(
        file.records.begin() + 1,
        {"model", fmt::format(R"({{"kind":"model","layers":[{{"path":"0",{}}}]}})", dies)});
    const Json run = parsed(report_html({file}))["runs"][0], c = run["clinic"]["0"];
    const std::string d = dies;
    const bool lives = d.find("false") != std::string::npos || d.find("leaky") != std::string::npos;
    CHECK(c[lives ? "dead" : "silent"].empty());
    REQUIRE(c[lives ? "silent" : "dead"].size() == 2);
    CHECK(c[lives ? "silent" : "dead"][1]["unit"] == 2);
    CHECK(c["every_step"] == true);
    CHECK(c["sleeping"] == Json({3, 4}));
    CHECK(run["counted"] == Json({{"epoch", 2}, {"steps", 70}, {"counted", 9}}));
    file.records.erase(file.records.begin() + 1);
  }
  CHECK(parsed(report_html({file}))["runs"][0]["fires"][2] ==
        Json({{"step", 300}, {"fire", {{"0", {500, 0, 0, 9, 0}}}}}));
  // A crash in the first epoch.
  file.records.resize(3);
  clinic = parsed(report_html({file}))["runs"][0]["clinic"]["0"];
  CHECK(clinic["fired"] == Json({1000, 0, 201, 14, 0}));
  CHECK(clinic["dead"].size() == 2);
}

TEST_CASE("report: numbers that are not finite, languages, errors, files") {
  const Scratch scratch;
  GlassFile file{"a", {kRun}, true};
  for (const char* loss : {"0.5", "\"nan\"", "\"inf\"", "null"})
    file.records.push_back(
        {"step", fmt::format(R"({{"kind":"step","step":1,"loss":{},"lr":null}})", loss)});
  const Json data = parsed(report_html({file}, {.lang = "pt"}));
  CHECK(data["lang"] == "pt");
  CHECK(data["runs"][0]["cut"] == true);
  CHECK(data["runs"][0]["curve"]["loss"] == Json({0.5, "nan", "inf", nullptr}));
  CHECK(parsed(report_html({file}))["lang"].is_null());
  CHECK(message([&] { report_html({}); }).find("one or two runs; got 0") != std::string::npos);
  CHECK(message([&] { report_html({file, file, file}); }).find("got 3") != std::string::npos);
  CHECK(message([&] { report_html({file}, {.lang = "xx"}); }).find("\"en\" or \"pt\"") !=
        std::string::npos);
  file.records.push_back({"step", R"({"kind":"step","layers":{"0":[1]},"fire":{"0":["x"]}})"});
  CHECK(message([&] {
          report_html({file});
        }).find("report: a record of a is not as it should be") == 0);

  const std::string glass = scratch.path("run.glass"), html = scratch.path("run.html");
  { GlassWriter(glass).write(kRun.json); }
  save_report(html, {glass});
  const std::vector<uint8_t> bytes = read_all(html);
  CHECK(std::string(bytes.begin(), bytes.end()) == report_html({read_glass(glass)}));
  CHECK(message([&] { save_report(scratch.path("none/run.html"), {glass}); }).find("report: ") ==
        0);
}
