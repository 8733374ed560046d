#include "ramp/io/tensorboard.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "message.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/sequential.h"
#include "ramp/optim/sgd.h"
#include "ramp/train/tensorboard.h"
#include "scratch.h"

using namespace ramp;
namespace fs = std::filesystem;

namespace {

// Bit by bit, where the library has a table.
uint32_t crc32c(const std::string& data) {
  uint32_t crc = ~0u;
  for (const char c : data) {
    crc ^= static_cast<uint8_t>(c);
    for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
  }
  return ~crc;
}

template <typename T>
T at(const std::string& s, size_t i) {
  T v;
  REQUIRE(i + sizeof(T) <= s.size());
  std::memcpy(&v, s.data() + i, sizeof(T));
  return v;
}

// The records of a file, their checksums checked.
std::vector<std::string> records(const std::string& path) {
  const std::vector<uint8_t> bytes = read_all(path);
  const std::string s(bytes.begin(), bytes.end());
  std::vector<std::string> all;
  const auto check = [&](const std::string& data, size_t i) {
    CHECK(at<uint32_t>(s, i) == std::rotr(crc32c(data), 15) + 0xA282EAD8u);
  };
  for (size_t i = 0; i < s.size();) {
    const size_t n = at<uint64_t>(s, i);
    check(s.substr(i, 8), i + 8);
    all.push_back(s.substr(i + 12, n));
    check(all.back(), i + 12 + n);
    i += n + 16;
  }
  return all;
}

// A protocol buffer's fields: numbers as the 8 bytes they are.
std::multimap<uint64_t, std::string> fields(const std::string& s) {
  std::multimap<uint64_t, std::string> all;
  size_t i = 0;
  const auto varint = [&] {
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE(i < s.size());
      const uint64_t c = static_cast<uint8_t>(s[i++]);
      v |= (c & 127) << shift;
      if (c < 128) return v;
    }
  };
  while (i < s.size()) {
    const uint64_t key = varint();
    size_t n = 8;
    if ((key & 7) == 0) {
      const uint64_t v = varint();
      all.emplace(key >> 3, std::string(reinterpret_cast<const char*>(&v), 8));
      continue;
    }
    if ((key & 7) == 5) n = 4;
    if ((key & 7) == 2) n = varint();
    REQUIRE(i + n <= s.size());
    all.emplace(key >> 3, s.substr(i, n));
    i += n;
  }
  return all;
}

// What TensorBoard sees: tag, step, and the fields of the value.
struct Seen {
  std::string tag;
  int64_t step;
  std::multimap<uint64_t, std::string> value;
};
std::vector<Seen> seen(const std::string& path) {
  std::vector<Seen> all;
  const std::vector<std::string> list = records(path);
  REQUIRE(!list.empty());
  CHECK(fields(list[0]).find(3)->second == "brain.Event:2");
  for (size_t i = 1; i < list.size(); ++i) {
    const auto event = fields(list[i]);
    CHECK(at<double>(event.find(1)->second, 0) > 1.7e9);
    const auto value = fields(fields(event.find(5)->second).find(1)->second);
    all.push_back({value.find(1)->second, at<int64_t>(event.find(2)->second, 0), value});
  }
  return all;
}
double scalar_of(const Seen& s) { return at<float>(s.value.find(2)->second, 0); }
std::string only_file(const std::string& folder) {
  std::string path;
  for (const auto& f : fs::directory_iterator(folder)) {
    CHECK(path.empty());
    path = f.path().string();
  }
  return path;
}

