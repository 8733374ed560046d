#include "ramp/data/image.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#ifdef RAMP_PNG
#include <png.h>
#endif
#ifdef RAMP_JPEG
#include <jpeglib.h>
// Behind jpeglib.h.
#include <jerror.h>
#endif

#include "ramp/core/parallel.h"
#include "ramp/data/new_file.h"
#include "ramp/data/read_file.h"

namespace ramp {
namespace {

using Bytes = std::span<const uint8_t>;

// What is decoded, and what errors call it.
struct Input {
  std::string name;  // "read_image: cat.png"
  Bytes bytes;
  int64_t max_pixels;

  [[noreturn]] void bad(std::string_view why) const { fail("{} {}.", name, why); }
  // Before memory is taken: so many pixels, of which the bytes can hold at most so many.
  void check_size(const char* format, int64_t h, int64_t w, double most) const {
    const double pixels = static_cast<double>(h) * static_cast<double>(w);
    fail_if(
        pixels <= most && pixels > static_cast<double>(max_pixels),
        "{} is a {} of {} x {} pixels, more than {}. Hint: {{.max_pixels = {}}} if it is meant.",
        name, format, h, w, max_pixels, h * w);
    if (h >= 1 && w >= 1 && pixels <= most) return;
    fail(
        "{} says it is a {} of {} x {} pixels, and has {} bytes. Hint: it is damaged, or cut "
        "short.",
        name, format, h, w, bytes.size());
  }
};

// An image as files have it: rows of samples of one byte, or of two (the high one first).
struct Pixels {
  int64_t h = 0, w = 0, c = 0;
  int64_t most = 255;  // the sample that stands for 1; above 255: two bytes
  std::vector<uint8_t> bytes;
  int orientation = 1;  // Exif's
};

// libpng and libjpeg report errors by longjmp, which passes over destructors. So all that has one
// lives in the object around the call, and the frames that are left have nothing to destroy.
template <typename Reader>
class LongJumps {
 protected:
  bool attempt(void (Reader::*step)()) {
    if (setjmp(jump_) != 0) return false;
    (static_cast<Reader*>(this)->*step)();
    return true;
  }
  std::jmp_buf jump_;
  char message_[256] = {};
};

#ifdef RAMP_PNG
class PngReader : LongJumps<PngReader> {
 public:
  explicit PngReader(const Input& in) : in_(in) {}
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;

  Pixels read() {
    if (!attempt(&PngReader::read_header)) fail_damaged();
    // A byte of deflate stands for at most 1032.
    in_.check_size("PNG", p_.h, p_.w, 1032.0 * 8 / bits_ * static_cast<double>(in_.bytes.size()));
    p_.bytes.resize(static_cast<size_t>(p_.h) * row_bytes_);
    if (!attempt(&PngReader::read_rows)) fail_damaged();
    return std::move(p_);
  }

 private:
  friend LongJumps<PngReader>;
  void read_header() {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error,
                                  [](png_structp, png_const_charp) {});
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
    if (!info_) give_up("no memory");
    png_set_read_fn(png_, this, give);
    // Texts and profiles are passed over: packed, a thousand of them can stand for 8 GB.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
    p_.h = png_get_image_height(png_, info_);
    p_.w = png_get_image_width(png_, info_);
    bits_ = png_get_bit_depth(png_, info_) * png_get_channels(png_, info_);
    png_set_expand(png_);  // palettes, few bits and transparent colours: samples of 8 or 16 bits
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    p_.c = png_get_channels(png_, info_);
    p_.most = png_get_bit_depth(png_, info_) == 16 ? 65535 : 255;
    row_bytes_ = png_get_rowbytes(png_, info_);
  }
  void read_rows() {
    for (int pass = 0; pass < passes_; ++pass) {
      for (int64_t i = 0; i < p_.h; ++i) {
        png_read_row(png_, &p_.bytes[static_cast<size_t>(i) * row_bytes_], nullptr);
      }
    }
    png_read_end(png_, nullptr);
  }
  [[noreturn]] void give_up(const char* why) {
    std::snprintf(message_, sizeof(message_), "%s", why);
    std::longjmp(jump_, 1);
  }
  [[noreturn]] static void on_error(png_structp png, png_const_charp why) {
    static_cast<PngReader*>(png_get_error_ptr(png))->give_up(why);
  }
  static void give(png_structp png, png_bytep to, size_t n) {
    PngReader* self = static_cast<PngReader*>(png_get_io_ptr(png));
    if (n > self->in_.bytes.size() - self->at_) png_error(png, "it is cut short");
    std::memcpy(to, self->in_.bytes.data() + self->at_, n);
    self->at_ += n;
  }
  [[noreturn]] void fail_damaged() const {
    in_.bad(fmt::format("is a PNG that cannot be read: {}", message_));
  }

