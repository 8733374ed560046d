#include "ramp/io/npy.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <numeric>
#include <unordered_set>

#include "ramp/autograd/ops_shape.h"
#include "ramp/data/new_file.h"
#include "ramp/data/read_file.h"
#include "ramp/io/half.h"

namespace ramp {
namespace {

static_assert(std::endian::native == std::endian::little);

using Bytes = std::span<const uint8_t>;

template <typename T>
T little(Bytes bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// ---- one array ----

template <typename From, typename To>
void convert(Bytes bytes, bool swap, Tensor& to) {
  To* y = to.mutable_data<To>();
  for (size_t i = 0, n = static_cast<size_t>(to.numel()); i < n; ++i) {
    uint8_t one[sizeof(From)];
    std::memcpy(one, bytes.data() + i * sizeof(From), sizeof(From));
    if (swap) std::reverse(one, one + sizeof(From));
    From v;
    std::memcpy(&v, one, sizeof(From));
    y[i] = static_cast<To>(v);
  }
}

struct Bool {
  uint8_t byte;
  explicit operator int64_t() const { return byte != 0; }
};

struct ElementType {
  std::string_view name;
  size_t size;
  DType dtype;
  void (*convert)(Bytes bytes, bool swap, Tensor& to);
};
constexpr ElementType kElementTypes[] = {
    {"f2", 2, f32, convert<Half, float>},       {"f4", 4, f32, convert<float, float>},
    {"f8", 8, f64, convert<double, double>},    {"b1", 1, i64, convert<Bool, int64_t>},
    {"i1", 1, i64, convert<int8_t, int64_t>},   {"i2", 2, i64, convert<int16_t, int64_t>},
    {"i4", 4, i64, convert<int32_t, int64_t>},  {"i8", 8, i64, convert<int64_t, int64_t>},
    {"u1", 1, i64, convert<uint8_t, int64_t>},  {"u2", 2, i64, convert<uint16_t, int64_t>},
    {"u4", 4, i64, convert<uint32_t, int64_t>},
};

// The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class Header {
 public:
  std::string descr;
  bool fortran = false;
  std::vector<int64_t> shape;

  Header(std::string_view text, const std::string& name) : text_(text), name_(name) {
    expect('{');
    bool seen[3] = {};
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      const size_t k = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : 3;
      if (k == 3 || seen[k]) bad();
      seen[k] = true;
      if (k == 0) read_descr();
      if (k == 1) fortran = read_bool();
      if (k == 2) read_shape();
      if (!accept(',') && !at('}')) bad();
    }
    skip();
    if (at_ != text_.size() || !seen[0] || !seen[1] || !seen[2]) bad();
  }

