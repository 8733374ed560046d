#include "ramp/data/image.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#ifdef RAMP_JPEG
#include <jpeglib.h>
#endif

#include "message.h"
#include "ramp/autograd/ops_resize.h"
#include "ramp/core/random.h"
#include "scratch.h"

using namespace ramp;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes text(const std::string& s) { return {s.begin(), s.end()}; }
[[maybe_unused]] Bytes first(const Bytes& b, size_t n) {
  return {b.begin(), b.begin() + static_cast<int64_t>(n)};
}
bool contains(const std::string& s, const std::string& part) {
  return s.find(part) != std::string::npos;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const std::vector<double> x = a.values(), y = b.values();
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

// Values as bytes hold them.
[[maybe_unused]] Tensor bytes_of(const Shape& shape) {
  const Tensor x = Rng(3).randint(shape, 0, 256).to(f32);
  Tensor y = Tensor::empty(shape);
  for (int64_t i = 0; i < x.numel(); ++i) y.mutable_data<float>()[i] = x.data<float>()[i] / 255;
  return y;
}

// Whatever stands in a file that is cut short or changed: an image or an Error, no crash.
void damage(const Bytes& good) {
  for (size_t n = 0; n < good.size(); ++n) {
    INFO(n);
    CHECK(message([&] { decode_image(first(good, n)); }) != "no error");
  }
  for (size_t i = 0; i < good.size(); ++i) {
    for (const uint8_t flip : {0x01, 0x80, 0xFF}) {
      Bytes bad = good;
      bad[i] ^= flip;
      message([&] { decode_image(bad); });
    }
  }
}

#ifdef RAMP_PNG
Bytes number(uint32_t n) {
  return {static_cast<uint8_t>(n >> 24), static_cast<uint8_t>(n >> 16),
          static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)};
}
Bytes chunk(const std::string& type, const Bytes& data) {
  const Bytes checked = text(type) + data;
  return number(static_cast<uint32_t>(data.size())) + checked +
         number(static_cast<uint32_t>(crc32(0, checked.data(), static_cast<uInt>(checked.size()))));
}
// `rows`: a filter byte and the packed samples, for each row.
Bytes png(uint32_t w, uint32_t h, uint8_t depth, uint8_t type, const Bytes& rows,
          const Bytes& more = {}, uint8_t interlaced = 0) {
  uLongf n = compressBound(rows.size());
  Bytes packed(n);
  compress(packed.data(), &n, rows.data(), rows.size());
  packed.resize(n);
  return Bytes{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'} +
         chunk("IHDR", number(w) + number(h) + Bytes{depth, type, 0, 0, interlaced}) + more +
         chunk("IDAT", packed) + chunk("IEND", {});
}
void check_values(const Tensor& x, const Shape& shape, const std::vector<double>& values) {
  CHECK(x.shape() == shape);
  CHECK(largest_difference(x, Tensor::of(values, shape)) < 1e-6);
}
#endif

#ifdef RAMP_JPEG
// The library's own encoder; quality 100, no chroma subsampling.
Bytes jpeg(int h, int w, int c, J_COLOR_SPACE in, J_COLOR_SPACE out, const Bytes& samples,
           bool progressive = false, const Bytes& exif = {}) {
  jpeg_compress_struct j = {};
  jpeg_error_mgr errors = {};
  j.err = jpeg_std_error(&errors);
  jpeg_create_compress(&j);
  unsigned char* memory = nullptr;
  unsigned long size = 0;  // NOLINT: the library's type
  jpeg_mem_dest(&j, &memory, &size);
  j.image_width = static_cast<JDIMENSION>(w);
  j.image_height = static_cast<JDIMENSION>(h);
  j.input_components = c;
  j.in_color_space = in;
  jpeg_set_defaults(&j);
  jpeg_set_colorspace(&j, out);
  jpeg_set_quality(&j, 100, TRUE);
  for (int k = 0; k < j.num_components; ++k) {
    j.comp_info[k].h_samp_factor = j.comp_info[k].v_samp_factor = 1;
  }
  if (progressive) jpeg_simple_progression(&j);
  jpeg_start_compress(&j, TRUE);
  if (!exif.empty()) {
    jpeg_write_marker(&j, JPEG_APP0 + 1, exif.data(), static_cast<unsigned>(exif.size()));
  }
  for (int i = 0; i < h; ++i) {
    JSAMPROW row = const_cast<uint8_t*>(&samples[static_cast<size_t>(i * w * c)]);
    jpeg_write_scanlines(&j, &row, 1);
  }
  jpeg_finish_compress(&j);
  const Bytes result(memory, memory + size);
  jpeg_destroy_compress(&j);
  std::free(memory);
  return result;
}
// Smooth, and different in each corner and channel.
Bytes slopes(int h, int w, int c) {
  Bytes b;
  for (int i = 0; i < h; ++i) {
    for (int j = 0; j < w; ++j) {
      for (int k = 0; k < c; ++k) b.push_back(static_cast<uint8_t>(40 + 4 * i + 7 * j + 20 * k));
    }
  }
  return b;
}
Tensor tensor_of(const Bytes& b, const Shape& shape) {
  Tensor y = Tensor::empty(shape);
  for (size_t i = 0; i < b.size(); ++i) y.mutable_data<float>()[i] = static_cast<float>(b[i]) / 255;
  return y;
}
#endif

}  // namespace

