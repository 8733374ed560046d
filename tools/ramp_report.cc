// ramp-report run.glass -o run.html: a recorded run as a page.
// ramp-report --lessons -o lessons.html: backpropagation, step by step.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "ramp/core/error.h"
#include "ramp/glass/lessons.h"
#include "ramp/glass/report.h"

int main(int argc, char** argv) {
  std::vector<std::string> files;
  std::string out;
  bool lessons = false;
  ramp::ReportOptions options;
  CLI::App app(
      "Makes one HTML file of a recorded run (see Recorder), or of two beside each other.");
  auto* runs = app.add_option("run", files, "run.glass, and perhaps another one")->expected(1, 2);
  app.add_flag("--lessons", lessons, "nine lessons in backpropagation, and no run")->excludes(runs);
  app.add_option("-o,--out", out, "the page (run.html)");
  app.add_option("--lang", options.lang, "en or pt; else the browser's")
      ->check(CLI::IsMember({"en", "pt"}));
  CLI11_PARSE(app, argc, argv);
  if (!lessons && files.empty()) {
    fmt::print(stderr, "run is required, or --lessons\nRun with --help for more information.\n");
    return 106;
  }
  if (out.empty() && lessons) out = "lessons.html";
  if (out.empty()) {  // of two runs a page of their own: that of the first one stays
    std::filesystem::path name = files[0];
    name.replace_extension();
    if (files.size() > 1) name += "_" + std::filesystem::path(files[1]).stem().string();
    out = name.string() + ".html";
    if (files.size() > 1 && std::filesystem::exists(name.string() + ".glass")) {
      fmt::print(stderr, "ramp-report: {0}.html is the page of {0}.glass. Hint: -o both.html\n",
                 name.string());
      return 1;
    }
  }
  try {
    if (lessons) {
      ramp::save_lessons(out, options);
    } else {
      ramp::save_report(out, files, options);
    }
    fmt::print("{} ({:.1f} MB)\n", out, static_cast<double>(std::filesystem::file_size(out)) / 1e6);
  } catch (const ramp::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
