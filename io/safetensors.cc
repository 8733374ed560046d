#include "ramp/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>

#include "ramp/data/new_file.h"
#include "ramp/data/read_file.h"
#include "ramp/io/half.h"
#include "ramp/io/json.h"

namespace ramp {
namespace {

using detail::Json, detail::parse_json;

// The format's own limit.
constexpr uint64_t kMaxHeader = 100'000'000;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

const char* name_in_file(DType t) { return t == f32 ? "F32" : t == f64 ? "F64" : "I64"; }

template <typename From, typename To>
void convert(const char* from, Tensor& to) {
  To* y = to.mutable_data<To>();
  for (int64_t i = 0, n = to.numel(); i < n; ++i) {
    From v;
    std::memcpy(&v, from + sizeof(From) * static_cast<size_t>(i), sizeof(From));
    y[i] = static_cast<To>(v);
  }
}

// A dtype of the format, and what it becomes.
struct FileType {
  std::string_view name;
  uint64_t bits;
  enum { kOther, kSame, kConverted } how = kOther;  // ramp has no such numbers; the same bits; ..
  DType dtype = f32;
  void (*convert)(const char* from, Tensor& to) = nullptr;
};
constexpr FileType kFileTypes[] = {
    {"F32", 32, FileType::kSame, f32},
    {"F64", 64, FileType::kSame, f64},
    {"I64", 64, FileType::kSame, i64},
    {"F16", 16, FileType::kConverted, f32, convert<Half, float>},
    {"BF16", 16, FileType::kConverted, f32, convert<BFloat, float>},
    {"I32", 32, FileType::kConverted, i64, convert<int32_t, int64_t>},
    {"U32", 32, FileType::kConverted, i64, convert<uint32_t, int64_t>},
    {"I16", 16, FileType::kConverted, i64, convert<int16_t, int64_t>},
    {"U16", 16, FileType::kConverted, i64, convert<uint16_t, int64_t>},
    {"I8", 8, FileType::kConverted, i64, convert<int8_t, int64_t>},
    {"U8", 8, FileType::kConverted, i64, convert<uint8_t, int64_t>},
    {"BOOL", 8, FileType::kConverted, i64, convert<uint8_t, int64_t>},
    {"U64", 64},
    {"C64", 64},
    {"F8_E5M2", 8},
    {"F8_E4M3", 8},
    {"F8_E8M0", 8},
    {"F8_E5M2FNUZ", 8},
    {"F8_E4M3FNUZ", 8},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"F4", 4},
};

struct Entry {
  std::string name;
  const FileType* type = nullptr;
  std::vector<int64_t> shape = {};
  uint64_t begin = 0, end = 0;
};

// Where bytes come from: a file, or memory.
class Source {
 public:
  explicit Source(const std::string& path) : name(path) {
    std::error_code error;
    size = std::filesystem::file_size(path, error);
    file_.open(path, std::ios::binary);
    if (error || !file_) {
      fail("load_safetensors: cannot open {}: {}. Hint: is the path right?", path,
           error ? error.message() : std::strerror(errno));
    }
  }
  Source(std::span<const uint8_t> bytes, const std::string& name)
      : name(name), size(bytes.size()), bytes_(bytes) {}

  // Within the size, which the callers have checked.
  void read(uint64_t at, uint64_t n, void* to) {
    if (n == 0) return;
    if (!file_.is_open()) {
      std::memcpy(to, bytes_.data() + at, n);
      return;
    }
    file_.seekg(static_cast<std::streamoff>(at));
    if (!file_.read(static_cast<char*>(to), static_cast<std::streamsize>(n)))
      fail("load_safetensors: {} ended while it was read.", name);
  }

  const std::string name;
  uint64_t size = 0;

 private:
  std::ifstream file_;
  std::span<const uint8_t> bytes_;
};

struct Header {
  uint64_t data_at = 0;
  Metadata metadata = {};
  std::vector<Entry> entries = {};
};

// Takes the header's JSON piece by piece: as a tree it would take 20 times its bytes. Each tensor
// is checked against the data that the file holds.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const std::string& path, uint64_t data_bytes, Header& to)
      : path_(path), data_bytes_(data_bytes), to_(to) {}

