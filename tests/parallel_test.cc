#include "ramp/core/parallel.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <iostream>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ramp/core/error.h"

using namespace ramp;

namespace {

using Pieces = std::vector<std::pair<int64_t, int64_t>>;

Pieces pieces_of(int64_t n, int64_t grain) {
  std::mutex mutex;
  Pieces list;
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard lock(mutex);
    list.emplace_back(begin, end);
  });
  std::sort(list.begin(), list.end());
  return list;
}

struct Restore {
  int before = num_threads();
  ~Restore() { set_num_threads(before); }
};

// Runs f in a child process with RAMP_NUM_THREADS set; what it returns. Before the first use of
// the pool only (see the first test case).
std::string in_child(const char* threads, std::string (*f)()) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    setenv("RAMP_NUM_THREADS", threads, 1);
    std::string text;
    try {
      text = f();
    } catch (const Error& error) {
      text = error.what();
    }
    _exit(write(ends[1], text.data(), text.size()) < 0);
  }
  close(ends[1]);
  char text[500];
  std::string all;
  for (ssize_t n; (n = read(ends[0], text, sizeof(text))) > 0;) all.append(text, n);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  return all;
}

}  // namespace

// The first test case of the file, since the variable is read once.
TEST_CASE("RAMP_NUM_THREADS") {
  const auto count = [] { return std::to_string(num_threads()); };
  CHECK(in_child("3", count) == "3");
  CHECK(in_child("256", count) == "256");
  CHECK(in_child("", count) ==
        std::to_string(std::clamp<int>(std::thread::hardware_concurrency(), 1, 256)));
  for (const char* wrong : {"0", "-1", "257", "two", "2x", "2 ", "99999999999999999999"}) {
    CHECK(in_child(wrong, count) ==
          fmt::format("RAMP_NUM_THREADS: expected a number from 1 to 256; got \"{}\".", wrong));
  }
}

TEST_CASE("the pieces cover [0, n) once, and do not depend on the number of threads") {
  const Restore restore;
  for (const int64_t n : {0, 1, 2, 7, 64, 1000, 12345}) {
    for (const int64_t grain : {-3, 0, 1, 2, 7, 1000, 100000}) {
      Pieces expected;
      for (int64_t i = 0; i < n; i += std::max<int64_t>(grain, 1)) {
        expected.emplace_back(i, std::min(n, i + std::max<int64_t>(grain, 1)));
      }
      for (const int threads : {1, 2, 5}) {
        set_num_threads(threads);
        INFO("n " << n << ", grain " << grain << ", threads " << threads);
        CHECK(pieces_of(n, grain) == expected);
      }
    }
  }
  CHECK(pieces_of(-5, 1).empty());
}

TEST_CASE("the work is shared") {
  const Restore restore;
  set_num_threads(3);
  // Each of three pieces waits until the others have begun.
  std::atomic<int> here{0};
  parallel_for(3, 1, [&](int64_t, int64_t) {
    ++here;
    while (here < 3) std::this_thread::yield();
  });
  CHECK(here == 3);
}

TEST_CASE("each thread begins with chunks of its own, which lie side by side") {
  const Restore restore;
  set_num_threads(4);
  std::mutex mutex;
  std::set<std::thread::id> here;
  Pieces first;
  const auto all_here = [&] {
    const std::lock_guard lock(mutex);
    return here.size() == 4;
  };
  // Nobody takes a second chunk before all have their first.
  parallel_for(40, 1, [&](int64_t i, int64_t end) {
    {
      const std::lock_guard lock(mutex);
      if (here.insert(std::this_thread::get_id()).second) first.emplace_back(i, end);
    }
    while (!all_here()) std::this_thread::yield();
  });
  std::sort(first.begin(), first.end());
  CHECK(first == Pieces{{0, 1}, {10, 11}, {20, 21}, {30, 31}});
}

TEST_CASE("threads without work sleep") {
  const Restore restore;
  set_num_threads(4);
  pieces_of(64, 1);
  const std::clock_t before = std::clock();  // of all threads
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  CHECK(std::clock() - before < CLOCKS_PER_SEC / 50);
}

TEST_CASE("nested calls run inline") {
  const Restore restore;
  set_num_threads(4);
  std::atomic<int64_t> sum{0};
  std::atomic<bool> moved{false};
  parallel_for(8, 1, [&](int64_t i, int64_t) {
    const std::thread::id me = std::this_thread::get_id();
    parallel_for(100, 1, [&](int64_t j, int64_t) {
      if (std::this_thread::get_id() != me) moved = true;
      sum += i * 100 + j;
    });
  });
  CHECK(sum == 800 * 799 / 2);
  CHECK_FALSE(moved);
}

