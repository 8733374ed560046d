#include "ramp/core/memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ramp/core/error.h"

namespace ramp {
namespace {

// Sizes are rounded up to 8 steps a doubling, so at most 1/8 of a block is wasted.
constexpr int kSteps = 8;
constexpr size_t kMinBlock = 64;
constexpr int kClasses = 8 + 52 * kSteps;
// Up to here a thread keeps freed blocks to itself; larger ones are shared.
constexpr size_t kSmall = 4096;
constexpr size_t kSlab = 64 * 1024;

int class_of(size_t n) {
  if (n <= kMinBlock * kSteps) return static_cast<int>((n + kMinBlock - 1) / kMinBlock);
  const int shift = std::bit_width(n - 1) - 4;  // n in (8, 16] << shift
  const size_t step = (n + (size_t{1} << shift) - 1) >> shift;
  return static_cast<int>((shift - 6) * kSteps + step);
}

size_t size_of_class(int c) {
  if (c <= kSteps) return static_cast<size_t>(c) * kMinBlock;
  const int shift = (c - 1) / kSteps - 1 + 6;
  return (static_cast<size_t>((c - 1) % kSteps) + kSteps + 1) << shift;
}

constexpr int kSmallClasses = 8 + 3 * kSteps + 1;  // sizes up to kSmall

struct Block {
  Block* next;
};

struct ThreadCache;

// What all threads share. Leaked on purpose: tensors may outlive static destruction.
struct Heap {
  std::recursive_mutex mutex;  // out of memory releases the cache while a list is held
  std::vector<void*> free_blocks[kClasses];
  Block* small_free[kSmallClasses] = {};  // left by threads that ended
  std::vector<ThreadCache*> caches;
  int64_t small_live_of_ended = 0;
  std::atomic<int64_t> large_live{0}, peak{0}, system_bytes{0}, system_allocations{0};

  int64_t small_live() const;
  void note_peak() {
    const int64_t live = large_live.load(std::memory_order_relaxed) + small_live();
    int64_t p = peak.load(std::memory_order_relaxed);
    while (live > p && !peak.compare_exchange_weak(p, live)) {
    }
  }
};

Heap& heap() {
  static Heap* h = new Heap;
  return *h;
}

void* from_system(size_t n) {
  void* p = std::aligned_alloc(64, n);
  if (p == nullptr) {
    release_cached_memory();
    p = std::aligned_alloc(64, n);
  }
  if (p == nullptr) {
    fail("memory: the system has no {} bytes more; {} bytes are live. Hint: a smaller batch.", n,
         memory_stats().live_bytes);
  }
#if defined(__linux__)
  // Huge pages: a first touch costs one fault for 2 MB instead of 512.
  if (n >= size_t{4} << 20) {
    const size_t skip = -reinterpret_cast<uintptr_t>(p) & 4095;
    madvise(static_cast<char*>(p) + skip, n - skip, MADV_HUGEPAGE);
  }
#endif
  heap().system_bytes.fetch_add(static_cast<int64_t>(n), std::memory_order_relaxed);
  heap().system_allocations.fetch_add(1, std::memory_order_relaxed);
  return p;
}

// Freed small blocks of one thread. The counter is written by its thread alone and read by all.
struct ThreadCache {
  Block* free_blocks[kSmallClasses] = {};
  std::atomic<int64_t> live{0};

  ThreadCache() {
    const std::lock_guard lock(heap().mutex);
    heap().caches.push_back(this);
  }
  ~ThreadCache();

