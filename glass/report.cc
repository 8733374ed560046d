#include "ramp/glass/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string_view>

#include "ramp/core/error.h"
#include "ramp/data/new_file.h"

namespace ramp {

// glass/page, joined (cmake/embed.cmake).
extern const unsigned char kReportPage[];
extern const size_t kReportPageSize;

namespace {

using Json = nlohmann::json;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kCurve = 2000, kFlow = 400, kSteps = 240, kFilm = 80;

// A number of the file: NaN where it is null or a word.
double number(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : kNaN;
}
std::string numbers(const std::vector<double>& list, const std::vector<size_t>& rows) {
  std::string text = "[";
  for (const size_t i : rows) {
    if (text.size() > 1) text += ',';
    text += std::isnan(list[i]) ? "null" : glass_number(list[i]);
  }
  return text + ']';
}
// With all their digits: they are counts.
template <typename T>
std::string counts(const std::vector<T>& list) {
  std::string text = "[";
  for (const T n : list) {
    if (text.size() > 1) text += ',';
    text += std::to_string(n);
  }
  return text + ']';
}

// Which of n rows are kept, at most about `most`: the first and last one, and of each stretch
// between them the one with the smallest and the one with the largest value. NaN is the largest.
std::vector<size_t> thinned(const std::vector<double>& values, size_t most) {
  const size_t n = values.size();
  std::vector<size_t> rows;
  if (n <= most) {
    rows.resize(n);
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
  }
  const auto below = [&](size_t a, size_t b) {
    if (std::isnan(values[a]) || std::isnan(values[b])) return !std::isnan(values[a]);
    return values[a] < values[b];
  };
  const size_t stretches = std::max<size_t>(most / 2, 2) - 1;
  rows.push_back(0);
  for (size_t s = 0; s < stretches; ++s) {
    const size_t begin = 1 + s * (n - 2) / stretches, end = 1 + (s + 1) * (n - 2) / stretches;
    size_t low = begin, high = begin;
    for (size_t i = begin; i < end; ++i) {
      if (below(i, low)) low = i;
      if (below(high, i)) high = i;
    }
    if (begin == end) continue;
    rows.push_back(std::min(low, high));
    if (low != high) rows.push_back(std::max(low, high));
  }
  rows.push_back(n - 1);
  return rows;
}

// The first and the last ones, and others between them, evenly: as many as fit.
std::vector<size_t> evenly(const std::vector<size_t>& sizes, size_t most, size_t bytes) {
  const size_t n = sizes.size();
  const size_t all = std::accumulate(sizes.begin(), sizes.end(), size_t{1});
  size_t keep = std::min(n, most);
  if (all > bytes) keep = std::min(keep, std::max<size_t>(2, n * bytes / all));
  std::vector<size_t> rows;
  for (size_t i = 0; i < std::min(n, keep); ++i)
    rows.push_back(keep == 1 ? n - 1 : i * (n - 1) / (keep - 1));
  return rows;
}

struct Series {
  std::map<std::string, std::vector<double>> of;
  std::vector<double>& operator[](const std::string& name) { return of[name]; }
};

// How a layer's units fire.
struct Units {
  std::vector<int64_t> fired, alive;  // alive: the last recorded step where it fired, or -1
  std::vector<char> ever;             // in an epoch before the last one
  std::vector<char> never;            // in no step of the last epoch, counted or not; or empty
  std::vector<double> sums;           // of the recorded shares
  double shares = 0;
  int64_t seen = 0;
};

class Run {
 public:
  Run(const GlassFile& file, size_t bytes) : file_(file), bytes_(bytes) {
    for (const GlassRecord& r : file.records) {
      if (r.kind == "step") {
        steps_.push_back(&r.json);
        add_step(Json::parse(r.json));
      } else if (r.kind == "epoch") {
        epochs_.push_back(&r.json);
        add_epoch(Json::parse(r.json));
      } else if (r.kind == "run" || r.kind == "model" || r.kind == "mistakes" || r.kind == "end") {
        single_[r.kind] = &r.json;  // the last one
        if (r.kind == "model") add_model(Json::parse(r.json));
      } else {
        lists_[r.kind].push_back(&r.json);
      }
    }
  }

