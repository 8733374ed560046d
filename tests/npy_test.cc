#include "ramp/io/npy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "message.h"
#include "scratch.h"

using namespace ramp;

namespace {

constexpr const char* kFine = "no error";
std::string fixture(const char* name) { return fmt::format("{}/{}", RAMP_FIXTURES_DIR, name); }
std::span<const uint8_t> bytes_of(const std::string& s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}
// A .npy file of version 1.
std::string npy(const std::string& header, const std::string& data) {
  std::string s("\x93NUMPY\1\0", 8);
  s += static_cast<char>(header.size() & 255);
  s += static_cast<char>(header.size() >> 8);
  return s + header + data;
}
std::string header(const std::string& descr, const std::string& shape) {
  return fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n", descr, shape);
}
std::string error_of(const std::string& file) {
  return message([&] { decode_npy(bytes_of(file), "x"); });
}
std::string zip_error(const std::vector<uint8_t>& file) {
  return message([&] { decode_npz(file, "z"); });
}
bool has(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}
Tensor counted() { return Tensor::arange(24, f32).view({2, 3, 4}); }

std::vector<NamedTensor> judged() {
  return {{"f32", Tensor::of<float>({0, 0.25, 0.5, 0.75, 1, 1.25}, {2, 3})},
          {"f64", Tensor::of<double>({0.1, -0.0, INFINITY, NAN})},
          {"i64", Tensor::of<int64_t>({-(int64_t{1} << 62) - 1, 7})},
          {"scalar", Tensor::scalar(2)},
          {"none", Tensor::zeros({0, 3})},
          {"gr\xc3\xb6\xc3\x9f"
           "e",
           Tensor::zeros({300, 400})}};
}
void check_same(const Tensor& a, const Tensor& b) {
  CHECK(a.dtype() == b.dtype());
  CHECK(a.shape() == b.shape());
  const std::vector<double> x = a.values(), y = b.values();
  for (size_t i = 0; i < x.size(); ++i) {
    CHECK((x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))));
    CHECK(std::signbit(x[i]) == std::signbit(y[i]));
  }
}

}  // namespace

TEST_CASE("what NumPy writes: dtypes, byte orders, memory orders, versions; stored and deflated") {
  for (const char* name : {"arrays.npz", "arrays_deflated.npz"}) {
    INFO(name);
    const TensorFile file = load_npz(fixture(name));
    CHECK(file.size() == 28);
    for (const char* order : {"_little", "_big"}) {
      INFO(order);
      const double inf = INFINITY;
      for (const std::string kind : {"f2", "f4", "f8"}) {
        const Tensor& x = file[kind + order];
        CHECK(x.dtype() == (kind == "f8" ? f64 : f32));
        CHECK(x.shape() == Shape{2, 3});
        std::vector<double> v = x.values();
        CHECK(std::isnan(v.back()));
        CHECK(std::signbit(v[1]));
        v.pop_back();
        CHECK(v == std::vector<double>{1.5, 0, 65504, 0x1p-24, -inf});
      }
      const auto is = [&](const std::string& kind, int64_t low, int64_t high) {
        INFO(kind);
        const Tensor& x = file[kind + order];
        REQUIRE(x.dtype() == i64);
        CHECK(x.data<int64_t>()[0] == low);
        CHECK(x.data<int64_t>()[1] == high);
        CHECK(x.data<int64_t>()[2] == 7);
      };
      is("i1", -128, 127);
      is("i2", -32768, 32767);
      is("i4", INT32_MIN, INT32_MAX);
      is("i8", INT64_MIN, INT64_MAX);
      is("u1", 0, 255);
      is("u2", 0, 65535);
      is("u4", 0, UINT32_MAX);
    }
    CHECK(file["bool"].values() == std::vector<double>{1, 0, 1});
    CHECK(file["scalar"].rank() == 0);
    CHECK(file["scalar"].item() == 3.5);
    CHECK(file["empty"].shape() == Shape{0, 4});
    check_same(file["fortran"], counted());
    check_same(file["fortran_big"], counted().to(f64));
    for (const char* version : {"version1", "version2", "version3"})
      check_same(file[version], counted());
  }
  const TensorFile file = load_npz(fixture("savez.npz"));
  check_same(file["x"], counted());
  CHECK(file["labels"].values() == std::vector<double>{3, 1});
  CHECK(message([&] { file["y"]; }) ==
        fmt::format("load_npz: {} has no tensor \"y\"; it has \"x\", \"labels\", \"version\".",
                    fixture("savez.npz")));
}