  void count(int64_t n) {
    live.store(live.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  // A slab of blocks from the system, or what an ended thread left.
  void* refill(int c) {
    Heap& h = heap();
    const std::lock_guard lock(h.mutex);
    h.note_peak();
    if (h.small_free[c]) {
      Block* b = h.small_free[c];
      free_blocks[c] = b->next;
      h.small_free[c] = nullptr;
      return b;
    }
    const size_t size = size_of_class(c);
    char* slab = static_cast<char*>(from_system(kSlab));
    for (size_t at = size; at + size <= kSlab; at += size) {
      Block* b = reinterpret_cast<Block*>(slab + at);
      b->next = free_blocks[c];
      free_blocks[c] = b;
    }
    return slab;
  }
};

int64_t Heap::small_live() const {
  int64_t n = small_live_of_ended;
  for (const ThreadCache* c : caches) n += c->live.load(std::memory_order_relaxed);
  return n;
}

constinit thread_local ThreadCache* cache = nullptr;
constinit thread_local bool cache_ended = false;

ThreadCache::~ThreadCache() {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  for (int c = 0; c < kSmallClasses; ++c) {
    while (Block* b = free_blocks[c]) {
      free_blocks[c] = b->next;
      b->next = h.small_free[c];
      h.small_free[c] = b;
    }
  }
  h.small_live_of_ended += live.load(std::memory_order_relaxed);
  std::erase(h.caches, this);
  cache = nullptr;
  cache_ended = true;
}

[[gnu::noinline]] ThreadCache* make_cache() {
  static thread_local ThreadCache c;
  return cache = &c;
}

// A thread that is ending (its cache is gone) works on the shared lists.
void* allocate_small_ended(int c) {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  h.small_live_of_ended += static_cast<int64_t>(size_of_class(c));
  if (Block* b = h.small_free[c]) {
    h.small_free[c] = b->next;
    return b;
  }
  return from_system(size_of_class(c));
}

void deallocate_small_ended(void* p, int c) {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  h.small_live_of_ended -= static_cast<int64_t>(size_of_class(c));
  Block* b = static_cast<Block*>(p);
  b->next = h.small_free[c];
  h.small_free[c] = b;
}

void* allocate_large(size_t n) {
  Heap& h = heap();
  const int c = class_of(n);
  const size_t size = size_of_class(c);
  const std::lock_guard lock(h.mutex);
  void* p = nullptr;
  if (h.free_blocks[c].empty()) {
    p = from_system(size);
  } else {
    p = h.free_blocks[c].back();
    h.free_blocks[c].pop_back();
  }
  h.large_live.fetch_add(static_cast<int64_t>(size), std::memory_order_relaxed);
  h.note_peak();
  return p;
}

}  // namespace

void* allocate(size_t n) {
  if (n > kSmall) return allocate_large(n);
  const int c = class_of(n == 0 ? 1 : n);
  ThreadCache* t = cache;
  if (t == nullptr) {
    if (cache_ended) return allocate_small_ended(c);
    t = make_cache();
  }
  t->count(static_cast<int64_t>(size_of_class(c)));
  if (Block* b = t->free_blocks[c]) {
    t->free_blocks[c] = b->next;
    return b;
  }
  return t->refill(c);
}

void deallocate(void* p, size_t n) noexcept {
  if (n > kSmall) {
    Heap& h = heap();
    const int c = class_of(n);
    const std::lock_guard lock(h.mutex);
    h.free_blocks[c].push_back(p);
    h.large_live.fetch_sub(static_cast<int64_t>(size_of_class(c)), std::memory_order_relaxed);
    return;
  }
  const int c = class_of(n == 0 ? 1 : n);
  ThreadCache* t = cache;
  if (t == nullptr) {
    if (cache_ended) return deallocate_small_ended(p, c);
    t = make_cache();
  }
  t->count(-static_cast<int64_t>(size_of_class(c)));
  Block* b = static_cast<Block*>(p);
  b->next = t->free_blocks[c];
  t->free_blocks[c] = b;
}

MemoryStats memory_stats() {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  h.note_peak();
  return {h.large_live.load() + h.small_live(), h.peak.load(), h.system_bytes.load(),
          h.system_allocations.load()};
}

void reset_peak_memory() {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  h.peak.store(h.large_live.load() + h.small_live());
}

void release_cached_memory() {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  for (int c = 0; c < kClasses; ++c) {
    for (void* p : h.free_blocks[c]) {
      std::free(p);
      h.system_bytes.fetch_sub(static_cast<int64_t>(size_of_class(c)));
    }
    h.free_blocks[c].clear();
  }
}

Ref<Storage> Storage::make(size_t bytes) {
  Storage* s = new (allocate(sizeof(Storage) + bytes)) Storage;
  s->bytes = bytes;
  return Ref<Storage>::adopt(s);
}

void destroy(Storage* s) noexcept { deallocate(s, sizeof(Storage) + s->bytes); }

}  // namespace ramp
