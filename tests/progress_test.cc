#include "ramp/train/progress.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string>
#include <thread>

using namespace ramp;

namespace {

// What `run` writes, without the numbers that a clock makes.
template <typename Run>
std::string written(Run run) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* file = open_memstream(&text, &size);
  run(file);
  std::fclose(file);
  std::string s(text, size);
  std::free(text);
  const auto blank = [&](const std::string& unit) {
    for (size_t end = s.find(unit); end != std::string::npos; end = s.find(unit, end + 1)) {
      size_t begin = end;
      while (begin > 0 && (std::isdigit(s[begin - 1]) || s[begin - 1] == ',')) --begin;
      s.replace(begin, end - begin, "N");
      end = begin + 1;
    }
  };
  blank(" samples/s");
  blank(" s left");
  return s;
}

}  // namespace

TEST_CASE("one line an epoch, with the mean loss of its samples") {
  CHECK(written([](std::FILE* out) {
          Progress progress(2, 30, out);
          progress.batch(10, 1);
          progress.batch(20, 4);
          progress.epoch(0.5);
          progress.batch(30, 0.25);
          progress.epoch(-1);
        }) ==
        "epoch 1/2  N samples/s  loss 3.0000  accuracy 50.00 %  N s left\n"
        "epoch 2/2  N samples/s  loss 0.2500\n");
  CHECK(written([](std::FILE* out) {
          Progress progress(1, 100, out);
          progress.batch(25, 1);
          progress.epoch(NAN);  // an accuracy that is not known is not kept back
        }) == "epoch 1/1  25 %  N samples/s  loss 1.0000  accuracy nan %  N s left\n");
}

TEST_CASE("it says where the loss first was no finite number") {
  CHECK(written([](std::FILE* out) {
          Progress progress(3, 3, out);
          for (int i = 0; i < 3; ++i) progress.batch(1, 1);
          progress.epoch(-1);
          for (const double loss : {1., double(NAN), double(INFINITY)}) progress.batch(1, loss);
          progress.epoch(-1);
          for (int i = 0; i < 3; ++i) progress.batch(1, i ? NAN : 1);
          progress.epoch(-1);
        }) ==
        "epoch 1/3  N samples/s  loss 1.0000  N s left\n"
        "epoch 2/3  N samples/s  loss nan (first nan: epoch 2, batch 2)  N s left\n"
        "epoch 3/3  N samples/s  loss nan (first nan: epoch 2, batch 2)\n");
  CHECK(written([](std::FILE* out) {
          Progress progress(2, 1, out);
          progress.batch(1, INFINITY);
          progress.epoch(-1);
          progress.batch(1, 1);
          progress.epoch(-1);
        }) ==
        "epoch 1/2  N samples/s  loss inf (first inf: epoch 1, batch 1)  N s left\n"
        "epoch 2/2  N samples/s  loss 1.0000 (first inf: epoch 1, batch 1)\n");
}

TEST_CASE("the seconds of training leave out those between epochs") {
  std::FILE* out = std::tmpfile();
  REQUIRE(out != nullptr);
  Progress progress(1, 1, out);
  progress.batch(1, 1);
  const double before = progress.seconds();
  CHECK(before >= 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  progress.epoch(-1);
  CHECK(progress.seconds() == before);
  std::fclose(out);
}

TEST_CASE("on a terminal the line is written over") {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return;  // no terminals here
  std::FILE* out = std::fopen(ptsname(master), "w");
  REQUIRE(out != nullptr);
  Progress progress(1, 2, out);
  std::this_thread::sleep_for(std::chrono::milliseconds(120));  // it is shown ten times a second
  progress.batch(1, 1);
  progress.batch(1, 1);
  progress.epoch(-1);
  std::string s;  // a terminal hands over what has arrived, which may be less than was written
  for (char c = 0; c != '\n'; s += c) REQUIRE(read(master, &c, 1) == 1);
  CHECK(s.find("\repoch 1/1  50 %") == 0);
  CHECK(s.find("\033[K\repoch 1/1  ", 1) != std::string::npos);
  CHECK(s.find("\n") == s.size() - 1);
  std::fclose(out);
  close(master);
}
