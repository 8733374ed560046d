// What the worst files cost: each reader gets some of one and of four times the size. Memory stays
// within a multiple of the file, time within about four times.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

#include "ramp/core/error.h"
#include "ramp/data/csv.h"
#include "ramp/data/idx.h"
#include "ramp/data/image.h"
#include "ramp/data/read_file.h"
#include "ramp/data/text.h"
#include "ramp/io/npy.h"
#include "ramp/io/onnx.h"
#include "ramp/io/safetensors.h"
#include "ramp/train/history.h"
#include "scratch.h"

using namespace ramp;

namespace {

// Sanitizers keep memory that was given back.
#ifdef __has_feature
constexpr bool kCounts = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounts = false;
#else
constexpr bool kCounts = true;
#endif

struct Cost {
  double bytes = 0, seconds = 0;
  bool ended = false;  // with a result, or an Error
  std::string outcome = {};
};

double peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024. * static_cast<double>(usage.ru_maxrss);
}

// In a process of its own, for memory that was given back is not taken again.
Cost cost_of(const std::function<void()>& read) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{20, 20};  // seconds
    setrlimit(RLIMIT_CPU, &limit);
    const double before = peak_bytes();
    std::string text = "read";
    try {
      read();
    } catch (const Error& e) {
      text = e.what();
    }
    const double bytes = peak_bytes() - before;
    text.resize(500);
    if (write(ends[1], &bytes, sizeof bytes) < 0 || write(ends[1], text.data(), 500) < 0) _exit(1);
    _exit(0);
  }
  close(ends[1]);
  Cost cost;
  cost.outcome.resize(500);
  if (::read(ends[0], &cost.bytes, sizeof cost.bytes) < 0) return cost;
  if (::read(ends[0], cost.outcome.data(), 500) < 0) return cost;
  close(ends[0]);
  cost.outcome = cost.outcome.c_str();
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  cost.ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  for (const timeval& t : {usage.ru_utime, usage.ru_stime})
    cost.seconds += static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  return cost;
}

using Make = std::function<std::string(size_t size)>;
using Read = std::function<void(const std::string& path)>;

// Memory of at most `times` the file's size, and 8 MB (huge pages are 2 MB each); for a file of
// four times the size, about four times the time (sixteen times, if it grew with the square).
// Returns the error.
std::string check(const std::string& name, double times, const Read& read, const Make& make) {
  const Scratch folder;
  double seconds[2];
  std::string outcome;
  for (const int k : {0, 1}) {
    const std::string bytes = make(size_t{k == 0 ? 1u : 4u} << 17), path = folder.path("file");
    std::ofstream(path, std::ios::binary) << bytes;
    const Cost cost = cost_of([&] { read(path); });
    const auto size = static_cast<double>(bytes.size());
    INFO(name, ": ", bytes.size(), " bytes took ", cost.bytes / size, " times that, and ",
         cost.seconds, " s: ", cost.outcome);
    CHECK(cost.ended);
    if (kCounts) CHECK(cost.bytes < times * size + 8e6);
    seconds[k] = cost.seconds;
    outcome = cost.outcome;
  }
  INFO(name, ": ", seconds[0], " s, then ", seconds[1], " s");
  CHECK(seconds[1] < 10 * seconds[0] + 0.2);
  return outcome;
}

void has(const std::string& error, const char* part) {
  INFO(error);
  CHECK(error.find(part) != std::string::npos);
}

// Pieces until there are so many bytes; f(i) is the i-th.
template <typename F>
std::string repeated(size_t size, F f) {
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) text += f(i);
  return text;
}

std::string big_endian(uint32_t n) {
  std::string s;
  for (const int shift : {24, 16, 8, 0}) s += static_cast<char>(n >> shift);
  return s;
}

std::string with_header(std::string json, const std::string& data = "") {
  uint64_t n = json.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + json + data;
}

// Protocol buffers: a number, a field of bytes.
[[maybe_unused]] std::string varint(uint64_t n) {
  std::string out;
  for (; n > 127; n >>= 7) out += static_cast<char>(n | 128);
  return out + static_cast<char>(n);
}
[[maybe_unused]] std::string field(int number, const std::string& bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}
[[maybe_unused]] std::string model(const std::string& graph) {
  return std::string("\x08\x09", 2) + field(7, graph) + field(8, std::string("\x10\x14", 2));
}

}  // namespace

