#include "ramp/core/memory.h"

#include <doctest/doctest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "message.h"
#include "ramp/core/error.h"
#include "ramp/core/tensor.h"

using namespace ramp;

namespace {

// A byte pattern of a block, so that blocks that overlap destroy each other.
struct Held {
  unsigned char* p;
  size_t n;
  explicit Held(size_t size) : p(static_cast<unsigned char*>(allocate(size))), n(size) {
    std::memset(p, static_cast<int>(pattern()), n);
  }
  bool whole() const {
    for (size_t i = 0; i < n; ++i)
      if (p[i] != pattern()) return false;
    return true;
  }
  unsigned char pattern() const { return static_cast<unsigned char>(n * 31 + 7); }
};

}  // namespace

TEST_CASE("blocks of all sizes are aligned, apart from each other, and counted") {
  const int64_t before = memory_stats().live_bytes;
  std::vector<Held> held;
  int64_t asked = 0;
  for (size_t base = 1; base <= (1 << 20); base *= 2) {
    for (size_t n : {base - 1, base, base + 1, base + base / 2 + 1}) {
      held.emplace_back(n);
      asked += static_cast<int64_t>(n);
    }
  }
  for (const Held& h : held) {
    CHECK(reinterpret_cast<uintptr_t>(h.p) % 64 == 0);
    CHECK(h.whole());
  }
  const int64_t live = memory_stats().live_bytes - before;
  CHECK(live >= asked);
  // At most 1/8 is lost, apart from the least block of 64 bytes.
  CHECK(live <= asked + asked / 8 + 64 * static_cast<int64_t>(held.size()));
  CHECK(memory_stats().system_bytes >= memory_stats().live_bytes);
  for (const Held& h : held) deallocate(h.p, h.n);
  CHECK(memory_stats().live_bytes == before);
}

TEST_CASE("a freed block is taken again, by any size of its class") {
  for (const size_t n : {size_t{200}, size_t{4096}, size_t{5000}, size_t{100000}}) {
    void* p = allocate(n);
    deallocate(p, n);
    const int64_t count = memory_stats().system_allocations;
    void* q = allocate(n - 1);
    CHECK(q == p);
    CHECK(memory_stats().system_allocations == count);
    deallocate(q, n - 1);
  }
}

TEST_CASE("live and peak bytes") {
  reset_peak_memory();
  const MemoryStats start = memory_stats();
  CHECK(start.peak_bytes == start.live_bytes);
  {
    const Tensor a = Tensor::empty({1000, 1000});
    const Tensor b = Tensor::empty({1000, 1000});
    CHECK(memory_stats().live_bytes >= start.live_bytes + 8'000'000);
  }
  CHECK(memory_stats().live_bytes == start.live_bytes);
  CHECK(memory_stats().peak_bytes >= start.live_bytes + 8'000'000);
  CHECK(memory_stats().peak_bytes < start.live_bytes + 9'100'000);
  { const Tensor c = Tensor::empty({1000, 1000}); }
  CHECK(memory_stats().peak_bytes >= start.live_bytes + 8'000'000);
  reset_peak_memory();
  CHECK(memory_stats().peak_bytes == start.live_bytes);
}

TEST_CASE("a warm loop takes nothing from the system") {
  const auto step = [] {
    std::vector<Tensor> tensors;
    for (int64_t n = 1; n < 300'000; n = n * 3 + 1) {
      tensors.push_back(Tensor::empty({n}));
      Tensor::empty({n}, f64);
    }
  };
  step();
  const int64_t before = memory_stats().system_allocations;
  for (int i = 0; i < 50; ++i) step();
  CHECK(memory_stats().system_allocations == before);
}

TEST_CASE("large cached blocks go back to the system when asked") {
  void* p = allocate(1 << 22);
  deallocate(p, 1 << 22);
  const int64_t before = memory_stats().system_bytes;
  release_cached_memory();
  CHECK(memory_stats().system_bytes <= before - (1 << 22));
  release_cached_memory();
  CHECK(memory_stats().system_bytes >= memory_stats().live_bytes);
  const Held again(1 << 22);
  CHECK(again.whole());
  deallocate(again.p, again.n);
}