#ifdef RAMP_PNG
TEST_CASE("what is written is read: grey and colours, of any size") {
  const Scratch folder;
  for (const Shape& shape :
       {Shape{1, 1, 1}, Shape{1, 1, 3}, Shape{28, 28, 1}, Shape{7, 5, 3}, Shape{3, 300, 3}}) {
    const Tensor x = bytes_of(shape);
    write_png(folder.path("a.txt"), x);
    CHECK(read_image(folder.path("a.txt")).values() == x.values());
    CHECK(decode_image(encode_png(x.to(f64))).values() == x.values());
  }
  const Tensor flat = bytes_of({4, 6});
  CHECK(decode_image(encode_png(flat)).values() == flat.values());
  CHECK(decode_image(encode_png(flat)).shape() == Shape{4, 6, 1});
  // Slopes and flat parts take little room.
  Tensor slope = Tensor::empty({100, 100, 3});
  for (int64_t i = 0; i < slope.numel(); ++i) {
    slope.mutable_data<float>()[i] = static_cast<float>(i / 3 % 100 + i / 300) / 255;
  }
  CHECK(encode_png(slope).size() < 600);
  CHECK(decode_image(encode_png(slope)).values() == slope.values());
}

TEST_CASE("values become the nearest byte, a little outside is cut") {
  const Tensor x = Tensor::of<float>({-1, -0.001f, 0.4f / 255, 0.6f / 255, 254.5f / 255, 1.2f, 2});
  check_values(decode_image(encode_png(x.view({1, 7}))), {1, 7, 1}, {0, 0, 0, 1 / 255., 1, 1, 1});
}

TEST_CASE("each kind of PNG") {
  const Bytes palette = chunk("PLTE", {255, 0, 0, 0, 255, 0, 0, 0, 51});
  // Two bits a sample: 0, 1, 2, 1.
  const Bytes indexed = png(4, 1, 2, 3, {0, 0b00011001}, palette);
  check_values(decode_image(indexed), {1, 4, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 0.2, 0, 1, 0});
  const Bytes clear = png(2, 1, 8, 3, {0, 0, 1}, palette + chunk("tRNS", {0}));
  check_values(decode_image(clear), {1, 2, 4}, {1, 0, 0, 0, 0, 1, 0, 1});
  check_values(decode_image(clear, {.channels = 3}), {1, 2, 3}, {1, 1, 1, 0, 1, 0});
  check_values(decode_image(png(8, 1, 1, 0, {0, 0b10110001})), {1, 8, 1}, {1, 0, 1, 1, 0, 0, 0, 1});
  check_values(decode_image(png(1, 2, 4, 0, {0, 0x30, 0, 0xF0})), {2, 1, 1}, {0.2, 1});
  const double v = 258 / 65535.;
  check_values(decode_image(png(1, 1, 16, 0, {0, 1, 2})), {1, 1, 1}, {v});
  check_values(decode_image(png(1, 1, 16, 2, {0, 0, 0, 1, 2, 255, 255})), {1, 1, 3}, {0, v, 1});
  check_values(decode_image(png(1, 1, 8, 4, {0, 51, 102})), {1, 1, 2}, {0.2, 0.4});
  const Bytes rgba = png(1, 1, 8, 6, {0, 255, 51, 0, 51});
  check_values(decode_image(rgba), {1, 1, 4}, {1, 0.2, 0, 0.2});
  check_values(decode_image(rgba, {.channels = 3}), {1, 1, 3}, {1, 0.84, 0.8});
  check_values(decode_image(rgba, {.channels = 1}), {1, 1, 1},
               {0.299 + 0.587 * 0.84 + 0.114 * 0.8});
  check_values(decode_image(png(1, 1, 8, 0, {0, 51}), {.channels = 3}), {1, 1, 3}, {.2, .2, .2});
  // 2 x 2 in seven passes: (0, 0), then (0, 1), then the second row.
  check_values(decode_image(png(2, 2, 8, 0, {0, 0, 0, 51, 0, 102, 153}, {}, 1)), {2, 2, 1},
               {0, 0.2, 0.4, 0.6});
}