TEST_CASE("safetensors") {
  const Read read = [](const std::string& path) { load_safetensors(path); };
  const auto entries = [](size_t size) {
    return with_header(
        "{" +
        repeated(size,
                 [](size_t i) {
                   return fmt::format(
                       R"({}"{:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                       i ? "," : "", i);
                 }) +
        "}");
  };
  check("safetensors: entries", 14, read, entries);
  check(
      "safetensors: inspect", 9, [](const std::string& path) { inspect_safetensors(path); },
      entries);
  check("safetensors: metadata", 15, read, [](size_t size) {
    return with_header(
        "{\"__metadata__\":{" +
        repeated(size, [](size_t i) { return fmt::format(R"({}"{:x}":"")", i ? "," : "", i); }) +
        "}}");
  });
  check("safetensors: shape", 3, read, [](size_t size) {
    return with_header("{\"x\":{\"shape\":[0" + repeated(size, [](size_t) { return ",0"; }) +
                       "]}}");
  });
  check("safetensors: extra", 3, read, [](size_t size) {
    return with_header("{\"x\":{\"shap\":[0" + repeated(size, [](size_t) { return ",0"; }) + "]}}");
  });
  check("safetensors: deep", 3, read,
        [](size_t size) { return with_header("{\"x\":{\"y\":" + std::string(size, '[')); });
  check("safetensors: name", 8, read,
        [](size_t size) { return with_header("{\"" + std::string(size, 'x') + "\":1}"); });
  check("safetensors: bytes as integers", 10, read, [](size_t size) {
    return with_header(
        fmt::format(R"({{"x":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}})", size),
        std::string(size, 'x'));
  });
}

TEST_CASE("npy") {
  const Read npy = [](const std::string& path) { load_npy(path); };
  const Read npz = [](const std::string& path) { load_npz(path); };
  const auto array = [](const std::string& header, const std::string& data = "") {
    uint32_t n = static_cast<uint32_t>(header.size());
    return std::string("\x93NUMPY\3\0", 8) + std::string(reinterpret_cast<const char*>(&n), 4) +
           header + data;
  };
  check("npy: tuple", 3, npy, [&](size_t size) {
    return array("{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                 repeated(size, [](size_t) { return "1,"; }) + ")}");
  });
  check("npy: spaces", 3, npy, [&](size_t size) { return array("{" + std::string(size, ' ')); });
  check("npy: key", 3, npy,
        [&](size_t size) { return array("{'" + std::string(size, 'x') + "':1}"); });
  check("npy: bytes", 10, npy, [&](size_t size) {
    return array(fmt::format("{{'descr': '|u1', 'fortran_order': False, 'shape': ({},)}}", size),
                 std::string(size, 'x'));
  });
  check("npy: fortran", 18, npy, [&](size_t size) {
    return array(
        fmt::format("{{'descr': '|u1', 'fortran_order': True, 'shape': (2,{})}}", size / 2),
        std::string(size, 'x'));
  });
  const auto put = [](std::string& to, uint64_t v, int n) {
    for (int i = 0; i < n; ++i, v >>= 8) to += static_cast<char>(v);
  };
  check("npz: entries", 5, npz, [&](size_t size) {
    const std::string data = array("{'descr':'|u1','fortran_order':False,'shape':(0,)}");
    std::string directory, bytes;
    size_t count = 0;
    for (; bytes.size() + directory.size() < size && count < 65000; ++count) {
      const std::string name = fmt::format("{:x}.npy", count);
      std::string common;
      put(common, 20, 2);
      put(common, 0, 8);
      put(common,
          crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size())), 4);
      put(common, data.size(), 4);
      put(common, data.size(), 4);
      put(common, name.size(), 2);
      put(common, 0, 2);
      directory += "PK\1\2";
      put(directory, 20, 2);
      directory += common;
      put(directory, 0, 10);
      put(directory, bytes.size(), 4);
      directory += name;
      bytes += "PK\3\4" + common + name + data;
    }
    const size_t at = bytes.size();
    bytes += directory + "PK\5\6";
    put(bytes, 0, 4);
    put(bytes, count, 2);
    put(bytes, count, 2);
    put(bytes, directory.size(), 4);
    put(bytes, at, 4);
    put(bytes, 0, 2);
    return bytes;
  });
}

