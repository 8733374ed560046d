#include "ramp/glass/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "ramp/autograd/backward.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/core/parallel.h"
#include "ramp/glass/glass_file.h"
#include "ramp/glass/reasons.h"
#include "ramp/glass/sketch.h"
#include "ramp/train/metrics.h"

namespace ramp {
namespace {

constexpr int64_t kPictures = 10;

// lo..hi as 0..255; what is not finite is 0.
uint8_t byte_of(double v, double lo, double hi) {
  const double share = hi > lo ? (v - lo) / (hi - lo) : 0;
  return std::isfinite(share) ? static_cast<uint8_t>(std::lround(255 * std::clamp(share, 0., 1.)))
                              : 0;
}

// Examples that are images: their height, width and channels.
struct Picture {
  int64_t h = 0, w = 0, c = 0;
  explicit Picture(const Tensor& x) {
    if (!x.defined() || !is_float(x.dtype()) || x.rank() < 2) return;
    const auto is = [&](int64_t rows, int64_t columns, int64_t channels) {
      if (rows < 4 || columns < 4 || (channels != 1 && channels != 3)) return;
      h = rows, w = columns, c = channels;
    };
    if (x.rank() == 4) is(x.dim(1), x.dim(2), x.dim(3));
    if (x.rank() == 3) is(x.dim(1), x.dim(2), 1);
    if (x.rank() > 2) return;
    for (const int64_t channels : {1, 3}) {
      const int64_t side = std::lround(std::sqrt(x.dim(1) / channels));
      if (side >= 8 && side * side * channels == x.dim(1)) is(side, side, channels);
    }
  }
  explicit operator bool() const { return h > 0; }
  // Each so many-th pixel of each so many-th row is kept, so that there are at most 48 each way.
  int64_t stride() const { return ceil_div(std::max(h, w), 48); }
  int64_t rows() const { return ceil_div(h, stride()); }
  int64_t columns() const { return ceil_div(w, stride()); }
};

// f(place) for the kept ones of h x w places.
template <typename F>
void each_kept(int64_t h, int64_t w, int64_t stride, F f) {
  for (int64_t i = 0; i < h; i += stride)
    for (int64_t j = 0; j < w; j += stride) f(i * w + j);
}

std::string picture_json(const Picture& size, const Tensor& x, int64_t i, double lo, double hi) {
  const std::vector<double> v = x.rows(i, i + 1).values();
  std::vector<uint8_t> bytes;
  each_kept(size.h, size.w, size.stride(), [&](int64_t place) {
    for (int64_t k = 0; k < size.c; ++k)
      bytes.push_back(byte_of(v[static_cast<size_t>(place * size.c + k)], lo, hi));
  });
  return glass_bytes(bytes);
}

std::pair<double, double> range(const Tensor& x) {
  Sketch s;
  s.add(x);
  return {std::min(s.min, 0.), std::max(s.max, s.min + 1e-6)};
}

// One of each class, as far as there are any; their numbers are those of the rows.
Dataset pictures(const Dataset& from) {
  std::vector<int64_t> rows;
  if (from.y.defined() && from.y.dtype() == i64 && from.y.numel() == from.size()) {
    std::map<int64_t, int64_t> first;
    for (int64_t i = 0; i < from.size(); ++i) first.emplace(from.y.data<int64_t>()[i], i);
    for (const auto& [label, row] : first) rows.push_back(row);
  }
  for (int64_t i = 0; i < from.size() && static_cast<int64_t>(rows.size()) < kPictures; ++i)
    if (std::ranges::find(rows, i) == rows.end()) rows.push_back(i);
  rows.resize(std::min<size_t>(rows.size(), kPictures));
  return from.take(rows);
}

// Those without layers of their own, with their paths.
std::map<const ModuleBase*, std::string> leaf_layers(ModuleBase& net) {
  std::map<const ModuleBase*, std::string> leaves;
  const Fields fields(net);
  for (const Field& f : fields) {
    const bool is_leaf = std::ranges::none_of(fields, [&](const Field& other) {
      return other.module && other.path.starts_with(f.path + ".");
    });
    if (f.module && is_leaf) leaves.emplace(f.module, f.path);
  }
  if (leaves.empty()) leaves.emplace(&net, "");
  return leaves;
}

// How much is kept of the maps of one layer: of many layers less each, so that all fit.
struct MapSize {
  int64_t side, channels;
};
MapSize map_size(const std::vector<std::pair<std::string, Tensor>>& outputs) {
  constexpr MapSize kSizes[] = {{32, 16}, {32, 8}, {16, 8}, {16, 6}, {16, 4}, {8, 4}};
  for (const MapSize& s : kSizes) {
    int64_t bytes = 0;
    for (const auto& [path, y] : outputs) {
      if (y.rank() != 4) continue;
      const int64_t stride = ceil_div(std::max(y.dim(1), y.dim(2)), s.side);
      bytes += y.dim(0) * ceil_div(y.dim(1), stride) * ceil_div(y.dim(2), stride) *
               std::min(y.dim(3), s.channels);
    }
    if (bytes <= 620'000) return s;
  }
  return kSizes[std::size(kSizes) - 1];
}

// Kernels of convolutions, and the weights of a dense layer that sees the pixels.
std::string filters(ModuleBase& net, const Picture& size) {
  struct Kernels {
    NamedTensor of;
    int64_t kh, kw, in, out;
  };
  std::vector<Kernels> all;
  for (const NamedTensor& p : net.named_parameters()) {
    const Shape& s = p.tensor.shape();
    if (s.rank() == 4 && s[0] * s[1] > 1) all.push_back({p, s[0], s[1], s[2], s[3]});
    if (s.rank() == 2 && s[0] == size.h * size.w * size.c)
      all.push_back({p, size.h, size.w, size.c, s[1]});
  }
  const int64_t most = std::min<int64_t>(65536, 200'000 / std::max<int64_t>(1, std::ssize(all)));
  std::string text;
  for (const auto& [p, kh, kw, in, out] : all) {
    const int64_t outs = std::clamp<int64_t>(most / (kh * kw), 1, std::min<int64_t>(out, 64));
    const int64_t ins = std::clamp<int64_t>(most / (kh * kw * outs), 1, std::min<int64_t>(in, 64));
    const auto [lo, hi] = range(p.tensor.detach());
    const std::vector<double> values = p.tensor.values();
    std::vector<uint8_t> bytes;
    for (int64_t at = 0; at < kh * kw; ++at)
      for (int64_t i = 0; i < ins; ++i)
        for (int64_t o = 0; o < outs; ++o)
          bytes.push_back(byte_of(values[static_cast<size_t>((at * in + i) * out + o)], lo, hi));
    text += fmt::format(
        R"({}{}:{{"kh":{},"kw":{},"in":{},"out":{},"of_in":{},"of_out":{},"lo":{},"hi":{},"data":{}}})",
        text.empty() ? "" : ",", glass_text(p.name), kh, kw, ins, outs, in, out, glass_number(lo),
        glass_number(hi), glass_bytes(bytes));
  }
  return text;
}

// Members of "mistakes": why.
std::string reasons(Module& net, const Dataset& data, const Tensor& features,
                    const std::vector<int64_t>& guesses, const std::vector<int64_t>& wrong,
                    const std::vector<int64_t>& shown, double lo, double hi) {
  const int64_t* y = data.y.data<int64_t>();
  const std::vector<int64_t> labels(y, y + data.size());
  if (shown.empty() || !features.defined()) return "";
  const auto of = [&](const std::vector<int64_t>& all, const std::vector<int64_t>& rows) {
    std::vector<int64_t> some;
    for (const int64_t row : rows) some.push_back(all[static_cast<size_t>(row)]);
    return some;
  };
  std::map<std::pair<int64_t, int64_t>, std::pair<int64_t, int64_t>> nearer;  // by cell: n of those
  std::map<int64_t, Neighbours> near;
  std::set<int64_t> both(wrong.begin(), wrong.end());
  both.insert(shown.begin(), shown.end());
  const std::vector<int64_t> rows(both.begin(), both.end());
  const std::vector<Neighbours> found = neighbours(features, guesses, labels, rows);
  for (size_t k = 0; k < rows.size(); ++k) near[rows[k]] = found[k];
  for (const int64_t at : wrong) {
    const Neighbours& its = near[at];
    if (its.said < 0 || its.label < 0) continue;
    const auto row = static_cast<size_t>(at);
    auto& [n, all] = nearer[{labels[row], guesses[row]}];
    n += its.to_said < its.to_label;
    ++all;
  }
  const std::string cells = glass_join(nearer, [](const auto& c) {
    return fmt::format("\"{},{}\":[{},{}]", c.first.first, c.first.second, c.second.first,
                       c.second.second);
  });
  const Picture size(data.x);
  Tensor speaks;
  if (size) {
    try {
      speaks = evidence(net, take(data.x.detach(), Tensor::of(shown)), of(guesses, shown),
                        of(labels, shown), lo);
    } catch (const Error&) {  // without a gradient of x
    }
  }
  std::set<int64_t> pictured;
  std::string why;
  for (size_t k = 0; k < shown.size(); ++k) {
    std::string text;
    const auto add = [&](const char* name, int64_t row, double distance) {
      if (row < 0) return;
      pictured.insert(row);
      text += fmt::format("{}\"{}\":[{},{}]", text.empty() ? "" : ",", name, row,
                          glass_number(distance));
    };
    const Neighbours& its = near[shown[k]];
    add("said", its.said, its.to_said);
    add("label", its.label, its.to_label);
    if (speaks.defined()) {
      const auto i = static_cast<int64_t>(k);
      const std::vector<double> v = speaks.rows(i, i + 1).values();
      std::vector<double> places(v.size() / static_cast<size_t>(size.c));
      for (size_t j = 0; j < v.size(); ++j) places[j / static_cast<size_t>(size.c)] += v[j];
      double most = 0;
      for (const double p : places) most = std::max(most, std::abs(p));
      std::vector<uint8_t> bytes;
      each_kept(size.h, size.w, size.stride(), [&](int64_t place) {
        bytes.push_back(most > 0 ? byte_of(places[static_cast<size_t>(place)], -most, most) : 128);
      });
      text += (text.empty() ? "\"speaks\":" : ",\"speaks\":") + glass_bytes(bytes);
    }
    why += fmt::format("{}\"{}\":{{{}}}", why.empty() ? "" : ",", shown[k], text);
  }
  std::string pictures;
  for (const int64_t row : pictured)
    if (size)
      pictures += fmt::format("{}\"{}\":{}", pictures.empty() ? "" : ",", row,
                              picture_json(size, data.x, row, lo, hi));
  return fmt::format(R"(,"nearer":{{{}}},"why":{{{}}},"pictures":{{{}}},"among":{})", cells, why,
                     pictures, features.dim(0));
}

}  // namespace

std::string images_line(ModuleBase& net, const Dataset& data,
                        const std::function<Tensor(const Dataset&)>& loss, int64_t step) {
  Dataset batch = pictures(data);
  const Picture size(batch.x);
  if (!size) return "";
  const auto [lo, hi] = range(batch.x);
  std::vector<std::pair<std::string, Tensor>> outputs;  // by layer
  std::vector<Tensor> dx;
  {
    const std::map<const ModuleBase*, std::string> paths = leaf_layers(net);
    const std::function look = [&](ModuleBase& module, const std::vector<Tensor>& y) {
      const auto found = paths.find(&module);
      if (found == paths.end() || y.empty()) return;
      const Tensor& out = y[0];
      if (is_float(out.dtype()) && (out.rank() == 4 || (out.rank() == 2 && out.dim(1) <= 256)) &&
          out.dim(0) == batch.size())
        outputs.emplace_back(found->second, out.detach());
    };
    const Alone alone(&look);
    const EvalMode eval;
    const Recording recording(true);
    batch.x = batch.x.detach().requires_grad_();
    dx = grad(loss(batch), {batch.x}, {.allow_unused = true});
  }
  std::vector<int64_t> all(static_cast<size_t>(batch.size()));
  std::iota(all.begin(), all.end(), 0);
  const MapSize most = map_size(outputs);
  std::string maps;
  for (const auto& [path, y] : outputs) {
    const bool image = y.rank() == 4;
    const int64_t of = y.dim(-1), c = image ? std::min(of, most.channels) : of;
    const auto [low, high] = range(y);
    const std::vector<double> values = y.values();
    const int64_t places = y.numel() / y.dim(0) / of;
    const int64_t h = image ? y.dim(1) : 1, w = image ? y.dim(2) : 1;
    const int64_t stride = ceil_div(std::max(h, w), most.side);
    maps += fmt::format(R"({}{}:{{"h":{},"w":{},"c":{},"of":{},"lo":{},"hi":{},"data":[)",
                        maps.empty() ? "" : ",", glass_text(path), ceil_div(h, stride),
                        ceil_div(w, stride), c, of, glass_number(low), glass_number(high));
    maps += glass_join(all, [&, low = low, high = high](int64_t n) {
      std::vector<uint8_t> bytes;
      each_kept(h, w, stride, [&](int64_t p) {
        for (int64_t k = 0; k < c; ++k)
          bytes.push_back(
              byte_of(values[static_cast<size_t>((n * places + p) * of + k)], low, high));
      });
      return glass_bytes(bytes);
    });
    maps += "]}";
  }
  const std::string saliency = !dx[0].defined() ? "" : glass_join(all, [&](int64_t n) {
    std::vector<double> v = dx[0].rows(n, n + 1).values(), places(v.size() / size.c);
    for (size_t k = 0; k < v.size(); ++k) {
      double& place = places[k / static_cast<size_t>(size.c)];
      place = std::max(place, std::abs(v[k]));
    }
    const double most = *std::ranges::max_element(places);
    std::vector<uint8_t> bytes;
    each_kept(size.h, size.w, size.stride(), [&](int64_t place) {
      bytes.push_back(byte_of(places[static_cast<size_t>(place)], 0, most));
    });
    return glass_bytes(bytes);
  });
  std::string labels;
  if (batch.y.defined() && batch.y.dtype() == i64)
    for (int64_t i = 0; i < batch.size(); ++i)
      labels += fmt::format("{}{}", i > 0 ? "," : "", batch.y.data<int64_t>()[i]);
  return fmt::format(
      R"({{"kind":"images","step":{},"h":{},"w":{},"c":{},"pixels":[{}],"labels":[{}],"maps":{{{}}},"saliency":[{}],"filters":{{{}}}}})",
      step, size.rows(), size.columns(), size.c,
      glass_join(all, [&, lo = lo, hi = hi](
                          int64_t n) { return picture_json(size, batch.x.detach(), n, lo, hi); }),
      labels, maps, saliency, filters(net, size));
}

std::string mistakes_line(Module& net, const Dataset& data,
                          const std::vector<std::string>& class_names, int64_t step) {
  if (data.size() == 0 || data.y.dtype() != i64 || data.y.numel() != data.size()) return "";
  const auto& [logits, features] = answers(net, data.x);
  if (logits.rank() != 2 || logits.dim(1) < 2) return "";
  const NoGrad no_grad;
  const Tensor p = softmax(logits).to(f64);
  const int64_t n = data.size(), classes = p.dim(1);
  const Picture size(data.x);
  const auto [lo, hi] = range(data.x.to(f64));
  const int64_t* labels = data.y.data<int64_t>();
  const auto row = [&](int64_t i) { return p.data<double>() + i * classes; };
  std::vector<int64_t> confusion(static_cast<size_t>(classes * classes)), wrong;
  std::vector<int64_t> guesses(static_cast<size_t>(n));
  std::map<std::pair<int64_t, int64_t>, std::vector<int64_t>> cells;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t said = std::max_element(row(i), row(i) + classes) - row(i), label = labels[i];
    guesses[static_cast<size_t>(i)] = said;
    if (label < 0 || label >= classes) continue;
    ++confusion[static_cast<size_t>(label * classes + said)];
    cells[{label, said}].push_back(i);
    if (said != label) wrong.push_back(i);
  }
  const auto order = [](double p) { return std::isnan(p) ? -1 : p; };  // NaN is no confidence
  const auto by_confidence = [&](std::vector<int64_t>& list, size_t most) {
    std::ranges::stable_sort(list, std::greater{}, [&](int64_t i) {
      return order(row(i)[guesses[static_cast<size_t>(i)]]);
    });
    list.resize(std::min(list.size(), most));
  };
  const auto example = [&, lo = lo, hi = hi](int64_t i) {
    std::vector<int64_t> top(static_cast<size_t>(classes));
    std::iota(top.begin(), top.end(), 0);
    std::ranges::stable_sort(top, std::greater{}, [&](int64_t c) { return order(row(i)[c]); });
    top.resize(std::min<size_t>(top.size(), 3));
    std::string what;
    if (size) {
      what = "\"pixels\":" + picture_json(size, data.x, i, lo, hi);
    } else {
      std::vector<double> x = data.x.rows(i, i + 1).values();
      x.resize(std::min<size_t>(x.size(), 8));
      what = "\"x\":[" + glass_join(x, glass_number) + "]";
    }
    return fmt::format(R"({{{},"index":{},"label":{},"top":[{}]}})", what, i, labels[i],
                       glass_join(top, [&](int64_t c) {
                         return fmt::format("[{},{}]", c, glass_number(row(i)[c]));
                       }));
  };
  // About 400 pictures of digits in all.
  const int64_t bytes = size ? size.rows() * size.columns() * size.c : 64;
  std::vector<int64_t> some = wrong;  // whose neighbours are sought
  some.resize(std::min<size_t>(some.size(), 2000));
  by_confidence(wrong, static_cast<size_t>(std::clamp<int64_t>(100'000 / bytes, 4, 40)));
  const auto n_cells = std::max<int64_t>(1, std::ssize(cells));
  const auto each = static_cast<size_t>(std::clamp<int64_t>(320'000 / bytes / n_cells, 1, 12));
  std::string of_cells;
  std::vector<int64_t> shown;  // mistakes
  for (auto& [cell, list] : cells) {
    by_confidence(list, each);
    if (cell.first != cell.second) shown.insert(shown.end(), list.begin(), list.end());
    of_cells += fmt::format("{}\"{},{}\":[{}]", of_cells.empty() ? "" : ",", cell.first,
                            cell.second, glass_join(list, example));
  }
  std::vector<int64_t> names(static_cast<size_t>(classes));
  std::iota(names.begin(), names.end(), 0);
  const std::string rows = glass_join(names, [&](int64_t label) {
    const auto begin = confusion.begin() + label * classes;
    return glass_list({begin, begin + classes});
  });
  return fmt::format(
      R"({{"kind":"mistakes","step":{},"classes":[{}],"confusion":[{}],"cells":{{{}}},"worst":[{}],"h":{},"w":{},"c":{},"n":{}{}}})",
      step,
      glass_join(names,
                 [&](int64_t c) {
                   return glass_text(static_cast<size_t>(c) < class_names.size()
                                         ? class_names[static_cast<size_t>(c)]
                                         : std::to_string(c));
                 }),
      rows, of_cells, glass_join(wrong, example), size ? size.rows() : 0, size ? size.columns() : 0,
      size.c, n, reasons(net, data, features, guesses, some, shown, lo, hi));
}

BoundaryFilm::BoundaryFilm(const Dataset& data)
    : points_(data.rows(0, std::min<int64_t>(data.size(), 400))) {
  const std::vector<double> v = points_.x.values();
  for (size_t i = 0; i < 2; ++i) {
    lo_[i] = INFINITY, hi_[i] = -INFINITY;
    for (size_t k = i; k < v.size(); k += 2) {
      lo_[i] = std::min(lo_[i], v[k]);
      hi_[i] = std::max(hi_[i], v[k]);
    }
    const double margin = 0.15 * (hi_[i] - lo_[i]) + 1e-3;
    lo_[i] -= margin, hi_[i] += margin;
  }
}

bool BoundaryFilm::suits(const Dataset& data) {
  return data.x.defined() && data.x.rank() == 2 && data.x.dim(1) == 2 && is_float(data.x.dtype()) &&
         data.size() > 0 && data.y.dtype() == i64 && data.y.numel() == data.size();
}

std::string BoundaryFilm::frame(Module& net, int64_t step) {
  constexpr int64_t kSide = 64;
  std::vector<double> at;
  const auto place = [&](size_t axis, int64_t i) {
    return lo_[axis] + (hi_[axis] - lo_[axis]) * (static_cast<double>(i) + 0.5) / kSide;
  };
  for (int64_t j = 0; j < kSide; ++j)
    for (int64_t i = 0; i < kSide; ++i) at.insert(at.end(), {place(0, i), place(1, j)});
  const Alone alone;
  const Tensor logits =
      predict(net, Tensor::of(at, {kSide * kSide, 2}).to(points_.x.dtype()), kSide * kSide);
  if (logits.numel() == 0 || logits.numel() % (kSide * kSide) != 0) return "";
  const int64_t classes = logits.numel() / (kSide * kSide);
  const std::vector<double> z = logits.values();
  std::vector<uint8_t> bytes;
  for (int64_t i = 0; i < kSide * kSide; ++i) {
    const double* row = z.data() + i * classes;
    if (classes > 2) {
      bytes.push_back(static_cast<uint8_t>(std::max_element(row, row + classes) - row));
    } else {
      const double d = classes == 2 ? row[1] - row[0] : row[0];
      bytes.push_back(byte_of(1 / (1 + std::exp(-d)), 0, 1));
    }
  }
  std::string points;
  if (!std::exchange(shown_, true)) {
    const std::vector<double> v = points_.x.values();
    for (int64_t i = 0; i < points_.size(); ++i)
      points += fmt::format(
          "{}[{},{},{}]", i > 0 ? "," : "", glass_number(v[static_cast<size_t>(2 * i)]),
          glass_number(v[static_cast<size_t>(2 * i + 1)]), points_.y.data<int64_t>()[i]);
    points = ",\"points\":[" + points + "]";
  }
  return fmt::format(
      R"({{"kind":"boundary","step":{},"x":[{},{}],"y":[{},{}],"nx":{},"ny":{},"classes":{},"p":{}{}}})",
      step, glass_number(lo_[0]), glass_number(hi_[0]), glass_number(lo_[1]), glass_number(hi_[1]),
      kSide, kSide, std::max<int64_t>(classes, 2), glass_bytes(bytes), points);
}

}  // namespace ramp