TEST_CASE("damaged PNGs") {
  damage(png(3, 2, 8, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  damage(png(4, 1, 2, 3, {0, 0b00011001}, chunk("PLTE", {255, 0, 0, 0, 255, 0, 0, 0, 51})));
  damage(png(2, 2, 8, 0, {0, 0, 0, 51, 0, 102, 153}, {}, 1));
  CHECK(message([] {
          decode_image(first(png(1, 1, 8, 0, {0, 51}), 20));
        }) == "decode_image: the image is a PNG that cannot be read: it is cut short.");
  // A size that is a lie takes no memory.
  CHECK(contains(message([] {
                   decode_image(png(900'000, 900'000, 16, 6, {0, 51}));
                 }),
                 "says it is a PNG of 900000 x 900000 pixels, and has "));
  CHECK(contains(message([] { decode_image(png(60, 60, 8, 0, {0, 51})); }), "cannot be read"));
  CHECK(message([] {
          decode_image(png(4, 2, 8, 0, {0, 1, 2, 3, 4, 0, 1, 2, 3, 4}), {.max_pixels = 7});
        }) ==
        "decode_image: the image is a PNG of 2 x 4 pixels, more than 7. Hint: {.max_pixels = 8} if "
        "it is meant.");
  // As much as deflate can pack is read.
  CHECK(decode_image(png(4000, 4000, 1, 0, Bytes(501 * 4000))).shape() == Shape{4000, 4000, 1});
}
#endif

#ifdef RAMP_JPEG
TEST_CASE("JPEG: grey, colours, progressive, CMYK") {
  const Bytes grey = slopes(13, 21, 1), colours = slopes(13, 21, 3);
  for (const bool progressive : {false, true}) {
    const Tensor g = decode_image(jpeg(13, 21, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, grey, progressive));
    CHECK(largest_difference(g, tensor_of(grey, {13, 21, 1})) < 0.015);
    const Tensor c = decode_image(jpeg(13, 21, 3, JCS_RGB, JCS_YCbCr, colours, progressive));
    CHECK(largest_difference(c, tensor_of(colours, {13, 21, 3})) < 0.02);
    CHECK(decode_image(jpeg(13, 21, 3, JCS_RGB, JCS_YCbCr, colours, progressive), {.channels = 1})
              .shape() == Shape{13, 21, 1});
  }
  // Adobe's files hold 255 - ink: white is 255; this one is half red ink off, key 204.
  Bytes ink;
  for (int i = 0; i < 64; ++i) ink = ink + Bytes{255, 102, 51, 204};
  for (const J_COLOR_SPACE space : {JCS_CMYK, JCS_YCCK}) {
    const Tensor x = decode_image(jpeg(8, 8, 4, JCS_CMYK, space, ink));
    REQUIRE(x.shape() == Shape{8, 8, 3});
    CHECK(std::abs(x.at({3, 3, 0}) - 0.8) < 0.02);
    CHECK(std::abs(x.at({3, 3, 1}) - 0.4 * 0.8) < 0.02);
    CHECK(std::abs(x.at({3, 3, 2}) - 0.2 * 0.8) < 0.02);
  }
}

TEST_CASE("a JPEG stands upright, however the camera was held") {
  // What is shown; the file holds it turned, with the tag that says how.
  const int h = 16, w = 8;
  const Bytes shown = slopes(h, w, 1);
  const auto at = [&](int i, int j) { return shown[static_cast<size_t>(i * w + j)]; };
  const std::vector<std::function<uint8_t(int, int)>> stored = {
      [&](int i, int j) { return at(i, j); },
      [&](int i, int j) { return at(i, w - 1 - j); },
      [&](int i, int j) { return at(h - 1 - i, w - 1 - j); },
      [&](int i, int j) { return at(h - 1 - i, j); },
      [&](int i, int j) { return at(j, i); },
      [&](int i, int j) { return at(j, w - 1 - i); },  // turn it clockwise to see it
      [&](int i, int j) { return at(h - 1 - j, w - 1 - i); },
      [&](int i, int j) { return at(h - 1 - j, i); },
  };
  for (uint8_t k = 0; k < 8; ++k) {
    for (const bool little : {true, false}) {
      const int rows = k < 4 ? h : w, columns = k < 4 ? w : h;
      Bytes turned;
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < columns; ++j) turned.push_back(stored[k](i, j));
      }
      const uint8_t o = static_cast<uint8_t>(k + 1);
      const Bytes exif =
          text(std::string("Exif\0\0", 6)) +
          (little ? Bytes{'I', 'I', 42, 0, 8, 0,    0, 0, 2, 0, 0x00, 1, 3, 0, 1, 0, 0,
                          0,   9,   0,  0, 0, 0x12, 1, 3, 0, 1, 0,    0, 0, o, 0, 0, 0}
                  : Bytes{'M', 'M', 0, 42, 0, 0, 0,    8, 0, 2, 1, 0x00, 0, 3, 0, 0, 0,
                          1,   0,   9, 0,  0, 1, 0x12, 0, 3, 0, 0, 0,    1, 0, o, 0, 0});
      const Tensor x =
          decode_image(jpeg(rows, columns, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, turned, false, exif));
      INFO(static_cast<int>(o));
      CHECK(largest_difference(x, tensor_of(shown, {h, w, 1})) < 0.015);
    }
  }
  // Nonsense there is no reason to fail.
  for (const Bytes& exif :
       {text(std::string("Exif\0\0II", 8)), text(std::string("Exif\0\0II*\0\xFF\xFF\xFF\xFF", 14)),
        text(std::string("Exif\0\0II*\0\x08\0\0\0\xFF\xFF\x12\x01", 18))}) {
    CHECK(decode_image(jpeg(h, w, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, shown, false, exif)).shape() ==
          Shape{h, w, 1});
  }
}

