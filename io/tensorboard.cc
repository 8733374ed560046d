#include "ramp/io/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "ramp/data/image.h"

namespace ramp {
namespace {

static_assert(std::endian::native == std::endian::little, "the records are little-endian");

template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    table[i] = crc;
  }
  return table;
}();

// As the records have it: turned by 15 bits and moved, so that the CRC of bytes that hold a CRC is
// no trivial one.
uint32_t masked_crc(const std::string& data) {
  uint32_t crc = ~0u;
  for (const char c : data) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 255];
  return std::rotr(~crc, 15) + 0xA282EAD8u;
}

// A protocol buffer, field by field: the number with the kind in the lowest 3 bits, then the value.
class Message {
 public:
  Message& integer(uint64_t field, uint64_t value) { return varint(field << 3).varint(value); }
  Message& real(uint64_t field, double value) { return varint(field << 3 | 1).add(raw(value)); }
  Message& real32(uint64_t field, float value) { return varint(field << 3 | 5).add(raw(value)); }
  Message& bytes(uint64_t field, const std::string& value) {
    return varint(field << 3 | 2).varint(value.size()).add(value);
  }
  Message& reals(uint64_t field, const std::vector<double>& values) {
    std::string packed;
    for (const double v : values) packed += raw(v);
    return bytes(field, packed);
  }
  Message& message(uint64_t field, const Message& value) { return bytes(field, value.bytes_); }
  const std::string& str() const { return bytes_; }

 private:
  Message& varint(uint64_t v) {
    for (; v > 127; v >>= 7) bytes_ += static_cast<char>(v | 128);
    bytes_ += static_cast<char>(v);
    return *this;
  }
  Message& add(const std::string& s) { return bytes_ += s, *this; }
  std::string bytes_;
};

// Errors: it is not UTF-8, which readers of protocol buffers refuse, the whole record with it.
const std::string& utf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    fail("EventWriter: expected tags and texts in UTF-8; got other bytes.");
  }
  return text;
}

// Field numbers of summary.proto.
enum SummaryField : uint64_t { kValue = 1 };
enum ValueField : uint64_t {
  kTag = 1,
  kSimple = 2,
  kImage = 4,
  kHistogram = 5,
  kTensor = 8,
  kMeta = 9
};

Message value(const std::string& tag) {
  fail_if(tag.empty(), "EventWriter: expected a tag; got none.");
  return Message().bytes(kTag, utf8(tag));
}
// SummaryMetadata: the plugin that draws the value, and what it alone understands.
Message made_for(const std::string& plugin, const Message& content = {}) {
  return Message().message(1, Message().bytes(1, plugin).message(2, content));
}
std::string summary(const Message& value) { return Message().message(kValue, value).str(); }

}  // namespace

EventWriter::EventWriter(const std::string& folder, const EventWriterOptions& options)
    : flush_seconds_(options.flush_seconds), flushed_(std::chrono::steady_clock::now()) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  fail_if(static_cast<bool>(error), "EventWriter: cannot make the folder {}: {}.", folder,
          error.message());
  char host[256] = "host";
  gethostname(host, sizeof(host) - 1);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  static std::atomic<int> number{0};
  do {
    path_ = fmt::format("{}/events.out.tfevents.{}.{}.{}.{}", folder,
                        std::chrono::duration_cast<std::chrono::seconds>(now).count(), host,
                        getpid(), number.fetch_add(1));
    fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_APPEND, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  fail_if(fd_ < 0, "EventWriter: cannot create {}: {}. Hint: the folder must be writable.", path_,
          std::strerror(errno));
  // The first record says what the file is (Event.file_version).
  record(Message().real(1, 0).bytes(3, "brain.Event:2").str());
  try {
    flush();
  } catch (const Error&) {
    close(fd_);
    throw;
  }
}

EventWriter::~EventWriter() {
  try {
    flush();
  } catch (const Error&) {  // nobody is left to be told
  }
  close(fd_);
}

// A TFRecord: length, its CRC, data, its CRC.
void EventWriter::record(const std::string& data) {
  const std::string length = raw(uint64_t{data.size()});
  buffer_ += length + raw(masked_crc(length)) + data + raw(masked_crc(data));
}

void EventWriter::event(int64_t step, const std::string& summary) {
  fail_if(step < 0, "EventWriter: expected a step of at least 0; got {}.", step);
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  record(Message()
             .real(1, now.count())
             .integer(2, static_cast<uint64_t>(step))
             .bytes(5, summary)
             .str());
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - flushed_;
  if (since.count() >= flush_seconds_ || buffer_.size() > (1 << 20)) flush();
}

void EventWriter::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      buffer_.erase(0, done);  // no byte is written twice
      fail("EventWriter: cannot write {}: {}.", path_, std::strerror(errno));
    }
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
  flushed_ = std::chrono::steady_clock::now();
}

