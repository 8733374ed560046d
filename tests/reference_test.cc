// docs/reference.md is made from the headers: what a user can call, and its docstring's first
// sentence. This test makes it anew and compares; RAMP_RENEW=1 writes it.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

const fs::path kRoot = fs::path(RAMP_FIXTURES_DIR).parent_path().parent_path();

struct Entry {
  std::string name, kind, doc;  // kind: "struct", "class", "using" or "" for a function
};
struct Header {
  std::string intro;  // the comment on top
  std::vector<Entry> entries;
};

// (" .. " and "e.g. " end none.)
std::string first_sentence(const std::string& text) {
  size_t end = text.find(". ");
  while (end != std::string::npos && end > 2 &&
         (text[end - 1] == '.' || text.compare(end - 3, 3, "e.g") == 0)) {
    end = text.find(". ", end + 1);
  }
  std::string s = text.substr(0, end);
  while (!s.empty() && (s.back() == '.' || s.back() == ':' || s.back() == ' ')) s.pop_back();
  return s;
}

std::string identifier_before(const std::string& text, size_t end) {
  while (end > 0 && text[end - 1] == ' ') --end;
  size_t begin = end;
  while (begin > 0 && (std::isalnum(text[begin - 1]) || text[begin - 1] == '_')) --begin;
  return text.substr(begin, end - begin);
}

// The entry of a declaration, without its braces; no name if it is none for users.
Entry entry_of(std::string text) {
  while (text.starts_with("template")) {
    int open = 0;
    size_t i = text.find('<');
    for (; i < text.size(); ++i) {
      open += (text[i] == '<') - (text[i] == '>');
      if (open == 0) break;
    }
    text = text.substr(std::min(text.size(), text.find_first_not_of(' ', i + 1)));
  }
  const bool defined = text.ends_with('{');
  for (const std::string kind : {"struct", "class", "enum class"}) {
    if (!text.starts_with(kind + " ")) continue;
    const size_t begin = kind.size() + 1, end = text.find_first_of(" ;:{<", begin);
    const std::string name = text.substr(begin, end - begin);
    return defined && text.find('<') > end ? Entry{name, kind, {}} : Entry{};
  }
  if (text.starts_with("using ")) {
    const size_t equals = text.find(" = ");
    if (equals == std::string::npos) return {};
    return {text.substr(6, equals - 6), "using",
            text.substr(equals + 3, text.find(';') - equals - 3)};
  }
  const size_t open = text.find('(');
  if (open == std::string::npos || text.find("operator") < open) return {};
  if (text.find("::") < open && text.substr(0, open).find("std::") == std::string::npos) return {};
  return {identifier_before(text, open), "", {}};
}

// What a header declares in namespace ramp itself, in order; overloads once.
Header read_header(const fs::path& path) {
  std::ifstream in(path);
  Header header;
  std::set<std::string> seen;
  std::string doc, declaration, prefix;
  int depth = 0, inside = 0;  // braces; namespaces that are not ramp's own
  bool on_top = true, in_ramp = false, shared = false, code = false;
  for (std::string line; std::getline(in, line);) {
    const size_t start = line.find_first_not_of(' ');
    if (line.starts_with("//") && on_top && !line.starts_with("///")) {
      header.intro +=
          (header.intro.empty() ? "" : " ") + line.substr(std::min<size_t>(3, line.size()));
      continue;
    }
    on_top = false;
    if (depth == 1 && line.starts_with("///")) {
      if (shared) doc.clear();
      shared = false;
      if (line.starts_with("/// ```")) code = !code;
      if (code || line.starts_with("/// ```") || line.starts_with("///     ")) continue;
      doc += (doc.empty() ? "" : " ") + line.substr(std::min<size_t>(4, line.size()));
      continue;
    }
    if (start == std::string::npos) {  // a blank line: what comes next has a docstring of its own
      if (declaration.empty()) doc.clear();
      continue;
    }
    if (line[start] == '#' || line.compare(start, 2, "//") == 0) continue;
    if (line == "namespace ramp {") in_ramp = true;
    if (line == "}  // namespace ramp") in_ramp = false;
    if (line.starts_with("namespace ") && line.ends_with(" {") && line != "namespace ramp {" &&
        line != "namespace detail {") {
      prefix = line.substr(10, line.size() - 12) + "::";
      continue;
    }
    if (!prefix.empty() && line == "}  // namespace " + prefix.substr(0, prefix.size() - 2)) {
      prefix.clear();
      continue;
    }
    if (line.starts_with("namespace ") && line != "namespace ramp {") inside = depth + 1;
    for (size_t i = start; i < line.size(); ++i) {
      const char c = line[i];
      if (c == '/' && line.compare(i, 2, "//") == 0) break;
      if (c == '"') {  // what stands in quotes is no code
        for (++i; i < line.size() && line[i] != '"'; ++i) i += line[i] == '\\';
        continue;
      }
      if (depth == 1 && (c != ' ' || !declaration.empty())) declaration += c;
      if (c == '{') ++depth;
      if (c == '}') --depth;
      if (inside > depth) inside = 0;
      const bool named = std::count(declaration.begin(), declaration.end(), '(') ==
                         std::count(declaration.begin(), declaration.end(), ')');
      if (in_ramp && !inside && !declaration.empty() &&
          ((depth == 2 && c == '{' && named) || (depth == 1 && c == ';'))) {
        Entry entry = entry_of(declaration);
        if (!(entry.kind == "using" && (shared || doc.empty()))) entry.doc = first_sentence(doc);
        shared = true;
        if (!entry.name.empty()) entry.name = prefix + entry.name;
        if (!entry.name.empty() && seen.insert(entry.name).second) header.entries.push_back(entry);
        declaration.clear();
      }
      if (depth == 1 && c == '}' && declaration.find('(') == std::string::npos) declaration.clear();
    }
    if (!declaration.empty() && depth == 1) declaration += ' ';
  }
  return header;
}