  bool null() override { return take(Value()); }
  bool boolean(bool) override { return take(Value()); }
  bool number_integer(number_integer_t) override { return take(Value()); }  // a negative one
  bool number_unsigned(number_unsigned_t n) override { return take({.natural = n}); }
  bool number_float(number_float_t, const string_t&) override { return take(Value()); }
  bool string(string_t& s) override { return take({.text = &s}); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return start(false); }
  bool start_array(size_t) override { return start(true); }
  bool end_array() override { return --depth_, true; }
  bool end_object() override {
    if (--depth_ == 1 && !in_metadata()) finish();
    return true;
  }
  bool key(string_t& k) override {
    if (depth_ == 1) {
      entry_ = {std::move(k)};
      dtype_.clear();
      for (Part& part : parts_) part.seen = false;
      offsets_.clear();
      fail_if(in_metadata() && std::exchange(has_metadata_, true),
              "load_safetensors: {} has two tensors named \"{}\".", path_, entry_.name);
    } else if (depth_ == 2) {
      part_ = in_metadata() ? nullptr : find_part(k);
      if (part_ && std::exchange(part_->seen, true)) bad("has " + k + " twice");
      key_ = std::move(k);
    }
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  struct Value {
    const std::string* text = nullptr;
    std::optional<uint64_t> natural = {};
  };
  struct Part {
    std::string_view name;
    bool seen = false;
  };

  bool in_metadata() const { return entry_.name == "__metadata__"; }
  Part* find_part(const std::string& name) {
    Part* const part = std::ranges::find(parts_, name, &Part::name);
    return part == std::end(parts_) ? nullptr : part;
  }
  bool at(const Part& part) const { return part_ == &part; }

  template <typename Text>
  [[noreturn]] void bad(const Text& why) const {
    fail("load_safetensors: {}: the header's entry \"{}\" {}.", path_, entry_.name, why);
  }
  // A value of another kind than the format has in this place.
  [[noreturn]] void bad_kind() const {
    if (in_metadata()) fail("load_safetensors: {}: the metadata must be text by name.", path_);
    bad("must have dtype, shape and two data_offsets");
  }

  bool start(bool array) {
    fail_if(depth_ == 3, "load_safetensors: {}: the header is nested too deep.", path_);
    if (depth_ == 1 && array) bad_kind();
    if (depth_ == 2 && (in_metadata() || at(dtype()) || (part_ && !array))) bad_kind();
    ++depth_;
    return true;
  }

  bool take(const Value& v) {
    if (depth_ == 0) return false;
    if (depth_ == 1) bad_kind();
    if (depth_ == 2) {
      if (in_metadata()) {
        if (!v.text || !to_.metadata.emplace(std::move(key_), *v.text).second) bad_kind();
      } else if (part_) {
        if (!at(dtype()) || !v.text) bad_kind();
        dtype_ = *v.text;
      }
    } else if (part_ && at(shape())) {
      if (!v.natural) bad("has a dimension that is no natural number");
      if (*v.natural > uint64_t{1} << 58) bad("is larger than the file");
      if (entry_.shape.size() == kMaxDims) bad("has more than 1000 dimensions");
      entry_.shape.push_back(static_cast<int64_t>(*v.natural));
    } else if (part_) {
      if (!v.natural) bad("has an offset that is no natural number");
      if (offsets_.size() == 2) bad_kind();
      offsets_.push_back(*v.natural);
    }
    return true;
  }

  void finish() {
    for (const Part& part : parts_)
      if (!part.seen) bad_kind();
    if (offsets_.size() != 2) bad_kind();
    const auto type = std::ranges::find(kFileTypes, dtype_, &FileType::name);
    if (type == std::end(kFileTypes))
      bad(fmt::format("is of \"{}\", which is no dtype of the format", dtype_));
    uint64_t bits = std::ranges::count(entry_.shape, 0) > 0 ? 0 : type->bits;
    for (const int64_t d : entry_.shape) {
      const uint64_t n = static_cast<uint64_t>(d);
      if (n > 0 && bits > 8 * data_bytes_ / n) bad("is larger than the file");
      bits *= n;
    }
    if (bits % 8 != 0) bad("does not end with a byte");
    const uint64_t bytes = bits / 8, begin = offsets_[0], end = offsets_[1];
    if (begin > end || end > data_bytes_)
      bad(fmt::format("lies at [{}, {}) of {} bytes", begin, end, data_bytes_));
    if (end - begin != bytes)
      bad(fmt::format("needs {} bytes for its shape and has {}", bytes, end - begin));
    entry_.type = &*type;
    entry_.begin = begin;
    entry_.end = end;
    to_.entries.push_back(std::move(entry_));
  }

  static constexpr size_t kMaxDims = 1000;
  const std::string& path_;
  const uint64_t data_bytes_;
  Header& to_;
  int depth_ = 0;  // 1: names of tensors, 2: an entry's parts or the metadata, 3: numbers
  bool has_metadata_ = false;
  Entry entry_ = {};
  std::string key_, dtype_;
  std::vector<uint64_t> offsets_;
  Part parts_[3] = {{"dtype"}, {"shape"}, {"data_offsets"}};
  Part* part_ = nullptr;  // that key_ names
  const Part& dtype() const { return parts_[0]; }
  const Part& shape() const { return parts_[1]; }
};

// The first eight bytes are no length: what people take for a safetensors file.
[[noreturn]] void fail_length(const std::string& path, uint64_t length, uint64_t size) {
  const std::string_view head(reinterpret_cast<const char*>(&length), 8);
  const bool zip = head.starts_with("PK\3\4");
  fail_if(
      zip && path.ends_with(".npz"),
      "load_safetensors: {} must be a safetensors file; it is one of np.savez. Hint: load_npz().",
      path);
  fail_if(zip || head.starts_with("\x80\2"),
          "load_safetensors: {} must be a safetensors file; it is one of torch.save. Hint: "
          "safetensors.torch.save_file(net.state_dict(), \"{}.safetensors\") in Python.",
          path, path.substr(0, path.rfind('.')));
  fail(
      "load_safetensors: {} says its header has {} bytes; the file has {}. Hint: is it a "
      "safetensors file, and whole?",
      path, length, size);
}

Header read_header(Source& in) {
  const std::string& path = in.name;
  fail_if(in.size < 8, "load_safetensors: {} has {} bytes, too few for a header.", path, in.size);
  uint64_t length = 0;
  in.read(0, 8, &length);
  if (length > in.size - 8) fail_length(path, length, in.size);
  fail_if(length > kMaxHeader,
          "load_safetensors: {} has a header of {} bytes; the format has 100 MB.", path, length);
  std::string text(length, '\0');
  in.read(8, length, text.data());
  Header h{8 + length};
  const uint64_t data_bytes = in.size - h.data_at;
  HeaderReader reader(path, data_bytes, h);
  // (The parser takes a NUL for the end.)
  fail_if(!text.starts_with('{') || text.find('\0') != text.npos ||
              !nlohmann::json::sax_parse(text, &reader),
          "load_safetensors: {}: the header is not a JSON object. Hint: is it a safetensors file?",
          path);
  std::unordered_set<std::string_view> names;
  for (const Entry& e : h.entries)
    fail_if(!names.insert(e.name).second, "load_safetensors: {} has two tensors named \"{}\".",
            path, e.name);
  std::vector<const Entry*> by_place;
  for (const Entry& e : h.entries) by_place.push_back(&e);
  std::ranges::sort(by_place, {}, [](const Entry* e) { return std::pair(e->begin, e->end); });
  uint64_t at = 0;
  for (const Entry* e : by_place) {
    if (e->begin != at) {
      fail(
          "load_safetensors: {}: the tensors must fill the file without gaps or overlaps; \"{}\" "
          "begins at {}, the one before ends at {}.",
          path, e->name, e->begin, at);
    }
    at = e->end;
  }
  fail_if(at != data_bytes, "load_safetensors: {} has {} bytes of data; its header names {}.", path,
          data_bytes, at);
  return h;
}

TensorFile load(Source in, const LoadOptions& options) {
  Header h = read_header(in);
  if (const auto format = h.metadata.find("format");
      !options.any_format && format != h.metadata.end() && format->second != "ramp") {
    const bool pt = format->second == "pt";
    fail(
        "load_safetensors: {} must be in ramp's format; its metadata say format: {}{}. Hint: {}"
        "with {{.any_format = true}} the tensors come as they lie.",
        in.name, format->second,
        pt ? " (PyTorch's: dense weights [out, in], convolutions [out, in, h, w]; ramp's are [in, "
             "out] and [h, w, in, out])"
           : "",
        pt ? "load_pytorch(); " : "");
  }
  std::vector<NamedTensor> tensors;
  for (const Entry& e : h.entries) {
    if (options.only && !options.only(e.name)) continue;
    fail_if(
        e.type->how == FileType::kOther,
        "load_safetensors: {}: \"{}\" must be of F64, F32, F16, BF16, I64 or a smaller integer; "
        "got {}. Hint: .only leaves it out; in Python, t.float() or t.long() before it is saved.",
        in.name, e.name, e.type->name);
    fail_if(e.shape.size() > Shape::kMaxRank,
            "load_safetensors: {}: \"{}\" has {} dimensions, more than 8.", in.name, e.name,
            e.shape.size());
    Shape shape;
    try {
      shape = Shape(e.shape);
    } catch (const Error&) {  // an empty one: [0, 2^40, 2^40]
      fail(
          "load_safetensors: {}: \"{}\" has a shape of more than 2^58 elements where it is not "
          "empty.",
          in.name, e.name);
    }
    Tensor t = Tensor::empty(shape, e.type->dtype);
    const uint64_t n = e.end - e.begin;
    if (e.type->convert) {
      std::vector<char> bytes(n);
      in.read(h.data_at + e.begin, n, bytes.data());
      e.type->convert(bytes.data(), t);
    } else {
      visit_dtype(t.dtype(),
                  [&]<typename T>(T) { in.read(h.data_at + e.begin, n, t.mutable_data<T>()); });
    }
    tensors.push_back({e.name, t});
  }
  return {"load_safetensors", in.name, std::move(h.metadata), std::move(tensors)};
}

// A model in several files, "model-00001-of-00003.safetensors", has an index that says which tensor
// is in which: "model.safetensors.index.json".
bool is_index(const std::string& path) { return path.ends_with(".json"); }

using Names = std::unordered_set<std::string>;

// The names that are wanted of each file.
std::map<std::string, Names> parts_of(const std::string& path,
                                      const std::function<bool(const std::string&)>& only) {
  const std::vector<uint8_t> bytes = read_bytes(path, "load_safetensors");
  const Json all = parse_json(std::string(bytes.begin(), bytes.end()), 8);
  fail_if(
      !all.is_object() || !all.contains("weight_map") || !all.at("weight_map").is_object(),
      "load_safetensors: {} must be an index of safetensors files, with a \"weight_map\". Hint: "
      "the name of the .safetensors file itself.",
      path);
  std::map<std::string, Names> parts;
  Names seen;
  for (const auto& [name, file] : all.at("weight_map").get_ref<const Json::object_t&>()) {
    fail_if(!seen.insert(name).second, "load_safetensors: {} names \"{}\" twice.", path, name);
    const std::string text = file.is_string() ? file.get<std::string>() : "";
    const std::filesystem::path part(text);
    // (An index is someone else's: it names no files but those beside it, and no index.)
    fail_if(text.empty() || part.filename() != part || is_index(text),
            "load_safetensors: {} must name a file in its own folder for \"{}\"; it has {}.", path,
            name, file.is_string() ? '"' + text + '"' : "no name");
    if (!only || only(name))
      parts[(std::filesystem::path(path).parent_path() / part).string()].insert(name);
  }
  return parts;
}

template <typename F>
void check_part(const std::string& path, const std::string& file, const Names& names, F has) {
  for (const std::string& name : names)
    fail_if(!has(name), "load_safetensors: {} must have \"{}\", as {} says; it has not.", file,
            name, path);
}

// Hands out the bytes of a file, piece by piece.
void write_file(const std::vector<NamedTensor>& tensors, const Metadata& metadata,
                const std::function<void(const void* data, size_t n)>& write) {
  // The data of 8-byte elements goes first, so that all of it is aligned.
  std::unordered_map<std::string_view, uint64_t> begin;
  std::vector<const Tensor*> data;
  uint64_t at = 0;
  for (const size_t size : {8, 4}) {
    for (const NamedTensor& t : tensors) {
      check_defined("save_safetensors", t.name, t.tensor);
      if (size_of(t.tensor.dtype()) != size) continue;
      if (t.name == "__metadata__" || !begin.emplace(t.name, at).second) {
        fail("save_safetensors: each tensor needs a name of its own; got \"{}\" twice or reserved.",
             t.name);
      }
      data.push_back(&t.tensor);
      at += static_cast<uint64_t>(t.tensor.numel()) * size;
    }
  }
  Metadata notes = metadata;
  notes.emplace("format", "ramp");
  std::string text;
  try {
    text = fmt::format("{{\"__metadata__\":{}", Json(notes).dump());
    for (const NamedTensor& t : tensors) {
      const Shape& s = t.tensor.shape();
      const uint64_t from = begin[t.name];
      text += fmt::format(R"(,{}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                          Json(t.name).dump(), name_in_file(t.tensor.dtype()),
                          Json(std::vector<int64_t>(s.begin(), s.end())).dump(), from,
                          from + static_cast<uint64_t>(s.numel()) * size_of(t.tensor.dtype()));
    }
    text += '}';
  } catch (const Json::exception&) {
    fail("save_safetensors: names and metadata must be UTF-8; got other bytes.");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data starts aligned
  const uint64_t length = text.size();
  fail_if(length > kMaxHeader, "save_safetensors: the names of all must fit 100 MB; got {} bytes.",
          length);
  write(&length, 8);
  write(text.data(), text.size());
  for (const Tensor* t : data) {
    visit_dtype(t->dtype(), [&]<typename T>(T) {
      write(t->data<T>(), static_cast<size_t>(t->numel()) * sizeof(T));
    });
  }
}

}  // namespace

void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const Metadata& metadata) {
  std::optional<NewFile> file;  // made when all is known to be right
  write_file(tensors, metadata, [&](const void* data, size_t n) {
    if (!file) file.emplace("save_safetensors", path);
    file->write(data, n);
  });
  file->finish();
}