void EventWriter::scalar(const std::string& tag, int64_t step, double v) {
  event(step, summary(value(tag).real32(kSimple, static_cast<float>(v))));
}

void EventWriter::histogram(const std::string& tag, int64_t step, const Tensor& x,
                            int64_t buckets) {
  fail_if(buckets < 1 || buckets > 1'000'000, "EventWriter: expected 1 to 1000000 buckets; got {}.",
          buckets);
  check_defined("EventWriter", tag, x);
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, squares = 0;
  int64_t count = 0;
  const auto each = [&](auto f) {
    visit_dtype(x.dtype(), [&]<typename T>(T) {
      const T* values = x.data<T>();
      for (int64_t i = 0; i < x.numel(); ++i)
        if (const double v = static_cast<double>(values[i]); std::isfinite(v)) f(v);
    });
  };
  each([&](double v) {
    low = std::min(low, v);
    high = std::max(high, v);
    sum += v;
    squares += v * v;
    ++count;
  });
  if (count < x.numel()) scalar(tag + "/not finite", step, static_cast<double>(x.numel() - count));
  if (count == 0) low = high = 0;
  const size_t n = high > low ? static_cast<size_t>(buckets) : 1;
  std::vector<double> limits(n), counts(n);
  for (size_t i = 0; i < n; ++i) {
    const double part = static_cast<double>(i + 1) / static_cast<double>(n);
    limits[i] = i + 1 == n ? high : low * (1 - part) + high * part;  // (high - low may be inf)
  }
  each([&](double v) {  // a bucket is (limit before, limit]
    const auto at = std::ranges::lower_bound(limits, v);
    counts[std::min(n - 1, static_cast<size_t>(at - limits.begin()))] += 1;
  });
  Message histogram;
  histogram.real(1, low).real(2, high).real(3, static_cast<double>(count)).real(4, sum);
  histogram.real(5, squares).reals(6, limits).reals(7, counts);
  event(step, summary(value(tag).message(kHistogram, histogram)));
}

void EventWriter::image(const std::string& tag, int64_t step, const Tensor& image) {
  const std::vector<uint8_t> png = encode_png(image);
  Message m;
  m.integer(1, static_cast<uint64_t>(image.dim(0)));
  m.integer(2, static_cast<uint64_t>(image.dim(1)));
  m.integer(3, image.rank() == 3 ? static_cast<uint64_t>(image.dim(2)) : 1);
  m.bytes(4, std::string(png.begin(), png.end()));
  event(step, summary(value(tag).message(kImage, m)));
}

void EventWriter::text(const std::string& tag, int64_t step, const std::string& markdown) {
  // TensorProto: DT_STRING, shape [1].
  const Message shape = Message().message(2, Message().integer(1, 1));
  const Message tensor = Message().integer(1, 7).message(2, shape).bytes(8, utf8(markdown));
  event(
      step,
      summary(
          value(tag + "/text_summary").message(kTensor, tensor).message(kMeta, made_for("text"))));
}

void EventWriter::hparams(const HParams& values, const std::vector<std::string>& metrics) {
  // plugins/hparams/plugin_data.proto and api.proto; values are google.protobuf.Value.
  Message experiment, start;
  for (const auto& [name, v] : values) {
    Message as_value;
    uint64_t type = 3;  // DATA_TYPE_FLOAT64
    if (const auto* number = std::get_if<double>(&v)) as_value.real(2, *number);
    if (const auto* text = std::get_if<std::string>(&v)) {
      as_value.bytes(3, utf8(*text));
      type = 1;
    }
    if (const auto* on = std::get_if<bool>(&v)) {
      as_value.integer(4, *on ? 1 : 0);
      type = 2;
    }
    experiment.message(4, Message().bytes(1, utf8(name)).integer(4, type));
    start.message(1, Message().bytes(1, name).message(2, as_value));
  }
  for (const std::string& tag : metrics)
    experiment.message(5, Message().message(1, Message().bytes(2, utf8(tag))));
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  start.real(5, now.count());
  const Message end = Message().integer(1, 1);  // STATUS_SUCCESS
  // A value needs a tensor: DT_FLOAT, shape [0].
  const Message shape = Message().message(2, Message().integer(1, 0));
  const Message none = Message().integer(1, 1).message(2, shape);
  const auto part = [&](const char* tag, uint64_t field, const Message& content) {
    event(0, summary(value(tag)
                         .message(kTensor, none)
                         .message(kMeta, made_for("hparams", Message().message(field, content)))));
  };
  part("_hparams_/experiment", 2, experiment);
  part("_hparams_/session_start_info", 3, start);
  part("_hparams_/session_end_info", 4, end);
}

}  // namespace ramp