TEST_CASE("damaged JPEGs") {
  damage(jpeg(9, 10, 3, JCS_RGB, JCS_YCbCr, slopes(9, 10, 3)));
  damage(jpeg(9, 10, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, slopes(9, 10, 1), true));
  Bytes good = jpeg(9, 10, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, slopes(9, 10, 1));
  CHECK(message([&] { decode_image(first(good, good.size() - 9)); }) ==
        "decode_image: the image is a JPEG that cannot be read: it is cut short.");
  // SOF0: FF C0, length, precision, height, width.
  for (size_t i = 0; i + 9 < good.size(); ++i) {
    if (good[i] == 0xFF && good[i + 1] == 0xC0) std::fill_n(good.begin() + i + 5, 4, 0xFE);
  }
  CHECK(contains(message([&] { decode_image(good); }),
                 "says it is a JPEG of 65278 x 65278 pixels, and has "));
}
#endif

TEST_CASE("PGM and PPM") {
  CHECK(decode_image(text("P2 3 1 4\n0 1 4")).values() == std::vector<double>{0, 0.25, 1});
  CHECK(decode_image(text("P2\n# by hand\n1 #\n2\n2\n0 # zero\n1\n")).shape() == Shape{2, 1, 1});
  CHECK(decode_image(text("P3 1 1 8 1 2 8")).values() == std::vector<double>{0.125, 0.25, 1});
  CHECK(decode_image(text("P5 2 1 255\n") + Bytes{0, 255}).values() == std::vector<double>{0, 1});
  // Spaces are samples too; two bytes a sample where one cannot hold it.
  CHECK(decode_image(text("P5 2 1 64\n") + Bytes{' ', '\n'}).values() ==
        std::vector<double>{0.5, 10 / 64.});
  CHECK(decode_image(text("P5 1 1 1024\n") + Bytes{1, 0}).values() == std::vector<double>{0.25});
  CHECK(decode_image(text("P2 1 1 1024 256")).values() == std::vector<double>{0.25});
  const Tensor ppm = decode_image(text("P6 1 2 255\n") + Bytes{255, 0, 0, 0, 0, 255});
  CHECK(ppm.shape() == Shape{2, 1, 3});
  CHECK(ppm.values() == std::vector<double>{1, 0, 0, 0, 0, 1});
  CHECK(largest_difference(decode_image(text("P3 1 1 1 1 0 0"), {.channels = 1}),
                           Tensor::full({1, 1, 1}, 0.299)) < 1e-6);
  damage(text("P5 2 2 255\n") + Bytes{1, 2, 3, 4});
  damage(text("P3 1 2 9\n1 2 3 4 5 6"));
  const auto error = [](const std::string& s) { return message([&] { decode_image(text(s)); }); };
  CHECK(error("P5 2") == "decode_image: the image is a P5 image whose height is missing.");
  CHECK(error("P5 2 2 70000\n") ==
        "decode_image: the image is a P5 image whose largest value is larger than 65535.");
  CHECK(error("P5 99999999999999999999 1 255\n") ==
        "decode_image: the image is a P5 image whose width is larger than 1073741824.");
  CHECK(error("P5 1 1 0\n ") == "decode_image: the image is a P5 image whose header is damaged.");
  CHECK(error("P2 2 1 9 1 10") ==
        "decode_image: the image is a P2 image whose value is larger than 9.");
  CHECK(error("P5 1 1 9\na") ==
        "decode_image: the image has a value of 97 where the largest is said to be 9.");
  CHECK(error("P5 1 1 255\nab") == "decode_image: the image has 1 bytes behind its 1 x 1 pixels.");
  CHECK(error("P6 100000 100000 255\nab") ==
        "decode_image: the image says it is a PPM of 100000 x 100000 pixels, and has 23 bytes. "
        "Hint: it is damaged, or cut short.");
  CHECK(contains(error("P5 0 1 255\n"), "of 1 x 0 pixels"));
}

