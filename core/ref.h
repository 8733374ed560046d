// Who owns what. A shared pointer whose count lies in the object: one word, and a unique owner
// drops it without an atomic operation.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace ramp {

/// The base of what is not copied.
struct NoCopy {
  NoCopy() = default;
  NoCopy(const NoCopy&) = delete;
  NoCopy& operator=(const NoCopy&) = delete;
};

/// T has `std::atomic<uint32_t> refs` (starting at 1) and a free function `destroy(T*)`.
template <typename T>
class Ref {
 public:
  Ref() = default;
  /// Takes over one count that the caller owns.
  static Ref adopt(T* p) {
    Ref r;
    r.p_ = p;
    return r;
  }
  Ref(const Ref& other) : p_(other.p_) {
    if (p_) p_->refs.fetch_add(1, std::memory_order_relaxed);
  }
  Ref(Ref&& other) noexcept : p_(std::exchange(other.p_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(p_, other.p_);
    return *this;
  }
  ~Ref() {
    if (p_) drop(p_);
  }

  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  bool unique() const { return is_last(p_); }
  /// Gives the count to the caller.
  T* release() { return std::exchange(p_, nullptr); }

 private:
  static bool is_last(T* p) { return p->refs.load(std::memory_order_acquire) == 1; }
  static void drop(T* p) {
    if (is_last(p) || p->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(p);
  }

  T* p_ = nullptr;
};

}  // namespace ramp