  std::string json() {
    std::string text =
        "{\"file\":" + glass_text(std::filesystem::path(file_.path).filename().string()) +
        ",\"cut\":" + (file_.cut ? "true" : "false");
    for (const char* kind : {"run", "model", "mistakes", "end"})
      text += fmt::format(",\"{}\":{}", kind, single_[kind] ? *single_[kind] : "null");
    const std::pair<const char*, const char*> lists[] = {
        {"images", "images"},  {"finding", "findings"},     {"probe", "probes"},
        {"lesson", "lessons"}, {"gradcheck", "gradchecks"}, {"boundary", "boundaries"}};
    for (const auto& [kind, name] : lists) {
      const std::string_view k = kind;
      const size_t share = k == "probe" || k == "boundary" ? bytes_ / 6 : bytes_;
      const size_t most = k == "boundary" ? kFilm : k == "images" ? 2 : 1000;
      text += fmt::format(",\"{}\":{}", name, some(lists_[kind], most, share));
    }
    text += ",\"epochs\":" + epochs(bytes_ / 8);
    text += ",\"curve\":" + curve() + ",\"flow\":" + flow() + ",\"clinic\":" + clinic();
    Lines fires;
    for (const std::string& line : fires_) fires.push_back(&line);
    text += ",\"fires\":" + some(fires, kSteps, bytes_ / 10);
    text += ",\"counted\":" + (counted_.empty() ? "null" : counted_ + "}");
    const size_t left = std::max(bytes_ > text.size() ? bytes_ - text.size() : 0, bytes_ / 6);
    return text + ",\"steps\":" + some(steps_, kSteps, left) + "}";
  }

  std::string title() { return Json::parse(*single_["run"]).value("title", ""); }

 private:
  using Lines = std::vector<const std::string*>;

  static std::string some(const Lines& lines, size_t most, size_t bytes) {
    std::vector<size_t> sizes;
    for (const std::string* line : lines) sizes.push_back(line->size() + 1);
    std::string text = "[";
    for (const size_t i : evenly(sizes, most, bytes)) {
      if (text.size() > 1) text += ',';
      text += *lines[i];
    }
    return text + ']';
  }

  // ---- steps ----

  void add_step(const Json& step) {
    const size_t row = steps_.size() - 1;
    const auto put = [&](std::vector<double>& column, double v) {
      column.resize(row, kNaN);
      column.push_back(v);
    };
    for (const char* name : {"step", "epoch", "loss", "lr", "seconds"})
      put(curve_[name], number(step, name));
    if (const auto loss = step.find("loss"); loss != step.end() && loss->is_string()) {
      if (*loss == "nan") nan_losses_.insert(row);
      if (*loss == "inf") curve_["loss"].back() = INFINITY;
      if (*loss == "-inf") curve_["loss"].back() = -INFINITY;
    }
    const auto phases = step.find("phases");
    for (const char* name : {"data", "forward", "backward", "step"})
      put(phases_[name],
          phases != step.end() && phases->is_object() ? number(*phases, name) : kNaN);
    if (const auto layers = step.find("layers"); layers != step.end()) {
      for (const auto& [path, layer] : layers->items()) {
        for (const char* what : {"y", "dy"}) {
          if (!layer.contains(what) || !layer[what].is_object()) continue;
          put(layers_[path][what],
              std::hypot(number(layer[what], "mean"), number(layer[what], "std")));
        }
      }
    }
    double squares = 0;
    if (const auto parameters = step.find("parameters"); parameters != step.end()) {
      for (const auto& [name, p] : parameters->items()) {
        const double g = number(p, "gnorm");
        put(parameters_[name]["g"], g);
        put(parameters_[name]["w"], number(p, "wnorm"));
        put(parameters_[name]["ratio"], number(p, "ratio"));
        if (const auto rows = p.find("rows"); rows != p.end() && rows->is_array())
          put(parameters_[name]["rows"], rows->at(0).get<double>());
        if (!std::isnan(g)) squares += g * g;
      }
    }
    put(all_gradients_, std::sqrt(squares));
    if (const auto fire = step.find("fire"); fire != step.end()) {
      fires_.push_back(
          fmt::format("{{\"step\":{},\"fire\":{}}}", step.value("step", int64_t{0}), fire->dump()));
      for (const auto& [path, shares] : fire->items()) {
        Units& u = units_[path];
        u.alive.resize(shares.size(), -1);
        u.sums.resize(shares.size());
        u.shares += 1;
        for (size_t i = 0; i < shares.size(); ++i) {
          const double share = shares[i].get<double>();
          u.sums[i] += share;
          if (share > 0) u.alive[i] = static_cast<int64_t>(row);
        }
      }
    }
  }

  std::string curve() {
    const std::vector<size_t> rows = thinned(curve_["loss"], kCurve);
    std::string loss;
    for (const size_t i : rows) {
      const double v = curve_["loss"][i];
      loss += loss.empty() ? "" : ",";
      loss += std::isnan(v) && !nan_losses_.contains(i) ? "null" : glass_number(v);
    }
    std::string text = "{\"loss\":[" + loss + "],";
    for (const char* name : {"step", "epoch"})
      text += fmt::format("\"{}\":{},", name, whole(curve_[name], rows));
    for (const char* name : {"lr", "seconds"})
      text += fmt::format("\"{}\":{},", name, numbers(curve_[name], rows));
    // Sums since the row before that is kept.
    const std::pair<const char*, const char*> phases[] = {{"data", "data"},
                                                          {"forward", "forward"},
                                                          {"backward", "backward"},
                                                          {"step", "step_seconds"}};
    for (const auto& [name, column] : phases) {
      std::vector<double> sums = phases_[name];
      for (size_t k = 0, from = 0; k < rows.size(); ++k) {
        double sum = 0;
        for (; from <= rows[k]; ++from) sum += phases_[name][from];
        sums[rows[k]] = sum;
      }
      text += fmt::format("\"{}\":{},", column, numbers(sums, rows));
    }
    text.back() = '}';
    return text;
  }