TEST_CASE("blocks that another thread frees come back: a producer and its consumer stay small") {
  // All small blocks are made here and freed there, as with batches from a loader.
  const int64_t live = memory_stats().live_bytes;
  int64_t before = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<Held> held;
    for (int i = 0; i < 200; ++i) held.emplace_back(300 + i % 3);
    std::thread([&held] {
      for (const Held& h : held) {
        CHECK(h.whole());
        deallocate(h.p, h.n);
      }
    }).join();
    if (round == 20) before = memory_stats().system_allocations;
  }
  CHECK(memory_stats().system_allocations == before);
  CHECK(memory_stats().live_bytes == live);
}

TEST_CASE("the same with a consumer that never ends") {
  const int64_t live = memory_stats().live_bytes;
  std::vector<Held> handed;
  std::atomic<int> turn{0};  // even: the producer's
  constexpr int kRounds = 400;
  std::thread consumer([&] {
    for (int round = 0; round < kRounds; ++round) {
      while (turn.load() != 2 * round + 1) std::this_thread::yield();
      for (const Held& h : handed) deallocate(h.p, h.n);
      turn.store(2 * round + 2);
    }
  });
  int64_t before = 0;
  for (int round = 0; round < kRounds; ++round) {
    while (turn.load() != 2 * round) std::this_thread::yield();
    handed.clear();
    for (int i = 0; i < 100; ++i) handed.emplace_back(1000);
    if (round == 100) before = memory_stats().system_bytes;
    turn.store(2 * round + 1);
  }
  consumer.join();
  // 100 KB a round: 30 MB if the consumer kept them.
  CHECK(memory_stats().system_bytes - before < 1'000'000);
  CHECK(memory_stats().live_bytes == live);
}

namespace {

// Outlives the cache of its thread: it is made before the first allocation.
struct Late {
  Tensor small, large;
  ~Late() {
    small = {};
    large = {};
    small = Tensor::ones({10});
    small = {};
  }
};

}  // namespace

TEST_CASE("thread_locals may hold tensors until the very end of a thread") {
  const int64_t live = memory_stats().live_bytes;
  std::thread([] {
    static thread_local Late late;
    late.small = Tensor::ones({10});
    late.large = Tensor::ones({10000});
  }).join();
  CHECK(memory_stats().live_bytes == live);
}

TEST_CASE("many threads at once") {
  const int64_t live = memory_stats().live_bytes;
  std::vector<std::thread> threads;
  std::atomic<int> broken{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&broken, t] {
      for (int round = 0; round < 100; ++round) {
        std::vector<Held> held;
        for (size_t i = 0; i < 30; ++i) held.emplace_back(1 + (i * 977 + t * 131) % 9000);
        for (const Held& h : held) {
          broken += h.whole() ? 0 : 1;
          deallocate(h.p, h.n);
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(broken == 0);
  CHECK(memory_stats().live_bytes == live);
}

TEST_CASE("no memory is an Error, and the allocator works on") {
  const MemoryStats before = memory_stats();
  // The largest shape there is.
  const std::string text = message([] { Tensor::empty({int64_t{1} << 58}, f64); });
  CHECK(text.rfind("out of memory: 2594073385365405696 bytes asked for, ", 0) == 0);
  CHECK(text.find(" live. Hint: a smaller batch.") != std::string::npos);
  CHECK(message([] { allocate(size_t{1} << 46); }).rfind("out of memory: ", 0) == 0);
  CHECK(message([] { allocate(SIZE_MAX); }).rfind("memory: ", 0) == 0);
  CHECK(memory_stats().live_bytes == before.live_bytes);
  CHECK(Tensor::ones({100}).values()[99] == 1);
}

#if defined(__SANITIZE_ADDRESS__)
extern "C" int __asan_address_is_poisoned(const volatile void* address);

TEST_CASE("AddressSanitizer sees a use of freed tensors and of what lies behind their end") {
  for (const int64_t n : {3, 1000, 100000}) {
    Tensor x = Tensor::zeros({n});
    const float* p = x.data<float>();
    CHECK_FALSE(__asan_address_is_poisoned(p + n - 1));
    CHECK(__asan_address_is_poisoned(p + n));
    x = {};
    CHECK(__asan_address_is_poisoned(p));
    CHECK(__asan_address_is_poisoned(p + n - 1));
  }
}
#endif
