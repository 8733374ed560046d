#include "ramp/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
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
  uint64_t size;
  DType dtype;
  void (*convert)(const char* from, Tensor& to);  // null: the same bits
};
constexpr FileType kFileTypes[] = {
    {"F32", 4, f32, nullptr},
    {"F64", 8, f64, nullptr},
    {"I64", 8, i64, nullptr},
    {"F16", 2, f32, convert<Half, float>},
    {"BF16", 2, f32, convert<BFloat, float>},
    {"I32", 4, i64, convert<int32_t, int64_t>},
    {"U32", 4, i64, convert<uint32_t, int64_t>},
    {"I16", 2, i64, convert<int16_t, int64_t>},
    {"U16", 2, i64, convert<uint16_t, int64_t>},
    {"I8", 1, i64, convert<int8_t, int64_t>},
    {"U8", 1, i64, convert<uint8_t, int64_t>},
    {"BOOL", 1, i64, convert<uint8_t, int64_t>},
};

const FileType* find_type(const std::string& path, const std::string& name,
                          const std::string& text) {
  for (const FileType& t : kFileTypes)
    if (t.name == text) return &t;
  fail(
      "load_safetensors: {}: \"{}\" must be of F64, F32, F16, BF16, I64 or a smaller integer; got "
      "{}.",
      path, name, text);
}

struct Entry {
  std::string name;
  const FileType* type;
  Shape shape;
  uint64_t begin, end;
};

// One tensor of the header, checked against the data that the file holds.
Entry read_entry(const std::string& path, const std::string& name, const Json& value,
                 uint64_t data_bytes) {
  const auto bad = [&](const std::string& why) {
    fail("load_safetensors: {}: the header's entry \"{}\" {}.", path, name, why);
  };
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets") || !value["dtype"].is_string() ||
      !value["shape"].is_array() || !value["data_offsets"].is_array() ||
      value["data_offsets"].size() != 2) {
    bad("must have dtype, shape and two data_offsets");
  }
  const Json &dims = value["shape"], &offsets = value["data_offsets"];
  if (dims.size() > Shape::kMaxRank)
    bad(fmt::format("has {} dimensions, more than 8", dims.size()));
  std::vector<int64_t> shape;
  const FileType* type = find_type(path, name, value["dtype"].get<std::string>());
  for (const Json& d : dims) {
    if (!d.is_number_unsigned()) bad("has a dimension that is no natural number");
    const uint64_t n = d.get<uint64_t>();
    if (n > uint64_t{1} << 58) bad("is larger than the file");
    shape.push_back(static_cast<int64_t>(n));
  }
  uint64_t bytes = std::count(shape.begin(), shape.end(), 0) > 0 ? 0 : type->size;
  for (const int64_t d : shape) {
    const uint64_t n = static_cast<uint64_t>(d);
    if (n > 0 && bytes > data_bytes / n) bad("is larger than the file");
    bytes *= n;
  }
  for (const Json& o : offsets)
    if (!o.is_number_unsigned()) bad("has an offset that is no natural number");
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > data_bytes) {
    bad(fmt::format("lies at [{}, {}) of {} bytes", begin, end, data_bytes));
  }
  if (end - begin != bytes) {
    bad(fmt::format("needs {} bytes for its shape and has {}", bytes, end - begin));
  }
  try {
    return {name, type, Shape(shape), begin, end};
  } catch (const Error&) {  // an empty one: [0, 2^40, 2^40]
    bad("has a shape of more than 2^58 elements where it is not empty");
    throw;
  }
}

}  // namespace

void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const Metadata& metadata) {
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

  NewFile file("save_safetensors", path);
  file.write(&length, 8);
  file.write(text.data(), text.size());
  for (const Tensor* t : data) {
    visit_dtype(t->dtype(), [&]<typename T>(T) {
      file.write(t->data<T>(), static_cast<size_t>(t->numel()) * sizeof(T));
    });
  }
  file.finish();
}

TensorFile load_safetensors(const std::string& path, const LoadOptions& options) {
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) {
    fail("load_safetensors: cannot open {}: {}. Hint: is the path right?", path,
         error ? error.message() : std::strerror(errno));
  }
  const auto read = [&](void* to, uint64_t n) {
    if (!in.read(static_cast<char*>(to), static_cast<std::streamsize>(n))) {
      fail("load_safetensors: {} ended while it was read.", path);
    }
  };
  if (file_bytes < 8) {
    fail("load_safetensors: {} has {} bytes, too few for a header.", path, file_bytes);
  }
  uint64_t length = 0;
  read(&length, 8);
  if (length > kMaxHeader || length > file_bytes - 8) {
    fail("load_safetensors: {} says its header has {} bytes; the file has {}.", path, length,
         file_bytes);
  }
  std::string text(length, '\0');
  read(text.data(), length);
  const Json header = Json::parse(text, nullptr, false);
  if (header.is_discarded() || !header.is_object()) {
    fail("load_safetensors: {}: the header is not a JSON object. Hint: is it a safetensors file?",
         path);
  }

  const uint64_t data_at = 8 + length, data_bytes = file_bytes - data_at;
  std::vector<Entry> entries;
  Metadata metadata;
  std::unordered_set<std::string_view> names;
  for (const auto& [name, value] : header.get_ref<const Json::object_t&>()) {
    if (!names.insert(name).second) {
      fail("load_safetensors: {} has two tensors named \"{}\".", path, name);
    }
    if (name != "__metadata__") {
      entries.push_back(read_entry(path, name, value, data_bytes));
      continue;
    }
    for (const auto& [key, note] : value.items()) {
      if (!value.is_object() || !note.is_string()) {
        fail("load_safetensors: {}: the metadata must be text by name.", path);
      }
      metadata[key] = note.get<std::string>();
    }
  }
  if (const auto format = metadata.find("format");
      !options.any_format && format != metadata.end() && format->second != "ramp") {
    fail(
        "load_safetensors: {} must be in ramp's format; its metadata say format: {}{}. Hint: with "
        "{{.any_format = true}} the tensors come as they lie, to be transposed by their names.",
        path, format->second,
        format->second == "pt" ? " (PyTorch's: dense weights [out, in], convolutions [out, in, h, "
                                 "w]; ramp's are [in, out] and [h, w, in, out])"
                               : "");
  }
  std::vector<Entry> by_place = entries;
  std::sort(by_place.begin(), by_place.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Entry& e : by_place) {
    if (e.begin != at) {
      fail(
          "load_safetensors: {}: the tensors must fill the file without gaps or overlaps; \"{}\" "
          "begins at {}, the one before ends at {}.",
          path, e.name, e.begin, at);
    }
    at = e.end;
  }
  if (at != data_bytes) {
    fail("load_safetensors: {} has {} bytes of data; its header names {}.", path, data_bytes, at);
  }
  std::vector<NamedTensor> tensors;
  for (const Entry& e : entries) {
    Tensor t = Tensor::empty(e.shape, e.type->dtype);
    in.seekg(static_cast<std::streamoff>(data_at + e.begin));
    if (e.type->convert) {
      std::vector<char> bytes(e.end - e.begin);
      read(bytes.data(), bytes.size());
      e.type->convert(bytes.data(), t);
    } else {
      visit_dtype(t.dtype(), [&]<typename T>(T) { read(t.mutable_data<T>(), e.end - e.begin); });
    }
    tensors.push_back({e.name, t});
  }
  return {"load_safetensors", path, std::move(metadata), std::move(tensors)};
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