std::vector<uint8_t> encode_safetensors(const std::vector<NamedTensor>& tensors,
                                        const Metadata& metadata) {
  std::vector<uint8_t> bytes;
  write_file(tensors, metadata, [&](const void* data, size_t n) {
    const uint8_t* p = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), p, p + n);
  });
  return bytes;
}

TensorFile load_safetensors(const std::string& path, const LoadOptions& options) {
  if (!is_index(path)) return load(Source(path), options);
  Metadata metadata;
  std::vector<NamedTensor> tensors;
  for (const auto& [file, names] : parts_of(path, options.only)) {
    const auto only = [&wanted = names](const std::string& name) { return wanted.contains(name); };
    const TensorFile part = load(Source(file), {options.any_format, only});
    check_part(path, file, names, [&](const auto& name) { return part.contains(name); });
    metadata = part.metadata();
    tensors.insert(tensors.end(), part.begin(), part.end());
  }
  return {"load_safetensors", path, std::move(metadata), std::move(tensors)};
}
TensorFile decode_safetensors(std::span<const uint8_t> bytes, const LoadOptions& options,
                              const std::string& name) {
  return load(Source(bytes, name), options);
}

TensorFileInfo inspect_safetensors(const std::string& path) {
  if (is_index(path)) {
    TensorFileInfo all;
    for (const auto& [file, names] : parts_of(path, nullptr)) {
      TensorFileInfo part = inspect_safetensors(file);
      std::unordered_set<std::string> found;
      for (TensorInfo& t : part.tensors)
        if (names.contains(t.name) && found.insert(t.name).second)
          all.tensors.push_back(std::move(t));
      check_part(path, file, names, [&](const auto& name) { return found.contains(name); });
      all.metadata = std::move(part.metadata);
    }
    return all;
  }
  Source in(path);
  Header h = read_header(in);
  TensorFileInfo info{std::move(h.metadata), {}};
  for (Entry& e : h.entries)
    info.tensors.push_back(
        {std::move(e.name), std::string(e.type->name), std::move(e.shape), e.end - e.begin});
  return info;
}