  const Input& in_;
  size_t at_ = 0, row_bytes_ = 0;
  int bits_ = 0, passes_ = 0;
  Pixels p_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};
#endif

#ifdef RAMP_JPEG
// How the camera was held: 1 (upright) to 8, as Exif 2.3, tag 0x0112 says; 1 where it does not.
int orientation_of(Bytes exif) {
  if (exif.size() < 14 || std::memcmp(exif.data(), "Exif\0", 6) != 0) return 1;
  const Bytes tiff = exif.subspan(6);
  const bool little = tiff[0] == 'I';
  const auto number = [&](size_t at, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size && at + i < tiff.size(); ++i) {
      n |= static_cast<size_t>(tiff[at + i]) << 8 * (little ? i : size - 1 - i);
    }
    return n;
  };
  const size_t directory = number(4, 4), entries = number(directory, 2);
  for (size_t k = 0; k < entries; ++k) {
    const size_t entry = directory + 2 + 12 * k, value = number(entry + 8, 2);
    if (number(entry, 2) == 0x0112) return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

class JpegReader : LongJumps<JpegReader> {
 public:
  explicit JpegReader(const Input& in) : in_(in) {}
  ~JpegReader() { jpeg_destroy_decompress(&jpeg_); }
  JpegReader(const JpegReader&) = delete;

  Pixels read() {
    if (!attempt(&JpegReader::read_header)) fail_damaged();
    // A bit of a progressive file can stand for a block of 8 x 8.
    in_.check_size("JPEG", p_.h, p_.w, 1024.0 * static_cast<double>(in_.bytes.size()));
    p_.bytes.resize(static_cast<size_t>(p_.h * p_.w * p_.c));
    if (!attempt(&JpegReader::read_rows)) fail_damaged();
    if (p_.c == 4) to_rgb();
    return std::move(p_);
  }

 private:
  friend LongJumps<JpegReader>;
  void read_header() {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = on_error;
    errors_.emit_message = on_warning;
    jpeg_.client_data = this;
    jpeg_create_decompress(&jpeg_);
    progress_.progress_monitor = on_progress;
    jpeg_.progress = &progress_;
    jpeg_mem_src(&jpeg_, in_.bytes.data(), in_.bytes.size());
    jpeg_set_marker_processor(&jpeg_, JPEG_APP0 + 1, read_exif);
    jpeg_read_header(&jpeg_, TRUE);
    p_.h = jpeg_.image_height;
    p_.w = jpeg_.image_width;
    const J_COLOR_SPACE from = jpeg_.jpeg_color_space;
    const bool cmyk = from == JCS_CMYK || from == JCS_YCCK;
    jpeg_.out_color_space = cmyk ? JCS_CMYK : from == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    p_.c = cmyk ? 4 : from == JCS_GRAYSCALE ? 1 : 3;
  }
  void read_rows() {
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      JSAMPROW row = &p_.bytes[jpeg_.output_scanline * static_cast<size_t>(p_.w * p_.c)];
      jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    jpeg_finish_decompress(&jpeg_);
  }
  // Ink takes light away. Adobe's files have the light that is left.
  void to_rgb() {
    const int flip = jpeg_.saw_Adobe_marker ? 0 : 255;
    uint8_t* to = p_.bytes.data();
    for (const uint8_t *q = to, *end = to + p_.bytes.size(); q < end; q += 4) {
      for (int k = 0; k < 3; ++k) {
        *to++ = static_cast<uint8_t>(((q[k] ^ flip) * (q[3] ^ flip) + 127) / 255);
      }
    }
    p_.c = 3;
    p_.bytes.resize(static_cast<size_t>(p_.h * p_.w * 3));
  }
  [[noreturn]] static void on_error(j_common_ptr jpeg) {
    JpegReader* self = static_cast<JpegReader*>(jpeg->client_data);
    static_assert(sizeof(self->message_) >= JMSG_LENGTH_MAX);
    self->errors_.format_message(jpeg, self->message_);
    std::longjmp(self->jump_, 1);
  }
  // Where the library would go on and fill in grey, the file is damaged; the rest is harmless.
  static void on_warning(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    for (const int damage : {JWRN_JPEG_EOF, JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE,
                             JWRN_ARITH_BAD_CODE, JWRN_MUST_RESYNC}) {
      if (jpeg->err->msg_code == damage) on_error(jpeg);
    }
  }
  // (The library's own list of markers takes time that grows with the square of their number.)
  static boolean read_exif(j_decompress_ptr jpeg) {
    jpeg_source_mgr& from = *jpeg->src;  // all of the file
    const uint8_t* p = from.next_input_byte;
    const size_t n = from.bytes_in_buffer < 2 ? 0 : p[0] * 256u + p[1];
    if (n < 2 || n > from.bytes_in_buffer) ERREXIT(jpeg, n == 1 ? JERR_BAD_LENGTH : JERR_INPUT_EOF);
    const int found = orientation_of({p + 2, n - 2});
    if (found != 1) static_cast<JpegReader*>(jpeg->client_data)->p_.orientation = found;
    from.next_input_byte += n;
    from.bytes_in_buffer -= n;
    return TRUE;
  }
  // A scan of a progressive file goes over all pixels, and may have twelve bytes; ten are usual.
  static void on_progress(j_common_ptr jpeg) {
    JpegReader* self = static_cast<JpegReader*>(jpeg->client_data);
    if (self->jpeg_.input_scan_number <= 100) return;
    std::snprintf(self->message_, sizeof(self->message_), "it has more than 100 scans");
    std::longjmp(self->jump_, 1);
  }
  [[noreturn]] void fail_damaged() const {
    const bool cut = errors_.msg_code == JWRN_JPEG_EOF || errors_.msg_code == JERR_INPUT_EOF;
    in_.bad(fmt::format("is a JPEG that cannot be read: {}", cut ? "it is cut short" : message_));
  }

  const Input& in_;
  Pixels p_;
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  jpeg_decompress_struct jpeg_ = {};
};
#endif

// P2, P3: numbers as text; P5, P6: as bytes. Behind the kind: width, height, the largest sample.
Pixels read_pnm(const Input& in) {
  const Bytes b = in.bytes;
  size_t at = 2;
  const auto space = [&] { return at < b.size() && std::isspace(b[at]); };
  const auto number = [&](const char* what, int64_t most) {
    while (space() || (at < b.size() && b[at] == '#')) {
      if (b[at] == '#') {
        while (at < b.size() && b[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
    int64_t n = -1;
    for (; at < b.size() && std::isdigit(b[at]) && n <= most; ++at) {
      n = 10 * std::max<int64_t>(n, 0) + b[at] - '0';
    }
    if (n < 0 || n > most) {
      in.bad(fmt::format("is a P{:c} image whose {} {}", b[1], what,
                         n < 0 ? "is missing" : fmt::format("is larger than {}", most)));
    }
    return n;
  };
  const bool text = b[1] < '5';
  Pixels p;
  p.c = b[1] == '3' || b[1] == '6' ? 3 : 1;
  p.w = number("width", 1 << 30);
  p.h = number("height", 1 << 30);
  p.most = number("largest value", 65535);
  const int64_t size = p.most > 255 ? 2 : 1;  // of a sample, in bytes
  if (p.most == 0 || !space())
    in.bad(fmt::format("is a P{:c} image whose header is damaged", b[1]));
  ++at;
  const size_t left = b.size() - at;
  in.check_size(p.c == 3 ? "PPM" : "PGM", p.h, p.w,
                (text ? static_cast<double>(left + 1) / 2 : static_cast<double>(left / size)) /
                    static_cast<double>(p.c));
  const int64_t samples = p.h * p.w * p.c;
  if (text) {
    for (int64_t i = 0; i < samples; ++i) {
      const int64_t n = number("value", p.most);
      if (size == 2) p.bytes.push_back(static_cast<uint8_t>(n >> 8));
      p.bytes.push_back(static_cast<uint8_t>(n));
    }
  } else {
    p.bytes.assign(b.begin() + static_cast<int64_t>(at),
                   b.begin() + static_cast<int64_t>(at) + samples * size);
    at += static_cast<size_t>(samples * size);
  }
  while (space()) ++at;
  if (at < b.size()) {
    in.bad(fmt::format("has {} bytes behind its {} x {} pixels", b.size() - at, p.h, p.w));
  }
  return p;
}

// What a format's files begin with.
struct Format {
  std::string_view start, name;
  Pixels (*read)(const Input& in);
  const char* package;  // which reads it
};
template <typename Reader>
Pixels read_with(const Input& in) {
  return Reader(in).read();
}
constexpr Format kFormats[] = {
#ifdef RAMP_PNG
    {"\x89PNG\r\n", "PNG", read_with<PngReader>, nullptr},
#else
    {"\x89PNG\r\n", "PNG", nullptr, "libpng"},
#endif
#ifdef RAMP_JPEG
    {"\xFF\xD8\xFF", "JPEG", read_with<JpegReader>, nullptr},
#else
    {"\xFF\xD8\xFF", "JPEG", nullptr, "libjpeg"},
#endif
    {"P2", "PGM", read_pnm, nullptr},
    {"P5", "PGM", read_pnm, nullptr},
    {"P3", "PPM", read_pnm, nullptr},
    {"P6", "PPM", read_pnm, nullptr},
    {"P1", "PBM", nullptr, nullptr},
    {"P4", "PBM", nullptr, nullptr},
    {"P7", "PAM", nullptr, nullptr},
    {"GIF8", "GIF", nullptr, nullptr},
    {"RIFF", "RIFF file (WebP)", nullptr, nullptr},
    {"BM", "BMP", nullptr, nullptr},
    {"II*", "TIFF", nullptr, nullptr},
    {std::string_view("MM\0*", 4), "TIFF", nullptr, nullptr},
    {std::string_view("\0\0\0", 3), "HEIC, AVIF or video", nullptr, nullptr},
    {std::string_view("\0\0\1", 3), "ICO", nullptr, nullptr},
    {"<", "text file (SVG or HTML)", nullptr, nullptr},
};

Pixels decode(const Input& in) {
  if (in.bytes.empty()) in.bad("is empty");
  const std::string_view text(reinterpret_cast<const char*>(in.bytes.data()), in.bytes.size());
  for (const Format& f : kFormats) {
    if (!text.starts_with(f.start)) continue;
    if (f.read) return f.read(in);
    if (f.package) {
      fail(
          "{} is a {}, and ramp was built without {}. Hint: apt-get install {}-dev, then build "
          "ramp "
          "again (cmake --fresh).",
          in.name, f.name, f.package, f.package);
    }
    fail(
        "{} must be a PNG, JPEG, PGM or PPM; it is a {}. Hint: convert it, as with ImageMagick: "
        "convert "
        "in out.png.",
        in.name, f.name);
  }
  fail("{} must be a PNG, JPEG, PGM or PPM; it begins with {:02x} {:02x}.", in.name, in.bytes[0],
       in.bytes.size() > 1 ? in.bytes[1] : 0);
}

// f32 [h, w, c], upright.
Tensor to_tensor(const Input& in, const Pixels& p) {
  const bool turned = p.orientation > 4, two = p.most > 255;
  // What is shown at the top, or at the left, is the last row or column: a bit each orientation.
  const bool last_row = 0b011011000 >> p.orientation & 1;
  const bool last_column = 0b110001100 >> p.orientation & 1;
  const int64_t h = turned ? p.w : p.h, w = turned ? p.h : p.w;
  std::vector<float> value(static_cast<size_t>(p.most) + 1);
  for (size_t i = 0; i < value.size(); ++i) {
    value[i] = static_cast<float>(static_cast<double>(i) / static_cast<double>(p.most));
  }
  Tensor y = Tensor::empty({h, w, p.c});
  float* to = y.mutable_data<float>();
  for (int64_t i = 0; i < h; ++i) {
    for (int64_t j = 0; j < w; ++j) {
      int64_t row = turned ? j : i, column = turned ? i : j;
      if (last_row) row = p.h - 1 - row;
      if (last_column) column = p.w - 1 - column;
      const uint8_t* from = &p.bytes[static_cast<size_t>((row * p.w + column) * p.c) << two];
      for (int64_t k = 0; k < p.c; ++k) {
        const size_t sample = two ? from[2 * k] * 256u + from[2 * k + 1] : from[k];
        if (sample >= value.size()) {
          in.bad(
              fmt::format("has a value of {} where the largest is said to be {}", sample, p.most));
        }
        *to++ = value[sample];
      }
    }
  }
  return y;
}

// On white where there is alpha; then 1 or 3 channels.
Tensor with_channels(const Tensor& x, int64_t channels) {
  const int64_t c = x.dim(2);
  if (channels == 0 || channels == c) return x;
  Tensor y = Tensor::empty(x.shape().without(2).with(2, channels));
  const float* from = x.data<float>();
  float* to = y.mutable_data<float>();
  for (int64_t i = 0, n = x.dim(0) * x.dim(1); i < n; ++i, from += c) {
    const float alpha = c % 2 == 0 ? from[c - 1] : 1;
    float v[3];
    for (int k = 0; k < 3; ++k) v[k] = 1 - alpha + alpha * from[c > 2 ? k : 0];
    if (channels == 1) v[0] = c > 2 ? 0.299f * v[0] + 0.587f * v[1] + 0.114f * v[2] : v[0];
    to = std::copy_n(v, channels, to);
  }
  return y;
}

Tensor read(const Input& in, const char* op, const ReadImageOptions& options) {
  if (options.channels != 0 && options.channels != 1 && options.channels != 3) {
    fail("{}: expected channels 0 (as in the file), 1 or 3; got {}.", op, options.channels);
  }
  return with_channels(to_tensor(in, decode(in)), options.channels);
}

void check_image(const char* op, const Tensor& x, const char* name, int rank) {
  check_defined(op, name, x);
  if (x.rank() == rank && x.dtype() == f32 && x.numel() > 0) return;
  fail("{}: expected {} [{}h, w, c] in f32, with pixels; got {} in {}.", op, name,
       rank == 4 ? "n, " : "", x.shape(), x.dtype());
}

}  // namespace

Tensor read_image(const std::string& path, const ReadImageOptions& options) {
  const std::vector<uint8_t> bytes = read_bytes(path, "read_image");
  return read({"read_image: " + path, bytes, options.max_pixels}, "read_image", options);
}

Tensor decode_image(std::span<const uint8_t> bytes, const ReadImageOptions& options) {
  return read({"decode_image: the image", bytes, options.max_pixels}, "decode_image", options);
}

std::vector<uint8_t> encode_png(const Tensor& image) {
  check_defined("encode_png", "the image", image);
  const Tensor x = (image.rank() == 2 ? image.view(image.shape().with(2, 1)) : image).detach();
  if (x.rank() != 3 || (x.dim(2) != 1 && x.dim(2) != 3) || x.numel() == 0 || x.dtype() == i64) {
    fail(
        "encode_png: expected an image [h, w, 1], [h, w, 3] or [h, w] of floats in [0, 1]; got {} "
        "in "
        "{}. Hint: {}.",
        image.shape(), image.dtype(),
        x.rank() == 4      ? "one image is images[i]; many are contact_sheet(images)"
        : x.dtype() == i64 ? "bytes b are b.to(f32) / 255"
                           : "a [784] is x.view({28, 28})");
  }
  fail_if(x.numel() > 1 << 30, "encode_png: expected at most 2^30 values; got {}.", x.shape());
  const int64_t h = x.dim(0), w = x.dim(1), c = x.dim(2), n = w * c;
  const Tensor in_f32 = x.to(f32);
  const float* v = in_f32.data<float>();
  // Each row with the filter in front that leaves the smallest numbers: itself, the difference from
  // the left, that from above. PNG specification, 9.2 and 12.7.
  std::vector<uint8_t> raw, row(static_cast<size_t>(n)), above(row.size()), best,
      tried(row.size() + 1);
  for (int64_t i = 0; i < h; ++i) {
    for (int64_t j = 0; j < n; ++j, ++v) {
      if (!(*v >= -1 && *v <= 2)) {
        fail(
            "encode_png: expected values in [0, 1] (a little more or less is cut); got {}. Hint: "
            "{}.",
            *v, std::isnan(*v) ? "find where the NaN comes from" : "bytes b are b / 255");
      }
      row[j] = static_cast<uint8_t>(std::lround(255 * std::clamp(*v, 0.0f, 1.0f)));
    }
    int64_t least = -1;
    for (uint8_t filter = 0; filter < 3; ++filter) {
      int64_t sum = 0;
      tried[0] = filter;
      for (int64_t j = 0; j < n; ++j) {
        const uint8_t left = j < c ? 0 : row[j - c];
        const uint8_t d = static_cast<uint8_t>(row[j] - (filter == 1   ? left
                                                         : filter == 2 ? above[j]
                                                                       : 0));
        tried[j + 1] = d;
        sum += std::min<int>(d, 256 - d);
      }
      if (least >= 0 && sum >= least) continue;
      least = sum;
      best = tried;
    }
    raw.insert(raw.end(), best.begin(), best.end());
    above = row;
  }
  uLongf packed = compressBound(raw.size());
  std::vector<uint8_t> data(packed);
  if (compress2(data.data(), &packed, raw.data(), raw.size(), 6) != Z_OK) throw std::bad_alloc();
  data.resize(packed);

  std::vector<uint8_t> png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const auto number = [](std::vector<uint8_t>& to, uint64_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<uint8_t>(value >> shift));
  };
  const auto chunk = [&](std::string_view type, const std::vector<uint8_t>& bytes) {
    number(png, bytes.size());
    const size_t start = png.size();
    png.insert(png.end(), type.begin(), type.end());
    png.insert(png.end(), bytes.begin(), bytes.end());
    number(png, crc32_z(0, png.data() + start, png.size() - start));
  };
  std::vector<uint8_t> header;
  number(header, static_cast<uint64_t>(w));
  number(header, static_cast<uint64_t>(h));
  header.insert(header.end(), {8, static_cast<uint8_t>(c == 3 ? 2 : 0), 0, 0, 0});
  chunk("IHDR", header);
  chunk("IDAT", data);
  chunk("IEND", {});
  return png;
}

void write_png(const std::string& path, const Tensor& image) {
  const std::vector<uint8_t> bytes = encode_png(image);
  NewFile file("write_png", path);
  file.write(bytes.data(), bytes.size());
  file.finish();
}

Tensor resize_image(const Tensor& image, Size2d size) {
  check_image("resize_image", image, "an image", 3);
  fail_if(std::min(size.h, size.w) < 1, "resize_image: expected a size of at least 1; got {}.",
          size.str());
  // y_i = sum_j g_ij x_j over the middle one of the axes [before, n, after].
  const auto along = [](const Tensor& x, int axis, int64_t m) {
    const int64_t n = x.dim(axis), before = axis == 0 ? 1 : x.dim(0);
    const int64_t after = x.numel() / before / n;
    if (m == n) return x;
    Tensor y = Tensor::zeros(x.shape().without(axis).with(axis, m));
    const float* from = x.data<float>();
    float* to = y.mutable_data<float>();
    const double step = static_cast<double>(n) / static_cast<double>(m),
                 reach = std::max(1.0, step);
    std::vector<double> weight;
    for (int64_t i = 0; i < m; ++i) {
      const double center = (static_cast<double>(i) + 0.5) * step;
      const int64_t begin = std::max<int64_t>(0, static_cast<int64_t>(std::floor(center - reach)));
      const int64_t end = std::min(n, static_cast<int64_t>(std::ceil(center + reach)));
      double sum = 0;
      weight.clear();
      for (int64_t j = begin; j < end; ++j) {
        weight.push_back(
            std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - center) / reach));
        sum += weight.back();
      }
      for (int64_t b = 0; b < before; ++b) {
        for (int64_t j = begin; j < end; ++j) {
          const float g = static_cast<float>(weight[j - begin] / sum);
          const float* p = from + (b * n + j) * after;
          float* q = to + (b * m + i) * after;
          for (int64_t k = 0; k < after; ++k) q[k] += g * p[k];
        }
      }
    }
    return y;
  };
  return along(along(image.detach(), 0, size.h), 1, size.w);
}

Tensor contact_sheet(const Tensor& images, const ContactSheetOptions& o) {
  check_image("contact_sheet", images, "images", 4);
  if (o.columns < 1 || o.gap < 0) {
    fail("contact_sheet: expected columns of at least 1 and a gap of at least 0; got {} and {}.",
         o.columns, o.gap);
  }
  const int64_t n = images.dim(0), h = images.dim(1), w = images.dim(2), c = images.dim(3);
  const int64_t columns = std::min(n, o.columns), rows = ceil_div(n, columns);
  Tensor sheet =
      Tensor::full({rows * (h + o.gap) + o.gap, columns * (w + o.gap) + o.gap, c}, o.ground);
  const float* from = images.data<float>();
  float* to = sheet.mutable_data<float>();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t top = i / columns * (h + o.gap) + o.gap, left = i % columns * (w + o.gap) + o.gap;
    for (int64_t r = 0; r < h; ++r, from += w * c) {
      std::copy_n(from, w * c, to + ((top + r) * sheet.dim(1) + left) * c);
    }
  }
  return sheet;
}

}  // namespace ramp
