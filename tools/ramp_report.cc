// ramp-report run.glass -o run.html: a recorded run as a page.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "ramp/core/error.h"
#include "ramp/glass/report.h"

int main(int argc, char** argv) {
  std::vector<std::string> files;
  std::string out;
  ramp::ReportOptions options;
  CLI::App app(
      "Makes one HTML file of a recorded run (see Recorder), or of two beside each other.");
  app.add_option("run", files, "run.glass, and perhaps another one")->required()->expected(1, 2);
  app.add_option("-o,--out", out, "the page (run.html)");
  app.add_option("--lang", options.lang, "en or pt; else the browser's")
      ->check(CLI::IsMember({"en", "pt"}));
  CLI11_PARSE(app, argc, argv);
  if (out.empty()) out = std::filesystem::path(files[0]).replace_extension(".html").string();
  try {
    ramp::save_report(out, files, options);
    fmt::print("{} ({:.1f} MB)\n", out, static_cast<double>(std::filesystem::file_size(out)) / 1e6);
  } catch (const ramp::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
