#include "ramp/glass/image_art.h"

#include <doctest/doctest.h>

#include <cmath>

#include "message.h"

using namespace ramp;

TEST_CASE("a pixel of at least the threshold is a dot") {
  // The eight dots of a character, in the order of their bits.
  const struct {
    int row, column;
    const char* dot;
  } dots[] = {{0, 0, "\u2801"}, {1, 0, "\u2802"}, {2, 0, "\u2804"}, {0, 1, "\u2808"},
              {1, 1, "\u2810"}, {2, 1, "\u2820"}, {3, 0, "\u2840"}, {3, 1, "\u2880"}};
  for (const auto& [row, column, dot] : dots) {
    Tensor image = Tensor::zeros({4, 2});
    image.mutable_data<float>()[2 * row + column] = 0.4f;
    CHECK(image_art(image) == std::string(dot) + "\n");
    CHECK(image_art(image, 0.5f) == "\u2800\n");
  }
  CHECK(image_art(Tensor::ones({4, 4})) == "\u28ff\u28ff\n");
  CHECK(image_art(Tensor::full({1, 1}, NAN)) == "\u2800\n");
  CHECK(image_art(Tensor::full({1, 1}, INFINITY)) == "\u2801\n");
}

TEST_CASE("images of any size, with a channel or without") {
  CHECK(image_art(Tensor::ones({5, 3, 1})) == "\u28ff\u2847\n\u2809\u2801\n");
  CHECK(image_art(Tensor::ones({5, 3})) == image_art(Tensor::ones({5, 3, 1})));
  CHECK(image_art(Tensor::zeros({0, 5})).empty());
  CHECK(image_art(Tensor::zeros({4, 0})) == "\n");
}

TEST_CASE("blocks side by side: by characters, not by bytes") {
  CHECK(side_by_side({"a\nbcd\n", "x\ny\nz\n"}) == "a    x\nbcd  y\n     z\n");
  CHECK(side_by_side({"\u28ff\n", "|\n"}, 1) == "\u28ff |\n");
  CHECK(side_by_side({"no newline", "e"}) == "no newline  e\n");
  CHECK(side_by_side({"short\n", ""}) == "short\n");  // nothing stands behind the last character
  CHECK(side_by_side({}).empty());
}

TEST_CASE("mistakes are told") {
  CHECK(message([] {
          image_art(Tensor::zeros({28, 28, 3}));
        }) == "image_art: expected an image [h, w] or [h, w, 1]; got [28, 28, 3].");
  CHECK(message([] { image_art(Tensor::zeros({3})); }) ==
        "image_art: expected an image [h, w] or [h, w, 1]; got [3].");
  CHECK(message([] { image_art(Tensor()); }).starts_with("image_art: image "));
  CHECK(message([] { image_art(Tensor::zeros({2, 2}, f64)); }) != "no error");
}
