#include "ramp/core/memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ramp/core/error.h"

// With AddressSanitizer, cached blocks and the ends of blocks in use must not be touched.
#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)
#define ASAN_UNPOISON_MEMORY_REGION(p, n)
#endif

namespace ramp {
namespace {

// Sizes are rounded up to 8 steps a doubling, so at most 1/8 of a block is wasted.
constexpr int kSteps = 8;
constexpr size_t kMinBlock = 64;
// Up to here a thread keeps freed blocks to itself; larger ones are shared.
constexpr size_t kSmall = 4096;
constexpr size_t kSlab = 64 * 1024;
// The largest size asked for: Shape's 2^58 elements of 8 bytes, and a header.
constexpr size_t kMaxBytes = size_t{1} << 62;
// A thread that freed this much more than it allocated shares what it has cached.
constexpr int64_t kMaxImbalance = 256 * 1024;

constexpr int class_of(size_t n) {
  if (n <= 2 * kMinBlock * kSteps) return static_cast<int>((n + kMinBlock - 1) / kMinBlock);
  const int shift = std::bit_width(n - 1) - 4;  // n in (8, 16] << shift
  const size_t step = (n + (size_t{1} << shift) - 1) >> shift;
  return static_cast<int>((shift - 6) * kSteps + step);
}

constexpr size_t size_of_class(int c) {
  if (c <= 2 * kSteps) return static_cast<size_t>(c) * kMinBlock;
  const int shift = (c - 1) / kSteps - 1 + 6;
  return (static_cast<size_t>((c - 1) % kSteps) + kSteps + 1) << shift;
}

constexpr int kClasses = class_of(kMaxBytes) + 1;
constexpr int kSmallClasses = class_of(kSmall) + 1;

struct Block {
  Block* next;
};
void push(Block*& list, void* p) {
  Block* b = static_cast<Block*>(p);
  b->next = list;
  list = b;
}
// Null when the list is empty.
void* pop(Block*& list) {
  Block* b = list;
  if (b) list = b->next;
  return b;
}

struct ThreadCache;

// What all threads share. Leaked on purpose: tensors may outlive static destruction.
struct Heap {
  std::recursive_mutex mutex;         // out of memory releases the cache while a list is held
  Block* free_blocks[kClasses] = {};  // small ones: those that threads gave back
  std::vector<ThreadCache*> caches;
  // All under the mutex. live leaves out what the caches count themselves.
  int64_t live = 0, peak = 0, system_bytes = 0, system_allocations = 0, nodes = 0;

  int64_t all_live() const;
  void note_peak() { peak = std::max(peak, all_live()); }
};

Heap& heap() {
  static Heap* h = new Heap;
  return *h;
}

void* from_system(size_t n) {
  void* p = std::aligned_alloc(64, n);
  if (p == nullptr) release_cached_memory(), p = std::aligned_alloc(64, n);
  if (p == nullptr) {
    fail("out of memory: {} bytes asked for, {} live. Hint: a smaller batch.", n,
         memory_stats().live_bytes);
  }
#if defined(__linux__)
  // Huge pages: a first touch costs one fault for 2 MB instead of 512.
  if (n >= size_t{4} << 20) {
    const size_t skip = -reinterpret_cast<uintptr_t>(p) & 4095;
    madvise(static_cast<char*>(p) + skip, n - skip, MADV_HUGEPAGE);
  }
#endif
  heap().system_bytes += static_cast<int64_t>(n);
  ++heap().system_allocations;
  return p;
}

// Freed small blocks of one thread. The counters are written by its thread alone and read by all.
struct ThreadCache {
  Block* free_blocks[kSmallClasses] = {};
  std::atomic<int64_t> live{0}, nodes{0};

  ThreadCache() {
    const std::lock_guard lock(heap().mutex);
    heap().caches.push_back(this);
  }
  ~ThreadCache();
  // Gives the cached blocks and the count to all threads.
  void give_back() noexcept;

  static void add(std::atomic<int64_t>& counter, int64_t n) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  void* take(int c) {
    void* p = pop(free_blocks[c]);
    if (p) add(live, static_cast<int64_t>(size_of_class(c)));
    return p;
  }
  void keep(int c, void* p) {
    push(free_blocks[c], p);
    add(live, -static_cast<int64_t>(size_of_class(c)));
  }

