#include "ramp/io/safetensors.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "message.h"
#include "ramp/core/memory.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/init.h"
#include "ramp/layers/sequential.h"
#include "scratch.h"

using namespace ramp;
namespace fs = std::filesystem;

namespace {

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
std::string with_header(const std::string& json, const std::string& data) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(json.size() >> (8 * i));
  return bytes + json + data;
}
std::string error_of(const std::string& path) {
  return message([&] { load_safetensors(path); });
}

Sequential small_net() { return Sequential{Dense(3, 4, ReLU{}), Dense(4, 2)}; }

}  // namespace

TEST_CASE("what is written is read, in order, bit by bit") {
  const Scratch folder;
  const std::string path = folder.path("a.safetensors");
  const std::vector<NamedTensor> saved{{"z", Tensor::of<float>({1, -0.0f, 1e-42f, 3}, {2, 2})},
                                       {"a", Tensor::of<double>({0.1})},
                                       {"n", Tensor::of<int64_t>({-5, 7})},
                                       {"none", Tensor::zeros({0, 3})},
                                       {"scalar", Tensor::scalar(2)}};
  save_safetensors(path, saved);
  const std::vector<NamedTensor> loaded = load_safetensors(path);  // a list, if one is wanted
  REQUIRE(loaded.size() == saved.size());
  for (size_t i = 0; i < saved.size(); ++i) {
    CHECK(loaded[i].name == saved[i].name);
    CHECK(loaded[i].tensor.dtype() == saved[i].tensor.dtype());
    CHECK(loaded[i].tensor.shape() == saved[i].tensor.shape());
    CHECK(loaded[i].tensor.values() == saved[i].tensor.values());
  }
  CHECK(std::signbit(loaded[0].tensor.data<float>()[1]));
  CHECK(std::distance(fs::directory_iterator(folder.path(".")), {}) == 1);  // no temporary is left
}

TEST_CASE("a file of the official package") {
  const TensorFile by_name = load_safetensors(RAMP_FIXTURES_DIR "/official.safetensors");
  REQUIRE(by_name.size() == 5);
  CHECK(by_name["weight"].shape() == Shape{2, 3});
  CHECK(by_name["weight"].values() == std::vector<double>{0, 0.25, 0.5, 0.75, 1, 1.25});
  CHECK(by_name["bias"].dtype() == f64);
  CHECK(by_name["bias"].values() == std::vector<double>{1.5, -2.5});
  CHECK(by_name["label"].dtype() == i64);
  CHECK(by_name["scalar"].rank() == 0);
  CHECK(by_name["empty"].shape() == Shape{0, 4});
}

TEST_CASE("narrower types of the official package become f32 and i64, exactly") {
  const TensorFile x = load_safetensors(RAMP_FIXTURES_DIR "/official_types.safetensors");
  const double inf = INFINITY;
  const auto has = [&](const char* name, DType dtype, std::vector<double> expected) {
    INFO(name);
    CHECK(x[name].dtype() == dtype);
    std::vector<double> got = x[name].values();
    if (dtype == f32) {  // the last of each is NaN, the second -0
      CHECK(std::isnan(got.back()));
      CHECK(std::signbit(got[1]));
      got.pop_back();
    }
    CHECK(got == expected);
  };
  has("half", f32, {1.5, 0, 65504, 0x1p-14, 1023 * 0x1p-24, -0x1p-24, inf});
  has("bfloat", f32, {1.5, 0, 255 * 0x1p120, 0x1p-126, 0x1p-133, -2, -inf});
  has("bool", i64, {1, 0});
  has("torch.int8", i64, {-128, 127});
  has("torch.uint8", i64, {0, 255});
  has("torch.int16", i64, {-32768, 32767});
  has("torch.uint16", i64, {0, 65535});
  has("torch.int32", i64, {-2147483648.0, 2147483647});
  has("torch.uint32", i64, {0, 4294967295});
  CHECK(x.size() == 9);
}

