#include "ramp/data/idx.h"

#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <system_error>

#include "ramp/core/parallel.h"

namespace ramp {
namespace {

// Calls f with a value of the C++ type behind an element type.
template <typename F>
decltype(auto) visit_idx(IdxFile::Type type, F&& f) {
  switch (type) {
    case IdxFile::Type::u8:
      return f(uint8_t{});
    case IdxFile::Type::i8:
      return f(int8_t{});
    case IdxFile::Type::i16:
      return f(int16_t{});
    case IdxFile::Type::i32:
      return f(int32_t{});
    case IdxFile::Type::f32:
      return f(float{});
    default:
      return f(double{});
  }
}

template <typename T>
T from_big_endian(const uint8_t* p) {
  uint8_t bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) {
    bytes[std::endian::native == std::endian::little ? sizeof(T) - 1 - i : i] = p[i];
  }
  return std::bit_cast<T>(bytes);
}

// zlib reads a plain file as it is.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {
    std::error_code error;
    file_size_ = std::filesystem::file_size(path, error);
    if (!error) file_.reset(gzopen(path.c_str(), "rb"));
    if (!file_) {
      fail("read_idx: cannot open \"{}\": {}.", path,
           error ? error.message() : std::generic_category().message(errno));
    }
    gzbuffer(file_.get(), 1 << 17);
  }

  uint64_t file_size() const { return file_size_; }

  // Fewer than asked for only at the end.
  size_t read(std::span<uint8_t> to) {
    size_t n = 0;
    while (n < to.size()) {
      const size_t step = std::min(to.size() - n, size_t{1} << 30);
      const int got = gzread(file_.get(), to.data() + n, static_cast<unsigned>(step));
      int code = Z_OK;
      const char* message = gzerror(file_.get(), &code);
      if (got < 0 || code == Z_BUF_ERROR) {
        fail("read_idx: \"{}\" is damaged or cut: {}. Hint: fetch it again.", path_, message);
      }
      if (got == 0) break;
      n += static_cast<size_t>(got);
    }
    return n;
  }

 private:
  struct Close {
    void operator()(gzFile f) const { gzclose(f); }
  };
  const std::string& path_;
  uint64_t file_size_ = 0;
  std::unique_ptr<std::remove_pointer_t<gzFile>, Close> file_;
};

}  // namespace

IdxFile IdxFile::read(const std::string& path) {
  Reader reader(path);
  uint8_t head[4] = {};
  const size_t got = reader.read(head);
  if (got < 4 || head[0] != 0 || head[1] != 0) {
    fail("read_idx: \"{}\" must start with the bytes 0, 0, type, rank; got {:#04x}.", path,
         fmt::join(head, head + got, ", "));
  }
  if (head[2] < 8 || head[2] > 14 || head[2] == 10) {
    fail(
        "read_idx: \"{}\": expected element type 0x08 (u8), 0x09 (i8), 0x0b (i16), 0x0c (i32), "
        "0x0d (f32) or 0x0e (f64); got {:#04x}.",
        path, head[2]);
  }
  const int rank = head[3];
  if (rank < 1 || rank > Shape::kMaxRank) {
    fail("read_idx: \"{}\": expected 1 to {} dimensions; got {}.", path, Shape::kMaxRank, rank);
  }
  uint8_t sizes[4 * Shape::kMaxRank];
  if (reader.read({sizes, 4 * static_cast<size_t>(rank)}) < 4 * static_cast<size_t>(rank)) {
    fail("read_idx: \"{}\" is cut: its header of {} dimensions is not complete.", path, rank);
  }
  IdxFile file;
  file.path = path;
  file.type = Type{head[2]};
  std::vector<int64_t> dims;
  for (int i = 0; i < rank; ++i) dims.push_back(from_big_endian<uint32_t>(sizes + 4 * i));
  try {
    file.shape = Shape(dims);
  } catch (const Error&) {
    fail("read_idx: \"{}\": the header says [{}], which is more than any file holds.", path,
         fmt::join(dims, ", "));
  }
  const size_t size = static_cast<size_t>(file.shape.numel()) *
                      visit_idx(file.type, []<typename T>(T) { return sizeof(T); });
  for (size_t n = 0; n < size;) {
    file.elements.resize(std::min(size, std::max<size_t>(16 * reader.file_size(), 2 * n)));
    const std::span<uint8_t> place = std::span(file.elements).subspan(n);
    const size_t more = reader.read(place);
    n += more;
    if (more < place.size()) {
      fail(
          "read_idx: \"{}\": the header says {}, which is {} bytes of elements; got {}. Hint: the "
          "file is cut.",
          path, file.shape, size, n);
    }
  }
  if (reader.read({head, 1}) > 0) {
    fail("read_idx: \"{}\": the header says {}, which is {} bytes of elements; got more.", path,
         file.shape, size);
  }
  return file;
}

Tensor IdxFile::to(DType dtype, double divisor) const {
  if (divisor == 0 || !std::isfinite(divisor)) {
    fail("read_idx: \"{}\": expected a divisor other than 0, inf and NaN; got {}.", path, divisor);
  }
  Tensor y = Tensor::empty(shape, dtype);
  visit_idx(type, [&]<typename From>(From) {
    visit_dtype(dtype, [&]<typename To>(To) {
      To* out = y.mutable_data<To>();
      parallel_for(y.numel(), 1 << 18, [&, in = elements.data()](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          // (A quotient of floats rounds to the same float when it is one of doubles.)
          const double x = static_cast<double>(from_big_endian<From>(in + sizeof(From) * i));
          out[i] = static_cast<To>(x / divisor);
        }
      });
    });
  });
  return y;
}

Tensor read_idx(const std::string& path) {
  const IdxFile file = IdxFile::read(path);
  return file.to(file.type == IdxFile::Type::f32   ? f32
                 : file.type == IdxFile::Type::f64 ? f64
                                                   : i64);
}

}  // namespace ramp
