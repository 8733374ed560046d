#include "ramp/glass/glass_file.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "message.h"
#include "ramp/ramp.h"
#include "scratch.h"

using namespace ramp;

namespace {

const std::string kRun = R"({"kind":"run","version":1})";

std::string write(const Scratch& scratch, const std::string& text) {
  return scratch.write("run.glass", {text.begin(), text.end()});
}

}  // namespace

TEST_CASE("read_glass: lines, in their order; what is cut short is left out") {
  const Scratch scratch;
  const std::string step = R"({"kind":"step","step":1,"loss":"nan","unknown":[1,2]})";
  GlassFile file =
      read_glass(write(scratch, kRun + "\n" + step + "\n" + R"({"kind":"new"})" + "\n"));
  REQUIRE(file.records.size() == 3);
  CHECK(file.records[0].kind == "run");
  CHECK(file.records[1].kind == "step");
  CHECK(file.records[1].json == step);
  CHECK(file.records[2].kind == "new");
  CHECK_FALSE(file.cut);

  // After a crash: any part of the last line, from its first byte to all of it without the line
  // feed.
  for (size_t n = 1; n <= step.size(); ++n) {
    file = read_glass(write(scratch, kRun + "\n" + step + "\n" + step.substr(0, n)));
    CHECK(file.records.size() == 2);
    CHECK(file.cut);
  }
}

TEST_CASE("read_glass: errors") {
  const Scratch scratch;
  const auto of = [&](const std::string& text) {
    return message([&] { read_glass(write(scratch, text)); });
  };
  CHECK(of("").find("holds no recorded run") != std::string::npos);
  CHECK(of("{\"kind\":\"ru").find("holds no recorded run") != std::string::npos);
  CHECK(of("{\"kind\":\"step\"}\n").find("its first line is no \"run\"") != std::string::npos);
  CHECK(of("{\"kind\":\"run\"}\n").find("its first line is no \"run\"") != std::string::npos);
  CHECK(of("{\"kind\":\"run\",\"version\":2}\n").find("is of version 2") != std::string::npos);
  CHECK(of(kRun + "\n{\"kind\":\"st\n{}\n").find("line 2 of ") != std::string::npos);
  CHECK(of(kRun + "\n{\"step\":1}\n").find("is no JSON object with a \"kind\"") !=
        std::string::npos);
  CHECK(of(kRun + "\n[1]\n").find("line 2") != std::string::npos);
  CHECK(message([&] { read_glass(scratch.path("none.glass")); }).find("read_glass: ") == 0);
}

TEST_CASE("GlassWriter: a line is there when write() returns; a run is continued behind a step") {
  const Scratch scratch;
  const std::string path = scratch.path("run.glass");
  {
    GlassWriter writer(path);
    writer.write(kRun);
    CHECK(read_glass(path).records.size() == 1);
    writer.write(R"({"kind":"model"})");
    for (int i = 1; i <= 4; ++i)
      writer.write(fmt::format(R"({{"kind":"step","step":{}}})", 100 * i));
    writer.write(R"({"kind":"end","step":400})");
  }
  std::ofstream(path, std::ios::app) << R"({"kind":"st)";
  {
    GlassWriter writer(path, 200);
    writer.write(R"({"kind":"step","step":300,"again":true})");
  }
  const GlassFile file = read_glass(path);
  CHECK_FALSE(file.cut);
  std::string kinds;
  for (const GlassRecord& r : file.records) kinds += r.kind + " ";
  CHECK(kinds == "run model step step step ");
  CHECK(file.records.back().json.find("again") != std::string::npos);
  { GlassWriter replaces(path); }
  CHECK(read_all(path).empty());
  CHECK(message([&] {
          GlassWriter::check(scratch.path("none/run.glass"));
        }).find("record: cannot write ") == 0);
  if (std::ifstream("/dev/full").good()) {
    CHECK(message([&] {
            GlassWriter full("/dev/full");
            full.write(kRun);
          }).find("No space left") != std::string::npos);
  }
}

TEST_CASE("glass_number and glass_text") {
  CHECK(glass_number(0.1) == "0.1");
  CHECK(glass_number(1234567) == "1.2346e+06");
  CHECK(glass_number(NAN) == "\"nan\"");
  CHECK(glass_number(INFINITY) == "\"inf\"");
  CHECK(glass_number(-INFINITY) == "\"-inf\"");
  CHECK(glass_text("a \"b\"\n\\") == R"("a \"b\"\n\\")");
  CHECK(glass_text("\xff") == "\"\xef\xbf\xbd\"");
}