TEST_CASE("idx") {
  const Read read = [](const std::string& path) { read_idx(path); };
  const auto head = [](uint32_t n) { return std::string("\0\0\x08\1", 4) + big_endian(n); };
  check("idx: bytes", 10, read,
        [&](size_t size) { return head(static_cast<uint32_t>(size)) + std::string(size, 'x'); });
  check("idx: cut", 18, read,
        [&](size_t size) { return head(4'000'000'000u) + std::string(size, 'x'); });
}

TEST_CASE("csv") {
  const Read read = [](const std::string& path) { read_csv(path); };
  const Read bare = [](const std::string& path) { read_csv(path, {.header = false}); };
  check("csv: columns", 400, bare,
        [](size_t size) { return repeated(size / 4, [](size_t) { return "1,"; }) + "1\n"; });
  check("csv: names", 130, read, [](size_t size) {
    return repeated(size, [](size_t i) { return fmt::format("{:x},", i + 10); }) + "z\n";
  });
  check("csv: cell", 3, read,
        [](size_t size) { return "a,b\n1,\"" + std::string(size, 'x') + "\"\n"; });
  check("csv: open quote", 3, read,
        [](size_t size) { return "a,b\n1,\"" + std::string(size, 'x'); });
  check("csv: quotes", 3, read, [](size_t size) { return "a,b\n" + std::string(size, '"'); });
  check("csv: texts", 45, read, [](size_t size) {
    return "a\n" + repeated(size, [](size_t i) { return fmt::format("{:x}\n", i + 0xa0000); });
  });
  check("csv: numbers", 13, bare,
        [](size_t size) { return repeated(size, [](size_t) { return "1\n"; }); });
  check("csv: line ends", 3, read, [](size_t size) { return std::string(size, '\n'); });
  check("csv: one line", 6, read, [](size_t size) { return std::string(size, 'x'); });
  check("csv: blanks", 4, bare,
        [](size_t size) { return repeated(size, [](size_t) { return "        1\n"; }); });
}

TEST_CASE("text") {
  check(
      "text: words", 50, [](const std::string& path) { tokenize(read_file(path)); },
      [](size_t size) { return repeated(size, [](size_t) { return "a "; }); });
  check(
      "text: one word", 4, [](const std::string& path) { tokenize(read_file(path)); },
      [](size_t size) { return std::string(size, 'x'); });
  check(
      "text: runs", 100, [](const std::string& path) { character_ngrams(read_file(path), 3); },
      [](size_t size) { return std::string(size, 'x'); });
  const Read history = [](const std::string& path) { History::from_json(read_file(path)); };
  check("history: numbers", 50, history, [](size_t size) {
    return "{\"epochs\":[0" + repeated(size, [](size_t) { return ",0"; }) + "]}";
  });
  check("history: deep", 3, history, [](size_t size) { return std::string(size, '['); });
  check("history: columns", 25, history, [](size_t size) {
    return "{\"best_epoch\":0,\"stopped\":\"\",\"epochs\":[{\"epoch\":1,\"steps\":1,\"seconds\":1,"
           "\"lr\":1" +
           repeated(size, [](size_t i) { return fmt::format(",\"{:x}\":0", i); }) + "}]}";
  });
}

TEST_CASE("image") {
  const Read read = [](const std::string& path) { read_image(path); };
  const auto be = big_endian;
  const auto chunk = [&](const std::string& body) {
    return be(static_cast<uint32_t>(body.size() - 4)) + body +
           be(static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()),
                                          static_cast<uInt>(body.size()))));
  };
  check("png: huge", 3, read, [&](size_t size) {
    return "\x89PNG\r\n\x1a\n" +
           chunk("IHDR" + be(1u << 30) + be(1u << 30) + std::string("\1\3\0\0\0", 5)) +
           chunk("IDAT" + std::string(size, 'x'));
  });
  check("png: text chunks", 3, read, [&](size_t size) {
    return "\x89PNG\r\n\x1a\n" + chunk("IHDR" + be(1) + be(1) + std::string("\1\0\0\0\0", 5)) +
           repeated(size, [&](size_t) { return chunk(std::string("tEXta\0b", 7)); });
  });
  check("png: packed text", 3, read, [&](size_t size) {
    return "\x89PNG\r\n\x1a\n" + chunk("IHDR" + be(1) + be(1) + std::string("\1\0\0\0\0", 5)) +
           repeated(size, [&](size_t) {
             return chunk(std::string("zTXta\0\0", 7) + deflated(std::string(1 << 20, ' '), 15, 9));
           });
  });
  check("ppm: bytes", 7, read,
        [](size_t size) { return fmt::format("P5 {} 1 255\n", size) + std::string(size, 'x'); });
  check("ppm: text", 5, read, [](size_t size) {
    return fmt::format("P2 {} 1 255\n", size / 2) + repeated(size, [](size_t) { return "1 "; });
  });
  check("ppm: comments", 3, read,
        [](size_t size) { return "P2 " + repeated(size, [](size_t) { return "#\n"; }); });
#ifdef RAMP_JPEG
  has(check("jpeg: scans", 70, read,
            [](size_t size) {
              const std::string nul(15, '\0');
              const std::string table = "\xff\xc4" + std::string("\0\x14\x10\1", 4) + nul + "\xe0";
              return "\xff\xd8\xff\xdb" + std::string("\0\x43\0", 3) + std::string(64, '\1') +
                     "\xff\xc2" + std::string("\0\x0b\x08\x05\xa8\x05\xa8\1\1\x11\0", 11) + table +
                     repeated(size,
                              [](size_t) {
                                return std::string("\xff\xda\0\x08\1\1\0\1\1\0\x7f\xfd", 12);
                              }) +
                     "\xff\xd9";
            }),
      "it has more than 100 scans");
#endif
  check("jpeg: markers", 3, read, [](size_t size) {
    return "\xff\xd8" + repeated(size, [](size_t) { return std::string("\xff\xe1\0\2", 4); });
  });
}

