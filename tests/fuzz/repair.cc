#include "repair.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "../scratch.h"

[[gnu::weak]] void repair(std::vector<uint8_t>&) {}

namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kMost = 1 << 16;  // of what is unpacked

void put(Bytes& to, uint64_t value, int n) {
  for (int i = 0; i < n; ++i, value >>= 8) to.push_back(static_cast<uint8_t>(value));
}
uint32_t crc_of(const uint8_t* bytes, size_t n) {
  return static_cast<uint32_t>(crc32(0, bytes, static_cast<uInt>(n)));
}

Bytes unpacked(const uint8_t* bytes, size_t n, int window) {
  Bytes out(kMost);
  z_stream z{};
  if (inflateInit2(&z, window) != Z_OK) return {};
  z.next_in = const_cast<uint8_t*>(bytes);
  z.avail_in = static_cast<uInt>(n);
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  inflate(&z, Z_SYNC_FLUSH);
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

Bytes packed(const Bytes& bytes, int window) { return deflated(bytes, window, 1); }

}  // namespace

void repair_gzip(Bytes& bytes) {
  if (bytes.size() < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b) return;
  bytes = packed(unpacked(bytes.data(), bytes.size(), 15 + 16), 15 + 16);
}

void repair_zip(Bytes& bytes) {
  constexpr std::string_view kLocal("PK\3\4"), kCentral("PK\1\2");
  const Bytes old = bytes;
  const std::string_view text(reinterpret_cast<const char*>(old.data()), old.size());
  if (!text.starts_with(kLocal)) return;
  bytes.clear();
  Bytes directory;
  uint64_t count = 0;
  for (size_t at = 0; at != text.npos && text.size() - at >= 30;) {
    const size_t next = text.find(kLocal, at + 4);
    const size_t end = std::min({next, text.find(kCentral, at), text.size()});
    const size_t name = static_cast<size_t>(old[at + 26] | old[at + 27] << 8);
    if (end < at + 30 || name > end - at - 30) break;
    const uint8_t* data = old.data() + at + 30 + name;
    const size_t n = end - at - 30 - name;
    const bool deflated = old[at + 8] == 8;
    const Bytes plain = deflated ? unpacked(data, n, -15) : Bytes(data, data + n);
    const Bytes stored = deflated ? packed(plain, -15) : plain;
    Bytes common;
    for (const uint64_t v :
         {uint64_t{20}, uint64_t{0}, uint64_t{old[at + 8]}, uint64_t{0}, uint64_t{33}})
      put(common, v, 2);
    for (const uint64_t v : {uint64_t{crc_of(plain.data(), plain.size())}, uint64_t{stored.size()},
                             uint64_t{plain.size()}})
      put(common, v, 4);
    put(common, name, 2);
    put(common, 0, 2);
    const uint64_t begin = bytes.size();
    const auto add = [](Bytes& to, const auto& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    const std::string_view title = text.substr(at + 30, name);
    add(bytes, kLocal);
    add(bytes, common);
    add(bytes, title);
    add(bytes, stored);
    add(directory, kCentral);
    put(directory, 20, 2);
    add(directory, common);
    put(directory, 0, 10);
    put(directory, begin, 4);
    add(directory, title);
    ++count;
    at = next;
  }
  const uint64_t begin = bytes.size();
  bytes.insert(bytes.end(), directory.begin(), directory.end());
  put(bytes, 0x06054b50, 4);
  put(bytes, 0, 4);
  put(bytes, count, 2);
  put(bytes, count, 2);
  put(bytes, directory.size(), 4);
  put(bytes, begin, 4);
  put(bytes, 0, 2);
}

void repair_png(Bytes& bytes) {
  const Bytes old = bytes;
  if (old.size() < 8 || std::memcmp(old.data(), "\x89PNG", 4) != 0) return;
  bytes.resize(8);
  for (size_t at = 8; old.size() - at >= 12;) {
    const uint8_t* b = old.data() + at;
    const size_t said = static_cast<size_t>(b[0]) << 24 | static_cast<size_t>(b[1]) << 16 |
                        static_cast<size_t>(b[2]) << 8 | b[3];
    const size_t n = std::min(said, old.size() - at - 12);
    Bytes chunk(b + 4, b + 8 + n);
    // (Of pixels in more than one chunk each is packed by itself: damaged, as before.)
    if (std::memcmp(b + 4, "IDAT", 4) == 0) {
      const Bytes again = packed(unpacked(b + 8, n, 15), 15);
      chunk.resize(4);
      chunk.insert(chunk.end(), again.begin(), again.end());
    }
    for (const int shift : {24, 16, 8, 0})
      bytes.push_back(static_cast<uint8_t>((chunk.size() - 4) >> shift));
    bytes.insert(bytes.end(), chunk.begin(), chunk.end());
    const uint32_t crc = crc_of(chunk.data(), chunk.size());
    for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<uint8_t>(crc >> shift));
    at += 12 + n;
  }
}

void repair_safetensors(Bytes& bytes) {
  if (bytes.size() < 10) return;
  size_t end = 8;
  int depth = 0;
  bool quoted = false;
  for (; end < bytes.size(); ++end) {
    const uint8_t c = bytes[end];
    if (c == '"') quoted = !quoted;
    if (quoted && c == '\\') ++end;
    if (quoted) continue;
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) break;
  }
  if (end >= bytes.size()) return;
  const uint64_t length = end + 1 - 8;
  std::memcpy(bytes.data(), &length, 8);
  // As much data as the last tensor says.
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  constexpr std::string_view kOffsets = "\"data_offsets\":[";
  size_t most = 0;
  for (size_t at = 0; (at = header.find(kOffsets, at)) != header.npos;) {
    at += kOffsets.size();
    size_t n = 0;
    for (; at < header.size() && header[at] != ']'; ++at) {
      if (header[at] == ',') n = 0;
      if (header[at] >= '0' && header[at] <= '9')
        n = std::min(10 * n + static_cast<size_t>(header[at] - '0'), kMost);
    }
    most = std::max(most, n);
  }
  if (most < kMost) bytes.resize(8 + length + most);
}