TEST_CASE("NoThreads: one thread does it all, in order, while it lives") {
  const Restore restore;
  set_num_threads(2);
  const auto threads_used = [] {
    std::mutex mutex;
    std::set<std::thread::id> ids;
    parallel_for(64, 1, [&](int64_t, int64_t) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
    });
    return ids.size();
  };
  {
    const NoThreads outer;
    {
      const NoThreads inner;
      CHECK(threads_used() == 1);
    }
    CHECK(threads_used() == 1);
    CHECK(pieces_of(10, 4) == Pieces{{0, 4}, {4, 8}, {8, 10}});
  }
  CHECK(threads_used() == 2);
}

TEST_CASE("an exception reaches the caller, and the pool works on") {
  const Restore restore;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> running{0};
      const auto throwing = [&] {
        parallel_for(1000, 1, [&](int64_t i, int64_t) {
          ++running;
          if (i % 300 == 17) {
            --running;
            fail("piece {}", i);
          }
          --running;
        });
      };
      CHECK_THROWS_AS(throwing(), Error);
      CHECK(running == 0);  // all threads have stopped
      CHECK(pieces_of(100, 3).size() == 34);
    }
    // One that is not ramp's; from a nested call too.
    CHECK_THROWS_WITH_AS(parallel_for(50, 1,
                                      [](int64_t, int64_t) {
                                        parallel_for(5, 1, [](int64_t, int64_t) {
                                          throw std::runtime_error("user");
                                        });
                                      }),
                         "user", std::runtime_error);
    CHECK(pieces_of(100, 3).size() == 34);
  }
}

TEST_CASE("set_num_threads: limits, and where it may be called") {
  const Restore restore;
  for (const int wrong : {0, -1, 257}) {
    CHECK_THROWS_WITH_AS(
        set_num_threads(wrong),
        fmt::format("set_num_threads: expected a number from 1 to 256; got {}.", wrong).c_str(),
        Error);
  }
  set_num_threads(2);
  CHECK(num_threads() == 2);
  CHECK_THROWS_WITH_AS(parallel_for(10, 1, [](int64_t, int64_t) { set_num_threads(1); }),
                       "set_num_threads: called from inside parallel_for.", Error);
  CHECK(num_threads() == 2);
  for (int i = 0; i < 50; ++i) {
    set_num_threads(1 + i % 5);
    CHECK(pieces_of(20, 1).size() == 20);
  }
}

TEST_CASE("user threads at once, while another changes the number of threads") {
  const Restore restore;
  set_num_threads(3);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> users;
  for (int t = 0; t < 3; ++t) {
    users.emplace_back([&] {
      for (int round = 0; round < 300; ++round) {
        parallel_for(50, 1, [&](int64_t i, int64_t) { sum += i; });
      }
    });
  }
  users.emplace_back([] {
    for (int i = 0; i < 30; ++i) set_num_threads(1 + i % 4);
  });
  for (std::thread& t : users) t.join();
  CHECK(sum == 3 * 300 * 1225);
}

TEST_CASE("workers wake after they slept") {
  const Restore restore;
  set_num_threads(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> here{0};
    parallel_for(2, 1, [&](int64_t, int64_t) {
      ++here;
      while (here < 2) std::this_thread::yield();
    });
    CHECK(here == 2);
  }
}

TEST_CASE("a forked child computes, and ends") {
  const Restore restore;
  set_num_threads(3);
  CHECK(pieces_of(100, 1).size() == 100);
  // The workers sleep by now, so that none holds a lock.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::cout.flush();  // or the child would print it again
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(10);
    int64_t sum = 0;
    std::mutex mutex;
    parallel_for(100, 1, [&](int64_t i, int64_t) {
      const std::lock_guard lock(mutex);
      sum += i;
    });
    std::exit(sum == 4950 ? 0 : 1);  // runs the static destructors
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("FlushDenormals: tiny numbers are 0 while it lives") {
#if defined(__x86_64__)
  volatile float tiny = 1e-38f;
  CHECK(tiny * 0.01f != 0);
  {
    const FlushDenormals flush;
    CHECK(tiny * 0.01f == 0);
    { const FlushDenormals again; }
    CHECK(tiny * 0.01f == 0);
  }
  CHECK(tiny * 0.01f != 0);
#endif
}