TEST_CASE("what is not read is refused by name") {
  has(error_of(npy(header("<c16", "(1,)"), std::string(16, 'a'))),
      "it is of '<c16'. Hint: x.astype");
  has(error_of(npy(header("<u8", "(1,)"), std::string(8, 'a'))), "it is of '<u8'");
  has(error_of(npy(header("<U2", "(1,)"), std::string(8, 'a'))), "it is of '<U2'");
  has(error_of(npy(header("|S2", "(1,)"), "ab")), "it is of '|S2'");
  has(error_of(npy(header("<M8[D]", "(1,)"), std::string(8, 'a'))), "it is of '<M8[D]'");
  has(error_of(npy(header("|V2", "(1,)"), "ab")), "it is of '|V2'");
  has(error_of(npy(header("|O", "(1,)"), "ab")), "it is of '|O', Python objects");
  has(error_of(
          npy("{'descr': [('a', '<i4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,), }",
              std::string(8, 'a'))),
      "structured array");
  has(error_of(npy(header("<f4", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), std::string(4, 'a'))),
      "at most 8 dimensions");
}

TEST_CASE("what is written is read, to the bit") {
  const Scratch folder;
  for (const bool compress : {false, true}) {
    save_npz(folder.path("a.npz"), judged(), {.compress = compress});
    const TensorFile file = load_npz(folder.path("a.npz"));
    REQUIRE(file.size() == judged().size());
    for (const NamedTensor& t : judged()) check_same(file[t.name], t.tensor);
    CHECK((std::filesystem::file_size(folder.path("a.npz")) < 10'000) == compress);
  }
  for (const NamedTensor& t : judged()) {
    save_npy(folder.path("a.npy"), t.tensor);
    check_same(load_npy(folder.path("a.npy")), t.tensor);
    check_same(decode_npy(encode_npy(t.tensor)), t.tensor);
    CHECK(read_all(folder.path("a.npy")) == encode_npy(t.tensor));
  }
  save_npz(folder.path("none.npz"), {});
  CHECK(load_npz(folder.path("none.npz")).size() == 0);
  CHECK((encode_npy(Tensor::ones({3})).size() - 12) % 64 == 0);  // the data is aligned
}

TEST_CASE("what cannot be written leaves the old file") {
  const Scratch folder;
  const std::string path = folder.path("a.npz");
  const Tensor x = Tensor::ones({2});
  save_npz(path, {{"x", x}});
  const std::vector<uint8_t> before = read_all(path);
  has(message([&] { save_npz(path, {{"x", x}, {"x", x}}); }), "got \"x\" twice");
  has(message([&] { save_npz(path, {{"", x}}); }), "got \"\".");
  has(message([&] { save_npz(path, {{"y", Tensor()}}); }), "undefined");
  has(message([&] { save_npy(folder.path("no/folder/x.npy"), x); }), "cannot create");
  CHECK(read_all(path) == before);
  has(message([&] { load_npy(folder.path("none")); }), "No such file");
  has(message([&] { load_npz(folder.path(".")); }), "cannot read");
  has(message([&] { load_npy(path); }),
      "must be a .npy file; it does not begin as one. Hint: load_npz().");
  has(zip_error(encode_npy(x)), "must be an archive; it is one array. Hint: load_npy().");
  has(zip_error(std::vector<uint8_t>(100)), "does not end as an archive");
  // torch.save writes an archive too.
  save_npz(path, {{"net/datax", x}});
  const std::vector<uint8_t> archive = read_all(path);
  std::string torch(archive.begin(), archive.end());
  for (size_t at; (at = torch.find("datax.npy")) != torch.npos;) torch.replace(at, 9, "/data.pkl");
  has(zip_error({torch.begin(), torch.end()}),
      "\"net//data.pkl\" is none. Hint: it is of torch.save;");
}

TEST_CASE("headers that lie") {
  const std::string f4 = header("<f4", "(1,)"), four(4, 'a');
  CHECK(error_of(npy(f4, four)) == kFine);
  CHECK(error_of(npy(header("<f4", "()"), four)) == kFine);
  CHECK(error_of(npy("{\"shape\":(1L,),\"descr\":\"=f4\",\"fortran_order\":True}", four)) == kFine);
  for (const char* bad :
       {"", "{", "{}", "[]", "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,", "{'descr': '<f4",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999999,)}",
        "{'descr' '<f4', 'fortran_order': False, 'shape': (1,)}"}) {
    INFO(bad);
    has(error_of(npy(bad, four)), "the header is not that of an array");
  }
  has(error_of(npy(header("", "(1,)"), four)), "it is of ''");
  has(error_of(npy(header("<f4", "(2,)"), four)), "must have 2 elements of 4 bytes; it has 4");
  has(error_of(npy(header("<f4", "(0,)"), four)), "more arrays than one");
  has(error_of(npy(header("<f4", "(1099511627776, 1099511627776)"), four)), "too many elements");
  has(error_of(npy(header("<f4", "(0, 1099511627776, 1099511627776)"), "")), "too many elements");
  has(error_of(npy(header("<f8", "(144115188075855872,)"), four)), "it has 4 bytes of data");
  std::string other = npy(f4, four);
  other[6] = 4;
  has(error_of(other), "version 1 to 3; got 4");
  other[6] = 2;
  has(error_of(other), "says its header has");
}

