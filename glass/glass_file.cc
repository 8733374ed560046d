#include "ramp/glass/glass_file.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ramp/core/error.h"
#include "ramp/data/new_file.h"
#include "ramp/data/read_file.h"

namespace ramp {
namespace {

[[noreturn]] void fail_write(const std::string& path) {
  fail("record: cannot write {}: {}. Hint: the folder must exist, be writable and have room.", path,
       std::strerror(errno));
}

}  // namespace

GlassWriter::GlassWriter(const std::string& path, std::optional<int64_t> after_step) : path_(path) {
  if (std::error_code none; after_step && std::filesystem::exists(path, none)) {
    NewFile file("record", path);
    for (const auto& [kind, json] : read_glass(path).records) {
      const auto object = nlohmann::json::parse(json);
      const auto step = object.find("step");
      const bool done = step != object.end() && step->is_number() && *step <= *after_step;
      if (kind != "run" && kind != "model" && (kind == "end" || !done)) continue;
      const std::string line = json + "\n";
      file.write(line.data(), line.size());
    }
    file.finish();
  } else {
    after_step.reset();
  }
  file_ = std::fopen(path.c_str(), after_step ? "ab" : "wb");
  if (!file_) fail_write(path);
}

void GlassWriter::check(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "ab");
  if (!file) fail_write(path);
  std::fclose(file);
}

GlassWriter::~GlassWriter() { std::fclose(file_); }

void GlassWriter::write(std::string_view object) {
  std::string line(object);
  line += '\n';
  if (std::fwrite(line.data(), 1, line.size(), file_) != line.size() || std::fflush(file_) != 0)
    fail_write(path_);
}

GlassFile read_glass(const std::string& path) {
  using Json = nlohmann::json;
  const std::string text = read_file(path, "read_glass");
  GlassFile file{path, {}, false};
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    const bool whole = end != std::string::npos;
    if (!whole) end = text.size();
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (!whole) {
      file.cut = true;
      break;
    }
    const Json object = Json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("kind") || !object["kind"].is_string()) {
      fail(
          "read_glass: line {} of {} is no JSON object with a \"kind\". Hint: is it the file of a "
          "Recorder?",
          number, path);
    }
    if (file.records.empty()) {
      const Json version = object.value("version", Json());
      fail_if(
          object["kind"] != "run" || !version.is_number_integer(),
          "read_glass: expected a recorded run in {}; its first line is no \"run\". Hint: is it "
          "the file of a Recorder?",
          path);
      fail_if(version.get<int64_t>() > GlassFile::kVersion,
              "read_glass: {} is of version {}; this program reads up to {}. Hint: take the "
              "ramp-report of the ramp that wrote it.",
              path, version.get<int64_t>(), GlassFile::kVersion);
    }
    file.records.push_back({object["kind"].get<std::string>(), line});
  }
  fail_if(file.records.empty(), "read_glass: {} holds no recorded run.", path);
  return file;
}

std::string glass_number(double x) {
  if (std::isnan(x)) return "\"nan\"";
  if (std::isinf(x)) return x > 0 ? "\"inf\"" : "\"-inf\"";
  return fmt::format("{:.5g}", x);
}

std::string glass_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string glass_list(const std::vector<int64_t>& list) {
  return "[" + glass_join(list, [](int64_t n) { return std::to_string(n); }) + "]";
}

std::string glass_bytes(const std::vector<uint8_t>& bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text = "\"";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](size_t k) { return k < bytes.size() ? uint32_t{bytes[k]} : 0; };
    const uint32_t v = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    for (size_t k = 0; k < 4; ++k)
      text += i + k > bytes.size() ? '=' : kDigits[v >> (18 - 6 * k) & 63];
  }
  return text + '"';
}

}  // namespace ramp