std::vector<fs::path> headers(const std::string& folder, const std::string& start = "") {
  std::vector<fs::path> list;
  for (const auto& file : fs::directory_iterator(kRoot / folder)) {
    const std::string name = file.path().filename().string();
    if (file.path().extension() == ".h" && name.starts_with(start)) list.push_back(file.path());
  }
  std::sort(list.begin(), list.end());
  return list;
}

std::string lower(const std::string& name) {
  std::string s;
  for (const char c : name)
    if (c != '_') s += static_cast<char>(std::tolower(c));
  return s;
}

std::string markdown(const std::string& text) {
  std::string s;
  bool code = false;
  for (const char c : text) {
    code ^= c == '`';
    if (c == '|' || (!code && std::string("*<_[]").find(c) != std::string::npos)) s += '\\';
    s += c;
  }
  return s;
}

struct Group {
  std::string title;
  std::vector<fs::path> files;
  bool options = false;  // shows structs of options too
};

std::vector<Group> groups() {
  const auto file = [](const char* name) { return kRoot / name; };
  std::vector<Group> list{{"Layers", {}},
                          {"Activations", {}},
                          {"Losses", {file("autograd/ops_loss.h")}},
                          {"Ops", {}},
                          {"Optimizers", {}},
                          {"Schedules", {file("optim/schedule.h")}},
                          {"Initializers", {file("layers/init.h")}},
                          {"Data", headers("data")},
                          {"Training", headers("train")},
                          {"Files", headers("io")},
                          {"Looking inside", headers("glass")}};
  for (const fs::path& p : headers("layers"))
    if (p.filename() != "init.h") list[0].files.push_back(p);
  for (const fs::path& p : headers("autograd", "ops_")) {
    const std::string name = p.filename().string();
    if (name != "ops_loss.h") list[name == "ops_activation.h" ? 1 : 3].files.push_back(p);
  }
  for (const char* name : {"backward.h", "record.h", "row_gradient.h"})
    list[3].files.push_back(kRoot / "autograd" / name);
  for (const fs::path& p : headers("optim"))
    if (p.filename() != "schedule.h") list[4].files.push_back(p);
  return list;
}

// The page; names without a docstring go to `bare`.
std::string reference(std::vector<std::string>& bare) {
  // The rules of core have the docstrings of the ops that run them.
  std::map<std::string, std::string> rules;
  for (const fs::path& path : headers("core")) {
    for (const Entry& e : read_header(path).entries)
      if (e.kind == "struct") rules[lower(e.name)] = e.doc;
  }
  std::string page =
      "# Reference\n"
      "What there is, with the first sentence of each docstring; the rest of it stands in the "
      "header. "
      "Made from the headers by `tests/reference_test`.\n";
  for (const Group& group : groups()) {
    page += fmt::format("\n## {}\n", group.title);
    for (const fs::path& path : group.files) {
      const Header header = read_header(path);
      std::string table;
      for (const Entry& e : header.entries) {
        std::string doc = e.doc;
        if (const auto rule = rules.find(lower(e.name)); doc.empty() && rule != rules.end()) {
          doc = rule->second;
        }
        if (doc.empty() && (!e.kind.empty() || e.name.empty()))
          continue;  // options, their names say it
        if (doc.empty()) bare.push_back(e.name + " in " + path.filename().string());
        table +=
            fmt::format("| `{}{}` | {} |\n", e.name, e.kind.empty() ? "()" : "", markdown(doc));
      }
      if (table.empty()) continue;
      const std::string name = fs::relative(path, kRoot).generic_string();
      page += fmt::format("\n[{0}](../{0}): {1}.\n\n| | |\n|---|---|\n{2}", name,
                          markdown(first_sentence(header.intro)), table);
    }
  }
  return page;
}

}  // namespace

TEST_CASE("docs/reference.md says what the headers say") {
  std::vector<std::string> bare;
  const std::string page = reference(bare), path = (kRoot / "docs/reference.md").string();
  for (const std::string& name : bare) FAIL_CHECK(std::string(name + " has no docstring"));
  // It is not empty-handed.
  for (const char* name :
       {"`Dense`", "`Conv2d`", "`relu()`", "`cross_entropy()`", "`matmul()`", "`Adam`",
        "`cosine_decay()`", "`init::he_normal()`", "`Batches`", "`svg()`"}) {
    INFO(std::string(name));
    CHECK(page.find(std::string("| ") + name + " | ") != std::string::npos);
  }
  if (std::getenv("RAMP_RENEW")) std::ofstream(path) << page;
  std::ifstream in(path);
  const std::string there{std::istreambuf_iterator<char>(in), {}};
  const bool fresh = there == page;
  CHECK_MESSAGE(fresh,
                "docs/reference.md is out of date. It is renewed by: RAMP_RENEW=1 "
                "build/release/tests/reference_test");
}