// What tensorboard_judge.py expects.
void write_all(EventWriter& log) {
  for (int i = 0; i < 100; ++i) log.scalar("loss", i, 1.0 / (1 + i));
  log.scalar("large", int64_t{1} << 40, -1e30);
  log.scalar("nothing", 0, NAN);
  log.histogram("weights", 3, Tensor::arange(1000, f32).view({10, 100}), 10);
  log.histogram("same", 0, Tensor::full({5}, 2));
  log.histogram("none", 0, Tensor::zeros({0}));
  log.histogram("broken", 1, Tensor::of<float>({1, NAN, 2, INFINITY}), 2);
  log.image("grey", 1, Tensor::full({3, 5}, 0.5));
  log.image("colour", 2, Tensor::ones({4, 6, 3}));
  log.text("notes", 0,
           "# gr\xc3\xb6\xc3\x9f"
           "er\n\n* one");
  log.hparams({{"lr", 0.1}, {"layers", std::string("two")}, {"deep", true}}, {"loss"});
}

}  // namespace

TEST_CASE("CRC-32C as in RFC 3720") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
}

TEST_CASE("what is written can be read, its checksums are right") {
  const Scratch folder;
  {
    EventWriter log(folder.path("runs/a"));
    CHECK(records(log.path()).size() == 1);  // it is there at once
    write_all(log);
  }
  const std::vector<Seen> all = seen(only_file(folder.path("runs/a")));
  REQUIRE(all.size() == 100 + 2 + 5 + 2 + 1 + 3);
  CHECK(all[0].tag == "loss");
  CHECK(scalar_of(all[1]) == 0.5);
  CHECK(all[99].step == 99);
  CHECK(all[100].step == int64_t{1} << 40);
  CHECK(std::isnan(scalar_of(all[101])));

  const auto histogram = fields(all[102].value.find(5)->second);
  CHECK(at<double>(histogram.find(1)->second, 0) == 0);
  CHECK(at<double>(histogram.find(2)->second, 0) == 999);
  CHECK(at<double>(histogram.find(3)->second, 0) == 1000);
  CHECK(at<double>(histogram.find(4)->second, 0) == 499500);
  CHECK(at<double>(histogram.find(5)->second, 0) == 332833500);
  const std::string &limits = histogram.find(6)->second, &counts = histogram.find(7)->second;
  REQUIRE(limits.size() == 80);
  CHECK(at<double>(limits, 0) == doctest::Approx(99.9));
  CHECK(at<double>(limits, 72) == 999);
  for (size_t i = 0; i < 10; ++i) CHECK(at<double>(counts, 8 * i) == 100);
  const auto same = fields(all[103].value.find(5)->second);
  CHECK(same.find(6)->second.size() == 8);
  CHECK(at<double>(same.find(7)->second, 0) == 5);
  CHECK(at<double>(fields(all[104].value.find(5)->second).find(3)->second, 0) == 0);
  CHECK(all[105].tag == "broken/not finite");
  CHECK(scalar_of(all[105]) == 2);
  CHECK(at<double>(fields(all[106].value.find(5)->second).find(3)->second, 0) == 2);

  const auto image = fields(all[107].value.find(4)->second);
  CHECK(at<int64_t>(image.find(1)->second, 0) == 3);
  CHECK(at<int64_t>(image.find(2)->second, 0) == 5);
  CHECK(at<int64_t>(image.find(3)->second, 0) == 1);
  CHECK(image.find(4)->second.substr(1, 3) == "PNG");
  CHECK(all[109].tag == "notes/text_summary");
  CHECK(all[110].tag == "_hparams_/experiment");
}

TEST_CASE("two writers of one folder have a file each") {
  const Scratch folder;
  EventWriter a(folder.path("x")), b(folder.path("x"));
  CHECK(a.path() != b.path());
  // Later than flush_seconds, all is in the file.
  EventWriter at_once(folder.path("y"), {.flush_seconds = 0});
  at_once.scalar("x", 1, 2);
  CHECK(seen(at_once.path()).size() == 1);
}