  // Takes a slab of blocks from the system, or what other threads gave back.
  void* refill(int c) {
    Heap& h = heap();
    const std::lock_guard lock(h.mutex);
    h.note_peak();
    free_blocks[c] = std::exchange(h.free_blocks[c], nullptr);
    if (free_blocks[c] == nullptr) {
      const size_t size = size_of_class(c);
      char* slab = static_cast<char*>(from_system(kSlab));
      for (size_t at = kSlab / size * size; at > 0; at -= size)
        push(free_blocks[c], slab + at - size);
    }
    return take(c);
  }
};

int64_t Heap::all_live() const {
  int64_t n = live;
  for (const ThreadCache* c : caches) n += c->live.load(std::memory_order_relaxed);
  return n;
}

constinit thread_local ThreadCache* cache = nullptr;
constinit thread_local bool cache_ended = false;

void ThreadCache::give_back() noexcept {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  for (int c = 0; c < kSmallClasses; ++c)
    while (void* p = pop(free_blocks[c])) push(h.free_blocks[c], p);
  h.live += live.exchange(0, std::memory_order_relaxed);
  h.nodes += nodes.exchange(0, std::memory_order_relaxed);
}

ThreadCache::~ThreadCache() {
  give_back();
  const std::lock_guard lock(heap().mutex);
  std::erase(heap().caches, this);
  cache = nullptr;
  cache_ended = true;
}

ThreadCache& this_cache() {
  static thread_local ThreadCache c;
  return *(cache = &c);
}

// The way of a block that the thread has none of; kept out of allocate() to keep that short.
[[gnu::noinline]] void* allocate_more(size_t n, int c) {
  if (n > kMaxBytes) fail("memory: at most 2^62 bytes; got {}.", n);
  if (c < kSmallClasses && !cache_ended) return this_cache().refill(c);
  // Large blocks, and the small ones of a thread that is ending (its cache is gone).
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  void* p = pop(h.free_blocks[c]);
  if (p == nullptr) p = from_system(size_of_class(c));
  h.live += static_cast<int64_t>(size_of_class(c));
  h.note_peak();
  return p;
}

[[gnu::noinline]] void deallocate_more(void* p, int c) noexcept {
  if (c < kSmallClasses && !cache_ended) {
    ThreadCache& t = this_cache();
    t.keep(c, p);
    if (t.live.load(std::memory_order_relaxed) < -kMaxImbalance) t.give_back();
    return;
  }
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  push(h.free_blocks[c], p);
  h.live -= static_cast<int64_t>(size_of_class(c));
}

}  // namespace

void* allocate(size_t n) {
  const int c = n > kMaxBytes ? kSmallClasses : class_of(n == 0 ? 1 : n);
  void* p = c < kSmallClasses && cache ? cache->take(c) : nullptr;
  if (p == nullptr) p = allocate_more(n, c);
  ASAN_UNPOISON_MEMORY_REGION(p, n);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(p) + n, size_of_class(c) - n);
  return p;
}

void deallocate(void* p, size_t n) noexcept {
  const int c = class_of(n == 0 ? 1 : n);
  ASAN_UNPOISON_MEMORY_REGION(p, sizeof(Block));
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(p) + sizeof(Block),
                            size_of_class(c) - sizeof(Block));
  ThreadCache* t = cache;
  if (c >= kSmallClasses || t == nullptr ||
      t->live.load(std::memory_order_relaxed) < -kMaxImbalance) {
    return deallocate_more(p, c);
  }
  t->keep(c, p);
}

void count_nodes(int64_t n) noexcept {
  if (cache) return ThreadCache::add(cache->nodes, n);
  const std::lock_guard lock(heap().mutex);
  heap().nodes += n;
}

MemoryStats memory_stats() {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  h.note_peak();
  int64_t nodes = h.nodes;
  for (const ThreadCache* c : h.caches) nodes += c->nodes.load(std::memory_order_relaxed);
  return {h.all_live(), h.peak, h.system_bytes, h.system_allocations, nodes};
}

void reset_peak_memory() {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  h.peak = h.all_live();
}

void release_cached_memory() {
  Heap& h = heap();
  const std::lock_guard lock(h.mutex);
  for (int c = kSmallClasses; c < kClasses; ++c) {
    while (void* p = pop(h.free_blocks[c])) {
      std::free(p);
      h.system_bytes -= static_cast<int64_t>(size_of_class(c));
    }
  }
}

Ref<Storage> Storage::make(size_t bytes) {
  Storage* s = new (allocate(sizeof(Storage) + bytes)) Storage;
  s->bytes = bytes;
  return Ref<Storage>::adopt(s);
}

void destroy(Storage* s) noexcept { deallocate(s, sizeof(Storage) + s->bytes); }

}  // namespace ramp