#ifdef RAMP_PROTOZERO
TEST_CASE("onnx") {
  const Read read = [](const std::string& path) { OnnxModel net(path); };
  const auto graph = [&](const std::string& name, const std::string& piece) {
    return check(name, 4, read,
                 [&](size_t size) { return model(repeated(size, [&](size_t) { return piece; })); });
  };
  const std::string nul(1, '\0');
  has(graph("onnx: values", field(11, "")), "an input or result has no name");
  has(graph("onnx: results", field(12, "")), "an input or result has no name");
  has(graph("onnx: nodes", field(1, field(4, "X"))), "has no outputs");
  check("onnx: abs", 65, read, [&](size_t size) {
    return model(field(11, field(1, "0") + field(2, field(1, "\x08\x01"))) +
                 repeated(size,
                          [&](size_t i) {
                            return field(1, field(1, fmt::format("{:x}", i)) +
                                                field(2, fmt::format("{:x}", i + 1)) +
                                                field(4, "Abs"));
                          }) +
                 field(12, field(1, "1")));
  });
  has(check("onnx: node inputs", 3, read,
            [&](size_t size) {
              return model(
                  field(1, field(4, "X") + repeated(size, [&](size_t) { return field(1, ""); })));
            }),
      "more than 4096 inputs");
  check("onnx: node 4096 inputs", 20, read, [&](size_t size) {
    std::string in;
    for (int i = 0; i < 4096; ++i) in += field(1, "");
    return model(repeated(size, [&](size_t) { return field(1, field(4, "X") + in); }));
  });
  has(check("onnx: node attributes", 3, read,
            [&](size_t size) {
              return model(field(1, field(4, "X") + repeated(size, [&](size_t) {
                                      return field(5, field(1, "a"));
                                    })));
            }),
      "\"a\" has no type");
  check("onnx: 64 attributes", 3, read, [&](size_t size) {
    std::string in;
    for (int i = 0; i < 64; ++i) in += field(5, field(1, "a"));
    return model(repeated(size, [&](size_t) { return field(1, field(4, "X") + in); }));
  });
  check("onnx: texts", 3, read, [&](size_t size) {
    return model(field(1, field(4, "X") + field(5, field(1, "a") + repeated(size, [&](size_t) {
                                                     return field(9, "");
                                                   }))));
  });
  check("onnx: integers", 12, read, [&](size_t size) {
    return model(field(1, field(4, "X") + field(5, field(1, "a") + repeated(size, [&](size_t) {
                                                     return "\x40\1";
                                                   }))));
  });
  has(check("onnx: dims", 3, read,
            [&](size_t size) {
              return model(field(
                  11, field(1, "x") + field(2, field(1, std::string("\x08\x01") +
                                                            field(2, repeated(size, [&](size_t) {
                                                                    return field(1, "");
                                                                  }))))));
            }),
      "more than 8 dimensions");
  check("onnx: int32 data", 20, read, [&](size_t size) {
    const std::string dims = "\x08" + varint(size);
    return model(field(5, dims + "\x10\x06" + field(5, std::string(size, '\1')) + field(8, "w")));
  });
  check("onnx: bytes", 10, read, [&](size_t size) {
    const std::string dims = "\x08" + varint(size);
    return model(field(5, dims + "\x10\x03" + field(9, std::string(size, '\1')) + field(8, "w")));
  });
  has(graph("onnx: tensors", field(5, std::string("\x10\1", 2) + field(9, "abcd"))),
      "a tensor has no name");
  check("onnx: named tensors", 60, read, [&](size_t size) {
    return model(repeated(size, [&](size_t i) {
      return field(5,
                   std::string("\x10\1", 2) + field(8, fmt::format("{:x}", i)) + field(9, "abcd"));
    }));
  });
  check("onnx: empty tensors", 70, read, [&](size_t size) {
    return model(repeated(size, [&](size_t i) {
      return field(5, std::string("\x08\0\x10\1", 4) + field(8, fmt::format("{:x}", i)));
    }));
  });
  check("onnx: opsets", 30, read, [&](size_t size) {
    return repeated(size, [&](size_t) { return field(8, field(1, "a")); });
  });
  check("onnx: deep", 3, read, [&](size_t size) {
    std::string inner;
    while (inner.size() < size / 64) inner = field(1, field(5, field(6, inner)));
    return model(inner);
  });
}
#endif
