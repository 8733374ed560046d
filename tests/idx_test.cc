#include "ramp/data/idx.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "message.h"
#include "scratch.h"

using namespace ramp;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes header(uint8_t type, const std::vector<uint32_t>& dims) {
  Bytes h = {0, 0, type, static_cast<uint8_t>(dims.size())};
  for (uint32_t d : dims) {
    for (int shift = 24; shift >= 0; shift -= 8) h.push_back(static_cast<uint8_t>(d >> shift));
  }
  return h;
}

template <typename T>
Bytes big_endian(std::vector<T> values) {
  Bytes b;
  for (T v : values) {
    uint8_t raw[sizeof(T)];
    std::memcpy(raw, &v, sizeof(T));
    for (size_t i = sizeof(T); i-- > 0;) b.push_back(raw[i]);
  }
  return b;
}

void check_error(const Scratch& scratch, const Bytes& bytes, std::string expected) {
  for (bool packed : {false, true}) {
    const std::string path = scratch.write("bad", packed ? gzip(bytes) : bytes);
    CAPTURE(packed);
    CHECK_THROWS_WITH_AS(read_idx(path), fmt::format(fmt::runtime(expected), path).c_str(), Error);
  }
}

}  // namespace

TEST_CASE("every element type, raw and packed") {
  const Scratch scratch;
  const double inf = std::numeric_limits<double>::infinity();
  const struct {
    Bytes bytes;
    DType dtype;
    std::vector<double> values;
  } cases[] = {
      {header(0x08, {3}) + Bytes{0, 127, 255}, i64, {0, 127, 255}},
      {header(0x09, {3}) + Bytes{0, 127, 255}, i64, {0, 127, -1}},
      {header(0x0B, {2}) + big_endian<int16_t>({-2, 30000}), i64, {-2, 30000}},
      {header(0x0C, {2}) + big_endian<int32_t>({-3, 1 << 30}), i64, {-3, 1 << 30}},
      {header(0x0D, {3}) + big_endian<float>({1.5f, -0.25f, INFINITY}), f32, {1.5, -0.25, inf}},
      {header(0x0E, {2}) + big_endian<double>({1e300, -inf}), f64, {1e300, -inf}},
  };
  for (const auto& c : cases) {
    for (bool packed : {false, true}) {
      const Tensor x = read_idx(scratch.write("x", packed ? gzip(c.bytes) : c.bytes));
      CHECK(x.dtype() == c.dtype);
      CHECK(x.shape() == Shape{static_cast<int64_t>(c.values.size())});
      CHECK(x.values() == c.values);
    }
  }
}

TEST_CASE("every rank, and empty tensors") {
  const Scratch scratch;
  for (size_t rank = 1; rank <= 8; ++rank) {
    const std::vector<uint32_t> dims(rank, 2);
    const size_t n = size_t{1} << rank;
    Bytes elements(n);
    for (size_t i = 0; i < n; ++i) elements[i] = static_cast<uint8_t>(i);
    const Tensor x = read_idx(scratch.write("x", header(8, dims) + elements));
    CHECK(x.rank() == static_cast<int>(rank));
    CHECK(x.values().back() == static_cast<double>(n - 1));
  }
  CHECK(read_idx(scratch.write("x", header(8, {0, 28, 28}))).shape() == Shape{0, 28, 28});
}

TEST_CASE("a packed file of several members, and one packed more than 16 to 1") {
  const Scratch scratch;
  const Bytes head = header(8, {4}) + Bytes{1, 2}, tail = {3, 4};
  CHECK(read_idx(scratch.write("x", gzip(head) + gzip(tail))).values() ==
        std::vector<double>{1, 2, 3, 4});
  const Tensor zeros =
      read_idx(scratch.write("x", gzip(header(8, {3'000'000}) + Bytes(3'000'000))));
  CHECK(zeros.numel() == 3'000'000);
}

TEST_CASE("conversion divides real numbers") {
  const Scratch scratch;
  const IdxFile file = IdxFile::read(scratch.write("x", header(8, {3}) + Bytes{0, 51, 255}));
  const Tensor y = file.to(f32, 255);
  CHECK(y.data<float>()[0] == 0);
  CHECK(y.data<float>()[1] == 51.0f / 255.0f);
  CHECK(y.data<float>()[2] == 1);
  CHECK(file.to(i64, 0.5).values() == std::vector<double>{0, 102, 510});
  CHECK(file.to(i64, -2).values() == std::vector<double>{0, -25, -127});
  CHECK(file.to(f64, 3).values() == std::vector<double>{0, 17, 85});
  for (const double divisor : {0.0, double{INFINITY}, double{NAN}}) {
    CHECK(message([&] { file.to(f32, divisor); }) ==
          fmt::format("read_idx: \"{}\": expected a divisor other than 0, inf and NaN; got {}.",
                      file.path, divisor));
  }
  // As floats are divided, to the bit.
  IdxFile all;
  all.shape = {256};
  for (int i = 0; i < 256; ++i) all.elements.push_back(static_cast<uint8_t>(i));
  for (const float divisor : {255.0f, 3.0f, 0.1f, 127.5f}) {
    const Tensor z = all.to(f32, divisor);
    for (int i = 0; i < 256; ++i) {
      CHECK(z.data<float>()[i] == static_cast<float>(i) / divisor);
    }
  }
}