TEST_CASE("metadata") {
  const Scratch folder;
  const std::string path = folder.path("a");
  const Metadata notes{{"epoch", "7"}, {"a \"name\"\n", "\xc3\xa9"}};
  save_safetensors(path, {{"x", Tensor::scalar(1)}}, notes);
  Metadata expected = notes;
  expected["format"] = "ramp";
  CHECK(load_safetensors(path).metadata() == expected);
  CHECK(load_safetensors(RAMP_FIXTURES_DIR "/official.safetensors").metadata() ==
        Metadata{{"made_by", "safetensors 0.8.0"}});
}

TEST_CASE("a file of another layout is refused") {
  const Scratch folder;
  const std::string path = folder.path("pt");
  save_safetensors(path, {{"weight", Tensor::ones({2, 2})}}, {{"format", "pt"}});
  const std::string expected = fmt::format(
      "load_safetensors: {} must be in ramp's format; its metadata say format: pt (PyTorch's: "
      "dense "
      "weights [out, in], convolutions [out, in, h, w]; ramp's are [in, out] and [h, w, in, out]). "
      "Hint: load_pytorch(); with {{.any_format = true}} the tensors come as they lie.",
      path);
  CHECK(error_of(path) == expected);
  Dense dense(2, 2);
  CHECK(message([&] { load_model(path, dense); }) == expected);
  CHECK(message([&] {
          load_model(RAMP_FIXTURES_DIR "/official.safetensors", dense);
        }).find("official.safetensors must be of save_model()") != std::string::npos);
  CHECK(load_safetensors(path, {.any_format = true})["weight"].shape() == Shape{2, 2});
  save_safetensors(path, {}, {{"format", "flax"}});
  CHECK(error_of(path).find("say format: flax. Hint") != std::string::npos);
}

TEST_CASE("tensors by name") {
  const Scratch folder;
  const std::string path = folder.path("a");
  std::vector<NamedTensor> list;
  for (int i = 0; i < 9; ++i) list.push_back({fmt::format("{}.w", i), Tensor::scalar(i)});
  save_safetensors(path, list);
  const TensorFile file = load_safetensors(path);
  CHECK(file.path() == path);
  CHECK(file["7.w"].item() == 7);
  CHECK(file.contains("0.w"));
  CHECK(!file.contains("9.w"));
  CHECK(message([&] { file["9.w"]; }) ==
        fmt::format("load_safetensors: {} has no tensor \"9.w\"; it has \"0.w\", \"1.w\", \"2.w\", "
                    "\"3.w\", \"4.w\", \"5.w\", \"6.w\", \"7.w\", ...",
                    path));
  save_safetensors(path, {});
  CHECK(message([&] { load_safetensors(path)["x"]; }) ==
        fmt::format("load_safetensors: {} has no tensor \"x\"; it has none.", path));
}

TEST_CASE("empty tensors of any shape") {
  const Scratch folder;
  const std::string path = folder.path("a");
  const Shape shapes[] = {{0}, {2, 1, 0}, {0, 3, 4}, {int64_t{1} << 57, 0}, {1, 0, 1, 0}};
  for (const DType dtype : {f32, f64, i64}) {
    for (const Shape& shape : shapes) {
      save_safetensors(path, {{"none", Tensor::empty(shape, dtype)}});
      const TensorFile file = load_safetensors(path);
      CHECK(file["none"].shape() == shape);
      CHECK(file["none"].dtype() == dtype);
      save_safetensors(path, {{"none", Tensor::empty(shape, dtype)}, {"one", Tensor::ones({1})}});
      CHECK(load_safetensors(path)["none"].shape() == shape);
    }
  }
}