  std::string flow() {
    const std::vector<size_t> rows = thinned(all_gradients_, kFlow);
    std::string text = "{\"step\":" + whole(curve_["step"], rows);
    const auto add = [&](const char* name, std::map<std::string, Series>& all) {
      text += fmt::format(",\"{}\":{{", name);
      for (auto& [key, series] : all) {
        text += glass_text(key) + ":{";
        for (auto& [what, column] : series.of) {
          column.resize(steps_.size(), kNaN);
          text += fmt::format("\"{}\":{},", what, numbers(column, rows));
        }
        text.back() = '}';
        text += ',';
      }
      if (text.back() == ',') text.pop_back();
      text += '}';
    };
    add("layers", layers_);
    add("parameters", parameters_);
    return text + '}';
  }

  static std::string whole(const std::vector<double>& list, const std::vector<size_t>& rows) {
    std::vector<int64_t> all;
    for (const size_t i : rows) all.push_back(std::isnan(list[i]) ? 0 : std::llround(list[i]));
    return counts(all);
  }

  // ---- epochs ----

  // The layers whose silent units still have a gradient. (Older files do not tell.)
  void add_model(const Json& model) {
    lives_.clear();
    for (const Json& layer : model.value("layers", Json::array())) {
      const auto dies = layer.find("dies");
      const std::string f = layer.contains("activation") && layer["activation"].is_string()
                                ? layer["activation"]
                                : "";
      const bool told = dies != layer.end() && dies->is_boolean();
      if (told ? !dies->get<bool>() : !f.empty() && f != "relu" && f != "relu6")
        lives_.insert(layer.value("path", ""));
    }
  }

  void add_epoch(const Json& epoch) {
    const auto fired = epoch.find("fired"), seen = epoch.find("seen");
    if (fired == epoch.end() || seen == epoch.end()) return;
    counted_ =
        fmt::format("{{\"epoch\":{},\"steps\":{},\"counted\":{}", epoch.value("epoch", int64_t{0}),
                    epoch.value("steps", int64_t{0}), epoch.value("counted", int64_t{0}));
    const auto silent = epoch.find("silent");
    for (const auto& [path, list] : fired->items()) {
      Units& u = units_[path];
      u.ever.resize(list.size());
      for (size_t i = 0; i < u.fired.size() && i < u.ever.size(); ++i)
        u.ever[i] |= u.never.empty() ? u.fired[i] > 0 : !u.never[i];
      u.fired = list.get<std::vector<int64_t>>();
      u.seen = seen->value(path, int64_t{0});
      u.never.clear();
      if (silent == epoch.end() || !silent->contains(path)) continue;
      u.never.resize(u.fired.size());
      for (const Json& unit : (*silent)[path]) u.never.at(unit.get<size_t>()) = 1;
    }
  }

  std::string epochs(size_t bytes) const {
    std::vector<size_t> sizes;
    for (const std::string* line : epochs_) sizes.push_back(line->size() + 1);
    std::vector<char> whole(sizes.size());
    for (const size_t i : evenly(sizes, kSteps, bytes)) whole[i] = 1;
    std::vector<double> loss;
    std::vector<Json> all;
    for (size_t i = 0; i < sizes.size(); ++i) {
      all.push_back(Json::parse(*epochs_[i]));
      loss.push_back(number(all[i].value("values", Json::object()), "valid_loss"));
      if (!whole[i]) all[i].erase("fired"), all[i].erase("seen");
    }
    std::string text = "[";
    for (const size_t i : thinned(loss, kCurve)) {
      if (text.size() > 1) text += ',';
      text += whole[i] ? *epochs_[i] : all[i].dump();
    }
    return text + ']';
  }