TEST_CASE("files that are wrong") {
  const Scratch scratch;
  const std::string missing = scratch.path("none");
  CHECK_THROWS_WITH_AS(
      read_idx(missing),
      fmt::format("read_idx: cannot open \"{}\": No such file or directory.", missing).c_str(),
      Error);
  CHECK_THROWS_WITH_AS(
      read_idx(scratch.path("")),
      fmt::format("read_idx: cannot open \"{}\": Is a directory.", scratch.path("")).c_str(),
      Error);
  check_error(scratch, {0x89, 'P', 'N', 'G'},
              "read_idx: \"{}\" must start with the bytes 0, 0, type, rank; got 0x89, 0x50, 0x4e, "
              "0x47.");
  check_error(scratch, {}, "read_idx: \"{}\" must start with the bytes 0, 0, type, rank; got .");
  check_error(scratch, {0, 1, 8, 1, 0, 0, 0, 0},
              "read_idx: \"{}\" must start with the bytes 0, 0, type, rank; got 0x00, 0x01, 0x08, "
              "0x01.");
  for (int type : {0, 7, 10, 15, 255}) {
    check_error(scratch, header(static_cast<uint8_t>(type), {1}) + Bytes{1},
                "read_idx: \"{}\": expected element type 0x08 (u8), 0x09 (i8), 0x0b (i16), 0x0c "
                "(i32), 0x0d (f32) or 0x0e (f64); got " +
                    fmt::format("{:#04x}.", type));
  }
  check_error(scratch, header(8, {}), "read_idx: \"{}\": expected 1 to 8 dimensions; got 0.");
  check_error(scratch, header(8, std::vector<uint32_t>(9, 1)) + Bytes{1},
              "read_idx: \"{}\": expected 1 to 8 dimensions; got 9.");
  check_error(scratch, {0, 0, 8, 2, 0, 0, 0, 1, 0},
              "read_idx: \"{}\" is cut: its header of 2 dimensions is not complete.");
  check_error(
      scratch, header(0x0B, {2, 2}) + Bytes(7),
      "read_idx: \"{}\": the header says [2, 2], which is 8 bytes of elements; got 7. Hint: "
      "the file is cut.");
  check_error(scratch, header(0x0B, {2, 2}) + Bytes(9),
              "read_idx: \"{}\": the header says [2, 2], which is 8 bytes of elements; got more.");
}

TEST_CASE("a header that lies about its size takes no memory") {
  const Scratch scratch;
  // 9 PB: std::bad_alloc if it were asked for.
  check_error(scratch, header(0x0E, {0x7fffffff, 0x7ffff}) + Bytes(100),
              "read_idx: \"{}\": the header says [2147483647, 524287], which is 9007182070677512 "
              "bytes of elements; got 100. Hint: the file is cut.");
  // 2^128 elements.
  check_error(scratch, header(8, std::vector<uint32_t>(4, 0xffffffff)) + Bytes(100),
              "read_idx: \"{}\": the header says [4294967295, 4294967295, 4294967295, 4294967295], "
              "which is more than any file holds.");
  check_error(scratch, header(8, {0xffffffff, 0xffffffff, 0xffffffff, 0}),
              "read_idx: \"{}\": the header says [4294967295, 4294967295, 4294967295, 0], which is "
              "more than any file holds.");
  // A stream longer than the header says is not unpacked to its end.
  check_error(scratch, header(8, {1}) + Bytes(1 << 22),
              "read_idx: \"{}\": the header says [1], which is 1 bytes of elements; got more.");
}

TEST_CASE("damaged gzip data: cut or changed anywhere, it is an error") {
  const Scratch scratch;
  Bytes elements(300);
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<uint8_t>(i * i);
  const Bytes good = gzip(header(8, {300}) + elements);
  const std::vector<double> expected = read_idx(scratch.write("good", good)).values();
  for (size_t n = 0; n < good.size(); ++n) {
    CHECK_THROWS_AS(read_idx(scratch.write("cut", Bytes(good.begin(), good.begin() + n))), Error);
  }
  for (size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= 0x55;
    std::vector<double> got;
    try {
      got = read_idx(scratch.write("changed", bad)).values();
    } catch (const Error&) {
      continue;
    }
    CHECK(i < 10);  // the time stamp and the like may change
    CHECK(got == expected);
  }
}
