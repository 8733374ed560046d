// The caching allocator: blocks are kept by size, so a training step takes nothing from the system
// after the first one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ramp/core/ref.h"

namespace ramp {

struct MemoryStats {
  int64_t live_bytes;          // held by tensors and tape nodes now
  int64_t peak_bytes;          // the most that was live (small blocks are counted when asked)
  int64_t system_bytes;        // taken from the system, cached blocks included
  int64_t system_allocations;  // how often memory was taken from the system
  int64_t live_nodes;          // of the tape
};

MemoryStats memory_stats();
/// Starts peak_bytes anew at what is live.
void reset_peak_memory();
/// Returns the large cached blocks to the system.
void release_cached_memory();

/// 64-byte aligned memory of at least n bytes; `deallocate` takes the same n.
/// Errors: Error when the system has no more.
void* allocate(size_t n);
void deallocate(void* p, size_t n) noexcept;

/// The tape counts its nodes where each thread counts its memory.
void count_nodes(int64_t n) noexcept;

/// Memory for n values of T while it lives.
template <typename T>
class ScratchMemory : private NoCopy {
 public:
  explicit ScratchMemory(int64_t n) : bytes_(static_cast<size_t>(n) * sizeof(T)) {
    if (n > 0) p_ = static_cast<T*>(allocate(bytes_));
  }
  ~ScratchMemory() {
    if (p_) deallocate(p_, bytes_);
  }
  T* get() const { return p_; }

 private:
  size_t bytes_;
  T* p_ = nullptr;
};

/// For vectors that come and go: what the system's allocator gives back at each step, it takes page
/// by page again.
template <typename T>
struct Allocator {
  using value_type = T;
  T* allocate(size_t n) { return static_cast<T*>(ramp::allocate(n * sizeof(T))); }
  void deallocate(T* p, size_t n) noexcept { ramp::deallocate(p, n * sizeof(T)); }
  bool operator==(const Allocator&) const = default;
};

/// A tensor's memory: this header of one cache line, then the elements.
struct alignas(64) Storage {
  std::atomic<uint32_t> refs{1};
  std::atomic<uint32_t> version{0};  // rises with each announced write
  size_t bytes = 0;                  // of the elements

  void* data() { return this + 1; }
  static Ref<Storage> make(size_t bytes);
};
void destroy(Storage* s) noexcept;

}  // namespace ramp