// (In time that grows with the square of their number this takes minutes.)
TEST_CASE("many tensors") {
  const Scratch folder;
  const std::string path = folder.path("a");
  std::vector<NamedTensor> list;
  for (int i = 0; i < 200'000; ++i) list.push_back({fmt::format("w{}", i), Tensor::full({1}, i)});
  save_safetensors(path, list);
  const TensorFile file = load_safetensors(path);
  REQUIRE(file.size() == list.size());
  bool all = true;
  for (size_t i = 0; i < list.size(); ++i) {
    all &= (file.begin() + static_cast<std::ptrdiff_t>(i))->name == list[i].name &&
           file[list[i].name].item() == static_cast<double>(i);
  }
  CHECK(all);
}

TEST_CASE("saving follows links, and keeps what is no file") {
  const Scratch folder;
  const auto x = [](double v) { return std::vector<NamedTensor>{{"x", Tensor::scalar(v)}}; };
  fs::create_directories(folder.path("there"));
  const std::string target = folder.path("there/target"), link = folder.path("link");
  fs::create_symlink("there/target", link);  // relative to the link's folder, and not there yet
  save_safetensors(link, x(1));
  CHECK(fs::is_symlink(link));
  CHECK(load_safetensors(target)["x"].item() == 1);
  fs::create_symlink(link, folder.path("there/again"));
  save_safetensors(folder.path("there/again"), x(2));
  CHECK(fs::is_symlink(folder.path("there/again")));
  CHECK(load_safetensors(target)["x"].item() == 2);
  fs::create_symlink("loop", folder.path("loop"));
  CHECK(message([&] { save_safetensors(folder.path("loop"), x(1)); }).find("follow the links") !=
        std::string::npos);
  CHECK(message([&] { save_safetensors("/dev/null", x(1)); }) ==
        "save_safetensors: expected the name of a file; /dev/null is a device.");
  CHECK(!fs::is_regular_file("/dev/null"));
  fs::permissions(target, fs::perms::owner_read | fs::perms::owner_write);
  save_safetensors(target, x(3));
  CHECK(fs::status(target).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("all data is aligned") {
  const Scratch folder;
  const std::string path = folder.path("a");
  save_safetensors(path, {{"odd", Tensor::ones({3})}, {"wide", Tensor::ones({1}, f64)}});
  const std::string bytes = read(path);
  const size_t header = static_cast<unsigned char>(bytes[0]) + 256u * bytes[1];
  CHECK(header % 8 == 0);
  CHECK(bytes.size() == 8 + header + 20);
  CHECK(bytes.find(R"("wide":{"dtype":"F64","shape":[1],"data_offsets":[0,8]})") < header);
  CHECK(load_safetensors(path).begin()->name == "odd");
}

TEST_CASE("a full disk leaves the old file and nothing else") {
  const Scratch folder;
  const std::string path = folder.path("a");
  save_safetensors(path, {{"x", Tensor::scalar(1)}});
  const std::string before = read(path);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = old;
  small.rlim_cur = 10'000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  std::string text;
  try {
    save_safetensors(path, {{"x", Tensor::zeros({10'000})}});
  } catch (const Error& e) {
    text = e.what();
  }
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK(text == fmt::format("save_safetensors: cannot write {}: File too large. Hint: the folder "
                            "must exist, be writable and have room.",
                            path));
  CHECK(read(path) == before);
  CHECK(std::distance(fs::directory_iterator(folder.path(".")), {}) == 1);
}

TEST_CASE("a write that fails leaves the old file") {
  const Scratch folder;
  const std::string path = folder.path("a.safetensors");
  save_safetensors(path, {{"x", Tensor::scalar(1)}});
  const std::string before = read(path);
  const Tensor x = Tensor::scalar(2);
  CHECK_THROWS_AS(save_safetensors(path, {{"x", x}, {"x", x}}), Error);
  CHECK_THROWS_AS(save_safetensors(path, {{"x", Tensor()}}), Error);
  CHECK_THROWS_AS(save_safetensors(path, {{"__metadata__", x}}), Error);
  CHECK_THROWS_WITH_AS(save_safetensors(path, {{"\xff", x}}),
                       "save_safetensors: names and metadata must be UTF-8; got other bytes.",
                       Error);
  CHECK(read(path) == before);
  CHECK_THROWS_AS(save_safetensors(folder.path("no/such/folder"), {{"x", x}}), Error);
  fs::create_directories(folder.path("taken/inside"));
  CHECK_THROWS_AS(save_safetensors(folder.path("taken"), {{"x", x}}), Error);  // a folder is there
  CHECK(std::distance(fs::directory_iterator(folder.path(".")), {}) == 2);
}

TEST_CASE("headers that lie") {
  const Scratch folder;
  const std::string path = folder.path("bad");
  const auto error = [&](const std::string& bytes) {
    write(path, bytes);
    return error_of(path);
  };
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& at) {
    return fmt::format(R"({{"x":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", dtype, shape,
                       at);
  };
  const std::string four(4, 'a');
  const auto has = [](const std::string& text, const char* part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(error_of(folder.path("missing")), "cannot open");
  has(error("abc"), "too few");
  has(error(std::string(8, '\xff')), "says its header has");
  has(error(with_header("not json", "")), "not a JSON object");
  has(error(with_header("[]", "")), "not a JSON object");
  has(error(with_header(R"({"x":1})", "")), "must have dtype");
  has(error_of(folder.path(".")), "Is a directory");
  has(error(with_header(entry("F8_E5M2", "[4]", "[0,4]"), four)), "got F8_E5M2");
  has(error(with_header(entry("U64", "[0]", "[0,0]"), "")), "got U64");
  has(error(with_header(R"({"__metadata__":{"a":1}})", "")), "metadata must be text");
  has(error(with_header(R"({"__metadata__":3})", "")), "metadata must be text");
  has(error(with_header(entry("F32", "[0,4294967296,4294967296,4294967296]", "[0,0]"), "")),
      "shape of more than");
  has(error(with_header(entry("F32", "[1]", "[0,18446744073709551620]"), four)), "no natural");
  has(error(with_header(entry("F32", "[]", "[18446744073709551612,0]"), four)), "lies at");
  has(error(with_header(R"({"x":{"dtype":"F32","shape":[],"data_offsets":[4,8]}})", four + four)),
      "without gaps");
  for (const char* start : {R"({"x":{"more":)", R"({"x":{"shape":)"}) {
    const std::string open(100'000, '['), close(100'000, ']');
    has(error(with_header(start + open, "")), "nested too deep");
    has(error(with_header(start + open + close + "}}", "")), "nested too deep");
  }
  has(error(with_header("{\"x\":" + std::string(100'000, '['), "")), "must have dtype");
  has(error(with_header(R"({"x":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", four)),
      "must have dtype");
  has(error(with_header(entry("F32", "{\"0\":1}", "[0,4]"), four)), "must have dtype");
  has(error(with_header(entry("F32", "[1]", "[0,4,4]"), four)), "two data_offsets");
  has(error(with_header(entry("F32", "[1]", "[0]"), four)), "two data_offsets");
  has(error(with_header(R"({"__metadata__":{"a":["b"]}})", "")), "metadata must be text");
  has(error(with_header(R"({"__metadata__":{},"__metadata__":{}})", "")), "two tensors named");
  std::string ones = "[1";
  for (int i = 0; i < 1000; ++i) ones += ",1";
  has(error(with_header(entry("F32", ones + "]", "[0,4]"), four)), "more than 1000 dimensions");
  has(error(with_header(" {}", "")), "not a JSON object");
  has(error(with_header("{} x", "")), "not a JSON object");
  has(error(with_header(std::string("{}\0", 3), "")), "not a JSON object");
  has(error(with_header("{\"x\xff\":{}}", "")), "not a JSON object");
  has(error(with_header(R"({"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        four)),
      "has dtype twice");
  has(error(with_header(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}})",
                        four)),
      "has shape twice");
  has(error(with_header(entry("F31", "[1]", "[0,4]"), four)), "\"F31\", which is no dtype");
  has(error(with_header(entry("F4", "[7]", "[0,4]"), four)), "does not end with a byte");
  has(error(with_header(R"({"__metadata__":{"a":"1","a":"2"}})", "")), "metadata must be text");
  has(error(with_header(entry("F32", "[2]", "[0,4]"), four + four)), "needs 8 bytes");
  has(error(with_header(entry("F32", "[-1]", "[0,4]"), four)), "no natural number");
  has(error(with_header(entry("F32", "[1.5]", "[0,4]"), four)), "no natural number");
  has(error(with_header(entry("F32", "[1]", "[4,8]"), four)), "lies at");
  has(error(with_header(entry("F32", "[1]", "[4,0]"), four)), "lies at");
  has(error(with_header(entry("F32", "[4294967296,4294967296]", "[0,4]"), four)), "larger than");
  has(error(with_header(entry("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), four)), "dimensions");
  has(error(with_header(entry("F32", "[1]", "[0,4]"), four + four)), "bytes of data");
  has(error(with_header(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                        R"("y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                        four)),
      "overlaps");
  has(error(with_header(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                        R"("x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                        four + four)),
      "two tensors named");
}

TEST_CASE("a header of more than 100 MB") {
  const Scratch folder;
  const std::string path = folder.path("large");
  write(path, std::string("\1\xe1\xf5\5\0\0\0\0{}", 10));
  fs::resize_file(path, 8 + 100'000'001);
  CHECK(error_of(path) ==
        fmt::format("load_safetensors: {} has a header of 100000001 bytes; the format has 100 MB.",
                    path));
  CHECK(message([&] {
          save_safetensors(path, {}, {{"x", std::string(100'000'000, 'x')}});
        }).find("must fit 100 MB") != std::string::npos);
}

TEST_CASE("from and to memory") {
  const Scratch folder;
  const std::string path = folder.path("a");
  const std::vector<NamedTensor> saved{{"x", Tensor::of<float>({1, 2, 3})},
                                       {"y", Tensor::of<double>({0.1})}};
  save_safetensors(path, saved, {{"epoch", "7"}});
  const std::vector<uint8_t> bytes = encode_safetensors(saved, {{"epoch", "7"}});
  CHECK(bytes == read_all(path));
  const TensorFile file = decode_safetensors(bytes);
  CHECK(file.metadata().at("epoch") == "7");
  CHECK(file["x"].values() == saved[0].tensor.values());
  CHECK(file["y"].values() == saved[1].tensor.values());
  CHECK(message([&] { decode_safetensors(std::span(bytes).first(7)); }) ==
        "load_safetensors: the bytes has 7 bytes, too few for a header.");
  for (size_t n = 0; n < bytes.size(); ++n)
    CHECK(message([&] { decode_safetensors(std::span(bytes).first(n), {}, "x"); }) != "no error");
}

TEST_CASE("a model in several files") {
  const Scratch folder;
  const std::string index = folder.path("model.safetensors.index.json");
  const auto names = [&](const std::string& json) { write(index, json); };
  save_safetensors(folder.path("model-1.safetensors"),
                   {{"a", Tensor::scalar(1)}, {"more", Tensor::scalar(5)}}, {{"format", "pt"}});
  save_safetensors(folder.path("model-2.safetensors"),
                   {{"b", Tensor::scalar(2)}, {"c", Tensor::ones({2})}}, {{"format", "pt"}});
  names(R"({"metadata":{"total_size":16},"weight_map":{"c":"model-2.safetensors",)"
        R"("a":"model-1.safetensors","b":"model-2.safetensors"}})");
  const TensorFile all = load_safetensors(index, {.any_format = true});
  CHECK(all.size() == 3);
  CHECK(all["a"].item() == 1);
  CHECK(all["b"].item() == 2);
  CHECK(all["c"].shape() == Shape{2});
  CHECK(all.path() == index);
  CHECK(inspect_safetensors(index).tensors.size() == 3);
  CHECK(inspect_safetensors(index).metadata.at("format") == "pt");
  CHECK(error_of(index).find("model-1.safetensors must be in ramp's format") != std::string::npos);

  const auto is_a = [](const std::string& name) { return name == "a"; };
  fs::remove(folder.path("model-2.safetensors"));  // is not looked for
  CHECK(load_safetensors(index, {.any_format = true, .only = is_a}).size() == 1);
  CHECK(error_of(index).find("model-1.safetensors must be in ramp's format") != std::string::npos);

  const auto error = [&](const std::string& json) {
    names(json);
    return message([&] { load_safetensors(index, {.any_format = true}); });
  };
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(error(R"({"weight_map":{"a":"model-2.safetensors"}})"), "cannot open");
  has(error(R"({"weight_map":{"d":"model-1.safetensors"}})"), "must have \"d\", as");
  has(error(R"({"weight_map":{"a":"../model-1.safetensors"}})"), "a file in its own folder");
  has(error(R"({"weight_map":{"a":"/etc/passwd"}})"), "a file in its own folder");
  has(error(R"({"weight_map":{"a":"model.safetensors.index.json"}})"), "in its own folder");
  has(error(R"({"weight_map":{"a":7}})"), "it has no name");
  has(error(R"({"weight_map":{"a":"x","a":"x"}})"), "names \"a\" twice");
  has(error(R"({"architectures":["X"]})"), "must be an index of safetensors files");
  has(error("{"), "must be an index of safetensors files");
  has(error(std::string(100'000, '[')), "must be an index of safetensors files");
}

TEST_CASE("what people take for a safetensors file is named") {
  const Scratch folder;
  const auto error = [&](const std::string& name, const std::string& bytes) {
    write(folder.path(name), bytes);
    return error_of(folder.path(name));
  };
  const std::string torch = fmt::format(
      "{0}.pth must be a safetensors file; it is one of torch.save. Hint: "
      "safetensors.torch.save_file(net.state_dict(), \"{0}.safetensors\") in Python.",
      folder.path("net"));
  CHECK(error("net.pth", "PK\3\4........") == "load_safetensors: " + torch);
  CHECK(error("net.pth", "\x80\2}q.......") == "load_safetensors: " + torch);
  CHECK(error("x.npz", "PK\3\4........") ==
        fmt::format("load_safetensors: {} must be a safetensors file; it is one of np.savez. Hint: "
                    "load_npz().",
                    folder.path("x.npz")));
  CHECK(error("x", "GGUF........").find("Hint: is it a safetensors file, and whole?") !=
        std::string::npos);
}

TEST_CASE("only what is asked for is read; what ramp cannot hold is named") {
  const Scratch folder;
  const std::string path = folder.path("a");
  const std::string json =
      R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"U64","shape":[1],"data_offsets":[4,12]},)"
      R"("c":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[12,16]},)"
      R"("d":{"dtype":"F4","shape":[2,4],"data_offsets":[16,20]},)"
      R"("e":{"dtype":"F32","shape":[1],"data_offsets":[20,24]}})";
  write(path, with_header(json, std::string(24, '\0')));
  const auto only = [&](const std::string& wanted) {
    return message([&] {
      load_safetensors(path, {.only = [&](const auto& name) { return name == wanted; }});
    });
  };
  CHECK(only("e") == "no error");
  CHECK(only("a").find("\"a\" must be of F64, F32, F16, BF16, I64 or a smaller integer; got "
                       "F8_E4M3.") != std::string::npos);
  CHECK(
      only("b").find("\"b\" must be of F64, F32, F16, BF16, I64 or a smaller integer; got U64.") !=
      std::string::npos);
  CHECK(only("c").find("\"c\" has 9 dimensions, more than 8.") != std::string::npos);
  CHECK(only("d").find("got F4.") != std::string::npos);
  const TensorFile file =
      load_safetensors(path, {.only = [](const std::string& name) { return name == "e"; }});
  CHECK(file.size() == 1);
  CHECK(file["e"].item() == 0);
  const TensorFileInfo info = inspect_safetensors(path);
  REQUIRE(info.tensors.size() == 5);
  CHECK(info.tensors[0].dtype == "F8_E4M3");
  CHECK(info.tensors[2].shape.size() == 9);
  CHECK(info.tensors[3].bytes == 4);
}

// Bytes that this process has read, as Linux counts them; 0 elsewhere.
int64_t bytes_read() {
  std::ifstream io("/proc/self/io");
  std::string key;
  int64_t n = 0;
  io >> key >> n;
  return n;
}

TEST_CASE("one tensor of 10 GB takes its own bytes alone") {
  const Scratch folder;
  const std::string path = folder.path("large");
  write(path, with_header(R"({"large":{"dtype":"F32","shape":[2500000000],)"
                          R"("data_offsets":[0,10000000000]},"small":{"dtype":"F32","shape":[2],)"
                          R"("data_offsets":[10000000000,10000000008]}})",
                          ""));
  fs::resize_file(path, fs::file_size(path) + 10'000'000'008);  // a hole, which takes no disk
  reset_peak_memory();
  const int64_t memory = memory_stats().peak_bytes, before = bytes_read();
  const TensorFile file =
      load_safetensors(path, {.only = [](const std::string& name) { return name == "small"; }});
  CHECK(file["small"].values() == std::vector<double>{0, 0});
  CHECK(inspect_safetensors(path).tensors[0].bytes == 10'000'000'000);
  CHECK(bytes_read() - before < 100'000);
  CHECK(memory_stats().peak_bytes - memory < 100'000);
}

TEST_CASE("any damage gives an Error or a whole file") {
  const Scratch folder;
  const std::string path = folder.path("a");
  save_safetensors(path, {{"w", Tensor::ones({2, 3})}, {"b", Tensor::of<int64_t>({1})}});
  const std::string good = read(path);
  int errors = 0;
  const auto attempt = [&](const std::string& bytes) {
    write(path, bytes);
    try {
      load_safetensors(path);
    } catch (const Error&) {
      ++errors;
    }
  };
  for (size_t n = 0; n < good.size(); ++n) attempt(good.substr(0, n));
  CHECK(errors == static_cast<int>(good.size()));  // each cut is noticed
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char c : {'\0', '\xff', '9', '"'}) {
      std::string bytes = good;
      bytes[i] = c;
      attempt(bytes);
    }
  }
}

TEST_CASE("a model by parameter name") {
  const Scratch folder;
  const std::string path = folder.path("net");
  seed_layers(1);
  Sequential a = small_net(), b = small_net();
  save_model(path, a);
  load_model(path, b);
  for (size_t i = 0; i < a.parameters().size(); ++i) {
    CHECK(a.parameters()[i].values() == b.parameters()[i].values());
    CHECK(b.parameters()[i].requires_grad());
  }

  std::vector<NamedTensor> state = a.state();
  state[0].tensor = Tensor::zeros({3, 5});
  state[1].name = "0.offset";
  save_safetensors(path, state);
  const std::vector<double> before = b.parameters()[2].values();
  try {
    load_model(path, b);
    FAIL("loaded");
  } catch (const Error& e) {
    const std::string text = e.what();
    INFO(text);
    CHECK(text.starts_with("load_model: " + path + ": load_state: "));
    CHECK(text.find("\"0.weight\" is [3, 4] in the model and [3, 5]") != std::string::npos);
    CHECK(text.find("\"0.bias\" [4] is missing") != std::string::npos);
    CHECK(text.find("\"0.offset\" [4] is not in the model") != std::string::npos);
  }
  CHECK(b.parameters()[2].values() == before);
}

TEST_CASE("a part of a model: what does not fit is left, and named") {
  const Scratch folder;
  const std::string path = folder.path("net");
  Sequential trained = small_net(), other{Dense(3, 4, ReLU{}), Dense(4, 5)};
  save_model(path, trained);
  const std::vector<double> head = other.parameters()[2].values();
  CHECK(load_model(path, other, {.strict = false}) ==
        std::vector<std::string>{"\"1.weight\" is [4, 5] in the model and [4, 2] in the state",
                                 "\"1.bias\" is [5] in the model and [2] in the state"});
  CHECK(other.parameters()[0].values() == trained.parameters()[0].values());
  CHECK(other.parameters()[2].values() == head);
  Sequential body{Dense(3, 4, ReLU{})};
  CHECK(load_model(path, body, {.strict = false}) ==
        std::vector<std::string>{"\"1.bias\" [2] is not in the model",
                                 "\"1.weight\" [4, 2] is not in the model"});
  CHECK(load_model(path, trained).empty());
}

// For safetensors_judge.py.
TEST_CASE("judge") {
  const char* folder = std::getenv("RAMP_SAFETENSORS_JUDGE");
  if (!folder) return;
  for (const auto& file : fs::directory_iterator(folder)) {
    const std::string path = file.path().string();
    std::string text = message([&] { load_safetensors(path, {.any_format = true}); });
    std::ranges::replace(text, '\n', ' ');
    fmt::print("file {} {}\n", file.path().filename().string(), text == "no error" ? "" : text);
  }
}