TEST_CASE("what is no image of these formats is refused by its name") {
  const auto error = [](const std::string& s) { return message([&] { decode_image(text(s)); }); };
  CHECK(error("") == "decode_image: the image is empty.");
  CHECK(
      error("GIF89a") ==
      "decode_image: the image must be a PNG, JPEG, PGM or PPM; it is a GIF. Hint: convert it, as "
      "with ImageMagick: convert in out.png.");
  CHECK(contains(error(std::string("RIFF\0\0\0\0WEBP", 12)), "it is a RIFF file (WebP)."));
  CHECK(contains(error(std::string("\0\0\0\x18"
                                   "ftypheic",
                                   12)),
                 "it is a HEIC, AVIF or video."));
  CHECK(contains(error("<!DOCTYPE html>"), "it is a text file (SVG or HTML)."));
  CHECK(error("abc") ==
        "decode_image: the image must be a PNG, JPEG, PGM or PPM; it begins with 61 62.");
  CHECK(message([] { decode_image(text("P2 1 1 1 1"), {.channels = 2}); }) ==
        "decode_image: expected channels 0 (as in the file), 1 or 3; got 2.");
  const Scratch folder;
  CHECK(message([&] { read_image(folder.path("a.png")); }) ==
        "read_image: cannot read " + folder.path("a.png") +
            ": No such file or directory. Hint: is the path right?");
  CHECK(contains(message([&] { read_image(folder.path(".")); }), "Is a directory"));
  CHECK(message([&] { read_image(folder.write("a.png", text("abc"))); }) ==
        "read_image: " + folder.path("a.png") +
            " must be a PNG, JPEG, PGM or PPM; it begins with 61 62.");
#ifndef RAMP_PNG
  CHECK(
      message([] {
        decode_image(encode_png(Tensor::zeros({1, 1})));
      }) ==
      "decode_image: the image is a PNG, and ramp was built without libpng. Hint: apt-get install "
      "libpng-dev, then build ramp again (cmake --fresh).");
#endif
#ifndef RAMP_JPEG
  CHECK(error("\xFF\xD8\xFF") ==
        "decode_image: the image is a JPEG, and ramp was built without libjpeg. Hint: apt-get "
        "install libjpeg-dev, then build ramp again (cmake --fresh).");
#endif
}

TEST_CASE("write_png: mistakes, and the file is whole or not there") {
  const auto error = [](const Tensor& x) { return message([&] { encode_png(x); }); };
  CHECK(error(Tensor::zeros({2, 3, 2})) ==
        "encode_png: expected an image [h, w, 1], [h, w, 3] or [h, w] of floats in [0, 1]; got [2, "
        "3, 2] in f32. Hint: a [784] is x.view({28, 28}).");
  CHECK(contains(error(Tensor::zeros({2, 3, 3, 1})), "many are contact_sheet(images)"));
  CHECK(contains(error(Tensor::zeros({2, 3, 3}, i64)), "bytes b are b.to(f32) / 255"));
  CHECK(contains(error(Tensor::zeros({0, 3, 3})), "got [0, 3, 3]"));
  CHECK(
      error(Tensor::full({2, 3}, 200)) ==
      "encode_png: expected values in [0, 1] (a little more or less is cut); got 200. Hint: bytes "
      "b are b / 255.");
  CHECK(
      contains(error(Tensor::full({2, 3}, NAN)), "got nan. Hint: find where the NaN comes from."));
  CHECK(contains(error({}), "undefined"));
  const Scratch folder;
  const std::string path = folder.write("a.png", text("old"));
  CHECK(message([&] { write_png(path, Tensor::full({2, 3}, 200)); }) != "no error");
  CHECK(read_all(path) == text("old"));
  CHECK(contains(message([&] {
                   write_png(folder.path("b/a.png"), Tensor::zeros({1, 1}));
                 }),
                 "write_png: cannot create"));
  write_png(path, Tensor::zeros({1, 1}));
  CHECK(read_all(path) == encode_png(Tensor::zeros({1, 1})));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path(".")), {}) == 1);
}