TEST_CASE("bad input, and nothing of it in the file") {
  const Scratch folder;
  EventWriter log(folder.path("x"));
  CHECK(message([&] { log.scalar("", 0, 1); }) == "EventWriter: expected a tag; got none.");
  CHECK(message([&] { log.scalar("\xff", 0, 1); }) ==
        "EventWriter: expected tags and texts in UTF-8; got other bytes.");
  CHECK(message([&] { log.text("t", 0, "\xc3"); }).find("UTF-8") != std::string::npos);
  CHECK(message([&] { log.scalar("t", -1, 1); }) ==
        "EventWriter: expected a step of at least 0; got -1.");
  CHECK(message([&] { log.histogram("t", 0, Tensor()); }).find("undefined") != std::string::npos);
  CHECK(message([&] { log.histogram("t", 0, Tensor::ones({2}), 0); }).find("1 to 1000000") !=
        std::string::npos);
  CHECK(message([&] { log.image("t", 0, Tensor::ones({2})); }) != "no error");
  log.flush();
  CHECK(seen(log.path()).empty());
  std::ofstream(folder.path("file")) << "x";
  CHECK(message([&] { EventWriter(folder.path("file")); }).find("EventWriter: cannot") == 0);
  CHECK(message([&] { TensorBoard(folder.path("y"), {.every = 0}); }).find("every of at least 1") !=
        std::string::npos);
}

TEST_CASE("a full disk is an error, and what was written before stays whole") {
  const Scratch folder;
  EventWriter log(folder.path("x"));
  log.scalar("t", 0, 1);
  log.flush();
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = old;
  small.rlim_cur = fs::file_size(log.path());
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  log.scalar("t", 1, 1);
  const std::string text = message([&] { log.flush(); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK(text == fmt::format("EventWriter: cannot write {}: File too large.", log.path()));
  log.flush();  // there is room again
  CHECK(seen(log.path()).size() == 2);
}

TEST_CASE("a callback of fit") {
  const Scratch folder;
  seed_layers(1);
  Sequential net{Dense(2, 3, ReLU{}), Dense(3, 2)};
  Rng rng(1);
  const Dataset data{rng.normal({20, 2}), rng.randint({20}, 0, 2)};
  SGD sgd(net, {.lr = 0.1, .schedule = [](double t) { return 1 / (t + 1); }});
  const History h =
      fit(net, sgd, data,
          {.epochs = 2,
           .batch = 5,
           .valid = data,
           .out = nullptr,
           .callbacks = {TensorBoard(folder.path("x"),
                                     {.every = 2, .hparams = {{"lr", 0.1}}})}});  // a temporary
  std::map<std::string, std::vector<std::pair<int64_t, double>>> scalars;
  std::map<std::string, int> others;
  for (const Seen& s : seen(only_file(folder.path("x")))) {
    if (s.value.contains(2)) {
      scalars[s.tag].emplace_back(s.step, scalar_of(s));
    } else {
      ++others[s.tag];
    }
  }
  CHECK(scalars["step/loss"].size() == 5);  // steps 1, 2, 4, 6, 8
  CHECK(scalars["step/lr"][0] == std::pair<int64_t, double>(1, 0.1f));
  CHECK(scalars["step/lr"][4] == std::pair<int64_t, double>(8, static_cast<float>(0.1 / 8)));
  for (const std::string& column : h.columns()) {
    INFO(column);
    REQUIRE(scalars["epoch/" + column].size() == 2);
    CHECK(scalars["epoch/" + column][1].first == 2);
    CHECK(scalars["epoch/" + column][1].second == static_cast<float>(h.last()[column].value));
  }
  CHECK(scalars.size() == 2 + h.columns().size());
  CHECK(others["model/text_summary"] == 1);
  CHECK(others["_hparams_/experiment"] == 1);
  for (const NamedTensor& p : net.named_parameters()) CHECK(others["weights/" + p.name] == 2);
}

// For tensorboard_judge.py.
TEST_CASE("judge") {
  const char* folder = std::getenv("RAMP_TENSORBOARD_JUDGE");
  if (!folder) return;
  EventWriter log(folder);
  write_all(log);
}
