#include "ramp/io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_set>

namespace ramp {
namespace {

// Keeps the order of the file.
using Json = nlohmann::ordered_json;

// The format's own limit.
constexpr uint64_t kMaxHeader = 100'000'000;

[[noreturn]] void fail_system(const char* what, const std::string& path) {
  fail("save_safetensors: {} {}: {}. Hint: the folder must exist, be writable and have room.", what,
       path, std::strerror(errno));
}

// A file under a name of its own until it is finished; then it takes the place of `path`.
class NewFile {
 public:
  explicit NewFile(const std::string& path) : path_(path), temporary_(path + ".XXXXXX") {
    fd_ = mkstemp(temporary_.data());
    if (fd_ < 0) fail_system("cannot create", path);
    // mkstemp's file is for its owner alone; what replaces a file should be as readable as any.
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(fd_, 0666 & ~mask);
  }
  ~NewFile() {
    if (fd_ >= 0) close(fd_);
    if (!done_) unlink(temporary_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(const void* data, size_t n) {
    const char* p = static_cast<const char*>(data);
    while (n > 0) {
      const ssize_t written = ::write(fd_, p, n);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_system("cannot write", path_);
      p += written;
      n -= static_cast<size_t>(written);
    }
  }
  void finish() {
    if (fsync(fd_) != 0) fail_system("cannot flush", path_);
    if (close(std::exchange(fd_, -1)) != 0) fail_system("cannot close", path_);
    if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_system("cannot rename to", path_);
    done_ = true;
    // The new name itself reaches the disk with the folder.
    const size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    if (const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY); fd >= 0) {
      fsync(fd);
      close(fd);
    }
  }

 private:
  std::string path_, temporary_;
  int fd_;
  bool done_ = false;
};

const char* dtype_text(DType t) { return t == f32 ? "F32" : t == f64 ? "F64" : "I64"; }

DType dtype_from(const std::string& path, const std::string& name, const std::string& text) {
  for (const DType t : {f32, f64, i64})
    if (text == dtype_text(t)) return t;
  fail("load_safetensors: {}: \"{}\" must be F32, F64 or I64; got {}.", path, name, text);
}

struct Entry {
  std::string name;
  DType dtype;
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
  if (dims.size() > Shape::kMaxRank) bad(fmt::format("has {} dimensions, more than 8", dims.size()));
  std::vector<int64_t> shape;
  uint64_t bytes = size_of(dtype_from(path, name, value["dtype"].get<std::string>()));
  for (const Json& d : dims) {
    if (!d.is_number_unsigned()) bad("has a dimension that is no natural number");
    const uint64_t n = d.get<uint64_t>();
    if (n > uint64_t{1} << 58 || (n > 0 && bytes > data_bytes / n + 8)) {
      bad("is larger than the file");
    }
    bytes *= n;
    shape.push_back(static_cast<int64_t>(n));
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
  return {name, dtype_from(path, name, value["dtype"].get<std::string>()), Shape(shape), begin, end};
}

}  // namespace

void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors) {
  Json header = Json::object();
  uint64_t at = 0;
  for (const NamedTensor& t : tensors) {
    check_defined("save_safetensors", t.name, t.tensor);
    if (header.contains(t.name) || t.name == "__metadata__") {
      fail("save_safetensors: each tensor needs a name of its own; got \"{}\" twice or reserved.",
           t.name);
    }
    const uint64_t bytes = static_cast<uint64_t>(t.tensor.numel()) * size_of(t.tensor.dtype());
    const Shape& s = t.tensor.shape();
    header[t.name] = {{"dtype", dtype_text(t.tensor.dtype())},
                      {"shape", std::vector<int64_t>(s.begin(), s.end())},
                      {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data starts aligned
  const uint64_t length = text.size();
  unsigned char little_endian[8];
  for (int i = 0; i < 8; ++i) little_endian[i] = static_cast<unsigned char>(length >> (8 * i));

  NewFile file(path);
  file.write(little_endian, 8);
  file.write(text.data(), text.size());
  for (const NamedTensor& t : tensors) {
    visit_dtype(t.tensor.dtype(), [&]<typename T>(T) {
      file.write(t.tensor.data<T>(), static_cast<size_t>(t.tensor.numel()) * sizeof(T));
    });
  }
  file.finish();
}

std::vector<NamedTensor> load_safetensors(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const std::streamoff end = in ? static_cast<std::streamoff>(in.tellg()) : -1;
  if (end < 0) fail("load_safetensors: cannot open {}. Hint: is the path right?", path);
  const uint64_t file_bytes = static_cast<uint64_t>(end);
  if (file_bytes < 8) fail("load_safetensors: {} has {} bytes, too few for a header.", path, end);
  in.seekg(0);
  unsigned char little_endian[8];
  in.read(reinterpret_cast<char*>(little_endian), 8);
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | little_endian[i];
  if (length > kMaxHeader || length > file_bytes - 8) {
    fail("load_safetensors: {} says its header has {} bytes; the file has {}.", path, length, end);
  }
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  // Of two entries with one name a parser keeps one: they are looked for while it reads.
  std::unordered_set<std::string> names;
  std::string twice;
  const Json header = Json::parse(
      text,
      [&](int depth, Json::parse_event_t event, Json& key) {
        if (depth == 1 && event == Json::parse_event_t::key &&
            !names.insert(key.get<std::string>()).second) {
          twice = key.get<std::string>();
        }
        return true;
      },
      false);
  if (header.is_discarded() || !header.is_object()) {
    fail("load_safetensors: {}: the header is not a JSON object. Hint: is it a safetensors file?",
         path);
  }
  if (!twice.empty()) fail("load_safetensors: {} has two tensors named \"{}\".", path, twice);

  const uint64_t data_at = 8 + length, data_bytes = file_bytes - data_at;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") entries.push_back(read_entry(path, name, value, data_bytes));
  }
  std::vector<Entry> by_place = entries;
  std::sort(by_place.begin(), by_place.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Entry& e : by_place) {
    if (e.begin != at) {
      fail("load_safetensors: {}: the tensors must fill the file without gaps or overlaps; \"{}\" "
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
    Tensor t = Tensor::empty(e.shape, e.dtype);
    in.seekg(static_cast<std::streamoff>(data_at + e.begin));
    visit_dtype(e.dtype, [&]<typename T>(T) {
      in.read(reinterpret_cast<char*>(t.mutable_data<T>()),
              static_cast<std::streamsize>(e.end - e.begin));
    });
    if (!in) fail("load_safetensors: {} ended while \"{}\" was read.", path, e.name);
    tensors.push_back({e.name, t});
  }
  return tensors;
}

void save_model(const std::string& path, Module& model) { save_safetensors(path, model.state()); }

void load_model(const std::string& path, Module& model) {
  model.load_state(load_safetensors(path));
}

}  // namespace ramp
