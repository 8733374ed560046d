#include "ramp/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>

#include "ramp/data/new_file.h"
#include "ramp/io/half.h"

namespace ramp {
namespace {

// A JSON object as it is read: all entries in their order, two of one name too. (The library's own
// ordered map looks through all of them for each new one.)
template <typename Key, typename T, typename Less, typename Allocator>
struct Entries : nlohmann::ordered_map<Key, T, Less, Allocator> {
  using nlohmann::ordered_map<Key, T, Less, Allocator>::ordered_map;
  T& operator[](const Key& key) {
    this->emplace_back(key, T{});
    return this->back().second;
  }
};
using Json = nlohmann::basic_json<Entries>;

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
  const FileType* type;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

// One tensor of the header, checked against the data that the file holds.
Entry read_entry(const std::string& path, const std::string& name, const Json& value,
                 uint64_t data_bytes) {
  const auto bad = [&](const std::string& why) {
    fail("load_safetensors: {}: the header's entry \"{}\" {}.", path, name, why);
  };
  const Json *dtype = nullptr, *dims = nullptr, *offsets = nullptr;
  if (value.is_object()) {
    for (const auto& [key, v] : value.get_ref<const Json::object_t&>()) {
      const Json** const part = key == "dtype"          ? &dtype
                                : key == "shape"        ? &dims
                                : key == "data_offsets" ? &offsets
                                                        : nullptr;
      if (part && *part) bad("has " + key + " twice");
      if (part) *part = &v;
    }
  }
  if (!dtype || !dims || !offsets || !dtype->is_string() || !dims->is_array() ||
      !offsets->is_array() || offsets->size() != 2) {
    bad("must have dtype, shape and two data_offsets");
  }
  const std::string& type_name = dtype->get_ref<const std::string&>();
  const auto type = std::ranges::find(kFileTypes, type_name, &FileType::name);
  if (type == std::end(kFileTypes))
    bad(fmt::format("is of \"{}\", which is no dtype of the format", type_name));
  std::vector<int64_t> shape;
  for (const Json& d : *dims) {
    if (!d.is_number_unsigned()) bad("has a dimension that is no natural number");
    const uint64_t n = d.get<uint64_t>();
    if (n > uint64_t{1} << 58) bad("is larger than the file");
    shape.push_back(static_cast<int64_t>(n));
  }
  uint64_t bits = std::ranges::count(shape, 0) > 0 ? 0 : type->bits;
  for (const int64_t d : shape) {
    const uint64_t n = static_cast<uint64_t>(d);
    if (n > 0 && bits > 8 * data_bytes / n) bad("is larger than the file");
    bits *= n;
  }
  if (bits % 8 != 0) bad("does not end with a byte");
  const uint64_t bytes = bits / 8;
  for (const Json& o : *offsets)
    if (!o.is_number_unsigned()) bad("has an offset that is no natural number");
  const uint64_t begin = (*offsets)[0].get<uint64_t>(), end = (*offsets)[1].get<uint64_t>();
  if (begin > end || end > data_bytes)
    bad(fmt::format("lies at [{}, {}) of {} bytes", begin, end, data_bytes));
  if (end - begin != bytes)
    bad(fmt::format("needs {} bytes for its shape and has {}", bytes, end - begin));
  return {name, &*type, std::move(shape), begin, end};
}

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

// Whether anything lies deeper than the numbers of a shape, which would take much memory. (Parsed
// with a callback that says so, a header takes time that grows with the square of its entries.)
bool is_deep(const std::string& json) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') quoted = !quoted;
    if (quoted && c == '\\') ++i;
    if (quoted) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > 3) return true;
  }
  return false;
}

struct Header {
  uint64_t data_at = 0;
  Metadata metadata = {};
  std::vector<Entry> entries = {};
};

Header read_header(Source& in) {
  const std::string& path = in.name;
  fail_if(in.size < 8, "load_safetensors: {} has {} bytes, too few for a header.", path, in.size);
  uint64_t length = 0;
  in.read(0, 8, &length);
  fail_if(length > in.size - 8,
          "load_safetensors: {} says its header has {} bytes; the file has {}.", path, length,
          in.size);
  fail_if(length > kMaxHeader,
          "load_safetensors: {} has a header of {} bytes; the format has 100 MB.", path, length);
  std::string text(length, '\0');
  in.read(8, length, text.data());
  const auto no_json = [&] {
    fail("load_safetensors: {}: the header is not a JSON object. Hint: is it a safetensors file?",
         path);
  };
  // (The parser takes a NUL for the end.)
  if (!text.starts_with('{') || text.find('\0') != text.npos) no_json();
  fail_if(is_deep(text), "load_safetensors: {}: the header is nested too deep.", path);
  const Json header = Json::parse(text, nullptr, false);
  if (header.is_discarded() || !header.is_object()) no_json();

  Header h{8 + length};
  const uint64_t data_bytes = in.size - h.data_at;
  std::unordered_set<std::string_view> names;
  for (const auto& [name, value] : header.get_ref<const Json::object_t&>()) {
    if (!names.insert(name).second)
      fail("load_safetensors: {} has two tensors named \"{}\".", path, name);
    if (name != "__metadata__") {
      h.entries.push_back(read_entry(path, name, value, data_bytes));
      continue;
    }
    const auto bad = [&] {
      fail("load_safetensors: {}: the metadata must be text by name.", path);
    };
    if (!value.is_object()) bad();
    for (const auto& [key, note] : value.get_ref<const Json::object_t&>())
      if (!note.is_string() || !h.metadata.emplace(key, note.get<std::string>()).second) bad();
  }
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
        "got {}.",
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
  return load(Source(path), options);
}
TensorFile decode_safetensors(std::span<const uint8_t> bytes, const LoadOptions& options,
                              const std::string& name) {
  return load(Source(bytes, name), options);
}

TensorFileInfo inspect_safetensors(const std::string& path) {
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
  try {
    return model.load_state(file, options);
  } catch (const Error& error) {
    fail("load_model: {}: {}", path, error.what());
  }
}

}  // namespace ramp
