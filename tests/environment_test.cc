#include "ramp/glass/environment.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "ramp/core/parallel.h"

using namespace ramp;

TEST_CASE("one line says what a run depends on") {
  const int before = num_threads();
  const auto has = [](const char* part) {
    INFO(environment());
    CHECK(environment().find(part) != std::string::npos);
  };
  set_num_threads(1);
  has(", 1 thread, ");
  set_num_threads(3);
  has(", 3 threads, ");
  set_num_threads(before);
  CHECK(environment().starts_with("ramp "));
  has(" build");
  CHECK(environment().find('\n') == std::string::npos);
  if (const char* level = std::getenv("RAMP_ISA")) has((" (" + std::string(level) + "), ").c_str());
}

TEST_CASE("the CPU has a name of one line") {
  CHECK_FALSE(cpu_model().empty());
  CHECK(cpu_model().find('\n') == std::string::npos);
  CHECK(cpu_model().front() != ' ');
}

TEST_CASE("warnings are whole lines with a remedy, or nothing") {
  const std::string text = environment_warning();
  const bool debug = environment().find("DEBUG") != std::string::npos;
  CHECK((text.find("debug build") != std::string::npos) == debug);
  if (!text.empty()) {
    CHECK(text.starts_with("WARNING: "));
    CHECK(text.find("Hint: ") != std::string::npos);
    CHECK(text.back() == '\n');
  }
}