TEST_CASE("resize_image: larger as the bilinear op, smaller with all pixels in it") {
  const Tensor x = Rng(5).uniform({7, 5, 3});
  const Tensor op = resize_bilinear2d(x.view({1, 7, 5, 3}), {16, 11});
  CHECK(largest_difference(resize_image(x, {16, 11}), op.view({16, 11, 3})) < 1e-5);
  CHECK(resize_image(x, {7, 5}).values() == x.values());
  CHECK(largest_difference(resize_image(Tensor::full({50, 40, 1}, 0.3), {3, 7}),
                           Tensor::full({3, 7, 1}, 0.3)) < 1e-6);
  // torch 2.13: interpolate(arange(8)^2, mode="bilinear", antialias=True), to 3 and to 2.
  const Tensor squares = Tensor::of<float>({0, 1, 4, 9, 16, 25, 36, 49}, {1, 8, 1});
  CHECK(largest_difference(resize_image(squares, {1, 3}),
                           Tensor::of<float>({2.052632f, 13.452381f, 35.578949f}, {1, 3, 1})) <
        1e-4);
  CHECK(largest_difference(resize_image(squares, {1, 2}),
                           Tensor::of<float>({5.464286f, 27.964287f}, {1, 2, 1})) < 1e-4);
  const Tensor high = squares.view({8, 1, 1});
  CHECK(resize_image(high, {3, 1}).values() == resize_image(squares, {1, 3}).values());
  // A pattern of single pixels becomes grey, not black or white.
  Tensor board = Tensor::empty({64, 64, 1});
  for (int64_t i = 0; i < 64 * 64; ++i) {
    board.mutable_data<float>()[i] = static_cast<float>((i + i / 64) % 2);
  }
  CHECK(largest_difference(resize_image(board, 8), Tensor::full({8, 8, 1}, 0.5)) < 0.02);
  CHECK(message([&] {
          resize_image(x, {0, 4});
        }) == "resize_image: expected a size of at least 1; got 0x4.");
  CHECK(message([] {
          resize_image(Tensor::zeros({2, 2}), 4);
        }) == "resize_image: expected an image [h, w, c] in f32, with pixels; got [2, 2] in f32.");
}

TEST_CASE("contact_sheet") {
  const Tensor x = Tensor::of<float>({1, 2, 3, 4, 5, 6}, {3, 1, 2, 1});
  const Tensor sheet = contact_sheet(x, {.columns = 2, .gap = 1, .ground = 0});
  CHECK(sheet.shape() == Shape{5, 7, 1});
  CHECK(sheet.values() == std::vector<double>{0, 0, 0, 0, 0, 0, 0,  //
                                              0, 1, 2, 0, 3, 4, 0,  //
                                              0, 0, 0, 0, 0, 0, 0,  //
                                              0, 5, 6, 0, 0, 0, 0,  //
                                              0, 0, 0, 0, 0, 0, 0});
  CHECK(contact_sheet(x, {.gap = 0}).values() == x.values());
  CHECK(contact_sheet(Tensor::zeros({33, 28, 28, 3})).shape() == Shape{92, 482, 3});
  CHECK(contact_sheet(x).at({0, 0, 0}) == 0.5);
  CHECK(
      message([] {
        contact_sheet(Tensor::zeros({0, 2, 2, 1}));
      }) ==
      "contact_sheet: expected images [n, h, w, c] in f32, with pixels; got [0, 2, 2, 1] in f32.");
  CHECK(message([&] { contact_sheet(x, {.columns = 0}); }) ==
        "contact_sheet: expected columns of at least 1 and a gap of at least 0; got 0 and 2.");
}