  // Units that never fired in the last epoch, and since when: dead, or where the slope below 0 is
  // not 0 silent; those that fired for less than 1 %.
  std::string clinic() {
    std::string text = "{";
    for (auto& [path, u] : units_) {
      if (u.fired.empty()) {  // no epoch came to its end: the recorded steps are what there is
        for (const double s : u.sums) u.fired.push_back(std::llround(s));
        u.seen = std::llround(1000 * u.shares);
      }
      u.alive.resize(u.fired.size(), -1);
      u.ever.resize(u.fired.size());
      std::string never;
      std::vector<size_t> sleeping;
      for (size_t i = 0; i < u.fired.size(); ++i) {
        if (u.never.empty() ? u.fired[i] == 0 && u.seen > 0 : u.never[i]) {
          const bool born = u.alive[i] < 0 && !u.ever[i];
          const bool is_known = born || u.alive[i] >= 0;  // else it fired at no recorded step
          // The first recorded step where it did not fire, and did not after.
          const size_t row = std::min(static_cast<size_t>(u.alive[i] + 1), steps_.size() - 1);
          const double lr = steps_.empty() ? kNaN : curve_["lr"][row];
          never += fmt::format(R"({}{{"unit":{},"born":{},"step":{},"lr":{}}})",
                               never.empty() ? "" : ",", i, born,
                               !is_known        ? "null"
                               : steps_.empty() ? "0"
                                                : std::to_string(std::llround(curve_["step"][row])),
                               std::isnan(lr) || !is_known ? "null" : glass_number(lr));
        } else if (100 * u.fired[i] < u.seen) {
          sleeping.push_back(i);
        }
      }
      const bool lives = lives_.contains(path);
      text += fmt::format(
          R"({}{}:{{"units":{},"seen":{},"fired":{},"dead":[{}],"silent":[{}],"sleeping":{},)"
          R"("every_step":{}}})",
          text.size() > 1 ? "," : "", glass_text(path), u.fired.size(),
          counts(std::vector<int64_t>(u.fired.size(), u.seen)), counts(u.fired), lives ? "" : never,
          lives ? never : "", counts(sleeping), !u.never.empty());
    }
    return text + '}';
  }

  const GlassFile& file_;
  size_t bytes_;
  Lines steps_, epochs_;
  std::map<std::string, const std::string*> single_;
  std::map<std::string, Lines> lists_;
  Series curve_, phases_;
  std::map<std::string, Series> layers_, parameters_;
  std::vector<double> all_gradients_;
  std::vector<std::string> fires_;  // the units' part of the steps
  std::set<size_t> nan_losses_;     // as words: no gaps
  std::map<std::string, Units> units_;
  std::set<std::string> lives_;  // layers
  std::string counted_;          // where the units' numbers are from
};

std::string html_text(const std::string& text) {
  std::string all;
  for (const char c : text) {
    all += c == '<'   ? "&lt;"
           : c == '>' ? "&gt;"
           : c == '&' ? "&amp;"
           : c == '"' ? "&quot;"
                      : std::string(1, c);
  }
  return all;
}

}  // namespace

std::string report_html(const std::vector<GlassFile>& runs, const ReportOptions& options) {
  fail_if(runs.empty() || runs.size() > 2, "report: expected one or two runs; got {}.",
          runs.size());
  fail_if(!options.lang.empty() && options.lang != "en" && options.lang != "pt",
          "report: expected the language \"en\" or \"pt\"; got \"{}\".", options.lang);
  const std::string_view page(reinterpret_cast<const char*>(kReportPage), kReportPageSize);
  const size_t room = options.bytes > page.size() ? options.bytes - page.size() : 0;
  std::string title,
      data =
          "{\"lang\":" + (options.lang.empty() ? "null" : glass_text(options.lang)) + ",\"runs\":[";
  for (size_t i = 0; i < runs.size(); ++i) {
    try {
      Run run(runs[i], room / runs.size());
      title += (i > 0 ? ", " : "") + run.title();
      data += (i > 0 ? "," : "") + run.json();
    } catch (const Json::exception& error) {
      fail("report: a record of {} is not as it should be: {}.", runs[i].path, error.what());
    }
  }
  data += "]}";
  std::string html;
  html.reserve(page.size() + data.size() + data.size() / 8);
  for (size_t at = 0; at < page.size();) {
    constexpr std::string_view kTitle = "{{ramp:title}}", kData = "{{ramp:data}}";
    const size_t mark = std::min(page.find(kTitle, at), page.find(kData, at));
    html += page.substr(at, mark - at);
    if (mark >= page.size()) break;
    if (page.substr(mark).starts_with(kTitle)) {
      html += html_text(title);
      at = mark + kTitle.size();
    } else {
      // In JSON a < stands in texts alone, where it may be written so; then none ends the script.
      for (const char c : data) {
        if (c == '<') {
          html += "\\u003c";
        } else {
          html += c;
        }
      }
      at = mark + kData.size();
    }
  }
  return html;
}

void save_report(const std::string& path, const std::vector<std::string>& glass_files,
                 const ReportOptions& options) {
  std::vector<GlassFile> runs;
  for (const std::string& file : glass_files) runs.push_back(read_glass(file));
  const std::string html = report_html(runs, options);
  NewFile file("report", path);
  file.write(html.data(), html.size());
  file.finish();
}

}  // namespace ramp