TEST_CASE("any damage gives an Error or arrays") {
  const Scratch folder;
  for (const bool compress : {false, true}) {
    save_npz(folder.path("a"), {{"w", Tensor::ones({2, 3})}, {"b", Tensor::of<int64_t>({1, 2})}},
             {.compress = compress});
    const std::vector<uint8_t> good = read_all(folder.path("a"));
    for (size_t n = 0; n < good.size(); ++n)
      CHECK(zip_error({good.begin(), good.begin() + static_cast<ptrdiff_t>(n)}) != "no error");
    for (size_t i = 0; i < good.size(); ++i) {
      for (const uint8_t c : {0, 1, 0x7f, 0xff}) {
        std::vector<uint8_t> bytes = good;
        bytes[i] = c;
        try {
          for (const NamedTensor& t : decode_npz(bytes)) {  // then the arrays are right
            CHECK((t.tensor.values() == std::vector<double>(6, 1) ||
                   t.tensor.values() == std::vector<double>{1, 2}));
          }
        } catch (const Error&) {
        }
      }
    }
  }
  const std::vector<uint8_t> good = encode_npy(Tensor::ones({2, 3}));
  for (size_t n = 0; n < good.size(); ++n)
    CHECK(message([&] { decode_npy(std::span(good).first(n)); }) != "no error");
  for (size_t i = 0; i < good.size(); ++i) {
    for (const uint8_t c : {0, 0xff, 0x39, 0x27}) {
      std::vector<uint8_t> bytes = good;
      bytes[i] = c;
      message([&] { decode_npy(bytes); });
    }
  }
}

TEST_CASE("archives that lie") {
  const Scratch folder;
  save_npz(folder.path("a"), {{"w", Tensor::ones({2})}, {"b", Tensor::ones({2})}});
  const std::vector<uint8_t> good = read_all(folder.path("a"));
  const size_t end = good.size() - 22;
  const size_t directory = good[end + 16] | good[end + 17] << 8, second = directory + 46 + 5;
  const auto with = [&](size_t at, std::vector<uint8_t> put) {
    std::vector<uint8_t> bytes = good;
    std::copy(put.begin(), put.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
    return zip_error(bytes);
  };
  CHECK(with(0, {}) == "no error");
  has(with(directory + 10, {12}), "packed by method 12");
  has(with(directory + 8, {1}), "encrypted");
  has(with(directory + 16, {1, 2, 3, 4}), "another CRC");
  has(with(directory + 20, {0xff, 0xff, 0xff, 0x7f}), "\"w.npy\" is cut");
  has(with(directory + 24, {0xff, 0xff, 0xff, 0x7f}), "cannot have 2147483647 bytes");
  has(with(directory + 10, {8}), "damaged");
  has(with(second + 42, {0, 0, 0, 0}), "overlaps");  // both are the first: no byte is read twice
  has(with(directory + 46, {'b'}), "two arrays named \"b\"");
  has(with(directory + 46 + 2, {'x'}), "\"w.xpy\" is none");
  has(with(directory + 42, {1}), "not where the directory says");
  has(with(end + 10, {200, 200}), "its directory is cut");
  has(with(end + 16, {0xf0, 0xff, 0xff, 0xff}), "its directory is cut");
  has(with(end + 20, {7}), "does not end as an archive");
  // Small files that would be large: 1 GB in a few bytes.
  std::vector<uint8_t> bomb = good;
  bomb[directory + 10] = 8;
  bomb[directory + 27] = 0x40;
  has(zip_error(bomb), "cannot have 1073");
}

// For npy_judge.py.
TEST_CASE("judge") {
  const char* folder = std::getenv("RAMP_NPY_JUDGE");
  if (!folder) return;
  std::filesystem::create_directories(folder);
  save_npz(std::string(folder) + "/stored.npz", judged());
  save_npz(std::string(folder) + "/deflated.npz", judged(), {.compress = true});
  for (const NamedTensor& t : judged())
    save_npy(fmt::format("{}/{}.npy", folder, t.name), t.tensor);
}
