// Batches made while the model computes.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "ramp/data/batches.h"

namespace ramp {

/// The batches of an epoch, in its order and the same to the bit, made by a thread of its own while
/// the model computes on those before: for epochs whose Transform takes time.
/// ```
/// for (auto [x, y] : Prefetch(batches.epoch(e, augment))) step(x, y);
/// ```
/// To be gone through once. Leaving the loop early ends the thread.
class Prefetch : private NoCopy {
 public:
  /// Makes at most `ahead` batches before they are asked for. Errors: ahead < 1.
  explicit Prefetch(Batches::Epoch epoch, int64_t ahead = 2);
  ~Prefetch();

  /// The next batch; nothing after the last one. What the Transform throws is thrown here, in
  /// place of its batch, and ends the epoch.
  std::optional<Dataset> next();

  struct End {};
  class Iterator {
   public:
    const Dataset& operator*() const { return *batch_; }
    Iterator& operator++() {
      batch_.reset();  // its memory serves the batches to come
      batch_ = prefetch_->next();
      return *this;
    }
    bool operator==(End) const { return !batch_; }

   private:
    friend Prefetch;
    explicit Iterator(Prefetch* prefetch) : prefetch_(prefetch), batch_(prefetch->next()) {}
    Prefetch* prefetch_;
    std::optional<Dataset> batch_;
  };
  Iterator begin() { return Iterator(this); }
  End end() const { return {}; }

 private:
  void work();

  Batches::Epoch epoch_;
  int64_t ahead_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Under the mutex:
  std::deque<Dataset> ready_;
  std::exception_ptr error_;
  bool done_ = false, stop_ = false;
  std::thread thread_;  // the last: it starts when the others are there
};

}  // namespace ramp