 private:
  [[noreturn]] void bad() const {
    fail("load_npy: {}: the header is not that of an array.", name_);
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool at(char c) {
    skip();
    return at_ < text_.size() && text_[at_] == c;
  }
  bool accept(char c) { return at(c) && (++at_, true); }
  void expect(char c) {
    if (!accept(c)) bad();
  }
  std::string quoted() {
    const char quote = at('"') ? '"' : '\'';
    expect(quote);
    const size_t end = text_.find(quote, at_);
    if (end == text_.npos) bad();
    const std::string s(text_.substr(at_, end - at_));
    at_ = end + 1;
    return s;
  }
  void read_descr() {
    fail_if(at('['), "load_npy: {} is a structured array. Hint: save its fields one by one.",
            name_);
    descr = quoted();
  }
  bool read_bool() {
    skip();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    bad();
  }
  void read_shape() {
    expect('(');
    while (!accept(')')) {
      skip();
      int64_t n = 0;
      const size_t begin = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        n = 10 * n + (text_[at_] - '0');
        if (n > kMaxElements) bad();
      }
      if (at_ == begin) bad();
      accept('L');  // of Python 2
      shape.push_back(n);
      fail_if(shape.size() > Shape::kMaxRank,
              "load_npy: {} must have at most 8 dimensions; it has more.", name_);
      if (!accept(',') && !at(')')) bad();
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  const std::string& name_;
};

std::string header_of(const Tensor& x) {
  check_defined("save_npy", "x", x);
  std::string shape;
  for (const int64_t d : x.shape()) shape += fmt::format("{}{}", shape.empty() ? "" : ", ", d);
  if (x.rank() == 1) shape += ",";
  const char* descr = x.dtype() == f32 ? "<f4" : x.dtype() == f64 ? "<f8" : "<i8";
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  text.resize((10 + text.size() + 1 + 63) / 64 * 64 - 11, ' ');  // the data starts aligned
  text += '\n';
  std::string head("\x93NUMPY\1\0", 8);
  head += static_cast<char>(text.size() & 255);
  head += static_cast<char>(text.size() >> 8);
  return head + text;
}

Bytes data_of(const Tensor& x) {
  return visit_dtype(x.dtype(), [&]<typename T>(T) {
    return Bytes(reinterpret_cast<const uint8_t*>(x.data<T>()),
                 static_cast<size_t>(x.numel()) * sizeof(T));
  });
}
Bytes bytes_of(const std::string& s) {
  return Bytes(reinterpret_cast<const uint8_t*>(s.data()), s.size());
}

// ---- the archive ----

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;

struct ZipEntry {
  std::string name;
  uint16_t flags = 0, method = 0;
  uint32_t crc = 0;
  uint64_t packed = 0, size = 0, at = 0;  // bytes in the archive, of the array; its local header
  uint64_t data = 0;                      // where the bytes begin
};

class Zip {
 public:
  Zip(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {
    fail_if(bytes.size() > 6 && std::memcmp(bytes.data(), "\x93NUMPY", 6) == 0,
            "load_npz: {} must be an archive; it is one array. Hint: load_npy().", name);
    const size_t end = find_end();
    uint64_t count = little<uint16_t>(bytes_, end + 10), at = little<uint32_t>(bytes_, end + 16);
    uint64_t directory_end = end;
    if (end >= 20 && little<uint32_t>(bytes_, end - 20) == kEnd64Locator) {
      const uint64_t large = little<uint64_t>(bytes_, end - 12);
      if (end < 76 || large > end - 76 ||
          little<uint32_t>(bytes_, static_cast<size_t>(large)) != kEnd64) {
        bad("its directory is not where it says");
      }
      count = little<uint64_t>(bytes_, static_cast<size_t>(large) + 32);
      at = little<uint64_t>(bytes_, static_cast<size_t>(large) + 48);
      directory_end = large;
    }
    if (at > directory_end || count > (directory_end - at) / 46) bad("its directory is cut");
    const uint64_t directory = at;
    for (uint64_t i = 0; i < count; ++i) entries_.push_back(read_entry(at, directory_end));
    check_overlaps(directory);
  }

  const std::vector<ZipEntry>& entries() const { return entries_; }

  /// The bytes of an entry.
  std::vector<uint8_t> unpack(const ZipEntry& e) const {
    const Bytes packed = bytes_.subspan(static_cast<size_t>(e.data), static_cast<size_t>(e.packed));
    std::vector<uint8_t> out(static_cast<size_t>(e.size));
    if (e.method == 0) {
      std::copy(packed.begin(), packed.end(), out.begin());
    } else {
      inflate_all(e, packed, out);
    }
    uLong crc = crc32(0, nullptr, 0);
    for (size_t i = 0; i < out.size(); i += kPiece)
      crc = crc32(crc, out.data() + i, static_cast<uInt>(std::min(kPiece, out.size() - i)));
    if (crc != e.crc) bad(fmt::format("\"{}\" is damaged: another CRC", e.name));
    return out;
  }

 private:
  static constexpr size_t kPiece = size_t{1} << 30;

  [[noreturn]] void bad(const std::string& why) const {
    fail("load_npz: {}: {}. Hint: is it whole, and of np.savez?", name_, why);
  }

  size_t find_end() const {
    if (bytes_.size() < 22) bad("it has too few bytes for an archive");
    for (size_t at = bytes_.size() - 22, k = 0; k <= 65535; --at, ++k) {
      if (little<uint32_t>(bytes_, at) == kEnd &&
          little<uint16_t>(bytes_, at + 20) == bytes_.size() - 22 - at)
        return at;
      if (at == 0) break;
    }
    bad("it does not end as an archive does");
  }

  // The entry of the directory at `at`, which moves behind it.
  ZipEntry read_entry(uint64_t& at, uint64_t end) const {
    if (at > end || end - at < 46 || little<uint32_t>(bytes_, static_cast<size_t>(at)) != kCentral)
      bad("its directory is cut");
    const size_t i = static_cast<size_t>(at);
    ZipEntry e;
    e.flags = little<uint16_t>(bytes_, i + 8);
    e.method = little<uint16_t>(bytes_, i + 10);
    e.crc = little<uint32_t>(bytes_, i + 16);
    e.packed = little<uint32_t>(bytes_, i + 20);
    e.size = little<uint32_t>(bytes_, i + 24);
    const size_t name = little<uint16_t>(bytes_, i + 28), extra = little<uint16_t>(bytes_, i + 30);
    const size_t comment = little<uint16_t>(bytes_, i + 32);
    e.at = little<uint32_t>(bytes_, i + 42);
    if (name + extra + comment > end - at - 46) bad("its directory is cut");
    e.name.assign(bytes_.begin() + static_cast<ptrdiff_t>(i + 46),
                  bytes_.begin() + static_cast<ptrdiff_t>(i + 46 + name));
    take_large_sizes(e, bytes_.subspan(i + 46 + name, extra));
    at += 46 + name + extra + comment;

    if (e.flags & 1) bad(fmt::format("\"{}\" is encrypted", e.name));
    if (e.method != 0 && e.method != 8)
      bad(fmt::format("\"{}\" is packed by method {}, neither stored nor deflated", e.name,
                      e.method));
    if (e.at > bytes_.size() || bytes_.size() - e.at < 30 ||
        little<uint32_t>(bytes_, static_cast<size_t>(e.at)) != kLocal)
      bad(fmt::format("\"{}\" is not where the directory says", e.name));
    const size_t local = static_cast<size_t>(e.at);
    e.data =
        e.at + 30 + little<uint16_t>(bytes_, local + 26) + little<uint16_t>(bytes_, local + 28);
    if (e.data > bytes_.size() || e.packed > bytes_.size() - e.data)
      bad(fmt::format("\"{}\" is cut", e.name));
    // Deflate makes at most 1032 bytes of one.
    if (e.method == 0 ? e.size != e.packed : e.size / 1032 > e.packed)
      bad(fmt::format("\"{}\" cannot have {} bytes, packed in {}", e.name, e.size, e.packed));
    return e;
  }

  // Sizes beyond 32 bits are in an extra field.
  void take_large_sizes(ZipEntry& e, Bytes extra) const {
    while (extra.size() >= 4) {
      const size_t id = little<uint16_t>(extra, 0), n = little<uint16_t>(extra, 2);
      if (n > extra.size() - 4) return;
      if (id == 1) {
        size_t at = 4;
        for (uint64_t* value : {&e.size, &e.packed, &e.at}) {
          if (*value != 0xFFFFFFFF) continue;
          if (at + 8 > 4 + n) bad("its directory is damaged");
          *value = little<uint64_t>(extra, at);
          at += 8;
        }
      }
      extra = extra.subspan(4 + n);
    }
  }

  // No byte is read twice, so that all takes time in proportion to the file.
  void check_overlaps(uint64_t directory) const {
    std::vector<const ZipEntry*> by_place;
    for (const ZipEntry& e : entries_) by_place.push_back(&e);
    std::ranges::sort(by_place, {}, &ZipEntry::at);
    for (size_t i = 0; i < by_place.size(); ++i) {
      const ZipEntry& e = *by_place[i];
      const uint64_t end = i + 1 < by_place.size() ? by_place[i + 1]->at : directory;
      if (e.data + e.packed > end) bad(fmt::format("\"{}\" overlaps what follows", e.name));
    }
  }

  void inflate_all(const ZipEntry& e, Bytes packed, std::vector<uint8_t>& out) const {
    z_stream z{};
    if (inflateInit2(&z, -15) != Z_OK) bad("zlib has no memory");
    int code = Z_OK;
    size_t in_at = 0, out_at = 0;
    uint8_t none = 0;
    while (code == Z_OK) {
      const size_t n = std::min(kPiece, packed.size() - in_at);
      const size_t room = std::min(kPiece, out.size() - out_at);
      z.next_in = const_cast<uint8_t*>(packed.data()) + in_at;
      z.avail_in = static_cast<uInt>(n);
      z.next_out = out.empty() ? &none : out.data() + out_at;
      z.avail_out = static_cast<uInt>(room);
      code = inflate(&z, Z_NO_FLUSH);
      in_at += n - z.avail_in;
      out_at += room - z.avail_out;
    }
    inflateEnd(&z);
    if (code != Z_STREAM_END || in_at != packed.size() || out_at != out.size())
      bad(fmt::format("\"{}\" is damaged", e.name));
  }

  Bytes bytes_;
  const std::string& name_;
  std::vector<ZipEntry> entries_;
};

std::vector<uint8_t> deflated(std::initializer_list<Bytes> parts) {
  z_stream z{};
  fail_if(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK,
          "save_npz: zlib has no memory.");
  std::vector<uint8_t> out(1 << 12);
  size_t n = 0;
  for (const Bytes& part : parts) {  // each below 4 GB
    z.next_in = const_cast<uint8_t*>(part.data());
    z.avail_in = static_cast<uInt>(part.size());
    const bool last = &part == parts.end() - 1;
    for (int code = Z_OK; z.avail_in > 0 || (last && code != Z_STREAM_END);) {
      if (n == out.size()) out.resize(2 * n);
      const size_t room = std::min<size_t>(out.size() - n, 1 << 30);
      z.next_out = out.data() + n;
      z.avail_out = static_cast<uInt>(room);
      code = deflate(&z, last ? Z_FINISH : Z_NO_FLUSH);
      n += room - z.avail_out;
    }
  }
  deflateEnd(&z);
  out.resize(n);
  return out;
}

// Little-endian numbers, one after the other.
class Record {
 public:
  Record& u16(uint64_t v) { return put(v, 2); }
  Record& u32(uint64_t v) { return put(v, 4); }
  Record& text(const std::string& s) { return bytes_ += s, *this; }
  const std::string& bytes() const { return bytes_; }

 private:
  Record& put(uint64_t v, int n) {
    for (int i = 0; i < n; ++i) bytes_ += static_cast<char>(v >> (8 * i) & 255);
    return *this;
  }
  std::string bytes_;
};

}  // namespace

Tensor decode_npy(Bytes bytes, const std::string& name) {
  fail_if(
      bytes.size() < 10 || std::memcmp(bytes.data(), "\x93NUMPY", 6) != 0,
      "load_npy: {} must be a .npy file; it does not begin as one.{}", name,
      bytes.size() > 4 && std::memcmp(bytes.data(), "PK\3\4", 4) == 0 ? " Hint: load_npz()." : "");
  const int version = bytes[6];
  fail_if(version < 1 || version > 3, "load_npy: {} must be of format version 1 to 3; got {}.",
          name, version);
  fail_if(version > 1 && bytes.size() < 12, "load_npy: {} is cut.", name);
  const uint64_t length = version == 1 ? little<uint16_t>(bytes, 8) : little<uint32_t>(bytes, 8);
  const size_t head = version == 1 ? 10 : 12;
  fail_if(length > bytes.size() - head, "load_npy: {} says its header has {} bytes; it has {}.",
          name, length, bytes.size() - head);
  const Header header(std::string_view(reinterpret_cast<const char*>(bytes.data()) + head,
                                       static_cast<size_t>(length)),
                      name);
  const Bytes data = bytes.subspan(head + static_cast<size_t>(length));

  const std::string& d = header.descr;
  const bool ordered = !d.empty() && std::string_view("<>|=").find(d[0]) != std::string_view::npos;
  const auto type = std::ranges::find(kElementTypes, std::string_view(d).substr(ordered ? 1 : 0),
                                      &ElementType::name);
  fail_if(type == std::end(kElementTypes),
          "load_npy: {} must be of f2, f4, f8, b1, i1 .. i8 or u1 .. u4; it is of '{}'{}. Hint: "
          "x.astype(np.float32) in Python.",
          name, d, d.find('O') != d.npos ? ", Python objects" : "");
  std::vector<int64_t> dims = header.shape;
  if (header.fortran) std::ranges::reverse(dims);
  Shape shape;
  try {
    shape = Shape(dims);
  } catch (const Error&) {
    fail("load_npy: {} has a shape of too many elements.", name);
  }
  const uint64_t n = static_cast<uint64_t>(shape.numel());
  fail_if(n > data.size() / type->size || n * type->size != data.size(),
          "load_npy: {} must have {} elements of {} bytes; it has {} bytes of data.{}", name, n,
          type->size, data.size(),
          n < data.size() ? " Hint: more arrays than one are a .npz file." : " Is it cut?");
  Tensor x = Tensor::empty(shape, type->dtype);
  type->convert(data, d[0] == '>', x);
  if (!header.fortran || shape.rank() < 2) return x;
  std::vector<int> axes(static_cast<size_t>(shape.rank()));
  std::iota(axes.rbegin(), axes.rend(), 0);
  return permute(x, axes);
}

Tensor load_npy(const std::string& path) { return decode_npy(read_bytes(path, "load_npy"), path); }

std::vector<uint8_t> encode_npy(const Tensor& x) {
  const std::string head = header_of(x);
  std::vector<uint8_t> bytes(head.begin(), head.end());
  const Bytes data = data_of(x);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

void save_npy(const std::string& path, const Tensor& x) {
  const std::string head = header_of(x);
  const Bytes data = data_of(x);
  NewFile file("save_npy", path);
  file.write(head.data(), head.size());
  file.write(data.data(), data.size());
  file.finish();
}

TensorFile decode_npz(Bytes bytes, const std::string& name) {
  const Zip zip(bytes, name);
  std::vector<NamedTensor> tensors;
  std::unordered_set<std::string> seen;
  for (const ZipEntry& e : zip.entries()) {
    fail_if(!e.name.ends_with(".npy"), "load_npz: {} must hold arrays; \"{}\" is none.{}", name,
            e.name,
            e.name.ends_with("/data.pkl")
                ? " Hint: it is of torch.save; np.savez(path, **{k: v.numpy() for k, v in "
                  "state.items()}) in Python."
                : "");
    const std::string key = e.name.substr(0, e.name.size() - 4);
    fail_if(!seen.insert(key).second, "load_npz: {} has two arrays named \"{}\".", name, key);
    tensors.push_back({key, decode_npy(zip.unpack(e), fmt::format("{}[\"{}\"]", name, key))});
  }
  return {"load_npz", name, {}, std::move(tensors)};
}

TensorFile load_npz(const std::string& path) {
  return decode_npz(read_bytes(path, "load_npz"), path);
}

void save_npz(const std::string& path, const std::vector<NamedTensor>& tensors,
              const SaveNpzOptions& options) {
  constexpr uint64_t kMax = 0xFFFFFFFF;
  fail_if(tensors.size() >= 65535, "save_npz: expected fewer than 65535 arrays; got {}.",
          tensors.size());
  std::unordered_set<std::string> seen;
  for (const NamedTensor& t : tensors) {
    check_defined("save_npz", t.name, t.tensor);
    fail_if(t.name.empty() || t.name.size() > 65000 || !seen.insert(t.name).second,
            "save_npz: each array needs a name of its own, of 1 to 65000 bytes; got \"{}\"{}.",
            t.name.substr(0, 100), t.name.empty() || t.name.size() > 65000 ? "" : " twice");
  }
  NewFile file("save_npz", path);
  uint64_t at = 0;
  const auto write = [&](Bytes bytes) {
    file.write(bytes.data(), bytes.size());
    at += bytes.size();
  };
  std::string directory;
  for (const NamedTensor& t : tensors) {
    const std::string head = header_of(t.tensor), name = t.name + ".npy";
    const Bytes data = data_of(t.tensor);
    const uint64_t size = head.size() + data.size();
    fail_if(at + directory.size() + size + 2 * name.size() + 200 > kMax,
            "save_npz: zip holds less than 4 GB; got more with \"{}\". Hint: save_safetensors().",
            t.name);
    uLong crc = crc32(0, bytes_of(head).data(), static_cast<uInt>(head.size()));
    if (!data.empty()) crc = crc32(crc, data.data(), static_cast<uInt>(data.size()));
    std::vector<uint8_t> small;
    if (options.compress) small = deflated({bytes_of(head), data});
    const uint64_t packed = options.compress ? small.size() : size;
    Record common;  // of both headers: version 2.0, UTF-8, method, 1980-01-01
    common.u16(20).u16(1 << 11).u16(options.compress ? 8 : 0).u16(0).u16(1 << 5 | 1);
    common.u32(crc).u32(packed).u32(size).u16(name.size()).u16(0);
    directory += Record()
                     .u32(kCentral)
                     .u16(20)
                     .text(common.bytes())
                     .u16(0)
                     .u16(0)
                     .u16(0)
                     .u32(0)
                     .u32(at)
                     .text(name)
                     .bytes();
    write(bytes_of(Record().u32(kLocal).text(common.bytes()).text(name).bytes()));
    if (options.compress) {
      write(small);
    } else {
      write(bytes_of(head));
      write(data);
    }
  }
  const uint64_t directory_at = at;
  write(bytes_of(directory));
  write(bytes_of(Record()
                     .u32(kEnd)
                     .u16(0)
                     .u16(0)
                     .u16(tensors.size())
                     .u16(tensors.size())
                     .u32(directory.size())
                     .u32(directory_at)
                     .u16(0)
                     .bytes()));
  file.finish();
}

}  // namespace ramp