TensorFile::TensorFile(std::string op, std::string path, Metadata metadata,
                       std::vector<NamedTensor> tensors)
    : op_(std::move(op)),
      path_(std::move(path)),
      metadata_(std::move(metadata)),
      tensors_(std::move(tensors)) {
  for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const Tensor& TensorFile::operator[](std::string_view name) const {
  if (const auto found = index_.find(std::string(name)); found != index_.end()) {
    return tensors_[found->second].tensor;
  }
  std::string all;
  for (size_t i = 0; i < std::min<size_t>(8, tensors_.size()); ++i) {
    all += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", tensors_[i].name);
  }
  fail("{}: {} has no tensor \"{}\"; it has {}{}", op_, path_, name, all.empty() ? "none" : all,
       tensors_.size() > 8 ? ", ..." : ".");
}

void save_model(const std::string& path, ModuleBase& model) {
  save_safetensors(path, model.state());
}

std::vector<std::string> load_model(const std::string& path, ModuleBase& model,
                                    LoadStateOptions options) {
  const TensorFile file = load_safetensors(path);
  fail_if(!file.metadata().contains("format"),
          "load_model: {} must be of save_model(), which says how its weights lie; this file's "
          "metadata have no format. Hint: load_pytorch() for PyTorch's; "
          "model.load_state(load_safetensors(path)) takes them as they lie.",
          path);
  try {
    return model.load_state(file, options);
  } catch (const Error& error) {
    fail("load_model: {}: {}", path, error.what());
  }
}

}  // namespace ramp
